/** A double-ended queue over a ring buffer: O(1) at both ends, memory follows the content down again. */

const SMALLEST = 16;

/** First in, first out, without `Array.shift` (which turns quadratic on V8 beyond some ten thousand items). */
export class Deque<T> {
  #ring: (T | undefined)[] = new Array(SMALLEST);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds at the end. */
  push(value: T): void {
    const size = this.#size;
    if (size === this.#ring.length) this.#resize(size * 2);
    const ring = this.#ring;
    ring[(this.#head + size) & (ring.length - 1)] = value;
    this.#size = size + 1;
  }

  /** Adds at the front. */
  unshift(value: T): void {
    if (this.#size === this.#ring.length) this.#resize(this.#size * 2);
    this.#head = (this.#head - 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = value;
    this.#size++;
  }

  /** Takes from the front; `undefined` when empty (ask `size` where `undefined` is a value). */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const ring = this.#ring;
    const head = this.#head;
    const size = --this.#size;
    const value = ring[head];
    ring[head] = undefined;
    this.#head = (head + 1) & (ring.length - 1);
    if (ring.length > 64 && size * 4 <= ring.length) this.#resize(ring.length / 2);
    return value;
  }

  /** The first value, left in place. */
  peek(): T | undefined {
    return this.#size === 0 ? undefined : this.#ring[this.#head];
  }

  clear(): void {
    this.#ring = new Array(SMALLEST);
    this.#head = 0;
    this.#size = 0;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#size; i++) yield this.#ring[(this.#head + i) & (this.#ring.length - 1)] as T;
  }

  #resize(length: number): void {
    const ring = new Array<T | undefined>(length);
    for (let i = 0; i < this.#size; i++) ring[i] = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
    this.#ring = ring;
    this.#head = 0;
  }
}
