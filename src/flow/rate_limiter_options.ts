/** What a `RateLimiter` is told, and what it tells. */
import type { WaitOptions } from "../kernel/types.ts";

/**
 * How a {@linkcode RateLimiter} counts.
 *
 * - `"gcra"`: `burst` at once, then evenly, one every `intervalMs / limit`: in any stretch of `t` milliseconds at most
 *   `burst + limit * t / intervalMs`. One number a key. A token bucket is the same seen from the other side, so
 *   `"tokenBucket"` means the same.
 * - `"slidingLog"`: at most `limit` in any stretch of `intervalMs`, to the moment; remembers every call.
 * - `"slidingCounter"`: nearly that, by two counters a key; right when calls come evenly.
 * - `"fixedWindow"`: at most `limit` in each window, which begin at multiples of `intervalMs` on the clock. Around the
 *   end of a window as many as twice the limit may come close together.
 */
export type RateLimiterAlgorithm = "gcra" | "tokenBucket" | "slidingLog" | "slidingCounter" | "fixedWindow";

/** How the limit follows what the server says: additive increase, multiplicative decrease. */
export interface RateLimiterAdaptiveOptions {
  /** Never below this. Default 1. */
  minLimit?: number | undefined;
  /** What the limit is multiplied by when the server refuses, once an interval at most: above 0, below 1. Default 0.5. */
  decrease?: number | undefined;
  /** What is added when it does not, once an interval at most. Default: a tenth of the limit. */
  increase?: number | undefined;
}

/** What a call takes. */
export interface RateLimiterTakeOptions {
  /** How much: an integer from 1 to the burst. Default 1. */
  weight?: number | undefined;
  /** For whom. Each key has the limit to itself; calls without one share another. */
  key?: string | undefined;
}

/** Options of {@linkcode RateLimiter.reserve} and {@linkcode RateLimiter.waitMs}. */
export interface RateLimiterReserveOptions extends RateLimiterTakeOptions {
  /** How long the wait may be; a longer one is refused at once. Default `Infinity`. */
  maxWaitMs?: number | undefined;
}

/** Options of {@linkcode RateLimiter.acquire}. */
export interface RateLimiterAcquireOptions extends RateLimiterReserveOptions, WaitOptions {}

/** Options of {@linkcode RateLimiter.run}. */
export interface RateLimiterRunOptions extends RateLimiterAcquireOptions {
  /** Gives up after so many milliseconds of waiting for the turn, with a `TimeoutError`. */
  queueTimeoutMs?: number | undefined;
}

/** A place in the line of a {@linkcode RateLimiter}, for somebody who does the waiting elsewhere. */
export interface RateLimiterReservation {
  /** In how many milliseconds, from when it was made, it may be used; 0 at once. */
  readonly waitMs: number;
  /** How much it is for. */
  readonly weight: number;
  /**
   * Gives it back, as if it had never been made, whether or not its time has come: those behind come earlier by what it
   * cost. To be called if it is not used, or was not needed after all; again, it does nothing. By `"gcra"`, what was
   * taken longer ago than it takes for a whole burst to come in stays taken once others have taken something since.
   */
  cancel(): void;
}

/** Header fields: `Headers`, or a plain object with names in any case, as clients for Node have it. */
export type RateLimitHeaders =
  | { get(name: string): string | null | undefined }
  | { readonly [name: string]: unknown; readonly get?: never };

/** The part of a `Response` that a {@linkcode RateLimiter} looks at. */
export interface RateLimitResponse {
  /** The status code. */
  readonly status?: number | undefined;
  /** The header fields. */
  readonly headers: RateLimitHeaders;
}

/** What an operator wants to know of a {@linkcode RateLimiter}. */
export interface RateLimiterStatistics {
  /** How much in an interval, as it is now. */
  readonly limit: number;
  /** How long an interval is, in milliseconds. */
  readonly intervalMs: number;
  /** How much at once. */
  readonly burst: number;
  /** How much calls without a key could take now, whatever an open parent has: 0 while others wait for the same. */
  readonly available: number;
  /** Keys that are known: those that are not as good as new, and some that are. */
  readonly keys: number;
  /** Calls that wait, over all keys. */
  readonly waiting: number;
  /** How long nobody will be let through, in milliseconds: 0 when it is not paused. */
  readonly pausedMs: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Calls let through so far, those of limiters below included; one whose work is given up later stays counted. */
  readonly granted: number;
  /** Calls given up by a signal, waiting or running. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
  /** Calls refused: they would have had to wait too long, or the queue was full. */
  readonly refused: number;
}
