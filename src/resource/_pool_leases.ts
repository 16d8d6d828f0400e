/** The leases of a pool: who holds what, since when, and who should have given it back. */
import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import { holderOf } from "./_drain.ts";
import { type Item, ItemLease, ItemList, type Lender } from "./_pool_item.ts";
import type { Request } from "./_pool_line.ts";
import { Owners } from "./_pool_owners.ts";
import type { Room } from "./_pool_room.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** Leases in force, the longest first. */
export class Leases<T> {
  readonly list = new ItemList<T>();
  readonly owners: Owners;
  /** How many were reported as leaks. */
  leaked = 0;
  readonly #settings: PoolSettings<T>;
  readonly #lender: Lender<T>;
  readonly #room: Room<T> | undefined;

  constructor(settings: PoolSettings<T>, lender: Lender<T>, room: Room<T> | undefined) {
    this.#settings = settings;
    this.#lender = lender;
    this.#room = room;
    this.owners = new Owners(room?.owners);
  }

  get size(): number {
    return this.list.size;
  }

  begin(item: Item<T>, request: Request): ItemLease<T> {
    item.uses++;
    item.inUse = true;
    const { hold, site } = request;
    if (hold !== undefined || site !== undefined) {
      item.sinceMs = clock().now();
      item.site = site;
      item.hold = hold;
      if (hold?.owner !== undefined) this.owners.hold(hold.owner);
    }
    this.list.add(item);
    if (this.#room !== undefined) this.#room.leased++;
    return new ItemLease(this.#lender, item);
  }

  end(item: Item<T>): void {
    item.inUse = false;
    this.list.remove(item);
    if (this.#room !== undefined) this.#room.leased--;
    if (item.hold?.owner !== undefined) this.owners.giveBack(item.hold.owner);
    item.hold = item.site = undefined;
    item.leaked = false;
  }

  /** Whether anybody who holds something waits. */
  get anyBlocked(): boolean {
    return this.owners.blocked > 0 || (this.#room !== undefined && this.#room.owners.blocked > 0);
  }

  /** Whether everybody who holds something waits for more, `owner` included; `taken`: how many places of `max` are. */
  isStuck(taken: number, max: number, owner?: object): boolean {
    const { size } = this.list;
    if (size >= max && size === taken && this.owners.isStuck(size, owner)) return true;
    const room = this.#room;
    return room !== undefined && room.leased >= room.max && room.leased === room.used &&
      room.owners.isStuck(room.leased, owner);
  }

  /** Somebody waits: from now on at least it is known how long the longest lease lasts. */
  watch(time: { readonly now: number }): void {
    const { first } = this.list;
    if (first !== undefined && first.sinceMs === undefined) first.sinceMs = time.now;
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
