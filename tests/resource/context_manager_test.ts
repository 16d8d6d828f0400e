import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncContextGroup } from "../../src/resource/async_context_group.ts";
import { asyncContextManager } from "../../src/resource/context_manager.ts";
import { MisuseError, TimeoutError } from "../../src/resource/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

describe("asyncContextManager", () => {
  test("run enters, gives the value to the body, leaves, and returns what the body returns", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const connection = asyncContextManager(async function* (host: string, port: number) {
        log.push(`connect ${host}:${port}@${w.now}`);
        await sleep(5);
        try {
          yield `${host}:${port}`;
        } finally {
          await sleep(5);
          log.push(`disconnect@${w.now}`);
        }
      });
      const manager = connection("db", 1);
      assert.deepEqual(log, [], "nothing happens before it is entered");
      for (let round = 0; round < 2; round++) {
        assert.equal(await manager.run((address) => Promise.resolve(address.length)), 4);
      }
      assert.deepEqual(log, ["connect db:1@0", "disconnect@10", "connect db:1@10", "disconnect@20"]);
    });
  });

  test("open gives a disposable with the value; disposing it leaves, once", async () => {
    let left = 0;
    const manager = asyncContextManager(async function* () {
      yield undefined;
      await Promise.resolve();
      left++;
    })();
    {
      await using entered = await manager.open();
      assert.ok("value" in entered);
      assert.equal(left, 0);
    }
    assert.equal(left, 1);
    const entered = await manager.open();
    await Promise.all([entered[Symbol.asyncDispose](), entered[Symbol.asyncDispose]()]);
    await entered[Symbol.asyncDispose]();
    assert.equal(left, 2);
  });

  test("arguments and this-less calls are fresh for each manager; two may be entered at once", async () => {
    const open = new Set<number>();
    const manager = asyncContextManager(async function* (id: number) {
      open.add(id);
      yield id;
      open.delete(id);
    });
    const [a, b] = await Promise.all([manager(1).open(), manager(2).open()]);
    assert.deepEqual([a.value, b.value, open.size], [1, 2, 2]);
    await a[Symbol.asyncDispose]();
    assert.deepEqual([...open], [2]);
    await b[Symbol.asyncDispose]();
  });

  test("a failure of the body is thrown into the generator, and by run, by identity; it can't be swallowed", async () => {
    for (const failure of [new Error("own"), "text", null, undefined]) {
      for (const swallows of [true, false]) {
        let heard: unknown = "nothing";
        const manager = asyncContextManager(async function* () {
          try {
            yield 1;
          } catch (error) {
            heard = error;
            if (!swallows) throw error;
          }
        })();
        assert.equal(await failureOf(manager.run(() => Promise.reject(failure))), failure);
        assert.equal(heard, failure);
        const throwing = () => {
          throw failure;
        };
        assert.equal(await failureOf(manager.run(throwing)), failure);
      }
    }
  });

  test("an error that has the body's as cause replaces it; another one joins it", async () => {
    const body = new Error("body");
    for (const error of [new Error("meaning", { cause: body }), new Error("clean-up"), null]) {
      const manager = asyncContextManager(async function* () {
        try {
          yield 1;
        } finally {
          await Promise.resolve();
          // deno-lint-ignore no-unsafe-finally
          throw error;
        }
      })();
      const failure = await failureOf(manager.run(() => Promise.reject(body)));
      if (error?.cause === body) assert.equal(failure, error);
      else {
        assert.ok(failure instanceof AggregateError);
        assert.deepEqual([failure.errors, failure.cause], [[body, error], body]);
        assert.equal(failure.message, "Cannot leave context manager: 2 failures, the first: body");
      }
      // Without a failure of the body, it stands alone.
      assert.equal(await failureOf(manager.run(() => 1)), error);
      const entered = await manager.open();
      assert.equal(await failureOf(entered[Symbol.asyncDispose]()), error);
      assert.equal(await failureOf(entered[Symbol.asyncDispose]()), error);
    }
  });

  test("a failure of entering is thrown by identity, and the body is not called", async () => {
    for (const failure of [new Error("own"), null, undefined]) {
      const manager = asyncContextManager(async function* (): AsyncGenerator<number, void, void> {
        await Promise.reject(failure);
        yield 1;
      })();
      assert.equal(await failureOf(manager.open()), failure);
      assert.equal(await failureOf(manager.run(() => assert.fail("it ran"))), failure);
    }
  });

  test("a generator that does not yield is misuse", async () => {
    const manager = asyncContextManager(async function* (): AsyncGenerator<number, void, void> {})();
    for (const entering of [manager.open(), manager.run(() => assert.fail("it ran"))]) {
      await assert.rejects(entering, {
        name: "MisuseError",
        message: "Cannot open context manager as its generator must yield once: it did not yield",
      });
    }
  });

  test("a generator that yields twice is misuse, and is ended there", async () => {
    const twice = {
      name: "MisuseError",
      message: "Cannot leave context manager as its generator must yield once: it yielded twice",
    };
    const log: string[] = [];
    const manager = asyncContextManager(async function* () {
      try {
        yield 1;
        yield 2;
        log.push("never");
      } finally {
        log.push("ended");
      }
    })();
    await assert.rejects(manager.run(() => 1), twice);
    const entered = await manager.open();
    await assert.rejects(async () => await entered[Symbol.asyncDispose](), twice);
    assert.deepEqual(log, ["ended", "ended"]);

    const body = new Error("body");
    const catching = asyncContextManager(async function* () {
      try {
        yield 1;
      } catch {
        yield 2;
      }
    })();
    const failure = await failureOf(catching.run(() => Promise.reject(body)));
    assert.ok(failure instanceof AggregateError);
    assert.equal(failure.errors[0], body);
    assert.ok(failure.errors[1] instanceof MisuseError);
    assert.equal(failure.errors.length, 2);
  });

  test("a generator that yields again while it is ended is misuse, not a silent success", async () => {
    for (const limited of [true, false]) {
      await world(async () => {
        const manager = asyncContextManager(async function* () {
          try {
            await sleep(10);
            yield 1;
            yield 2;
          } finally {
            yield 3;
          }
        })();
        const failure = await failureOf(limited ? manager.open({ timeoutMs: 5 }) : manager.run(() => 1));
        if (limited) {
          assert.ok(failure instanceof AggregateError);
          assert.ok(failure.errors[0] instanceof TimeoutError);
          assert.ok(failure.errors[1] instanceof MisuseError);
        } else assert.ok(failure instanceof MisuseError);
      });
    }
  });

  test("an abort while entering lets the generator come to its yield, and ends it there", async () => {
    for (const reason of ["stop", null, new Error("own")]) {
      for (const door of ["open", "run"] as const) {
        await world(async (w) => {
          const log: string[] = [];
          const manager = asyncContextManager(async function* () {
            await sleep(10);
            try {
              log.push("entered");
              yield 1;
              log.push("went on");
            } finally {
              await sleep(10);
              log.push("left");
            }
          })();
          const controller = new AbortController();
          const { signal } = controller;
          const entering = failureOf(
            door === "open" ? manager.open({ signal }) : manager.run(() => assert.fail("it ran"), { signal }),
          );
          await sleep(5);
          controller.abort(reason);
          assert.equal(await entering, reason);
          assert.deepEqual([w.now, ...log], [20, "entered", "left"]);
        });
      }
    }
  });

  test("a failure of ending an entering that was given up joins the reason", async () => {
    await world(async () => {
      const failure = new Error("clean-up");
      const manager = asyncContextManager(async function* () {
        await sleep(10);
        try {
          yield 1;
        } finally {
          await Promise.reject(failure);
        }
      })();
      const controller = new AbortController();
      const entering = failureOf(manager.open({ signal: controller.signal }));
      controller.abort("stop");
      const thrown = await entering;
      assert.ok(thrown instanceof AggregateError);
      assert.deepEqual([thrown.errors, thrown.cause], [["stop", failure], "stop"]);
    });
  });

  test("a signal aborted beforehand, or a limit of 0: nothing of the user's is called", async () => {
    await world(async () => {
      let calls = 0;
      const manager = asyncContextManager((...args: number[]) => {
        calls++;
        return (async function* () {
          yield args.length;
        })();
      })(1, 2);
      for (const reason of ["stop", null]) {
        assert.equal(await failureOf(manager.open({ signal: AbortSignal.abort(reason) })), reason);
        assert.equal(
          await failureOf(manager.run(() => calls++, { signal: AbortSignal.abort(reason) })),
          reason,
        );
      }
      const failure = await failureOf(manager.open({ timeoutMs: 0 }));
      assert.ok(failure instanceof TimeoutError);
      assert.equal(calls, 0);
      assert.equal(await manager.run((n) => n, { timeoutMs: 10 }), 2);
      assert.equal(calls, 1);
    });
  });

  test("a limit names what did not end", async () => {
    await world(async (w) => {
      const manager = asyncContextManager(async function* () {
        await sleep(10);
        yield 1;
      })();
      await assert.rejects(manager.open({ timeoutMs: 5 }), {
        name: "TimeoutError",
        message: "Cannot open context manager within 5 ms: its generator had not come to its yield",
        operation: "open context manager",
        limitMs: 5,
      });
      assert.equal(w.now, 10);
      assert.equal(w.timers.length, 0);
    });
  });

  test("a context manager is a context of a group, by its open", async () => {
    await world(async () => {
      const manager = asyncContextManager(async function* (n: number) {
        yield n;
      });
      const group = new AsyncContextGroup({ a: (c) => manager(1).open(c), b: (c) => manager(2).open(c) });
      assert.deepEqual(await group.run((values) => values), { a: 1, b: 2 });
    });
  });

  test("aborted at any point, what was entered is left", async () => {
    let open: number;
    await sweep(async (signal) => {
      open = 0;
      const manager = asyncContextManager(async function* () {
        await sleep(5);
        open++;
        try {
          yield 1;
        } finally {
          await sleep(5);
          open--;
        }
      })();
      await manager.run(() => sleep(5, { signal }), { signal });
      await using _entered = await manager.open({ signal });
      await sleep(5, { signal });
    }, () => assert.equal(open, 0));
  });

  test("wrong arguments are refused", async () => {
    for (const wrong of [null, undefined, 5, {}]) {
      assert.throws(() => asyncContextManager(wrong as never), {
        name: "TypeError",
        message: /^Cannot create context manager as generator must be a function: received /,
      });
    }
    for (const wrong of [undefined, null, 5, {}, Promise.resolve()]) {
      const manager = asyncContextManager((() => wrong) as never)();
      await assert.rejects(manager.open(), {
        name: "TypeError",
        message: /^Cannot open context manager as generator must return an async generator: received /,
      });
    }
    let calls = 0;
    const manager = asyncContextManager(async function* () {
      calls++;
      yield 1;
    })();
    for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(manager.open(options as object), TypeError);
      await assert.rejects(manager.run(() => 1, options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(manager.open({ timeoutMs }), RangeError);
    await assert.rejects(manager.run(5 as unknown as () => void), TypeError);
    assert.equal(calls, 0);
  });
});
