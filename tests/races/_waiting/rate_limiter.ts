import assert from "node:assert/strict";
import {
  MemoryRateStore,
  RateLimiter,
  RateLimitError,
  type RateStoreRequest,
  SharedRateLimiter,
} from "../../../src/flow/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

/** Takes a refusal for an ordinary outcome. */
async function mayBeRefused(waiting: PromiseLike<unknown>): Promise<void> {
  try {
    await waiting;
  } catch (error) {
    if (!(error instanceof RateLimitError)) throw error;
  }
}

export const operations: readonly Operation[] = [
  {
    name: "a rate limiter, by turns, by calls and by reservations",
    covers: ["RateLimiter.acquire", "RateLimiter.run"],
    scene: () => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 2, burst: 2 });
      let served = 0;
      return {
        act: (signal, w) => {
          const reserved = [limiter.reserve(), limiter.reserve(), limiter.reserve()];
          return all(
            limiter.acquire({ signal, weight: 2 }),
            limiter.run(() => served++),
            limiter.run(({ signal }) => signal.throwIfAborted(), { signal }),
            mayBeLate(limiter.acquire({ signal, timeoutMs: 3 })),
            mayBeRefused(limiter.acquire({ signal, maxWaitMs: 12 })),
            limiter.acquire({ key: "a" }).then(() => limiter.acquire({ key: "a", weight: 2, signal })),
            limiter.acquire({ key: "a" }).then(() => served++),
            w.advance(1).then(() => reserved.forEach((one) => one.cancel())),
          );
        },
        check: async () => {
          const { waiting, granted } = limiter.statistics();
          assert.deepEqual([waiting, served], [0, 2]);
          assert.ok(granted >= served);
          await limiter.acquire({ weight: 2, maxWaitMs: 20 });
        },
      };
    },
  },
  {
    name: "rate limiters under one that they share",
    covers: ["RateLimiter.acquire", "RateLimiter.run"],
    scene: () => {
      const parent = new RateLimiter({ limit: 1, intervalMs: 2, burst: 2 });
      const users = new RateLimiter({ limit: 2, intervalMs: 3, burst: 2, parent });
      let served = 0;
      return {
        act: (signal) =>
          all(
            users.acquire({ key: "a", weight: 2 }).then(() => served++),
            users.acquire({ key: "a", weight: 2, signal }),
            users.run(() => served++, { key: "a" }),
            parent.acquire({ signal }),
            users.run(({ signal }) => signal.throwIfAborted(), { key: "b", signal }),
            mayBeLate(users.acquire({ key: "b", signal, timeoutMs: 5 })),
            users.acquire({ key: "b" }).then(() => served++),
          ),
        check: async () => {
          assert.equal(served, 3);
          assert.deepEqual([users.statistics().waiting, parent.statistics().waiting], [0, 0]);
          await users.acquire({ key: "c", weight: 2, maxWaitMs: 4 });
        },
      };
    },
  },
  {
    name: "rate limiters that share a store",
    covers: ["SharedRateLimiter.acquire", "SharedRateLimiter.run"],
    scene: () => {
      const store = new MemoryRateStore();
      let out = 0;
      const counted = {
        take: async (request: RateStoreRequest) => {
          await undefined;
          const waitMs = store.take(request);
          if (waitMs === 0) out++;
          return waitMs;
        },
        giveBack: () => void out--,
      };
      const limiter = new SharedRateLimiter({ limit: 1, intervalMs: 2, store: counted });
      let served = 0;
      const serve = (): void => void served++;
      return {
        act: (signal) =>
          all(
            limiter.acquire({ signal }).then(serve),
            limiter.acquire().then(serve),
            mayBeLate(limiter.acquire({ signal, timeoutMs: 3 }).then(serve)),
            mayBeRefused(limiter.acquire({ signal, maxWaitMs: 3 }).then(serve)),
            limiter.run(serve).then(() => {}),
          ),
        check: async () => {
          await limiter.acquire();
          assert.equal(out, served + 1, "what nobody got was given back");
          assert.equal(limiter.statistics().keys, 0);
        },
      };
    },
  },
];

export const still: Readonly<Record<string, string>> = {};
