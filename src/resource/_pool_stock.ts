/** The resources of a pool that nobody has: idle, in the hands of the user's functions, or at their end. */
import { emit, observed } from "../kernel/observer.ts";
import { end, lookAt } from "./_pool_calls.ts";
import { Idle } from "./_pool_idle.ts";
import type { Item } from "./_pool_item.ts";
import type { Room } from "./_pool_room.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** Why a resource ends that is not broken. */
export type Eviction = "idle" | "age" | "uses" | "size" | "wish" | "room";

/** Who decides about the resources, and is told what becomes of them. */
export interface Storekeeper<T> {
  /** Whether failures of destroying are to be kept. */
  readonly closed: boolean;
  /** One that was looked at is good, and counted nowhere. */
  good(item: Item<T>, after: "validate" | "recycle"): void;
  /** One that was looked at was bad; it is being destroyed. */
  bad(): void;
  /** One has come to its end. */
  gone(item: Item<T>): void;
}

/** Counts each resource where it is before a function of the user is called, so that none is ever counted nowhere. */
export class Stock<T> {
  readonly #settings: PoolSettings<T>;
  readonly #keeper: Storekeeper<T>;
  readonly #room: Room<T> | undefined;
  readonly #idle: Idle<T>;
  checking = 0;
  destroying = 0;
  /** How many were bad since one was good. */
  badInARow = 0;
  /** What destroying failed with since the pool is closed. */
  readonly errors: unknown[] = [];
  readonly totals = { destroyed: 0, invalid: 0, evicted: 0 };

  constructor(settings: PoolSettings<T>, keeper: Storekeeper<T>, room: Room<T> | undefined) {
    this.#settings = settings;
    this.#keeper = keeper;
    this.#room = room;
    this.#idle = new Idle(settings);
  }

  /** How many are idle. */
  get idle(): number {
    return this.#idle.size;
  }

  /** The one that has been idle for the shortest time. */
  get latest(): Item<T> | undefined {
    return this.#idle.latest;
  }

  /** Takes {@linkcode latest}. */
  pop(): void {
    const item = this.#idle.pop();
    if (item !== undefined) this.#room?.idleNoMore(item);
  }

  push(item: Item<T>, now: number): void {
    item.idleMs = now;
    this.#idle.push(item);
    this.#room?.idleNow(item);
  }

  /** Puts one back to where it was. */
  restore(item: Item<T>): void {
    this.#idle.restore(item);
    this.#room?.idleNow(item);
  }

  remove(item: Item<T>): void {
    this.#idle.remove(item);
    this.#room?.idleNoMore(item);
  }

  /** See {@linkcode Idle.isFresh}. */
  isFresh(item: Item<T>, now: number): boolean {
    return this.#idle.isFresh(item, now);
  }

  /** See {@linkcode Idle.dueMs}. */
  dueMs(item: Item<T>, surplus: number): number {
    return this.#idle.dueMs(item, surplus);
  }

  /** See {@linkcode Idle.nextMs}. */
  nextMs(surplus: number): number {
    return this.#idle.nextMs(surplus);
  }

  /** Has the user look at one. */
  check(item: Item<T>, doing: "validate" | "recycle"): void {
    this.checking++;
    void this.#look(item, doing);
  }

  async #look(item: Item<T>, doing: "validate" | "recycle"): Promise<void> {
    const wrong = await lookAt(this.#settings, doing, item.value);
    this.checking--;
    if (wrong === undefined && !item.isLost) {
      this.badInARow = 0;
      return this.#keeper.good(item, doing);
    }
    this.badInARow++;
    this.reject(item, doing, wrong);
    this.#keeper.bad();
  }

  /** Ends one that was found not to be good any more. */
  reject(
    item: Item<T>,
    doing: "validate" | "recycle" | "lease" | "idle",
    wrong?: { readonly error?: unknown },
  ): void {
    this.totals.invalid++;
    this.destroy(item);
    emit("invalid", "pool", this.#settings.name, { while: doing, ...wrong });
  }

  /** Ends one that has said that it can't be used any more, if nobody has it. @returns Whether that was so. */
  dropIdle(item: Item<T>): boolean {
    if (!this.#idle.has(item)) return false;
    this.remove(item);
    this.reject(item, "idle");
    return true;
  }

  /** Ends one that could still be used. */
  evict(item: Item<T>, why: Eviction): void {
    this.totals.evicted++;
    this.destroy(item);
    this.#tell("evict", item, { why });
  }

  destroy(item: Item<T>): void {
    this.destroying++;
    if (this.#room !== undefined) this.#room.ending++;
    void this.#end(item.value).then(() => {
      this.destroying--;
      this.totals.destroyed++;
      this.#tell("destroy", item);
      this.#keeper.gone(item);
    });
  }

  /** Ends one that was never counted. */
  endLate(value: T): void {
    void this.#end(value);
  }

  /** Ends all that are idle. */
  destroyIdle(): void {
    for (let item = this.#idle.pop(); item !== undefined; item = this.#idle.pop()) {
      this.#room?.idleNoMore(item);
      this.destroy(item);
    }
  }

  /** Ends the one that has been idle for the longest. */
  evictOldest(why: Eviction): void {
    const item = this.#idle.shift();
    if (item === undefined) return;
    this.#room?.idleNoMore(item);
    this.evict(item, why);
  }

  /** Ends or checks what is overdue; `surplus` is how many there are more than are kept. */
  sweep(now: number, surplus: number): void {
    const { expired, unused, unsure } = this.#idle.takeOverdue(now, surplus);
    this.destroying += expired.length + unused.length;
    this.checking += unsure.length;
    for (const item of [...expired, ...unused, ...unsure]) this.#room?.idleNoMore(item);
    for (const item of expired) {
      this.destroying--;
      this.evict(item, "age");
    }
    for (const item of unused) {
      this.destroying--;
      this.evict(item, "idle");
    }
    for (const item of unsure) {
      this.checking--;
      this.check(item, "validate");
    }
  }

  async #end(value: T): Promise<void> {
    const failure = await end(this.#settings, value);
    if (failure === undefined) return;
    if (this.#keeper.closed) this.errors.push(failure.error);
    emit("destroy.failed", "pool", this.#settings.name, failure);
  }

  #tell(kind: string, { uses }: Item<T>, more?: object): void {
    if (observed()) emit(kind, "pool", this.#settings.name, { idle: this.idle, uses, ...more });
  }
}
