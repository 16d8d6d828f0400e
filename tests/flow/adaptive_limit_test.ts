import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import {
  type AdaptiveLimit,
  aimd,
  Bulkhead,
  BulkheadFullError,
  gradient2,
  type LimitEstimator,
  type LimitSample,
} from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** Feeds an estimator with calls one after another, as many under way as its limit allows unless said otherwise. */
function feed(limit: AdaptiveLimit) {
  const estimator: LimitEstimator = limit.start();
  let nowMs = 0;
  return {
    get limit() {
      return estimator.limit;
    },
    give(count: number, runMs: number, options: Partial<LimitSample> = {}): number {
      for (let i = 0; i < count; i++) {
        nowMs += runMs;
        estimator.record({
          runMs,
          inFlight: Math.floor(estimator.limit),
          overloaded: false,
          startedMs: nowMs - runMs,
          endedMs: nowMs,
          ...options,
        });
      }
      return estimator.limit;
    },
  };
}

/** A backend that serves so many at once in `baseMs`; more than that, the slower. */
function backend(room: number, baseMs: number) {
  const state = { room, baseMs, running: 0 };
  return {
    state,
    async call({ signal }: { signal: AbortSignal }): Promise<void> {
      state.running++;
      try {
        await sleep(state.baseMs * Math.max(1, state.running / state.room), { signal });
      } finally {
        state.running--;
      }
    },
  };
}

/** Clients that call again and again for so long. */
async function clients(
  count: number,
  bulkhead: Bulkhead,
  call: Parameters<Bulkhead["run"]>[0],
  forMs: number,
) {
  const over = new AbortController();
  await Promise.all([
    sleep(forMs).then(() => over.abort()),
    ...Array.from({ length: count }, async () => {
      while (!over.signal.aborted) {
        try {
          await bulkhead.run(call);
        } catch (error) {
          if (!(error instanceof BulkheadFullError)) throw error;
          await sleep(5);
        }
      }
    }),
  ]);
}

describe("aimd", () => {
  test("adds one for as many good calls as may run, and only when half the limit is in use", () => {
    const fed = feed(aimd({ initial: 10, max: 12 }));
    assert.ok(fed.give(10, 5) > 10.9 && fed.limit < 11);
    const before = fed.limit;
    fed.give(100, 5, { inFlight: 5 });
    assert.equal(fed.limit, before);
    fed.give(1, 5, { inFlight: 6 });
    assert.ok(fed.limit > before);
    assert.equal(fed.give(1_000, 5), 12);
  });

  test("decreases once for all that were under way together, and never below its minimum", () => {
    const fed = feed(aimd({ initial: 100, min: 50, decrease: 0.8 }));
    const startedMs = 0;
    for (let i = 0; i < 100; i++) fed.give(1, 5, { overloaded: true, startedMs });
    assert.equal(fed.limit, 80);
    fed.give(1, 5, { overloaded: true });
    assert.equal(fed.limit, 64);
    fed.give(20, 5, { overloaded: true });
    assert.equal(fed.limit, 50);
  });

  test("takes calls for overload that run for too long", () => {
    const fed = feed(aimd({ initial: 10, latencyMs: 50 }));
    fed.give(1, 50);
    assert.ok(fed.limit > 10);
    fed.give(1, 51);
    assert.ok(fed.limit < 10);
  });

  test("in a bulkhead: falls within a few round trips when latency doubles, and recovers (BH-04)", async () => {
    await world(async () => {
      const { state, call } = backend(1_000, 20);
      const bulkhead = new Bulkhead({ limit: aimd({ initial: 40, min: 5, latencyMs: 30 }), maxQueue: 100 });
      await clients(60, bulkhead, call, 100);
      assert.ok(bulkhead.limit >= 40);
      const before = bulkhead.limit;
      state.baseMs = 40;
      await clients(60, bulkhead, call, 200);
      assert.ok(bulkhead.limit < before * 0.8, `${bulkhead.limit} of ${before}`);
      await clients(60, bulkhead, call, 10_000);
      assert.equal(bulkhead.limit, 5);
      state.baseMs = 20;
      await clients(60, bulkhead, call, 1_000);
      assert.ok(bulkhead.limit > 30, `${bulkhead.limit}`);
    });
  });

  test("every structure finds its own", async () => {
    await world(async () => {
      const limit = aimd({ initial: 4, latencyMs: 5 });
      const [slow, fast] = [new Bulkhead({ limit }), new Bulkhead({ limit })];
      await slow.run(() => sleep(10));
      await fast.run(() => sleep(1));
      assert.deepEqual([slow.limit, fast.limit], [3, 4]);
    });
  });

  test("refuses bad options", () => {
    assert.throws(() => aimd({ min: 0 }), RangeError);
    assert.throws(() => aimd({ min: 5, max: 4 }), RangeError);
    assert.throws(() => aimd({ initial: 300 }), RangeError);
    assert.throws(() => aimd({ decrease: 1 }), {
      name: "RangeError",
      message: "Cannot create aimd as decrease must be above 0 and below 1: received 1",
    });
    assert.throws(() => aimd({ decrease: "0.5" as never }), TypeError);
    assert.throws(() => aimd({ increase: -1 }), RangeError);
    assert.throws(() => aimd({ latencyMs: NaN }), RangeError);
    assert.throws(() => aimd(null as never), TypeError);
    assert.equal(aimd({ max: 5 }).start().limit, 5);
    assert.equal(aimd({ min: 50 }).start().limit, 50);
  });
});

describe("gradient2", () => {
  const options = { initial: 20, windowMs: 100, minSamples: 10 };

  test("grows while latency stays what it was, and only when half the limit is in use", () => {
    const fed = feed(gradient2(options));
    for (let i = 0; i < 5; i++) fed.give(20, 10);
    assert.ok(fed.limit > 22, `${fed.limit}`);
    const before = fed.limit;
    fed.give(200, 10, { inFlight: Math.floor(before / 2) - 1 });
    assert.equal(fed.limit, before);
    fed.give(20_000, 10);
    assert.equal(fed.limit, 200);
  });

  test("falls within a few windows when latency doubles, also a small limit, and recovers (BH-04)", () => {
    for (const [initial, min] of [[100, 1], [10, 4], [4, 1]] as const) {
      const fed = feed(gradient2({ ...options, initial, min, max: initial }));
      fed.give(300, 10);
      const before = fed.limit;
      assert.equal(before, initial);
      fed.give(50, 20); // 5 windows
      assert.ok(fed.limit < before * 0.85, `${fed.limit} of ${before}`);
      fed.give(200, 40);
      assert.ok(fed.limit >= min);
      fed.give(3_000, 10);
      assert.equal(fed.limit, before);
    }
  });

  test("never falls below its minimum, however bad it gets", () => {
    const fed = feed(gradient2({ ...options, min: 7 }));
    fed.give(100, 10);
    for (let ms = 20; ms < 100_000; ms *= 2) fed.give(30, ms);
    assert.equal(fed.limit, 7);
  });

  test("a window lasts twice the latency at least, and has its calls", () => {
    const fed = feed(gradient2({ initial: 20, windowMs: 0, minSamples: 3, smoothing: 0.5, headroom: 2 }));
    fed.give(2, 10);
    assert.equal(fed.limit, 20);
    fed.give(1, 10);
    assert.equal(fed.limit, 21);
    const together = { startedMs: 30, endedMs: 90 };
    for (let i = 0; i < 9; i++) fed.give(1, 60, together);
    assert.equal(fed.limit, 21, "60 ms is less than twice 60");
  });

  test("overload counts, also when all calls that ended well were fast", () => {
    const fed = feed(gradient2(options));
    fed.give(100, 10);
    const before = fed.limit;
    fed.give(30, 10, { overloaded: true });
    assert.ok(fed.limit < before * 0.8, `${fed.limit} of ${before}`);
    const half = feed(gradient2(options));
    half.give(100, 10);
    const start = half.limit;
    for (let i = 0; i < 30; i++) half.give(1, 10, { overloaded: i % 2 === 0 });
    assert.ok(half.limit < start, `${half.limit} of ${start}`);
  });

  test("calls that take no time at all don't make it fall", () => {
    const fed = feed(gradient2({ ...options, windowMs: 0 }));
    fed.give(100, 0);
    assert.ok(fed.limit > 20);
  });

  test("in a bulkhead: finds about how much the backend can take, and follows it", async () => {
    await world(async (w) => {
      const { state, call } = backend(30, 20);
      const bulkhead = new Bulkhead({
        limit: gradient2({ initial: 10, min: 2, max: 500 }),
        maxQueue: 1_000,
      });
      await clients(300, bulkhead, call, 20_000);
      const found = bulkhead.limit;
      assert.ok(found >= 20 && found <= 120, `${found}`);
      state.room = 10;
      await clients(300, bulkhead, call, 2_000);
      assert.ok(bulkhead.limit < found * 0.7, `${bulkhead.limit} of ${found}`);
      assert.equal(w.timers.length, 0);
    }, { maxSteps: 10_000_000 });
  });

  test("refuses bad options", () => {
    assert.throws(() => gradient2({ tolerance: 0.9 }), RangeError);
    assert.throws(() => gradient2({ smoothing: 0 }), RangeError);
    assert.throws(() => gradient2({ headroom: -1 }), RangeError);
    assert.throws(() => gradient2({ longWindows: 0 }), RangeError);
    assert.throws(() => gradient2({ windowMs: NaN }), RangeError);
    assert.throws(() => gradient2({ minSamples: 1.5 }), RangeError);
    assert.throws(() => gradient2({ initial: "20" as never }), TypeError);
    assert.throws(() => gradient2(5 as never), TypeError);
  });
});
