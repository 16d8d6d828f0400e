/** Room for resources that several pools share: who needs it gets it from whoever has not used it for the longest. */
import { Heap, type HeapItem } from "../kernel/heap.ts";
import { LinkedList } from "../kernel/linked_list.ts";
import type { Item } from "./_pool_item.ts";
import { Owners } from "./_pool_owners.ts";

/** A pool, as far as room goes. */
export interface Tenant<T> extends HeapItem {
  /** When the first of those who wait came; `undefined` when nobody does. */
  readonly firstOrder: number | undefined;
  /** When the first of those came who have nothing on its way, a place that is being made free included. */
  readonly nextOrder: number | undefined;
  /** How many of those who wait have nothing on its way to them. */
  readonly wanting: number;
  /** How many places are being made free for it. */
  promised: number;
  /** Since when it waits for a place, as the heap knows it. */
  heapOrder: number;
  serve(): void;
  /** Ends one of its idle resources. */
  giveUp(item: Item<T>): void;
}

/** So many places for the resources of all pools. */
export class Room<T> {
  max: number;
  /** Places taken. */
  used = 0;
  /** Of those, the ones whose resource is being destroyed. */
  ending = 0;
  /** Leases in all pools. */
  leased = 0;
  readonly owners = new Owners();
  /** Idle resources of all pools, the longest first. */
  readonly #idle = new LinkedList<Item<T>>();
  /** Pools that want a place that nobody has promised them, by who has waited for the longest. */
  readonly #starving = new Heap<Tenant<T>>((a, b) => a.heapOrder < b.heapOrder);

  constructor(max: number) {
    this.max = max;
  }

  /** How many places could be had without waiting for a user. */
  get spare(): number {
    return Math.max(0, this.max - this.used) + this.#idle.size;
  }

  /** Whether there are more than there may be, as there may be fewer than before. */
  get overfull(): boolean {
    return this.used - this.ending > this.max;
  }

  /** Changes how many there may be. */
  resize(max: number): void {
    this.max = max;
    for (let item = this.#idle.first; item !== undefined && this.overfull; item = this.#idle.first) {
      (item.pool as unknown as Tenant<T>).giveUp(item);
    }
    this.#serveStarving();
  }

  /** Takes a place for a pool, or sees to it that one becomes free. */
  claim(tenant: Tenant<T>): boolean {
    if (this.used < this.max) {
      const first = this.#firstStarving();
      if (first === undefined || first === tenant || first.heapOrder > (tenant.nextOrder ?? Infinity)) {
        this.used++;
        return true;
      }
      this.#starve(tenant); // Whoever has made the place free goes through all of them.
      return false;
    }
    if (tenant.promised >= tenant.wanting) return false;
    const item = this.#idle.first;
    if (item === undefined || this.overfull) {
      this.#starve(tenant);
      return false;
    }
    this.#promise(item, tenant);
    (item.pool as unknown as Tenant<T>).giveUp(item);
    return false;
  }

  /** Whether an item that has come free in `tenant` has to make room for those who came before. */
  takesAway(tenant: Tenant<T>, item: Item<T>): boolean {
    const first = this.#firstStarving();
    if (first === undefined || first === tenant) return false;
    if (tenant.firstOrder !== undefined && tenant.firstOrder < first.heapOrder) return false;
    this.#promise(item, first);
    this.#starve(first); // for the next of those who wait there
    return true;
  }

  /** A place is free: after the end of `item`, or of an attempt to make one. */
  gone(item: Item<T> | undefined): void {
    this.used--;
    if (item !== undefined) this.ending--;
    const tenant = item?.promisedTo as Tenant<T> | undefined;
    if (tenant !== undefined) {
      tenant.promised--;
      tenant.serve();
    }
    this.#serveStarving();
  }

  #serveStarving(): void {
    while (this.used < this.max) {
      const first = this.#firstStarving();
      if (first === undefined) return;
      this.#starving.remove(first); // It is back when it wants more than it gets.
      first.serve();
    }
  }

  idleNow(item: Item<T>): void {
    this.#idle.add(item);
  }

  idleNoMore(item: Item<T>): void {
    this.#idle.remove(item);
  }

  #promise(item: Item<T>, tenant: Tenant<T>): void {
    item.promisedTo = tenant;
    tenant.promised++;
  }

  /** Has a pool wait for a place, if it still wants one. */
  #starve(tenant: Tenant<T>): void {
    this.#starving.remove(tenant);
    const order = tenant.nextOrder; // asked for first: it drops those who have given up
    if (order === undefined) return;
    tenant.heapOrder = order;
    this.#starving.push(tenant);
  }

  /** Who has waited for the longest, by now. */
  #firstStarving(): Tenant<T> | undefined {
    for (let first = this.#starving.peek(); first !== undefined; first = this.#starving.peek()) {
      if (first.nextOrder === first.heapOrder) return first;
      this.#starve(first);
    }
    return undefined;
  }
}
