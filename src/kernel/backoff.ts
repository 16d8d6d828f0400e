/** How long to wait before trying again. */
import { checkChoice, checkDurationMs, checkOptions } from "./checks.ts";
import { clock } from "./clock.ts";

/** How the pause before the next attempt grows and scatters. */
export type BackoffOptions = {
  /** How it grows: always `baseMs`, by `baseMs` each time, or doubling. Default `"exponential"`. */
  kind?: "constant" | "linear" | "exponential" | undefined;
  /** The first pause, in milliseconds. Default 100, or `maxMs` if that is less. */
  baseMs?: number | undefined;
  /** The longest pause, in milliseconds. Default 10,000. */
  maxMs?: number | undefined;
  /**
   * How it scatters, so that callers who failed together do not come back together: not at all; anywhere between 0
   * and the pause (`"full"`, the default); in the upper half of it (`"equal"`); between `baseMs` and three times the
   * pause before, up to `maxMs` (`"decorrelated"`, which grows by itself and ignores `kind`).
   */
  jitter?: "none" | "full" | "equal" | "decorrelated" | undefined;
};

/**
 * Makes the function that gives the pause after attempt 1, 2, 3 …, in milliseconds, never above `maxMs`.
 *
 * The cap is applied before the jitter, so pauses at the cap still scatter (AWS Architecture Blog, "Exponential
 * Backoff And Jitter"). Keeps no state: decorrelated jitter takes the pause before as second argument, so that one
 * function serves concurrent callers.
 *
 * @example
 * ```ts
 * import { backoff } from "@uno/async";
 * import assert from "node:assert/strict";
 *
 * const pause = backoff({ baseMs: 100, maxMs: 1_000, jitter: "none" });
 * assert.deepEqual([1, 2, 3, 4, 5].map((attempt) => pause(attempt)), [100, 200, 400, 800, 1_000]);
 * ```
 */
export function backoff(options: BackoffOptions = {}): (attempt: number, previousMs?: number) => number {
  return backoffOf("create backoff", options);
}

/**
 * The same for a structure that has such options: when one is wrong, `doing` is what could not be done, and `within`
 * (`"backoff."`) stands before its name.
 */
export function backoffOf(
  doing: string,
  options: BackoffOptions = {},
  within = "",
): (attempt: number, previousMs?: number) => number {
  checkOptions(doing, options, within === "" ? "options" : within.slice(0, -1));
  const { kind = "exponential", jitter = "full" } = options;
  if (options.maxMs !== undefined) checkDurationMs(doing, `${within}maxMs`, options.maxMs);
  const { baseMs = Math.min(100, options.maxMs ?? 100) } = options;
  checkChoice(doing, `${within}kind`, kind, ["constant", "linear", "exponential"]);
  checkChoice(doing, `${within}jitter`, jitter, ["none", "full", "equal", "decorrelated"]);
  checkDurationMs(doing, `${within}baseMs`, baseMs);
  if (baseMs === Infinity) {
    throw new RangeError(`Cannot ${doing} as ${within}baseMs must be finite: received Infinity`);
  }
  const { maxMs = Math.max(10_000, baseMs) } = options;
  if (maxMs < baseMs) {
    throw new RangeError(
      `Cannot ${doing} as ${within}maxMs must be >= ${within}baseMs (${baseMs}): received ${maxMs}`,
    );
  }
  const grown = (attempt: number): number => {
    const factor = kind === "constant" ? 1 : kind === "linear" ? attempt : 2 ** Math.min(attempt - 1, 30);
    return Math.min(maxMs, baseMs * factor);
  };
  return (attempt, previousMs = baseMs) => {
    const random = clock().random();
    if (jitter === "decorrelated") {
      // Finite also without a cap, after however many attempts: 0 times infinity is NaN.
      const longest = Math.min(maxMs, Math.max(baseMs, previousMs * 3), Number.MAX_VALUE);
      return baseMs + random * (longest - baseMs);
    }
    const pause = grown(attempt);
    if (jitter === "full") return random * pause;
    return jitter === "equal" ? pause / 2 + random * pause / 2 : pause;
  };
}
