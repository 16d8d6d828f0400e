import { checkDurationMs, checkFinite, checkInteger, checkOptions } from "../kernel/checks.ts";
import type { AdaptiveLimit, LimitEstimator, LimitSample } from "./adaptive_limit.ts";
import { checkFraction, checkRange, type LimitRange } from "./aimd.ts";

/** Options of {@linkcode gradient2}. */
export interface Gradient2Options extends LimitRange {
  /** How many times the long-term latency is still fine: 1 or more. Default 1.5. */
  tolerance?: number | undefined;
  /** How much of a change each window makes: above 0, below 1. Default 0.2. */
  smoothing?: number | undefined;
  /** How many more than now are tried when all goes well. Default 4. */
  headroom?: number | undefined;
  /** Over how many windows the long-term latency is averaged. Default 600. */
  longWindows?: number | undefined;
  /** The least a window lasts, in milliseconds; it always lasts twice the latency at least. Default 100. */
  windowMs?: number | undefined;
  /** How many calls a window has at least. Default 10. */
  minSamples?: number | undefined;
}

type Tuning = Required<Omit<Gradient2Options, keyof LimitRange>>;

/** Windows whose plain average the long-term latency begins with. */
const WARM_UP_WINDOWS = 10;

/**
 * Finds a limit from latency alone: when calls take longer than they did in the long run, too many are under way.
 *
 * **Less** — in proportion to how much longer the calls of a window took than the long-term average with its tolerance,
 * and to how many failed of overload. **More** — only when at least half the limit was in use, so that it does not grow
 * while nothing goes on. **Windows** — have a minimum of time and of calls, and are closed by the calls themselves: no
 * timer runs.
 *
 * After Gradient2 of Netflix's concurrency-limits; unlike there, nothing is added to a limit that is to fall, which at
 * small limits would outweigh the fall.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { Bulkhead, gradient2 } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const search = new Bulkhead({ limit: gradient2({ initial: 20, min: 5, max: 100 }), maxQueue: 50 });
 * assert.deepEqual(await search.run(async () => await Promise.resolve("found")), "found");
 * assert.deepEqual(search.statistics().limit, 20);
 * ```
 */
export function gradient2(options: Gradient2Options = {}): AdaptiveLimit {
  const doing = "create gradient2";
  checkOptions(doing, options);
  const { tolerance = 1.5, smoothing = 0.2, headroom = 4, longWindows = 600 } = options;
  const { windowMs = 100, minSamples = 10 } = options;
  checkFinite(doing, "tolerance", tolerance, 1);
  checkFraction(doing, "smoothing", smoothing);
  checkFinite(doing, "headroom", headroom, 0);
  checkInteger(doing, "longWindows", longWindows, 1);
  checkDurationMs(doing, "windowMs", windowMs);
  checkInteger(doing, "minSamples", minSamples, 1);
  const range = checkRange(doing, options);
  const tuning = { tolerance, smoothing, headroom, longWindows, windowMs, minSamples };
  return { start: () => new Gradient2(range, tuning) };
}

/** The calls of one window. */
class Window {
  readonly startedMs: number;
  samples = 0;
  overloaded = 0;
  mostInFlight = 0;
  #runMs = 0;

  constructor(startedMs: number) {
    this.startedMs = startedMs;
  }

  add({ runMs, inFlight, overloaded }: LimitSample): void {
    this.samples++;
    this.mostInFlight = Math.max(this.mostInFlight, inFlight);
    if (overloaded) this.overloaded++;
    else this.#runMs += runMs;
  }

  /** What a call took; those that were cut short by overload don't count. `NaN` when there are no others. */
  get averageMs(): number {
    return this.#runMs / (this.samples - this.overloaded);
  }
}

class Gradient2 implements LimitEstimator {
  readonly #range: Required<LimitRange>;
  readonly #tuning: Tuning;
  #limit: number;
  #window: Window | undefined;
  /** The long-term latency, and of how many windows it was made. */
  #longMs = 0;
  #windows = 0;

  constructor(range: Required<LimitRange>, tuning: Tuning) {
    this.#range = range;
    this.#tuning = tuning;
    this.#limit = range.initial;
  }

  get limit(): number {
    return this.#limit;
  }

  record(sample: LimitSample): void {
    const window = this.#window ??= new Window(sample.startedMs);
    window.add(sample);
    const { windowMs, minSamples } = this.#tuning;
    const leastMs = Math.max(windowMs, 2 * (window.averageMs || 0));
    if (window.samples < minSamples || sample.endedMs - window.startedMs < leastMs) return;
    this.#window = undefined;
    this.#update(window);
  }

  #update(window: Window): void {
    const { smoothing, headroom } = this.#tuning;
    const gradient = this.#gradient(window);
    let wanted = this.#limit;
    if (gradient < 1) wanted *= gradient;
    else if (window.mostInFlight * 2 >= this.#limit) wanted += headroom;
    const { min, max } = this.#range;
    const limit = this.#limit * (1 - smoothing) + wanted * smoothing;
    this.#limit = Math.min(max, Math.max(min, limit));
  }

  /** What the limit should be, as a part of what it is: from a half to all of it. */
  #gradient(window: Window): number {
    const shortMs = window.averageMs;
    const wellPart = 1 - window.overloaded / window.samples;
    if (Number.isNaN(shortMs)) return 0.5;
    const longMs = this.#windows === 0 ? shortMs : this.#longMs;
    this.#learn(shortMs);
    const slowness = shortMs === 0 ? 1 : this.#tuning.tolerance * longMs / shortMs;
    return Math.max(0.5, Math.min(1, slowness, wellPart));
  }

  #learn(shortMs: number): void {
    const { longWindows } = this.#tuning;
    const over = ++this.#windows <= WARM_UP_WINDOWS ? this.#windows : (longWindows + 1) / 2;
    this.#longMs += (shortMs - this.#longMs) / Math.max(1, over);
    // After a long time of overload the average is far too high to notice the next one.
    if (this.#longMs > 2 * shortMs) this.#longMs *= 0.95;
  }
}
