import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { census } from "../../src/kernel/census.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { world } from "../../src/testing/mod.ts";
import { abortedByListening } from "../_foreign_signal.ts";

describe("sleep", () => {
  test("ends after exactly so long, whatever else sleeps", async () => {
    await world(async (w) => {
      const ends: [number, number][] = [];
      await Promise.all([30, 0, 10, 20, 10].map(async (ms) => {
        await sleep(ms);
        ends.push([ms, w.now]);
      }));
      assert.deepEqual(ends, [[0, 0], [10, 10], [10, 10], [20, 20], [30, 30]]);
    });
  });

  test("sleeps longer than any platform timer (TO-04)", async () => {
    await world(async (w) => {
      await sleep(2 ** 40);
      assert.equal(w.now, 2 ** 40);
    });
  });

  test("leaves no timer behind when a foreign signal is aborted by being listened to", async () => {
    for (const says of [true, false]) {
      await world(async (w) => {
        const before = { ...census };
        const sleeping = sleep(100, { signal: abortedByListening(says) });
        assert.deepEqual([w.timers.length, census], [0, before]);
        await assert.rejects(sleeping, (reason) => reason === "foreign");
      });
    }
  });

  test("wakes with the signal's reason, untouched, and leaves neither timer nor listener", async () => {
    for (const reason of ["text", null, 0, new Error("wake up")]) {
      await world(async (w) => {
        const before = { ...census };
        const controller = new AbortController();
        const nap = sleep(1_000, { signal: controller.signal });
        await w.advance(999);
        controller.abort(reason);
        assert.equal(w.timers.length, 0);
        assert.deepEqual(census, before);
        await assert.rejects(nap, (error) => error === reason);
        assert.equal(w.now, 999);
      }, { auto: false });
    }
  });

  test("refuses a signal that is aborted beforehand, even for 0 ms", async () => {
    await world(async (w) => {
      const signal = AbortSignal.abort("no");
      for (const ms of [0, 10, Infinity]) {
        await assert.rejects(sleep(ms, { signal }), (error) => error === "no");
      }
      assert.equal(w.timers.length, 0);
    });
  });

  test("an abort after the end, in the same turn, changes nothing", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const nap = sleep(10, { signal: controller.signal });
      nap.then(() => controller.abort("too late"));
      await nap;
      assert.equal(w.now, 10);
      assert.equal(controller.signal.aborted, true);
    });
  });

  test("Infinity sleeps until it is aborted", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const nap = sleep(Infinity, { signal: controller.signal });
      nap.catch(ignore);
      await w.advance(2 ** 40);
      controller.abort("enough");
      await assert.rejects(nap, (error) => error === "enough");
    }, { auto: false });
  });

  test("rejects wrong lengths and options instead of throwing (TO-04)", async () => {
    for (const ms of [-1, -Infinity, NaN]) {
      await assert.rejects(sleep(ms), {
        name: "RangeError",
        message: `Cannot sleep as ms must be a number of milliseconds >= 0: received ${ms}`,
      });
    }
    for (const ms of ["5", undefined, null, 5n]) {
      await assert.rejects(sleep(ms as unknown as number), TypeError);
    }
    for (const options of [null, 5, { signal: null }, { signal: {} }]) {
      await assert.rejects(sleep(1, options as unknown as { signal: AbortSignal }), TypeError);
    }
  });
});
