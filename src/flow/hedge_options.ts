/** What a hedge can be told, and what it tells. */
import type { CallContext, Policy } from "./policy.ts";
import type { RetryBudget } from "./retry_budget.ts";

/** What one of several attempts gets to know. */
export interface HedgeAttempt extends CallContext {
  /** Which attempt it is, from 1, the primary one: what to do may depend on it. */
  readonly attempt: number;
  /** Milliseconds since the call began. */
  readonly elapsedMs: number;
}

/** Options of `hedge`. */
export type HedgeOptions = {
  /**
   * How long to wait for an answer before the next attempt begins beside it, in milliseconds: 0 begins all at once,
   * `Infinity` begins one only when another has failed. A function gets the number of the attempt that would begin.
   */
  delayMs?: (number | ((attempt: number) => number)) | undefined;
  /**
   * Waits as long as this share of the primary attempts has taken lately, above 0 and below 1, such as 0.95; `delayMs`
   * holds until 20 of them were seen (by default nothing is hedged till then). For policies only, as single calls
   * learn nothing.
   */
  quantile?: number | undefined;
  /** How many attempts at most, the primary one included. Default 2. */
  max?: number | undefined;
  /** Whether no other attempt can help after this error: all are stopped, and it is thrown. Default: never. */
  fatal?: ((error: unknown) => boolean) | undefined;
  /** Asked before each attempt but the primary one: a chance to save a service that is near its limit. Default: yes. */
  mayHedge?: (() => boolean) | undefined;
  /** What all extra attempts together may do; shared with other policies. */
  budget?: RetryBudget | undefined;
  /** Whether a call ends only when all its attempts have settled. Default `false`: at once. */
  waitForLosers?: boolean | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
};

/** What an operator wants to know of a `hedge` policy. */
export interface HedgeStatistics {
  /** Calls that have not ended yet. */
  readonly running: number;
  /** Calls so far, those refused at the door left out. */
  readonly calls: number;
  /** Attempts so far that began beside, or after, a primary one. */
  readonly hedges: number;
  /** Calls that were won by such an attempt. */
  readonly hedgeWins: number;
  /** Attempts that `mayHedge` or the budget did not allow. */
  readonly refused: number;
  /** Calls that got a result. */
  readonly succeeded: number;
  /** Calls that failed. */
  readonly failed: number;
  /** Calls given up by a signal, before their start or after. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
  /** How long the second attempt would be held back now, in milliseconds; `undefined` where a function says. */
  readonly delayMs: number | undefined;
}

/** A policy that hedges; made by `hedge`. */
export interface HedgePolicy extends Policy<HedgeAttempt> {
  /** The numbers of all calls so far. */
  statistics(): HedgeStatistics;
}
