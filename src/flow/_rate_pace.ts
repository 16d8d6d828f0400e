/** The limit that a server can bear, found by what it says: additive increase, multiplicative decrease. */
import { checkFinite, checkOptions } from "../kernel/checks.ts";
import type { RateLimiterAdaptiveOptions } from "./rate_limiter_options.ts";

/** See the file. Without timers: it moves when it is told something. */
export class RatePace {
  /** As it is now. */
  limit: number;
  #most: number;
  readonly #least: number;
  readonly #decrease: number;
  readonly #increase: number | undefined;
  readonly #intervalMs: number;
  #changedMs = -Infinity;

  constructor(doing: string, limit: number, intervalMs: number, options: RateLimiterAdaptiveOptions) {
    checkOptions(doing, options);
    const { minLimit = Math.min(1, limit), decrease = 0.5, increase } = options;
    checkFinite(`${doing} as of its pace`, "minLimit", minLimit, Number.MIN_VALUE);
    checkFinite(doing, "decrease", decrease, Number.MIN_VALUE);
    if (decrease >= 1) {
      throw new RangeError(`Cannot ${doing} as decrease must be below 1: received ${decrease}`);
    }
    if (increase !== undefined) checkFinite(doing, "increase", increase, Number.MIN_VALUE);
    this.limit = this.#most = limit;
    this.#least = minLimit;
    this.#decrease = decrease;
    this.#increase = increase;
    this.#intervalMs = intervalMs;
  }

  /** The server has refused. What it refuses within an interval of that was under way already. @returns Whether it is slower now. */
  refused(nowMs: number): boolean {
    return this.#move(Math.max(this.limit * this.#decrease, Math.min(this.#least, this.limit)), nowMs);
  }

  /** The server has served. @returns Whether it is faster now. */
  served(nowMs: number): boolean {
    return this.#move(Math.min(this.limit + (this.#increase ?? this.#most / 10), this.#most), nowMs);
  }

  /** The limit above which it never goes is another. */
  resize(limit: number): void {
    this.limit = this.limit === this.#most ? limit : Math.min(this.limit, limit);
    this.#most = limit;
  }

  #move(limit: number, nowMs: number): boolean {
    if (limit === this.limit || nowMs - this.#changedMs < this.#intervalMs) return false;
    this.limit = limit;
    this.#changedMs = nowMs;
    return true;
  }
}
