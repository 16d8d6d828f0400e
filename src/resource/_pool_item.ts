/** A resource of a pool, and what the pool knows of it. */
import { OwnedLease } from "../kernel/disposer.ts";
import type { HoldOptions } from "../kernel/types.ts";
import type { PoolLease } from "./pool_options.ts";

/** What a lease tells its pool. */
export interface Lender<T> {
  giveBack(lease: OwnedLease<Item<T>>): void;
  /** Takes back what must not be used again. */
  discard(item: Item<T>): void;
  describe(): string;
}

/**
 * One resource. It is in one place at a time: idle, in use, being checked, being destroyed. Where several may use it at
 * once, each of them has a seat, which is an item of its own, for the lease alone.
 */
export class Item<T> {
  readonly value: T;
  /** The resource that it is a seat of, or itself. */
  readonly main: Item<T>;
  /** How many seats of it are taken, where it has more than one. */
  seats = 0;
  /** Whether it is among those that may have another user. */
  isOpen = false;
  readonly pool: Lender<T>;
  /** When it is too old. */
  readonly expiresMs: number;
  /** Which wave of resources it belongs to: those before an eviction are not leased again. */
  readonly wave: number;
  uses = 0;
  /** Whether it has said that it can't be used any more. */
  isLost = false;
  /** Whether one of its users did not want it kept. */
  isDiscarded = false;
  /** When it was last known to be good. */
  goodMs: number;
  /** Since when it is idle. */
  idleMs = 0;
  /** For whom it was taken away, among pools that share room. */
  promisedTo: unknown;
  // Its neighbours in the one list it is in, of leases or of what is idle in all pools that share room.
  prev: Item<T> | undefined;
  next: Item<T> | undefined;
  // Those idle for a shorter and for a longer time, while it is idle.
  above: Item<T> | undefined;
  below: Item<T> | undefined;

  // The lease, while it is in use.
  inUse = false;
  /** Since when, as far as is known. */
  sinceMs: number | undefined;
  hold: HoldOptions | undefined;
  /** Where it was acquired, if leaks are looked for. */
  site: Error | undefined;
  /** Whether it was reported as a leak. */
  leaked = false;

  constructor(
    value: T,
    pool: Lender<T>,
    goodMs: number,
    expiresMs: number,
    wave: number,
    main?: Item<T>,
  ) {
    this.value = value;
    this.main = main ?? this;
    this.pool = pool;
    this.goodMs = goodMs;
    this.expiresMs = expiresMs;
    this.wave = wave;
  }
}

/** A lease on an item. */
export class ItemLease<T> extends OwnedLease<Item<T>> implements PoolLease<T> {
  get value(): T {
    return this.data.value;
  }

  discard(): void {
    this.end("discard");
    this.data.pool.discard(this.data);
  }
}
