/** The leases of a pool: who holds what, since when, and who should have given it back. */
import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import { LinkedList } from "../kernel/linked_list.ts";
import { holderOf } from "./_drain.ts";
import { type Item, ItemLease, type Lender } from "./_pool_item.ts";
import type { Request } from "./_pool_line.ts";
import { Owners } from "./_pool_owners.ts";
import type { Room } from "./_pool_room.ts";
import { Seats } from "./_pool_seats.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** Leases in force, the longest first. */
export class Leases<T> {
  readonly list = new LinkedList<Item<T>>();
  readonly owners: Owners;
  /** How many were reported as leaks. */
  leaked = 0;
  readonly #settings: PoolSettings<T>;
  readonly #lender: Lender<T>;
  readonly #room: Room<T> | undefined;
  /** Where resources have several seats. */
  readonly #seats: Seats<T> | undefined;

  constructor(settings: PoolSettings<T>, lender: Lender<T>, room: Room<T> | undefined, seats: number) {
    this.#settings = settings;
    this.#lender = lender;
    this.#room = room;
    this.#seats = seats > 1 ? new Seats(seats) : undefined;
    this.owners = new Owners(room?.owners);
  }

  /** How many resources are in use. */
  get size(): number {
    return this.#seats === undefined ? this.list.size : this.#seats.resources;
  }

  /** One in use that may have another user. */
  open(mayBe: (item: Item<T>) => boolean): Item<T> | undefined {
    return this.#seats?.open(mayBe);
  }

  begin(item: Item<T>, request: Request): ItemLease<T> {
    item.uses++;
    const seat = this.#seats === undefined ? item : this.#seats.take(item);
    seat.inUse = true;
    const { hold, site } = request;
    if (hold !== undefined || site !== undefined) {
      seat.sinceMs = clock().now();
      seat.site = site;
      seat.hold = hold;
      if (hold?.owner !== undefined) this.owners.hold(hold.owner);
    }
    this.list.add(seat);
    if (this.#room !== undefined) this.#room.leased++;
    return new ItemLease(this.#lender, seat);
  }

  /** Ends a lease. @returns Whether nobody else uses the resource. */
  end(seat: Item<T>): boolean {
    seat.inUse = false;
    this.list.remove(seat);
    if (this.#room !== undefined) this.#room.leased--;
    if (seat.hold?.owner !== undefined) this.owners.giveBack(seat.hold.owner);
    seat.hold = seat.site = undefined;
    seat.leaked = false;
    return this.#seats === undefined || this.#seats.leave(seat.main);
  }

  /** Whether anybody who holds something waits. */
  get anyBlocked(): boolean {
    return this.owners.blocked > 0 || (this.#room !== undefined && this.#room.owners.blocked > 0);
  }

  /** Whether everybody who holds something waits for more, `owner` included; `taken`: how many places of `max` are. */
  isStuck(taken: number, max: number, owner?: object): boolean {
    const leases = this.list.size;
    const isFull = this.size >= max && this.size === taken && leases >= taken * (this.#seats?.each ?? 1);
    if (isFull && this.owners.isStuck(leases, owner)) return true;
    const room = this.#room;
    return room !== undefined && room.leased >= room.max && room.leased === room.used &&
      room.owners.isStuck(room.leased, owner);
  }

  /** Somebody waits: from now on at least it is known how long the longest lease lasts. */
  watch(): void {
    const { first } = this.list;
    if (first !== undefined && first.sinceMs === undefined) first.sinceMs = clock().now();
  }

  /** For how long the longest lease has been held, as far as is known. */
  get longestMs(): number {
    const since = this.list.first?.sinceMs;
    return since === undefined ? 0 : clock().now() - since;
  }

  /** Reports those held for too long. @returns When there may be another one. */
  reportLeaks(now: number): number {
    const { leakAfterMs, name } = this.#settings;
    for (let item = this.list.first; item !== undefined; item = item.next) {
      if (item.leaked || item.site === undefined) continue;
      const ageMs = now - item.sinceMs!;
      if (now < item.sinceMs! + leakAfterMs) return item.sinceMs! + leakAfterMs;
      item.leaked = true;
      this.leaked++;
      emit("leak", "pool", name, { ageMs, label: holderOf(item.hold), site: item.site.stack });
    }
    return Infinity;
  }
}
