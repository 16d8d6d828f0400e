/** S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP '23). */
import { Deque } from "../kernel/deque.ts";
import { type Eviction, MOST_USES } from "./_cache_eviction.ts";
import { Links, NONE, SlotList } from "./_cache_slots.ts";

/** Set beside the count of uses when an entry is in the main queue. */
const MAIN = MOST_USES + 1;

/**
 * Three queues: new entries go into a small one, a tenth of all; what was read there more than once moves to the main
 * one; what was not is evicted, its key remembered for a while, and admitted to the main queue should it come back.
 * The main queue gives what was read since another round. A scan of keys that nobody asks for again passes through
 * the small queue alone.
 */
export class S3Fifo<K> implements Eviction<K> {
  readonly ordersByUse = false;
  readonly #links = new Links();
  readonly #small = new SlotList(this.#links);
  readonly #main = new SlotList(this.#links);
  /** For each slot, how often it was used, and whether it is in the main queue. */
  #marks: Uint8Array = new Uint8Array(0);
  readonly #ghosts = new Ghosts<K>();

  grow(capacity: number, marks: Uint8Array): void {
    this.#links.grow(capacity);
    this.#marks = marks;
  }

  added(slot: number, key: K): void {
    const known = this.#ghosts.delete(key);
    this.#marks[slot] = known ? MAIN : 0;
    (known ? this.#main : this.#small).addFirst(slot);
  }

  used(): void {}

  victim(): number {
    const marks = this.#marks;
    for (;;) {
      const [small, main] = [this.#small, this.#main];
      if (small.size > 0 && (small.size * 10 >= small.size + main.size || main.size === 0)) {
        const slot = small.last;
        if (marks[slot]! <= 1) return slot;
        small.remove(slot);
        main.addFirst(slot);
        marks[slot] = MAIN;
      } else {
        const slot = main.last;
        if (slot === NONE || marks[slot] === MAIN) return slot;
        main.remove(slot);
        main.addFirst(slot);
        marks[slot]!--;
      }
    }
  }

  removed(slot: number, key: K, evicted: boolean): void {
    const small = this.#marks[slot]! < MAIN;
    // As many as the main queue holds when the cache is full, counted before this one goes.
    if (small && evicted) this.#ghosts.add(key, Math.ceil((this.#small.size + this.#main.size) * 0.9));
    (small ? this.#small : this.#main).remove(slot);
  }

  cleared(): void {
    this.#small.clear();
    this.#main.clear();
    this.#ghosts.clear();
  }
}

/** The keys last evicted, oldest first. */
class Ghosts<K> {
  /** The place that holds for a key, counted from the first that ever was. */
  readonly #places = new Map<K, number>();
  // Not the map's own order: taking from its front again and again is quadratic. A key that comes back leaves its place
  // in the line behind, to be skipped.
  readonly #line = new Deque<K>();
  #gone = 0;

  add(key: K, most: number): void {
    this.#places.set(key, this.#gone + this.#line.size);
    this.#line.push(key);
    while (this.#places.size > most) this.#dropOldest();
    if (this.#line.size > 2 * this.#places.size + 16) this.#tidy();
  }

  delete(key: K): boolean {
    return this.#places.delete(key);
  }

  clear(): void {
    this.#places.clear();
    this.#line.clear();
  }

  #dropOldest(): void {
    const key = this.#line.shift() as K;
    if (this.#places.get(key) === this.#gone++) this.#places.delete(key);
  }

  /** Takes the places out that hold for no key. */
  #tidy(): void {
    const { size } = this.#line;
    for (let i = 0; i < size; i++) {
      const key = this.#line.shift() as K;
      if (this.#places.get(key) !== this.#gone++) continue;
      this.#places.set(key, this.#gone + this.#line.size);
      this.#line.push(key);
    }
  }
}
