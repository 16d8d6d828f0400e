/** What a circuit breaker counts of the calls that have ended: a constant amount of work for each, and no timers. */

/** Counts of recent calls. */
export interface BreakerWindow {
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
  /** Counts a call that has ended now. */
  record(nowMs: number, failed: boolean, slow: boolean): void;
  /** Drops what is too old by now. */
  rotate(nowMs: number): void;
}

/** The calls since the last that was neither failed nor slow. */
export class RowWindow implements BreakerWindow {
  calls = 0;
  failures = 0;
  slow = 0;

  record(_nowMs: number, failed: boolean, slow: boolean): void {
    // Each row is one of its own: failed, fine but slow, failed is no row of either.
    this.failures = failed ? this.failures + 1 : 0;
    this.slow = slow ? this.slow + 1 : 0;
    this.calls = Math.max(this.failures, this.slow);
  }

  rotate(): void {}
}

const FAILED = 1;
const SLOW = 2;

/** The last so many calls: a ring of them, with running totals. */
export class CountWindow implements BreakerWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  readonly #ring: Uint8Array;
  #next = 0;

  constructor(size: number) {
    this.#ring = new Uint8Array(size);
  }

  record(_nowMs: number, failed: boolean, slow: boolean): void {
    const ring = this.#ring;
    const at = this.#next;
    if (this.calls < ring.length) this.calls++;
    else {
      const oldest = ring[at]!;
      this.failures -= oldest & FAILED;
      this.slow -= (oldest & SLOW) >> 1;
    }
    ring[at] = (failed ? FAILED : 0) | (slow ? SLOW : 0);
    if (failed) this.failures++;
    if (slow) this.slow++;
    this.#next = at + 1 === ring.length ? 0 : at + 1;
  }

  rotate(): void {}
}

/** How finely time is cut: a call is forgotten between 9 and 10 tenths of the window after it has ended. */
const BUCKETS = 10;

/** The calls of the last so many milliseconds: a ring of buckets with running totals, turned when it is looked at. */
export class TimeWindow implements BreakerWindow {
  calls = 0;
  failures = 0;
  slow = 0;
  readonly #bucketMs: number;
  /** Calls, failures and slow ones, for each bucket. */
  readonly #counts = new Uint32Array(3 * BUCKETS);
  /** The bucket of now, counted from the start of time. */
  #bucket = 0;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / BUCKETS;
  }

  record(nowMs: number, failed: boolean, slow: boolean): void {
    this.rotate(nowMs);
    const counts = this.#counts;
    const at = 3 * (this.#bucket % BUCKETS);
    counts[at]!++;
    this.calls++;
    if (failed) {
      counts[at + 1]!++;
      this.failures++;
    }
    if (slow) {
      counts[at + 2]!++;
      this.slow++;
    }
  }

  rotate(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    if (bucket <= this.#bucket) return;
    const counts = this.#counts;
    for (let gone = Math.min(BUCKETS, bucket - this.#bucket); gone > 0; gone--) {
      const at = 3 * ((bucket + BUCKETS - gone + 1) % BUCKETS);
      this.calls -= counts[at]!;
      this.failures -= counts[at + 1]!;
      this.slow -= counts[at + 2]!;
      counts.fill(0, at, at + 3);
    }
    this.#bucket = bucket;
  }
}
