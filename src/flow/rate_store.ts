/** Where the counts of a rate limit are kept: the port for stores that several processes share, and the one in memory. */
import { checkFunction, checkOptions, show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { Deque } from "../kernel/deque.ts";
import { RateLimitError } from "./rate_limit_error.ts";
import { RateLimiter } from "./rate_limiter.ts";
import type { RateLimiterReservation } from "./rate_limiter_options.ts";

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
  readonly #counts = new Map<string, Counts>();
  readonly #maxKeys: number | undefined;

  /** Creates an empty store; `maxKeys` is for each rule, as that of a {@linkcode RateLimiter}. */
  constructor(options: { maxKeys?: number | undefined } = {}) {
    checkOptions("create rate store", options);
    this.#maxKeys = options.maxKeys;
    // What is wrong with it is said here, not at the first call.
    new RateLimiter({ limit: 1, intervalMs: 1, maxKeys: options.maxKeys });
  }

  /** Takes so much if it can be had now. @returns 0, or in how many milliseconds it can be had. */
  take(request: RateStoreRequest): number {
    return this.#countsOf("take from rate store", request).take(request);
  }

  /** Gives back so much of what was taken for the key, as if it had never been taken; nothing once that is made up for. */
  giveBack(request: RateStoreRequest): void {
    this.#countsOf("give back to rate store", request).giveBack(request);
  }

  #countsOf(doing: string, request: RateStoreRequest): Counts {
    if (typeof request !== "object" || request === null) {
      throw new TypeError(`Cannot ${doing} as request must be an object: received ${show(request)}`);
    }
    const { key, limit, intervalMs, burst } = request;
    if (typeof key !== "string") {
      throw new TypeError(`Cannot ${doing} as key must be a string: received ${show(key)}`);
    }
    const rule = `${limit}/${intervalMs}/${burst}`;
    let counts = this.#counts.get(rule);
    if (counts === undefined) {
      const limiter = new RateLimiter({ limit, intervalMs, burst, maxKeys: this.#maxKeys });
      this.#counts.set(rule, counts = new Counts(limiter, burst * intervalMs / limit));
    }
    return counts;
  }
}

/** Something that was taken, and until when it may matter. */
interface Taken {
  readonly what: string;
  readonly untilMs: number;
  readonly reservation: RateLimiterReservation;
  isGivenBack: boolean;
}

/** What is counted by one rule. */
class Counts {
  readonly #limiter: RateLimiter;
  /** After so long, whatever was taken has been made up for. */
  readonly #lastingMs: number;
  readonly #taken = new Deque<Taken>();
  /** The same, by weight and key, without what was given back. */
  readonly #open = new Map<string, Deque<Taken>>();

  constructor(limiter: RateLimiter, lastingMs: number) {
    this.#limiter = limiter;
    this.#lastingMs = lastingMs;
  }

  take(request: RateStoreRequest): number {
    const nowMs = clock().now();
    for (let first = this.#taken.peek(); first !== undefined && first.untilMs <= nowMs;) {
      this.#taken.shift();
      if (!first.isGivenBack) this.#shift(first.what);
      first = this.#taken.peek();
    }
    const { key, weight } = request;
    try {
      const reservation = this.#limiter.reserve({ key, weight, maxWaitMs: 0 });
      const what = whatOf(request);
      const taken = { what, untilMs: nowMs + this.#lastingMs, reservation, isGivenBack: false };
      this.#taken.push(taken);
      let open = this.#open.get(what);
      if (open === undefined) this.#open.set(what, open = new Deque());
      open.push(taken);
      return 0;
    } catch (error) {
      if (error instanceof RateLimitError) return error.retryAfterMs;
      throw error;
    }
  }

  giveBack(request: RateStoreRequest): void {
    // Nobody says which: the first of that weight, as what is taken away earlier gives least room.
    const taken = this.#shift(whatOf(request));
    if (taken === undefined) return;
    taken.isGivenBack = true;
    taken.reservation.cancel();
  }

  #shift(what: string): Taken | undefined {
    const open = this.#open.get(what);
    const first = open?.shift();
    if (open?.size === 0) this.#open.delete(what);
    return first;
  }
}

function whatOf({ key, weight }: RateStoreRequest): string {
  return `${weight} ${key}`;
}
