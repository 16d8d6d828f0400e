/** A quantile of recent durations: a constant amount of work and memory, and right to a few percent. */

/** Buckets grow by a sixteenth of an octave, 4.4 %, from a tenth of a millisecond to three days. */
const PER_OCTAVE = 16;
const SMALLEST_MS = 0.1;
const BUCKETS = 32 * PER_OCTAVE;

/** How many durations are looked at: between half of it and all of it. */
const WINDOW = 1_000;

/** The quantile of the last durations that were added, in two half windows of a histogram, the older dropped in turn. */
export class Quantile {
  readonly #quantile: number;
  #current = new Uint16Array(BUCKETS);
  #previous = new Uint16Array(BUCKETS);
  #count = 0;
  #previousCount = 0;
  /** The quantile as of now, until another duration is added. */
  #value: number | undefined;

  constructor(quantile: number) {
    this.#quantile = quantile;
  }

  /** How many durations it looks at. */
  get count(): number {
    return this.#count + this.#previousCount;
  }

  add(ms: number): void {
    const octaves = Math.log2(ms / SMALLEST_MS);
    this.#current[Math.max(0, Math.min(BUCKETS - 1, Math.ceil(octaves * PER_OCTAVE)))]!++;
    this.#value = undefined;
    if (++this.#count < WINDOW / 2) return;
    [this.#current, this.#previous] = [this.#previous.fill(0), this.#current];
    this.#previousCount = this.#count;
    this.#count = 0;
  }

  /** The least duration that so many of them don't exceed, rounded up to a bucket's end; NaN without any. */
  get value(): number {
    if (this.#value !== undefined) return this.#value;
    if (this.count === 0) return NaN;
    let left = Math.ceil(this.count * this.#quantile);
    let bucket = -1;
    while (left > 0) {
      bucket++;
      left -= this.#current[bucket]! + this.#previous[bucket]!;
    }
    return this.#value = SMALLEST_MS * 2 ** (bucket / PER_OCTAVE);
  }
}
