/** What a pool says of itself: in numbers, to observers, and in the errors of those it can't serve. */
import { emit } from "../kernel/observer.ts";
import type { WaitTotals } from "../kernel/wait_queue.ts";
import { holderOf } from "./_drain.ts";
import type { Creator } from "./_pool_creator.ts";
import type { Item } from "./_pool_item.ts";
import type { Leases } from "./_pool_leases.ts";
import type { PoolSettings } from "./_pool_settings.ts";
import type { Stock } from "./_pool_stock.ts";
import type { Standing } from "./_pool_words.ts";
import type { PoolStatistics } from "./pool_options.ts";

/** The pool, as far as it is told of. */
export interface Reported<T> {
  readonly settings: PoolSettings<T>;
  readonly line: { readonly size: number; readonly totals: WaitTotals };
  readonly max: number;
  readonly min: number;
  readonly size: number;
  readonly closed: boolean;
}

/** The numbers of a pool, in whichever form they are wanted. */
export class PoolReport<T> {
  readonly totals = { refused: 0, created: 0, createFailed: 0 };
  readonly #pool: Reported<T>;
  readonly #stock: Stock<T>;
  readonly #leases: Leases<T>;
  readonly #creator: Creator<T>;
  readonly #seats: number;

  constructor(
    pool: Reported<T>,
    parts: { stock: Stock<T>; leases: Leases<T>; creator: Creator<T>; seats: number },
  ) {
    this.#pool = pool;
    this.#stock = parts.stock;
    this.#leases = parts.leases;
    this.#creator = parts.creator;
    this.#seats = parts.seats;
  }

  /** How things stand, for errors. */
  standing(): Standing<T> {
    const { settings, max, line } = this.#pool;
    return {
      what: settings.what,
      leased: this.#leases.list,
      inUse: this.#leases.size,
      max,
      waiting: line.size,
      failure: this.#creator.failure,
    };
  }

  statistics(): PoolStatistics {
    const { max, min, size, closed, line } = this.#pool;
    const leases = this.#leases.list.size;
    return Object.freeze({
      max,
      min,
      size,
      inUse: this.#leases.size,
      idle: this.#stock.idle,
      creating: this.#creator.pending,
      checking: this.#stock.checking,
      destroying: this.#stock.destroying,
      leases,
      free: closed ? 0 : Math.max(0, max * this.#seats - leases),
      waiting: line.size,
      longestLeaseMs: this.#leases.longestMs,
      closed,
      ...line.totals,
      ...this.totals,
      ...this.#stock.totals,
      leaked: this.#leases.leaked,
    });
  }

  /** Tells observers what has become of a resource, or of a seat of it. */
  tell(kind: string, item: Item<T>): void {
    const by = holderOf(item.hold);
    emit(kind, "pool", this.#pool.settings.name, {
      inUse: this.#leases.size,
      idle: this.#stock.idle,
      waiting: this.#pool.line.size,
      uses: item.main.uses,
      ...(by === undefined ? {} : { label: by }),
    });
  }
}
