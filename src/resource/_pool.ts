/**
 * The engine of a pool: who has what, and who gets what next.
 *
 * Resources are made and validated for nobody in particular; what becomes free goes to whoever is first in the line in
 * that very step. After every event {@linkcode Pool.serve} compares how many wait with how many are on their way, and
 * sees to the rest (as in HikariCP). Nothing is held while functions of the user run: a resource that is in their
 * hands is counted where it is, and comes back by an event of its own.
 */
import { clock } from "../kernel/clock.ts";
import type { OwnedLease } from "../kernel/disposer.ts";
import { ownAbort } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { holderOf } from "./_drain.ts";
import { Alarm } from "./_pool_alarm.ts";
import { Creator, type Customer, type Origin } from "./_pool_creator.ts";
import { type Closing, Ending } from "./_pool_ending.ts";
import { Item, type ItemLease, type Lender } from "./_pool_item.ts";
import { Leases } from "./_pool_leases.ts";
import { Line, type Request } from "./_pool_line.ts";
import { PoolReport } from "./_pool_report.ts";
import type { Room, Tenant } from "./_pool_room.ts";
import type { PoolSettings } from "./_pool_settings.ts";
import { type Eviction, Stock, type Storekeeper } from "./_pool_stock.ts";
import { closedError, fullError, inWords, selfDeadlockError, timeoutError } from "./_pool_words.ts";
import type { PoolCloseReport, PoolStatistics } from "./pool_options.ts";

/** How many resources in a row may turn out bad before a new one is made instead of trying the next. */
const BAD_IN_A_ROW = 3;

/** A pool. The structure over it has checked the arguments. */
export class Pool<T> implements Lender<T>, Customer<T>, Storekeeper<T>, Closing, Tenant<T> {
  readonly settings: PoolSettings<T>;
  readonly line: Line<ItemLease<T>>;
  readonly #stock: Stock<T>;
  readonly #leases: Leases<T>;
  readonly #creator: Creator<T>;
  readonly #report: PoolReport<T>;
  readonly #alarm = new Alarm((now) => this.#tick(now));
  readonly #room: Room<T> | undefined;
  readonly #onEmpty: (() => void) | undefined;
  max: number;
  readonly #min: number;
  /** How many may use one at once. */
  readonly #seats: number;
  /** Which resources may still be leased; see {@linkcode Item.wave}. */
  #wave = 0;
  /** Whether there may be more than `max`, for a while. */
  #resized = false;
  #ending: Ending | undefined;
  // As a tenant of shared room.
  promised = 0;
  heapIndex = -1;
  heapOrder = 0;

  constructor(
    settings: PoolSettings<T>,
    { max, min, seats = 1, room, onEmpty }: {
      max: number;
      min: number;
      seats?: number;
      room?: Room<T>;
      onEmpty?: () => void;
    },
  ) {
    this.settings = settings;
    this.max = max;
    this.#min = min;
    this.#seats = seats;
    this.#room = room;
    this.#onEmpty = onEmpty;
    this.#stock = new Stock(settings, this, room);
    this.#creator = new Creator(settings, this);
    this.#leases = new Leases(settings, this, room, seats);
    const [stock, leases, creator] = [this.#stock, this.#leases, this.#creator];
    this.#report = new PoolReport(this, { stock, leases, creator, seats });
    this.line = new Line(this.#leases.owners, settings.acquireTimeoutMs, {
      what: "lease from pool",
      structure: "pool",
      name: settings.name,
      onLeave: () => this.settled(),
      behind: () => inWords(this.#report.standing()),
      expired: (operation, limitMs) => timeoutError(operation, limitMs, this.#report.standing()),
    });
    if (min > 0) void Promise.resolve().then(() => this.serve());
  }

  get closed(): boolean {
    return this.#ending !== undefined;
  }

  /** How many are kept. */
  get min(): number {
    return Math.min(this.#min, this.max);
  }

  /** Resources that there are or will be. */
  get #live(): number {
    return this.#stock.idle + this.#leases.size + this.#creator.pending + this.#stock.checking;
  }

  /** Places that are taken. */
  get size(): number {
    return this.#live + this.#stock.destroying;
  }

  get wanting(): number {
    return this.line.size - (this.#creator.pending + this.#stock.checking) * this.#seats;
  }

  get firstOrder(): number | undefined {
    return this.line.size === 0 ? undefined : this.line.head()?.order;
  }

  get nextOrder(): number | undefined {
    if (this.firstOrder === undefined) return undefined;
    let at = this.line.oldest;
    for (let i = this.line.size - this.wanting + this.promised; i > 0; i--) at = at?.next;
    return at?.data.order;
  }

  describe(): string {
    return `resource of ${this.settings.what}`;
  }

  /** The time, if anything depends on it. */
  #now(): number {
    return this.settings.timed ? clock().now() : 0;
  }

  // ── those who come ──

  /** Leases what is there to be leased at once. */
  take(request: Request): ItemLease<T> | undefined {
    if (this.line.size > 0 && this.line.head() !== undefined) return undefined;
    let item = this.#seats === 1 ? undefined : this.#shared;
    if (item === undefined) {
      item = this.#stock.latest;
      if (item === undefined) return undefined;
      if (!this.#stock.isFresh(item, this.#now())) return undefined;
      this.#stock.pop();
    }
    this.line.totals.granted++;
    const lease = this.#lend(item, request);
    if (observed()) this.#report.tell("lease", lease.data);
    return lease;
  }

  /** Waits for one; without `timeoutMs`, for as long as all do. */
  wait(
    request: Request,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ): Promise<ItemLease<T>> {
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      this.#report.totals.refused++;
      return Promise.reject(refusal.error);
    }
    const waiting = this.line.enter(request, signal, timeoutMs);
    const limitMs = timeoutMs ?? this.settings.acquireTimeoutMs;
    if (limitMs !== Infinity) this.#leases.watch();
    if (this.#stock.idle > 0 || this.size < this.max) this.serve();
    return waiting;
  }

  #refusal(request: Request): { readonly error: unknown } | undefined {
    const { failure } = this.#creator;
    const { failsFast, maxWaiters } = this.settings;
    if (failure !== undefined && this.#stock.idle === 0 && failsFast(failure.error)) {
      this.#creator.resume(clock().now());
      if (this.#creator.retryAtMs !== undefined) return failure;
    }
    if (maxWaiters !== Infinity) {
      const free = Math.max(0, this.max - this.#live);
      const open = this.#stock.idle + Math.min(free, this.#room?.spare ?? Infinity);
      if (this.wanting - open * this.#seats >= maxWaiters) {
        return { error: fullError(maxWaiters, this.#report.standing()) };
      }
    }
    const owner = request.hold?.owner;
    if (owner === undefined || !this.#isStuck(owner)) return undefined;
    return { error: selfDeadlockError(this.#report.standing()) };
  }

  // ── those who give back ──

  giveBack(lease: OwnedLease<Item<T>>): void {
    const seat = lease.data;
    if (!seat.inUse) return; // It was taken away when the grace of closing was over.
    const item = seat.main;
    const isBack = this.#leases.end(seat);
    const now = item.goodMs = this.#now();
    if (isBack) this.#takeIn(item, now);
    if (this.#seats > 1) this.serve();
    if (observed()) this.#report.tell("release", seat);
  }

  /** One has come back from all who used it. */
  #takeIn(item: Item<T>, now: number): void {
    const evicted = item.uses >= this.settings.maxUses ? "uses" : this.#unwanted(item, now);
    if (item.isDiscarded) this.#stock.destroy(item);
    else if (item.isLost) this.#stock.reject(item, "lease");
    else if (evicted !== undefined) this.#stock.evict(item, evicted);
    else if (this.settings.recycle !== undefined && !this.closed) this.#stock.check(item, "recycle");
    else this.#place(item, now);
  }

  discard(seat: Item<T>): void {
    if (!seat.inUse) return;
    if (this.#leases.end(seat)) this.#stock.destroy(seat.main);
    else seat.main.isDiscarded = true;
    if (observed()) this.#report.tell("discard", seat);
  }

  #lend(item: Item<T>, request: Request): ItemLease<T> {
    const lease = this.#leases.begin(item, request);
    if (request.site !== undefined) this.#alarm.at(lease.data.sinceMs! + this.settings.leakAfterMs);
    return lease;
  }

  /** One in use that may have another user: not one that will end when it comes back. */
  get #shared(): Item<T> | undefined {
    if (this.#resized && this.#live > this.max) return undefined;
    const now = this.#now();
    return this.#leases.open(({ isLost, isDiscarded, wave, uses, expiresMs }) =>
      !isLost && !isDiscarded && wave === this.#wave && uses < this.settings.maxUses && now < expiresMs
    );
  }

  // ── what becomes of a resource ──

  /** Why one that nobody has, and that is counted nowhere, should end. */
  #unwanted(item: Item<T>, now: number): Eviction | undefined {
    if (item.wave !== this.#wave) return "wish";
    if ((this.#resized && this.#live >= this.max) || this.#room?.overfull) return "size";
    return now >= item.expiresMs ? "age" : undefined;
  }

  /** Gives it to whoever is first, or lets it be idle. */
  #place(item: Item<T>, now: number): void {
    if (this.closed) this.#stock.destroy(item);
    else if (this.#room?.takesAway(this, item)) this.#stock.evict(item, "room");
    else if (!this.#hand(item)) {
      this.#stock.push(item, now);
      this.#watchIdle(item);
    }
  }

  #hand(item: Item<T>): boolean {
    if (this.line.size === 0) return false;
    const request = this.line.head();
    if (request === undefined) return false;
    // Nobody is told before the grant: an observer could abort this head, and another would get its lease.
    const lease = this.#lend(item, request);
    this.line.grant(lease);
    this.line.look();
    this.#breakCircle();
    if (observed()) this.#report.tell("lease", lease.data);
    return true;
  }

  /** Something has come to be idle. */
  #watchIdle(item: Item<T>): void {
    if (this.settings.timed) this.#alarm.at(this.#stock.dueMs(item, this.#live - this.min));
  }

  good(item: Item<T>, after: "validate" | "recycle"): void {
    const now = item.goodMs = this.#now();
    const evicted = this.#unwanted(item, now);
    if (evicted !== undefined) this.#stock.evict(item, evicted);
    else if (after === "recycle" || this.line.size > 0 || this.closed) this.#place(item, now);
    else this.#restAgain(item);
    this.serve();
  }

  bad(): void {
    this.serve();
  }

  /** One can't be used any more: in use or being looked at, it ends when it comes back. */
  #lost(item: Item<T>): void {
    item.isLost = true;
    if (this.#stock.dropIdle(item)) this.serve();
  }

  /** One that was idle goes back to where it was. */
  #restAgain(item: Item<T>): void {
    if (this.#room?.takesAway(this, item)) return this.#stock.evict(item, "room");
    this.#stock.restore(item);
    this.#watchIdle(item);
  }

  gone(item: Item<T> | undefined): void {
    this.serve();
    this.#room?.gone(item);
    this.#breakCircle();
    this.settled();
  }

  giveUp(item: Item<T>): void {
    this.#stock.remove(item);
    this.#stock.evict(item, "room");
  }

  // ── making them ──

  made(value: T, origin: Origin): void {
    const { maxLifetimeMs, lifetimeJitter } = this.settings;
    const now = this.#now();
    const lifeMs = maxLifetimeMs === Infinity
      ? Infinity
      : maxLifetimeMs * (1 - lifetimeJitter * clock().random());
    const item = new Item<T>(value, this, now, now + lifeMs, origin.wave);
    origin.onGone = () => this.#lost(item);
    this.#report.totals.created++;
    this.#stock.badInARow = 0;
    const evicted = this.#unwanted(item, now);
    if (evicted !== undefined) this.#stock.evict(item, evicted);
    else this.#place(item, now);
    if (observed()) this.#report.tell("create", item);
    this.serve();
  }

  notMade(error: unknown, stopped: boolean): void {
    if (!stopped) {
      this.#report.totals.createFailed++;
      if (this.settings.failsFast(error)) this.line.settleAll(error);
      emit("create.failed", "pool", this.settings.name, { error });
    }
    if (this.#room !== undefined && this.#creator.retryAtMs !== undefined) {
      this.#alarm.at(this.#creator.retryAtMs); // to be forgotten then, if nobody wants it
    }
    this.gone(undefined);
  }

  madeLate(value: T): void {
    this.#stock.endLate(value);
  }

  /** Sees to those who wait, and to those that are kept. */
  serve(): void {
    if (this.closed) return;
    if (this.#seats > 1) this.#fillSeats();
    while (this.wanting > 0 && this.#serveOne(this.#now())) { /* until nothing more can be done now */ }
    while (this.#live < this.min && this.#create(false)) { /* until there are enough */ }
    if (this.#room !== undefined) this.settled();
  }

  /** Seats that are left are for those who wait, also for whom something else is on its way. */
  #fillSeats(): void {
    while (this.line.size > 0) {
      const item = this.#shared;
      if (item === undefined || !this.#hand(item)) return;
    }
  }

  /** Does something for one of those who wait. */
  #serveOne(now: number): boolean {
    const shared = this.#seats === 1 ? undefined : this.#shared;
    if (shared !== undefined) return this.#hand(shared);
    const item = this.#stock.latest;
    const givesUp = this.#stock.badInARow >= BAD_IN_A_ROW;
    // After some bad ones a new one is surer than the next.
    if (item === undefined || (givesUp && !this.#stock.isFresh(item, now))) {
      if (this.#create(true)) return true;
      if (item === undefined) return false;
      // As long as there is no room for it, or nothing can be created now, the rest is all there is.
      if (this.#creator.ready && this.#stock.destroying * this.#seats >= this.wanting) return false;
    }
    this.#stock.pop();
    if (this.#stock.isFresh(item, now)) {
      if (this.#hand(item)) return true;
      this.#restAgain(item);
      return false;
    }
    if (now >= item.expiresMs) this.#stock.evict(item, "age");
    else if (givesUp && this.#creator.ready) this.#stock.evict(item, "room");
    else this.#stock.check(item, "validate");
    return true;
  }

  #create(awaited: boolean): boolean {
    const creator = this.#creator;
    if (this.size >= this.max) return false;
    if (creator.retryAtMs !== undefined) creator.resume(clock().now());
    if (!creator.ready) {
      if (creator.retryAtMs !== undefined) this.#alarm.at(creator.retryAtMs, awaited);
      return false;
    }
    if (this.#room !== undefined && !this.#room.claim(this)) return false;
    creator.start(this.#wave, awaited);
    return true;
  }

  // ── as time goes by ──

  #tick(now: number): void {
    if (this.closed) return;
    this.#creator.resume(now);
    this.#stock.sweep(now, this.#live - this.min);
    this.#alarm.at(this.#leases.reportLeaks(now));
    this.serve();
    this.#alarm.at(this.#stock.nextMs(this.#live - this.min));
    this.settled();
  }

  // ── wishes of the owner ──

  /** Changes how many there may be. */
  resize(max: number): void {
    this.max = max;
    this.#resized = true;
    while (this.#live > max && this.#stock.idle > 0) this.#stock.evictOldest("size");
    this.serve();
    this.#breakCircle();
  }

  /** Ends what is idle now, and everything else that exists when it comes back. */
  evict(): void {
    this.#wave++;
    while (this.#stock.idle > 0) this.#stock.evictOldest("wish");
    this.serve();
  }

  close(graceMs: number): Promise<PoolCloseReport> {
    if (this.#ending === undefined) {
      this.#ending = new Ending();
      this.#ending.begin(this);
    }
    this.#ending.limit(graceMs);
    return this.#ending.done;
  }

  stop(): void {
    this.#alarm.off();
    this.line.settleAll(closedError(this.settings.what));
    this.#creator.stop(ownAbort(`Cannot go on creating for ${this.settings.what}: it is closed`));
    this.#stock.destroyIdle();
    this.settled();
  }

  takeBack(): string[] {
    const stragglers: string[] = [];
    for (let seat = this.#leases.list.first; seat !== undefined; seat = this.#leases.list.first) {
      stragglers.push(holderOf(seat.hold) ?? "unknown");
      if (this.#leases.end(seat)) this.#stock.destroy(seat.main);
    }
    this.settled();
    return stragglers;
  }

  get errors(): readonly unknown[] {
    return this.#stock.errors;
  }

  /** Looks whether the end has come that somebody waits for. */
  settled(): void {
    this.line.look();
    if (this.size === 0 && this.line.size === 0 && this.#creator.retryAtMs === undefined) this.#onEmpty?.();
    // Attempts to create that heed no signal are not waited for once the grace is over: what they make is destroyed.
    this.#ending?.look(this.size, this.size - this.#creator.pending);
  }

  // ── those who wait for each other, and the numbers ──

  #isStuck(owner?: object): boolean {
    return this.#leases.isStuck(this.size, this.max, owner);
  }

  /** Sends the newest away if otherwise nobody could ever be served. */
  #breakCircle(): void {
    if (!this.#leases.anyBlocked || !this.#isStuck()) return;
    const newest = this.line.newestOwned();
    if (newest === undefined) return;
    this.#report.totals.refused++;
    this.line.dismiss(newest, selfDeadlockError(this.#report.standing()));
    this.line.look();
  }

  statistics(): PoolStatistics {
    return this.#report.statistics();
  }
}
