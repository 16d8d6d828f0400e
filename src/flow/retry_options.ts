/** What a retry can be told, and what it tells. */
import type { BackoffOptions } from "../kernel/backoff.ts";
import type { CallContext, Policy } from "./policy.ts";
import type { RetryBudget } from "./retry_budget.ts";

/** What one attempt gets to know. */
export interface Attempt extends CallContext {
  /** Which attempt it is, from 1. */
  readonly attempt: number;
  /** Milliseconds since the call began. */
  readonly elapsedMs: number;
  /** What the attempt before failed with; `undefined` in the first, and after a result that was not good enough. */
  readonly lastError: unknown;
  /** From here on this attempt can't be repeated: if it fails, the call fails. */
  commit(): void;
}

/** What {@linkcode RetryOptions.onRetry} gets to know. */
export interface RetryEvent {
  /** Which attempt has failed, from 1. */
  readonly attempt: number;
  /** Milliseconds since the call began. */
  readonly elapsedMs: number;
  /** What it failed with; `undefined` when it was its result. */
  readonly error: unknown;
  /** The result that was not good enough, if it was that; disposed afterwards, if it can be. */
  readonly result?: unknown;
  /** How long the pause will be, in milliseconds. */
  readonly pauseMs: number;
  /** Aborted when the call is given up. */
  readonly signal: AbortSignal;
}

/** What a pause of one's own is made from; see {@linkcode RetryOptions.pauseMs}. */
export interface RetryFailure {
  /** Which attempt has failed, from 1. */
  readonly attempt: number;
  /** What it failed with; `undefined` when it was its result. */
  readonly error: unknown;
  /** The pause before, in milliseconds; `undefined` in the first. */
  readonly previousMs: number | undefined;
}

/** Options of {@linkcode retry}; the pauses are those of `BackoffOptions`. `R` is what `whenResult` may be given. */
// deno-lint-ignore no-explicit-any
export type RetryOptions<R = any> = BackoffOptions & {
  /** How many attempts at most, the first included; `Infinity` for no limit. Default 3. */
  attempts?: number | undefined;
  /** No attempt begins later than so many milliseconds after the call; one that runs is let finish. */
  maxElapsedMs?: number | undefined;
  /** Limit of each attempt, in milliseconds: one that takes longer has failed with a `TimeoutError`. */
  attemptTimeoutMs?: number | undefined;
  /** Whether to try again after this error. Default: always. */
  when?: ((error: unknown) => boolean) | undefined;
  /** Whether to try again after this result. Default: never. */
  whenResult?: ((result: R) => boolean) | undefined;
  /** The length of each pause, in milliseconds, instead of `kind`, `baseMs`, `maxMs` and `jitter`. */
  pauseMs?: ((failure: RetryFailure) => number) | undefined;
  /**
   * What to make of a pause that the failure asks for: the least the pause will be (`"floor"`, the default), the pause
   * itself (`"exact"`), or nothing (`"ignore"`).
   */
  retryAfter?: "floor" | "exact" | "ignore" | undefined;
  /**
   * The pause that an error, or a result that is not good enough, asks for, in milliseconds; `undefined` for none.
   * Default: its `retryAfterMs`, or the `Retry-After` of its headers or of its response's.
   */
  retryAfterOf?: ((failure: unknown) => number | undefined) | undefined;
  /** A failure that asks for a longer pause, in milliseconds, ends the call. Default `Infinity`. */
  maxRetryAfterMs?: number | undefined;
  /** What to do when a circuit breaker has refused the attempt: fail, or wait until it lets calls try. Default `"fail"`. */
  circuitOpen?: "fail" | "wait" | undefined;
  /** What all retries together may do; shared with other policies. */
  budget?: RetryBudget | undefined;
  /** Called, and awaited, before each pause; what it throws ends the call. */
  onRetry?: ((event: RetryEvent) => unknown) | undefined;
  /**
   * Whether a call that is given up, and an attempt that reaches its limit, end only when the running attempt has
   * settled. Default `false`: at once.
   */
  waitForAttempt?: boolean | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
};

/** What an operator wants to know of a {@linkcode retry} policy. */
export interface RetryStatistics {
  /** Calls that have not ended yet. */
  readonly running: number;
  /** Calls so far, those refused at the door left out. */
  readonly calls: number;
  /** Attempts so far, the first of each call included. */
  readonly attempts: number;
  /** Calls that got a result. */
  readonly succeeded: number;
  /** Calls that failed. */
  readonly failed: number;
  /** Calls given up by a signal, before their start or after. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
}

/** A policy that tries again; made by {@linkcode retry}. */
export interface RetryPolicy extends Policy<Attempt> {
  /** The numbers of all calls so far. */
  statistics(): RetryStatistics;
}
