/** Where the counts of a rate limit are kept: the port for stores that several processes share, and the one in memory. */
import { checkFunction, checkOptions } from "../kernel/checks.ts";
import { RateLimiter } from "./rate_limiter.ts";

/** What is to be taken from a {@linkcode RateStore}. */
export interface RateStoreRequest {
  /** Of whom: a limiter puts its name in front. */
  readonly key: string;
  /** How much. */
  readonly weight: number;
  /** How much is allowed in an interval. */
  readonly limit: number;
  /** How long an interval is, in milliseconds. */
  readonly intervalMs: number;
  /** How much is allowed at once. */
  readonly burst: number;
}

/** Keeps counts, for one process or many, on a clock of its own. To be implemented over a shared store. */
export interface RateStore {
  /**
   * Takes so much if it can be had now, and nothing otherwise: one atomic step.
   *
   * @param options `signal` is aborted when nobody wants the answer any more; it may be ignored.
   * @returns 0 when it was taken; otherwise in how many milliseconds to ask again.
   */
  take(request: RateStoreRequest, options: { signal: AbortSignal }): number | PromiseLike<number>;
  /** Gives back what was taken for somebody who had gone by then. Without it, that stays taken. */
  giveBack?(request: RateStoreRequest): unknown;
}

/** Throws unless `value` can be a {@linkcode RateStore}. */
export function checkRateStore(doing: string, value: RateStore): void {
  checkOptions(`${doing} as the store`, value ?? null);
  checkFunction(doing, "store.take", value.take);
  if (value.giveBack !== undefined) checkFunction(doing, "store.giveBack", value.giveBack);
}

/**
 * A {@linkcode RateStore} in the memory of this process: for tests, and for limiters that are to share their counts.
 *
 * Counts by GCRA; keys are forgotten as by a {@linkcode RateLimiter}.
 *
 * @example
 * ```ts
 * import { MemoryRateStore, SharedRateLimiter } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const store = new MemoryRateStore();
 * const rule = { limit: 2, intervalMs: 60_000, name: "mail", store };
 * const [here, there] = [new SharedRateLimiter(rule), new SharedRateLimiter(rule)];
 * await here.acquire();
 * await there.acquire();
 * await assert.rejects(here.acquire({ maxWaitMs: 100 }), { name: "RateLimitError" });
 * ```
 */
export class MemoryRateStore implements RateStore {
  readonly #limiters = new Map<string, RateLimiter>();
  readonly #maxKeys: number | undefined;

  /** Creates an empty store; `maxKeys` is for each rule, as that of a {@linkcode RateLimiter}. */
  constructor(options: { maxKeys?: number } = {}) {
    checkOptions("create rate store", options);
    this.#maxKeys = options.maxKeys;
    // What is wrong with it is said here, not at the first call.
    new RateLimiter({ limit: 1, intervalMs: 1, maxKeys: options.maxKeys });
  }

  /** Takes so much if it can be had now. @returns 0, or in how many milliseconds it can be had. */
  take({ key, weight, limit, intervalMs, burst }: RateStoreRequest): number {
    const rule = `${limit}/${intervalMs}/${burst}`;
    let limiter = this.#limiters.get(rule);
    if (limiter === undefined) {
      limiter = new RateLimiter({ limit, intervalMs, burst, maxKeys: this.#maxKeys });
      this.#limiters.set(rule, limiter);
    }
    return limiter.tryAcquire({ key, weight }) ? 0 : limiter.waitMs({ key, weight });
  }
}
