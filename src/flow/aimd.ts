import { checkDurationMs, checkFinite, checkInteger, checkOptions } from "../kernel/checks.ts";
import type { AdaptiveLimit, LimitEstimator, LimitSample } from "./adaptive_limit.ts";

/** Between what bounds a limit is looked for. */
export interface LimitRange {
  /** Where the search begins, from `min` to `max`. Default 20, or the nearest bound. */
  initial?: number | undefined;
  /** The least it may become. Default 1. */
  min?: number | undefined;
  /** The most it may become. Default 200. */
  max?: number | undefined;
}

/** Options of {@linkcode aimd}. */
export interface AimdOptions extends LimitRange {
  /** Calls that run longer than so many milliseconds count as overload. Default `Infinity`. */
  latencyMs?: number | undefined;
  /** How much is added for as many good calls as may run at once. Default 1. */
  increase?: number | undefined;
  /** What the limit is multiplied with after overload: above 0, below 1. Default 0.9. */
  decrease?: number | undefined;
}

/** Checks a range and fills it. */
export function checkRange(doing: string, { initial, min = 1, max = 200 }: LimitRange): Required<LimitRange> {
  checkInteger(doing, "min", min, 1);
  checkInteger(doing, "max", max, min);
  if (initial !== undefined) checkInteger(doing, "initial", initial, min, max);
  return { initial: initial ?? Math.min(max, Math.max(min, 20)), min, max };
}

/** Throws unless `value` lies between 0 and 1. */
export function checkFraction(doing: string, what: string, value: number): void {
  checkFinite(doing, what, value);
  if (value > 0 && value < 1) return;
  throw new RangeError(`Cannot ${doing} as ${what} must be above 0 and below 1: received ${value}`);
}

/**
 * Finds a limit as TCP does: a little more as long as all goes well, a good deal less after overload.
 *
 * **More** — only when at least half the limit was in use, so that it does not grow while nothing goes on. **Less** — once
 * for all calls that were under way together: those that began before the last decrease tell nothing new.
 *
 * Additive increase, multiplicative decrease (Chiu and Jain, 1989).
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { aimd, Bulkhead } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const billing = new Bulkhead({ limit: aimd({ initial: 10, latencyMs: 200 }) });
 * assert.deepEqual(await billing.run(async () => await Promise.resolve("paid")), "paid");
 * assert.deepEqual(billing.statistics().limit, 10);
 * ```
 */
export function aimd(options: AimdOptions = {}): AdaptiveLimit {
  const doing = "create aimd";
  checkOptions(doing, options);
  const { latencyMs = Infinity, increase = 1, decrease = 0.9 } = options;
  checkDurationMs(doing, "latencyMs", latencyMs);
  checkFinite(doing, "increase", increase, 0);
  checkFraction(doing, "decrease", decrease);
  const range = checkRange(doing, options);
  return { start: () => new Aimd(range, { latencyMs, increase, decrease }) };
}

class Aimd implements LimitEstimator {
  readonly #range: Required<LimitRange>;
  readonly #options: Required<Omit<AimdOptions, keyof LimitRange>>;
  #limit: number;
  #decreasedMs = -Infinity;

  constructor(range: Required<LimitRange>, options: Required<Omit<AimdOptions, keyof LimitRange>>) {
    this.#range = range;
    this.#options = options;
    this.#limit = range.initial;
  }

  get limit(): number {
    return this.#limit;
  }

  record({ runMs, inFlight, overloaded, startedMs, endedMs }: LimitSample): void {
    const { latencyMs, increase, decrease } = this.#options;
    if (overloaded || runMs > latencyMs) {
      if (startedMs < this.#decreasedMs) return;
      this.#decreasedMs = endedMs;
      this.#limit = Math.max(this.#range.min, this.#limit * decrease);
    } else if (inFlight * 2 >= this.#limit) {
      this.#limit = Math.min(this.#range.max, this.#limit + increase / this.#limit);
    }
  }
}
