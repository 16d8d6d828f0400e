/** Resources that several may use at once: each of those has a seat. */
import { LinkedList } from "../kernel/linked_list.ts";
import { Item } from "./_pool_item.ts";

/** Who sits where. Resources in use that have seats left are filled first, the one that has been so for the longest. */
export class Seats<T> {
  /** How many there are of each resource. */
  readonly each: number;
  /** How many resources are in use. */
  resources = 0;
  readonly #open = new LinkedList<Item<T>>();

  constructor(each: number) {
    this.each = each;
  }

  /**
   * One with a seat left.
   *
   * @param mayBe Whether it may have another user. After a no it has none before it has come back: what says no for a
   * while only is asked before this is called.
   */
  open(mayBe: (item: Item<T>) => boolean): Item<T> | undefined {
    for (let item = this.#open.first; item !== undefined; item = this.#open.first) {
      if (mayBe(item)) return item;
      this.#close(item);
    }
    return undefined;
  }

  take(item: Item<T>): Item<T> {
    if (++item.seats === 1) {
      this.resources++;
      this.#open.add(item);
      item.isOpen = true;
    } else if (item.seats === this.each) this.#close(item);
    return new Item(item.value, item.pool, item.goodMs, item.expiresMs, item.wave, item);
  }

  /** Leaves a seat. @returns Whether all have been left. */
  leave(item: Item<T>): boolean {
    if (item.seats-- === this.each) {
      this.#open.add(item);
      item.isOpen = true;
    }
    if (item.seats > 0) return false;
    this.resources--;
    this.#close(item);
    return true;
  }

  #close(item: Item<T>): void {
    if (item.isOpen) this.#open.remove(item);
    item.isOpen = false;
  }
}
