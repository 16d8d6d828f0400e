/** SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI '24). */
import type { Eviction } from "./_cache_eviction.ts";
import { Links, NONE, SlotList } from "./_cache_slots.ts";

/**
 * One list in the order of arrival, and a hand that goes from the oldest to the newest and around again: it spares
 * what was used since it last came by, and takes out the first that was not. A read only sets a mark.
 */
export class Sieve implements Eviction<unknown> {
  readonly ordersByUse = false;
  readonly #links = new Links();
  readonly #list = new SlotList(this.#links);
  #marks: Uint8Array = new Uint8Array(0);
  #hand = NONE;

  grow(capacity: number, marks: Uint8Array): void {
    this.#links.grow(capacity);
    this.#marks = marks;
  }

  added(slot: number): void {
    this.#marks[slot] = 0;
    this.#list.addFirst(slot);
  }

  used(): void {}

  victim(): number {
    const { prev } = this.#links;
    const marks = this.#marks;
    const { last } = this.#list;
    let hand = this.#hand === NONE ? last : this.#hand;
    while (marks[hand] !== 0) {
      marks[hand] = 0;
      hand = prev[hand]!;
      if (hand === NONE) hand = last;
    }
    this.#hand = hand;
    return hand;
  }

  removed(slot: number): void {
    if (this.#hand === slot) this.#hand = this.#links.prev[slot]!;
    this.#list.remove(slot);
  }

  cleared(): void {
    this.#list.clear();
    this.#hand = NONE;
  }
}
