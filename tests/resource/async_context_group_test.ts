import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { leaves } from "../../src/kernel/errors.ts";
import { AsyncContextGroup, type Opener } from "../../src/resource/async_context_group.ts";
import { TimeoutError } from "../../src/resource/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

/** Contexts that write down when they are entered and left. */
class Log {
  readonly lines: string[] = [];
  readonly open = new Set<string>();

  /** An opener that takes `openMs`, and `closeMs` to leave. `deaf` ignores its signal. */
  context(name: string, { openMs = 5, closeMs = 5, deaf = false, exitError = undefined as unknown } = {}) {
    return async ({ signal }: { signal: AbortSignal }) => {
      this.lines.push(`entering ${name}`);
      await sleep(openMs, deaf ? {} : { signal });
      this.open.add(name);
      return {
        value: name.toUpperCase(),
        [Symbol.asyncDispose]: async () => {
          await sleep(closeMs);
          this.open.delete(name);
          this.lines.push(`left ${name}`);
          if (exitError !== undefined) throw exitError;
        },
      };
    };
  }
}

describe("AsyncContextGroup", () => {
  test("enters one after another and leaves in reverse, each awaited; gives the values by name", async () => {
    await world(async (w) => {
      const log = new Log();
      const group = new AsyncContextGroup({ a: log.context("a"), b: log.context("b"), c: log.context("c") });
      for (let round = 0; round < 2; round++) {
        const start = w.now;
        {
          await using opened = await group.open();
          assert.deepEqual(opened.values, { a: "A", b: "B", c: "C" });
          assert.equal(w.now - start, 15);
        }
        assert.equal(w.now - start, 30);
        assert.deepEqual(log.lines.splice(0), [
          "entering a",
          "entering b",
          "entering c",
          "left c",
          "left b",
          "left a",
        ]);
      }
    });
  });

  test("parallel: enters all at once, leaves in reverse of the listing all the same", async () => {
    await world(async (w) => {
      const log = new Log();
      const group = new AsyncContextGroup({
        slow: log.context("slow", { openMs: 30 }),
        quick: log.context("quick", { openMs: 1 }),
        middle: log.context("middle", { openMs: 10 }),
      }, { parallel: true });
      const opened = await group.open();
      assert.equal(w.now, 30);
      await Promise.all([opened[Symbol.asyncDispose](), opened[Symbol.asyncDispose]()]);
      assert.deepEqual(log.lines, [
        "entering slow",
        "entering quick",
        "entering middle",
        "left middle",
        "left quick",
        "left slow",
      ]);
    });
  });

  test("a context without a value is its own value; one that gives nothing at all is refused", async () => {
    const plain = { [Symbol.dispose]: ignore };
    const holdsNothing = { value: undefined, [Symbol.dispose]: ignore };
    const group = new AsyncContextGroup({ plain: () => plain, nothing: () => holdsNothing });
    const opened = await group.open();
    assert.equal(opened.values.plain, plain);
    assert.equal(opened.values.nothing, undefined);
    await opened[Symbol.asyncDispose]();
    const empty = await new AsyncContextGroup({}).open();
    assert.deepEqual(empty.values, {});
    await empty[Symbol.asyncDispose]();
    for (const wrong of [null, undefined, 5, "text", {}]) {
      let left = 0;
      const good = { [Symbol.dispose]: () => left++ };
      const broken = new AsyncContextGroup(
        { good: () => good, bad: (() => wrong) as unknown as Opener },
        { name: "stores" },
      );
      const failure = await failureOf(broken.open());
      assert.ok(failure instanceof TypeError, String(failure));
      assert.match(
        failure.message,
        /^Cannot open context group "stores" as context "bad" must have Symbol\.asyncDispose or Symbol\.dispose: received /,
      );
      assert.equal(left, 1);
    }
  });

  test("a failure while entering leaves what was entered, and is thrown by identity", async () => {
    for (const parallel of [false, true]) {
      for (const failure of [new Error("own"), "text", null, undefined]) {
        await world(async () => {
          const log = new Log();
          const group = new AsyncContextGroup({
            a: log.context("a", { openMs: 1 }),
            b: log.context("b", { openMs: 2 }),
            broken: async () => {
              await sleep(4);
              throw failure;
            },
            c: log.context("c", { openMs: 50 }),
          }, { parallel });
          assert.equal(await failureOf(group.open()), failure);
          assert.deepEqual(log.lines.filter((line) => line.startsWith("left")), ["left b", "left a"]);
          assert.equal(log.open.size, 0);
          assert.equal(log.lines.includes("entering c"), parallel);
        });
      }
    }
  });

  test("what is entered in spite of an abort is left too", async () => {
    for (const parallel of [false, true]) {
      await world(async (w) => {
        const log = new Log();
        const group = new AsyncContextGroup({
          a: log.context("a", { deaf: true, openMs: 20 }),
          b: log.context("b", { deaf: true, openMs: 20 }),
        }, { parallel });
        const controller = new AbortController();
        const opening = failureOf(group.open({ signal: controller.signal }));
        await sleep(10);
        controller.abort(null);
        assert.equal(await opening, null);
        assert.equal(w.now, parallel ? 30 : 25);
        assert.deepEqual(
          log.lines,
          parallel ? ["entering a", "entering b", "left b", "left a"] : ["entering a", "left a"],
        );
      });
    }
  });

  test("failures of leaving join the one of entering; none is lost", async () => {
    await world(async () => {
      const log = new Log();
      const [enter, exitA, exitB] = [new Error("enter"), new Error("exit a"), new Error("exit b")];
      const group = new AsyncContextGroup({
        a: log.context("a", { exitError: exitA }),
        b: log.context("b", { exitError: exitB }),
        broken: () => Promise.reject(enter),
      }, { name: "stores" });
      const failure = await failureOf(group.open());
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual([failure.errors, failure.cause], [[enter, exitB, exitA], enter]);
      assert.equal(failure.message, 'Cannot open context group "stores": 3 failures, the first: enter');
    });
  });

  test("parallel: two failures of entering, and one in the clean-up, all come out", async () => {
    await world(async () => {
      const log = new Log();
      const [first, second, exit] = [new Error("first"), new Error("second"), new Error("exit")];
      const group = new AsyncContextGroup({
        a: log.context("a", { openMs: 1, exitError: exit }),
        b: async () => {
          await sleep(2);
          throw first;
        },
        c: async ({ signal }) => {
          try {
            await sleep(50, { signal });
          } catch {
            throw second;
          }
          assert.fail("it was not aborted");
        },
      }, { parallel: true });
      assert.deepEqual(leaves(await failureOf(group.open())), [first, second, exit]);
    });
  });

  test("leaving: every context is left whatever the others do; asked again it gives the same", async () => {
    await world(async () => {
      const log = new Log();
      const [a, c] = [new Error("a"), new Error("c")];
      const group = new AsyncContextGroup({
        a: log.context("a", { exitError: a }),
        b: log.context("b"),
        c: log.context("c", { exitError: c }),
      }, { name: "stores" });
      const opened = await group.open();
      const failure = await failureOf(opened[Symbol.asyncDispose]());
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual([failure.errors, failure.cause], [[c, a], c]);
      assert.equal(failure.message, 'Cannot leave context group "stores": 2 failures, the first: c');
      assert.equal(await failureOf(opened[Symbol.asyncDispose]()), failure);
      assert.deepEqual(log.lines.slice(3), ["left c", "left b", "left a"]);
    });
  });

  test("a context that leaves the group while it is left does not run the others early", async () => {
    const lines: string[] = [];
    const group = new AsyncContextGroup({
      a: () => ({ [Symbol.dispose]: () => void lines.push("left a") }),
      b: () => ({
        [Symbol.asyncDispose]: async () => {
          void opened[Symbol.asyncDispose]();
          await Promise.resolve();
          lines.push("left b");
        },
      }),
    });
    const opened: AsyncDisposable = await group.open();
    await opened[Symbol.asyncDispose]();
    assert.deepEqual(lines, ["left b", "left a"]);
  });

  test("a context whose value can't be read is left", async () => {
    const failure = new Error("no value");
    let left = 0;
    const group = new AsyncContextGroup({
      a: () => ({
        get value(): number {
          throw failure;
        },
        [Symbol.dispose]: () => left++,
      }),
    });
    assert.equal(await failureOf(group.open()), failure);
    assert.equal(left, 1);
  });

  test("a signal aborted beforehand: its reason, and nothing is called; a limit names the group", async () => {
    for (const parallel of [false, true]) {
      await world(async (w) => {
        const log = new Log();
        const group = new AsyncContextGroup(
          { a: log.context("a", { openMs: 10 }), b: log.context("b", { openMs: 10 }) },
          { parallel, name: "stores" },
        );
        for (const reason of [null, "text", new Error("own")]) {
          assert.equal(await failureOf(group.open({ signal: AbortSignal.abort(reason) })), reason);
          assert.equal(
            await failureOf(group.run(() => assert.fail("it ran"), { signal: AbortSignal.abort(reason) })),
            reason,
          );
        }
        assert.ok(await failureOf(group.open({ timeoutMs: 0 })) instanceof TimeoutError);
        assert.deepEqual(log.lines, []);
        const failure = await failureOf(group.open({ timeoutMs: 6 }));
        assert.ok(failure instanceof TimeoutError);
        assert.match(failure.message, /^Cannot open context group "stores" within 6 ms: not all/);
        assert.equal(log.open.size, 0);
        const opened = await group.open({ timeoutMs: 1_000 });
        assert.equal(w.timers.length, 0);
        await opened[Symbol.asyncDispose]();
      });
    }
  });

  test("statistics tell how often it is entered, was, and could not be", async () => {
    await world(async (w) => {
      let fails = false;
      const group = new AsyncContextGroup({
        a: async ({ signal }) => {
          await sleep(10, { signal });
          if (fails) throw "no";
          return { [Symbol.asyncDispose]: () => sleep(5) };
        },
      });
      assert.deepEqual(group.statistics(), { opening: 0, inUse: 0, opened: 0, failed: 0 });
      const [one, run] = [group.open(), group.run(() => sleep(100))];
      const late = group.open({ timeoutMs: 3 }).catch(() => {});
      await sleep(1);
      assert.deepEqual(group.statistics(), { opening: 3, inUse: 0, opened: 0, failed: 0 });
      await late;
      const opened = await one;
      await sleep(1);
      assert.deepEqual(group.statistics(), { opening: 0, inUse: 2, opened: 2, failed: 1 });
      await opened[Symbol.asyncDispose]();
      assert.deepEqual(group.statistics(), { opening: 0, inUse: 1, opened: 2, failed: 1 });
      await run;
      fails = true;
      await assert.rejects(group.run(() => {}), (error) => error === "no");
      await assert.rejects(group.open({ timeoutMs: NaN }), RangeError);
      assert.deepEqual(group.statistics(), { opening: 0, inUse: 0, opened: 2, failed: 2 });
      assert.equal(w.timers.length, 0);
    });
  });

  test("an abort after it is open changes nothing", async () => {
    await world(async () => {
      const log = new Log();
      const controller = new AbortController();
      const opened = await new AsyncContextGroup({ a: log.context("a") }).open({ signal: controller.signal });
      controller.abort("too late");
      await sleep(10);
      assert.equal(log.open.size, 1);
      await opened[Symbol.asyncDispose]();
    });
  });

  test("run gives the values to the body, returns what it returns, and leaves however it ends", async () => {
    await world(async () => {
      const log = new Log();
      const group = new AsyncContextGroup({ a: log.context("a"), b: log.context("b") });
      assert.equal(await group.run(({ a, b }) => Promise.resolve(a + b)), "AB");
      assert.equal(log.open.size, 0);
      for (const failure of [null, undefined, "text", new Error("own")]) {
        assert.equal(await failureOf(group.run(() => Promise.reject(failure))), failure);
        assert.equal(log.open.size, 0);
      }
      const [body, exit] = [new Error("body"), new Error("exit")];
      const failing = new AsyncContextGroup({ a: log.context("a", { exitError: exit }) });
      const failure = await failureOf(failing.run(() => {
        throw body;
      }));
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual([failure.errors, failure.cause], [[body, exit], body]);
      await assert.rejects(group.run(5 as unknown as () => void), TypeError);
    });
  });

  test("aborted at any point, nothing is left half open (sequential and parallel)", async () => {
    for (const parallel of [false, true]) {
      let log: Log;
      let inside: number;
      const { points } = await sweep(async (signal) => {
        log = new Log();
        inside = 0;
        const group = new AsyncContextGroup({
          a: log.context("a"),
          deaf: log.context("deaf", { deaf: true }),
          b: log.context("b"),
        }, { parallel });
        await using opened = await group.open({ signal, timeoutMs: 1_000 });
        assert.equal(log.open.size, 3);
        assert.deepEqual(Object.keys(opened.values), ["a", "deaf", "b"]);
        inside++;
        await sleep(5, { signal });
      }, () => {
        assert.equal(log.open.size, 0);
        const count = (what: string): number => log.lines.filter((line) => line.startsWith(what)).length;
        assert.ok(count("left") <= count("entering"));
        assert.ok(inside === 0 || count("left") === 3);
      });
      assert.ok(points > 10);
    }
  });

  test("wrong arguments throw from the constructor, and reject from open", async () => {
    const { signal } = new AbortController();
    const map = new Map([["a", () => {}]]);
    for (const openers of [null, undefined, 5, "text", [], map, map.entries(), Promise.resolve({}), signal]) {
      assert.throws(() => new AsyncContextGroup(openers as unknown as Record<string, Opener>), {
        name: "TypeError",
        message: /^Cannot create context group as openers must be an object: received /,
      });
    }
    assert.throws(() => new AsyncContextGroup({ a: 5 as unknown as Opener }, { name: "stores" }), {
      name: "TypeError",
      message: 'Cannot create context group "stores" as a must be a function: received 5',
    });
    for (const options of [null, 5, { name: 5 }, { parallel: "yes" }]) {
      assert.throws(() => new AsyncContextGroup({}, options as object), TypeError);
    }
    const group = new AsyncContextGroup({ a: () => assert.fail("it was entered") });
    for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(group.open(options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(group.open({ timeoutMs }), RangeError);
  });
});
