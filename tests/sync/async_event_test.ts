import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { AsyncEvent } from "../../src/sync/async_event.ts";
import { TimeoutError } from "../../src/sync/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("AsyncEvent with manual reset", () => {
  test("lets all who wait and all who come later through, in order, until it is reset", async () => {
    await world(async (w) => {
      const event = new AsyncEvent();
      const order: number[] = [];
      const waits = [0, 1, 2].map((i) => event.wait().then(() => order.push(i)));
      assert.equal(event.isSet, false);
      event.set();
      event.set();
      assert.equal(event.isSet, true);
      await Promise.all(waits);
      assert.deepEqual(order, [0, 1, 2]);
      await event.wait();
      event.reset();
      event.reset();
      assert.equal(event.isSet, false);
      const late = event.wait();
      await w.idle();
      assert.equal(event.statistics().waiting, 1);
      event.set();
      await late;
    });
  });

  test("a reset right after the set keeps nobody back who was let through", async () => {
    await world(async () => {
      const event = new AsyncEvent();
      const wait = event.wait();
      event.set();
      event.reset();
      await wait;
      assert.equal(event.isSet, false);
    });
  });
});

describe("AsyncEvent with auto reset", () => {
  test("each set lets exactly one through: who waits longest, or else the next to come", async () => {
    await world(async (w) => {
      const event = new AsyncEvent({ autoReset: true });
      const order: number[] = [];
      const waits = [0, 1, 2].map((i) => event.wait().then(() => order.push(i)));
      event.set();
      await w.idle();
      assert.deepEqual(order, [0]);
      assert.equal(event.isSet, false);
      event.set();
      event.set();
      await Promise.all(waits);
      assert.deepEqual(order, [0, 1, 2]);
      event.set();
      event.set(); // adds nothing
      assert.equal(event.isSet, true);
      await event.wait();
      assert.equal(event.isSet, false);
      await assert.rejects(event.wait({ timeoutMs: 0 }), TimeoutError);
      event.set();
      event.reset();
      await assert.rejects(event.wait({ timeoutMs: 0 }), TimeoutError);
    });
  });

  test("a waiter that has given up, or is about to, consumes no set", async () => {
    await world(async () => {
      const event = new AsyncEvent({ autoReset: true });
      const controller = new AbortController();
      const gone = event.wait({ signal: controller.signal });
      const next = event.wait();
      controller.abort("stop");
      event.set();
      await assert.rejects(gone, (error) => error === "stop");
      await next;

      const late = new AbortController();
      late.signal.addEventListener("abort", () => event.set(), { once: true }); // before the queue hears of it
      const about = event.wait({ signal: late.signal });
      late.abort("stop");
      await assert.rejects(about, (error) => error === "stop");
      assert.equal(event.isSet, true);
      await event.wait();
    });
  });

  test("abort after the set, in the same turn, is too late: the wait has ended, once", async () => {
    await world(async () => {
      const event = new AsyncEvent({ autoReset: true });
      const controller = new AbortController();
      const wait = event.wait({ signal: controller.signal });
      event.set();
      controller.abort("too late");
      await wait;
      assert.equal(event.isSet, false);
      assert.equal(event.statistics().aborted, 0);
    });
  });

  test("aborted at any point, no set is lost or doubled", async () => {
    let event: AsyncEvent;
    let through: number;
    await sweep(async (signal) => {
      event = new AsyncEvent({ autoReset: true });
      through = 0;
      const waits = [event.wait({ signal }), event.wait({ signal, timeoutMs: 50 })];
      const settled = Promise.allSettled(waits.map((wait) => wait.then(() => through++)));
      await sleep(10);
      event.set();
      await sleep(10);
      event.set();
      await settled;
      await Promise.all(waits);
    }, () => {
      assert.equal(through + Number(event.isSet), 2 - Number(through === 0));
      assert.equal(event.statistics().waiting, 0);
    });
  });
});

describe("AsyncEvent.wait", () => {
  test("rejects with the signal's reason, whatever it is; one aborted beforehand comes first", async () => {
    for (const reason of [null, "text", 0, new Error("own")]) {
      await world(async () => {
        const event = new AsyncEvent({ autoReset: true });
        const controller = new AbortController();
        const wait = event.wait({ signal: controller.signal });
        controller.abort(reason);
        await assert.rejects(wait, (error) => error === reason);
        event.set();
        await assert.rejects(event.wait({ signal: controller.signal }), (error) => error === reason);
        assert.equal(event.isSet, true);
        const { granted, aborted } = event.statistics();
        assert.deepEqual([granted, aborted], [0, 2]);
      });
    }
  });

  test("a limit says what was waited for; a set clears its timer (LK-12)", async () => {
    await world(async (w) => {
      const event = new AsyncEvent({ name: "ready" });
      await assert.rejects(event.wait({ timeoutMs: 20 }), {
        name: "TimeoutError",
        message: 'Cannot wait for event "ready" within 20 ms: it is not set, 1 waiting',
        operation: 'wait for event "ready"',
        limitMs: 20,
      });
      assert.equal(w.now, 20);
      const wait = event.wait({ timeoutMs: 1_000 });
      event.set();
      await wait;
      await event.wait({ timeoutMs: 0 });
      assert.equal(w.timers.length, 0);
      assert.deepEqual(event.statistics(), { isSet: true, waiting: 0, granted: 2, aborted: 0, timedOut: 1 });
      assert.ok(Object.isFrozen(event.statistics()));
    });
  });

  test("wrong options reject from wait, and throw from the constructor", async () => {
    const event = new AsyncEvent();
    for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(event.wait(options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(event.wait({ timeoutMs }), RangeError);
    for (const options of [null, 5, { name: 5 }, { autoReset: 1 }]) {
      assert.throws(() => new AsyncEvent(options as object), TypeError);
    }
    assert.throws(() => new AsyncEvent({ autoReset: "yes" as unknown as boolean }), {
      message: 'Cannot create event as autoReset must be a boolean: received "yes"',
    });
  });

  test("tells an observer who waits and is let through", async () => {
    const records: ObserverRecord[] = [];
    using _observer = observe({ record: (record) => void records.push(record) });
    const event = new AsyncEvent({ name: "ready" });
    const wait = event.wait();
    event.set();
    await wait;
    assert.deepEqual(records.map(({ kind, structure, name }) => [kind, structure, name]), [
      ["wait", "event", "ready"],
      ["grant", "event", "ready"],
    ]);
  });
});
