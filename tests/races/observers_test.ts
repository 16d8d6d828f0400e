import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/mod.ts";
import {
  Limiter,
  type LimiterOptions,
  RateLimiter,
  type RateLimiterAlgorithm,
  type RateLimiterReservation,
  RateLimitError,
} from "../../src/flow/mod.ts";
import { observe } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** Numbers that decide what is done, one after the other, from the top and in the middle of records. */
const choices = fc.array(fc.nat(1_000_000), { minLength: 300, maxLength: 900, size: "max" });

/** Hands them out; 0 when there are no more. */
function chooser(numbers: readonly number[]) {
  let at = 0;
  return {
    get left(): boolean {
      return at < numbers.length;
    },
    choose: (count: number): number => (numbers[at++] ?? 0) % count,
  };
}

/** Acts from the top as long as there are choices, and sometimes in the middle of a record, not too deeply. */
async function play(
  numbers: readonly number[],
  act: (choose: (count: number) => number) => void,
  advance: (ms: number) => Promise<void>,
): Promise<void> {
  const chosen = chooser(numbers);
  // What an observer throws disturbs nothing, so it is kept until the end.
  const failures: unknown[] = [];
  let depth = 0;
  using _acting = observe({
    record: () => {
      if (depth > 2 || !chosen.left || chosen.choose(5) > 0) return;
      depth++;
      try {
        act(chosen.choose);
      } catch (error) {
        failures.push(error);
      }
      depth--;
    },
  });
  while (chosen.left) {
    act(chosen.choose);
    if (chosen.choose(3) === 0) await advance(chosen.choose(40));
  }
  assert.deepEqual(failures, []);
}

/** Runs what may be refused. */
function may(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof RateLimitError || error instanceof RangeError)) throw error;
  }
}

const limiters: Record<string, Partial<LimiterOptions>> = {
  "a limiter": {},
  "a limiter with ageing": { ageingMs: 2 },
  "a limiter that drops the oldest": { maxQueue: 3, overflow: "dropOldest" },
  "a limiter that drops the lowest": { maxQueue: 3, overflow: "dropLowest" },
  "a limiter that blocks": { maxQueue: 2, overflow: "block" },
  "a limiter whose line must not stand": { codel: { targetMs: 3, intervalMs: 10 } },
};

describe("Whatever observers do in the middle", () => {
  for (const [name, options] of Object.entries(limiters)) {
    test(`${name} counts right, and every call settles`, async () => {
      await fc.assert(
        fc.asyncProperty(choices, (numbers) =>
          world(async (w) => {
            const limiter = new Limiter({ limit: 3, ...options });
            const controllers: AbortController[] = [];
            const calls: Promise<unknown>[] = [];
            let running = 0;
            const act = (choose: (count: number) => number): void => {
              const what = choose(14);
              if (what === 0) limiter.pause();
              else if (what < 3) limiter.resume();
              else if (what === 3) limiter.resize(choose(5));
              else if (what === 4 && choose(4) === 0) limiter.clear();
              else if (what < 7) controllers[choose(Math.max(1, controllers.length))]?.abort("away");
              else if (what === 7) limiter.tryAcquire()?.release();
              else {
                const controller = new AbortController();
                controllers.push(controller);
                const weight = 1 + choose(2);
                const turn = { weight, priority: choose(3), key: choose(3), signal: controller.signal };
                const work = async (): Promise<void> => {
                  running += weight;
                  await sleep(choose(20));
                  running -= weight;
                };
                const call: Promise<unknown> = what === 8
                  ? limiter.map([1, 2], work, turn)
                  : limiter.run(work, turn);
                calls.push(call.catch(() => {}));
              }
              const { inUse, waiting, abandoned } = limiter.statistics();
              assert.ok(inUse >= running && waiting >= 0 && abandoned >= 0);
            };
            await play(numbers, act, w.advance);
            limiter.resize(4);
            limiter.resume();
            await w.advance(10_000);
            await Promise.all(calls);
            const { inUse, waiting, abandoned } = limiter.statistics();
            assert.deepEqual({ inUse, waiting, abandoned, running }, {
              inUse: 0,
              waiting: 0,
              abandoned: 0,
              running: 0,
            });
          }, { auto: false })),
        { seed: 41, numRuns: 100 },
      );
    });
  }

  for (const algorithm of ["gcra", "slidingLog", "slidingCounter", "fixedWindow"] as const) {
    test(`rate limiters by ${algorithm}, one above the other, serve everybody`, async () => {
      await fc.assert(
        fc.asyncProperty(
          choices,
          (numbers) => world((w) => playRates(numbers, algorithm, w), { auto: false }),
        ),
        { seed: 42, numRuns: 100 },
      );
    });
  }
});

async function playRates(
  numbers: readonly number[],
  algorithm: RateLimiterAlgorithm,
  w: { advance(ms: number): Promise<void> },
): Promise<void> {
  const parent = new RateLimiter({ limit: 6, intervalMs: 100, algorithm });
  const users = new RateLimiter({ limit: 5, intervalMs: 100, algorithm, parent, maxKeys: 4 });
  const keys = [undefined, "a", "b", "c", "d"];
  const controllers: AbortController[] = [];
  const calls: Promise<unknown>[] = [];
  const reservations: RateLimiterReservation[] = [];
  const act = (choose: (count: number) => number): void => {
    const key = keys[choose(keys.length)];
    const weight = 1 + choose(3);
    const what = choose(14);
    const act = (): void => {
      if (what === 0) users.pauseFor(choose(50), { key });
      else if (what === 1) users.resume({ key });
      else if (what === 2) users.penalize(weight, { key });
      else if (what === 3) reservations.push(users.reserve({ weight, key }), parent.reserve({ weight }));
      else if (what < 6) reservations[choose(Math.max(1, reservations.length))]?.cancel();
      else if (what === 6) users.tryAcquire({ key, weight });
      else if (what === 7) parent.pauseFor(choose(30));
      else if (what === 8) users.resize({ limit: 3 + choose(4) });
      else if (what < 11) controllers[choose(Math.max(1, controllers.length))]?.abort("away");
      else {
        const controller = new AbortController();
        controllers.push(controller);
        const maxWaitMs = choose(2) === 0 ? Infinity : choose(400);
        calls.push(users.acquire({ key, weight, maxWaitMs, signal: controller.signal }).catch(() => {}));
      }
    };
    may(act);
  };
  await play(numbers, act, w.advance);
  for (const key of keys) users.resume({ key });
  parent.resume();
  await w.advance(100_000);
  await Promise.all(calls);
  assert.deepEqual([users.statistics().waiting, parent.statistics().waiting], [0, 0]);
  await w.advance(10_000);
  assert.deepEqual([users.available(), parent.available()], [users.statistics().burst, 6]);
}
