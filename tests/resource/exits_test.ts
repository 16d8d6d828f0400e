import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import {
  AsyncContextGroup,
  asyncContextManager,
  AsyncExitStack,
  TimeoutError,
} from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { opaqueErrors, rejectsWith } from "../_opaque.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

const never = (): Promise<never> => new Promise(() => {});

describe("exitTimeoutMs", () => {
  test("of an exit stack: an exit that hangs is given up by name, and the others still run", async () => {
    for (const [limitMs, endsAt] of [[undefined, 5_000], [100, 50]] as const) {
      await world(async (w) => {
        const log: string[] = [];
        const stack = new AsyncExitStack({ name: "files", exitTimeoutMs: limitMs });
        stack.callback(async () => {
          await sleep(1);
          log.push(`last@${w.now}`);
        });
        stack.callback(function closeCache() {
          log.push("hangs");
          return never();
        });
        stack.push(() => void log.push("first"));
        const error = await failureOf(stack.close());
        assert.ok(error instanceof TimeoutError);
        assert.equal(
          error.message,
          `Cannot leave exit 2 (closeCache) of exit stack "files" within ${endsAt} ms: it was still being left`,
        );
        assert.deepEqual([error.limitMs, w.now], [endsAt, endsAt + 1]);
        assert.deepEqual(log, ["first", "hangs", `last@${endsAt + 1}`]);
        assert.equal(w.timers.length, 0);
      });
    }
  });

  test("bounds the whole: however many hang, it is over by then, and all of them were begun", async () => {
    await world(async (w) => {
      let begun = 0;
      const failure = await failureOf(AsyncExitStack.run((stack) => {
        for (let i = 0; i < 5; i++) {
          stack.callback(() => {
            begun++;
            return never();
          });
        }
      }, { exitTimeoutMs: 160 }));
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual(failure.errors.map(({ limitMs }) => limitMs), [80, 40, 20, 10, 10]);
      assert.deepEqual([w.now, begun], [160, 5]);
    });
  });

  test("is not cut short by the cancellation that made it leave, and may be endless", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      let left = 0;
      const run = AsyncExitStack.run(async (stack) => {
        stack.callback(async () => {
          await sleep(1e9);
          left++;
        });
        await sleep(1_000, { signal: controller.signal });
      }, { exitTimeoutMs: Infinity });
      await sleep(1);
      controller.abort("stop");
      assert.equal(await failureOf(run), "stop");
      assert.deepEqual([left, w.now], [1, 1e9 + 1]);
    });
  });

  test("goes along when a stack is moved", async () => {
    await world(async () => {
      const stack = new AsyncExitStack({ name: "a", exitTimeoutMs: 7 });
      stack.callback(never);
      const moved = stack.move();
      moved.callback(never);
      const failure = await failureOf(moved.close());
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual(
        failure.errors.map(({ message }) => message),
        [
          'Cannot leave exit 2 (never) of exit stack "a" within 4 ms: it was still being left',
          'Cannot leave exit 1 (never) of exit stack "a" within 4 ms: it was still being left',
        ],
      );
    });
  });

  test("what an exit fails with after it was given up goes to the observer", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _observer = observe({ record: (record) => void records.push(record) });
      const late = new Error("late");
      const stack = new AsyncExitStack({ exitTimeoutMs: 10 });
      stack.callback(async () => {
        await sleep(30);
        throw late;
      });
      assert.ok(await failureOf(stack.close()) instanceof TimeoutError);
      await sleep(50);
      const failures = records.filter(({ kind }) => kind === "late.failure");
      assert.deepEqual(failures.map(({ name, data }) => [name, data]), [
        ["leave exit 1 of exit stack", { error: late }],
      ]);
    });
  });

  test("of a context group: names the context, and leaves the others", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const group = new AsyncContextGroup({
        db: () => ({ [Symbol.dispose]: () => void log.push("db") }),
        cache: () => ({ [Symbol.asyncDispose]: never }),
      }, { name: "app", exitTimeoutMs: 40 });
      const message =
        'Cannot leave context "cache" of context group "app" within 20 ms: it was still being left';
      await assert.rejects(group.run(() => 1), { name: "TimeoutError", message });
      const opened = await group.open();
      await assert.rejects(async () => await opened[Symbol.asyncDispose](), {
        name: "TimeoutError",
        message,
      });
      assert.deepEqual([log, w.now], [["db", "db"], 40]);
    });
  });

  test("of a context manager: bounds the rest of the generator, however it is left", async () => {
    await world(async (w) => {
      const manager = asyncContextManager(async function* () {
        try {
          yield 1;
        } finally {
          await never();
        }
      }, { name: "db", exitTimeoutMs: 30 });
      const message = 'Cannot leave context manager "db" within 30 ms: it was still being left';
      await assert.rejects(manager().run(() => 1), { name: "TimeoutError", message });
      const own = new Error("own");
      const failure = await failureOf(manager().run(() => Promise.reject(own)));
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual([failure.errors[0], failure.errors[1].message], [own, message]);
      const opened = await manager().open();
      await assert.rejects(async () => await opened[Symbol.asyncDispose](), {
        name: "TimeoutError",
        message,
      });
      assert.equal(w.now, 90);
    });
  });

  test("must be a time, more than 0", () => {
    const makers = [
      (exitTimeoutMs: number) => new AsyncExitStack({ exitTimeoutMs }),
      (exitTimeoutMs: number) => new AsyncContextGroup({}, { exitTimeoutMs }),
      (exitTimeoutMs: number) => asyncContextManager(async function* () {}, { exitTimeoutMs }),
    ];
    for (const make of makers) {
      for (const wrong of [0, -1, NaN]) assert.throws(() => make(wrong), RangeError);
      for (const wrong of ["5", null]) assert.throws(() => make(wrong as never), TypeError);
      make(Infinity);
    }
    assert.throws(() => new AsyncExitStack(null as never), TypeError);
    assert.throws(() => new AsyncExitStack({ name: 5 as never }), TypeError);
    assert.throws(() => asyncContextManager(async function* () {}, { name: 5 as never }), TypeError);
  });
});

describe("failures on the way out that are the same", () => {
  test("count once, whatever they are", async () => {
    for (const error of [new Error("same"), NaN, undefined, "text"]) {
      const stack = new AsyncExitStack();
      for (let i = 0; i < 2; i++) {
        stack.callback(() => {
          throw error;
        });
      }
      assert.ok(Object.is(await failureOf(stack.close()), error));
    }
  });
});

describe("failures on the way out that can't be looked at", () => {
  for (const [name, opaque] of opaqueErrors()) {
    test(`${name}: keeps no exit from running, and is thrown as it is`, async () => {
      const log: string[] = [];
      const fail = (): never => {
        throw opaque;
      };
      const stack = new AsyncExitStack();
      stack.callback(() => log.push("stack"));
      stack.callback(fail);
      assert.ok(await rejectsWith(stack.close(), opaque));
      const running = AsyncExitStack.run((stack) => {
        stack.callback(() => log.push("run"));
        fail();
      });
      assert.ok(await rejectsWith(running, opaque));
      const contexts = new AsyncContextGroup({
        a: () => ({ [Symbol.dispose]: () => void log.push("context") }),
        b: fail,
      });
      assert.ok(await rejectsWith(contexts.open(), opaque));
      const manager = asyncContextManager(async function* () {
        try {
          yield;
        } finally {
          log.push("generator");
        }
      });
      assert.ok(await rejectsWith(manager().run(fail), opaque));
      assert.deepEqual(log, ["stack", "run", "context", "generator"]);
      const both = new AsyncExitStack();
      both.callback(fail);
      both.callback(() => {
        throw new Error("other");
      });
      const several = await failureOf(both.close());
      assert.ok(several instanceof AggregateError && several.errors[1] === opaque);
    });
  }
});
