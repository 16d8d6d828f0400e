import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { Limiter, type LimiterOptions, OverloadError, QueueFullError } from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** Does `act` once, in the middle of the first record of a kind that a limiter tells. */
function once(kind: string, act: (record: ObserverRecord) => void): Disposable {
  let done = false;
  return observe({
    record: (record) => {
      if (done || record.kind !== kind || record.structure !== "limiter") return;
      done = true;
      act(record);
    },
  });
}

/** A limiter whose line has stood for long enough, so that its head is dropped when the slot comes free. */
async function standing(options?: Partial<LimiterOptions>) {
  const limiter = new Limiter({ limit: 2, codel: { targetMs: 5, intervalMs: 0 }, ...options });
  const lease = await limiter.acquire({ weight: 2 });
  const controller = new AbortController();
  const first = limiter.run(() => "first", { weight: 2, signal: controller.signal }).catch((error) => error);
  const others = [1, 2].map(() => limiter.run(() => "other").catch((error) => error));
  await sleep(10);
  return { limiter, lease, controller, first, others };
}

describe("Limiter, in the middle of which its observers act", () => {
  test("keeps its count when the call that is dropped is aborted at that moment", async () => {
    await world(async () => {
      const { limiter, lease, controller, first, others } = await standing();
      using _acting = once("drop", () => controller.abort("late"));
      lease.release();
      assert.ok(await first instanceof OverloadError, "it had been dropped before");
      await Promise.all(others);
      await limiter.onIdle();
      const { inUse, waiting, dropped } = limiter.statistics();
      assert.deepEqual({ inUse, waiting, dropped }, { inUse: 0, waiting: 0, dropped: 2 });
    });
  });

  test("keeps its count when the line is cleared while a call is dropped", async () => {
    await world(async () => {
      const { limiter, lease, first, others } = await standing();
      using _acting = once("drop", () => limiter.clear("cleared"));
      lease.release();
      assert.ok(await first instanceof OverloadError);
      assert.deepEqual(await Promise.all(others), ["cleared", "cleared"]);
      await limiter.onIdle();
      assert.equal(limiter.statistics().inUse, 0);
      assert.equal(await limiter.run(() => "next", { weight: 2 }), "next");
    });
  });

  test("never lets more wait than may, also when somebody comes while another is sent away", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 1, maxQueue: 1, overflow: "dropOldest" });
      const lease = limiter.tryAcquire()!;
      const calls = [limiter.run(() => "a").catch((error) => error)];
      using _acting = once("drop", () => calls.push(limiter.run(() => "meanwhile").catch((error) => error)));
      calls.push(limiter.run(() => "b").catch((error) => error));
      assert.equal(limiter.statistics().waiting, 1);
      lease.release();
      const ends = await Promise.all(calls);
      assert.deepEqual(ends.filter((end) => end instanceof QueueFullError).length, 2);
    });
  });

  test("takes no slot that it lost while it looked for those who come first", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 2 });
      const lease = await limiter.acquire();
      const controller = new AbortController();
      let taken: boolean | undefined;
      // Before the limiter's own listener: it still counts the heavy call as waiting.
      controller.signal.addEventListener("abort", () => taken = limiter.tryAcquire() !== undefined);
      const heavy = limiter.run(() => "heavy", { weight: 2, signal: controller.signal }).catch((error) =>
        error
      );
      using _acting = once("abort", () => limiter.pause());
      controller.abort("away");
      assert.deepEqual([taken, limiter.statistics().inUse], [false, 1]);
      assert.equal(await heavy, "away");
      lease.release();
    });
  });

  test("knows its calls apart when others come while one joins the line", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 1 });
      const lease = limiter.tryAcquire()!;
      const begun: string[] = [];
      const call = (id: string, priority?: number): Promise<void> =>
        limiter.run(() => void begun.push(id), priority === undefined ? undefined : { priority });
      const calls: Promise<void>[] = [];
      using _acting = once("wait", () => calls.push(call("meanwhile", 0), call("meanwhile")));
      const meant = call("meant", 0);
      assert.equal(limiter.setPriority(meant, 1), true);
      lease.release();
      await Promise.all([...calls, meant]);
      assert.deepEqual(begun, ["meant", "meanwhile", "meanwhile"]);
    });
  });

  test("can be closed from there, for whatever somebody waits", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 1 });
      const closings: Promise<void>[] = [];
      using _acting = observe({ record: ({ kind }) => kind === "wait" && closings.push(limiter.close()) });
      const calls = [limiter.run(() => sleep(5)), limiter.run(() => "second")];
      assert.deepEqual(await Promise.all(calls), [undefined, "second"]);
      await Promise.all(closings);
      assert.ok(closings.length > 0 && closings.length < 5, `${closings.length}`);
      assert.equal(new Set([...closings, limiter.close()]).size, 1);
    });
  });
});
