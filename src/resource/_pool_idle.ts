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

/** A stack: what is at its bottom has been idle for the longest. */
export class Idle<T> {
  readonly #settings: PoolSettings<T>;
  readonly #stack: Item<T>[] = [];

  constructor(settings: PoolSettings<T>) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#stack.length;
  }

  /** The one that has been idle for the shortest time. */
  get latest(): Item<T> | undefined {
    return this.#stack[this.#stack.length - 1];
  }

  pop(): Item<T> | undefined {
    return this.#stack.pop();
  }

  /** Takes the one that has been idle for the longest. */
  shift(): Item<T> | undefined {
    return this.#stack.shift();
  }

  push(item: Item<T>): void {
    this.#stack.push(item);
  }

  /** Puts one back to where it was. */
  restore(item: Item<T>): void {
    let place = this.#stack.length;
    while (place > 0 && this.#stack[place - 1]!.idleMs > item.idleMs) place--;
    this.#stack.splice(place, 0, item);
  }

  has(item: Item<T>): boolean {
    return this.#stack.includes(item);
  }

  remove(item: Item<T>): void {
    this.#stack.splice(this.#stack.indexOf(item), 1);
  }

  /** Whether one can be leased without asking whether it is good. */
  isFresh(item: Item<T>, now: number): boolean {
    const { validate, freshMs } = this.#settings;
    return now < item.expiresMs && (validate === undefined || now - item.goodMs <= freshMs);
  }

  /** When something has to be done about `item`, or about any because there are more than are kept. */
  dueMs(item: Item<T>, surplus: number): number {
    const { idleTimeoutMs, validateIdleMs, validate } = this.#settings;
    const unused = surplus > 0 ? this.#stack[0]!.idleMs + idleTimeoutMs : Infinity;
    const unsure = validate === undefined ? Infinity : item.goodMs + validateIdleMs;
    return Math.min(unused, unsure, item.expiresMs);
  }

  /** The earliest {@linkcode dueMs} of all. */
  nextMs(surplus: number): number {
    let nextMs = Infinity;
    for (const item of this.#stack) nextMs = Math.min(nextMs, this.dueMs(item, surplus));
    return nextMs;
  }

  /** Takes out what is overdue; `surplus` is how many there are more than are kept. */
  takeOverdue(now: number, surplus: number): Overdue<T> {
    const { idleTimeoutMs, validateIdleMs, validate } = this.#settings;
    const [expired, unused, unsure]: [Item<T>[], Item<T>[], Item<T>[]] = [[], [], []];
    let kept = 0;
    for (const item of this.#stack) {
      const spare = surplus - expired.length - unused.length > 0;
      if (now >= item.expiresMs) expired.push(item);
      else if (spare && now >= item.idleMs + idleTimeoutMs) unused.push(item);
      else if (validate !== undefined && now >= item.goodMs + validateIdleMs) unsure.push(item);
      else this.#stack[kept++] = item;
    }
    this.#stack.length = kept;
    return { expired, unused, unsure };
  }
}
