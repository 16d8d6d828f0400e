/** Least recently used goes first. */
import type { Eviction } from "./_cache_eviction.ts";
import { Links, SlotList } from "./_cache_slots.ts";

/** One list in the order of use; every read moves its entry to the front. */
export class Lru implements Eviction<unknown> {
  readonly ordersByUse = true;
  readonly #links = new Links();
  readonly #list = new SlotList(this.#links);

  grow(capacity: number): void {
    this.#links.grow(capacity);
  }

  added(slot: number): void {
    this.#list.addFirst(slot);
  }

  used(slot: number): void {
    const list = this.#list;
    if (list.first === slot) return;
    list.remove(slot);
    list.addFirst(slot);
  }

  victim(): number {
    return this.#list.last;
  }

  removed(slot: number): void {
    this.#list.remove(slot);
  }

  cleared(): void {
    this.#list.clear();
  }
}
