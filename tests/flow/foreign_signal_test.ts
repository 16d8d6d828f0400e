/** Calls with a signal that is none of the platform's, and is of no use. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AsyncBatcher,
  Bulkhead,
  CircuitBreaker,
  ClientThrottle,
  fallback,
  gradient2,
  hedge,
  Limiter,
  retry,
  timeoutHandler,
} from "../../src/flow/mod.ts";
import { census } from "../../src/kernel/census.ts";
import { world } from "../../src/testing/mod.ts";
import { abortedByListening, deaf } from "../_foreign_signal.ts";

type Bounds = { signal?: AbortSignal; timeoutMs?: number };

/** What runs a call, and what it says then of calls that have not ended, and of those it takes for failed. */
interface Runner {
  run(fn: () => unknown, options?: Bounds): Promise<unknown>;
  standing(): unknown;
}

function slots(runner: Limiter | Bulkhead): Runner {
  return {
    run: (fn, options) => runner.run(fn, options),
    standing: () => [runner.statistics().inUse, runner.statistics().abandoned],
  };
}

const runners: Record<string, () => Runner> = {
  limiter: () => slots(new Limiter({ limit: 1 })),
  bulkhead: () => slots(new Bulkhead({ limit: 1 })),
  "bulkhead that finds its limit": () => slots(new Bulkhead({ limit: gradient2() })),
  "circuit breaker": () => {
    const breaker = new CircuitBreaker({ failures: 1 });
    return {
      run: (fn, options) => breaker.run(fn, options),
      standing: () => [breaker.statistics().running, breaker.statistics().failed],
    };
  },
  throttle: () => {
    const throttle = new ClientThrottle();
    return {
      run: (fn, options) => throttle.run(fn, options),
      standing: () => [throttle.statistics().running, throttle.probability],
    };
  },
  ...Object.fromEntries(
    [
      retry({ attempts: 1 }),
      hedge({ delayMs: 1 }),
      timeoutHandler(50),
      fallback({ to: () => Promise.reject(1) }),
    ]
      .map((policy, i) => [["retry", "hedge", "timeout handler", "fallback"][i], () => ({
        run: (fn: () => unknown, options?: Bounds) => policy.run(fn, options),
        standing: () => [policy.statistics().running, 0],
      })]),
  ),
};

describe("a signal that is none of the platform's", () => {
  for (const [what, make] of Object.entries(runners)) {
    test(`${what}: one that is aborted by being listened to gives the call up before it starts`, async () => {
      await world(async (w) => {
        for (const says of [true, false]) {
          for (const timeoutMs of [Infinity, 20]) {
            const { run, standing } = make();
            let started = 0;
            const given = run(() => started++, { signal: abortedByListening(says), timeoutMs });
            await assert.rejects(given, (reason) => reason === "foreign");
            assert.deepEqual([started, standing(), w.timers.length], [0, [0, 0], 0]);
            assert.equal(await run(() => 1), 1);
          }
        }
      });
    });

    test(`${what}: one that can't be listened to fails the call before it starts, and takes nothing`, async () => {
      await world(async (w) => {
        for (const timeoutMs of [Infinity, 20]) {
          const { run, standing } = make();
          let started = 0;
          const before = { ...census };
          const error = new Error("deaf");
          const given = run(() => started++, { signal: deaf(error), timeoutMs });
          await assert.rejects(given, (thrown) => thrown === error);
          assert.deepEqual([started, standing(), w.timers.length], [0, [0, 0], 0]);
          assert.deepEqual({ ...census }, before);
          assert.equal(await run(() => 1), 1);
        }
      });
    });
  }

  test("Limiter.map: it fails, pulls nothing and keeps nothing", async () => {
    await world(async () => {
      for (const signal of [deaf(new Error("deaf")), abortedByListening(true), abortedByListening(false)]) {
        const limiter = new Limiter({ limit: 1 });
        let started = 0;
        await assert.rejects(
          limiter.map([1], () => started++, { signal }),
          (error) => error === "foreign" || (error as Error).message === "deaf",
        );
        await limiter.close();
        assert.equal(started, 0);
      }
    });
  });

  test("AsyncBatcher.add: it fails, whether its item would have waited or been joined, and keeps nothing", async () => {
    await world(async (w) => {
      for (const options of [{}, { dedupe: true }, { maxPending: 1 }, { maxWaitMs: 5 }]) {
        for (const signal of [() => deaf(new Error("deaf")), () => abortedByListening(false)]) {
          const served: number[] = [];
          const batcher = new AsyncBatcher<number, number>((items) => {
            served.push(...items);
            return items;
          }, options);
          const add = (): Promise<unknown> => batcher.add(1, { signal: signal(), timeoutMs: 20 });
          const failed = (error: unknown): boolean =>
            error === "foreign" || (error as Error).message === "deaf";
          await assert.rejects(add(), failed);
          const good = batcher.add(1);
          await assert.rejects(add(), failed);
          assert.equal(await good, 1);
          assert.deepEqual([batcher.statistics().pending, w.timers.length], [0, 0]);
          await batcher.close();
          assert.deepEqual(served, [1]);
        }
      }
    });
  });
});
