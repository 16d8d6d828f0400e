/** The options of a retry, checked, and what all calls under them share: their totals. */
import { backoff, backoffOf } from "../kernel/backoff.ts";
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { RetryBudget } from "./retry_budget.ts";
import type { RetryEvent, RetryFailure, RetryOptions, RetryStatistics } from "./retry_options.ts";

export interface Plan {
  readonly name: string | undefined;
  readonly attempts: number;
  readonly maxElapsedMs: number;
  readonly attemptTimeoutMs: number;
  readonly when: ((error: unknown) => boolean) | undefined;
  readonly whenResult: ((result: unknown) => boolean) | undefined;
  readonly retryAfter: "floor" | "exact" | "ignore";
  readonly retryAfterOf: ((failure: unknown) => number | undefined) | undefined;
  readonly maxRetryAfterMs: number;
  readonly waitsForCircuit: boolean;
  readonly budget: RetryBudget | undefined;
  /** Whether its calls pay into the budget: not those that a policy around them has paid for. */
  readonly pays: boolean;
  readonly onRetry: ((event: RetryEvent) => unknown) | undefined;
  readonly waitForAttempt: boolean;
  readonly pause: (failure: RetryFailure) => number;
  readonly totals: { -readonly [K in keyof RetryStatistics]: RetryStatistics[K] };
}

/** The plan of these options, which are checked here. */
export function planOf(options: RetryOptions | undefined): Plan {
  if (options === undefined) return DEFAULTS;
  checkOptions("create retry", options);
  const { name, attempts = 3, maxElapsedMs = Infinity, attemptTimeoutMs = Infinity } = options;
  const { retryAfter = "floor", maxRetryAfterMs = Infinity, circuitOpen = "fail", budget } = options;
  const { when, whenResult, retryAfterOf, onRetry, pauseMs, waitForAttempt = false } = options;
  checkName("create retry", name);
  const doing = name === undefined ? "create retry" : `create ${subject("retry", name)}`;
  checkCount(doing, "attempts", attempts, 1);
  checkDurationMs(doing, "maxElapsedMs", maxElapsedMs);
  checkDurationMs(doing, "attemptTimeoutMs", attemptTimeoutMs);
  checkDurationMs(doing, "maxRetryAfterMs", maxRetryAfterMs);
  checkChoice(doing, "retryAfter", retryAfter, ["floor", "exact", "ignore"]);
  checkChoice(doing, "circuitOpen", circuitOpen, ["fail", "wait"]);
  checkBoolean(doing, "waitForAttempt", waitForAttempt);
  // One by one, not in a loop over an object made for it: plans are made for single calls too.
  if (when !== undefined) checkFunction(doing, "when", when);
  if (whenResult !== undefined) checkFunction(doing, "whenResult", whenResult);
  if (retryAfterOf !== undefined) checkFunction(doing, "retryAfterOf", retryAfterOf);
  if (onRetry !== undefined) checkFunction(doing, "onRetry", onRetry);
  if (pauseMs !== undefined) checkFunction(doing, "pauseMs", pauseMs);
  if (budget !== undefined && !(budget instanceof RetryBudget)) {
    throw new TypeError(`Cannot ${doing} as budget must be a RetryBudget: received ${show(budget)}`);
  }
  return {
    name,
    attempts,
    maxElapsedMs,
    attemptTimeoutMs,
    when,
    whenResult,
    retryAfter,
    retryAfterOf,
    maxRetryAfterMs,
    waitsForCircuit: circuitOpen === "wait",
    budget,
    pays: budget !== undefined,
    onRetry,
    waitForAttempt,
    pause: pauseMs === undefined ? pausesOf(doing, options) : checkedPauses(name, pauseMs),
    totals: newTotals(),
  };
}

function pausesOf(doing: string, { kind, baseMs, maxMs, jitter }: RetryOptions): Plan["pause"] {
  const standard = kind === undefined && baseMs === undefined && maxMs === undefined && jitter === undefined;
  return standard ? DEFAULTS.pause : byAttempt(backoffOf(doing, { kind, baseMs, maxMs, jitter }));
}

function byAttempt(pause: (attempt: number, previousMs?: number) => number): Plan["pause"] {
  return ({ attempt, previousMs }) => pause(attempt, previousMs);
}

function checkedPauses(name: string | undefined, pauseMs: Plan["pause"]): Plan["pause"] {
  const doing = `pause ${subject("retry", name)}`;
  return (failure) => {
    const ms = pauseMs(failure);
    checkDurationMs(doing, "pauseMs", ms);
    return ms;
  };
}

/** All zero. */
export function newTotals(): Plan["totals"] {
  return { running: 0, calls: 0, attempts: 0, succeeded: 0, failed: 0, aborted: 0, timedOut: 0 };
}

const DEFAULTS: Plan = {
  name: undefined,
  attempts: 3,
  maxElapsedMs: Infinity,
  attemptTimeoutMs: Infinity,
  when: undefined,
  whenResult: undefined,
  retryAfter: "floor",
  retryAfterOf: undefined,
  maxRetryAfterMs: Infinity,
  waitsForCircuit: false,
  budget: undefined,
  pays: false,
  onRetry: undefined,
  waitForAttempt: false,
  pause: byAttempt(backoff()),
  totals: newTotals(),
};
