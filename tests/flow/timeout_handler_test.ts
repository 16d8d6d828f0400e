import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { retry } from "../../src/flow/retry.ts";
import { timeoutHandler } from "../../src/flow/timeout_handler.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

describe("timeoutHandler", () => {
  test("refuses bad arguments where it is made", async () => {
    for (const ms of [-1, NaN]) assert.throws(() => timeoutHandler(ms), RangeError);
    for (const ms of [undefined, null, "5"]) assert.throws(() => timeoutHandler(ms as never), TypeError);
    assert.throws(() => timeoutHandler(5, null as never), TypeError);
    assert.throws(() => timeoutHandler(5, { message: 5 as never }), TypeError);
    assert.throws(() => timeoutHandler(5, { operation: 5 as never }), TypeError);
    await assert.rejects(timeoutHandler(5).run(5 as never), TypeError);
    await assert.rejects(timeoutHandler(5).run(() => 1, { timeoutMs: -1 }), RangeError);
    await assert.rejects(timeoutHandler(() => NaN).run(() => assert.fail("ran")), RangeError);
  });

  test("limits each call, with the message or the operation it was given", async () => {
    await world(async (w) => {
      const limited = timeoutHandler(50, { operation: "report" });
      assert.equal(await limited.run(() => sleep(49).then(() => "done")), "done");
      const error = await limited.run(() => sleep(500)).catch((error) => error);
      assert.ok(error instanceof TimeoutError);
      assert.deepEqual([error.message, error.operation, error.limitMs], [
        "Cannot finish report within 50 ms: it was still running",
        "report",
        50,
      ]);
      assert.equal(w.now, 99);
      await assert.rejects(timeoutHandler(0, { message: "too late" }).run(() => assert.fail("ran")), {
        message: "too late",
      });
      await w.advance(500);
    });
  });

  test("may ask for each call how long it may take", async () => {
    await world(async (w) => {
      let ms = 10;
      const limited = timeoutHandler(() => ms);
      await assert.rejects(limited.run(() => sleep(100)), { limitMs: 10 });
      ms = Infinity;
      await limited.run(() => sleep(100));
      assert.equal(w.now, 110);
    });
  });

  test("the caller's signal and limit hold as well, the shorter limit first", async () => {
    await world(async (w) => {
      const limited = timeoutHandler(50);
      await assert.rejects(limited.run(() => sleep(100), { timeoutMs: 20 }), { limitMs: 20 });
      await assert.rejects(limited.run(() => sleep(100), { timeoutMs: 500 }), { limitMs: 50 });
      const controller = new AbortController();
      const call = limited.run(({ signal }) => sleep(100, { signal }), { signal: controller.signal });
      controller.abort("stop");
      assert.equal(await call.catch((error) => error), "stop");
      await w.advance(100);
    });
  });

  test("inside of a retry it limits each attempt, outside all of them", async () => {
    await world(async (w) => {
      let calls = 0;
      const slow = () => (calls++, sleep(1_000));
      const quick = retry({ baseMs: 10, jitter: "none", kind: "constant" });
      await assert.rejects(quick.run(() => timeoutHandler(100).run(slow)), TimeoutError);
      assert.deepEqual([calls, w.now], [3, 320]);
      const outside = timeoutHandler(100).run(({ signal }) => quick.run(slow, { signal }));
      await assert.rejects(outside, { limitMs: 100 });
      assert.deepEqual([calls, w.now], [4, 420]);
      await w.advance(1_000);
    });
  });

  test("counts how calls ended, and tells the observer of those that reached the limit", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (record) => void records.push(record) });
      let ms = 10;
      for (const limit of [timeoutHandler(10, { operation: "report" }), timeoutHandler(() => ms)]) {
        const aborting = new AbortController();
        const calls = Promise.allSettled([
          limit.run(() => "at once"),
          limit.run(() => sleep(5)),
          limit.run(() => Promise.reject("failed")),
          limit.run(() => {
            throw new TimeoutError("its own", { operation: "else", limitMs: 1 });
          }),
          limit.run(() => sleep(50)),
          limit.run(() => sleep(50), { timeoutMs: 0 }),
          limit.run(() => sleep(50), { signal: aborting.signal }),
          limit.run(() => assert.fail("ran"), { signal: AbortSignal.abort("early") }),
        ]);
        await w.idle();
        assert.equal(limit.statistics().running, 3);
        aborting.abort("away");
        await calls;
        await w.advance(100);
        const ended = { running: 0, calls: 7, succeeded: 2, failed: 2, aborted: 2, timedOut: 2 };
        assert.deepEqual(limit.statistics(), ended);
        ms = NaN;
        await limit.run(() => 1).catch(() => {});
        assert.equal(limit.statistics().running, 0);
        assert.ok(Object.isFrozen(limit.statistics()));
        ms = 10;
      }
      const told = records.filter(({ kind }) => kind === "timeout");
      assert.deepEqual(told.map(({ structure, name }) => [structure, name]), [
        ["timeout", "report"],
        ["timeout", "report"],
        ["timeout", undefined],
        ["timeout", undefined],
      ]);
    });
  });

  test("names what it limits by the function, unless told what is being done", async () => {
    await world(async (w) => {
      const limit = timeoutHandler(10);
      const fetchUser = limit(async function fetchUser() {
        await sleep(50);
      });
      const save = limit(async function save() {
        await sleep(50);
      });
      const told = timeoutHandler(10, { operation: "report" })(fetchUser);
      const messages = await Promise.all(
        [fetchUser(), save(), limit.run(() => sleep(50)), told()].map((call) =>
          call.then(() => "done", (error: TimeoutError) => [error.operation, error.message])
        ),
      );
      assert.deepEqual(messages, [
        ["fetchUser", "Cannot finish fetchUser within 10 ms: it was still running"],
        ["save", "Cannot finish save within 10 ms: it was still running"],
        ["operation", "Cannot finish operation within 10 ms: it was still running"],
        ["report", "Cannot finish report within 10 ms: it was still running"],
      ]);
      assert.deepEqual(limit.statistics().timedOut, 4);
      await w.advance(50);
    });
  });

  test("a name that is no string names nothing: the call runs as any other", async () => {
    await world(async (w) => {
      const limit = timeoutHandler(10);
      const fn = limit(Object.defineProperty(() => sleep(50), "name", { value: 5 }));
      await assert.rejects(fn(), { message: "Cannot finish operation within 10 ms: it was still running" });
      assert.deepEqual([limit.statistics().running, limit.statistics().timedOut], [0, 1]);
      await w.advance(50);
    });
  });
});
