/** The engine of limiters and bulkheads: slots, and those who wait for one. It knows nothing of the work. */
import { askedFor, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { emit, observed } from "../kernel/observer.ts";
import { Ranking } from "../kernel/ranking.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { type Waiting, WaitQueue } from "../kernel/wait_queue.ts";
import type { Codel } from "./_codel.ts";
import { Idlers } from "./_idlers.ts";
import type { Reserve } from "./_reserve.ts";
import { LEASED, PLAIN, Request } from "./_slot_request.ts";
import { OverloadError } from "./overload_error.ts";
import type { QueueFullError } from "./queue_full_error.ts";

/** What becomes of a call when as many wait as may. */
export type Overflow = "reject" | "dropOldest" | "dropLowest" | "block";

function noteJoined(waiter: Waiting<Request>): void {
  waiter.data.waiting = waiter;
}

/** How a {@linkcode Slots} is made; the structure over it has checked the arguments. */
export interface SlotsOptions {
  readonly kind: "limiter" | "bulkhead";
  readonly name: string | undefined;
  readonly limit: number;
  readonly maxQueue: number;
  readonly overflow: Overflow;
  /** How long a wait makes up for one of priority. */
  readonly ageingMs: number;
  /** What a call is refused with when the line is full. */
  readonly FullError: typeof QueueFullError;
  readonly codel?: Codel | undefined;
  readonly reserve?: Reserve | undefined;
}

/** Slots, handed out first come, first served, until somebody comes with a priority or a key. */
export class Slots implements LeaseOwner<OwnedLease<Request>> {
  readonly kind: "limiter" | "bulkhead";
  readonly name: string | undefined;
  readonly maxQueue: number;
  readonly queue: WaitQueue<OwnedLease<Request> | undefined, Request>;
  readonly #overflow: Overflow;
  readonly #ageingMs: number;
  readonly #FullError: typeof QueueFullError;
  readonly #codel: Codel | undefined;
  readonly #reserve: Reserve | undefined;
  /** Whether each call waits with a request of its own, which knows since when. */
  readonly #timed: boolean;
  limit: number;
  paused = false;
  inUse = 0;
  /** Calls refused, and calls that waited and were sent away for others, as they would be too late or too many. */
  refused = 0;
  dropped = 0;
  readonly #watchers = new Set<() => void>();
  /** Whoever will want more slots before it is over: those are not idle times. */
  guests = 0;
  readonly idlers: Idlers;
  #ranking: Ranking<Request> | undefined;
  /** Who is being let in: its place is its own by now, though it still stands in the line. */
  #served: Request | undefined;
  /** Whether somebody has asked for more than one slot. */
  #heavy = false;
  /** Set once closed: what the structure over it refuses new requests with. */
  closedWith: { readonly error: unknown } | undefined;
  /** Whether those who wait may still be served after closing. */
  serving = true;

  constructor(options: SlotsOptions) {
    this.kind = options.kind;
    this.name = options.name;
    this.limit = options.limit;
    this.maxQueue = options.maxQueue;
    this.#overflow = options.overflow;
    this.#ageingMs = options.ageingMs;
    this.#FullError = options.FullError;
    this.#codel = options.codel;
    this.#reserve = options.reserve;
    this.#timed = options.ageingMs !== Infinity || options.codel !== undefined;
    this.queue = new WaitQueue({
      what: `enter ${this.kind}`,
      structure: this.kind,
      name: this.name,
      behind: ({ weight }: Request) => askedFor(weight) + this.behind(),
      // Those behind one who gave up may fit, where it did not.
      onLeave: () => this.letIn(),
    });
    this.idlers = new Idlers(this);
  }

  describe(): string {
    return subject(this.kind, this.name);
  }

  /** What somebody waits behind, in words. */
  behind(): string {
    const paused = this.paused ? ", paused" : "";
    return `${this.inUse} of ${this.limit} in use, ${this.queue.size} waiting${paused}`;
  }

  get idle(): boolean {
    return this.inUse === 0 && this.queue.size === 0 && this.guests === 0;
  }

  /** How many wait outside of a full line. */
  get blocked(): number {
    return this.#overflow === "block" ? Math.max(0, this.queue.size - this.maxQueue) : 0;
  }

  /** Whose turn calls with a key take. */
  laneOf(key: unknown): unknown {
    return this.#reserve === undefined ? key : this.#reserve.laneOf(key);
  }

  /** Takes what is asked for if it can be had without waiting. */
  take(request: Request): boolean {
    if (!this.#fits(request)) return false;
    // Looking who is next tells observers of those who are not any more, and these may do anything.
    if (this.queue.size > 0 && !(this.#isNext() && this.#fits(request))) return false;
    if (this.#reserve !== undefined && !this.#reserve.mayEnter(request.key, this.inUse, this.limit)) {
      return false;
    }
    this.queue.totals.granted++;
    this.#enter(request);
    if (observed()) this.#tell("acquire", request);
    return true;
  }

  /** Waits for what is asked for; with a lease, the lease is what is given. */
  wait(request: Request, options?: WaitOptions): Promise<OwnedLease<Request> | undefined> {
    if (this.#timed) request = this.#timedRequest(request);
    while (this.queue.size >= this.maxQueue && !request.guest && this.#overflow !== "block") {
      // Who would not wait takes no place in the line, and so nobody is sent away for it.
      if (options?.timeoutMs === 0 || !this.#makeRoom(request)) return Promise.reject(this.#refusal());
    }
    const special = request.priority !== 0 || request.key !== undefined || this.#reserve !== undefined;
    if (special && this.#ranking === undefined) this.#rank();
    if (request === PLAIN || request === LEASED) return this.queue.wait(request, options);
    if (request.weight > this.limit && this.limit > 0) return Promise.reject(this.#tooHeavy(this.limit));
    request.rank = this.#rankOf(request);
    if (request.weight > 1) this.#heavy = true;
    const granted = this.queue.wait(request, options, noteJoined);
    // It may come before one that does not fit.
    if (this.inUse < this.limit) this.letIn();
    return granted;
  }

  /** Moves one that waits. @returns Whether it still waited. */
  setPriority(request: Request, priority: number): boolean {
    const { waiting } = request;
    if (waiting === undefined || !waiting.waiting) return false;
    request.priority = priority;
    request.rank = this.#rankOf(request);
    if (this.#ranking === undefined) this.#rank();
    else this.#ranking.rerank(waiting);
    // One that fits may be first now.
    this.letIn();
    return true;
  }

  giveBack(lease: OwnedLease<Request>): void {
    this.leave(lease.data);
  }

  /** Slots come back; who is next gets them in the same turn. */
  leave(request: Request): void {
    this.inUse -= request.weight;
    if (this.#reserve !== undefined) this.#reserve.left(request.key);
    if (observed()) this.#tell("release", request);
    if (this.queue.size > 0) this.letIn();
    else if (this.idlers.waiting) this.idlers.tell();
  }

  /** Changes the limit; sends away who asks for more than there will be. */
  resize(limit: number): void {
    this.limit = limit;
    if (this.#heavy && limit > 0) {
      this.queue.rejectWhere(({ weight }) => weight > limit, this.#tooHeavy(limit));
    }
    this.changed();
  }

  /** There may be more room than before, or less, or none ever again. */
  changed(): void {
    if (this.closedWith !== undefined) {
      if (this.limit === 0) this.serving = false;
      if (!this.serving) this.queue.settleAll(this.closedWith.error);
    }
    this.letIn();
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * Has `tell` called, in the async context of now, after each {@linkcode changed}.
   *
   * @returns The function that ends it.
   */
  watchRoom(tell: () => void): () => void {
    let watching = true;
    let wake!: () => void;
    const again = (): void => {
      // A callback of a promise runs in the async context in which it was attached.
      new Promise<void>((resolve) => wake = resolve).then(() => {
        if (!watching) return;
        again();
        tell();
      });
    };
    again();
    const watcher = (): void => wake();
    this.#watchers.add(watcher);
    return () => {
      watching = false;
      this.#watchers.delete(watcher);
    };
  }

  /** Serves who is next, as long as they fit: a heavy one at the head is not overtaken. */
  letIn(): void {
    while (this.inUse < this.limit && !this.paused) {
      const request = this.queue.head();
      if (request === undefined || this.inUse + request.weight > this.limit) break;
      if (this.#codel !== undefined && this.#drop(this.#codel, request)) continue;
      this.#enter(request);
      this.#served = request;
      // Nobody is told before the grant: an observer could abort this head, and another would get its slot.
      this.queue.grant(request.lease ? new OwnedLease(this, request) : undefined);
      this.#served = undefined;
      if (observed()) this.#tell("acquire", request);
    }
    if (this.queue.size === 0) this.#emptied();
    if (this.idlers.waiting) this.idlers.tell();
  }

  /** Sends everybody who waits away. */
  sendAway(reason: unknown): number {
    const sent = this.queue.settleAll(reason);
    this.letIn();
    return sent;
  }

  #fits(request: Request): boolean {
    return this.inUse + request.weight <= this.limit && !this.paused;
  }

  /** Whether nobody who waits comes before somebody who comes now and fits. */
  #isNext(): boolean {
    // Looking at the head drops it if its signal is aborted by now: those whom it held up come first.
    this.letIn();
    return this.queue.head() === undefined;
  }

  #enter(request: Request): void {
    this.inUse += request.weight;
    if (this.#reserve !== undefined) this.#reserve.entered(request.key);
  }

  /** Orders the line by more than who came first, until it is empty. */
  #rank(): void {
    this.#ranking = new Ranking({
      window: this.#overflow === "block" ? Math.max(1, this.maxQueue) : Infinity,
      mayBeLast: this.#overflow === "dropLowest" ? ({ guest }) => !guest : undefined,
      mayServe: this.#reserve && ((request) => this.#mayServe(this.#reserve!, request)),
    });
    this.queue.reorder(this.#ranking);
  }

  #mayServe(reserve: Reserve, request: Request): boolean {
    return request === this.#served || reserve.mayEnter(request.key, this.inUse, this.limit);
  }

  #emptied(): void {
    if (this.#ranking !== undefined) {
      this.#ranking = undefined;
      this.queue.reorder(undefined);
    }
    this.#codel?.settle();
    this.#heavy = false;
  }

  #timedRequest(request: Request): Request {
    const own = request === PLAIN || request === LEASED ? new Request(request.lease) : request;
    own.sinceMs = clock().now();
    return own;
  }

  #rankOf({ priority, sinceMs }: Request): number {
    return this.#ageingMs === Infinity ? -priority : sinceMs - priority * this.#ageingMs;
  }

  /** Makes room in a full line by sending somebody away, or says that it can't. */
  #makeRoom(request: Request): boolean {
    const victim = this.#victim(request);
    if (victim === undefined) return false;
    this.dropped++;
    this.queue.dismiss(victim, this.#fullError("stay in line for", "others came that go first"));
    // Told when it is done, as an observer may do anything: the line is looked at again then.
    if (observed()) this.#tell("drop", victim.data);
    return true;
  }

  #victim(request: Request): Waiting<Request> | undefined {
    if (this.#overflow === "dropOldest") {
      let oldest = this.queue.oldest;
      while (oldest?.data.guest) oldest = oldest.next;
      return oldest;
    }
    if (this.#overflow !== "dropLowest") return undefined;
    if (this.#ranking === undefined) {
      if (request.priority <= 0) return undefined;
      this.#rank();
    }
    const last = this.#ranking!.last();
    return last !== undefined && last.data.rank > this.#rankOf(request) ? last : undefined;
  }

  /** Sends the head away when the line has stood for too long. */
  #drop(codel: Codel, request: Request): boolean {
    if (this.queue.size === 1) {
      codel.settle();
      return false;
    }
    const nowMs = clock().now();
    const waitedMs = nowMs - request.sinceMs;
    if (!codel.drops(nowMs, waitedMs)) return false;
    this.dropped++;
    const message = `Cannot enter ${this.describe()}: all wait longer than ${codel.targetMs} ms, ` +
      `this call for ${waitedMs} ms, ${this.behind()}`;
    const { targetMs } = codel;
    this.queue.dismiss(request.waiting!, new OverloadError(message, { waitedMs, targetMs }));
    if (observed()) this.#tell("drop", request);
    return true;
  }

  #tooHeavy(limit: number): RangeError {
    return new RangeError(
      `Cannot enter ${this.describe()} as weight must fit its limit: it was changed to ${limit}`,
    );
  }

  #refusal(): QueueFullError {
    this.refused++;
    if (observed()) this.#tell("refuse", PLAIN);
    return this.#fullError("enter", "its queue is full");
  }

  #fullError(doing: string, why: string): QueueFullError {
    const { inUse, limit, maxQueue, queue } = this;
    return new this.#FullError(
      `Cannot ${doing} ${this.describe()}: ${why}, ${queue.size} of ${maxQueue} waiting, ` +
        `${inUse} of ${limit} in use`,
      { maxQueue, inUse },
    );
  }

  #tell(kind: string, { label }: Request): void {
    emit(kind, this.kind, this.name, {
      inUse: this.inUse,
      waiting: this.queue.size,
      ...(label === undefined ? {} : { label }),
    });
  }
}
