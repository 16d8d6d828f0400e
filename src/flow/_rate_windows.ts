/** Rates counted in windows that begin at multiples of the interval: by one counter, or by two that are blended. */
import { Bucket, type RateAlgorithm, type RateRule, type Receipt } from "./_rate_algorithm.ts";

/** What a quotient of floating point numbers may be off by: the moment a window begins must not fall before it. */
const SLACK = 1e-9;

/** Counts for {@linkcode FixedWindow} and {@linkcode SlidingCounter}; the mark is the number of the current window. */
interface Counts {
  current: number;
  previous: number;
}

/** What both have in common. */
abstract class Windows implements RateAlgorithm {
  readonly linear = false;
  limit: number;
  readonly intervalMs: number;
  /** For how many windows a count matters. */
  abstract readonly lasting: number;

  constructor(rule: RateRule) {
    this.limit = rule.limit;
    this.intervalMs = rule.intervalMs;
  }

  get most(): number {
    return this.limit;
  }

  abstract fitsAt(bucket: Bucket, weight: number, fromMs: number): number;
  abstract room(bucket: Bucket, nowMs: number): number;

  tryTake(bucket: Bucket, weight: number, nowMs: number): boolean {
    if (this.fitsAt(bucket, weight, nowMs) > nowMs) return false;
    this.take(bucket, weight, nowMs);
    return true;
  }

  take(bucket: Bucket, weight: number, atMs: number): void {
    const window = Math.max(this.window(atMs), bucket.mark);
    const counts = this.counts(bucket, window);
    counts.current += weight;
    bucket.more = counts;
    bucket.mark = window;
  }

  takeForNow(bucket: Bucket, weight: number, atMs: number): Receipt {
    this.take(bucket, weight, atMs);
    const window = bucket.mark;
    let open = true;
    return {
      cancel: () => {
        if (!open) return;
        open = false;
        const counts = bucket.more as Counts;
        if (bucket.mark === window) counts.current -= weight;
        else if (bucket.mark === window + 1) counts.previous -= weight;
      },
      keep: () => void (open = false),
    };
  }

  idleAt(bucket: Bucket): number {
    return (bucket.mark + this.lasting) * this.intervalMs;
  }

  soonestIdle(nowMs: number): number {
    return (this.window(nowMs) + this.lasting) * this.intervalMs;
  }

  copy(bucket: Bucket): Bucket {
    const copy = new Bucket(bucket.key);
    copy.mark = bucket.mark;
    copy.more = bucket.more === undefined ? undefined : { ...bucket.more as Counts };
    return copy;
  }

  change(rule: RateRule): void {
    this.limit = rule.limit;
  }

  window(ms: number): number {
    return Math.floor(ms / this.intervalMs + SLACK);
  }

  /** What has been counted, as seen from a window. */
  counts(bucket: Bucket, window: number): Counts {
    const counts = bucket.more as Counts | undefined;
    if (counts === undefined || window > bucket.mark + 1) return { current: 0, previous: 0 };
    return window > bucket.mark ? { current: 0, previous: counts.current } : counts;
  }
}

/** So much in each window, all of it at its end and again at the next one's beginning if that is how calls come. */
export class FixedWindow extends Windows {
  readonly lasting = 1;

  fitsAt(bucket: Bucket, weight: number, fromMs: number): number {
    const window = this.window(fromMs);
    if (this.counts(bucket, window).current + weight <= this.limit) return fromMs;
    return (window + 1) * this.intervalMs;
  }

  room(bucket: Bucket, nowMs: number): number {
    return Math.max(0, this.limit - this.counts(bucket, this.window(nowMs)).current);
  }
}

/**
 * What was counted in this window, and of the one before as much as a window that ends now would still see of it if its
 * calls had come evenly: cheap, and near to the truth. Several proxies and API gateways count so.
 */
export class SlidingCounter extends Windows {
  readonly lasting = 2;

  fitsAt(bucket: Bucket, weight: number, fromMs: number): number {
    let window = this.window(fromMs);
    let { current, previous } = this.counts(bucket, window);
    // More than the limit can't be had at all: somebody adds up what several ask for.
    while (current > 0 || previous > 0) {
      const room = this.limit - current - weight;
      if (room >= 0) {
        // From when on no more than `room` of the window before is left to be seen.
        const at = previous <= room ? -Infinity : (window + 1 - room / previous) * this.intervalMs;
        if (at <= fromMs || this.#seen(previous, window, fromMs) <= room + SLACK * this.limit) return fromMs;
        if (room > 0) return at;
      }
      window++;
      fromMs = Math.max(fromMs, window * this.intervalMs);
      previous = current;
      current = 0;
    }
    return fromMs;
  }

  room(bucket: Bucket, nowMs: number): number {
    const window = this.window(nowMs);
    const { current, previous } = this.counts(bucket, window);
    return Math.max(0, this.limit - current - this.#seen(previous, window, nowMs));
  }

  /** How much of `previous` is seen by a window that ends at a moment of `window`. */
  #seen(previous: number, window: number, ms: number): number {
    return previous * Math.min(1, Math.max(0, window + 1 - ms / this.intervalMs));
  }
}
