import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  RateLimiter,
  type RateLimiterAlgorithm,
  type RateLimiterReservation,
  RateLimitError,
} from "../../src/flow/mod.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { world } from "../../src/testing/mod.ts";

const ALGORITHMS = ["gcra", "slidingLog", "slidingCounter", "fixedWindow"] as const;

const weight = fc.integer({ min: 1, max: 5 });
const move = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("acquire" as const), weight, ms: fc.nat(2_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reserve" as const), weight }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("penalize" as const), weight }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pause" as const), ms: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resume" as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(120) }) },
);

type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

/** Plays the same moves, and says what is foreseen after each of them; afresh each time, or as it likes. */
async function play(algorithm: RateLimiterAlgorithm, moves: readonly Move[], afresh: boolean) {
  const foreseen: number[] = [];
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 5, intervalMs: 100, algorithm });
    const controllers: AbortController[] = [];
    const reservations: RateLimiterReservation[] = [];
    for (const one of moves) {
      if (one.do === "acquire") {
        const controller = new AbortController();
        controllers.push(controller);
        limiter.acquire({ weight: one.weight, maxWaitMs: one.ms, signal: controller.signal }).catch(ignore);
      } else if (one.do === "reserve") reservations.push(limiter.reserve({ weight: one.weight }));
      else if (one.do === "abort") controllers[one.which % Math.max(1, controllers.length)]?.abort("away");
      else if (one.do === "cancel") reservations[one.which % Math.max(1, reservations.length)]?.cancel();
      else if (one.do === "penalize") limiter.penalize(one.weight);
      else if (one.do === "pause") limiter.pauseFor(one.ms);
      else if (one.do === "resume") limiter.resume();
      else await w.advance(one.ms);
      // It changes nothing, so all is to be looked at again.
      if (afresh) limiter.resize({});
      foreseen.push(limiter.waitMs({ weight: 1 }), limiter.waitMs({ weight: 4 }));
    }
    limiter.close("over");
  }, { auto: false });
  return foreseen;
}

describe("RateLimiter, looking ahead", () => {
  for (const algorithm of ALGORITHMS) {
    test(`${algorithm}: what it remembers is what it would find out afresh`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(move, { minLength: 20, maxLength: 60, size: "max" }), async (moves) => {
          assert.deepEqual(await play(algorithm, moves, false), await play(algorithm, moves, true));
        }),
        { seed: 31, numRuns: 60 },
      );
    });

    test(`${algorithm}: thousands that come with a limit each don't each look at all before them`, async () => {
      await world(async (w) => {
        const limiter = new RateLimiter({ limit: 10, intervalMs: 10, algorithm });
        const first = limiter.reserve({ weight: 10 });
        // With a promise in between, not even GCRA can tell from a sum.
        for (let i = 0; i < 20; i++) limiter.reserve();
        const calls: Promise<string>[] = [];
        for (let i = 0; i < 30_000; i++) {
          const end = (error: unknown): string => error instanceof RateLimitError ? "refused" : `${error}`;
          calls.push(limiter.acquire({ maxWaitMs: 100_000 }).then(() => "served", end));
        }
        assert.equal(limiter.statistics().waiting, 30_020);
        first.cancel();
        await w.advance(100_000);
        assert.deepEqual([...new Set(await Promise.all(calls))], ["served"]);
      }, { auto: false });
    });
  }

  test("thousands who come and go behind thousands don't each look at all before them", async () => {
    await world(() => {
      const limiter = new RateLimiter({ limit: 5, intervalMs: 100, algorithm: "slidingLog" });
      for (let i = 0; i < 30_000; i++) limiter.acquire({ maxWaitMs: 10_000_000 }).catch(ignore);
      for (let i = 0; i < 30_000; i++) {
        const controller = new AbortController();
        limiter.acquire({ maxWaitMs: 10_000_000, signal: controller.signal }).catch(ignore);
        controller.abort("away");
      }
      assert.equal(limiter.waitMs(), 600_000);
      limiter.close("over");
    });
  });

  test("with a parent, it never foresees more than there may be to wait, whoever leaves a line below", async () => {
    await world(async (w) => {
      const parent = new RateLimiter({ limit: 10, intervalMs: 100, algorithm: "slidingLog" });
      const users = new RateLimiter({ limit: 10, intervalMs: 100, parent });
      assert.ok(parent.tryAcquire({ weight: 10 }));
      const controller = new AbortController();
      const heavy = users.acquire({ key: "a", weight: 10, signal: controller.signal }).catch((error) =>
        error
      );
      const light = users.acquire({ key: "a" });
      assert.equal(parent.waitMs(), 200);
      controller.abort("away");
      assert.equal(await heavy, "away");
      assert.equal(parent.waitMs(), 100);
      await w.advance(100);
      await light;
    }, { auto: false });
  });
});
