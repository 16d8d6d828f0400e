import {
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  checkWaitOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { KeyedLock } from "../sync/keyed_lock.ts";
import { isLate } from "./_rate_ahead.ts";
import { within } from "./_rate_entry.ts";
import { rateLimitError } from "./_rate_refusal.ts";
import { type Bounds, overdue, runWithin, Work } from "./_work.ts";
import type { CallContext, Run } from "./policy.ts";
import { RateLimitError } from "./rate_limit_error.ts";
import type { RateLimiterAcquireOptions } from "./rate_limiter_options.ts";
import { checkRateStore, type RateStore, type RateStoreRequest } from "./rate_store.ts";

/** Options of a {@linkcode SharedRateLimiter}. */
export interface SharedRateLimiterOptions {
  /** How much in an interval: an integer of 1 or more. */
  limit: number;
  /** How long an interval is, in milliseconds: finite, more than 0. */
  intervalMs: number;
  /** How much at once: an integer of 1 or more. Default: the limit. */
  burst?: number | undefined;
  /** Where it is counted. */
  store: RateStore;
  /**
   * Stands before each key in the store, and appears in messages. There a key is `name/key`, with `%25` and `%2F` for each
   * `%` and `/` in either; what is empty is `%`, and what is not given is nothing: `mail/` is for calls without a key.
   */
  name?: string | undefined;
}

/** What an operator wants to know of a {@linkcode SharedRateLimiter}: of this one, not of others with its store. */
export interface SharedRateLimiterStatistics {
  /** Keys for which somebody waits or asks. */
  readonly keys: number;
  /** Calls that wait or ask the store. */
  readonly waiting: number;
  /** Calls let through so far. */
  readonly granted: number;
  /** Calls given up by a signal. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
  /** Calls refused: they would have had to wait too long. */
  readonly refused: number;
  /** Calls that failed because the store did. */
  readonly failed: number;
}

/** One call on its way. */
interface Call {
  readonly request: RateStoreRequest;
  readonly key: string | undefined;
  readonly latestMs: number;
  readonly within: string;
  /** Whether the store has given. */
  taken: boolean;
  /** Whether the caller has gone. */
  left: boolean;
}

/**
 * A rate limit that is counted in a store, where several processes can share it.
 *
 * **Order** — first come, first served among the calls of this limiter with the same key: one of them asks the store,
 * and waits as long as the store says. **Abort** — leaves at once; what the store gives to somebody who has gone is
 * given back. **Too late** — a call that can't be served within `maxWaitMs`, or before the deadline of its signal, is
 * refused as soon as the store's answer, to it or to the call before it, tells that. **Failure** — of the store is that of the call.
 *
 * @example
 * ```ts
 * import { MemoryRateStore, SharedRateLimiter } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const limiter = new SharedRateLimiter({ limit: 5, intervalMs: 1_000, store: new MemoryRateStore() });
 * assert.deepEqual(await limiter.run(() => "sent", { key: "ada" }), "sent");
 * ```
 */
export class SharedRateLimiter implements Run<CallContext> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #store: RateStore;
  readonly #rule: Pick<RateStoreRequest, "limit" | "intervalMs" | "burst">;
  readonly #lines = new KeyedLock<string>();
  readonly #doing: string;
  /** Until when the first in line waits, where the store has said so. */
  readonly #heldUntilMs = new Map<string, number>();
  readonly #totals = { waiting: 0, granted: 0, aborted: 0, timedOut: 0, refused: 0, failed: 0 };

  /**
   * Creates a rate limiter; the store is not asked yet.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: SharedRateLimiterOptions) {
    checkOptions("create shared rate limiter", options ?? null);
    const { limit, intervalMs, burst = limit, store, name } = options;
    checkName("create shared rate limiter", name);
    const doing = `create ${subject("shared rate limiter", name)}`;
    checkInteger(doing, "limit", limit, 1);
    checkDurationMs(doing, "intervalMs", intervalMs);
    if (intervalMs === 0 || intervalMs === Infinity) {
      throw new RangeError(
        `Cannot ${doing} as intervalMs must be finite and above 0: received ${intervalMs}`,
      );
    }
    checkInteger(doing, "burst", burst, 1);
    checkRateStore(doing, store);
    this.name = name;
    this.#store = store;
    this.#rule = { limit, intervalMs, burst };
    this.#doing = `acquire from ${subject("shared rate limiter", name)}`;
  }

  /**
   * Waits for its turn.
   *
   * @param options As for a `RateLimiter`.
   * @throws {RateLimitError} When the store says that it would take too long.
   * @throws {RangeError} When `weight` is not an integer from 1 to the burst.
   * @throws {TimeoutError} When the limit is reached.
   * @throws The reason of `signal`, unchanged; what the store throws.
   */
  async acquire(options: RateLimiterAcquireOptions = {}): Promise<void> {
    await this.#acquire(options);
  }

  /**
   * Runs `fn` when its turn comes.
   *
   * If the call is given up after it was let through, but before `fn` was called, what it took is given back.
   *
   * @param options As for {@linkcode acquire}; `signal` gives the call up also while `fn` runs, and `timeoutMs` bounds the
   * whole of it.
   * @returns What `fn` returns.
   * @throws As {@linkcode acquire} does; what `fn` throws.
   */
  async run<T>(
    fn: (context: CallContext) => T | PromiseLike<T>,
    options: RateLimiterAcquireOptions = {},
  ): Promise<T> {
    const doing = `run in ${subject("shared rate limiter", this.name)}`;
    checkFunction(doing, "fn", fn);
    checkWaitOptions(doing, options);
    const { signal, timeoutMs = Infinity } = options;
    const expired = (why: string) =>
      overdue(`finish work in ${subject("shared rate limiter", this.name)}`, timeoutMs, why);
    const atMs = clock().now() + timeoutMs;
    const request = await this.#acquire(options);
    const bounds: Bounds = {
      structure: "shared rate limiter",
      name: this.name,
      signal,
      atMs,
      expired,
      gaveUp: (why, running) => {
        this.#totals[why]++;
        if (!running) void this.#giveBack(request);
      },
    };
    return await runWithin(bounds, new Work(bounds), fn);
  }

  /** A snapshot of what this limiter is busy with, and the totals so far. */
  statistics(): SharedRateLimiterStatistics {
    return Object.freeze({ keys: this.#lines.statistics().keys, ...this.#totals });
  }

  async #acquire(options: RateLimiterAcquireOptions): Promise<RateStoreRequest> {
    checkWaitOptions(this.#doing, options);
    const { weight = 1, key, maxWaitMs = Infinity, signal, timeoutMs = Infinity } = options;
    checkInteger(this.#doing, "weight", weight, 1, this.#rule.burst);
    checkName(this.#doing, key, "key");
    checkDurationMs(this.#doing, "maxWaitMs", maxWaitMs);
    const totals = this.#totals;
    if (signal?.aborted) {
      totals.aborted++;
      throw signal.reason;
    }
    const call: Call = {
      request: { key: `${partOf(this.name)}/${partOf(key)}`, weight, ...this.#rule },
      key,
      latestMs: Math.min(clock().now() + maxWaitMs, deadlineOf(signal)),
      within: maxWaitMs === Infinity && signal !== undefined ? " before the deadline" : within(maxWaitMs),
      taken: false,
      left: false,
    };
    totals.waiting++;
    try {
      await timeout(timeoutMs, ({ signal }) => this.#take(call, signal), { signal, operation: this.#doing });
    } catch (error) {
      call.left = true;
      // Not waited for: whoever gives up is answered at once.
      if (call.taken) void this.#giveBack(call.request);
      totals[this.#endOf(error, signal)]++;
      throw error;
    } finally {
      totals.waiting--;
    }
    totals.granted++;
    emit("acquire", "shared rate limiter", this.name, { ...(key === undefined ? {} : { key }), weight });
    return call.request;
  }

  /** As what a call counts that has ended with an error. */
  #endOf(error: unknown, signal: AbortSignal | undefined): "aborted" | "timedOut" | "refused" | "failed" {
    if (signal?.aborted && error === signal.reason) return "aborted";
    if (error instanceof TimeoutError && error.operation === this.#doing) return "timedOut";
    return error instanceof RateLimitError ? "refused" : "failed";
  }

  async #take(call: Call, signal: AbortSignal): Promise<void> {
    const { request } = call;
    this.#checkInTime(call, this.#heldUntilMs.get(request.key) ?? 0);
    const lease = await this.#lines.acquire(request.key, { signal });
    try {
      for (;;) {
        const waitMs = await this.#store.take(request, { signal });
        if (waitMs === 0) {
          call.taken = true;
          if (call.left) void this.#giveBack(request);
          return;
        }
        signal.throwIfAborted();
        checkDurationMs(this.#doing, "what the store says", waitMs);
        const untilMs = clock().now() + waitMs;
        this.#checkInTime(call, untilMs);
        this.#heldUntilMs.set(request.key, untilMs);
        await sleep(waitMs, { signal });
      }
    } finally {
      this.#heldUntilMs.delete(request.key);
      lease.release();
    }
  }

  /** Refuses a call that can't be served before `atMs` when that is too late. */
  #checkInTime({ request, key, latestMs, within }: Call, atMs: number): void {
    if (!isLate(atMs, latestMs)) return;
    const { weight } = request;
    const waitMs = Math.max(0, atMs - clock().now());
    emit("refuse", "shared rate limiter", this.name, {
      ...(key === undefined ? {} : { key }),
      weight,
      retryAfterMs: waitMs,
    });
    throw rateLimitError({ doing: this.#doing, key, waitMs, waiting: 0 }, weight, within);
  }

  async #giveBack(request: RateStoreRequest): Promise<void> {
    try {
      await this.#store.giveBack?.(request);
    } catch (error) {
      emit("release.failed", "shared rate limiter", this.name, { key: request.key, error });
    }
  }
}

/** A name or key in the key for the store, where no two pairs of them may be the same. */
function partOf(value: string | undefined): string {
  return value === "" ? "%" : value?.replaceAll("%", "%25").replaceAll("/", "%2F") ?? "";
}
