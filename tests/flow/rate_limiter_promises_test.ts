import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/mod.ts";
import { RateLimiter, type RateLimiterReservation, RateLimitError } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

const LIMIT = 5;
const INTERVAL = 100;
const ALGORITHMS = ["gcra", "slidingLog", "fixedWindow"] as const;

const weight = fc.integer({ min: 1, max: 3 });
const move = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("acquire" as const), weight, ms: fc.nat(2_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("below" as const), weight }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("try" as const), weight }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("reserve" as const), weight }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("penalize" as const), weight }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pause" as const), ms: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("resize" as const), to: weight }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(90) }) },
);

type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

/** Something that was used, or is going to be: when, and how much there may be at once by the rule it came by. */
interface Use {
  readonly atMs: number;
  readonly weight: number;
  allowed: number;
  cancelled?: boolean;
}

/** In each stretch that ends with a use there is at most what was allowed when that was let in. */
function assertKept(algorithm: (typeof ALGORITHMS)[number], uses: readonly Use[]): void {
  const counted = uses.filter(({ cancelled }) => !cancelled).sort((a, b) => a.atMs - b.atMs);
  const windowOf = (ms: number) => Math.floor(ms / INTERVAL + 1e-9);
  // Of one moment, it doesn't matter which came last: the rule that allows the most is that of all of them.
  let [lacking, lastMs] = [0, 0];
  counted.forEach(({ atMs, weight }, i) => {
    lacking = Math.max(0, lacking - (atMs - lastMs) * LIMIT / INTERVAL) + weight;
    lastMs = atMs;
    const together = counted.filter((other) => Math.abs(other.atMs - atMs) < 1e-6);
    const allowed = Math.max(...together.map(({ allowed }) => allowed));
    const before = counted.slice(0, i + 1);
    const sum = algorithm === "gcra" ? lacking : before.reduce((sum, other) => {
      const isSeen = algorithm === "slidingLog"
        ? other.atMs > atMs - INTERVAL + 1e-6
        : windowOf(other.atMs) === windowOf(atMs);
      return isSeen ? sum + other.weight : sum;
    }, 0);
    assert.ok(
      sum <= allowed + 1e-6,
      `${sum} of ${allowed} at ${atMs} ms: ${JSON.stringify(before.slice(-9))}`,
    );
  });
}

async function play(algorithm: (typeof ALGORITHMS)[number], moves: readonly Move[]): Promise<void> {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: LIMIT, intervalMs: INTERVAL, algorithm });
    const below = new RateLimiter({ limit: 100, intervalMs: INTERVAL, parent: limiter });
    let burst = LIMIT;
    const uses: Use[] = [];
    const held: { reservation: RateLimiterReservation; use: Use }[] = [];
    const controllers: AbortController[] = [];
    const waits: Promise<unknown>[] = [];
    const used = (weight: number, atMs = w.now): Use => {
      const use = { atMs, weight, allowed: burst };
      uses.push(use);
      return use;
    };
    const refused = (error: unknown): void => {
      if (error !== "away" && !(error instanceof RateLimitError) && !(error instanceof RangeError)) {
        throw error;
      }
    };
    for (const one of moves) {
      if (one.do === "acquire" || one.do === "below") {
        const controller = new AbortController();
        controllers.push(controller);
        const { signal } = controller;
        const wait = one.do === "below" ? below.acquire({ weight: one.weight, signal }) : limiter.acquire({
          weight: one.weight,
          signal,
          maxWaitMs: one.ms < 1_000 ? Infinity : one.ms - 1_000,
        });
        waits.push(wait.then(() => void used(one.weight)).catch(refused));
      } else if (one.do === "try") {
        if (one.weight <= burst && limiter.tryAcquire({ weight: one.weight })) used(one.weight);
      } else if (one.do === "reserve") {
        if (one.weight > burst) continue;
        const reservation = limiter.reserve({ weight: one.weight });
        held.push({ reservation, use: used(one.weight, w.now + reservation.waitMs) });
      } else if (one.do === "cancel") {
        const { reservation, use } = held[one.which % Math.max(1, held.length)] ?? {};
        reservation?.cancel();
        if (use !== undefined) use.cancelled = true;
      } else if (one.do === "abort") controllers[one.which % Math.max(1, controllers.length)]?.abort("away");
      else if (one.do === "penalize") limiter.penalize(one.weight);
      else if (one.do === "pause") limiter.pauseFor(one.ms);
      else if (one.do === "resume") limiter.resume();
      else if (one.do === "resize") {
        // Who was let in in this turn, but hears of it in the next, was let in by the old one.
        await w.advance(0);
        burst = one.to === 3 ? LIMIT : one.to;
        limiter.resize(algorithm === "gcra" ? { burst } : { limit: burst });
        // What is promised stands, and others may use what there is now.
        for (const use of uses) if (use.atMs >= w.now) use.allowed = Math.max(use.allowed, burst);
      } else await w.advance(one.ms);
    }
    await w.advance(3_600_000);
    await Promise.all(waits);
    assertKept(algorithm, uses);
    assert.deepEqual([limiter.statistics().waiting, limiter.available(), w.timers.length], [0, burst, 0]);
  }, { auto: false });
}

describe("RateLimiter.reserve", () => {
  for (const algorithm of ["gcra", "slidingLog"] as const) {
    test(`${algorithm}: who waits before it and is held up lets it go first, and comes no closer than the rule allows`, async () => {
      await world(async (w) => {
        const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000, algorithm });
        const uses: [string, number][] = [];
        const use = (name: string) => uses.push([name, w.now]);
        await limiter.acquire();
        const waits = [limiter.acquire().then(() => use("before"))];
        const { waitMs } = limiter.reserve();
        assert.equal(waitMs, 2_000);
        waits.push(sleep(waitMs).then(() => use("reserved")), limiter.acquire().then(() => use("behind")));
        limiter.pauseFor(1_500);
        assert.equal(limiter.waitMs(), 5_000);
        await Promise.all(waits);
        assert.deepEqual(uses, [["reserved", 2_000], ["before", 3_000], ["behind", 4_000]]);
      });
    });
  }

  test("what is promised for later holds up as few as can be", async () => {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
      await limiter.acquire();
      const served: number[] = [];
      const wait = () => limiter.acquire().then(() => served.push(w.now));
      const waits = [wait(), wait(), wait()];
      assert.equal(limiter.reserve().waitMs, 400);
      waits.push(wait());
      limiter.pauseFor(150);
      await Promise.all(waits);
      assert.deepEqual(served, [150, 250, 500, 600]);
    });
  });

  test("one that is heavier than a new burst is counted at its moment, and in the line until then", async () => {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 3, intervalMs: 3_000 });
      await limiter.acquire({ weight: 3 });
      assert.equal(limiter.reserve({ weight: 3 }).waitMs, 3_000);
      limiter.resize({ limit: 3, burst: 2 });
      assert.equal(limiter.statistics().waiting, 1);
      assert.equal(limiter.waitMs({ weight: 2 }), 6_000);
      await w.advance(3_000);
      assert.deepEqual([limiter.statistics().waiting, limiter.statistics().granted], [0, 2]);
      await limiter.acquire({ weight: 2 });
      assert.equal(w.now, 6_000);
    });
  });

  test("one that is cancelled after it went first lets in again who waits", async () => {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000 });
      await limiter.acquire();
      const wait = limiter.acquire();
      const reserved = limiter.reserve();
      limiter.pauseFor(1_500);
      reserved.cancel();
      await wait;
      assert.equal(w.now, 1_500);
    });
  });

  test("ten thousand of them among ten thousand who wait are kept in one pass when all are held up", async () => {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 1, algorithm: "slidingLog" });
      await limiter.acquire();
      const waits: Promise<void>[] = [];
      for (let i = 0; i < 10_000; i++) waits.push(limiter.acquire());
      for (let i = 0; i < 10_000; i++) limiter.reserve();
      limiter.pauseFor(100);
      await Promise.all(waits);
      assert.equal(w.now, 20_099);
    });
  });

  for (const algorithm of ALGORITHMS) {
    test(`${algorithm}: is counted when it is used, whatever pauses, penalties and other rules come in between`, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(move, { minLength: 10, maxLength: 80, size: "max" }),
          (moves) => play(algorithm, moves),
        ),
        { seed: 41, numRuns: 300 },
      );
    });
  }
});
