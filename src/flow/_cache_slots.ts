/** Lists of slots: a cache gives each of its entries a number, and orders the numbers instead of objects. */

/** No slot: the slots of a cache count from 1, so that an empty link is what typed arrays are filled with. */
export const NONE = 0;

/** The links of all lists that share their slots; a slot is in one list at most. Eight bytes a slot. */
export class Links {
  next: Uint32Array = new Uint32Array(0);
  prev: Uint32Array = new Uint32Array(0);

  /** Makes room for slots below `capacity`. */
  grow(capacity: number): void {
    this.next = grown(this.next, capacity);
    this.prev = grown(this.prev, capacity);
  }
}

/** A doubly linked list of slots. */
export class SlotList {
  first = NONE;
  last = NONE;
  size = 0;
  readonly #links: Links;

  constructor(links: Links) {
    this.#links = links;
  }

  addFirst(slot: number): void {
    const { next, prev } = this.#links;
    const first = this.first;
    next[slot] = first;
    prev[slot] = NONE;
    if (first === NONE) this.last = slot;
    else prev[first] = slot;
    this.first = slot;
    this.size++;
  }

  remove(slot: number): void {
    const links = this.#links;
    const next = links.next[slot]!;
    const prev = links.prev[slot]!;
    if (prev === NONE) this.first = next;
    else links.next[prev] = next;
    if (next === NONE) this.last = prev;
    else links.prev[next] = prev;
    this.size--;
  }

  clear(): void {
    this.first = this.last = NONE;
    this.size = 0;
  }
}

type Numbers = Uint8Array | Uint32Array | Float32Array | Float64Array;

/** A longer copy of a typed array, which is filled with `rest` from where the old one ends. */
export function grown<A extends Numbers>(array: A, capacity: number, rest = 0): A {
  const longer = new (array.constructor as new (length: number) => A)(capacity);
  longer.set(array.subarray(0, capacity));
  if (rest !== 0) longer.fill(rest, array.length);
  return longer;
}
