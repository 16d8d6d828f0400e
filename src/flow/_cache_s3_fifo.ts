/** S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP '23). */
import { Deque } from "../kernel/deque.ts";
import type { Eviction } from "./_cache_eviction.ts";
import { grown, Links, NONE, SlotList } from "./_cache_slots.ts";

/** How many reads of an entry are counted. */
const MOST_USES = 3;
/** Set beside the count of uses when an entry is in the main queue. */
const MAIN = 4;

/**
 * Three queues: new entries go into a small one, a tenth of all; what was read there more than once moves to the main
 * one; what was not is evicted, its key remembered for a while, and admitted to the main queue should it come back.
 * The main queue gives what was read since another round. A scan of keys that nobody asks for again passes through
 * the small queue alone.
 */
export class S3Fifo<K> implements Eviction<K> {
  readonly #links = new Links();
  readonly #small = new SlotList(this.#links);
  readonly #main = new SlotList(this.#links);
  /** For each slot, how often it was used, and whether it is in the main queue. */
  #marks = new Uint8Array(0);
  readonly #ghosts = new Ghosts<K>();

  grow(capacity: number): void {
    this.#links.grow(capacity);
    this.#marks = grown(this.#marks, capacity);
  }

  added(slot: number, key: K): void {
    const known = this.#ghosts.delete(key);
    this.#marks[slot] = known ? MAIN : 0;
    (known ? this.#main : this.#small).addFirst(slot);
  }

  used(slot: number): void {
    const marks = this.#marks[slot]!;
    if ((marks & MOST_USES) < MOST_USES) this.#marks[slot] = marks + 1;
  }

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
  /** The number of the place in line that holds for a key. */
  readonly #numbers = new Map<K, number>();
  // Not the map's own order: taking from its front again and again is quadratic. A key that came back leaves its place
  // in the line behind, to be skipped.
  #line = new Deque<{ key: K; number: number }>();
  #made = 0;

  add(key: K, most: number): void {
    const number = this.#made++;
    this.#numbers.set(key, number);
    this.#line.push({ key, number });
    while (this.#numbers.size > most) this.#dropOldest();
    if (this.#line.size > 2 * this.#numbers.size + 16) this.#tidy();
  }

  delete(key: K): boolean {
    return this.#numbers.delete(key);
  }

  clear(): void {
    this.#numbers.clear();
    this.#line.clear();
  }

  #dropOldest(): void {
    const { key, number } = this.#line.shift()!;
    if (this.#numbers.get(key) === number) this.#numbers.delete(key);
  }

  #tidy(): void {
    const line = new Deque<{ key: K; number: number }>();
    for (const place of this.#line) if (this.#numbers.get(place.key) === place.number) line.push(place);
    this.#line = line;
  }
}
