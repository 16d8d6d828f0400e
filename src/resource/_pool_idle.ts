/** The resources of a pool that nobody has: the last to come back is the first to go out, the others may end. */
import type { Item } from "./_pool_item.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** What has to be done about idle resources. */
export interface Overdue<T> {
  readonly expired: readonly Item<T>[];
  /** Idle for too long. */
  readonly unused: readonly Item<T>[];
  /** To be validated. */
  readonly unsure: readonly Item<T>[];
}

/** A stack, linked so that any of them can leave in one step: what is at its bottom has been idle for the longest. */
export class Idle<T> {
  size = 0;
  /** The one that has been idle for the shortest time. */
  latest: Item<T> | undefined = undefined;
  #oldest: Item<T> | undefined;
  readonly #settings: PoolSettings<T>;

  constructor(settings: PoolSettings<T>) {
    this.#settings = settings;
  }

  pop(): Item<T> | undefined {
    const item = this.latest;
    if (item !== undefined) this.remove(item);
    return item;
  }

  /** Takes the one that has been idle for the longest. */
  shift(): Item<T> | undefined {
    const item = this.#oldest;
    if (item !== undefined) this.remove(item);
    return item;
  }

  push(item: Item<T>): void {
    this.#insert(item, this.latest);
  }

  /** Puts one back to where it was. */
  restore(item: Item<T>): void {
    let below = this.latest;
    while (below !== undefined && below.idleMs > item.idleMs) below = below.below;
    this.#insert(item, below);
  }

  has(item: Item<T>): boolean {
    return item.above !== undefined || item === this.latest;
  }

  remove(item: Item<T>): void {
    const { above, below } = item;
    if (above === undefined) this.latest = below;
    else above.below = below;
    if (below === undefined) this.#oldest = above;
    else below.above = above;
    item.above = item.below = undefined;
    this.size--;
  }

  #insert(item: Item<T>, below: Item<T> | undefined): void {
    const above = below === undefined ? this.#oldest : below.above;
    item.below = below;
    item.above = above;
    if (below === undefined) this.#oldest = item;
    else below.above = item;
    if (above === undefined) this.latest = item;
    else above.below = item;
    this.size++;
  }

  /** Whether one can be leased without asking whether it is good. */
  isFresh(item: Item<T>, now: number): boolean {
    const { validate, freshMs } = this.#settings;
    return now < item.expiresMs && (validate === undefined || now - item.goodMs <= freshMs);
  }

  /** When something has to be done about `item`, or about any because there are more than are kept. */
  dueMs(item: Item<T>, surplus: number): number {
    const { idleTimeoutMs, validateIdleMs, validate } = this.#settings;
    const unused = surplus > 0 ? this.#oldest!.idleMs + idleTimeoutMs : Infinity;
    const unsure = validate === undefined ? Infinity : item.goodMs + validateIdleMs;
    return Math.min(unused, unsure, item.expiresMs);
  }

  /** The earliest {@linkcode dueMs} of all. */
  nextMs(surplus: number): number {
    let nextMs = Infinity;
    for (let item = this.latest; item !== undefined; item = item.below) {
      nextMs = Math.min(nextMs, this.dueMs(item, surplus));
    }
    return nextMs;
  }

  /** Takes out what is overdue; `surplus` is how many there are more than are kept. */
  takeOverdue(now: number, surplus: number): Overdue<T> {
    const { idleTimeoutMs, validateIdleMs, validate } = this.#settings;
    const [expired, unused, unsure]: [Item<T>[], Item<T>[], Item<T>[]] = [[], [], []];
    for (let item = this.#oldest, next: typeof item; item !== undefined; item = next) {
      next = item.above;
      const spare = surplus - expired.length - unused.length > 0;
      if (now >= item.expiresMs) expired.push(item);
      else if (spare && now >= item.idleMs + idleTimeoutMs) unused.push(item);
      else if (validate !== undefined && now >= item.goodMs + validateIdleMs) unsure.push(item);
      else continue;
      this.remove(item);
    }
    return { expired, unused, unsure };
  }
}
