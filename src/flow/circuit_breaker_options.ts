/** What a circuit breaker can be told, and what it tells. */
import type { CircuitWindow } from "./circuit_open_error.ts";

/**
 * Options of a `CircuitBreaker`.
 *
 * Which calls it looks at: those of the last `windowMs` (the default), the last `windowSize`, or as many `failures` as
 * come in a row. One of the three can be given.
 */
export interface CircuitBreakerOptions {
  /** Looks at the calls that ended in the last so many milliseconds, above 0. Default 30,000. */
  windowMs?: number | undefined;
  /** Looks at so many calls, the last ones. */
  windowSize?: number | undefined;
  /** Opens after so many failures in a row (or slow calls in a row, with `slowCallMs`). */
  failures?: number | undefined;
  /** Opens when at least this share of the calls has failed, above 0 and up to 1. Default 0.5. */
  failureRate?: number | undefined;
  /** How many calls it wants to see before it opens. Default 10, or `windowSize` if that is less. */
  minimumCalls?: number | undefined;
  /** A call that takes longer than this, in milliseconds, is slow. Default `Infinity`. */
  slowCallMs?: number | undefined;
  /** Opens when at least this share of the calls was slow, above 0 and up to 1. Default 0.5. */
  slowRate?: number | undefined;
  /** How long it stays open the first time, in milliseconds. Default 5,000. */
  openMs?: number | undefined;
  /** How many times as long it stays open each further time in a row, 1 or more. Default 2. */
  openGrowth?: number | undefined;
  /** The longest it stays open, in milliseconds, whatever it grows to or a service asks for. Default 300,000. */
  maxOpenMs?: number | undefined;
  /** The share of the open time by which chance shortens it, 0 to 1: clients then don't come back together. Default 0.1. */
  openJitter?: number | undefined;
  /** How many calls may try whether the service is back; it closes when so many have ended well. Default 1. */
  probes?: number | undefined;
  /** A probe that has not ended after so many milliseconds gives its place to another. Default 30,000. */
  probeLeaseMs?: number | undefined;
  /** Whether an error is a failure of the service; other errors count as answers. Default: always. */
  when?: ((error: unknown) => boolean) | undefined;
  /** Whether a result is a failure of the service; it is returned all the same. Default: never. */
  // deno-lint-ignore no-explicit-any
  whenResult?: ((result: any) => boolean) | undefined;
  /** Whether an error says nothing about the service, and is not counted at all. Default: never. */
  ignore?: ((error: unknown) => boolean) | undefined;
  /** Appears in messages and observer records: what is called. */
  name?: string | undefined;
}

/**
 * How a circuit breaker is disposed to calls: `closed` lets them through and counts, `open` refuses them, `halfOpen` lets
 * probes through. By hand: `isolated` refuses all, `disabled` lets all through and counts none, `metricsOnly` counts but
 * never opens.
 */
export type CircuitState = "closed" | "open" | "halfOpen" | "isolated" | "disabled" | "metricsOnly";

/** What it was that opened a circuit breaker. */
export type CircuitTrigger = "failures" | "slow" | "probes" | "hand";

/** A circuit breaker's state as plain data, for `JSON` and for another process. */
export interface SavedCircuit {
  /** Its state; one that is half-open is saved as open until now. */
  readonly state: Exclude<CircuitState, "halfOpen">;
  /** How often it has opened in a row. */
  readonly openings: number;
  /** When it lets calls try, in milliseconds since 1970, if it is open. */
  readonly openUntil?: number | undefined;
  /** What it had counted when it opened, if it is open. */
  readonly window?: CircuitWindow | undefined;
  /** What opened it, if it is open. */
  readonly trigger?: CircuitTrigger | undefined;
}

/** What an operator wants to know of a `CircuitBreaker`. */
export interface CircuitBreakerStatistics {
  /** Its state; one whose open time is over is half-open. */
  readonly state: CircuitState;
  /** How long no call will be let through, in milliseconds; 0 when that can change any time, `Infinity` if isolated. */
  readonly retryAfterMs: number;
  /** Calls in the window. */
  readonly calls: number;
  /** How many of them have failed. */
  readonly failures: number;
  /** How many of them were slow. */
  readonly slow: number;
  /** The share that has failed; 0 without calls. */
  readonly failureRate: number;
  /** The share that was slow; 0 without calls. */
  readonly slowRate: number;
  /** Calls that were let through and have not been answered. */
  readonly running: number;
  /** Probes under way. */
  readonly probing: number;
  /** How often it has opened in a row. */
  readonly openings: number;
  /** How often it has opened so far. */
  readonly opened: number;
  /** Calls so far that ended well. */
  readonly succeeded: number;
  /** Calls so far that have failed, by error or by result. */
  readonly failed: number;
  /** Calls so far whose error was ignored. */
  readonly ignored: number;
  /** Calls so far that were given up by a signal. */
  readonly aborted: number;
  /** Calls so far that were not let through. */
  readonly refused: number;
  /** Calls so far that ended in another state than they began in, and so were not counted in the window. */
  readonly stale: number;
}
