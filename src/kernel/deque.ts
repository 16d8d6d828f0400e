/** A double-ended queue over a ring buffer: O(1) at both ends, memory follows the content down again. */

const SMALLEST = 16;

/** First in, first out, without `Array.shift` (which turns quadratic on V8 beyond some ten thousand items). */
export class Deque<T> {
  // As long as what was ever written to it, at most `#mask + 1`: it grows by writing at its end, never by a hole, as
  // engines are fast with arrays that are filled in order and slow with long ones that are made empty.
  #ring: (T | undefined)[] = [];
  #mask = SMALLEST - 1;
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds at the end. */
  push(value: T): void {
    const size = this.#size;
    if (size > this.#mask) this.#grow();
    this.#ring[(this.#head + size) & this.#mask] = value;
    this.#size = size + 1;
  }

  /** Adds at the front. */
  unshift(value: T): void {
    if (this.#size > this.#mask) this.#grow();
    while (this.#ring.length <= this.#mask) this.#ring.push(undefined);
    this.#head = (this.#head - 1) & this.#mask;
    this.#ring[this.#head] = value;
    this.#size++;
  }

  /** Takes from the front; `undefined` when empty (ask `size` where `undefined` is a value). */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const head = this.#head;
    const value = this.#ring[head];
    this.#ring[head] = undefined;
    this.#head = (head + 1) & this.#mask;
    const size = --this.#size;
    if (this.#mask > 64 && size * 4 <= this.#mask) this.#shrink();
    return value;
  }

  /** The first value, left in place. */
  peek(): T | undefined {
    return this.#size === 0 ? undefined : this.#ring[this.#head];
  }

  clear(): void {
    this.#ring = [];
    this.#mask = SMALLEST - 1;
    this.#head = 0;
    this.#size = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#size; i++) yield this.#ring[(this.#head + i) & this.#mask] as T;
  }

  /** Doubles a full ring: what had wrapped around to its beginning moves behind its old end. */
  #grow(): void {
    const ring = this.#ring;
    for (let i = 0; i < this.#head; i++) {
      ring.push(ring[i]);
      ring[i] = undefined;
    }
    this.#mask = this.#mask * 2 + 1;
  }

  #shrink(): void {
    const ring: (T | undefined)[] = [];
    for (let i = 0; i < this.#size; i++) ring.push(this.#ring[(this.#head + i) & this.#mask]);
    this.#ring = ring;
    this.#mask >>= 1;
    this.#head = 0;
  }
}
