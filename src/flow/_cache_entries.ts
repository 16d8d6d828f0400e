/** The entries of a cache: a map from keys to slots, and arrays over the slots. */
import { type Eviction, MOST_USES } from "./_cache_eviction.ts";
import { Lru } from "./_cache_lru.ts";
import { S3Fifo } from "./_cache_s3_fifo.ts";
import { Sieve } from "./_cache_sieve.ts";
import { grown } from "./_cache_slots.ts";

/** The names of the eviction policies. */
export const EVICTIONS = ["sieve", "lru", "s3-fifo"] as const;

/** Who has to go when the cache is full. */
export type EvictionName = typeof EVICTIONS[number];

const SMALLEST = 8;
/** From how many slots on memory is given back when the last entry goes. */
const LARGE = 1_024;

/**
 * Keys, values and weights by slot, and the policy that orders them.
 *
 * One number in the map and two places in arrays an entry, where an object of its own would take twice as much.
 */
export class Entries<K, V> {
  readonly index = new Map<K, number>();
  readonly keys: (K | undefined)[] = [undefined];
  readonly values: (V | undefined)[] = [undefined];
  readonly eviction: Eviction<K>;
  /** What the policy keeps of each entry; reads are counted here, which is all that most policies want of them. */
  #marks = new Uint8Array(0);
  readonly #ordersByUse: boolean;
  readonly #maxEntries: number;
  #weights: Float64Array | undefined;
  /** The sum of all weights. Weights are whole numbers, so that it stays exact. */
  weight = 0;
  #capacity = 0;
  #free: number[] = [];
  /** Slots below this one have been used. */
  top = 1;

  constructor(maxEntries: number, weighted: boolean, eviction: EvictionName) {
    this.#maxEntries = maxEntries;
    this.#weights = weighted ? new Float64Array(0) : undefined;
    this.eviction = eviction === "sieve" ? new Sieve() : eviction === "lru" ? new Lru() : new S3Fifo<K>();
    this.#ordersByUse = this.eviction.ordersByUse;
  }

  get size(): number {
    return this.index.size;
  }

  weightOf(slot: number): number {
    return this.#weights === undefined ? 0 : this.#weights[slot]!;
  }

  /** An entry was read, or written again. */
  used(slot: number): void {
    if (this.#ordersByUse) return this.eviction.used(slot);
    const mark = this.#marks[slot]!;
    if ((mark & MOST_USES) < MOST_USES) this.#marks[slot] = mark + 1;
  }

  /** Adds an entry whose key is not in. @returns Its slot. */
  add(key: K, value: V, weight: number): number {
    const slot = this.#free.length > 0 ? this.#free.pop()! : this.#nextSlot();
    this.index.set(key, slot);
    this.keys[slot] = key;
    this.values[slot] = value;
    if (this.#weights !== undefined) this.setWeight(slot, weight, 0);
    this.eviction.added(slot, key);
    return slot;
  }

  /** Takes an entry out. */
  remove(slot: number, evicted: boolean): void {
    const key = this.keys[slot] as K;
    this.eviction.removed(slot, key, evicted);
    this.index.delete(key);
    this.keys[slot] = this.values[slot] = undefined;
    this.weight -= this.weightOf(slot);
    if (this.index.size === 0 && this.#capacity > LARGE) this.removeAll();
    else this.#free.push(slot);
  }

  setWeight(slot: number, weight: number, before: number = this.weightOf(slot)): void {
    if (this.#weights === undefined) return;
    this.#weights[slot] = weight;
    this.weight += weight - before;
  }

  /** Takes all entries out, and gives their memory back. What the policy remembers of those long gone stays. */
  removeAll(): void {
    this.index.clear();
    this.weight = 0;
    this.#free = [];
    this.keys.length = this.values.length = this.top = 1;
    this.#resize(0);
  }

  /** Makes room for slots below `capacity`; for arrays of others over the same slots. */
  protected grow(capacity: number): void {
    this.#marks = grown(this.#marks, capacity);
    this.eviction.grow(capacity, this.#marks);
  }

  #nextSlot(): number {
    if (this.top >= this.#capacity) {
      this.#resize(Math.min(Math.max(SMALLEST, this.#capacity * 2), this.#maxEntries + 1));
    }
    return this.top++;
  }

  #resize(capacity: number): void {
    this.#capacity = capacity;
    // To the very length: growing by `push` takes up to half as much again.
    if (capacity > 0) this.keys.length = this.values.length = capacity;
    if (this.#weights !== undefined) this.#weights = grown(this.#weights, capacity);
    this.grow(capacity);
  }
}
