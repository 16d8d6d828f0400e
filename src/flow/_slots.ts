/** The engine of a limiter: slots, and those who wait for one. It knows nothing of the work. */
import { subject } from "../kernel/checks.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { QueueFullError } from "./queue_full_error.ts";

/** What somebody waits for: a slot, with a lease on it or without. */
export interface Request {
  readonly lease: boolean;
  /** Who will hold it, in words, for the observer. */
  readonly label?: string | undefined;
}

/** A slot for a piece of work, which gives it back by {@linkcode Slots.leave}. */
export const PLAIN: Request = { lease: false };

/** Slots, handed out first come, first served. The structure over it has checked the arguments. */
export class Slots implements LeaseOwner<OwnedLease> {
  readonly name: string | undefined;
  readonly maxQueue: number;
  readonly queue: WaitQueue<OwnedLease | undefined, Request>;
  /** Those who wait for everything to be over. */
  readonly idlers: WaitQueue<void, true>;
  limit: number;
  paused = false;
  inUse = 0;
  refused = 0;
  readonly #watchers = new Set<() => void>();
  /** Whoever will want more slots before it is over: those are not idle times. */
  guests = 0;
  /** Set once closed: what the structure over it refuses new requests with. */
  closedWith: { readonly error: unknown } | undefined;
  /** Whether those who wait may still be served after closing. */
  serving = true;

  constructor(limit: number, maxQueue: number, name: string | undefined) {
    this.limit = limit;
    this.maxQueue = maxQueue;
    this.name = name;
    const behind = (): string =>
      `${this.inUse} of ${this.limit} in use, ${this.queue.size} waiting${this.paused ? ", paused" : ""}`;
    this.queue = new WaitQueue({
      what: "enter limiter",
      structure: "limiter",
      name,
      behind,
      onLeave: () => this.tellIdlers(),
    });
    this.idlers = new WaitQueue({ what: "wait for idle limiter", structure: "limiter", name, behind });
  }

  describe(): string {
    return subject("limiter", this.name);
  }

  get idle(): boolean {
    return this.inUse === 0 && this.queue.size === 0 && this.guests === 0;
  }

  /** Takes a slot if it can be had without waiting. */
  take(request: Request): boolean {
    if (
      this.inUse >= this.limit || this.paused ||
      (this.queue.size > 0 && this.queue.head() !== undefined)
    ) return false;
    this.queue.totals.granted++;
    this.inUse++;
    if (observed()) this.#tell("acquire", request);
    return true;
  }

  /** Waits for a slot; for one with a lease, the lease is what is given. */
  wait(request: Request, options?: WaitOptions, maxQueue = this.maxQueue): Promise<OwnedLease | undefined> {
    if (this.queue.size < maxQueue) return this.queue.wait(request, options);
    this.refused++;
    const error = new QueueFullError(
      `Cannot enter ${this.describe()}: its queue is full, ${this.queue.size} of ${maxQueue} waiting, ` +
        `${this.inUse} of ${this.limit} in use`,
      { maxQueue, inUse: this.inUse },
    );
    return Promise.reject(error);
  }

  giveBack(): void {
    this.leave();
  }

  /** A slot comes back; the longest waiter gets it in the same turn. */
  leave(): void {
    this.inUse--;
    if (observed()) this.#tell("release", PLAIN);
    if (this.queue.size > 0) this.letIn();
    if (this.idlers.size > 0) this.tellIdlers();
  }

  /** There may be more room than before, or less, or none ever again. */
  changed(): void {
    if (this.closedWith !== undefined) {
      if (this.limit === 0) this.serving = false;
      if (!this.serving) this.queue.settleAll(this.closedWith.error);
    }
    this.letIn();
    this.tellIdlers();
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

  letIn(): void {
    while (!this.paused && this.inUse < this.limit) {
      const request = this.queue.head();
      if (request === undefined) break;
      this.inUse++;
      // Nobody is told before the grant: an observer could abort this head, and another would get its slot.
      this.queue.grant(request.lease ? new OwnedLease(this) : undefined);
      if (observed()) this.#tell("acquire", request);
    }
  }

  /** Sends everybody who waits away. */
  sendAway(reason: unknown): number {
    const sent = this.queue.settleAll(reason);
    this.tellIdlers();
    return sent;
  }

  tellIdlers(): void {
    while (this.idlers.size > 0 && this.idle) this.idlers.grant();
  }

  #tell(kind: string, { label }: Request): void {
    emit(kind, "limiter", this.name, {
      inUse: this.inUse,
      waiting: this.queue.size,
      ...(label === undefined ? {} : { label }),
    });
  }
}
