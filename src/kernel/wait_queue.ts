/**
 * First come, first served, with abort and time limit: the only place in the library where waiters live.
 *
 * Intrusive doubly linked nodes make joining, being granted and giving up O(1) at any length; a grant hands over
 * directly, so nobody can barge in between (as in tokio's batch semaphore and Go's `x/sync/semaphore`).
 */
import { census } from "./census.ts";
import { checkWaitOptions } from "./checks.ts";
import { clock } from "./clock.ts";
import { TimeoutError } from "./errors.ts";
import { emit, observed, oneStep } from "./observer.ts";
import { type AbortTarget, subscribe, type Subscription } from "./signals.ts";
import type { WaitOptions } from "./types.ts";

/** How a {@linkcode WaitQueue} speaks of itself, and what it does when a waiter gives up. */
export interface WaitQueueOptions {
  /** What is waited for, as it stands in messages after "Cannot": `acquire lock`. */
  what: string;
  /** The kind of structure, for the observer: `lock`. */
  structure: string;
  /** The structure's name. */
  name?: string | undefined;
  /** What a waiter is waiting behind, for the message of its time limit: `held by "import", 4 waiting`. */
  // deno-lint-ignore no-explicit-any
  behind?: ((data: any) => string) | undefined;
  /** The error of a wait that reached its limit, for a structure that has one of its own. */
  expired?: ((operation: string, limitMs: number) => TimeoutError) | undefined;
  /**
   * Called after a waiter has given up (abort or limit), when the next head may now be granted in the same turn.
   * Not called for waiters that {@linkcode WaitQueue.head} drops: whoever calls that is looking at the head already.
   */
  onLeave?: (() => void) | undefined;
}

/** Totals of a {@linkcode WaitQueue} since it was made. */
export interface WaitTotals {
  /** Waiters that got what they waited for; the structure adds those who did not have to wait. */
  granted: number;
  /** Waits given up by a signal, those refused because it was aborted beforehand included. */
  aborted: number;
  /** Waits that reached their time limit. */
  timedOut: number;
}

/** A place in a line that somebody took by {@linkcode WaitQueue.join}. */
export interface Place {
  /** Takes the waiter out; does nothing once it was granted or sent away. Grants nobody else yet. */
  leave(): void;
  /** Lets the structure look at who is now at the head: to be called when all places have been left. */
  left(): void;
}

/** A waiter, as far as an order and the structure may know it. */
export interface Waiting<D> {
  /** What it waits with. */
  readonly data: D;
  /** Whether it still waits. */
  readonly waiting: boolean;
  /** Who came next. */
  readonly next: Waiting<D> | undefined;
  /** What the queue's order knows it by. */
  place: unknown;
}

/** Says who of those who wait comes first, where that is not who came first. It keeps an index, not the waiters. */
export interface WaitOrder<D> {
  /** Somebody waits, who came last. */
  add(waiter: Waiting<D>): void;
  /** Somebody waits no more: was granted, or left. Told while {@linkcode Waiting.next} still holds. */
  remove(waiter: Waiting<D>, granted: boolean): void;
  /** Who is next, or `undefined` when nobody may be now. */
  first(): Waiting<D> | undefined;
}

/** How a wait ends, as observers are told: what happened, and in one word for all of them how it went. */
const OUTCOMES = { grant: "granted", abort: "aborted", timeout: "timeout", reject: "rejected" } as const;

type Ending = keyof typeof OUTCOMES | "leave";

/** Kept small, as there may be very many: what only some need is in their {@linkcode Watch}. */
class Waiter<T, D> implements Waiting<D> {
  prev: Waiter<T, D> | undefined;
  next: Waiter<T, D> | undefined;
  /** The one state word: whether it still waits. Grant, abort and limit each claim it; the first wins. */
  waiting = true;
  readonly data: D;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  watch: Watch<T, D> | undefined;
  place: unknown;

  constructor(data: D, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    this.data = data;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/** One who has joined, with functions that may do anything: leave other lines, above all. */
class Joined<T, D> extends Waiter<T, D> {}

/** What may make a waiter give up, and what observers are going to be told of it. */
class Watch<T, D> implements AbortTarget {
  readonly #waiter: Waiter<T, D>;
  readonly #queue: QueueEnd<T, D>;
  readonly signal: AbortSignal | undefined;
  subscription: Subscription | undefined;
  timer: Disposable | undefined;
  /** Since when it waits, if somebody observed that. */
  sinceMs: number | undefined;

  constructor(waiter: Waiter<T, D>, queue: QueueEnd<T, D>, signal: AbortSignal | undefined) {
    this.#waiter = waiter;
    this.#queue = queue;
    this.signal = signal;
  }

  aborted(reason: unknown): void {
    this.#queue.giveUp(this.#waiter, reason, "abort");
  }

  describe(): string {
    return this.#queue.doing();
  }

  heldUpBy(): string {
    return `${this.#queue.doing()}: ${this.#queue.behind(this.#waiter)}`;
  }

  end(): void {
    this.subscription?.cancel();
    this.timer?.[Symbol.dispose]();
  }
}

/** What a waiter may ask of its queue. */
interface QueueEnd<T, D> {
  giveUp(waiter: Waiter<T, D>, reason: unknown, why: "abort" | "timeout"): void;
  doing(): string;
  behind(waiter: Waiter<T, D>): string;
}

/** A queue of waiters, each with data `D`, who are granted a `T`: first come, first served, or in an order of its own. */
export class WaitQueue<T, D = undefined> {
  readonly #options: WaitQueueOptions;
  readonly totals: WaitTotals = { granted: 0, aborted: 0, timedOut: 0 };
  #first: Waiter<T, D> | undefined;
  #last: Waiter<T, D> | undefined;
  #size = 0;
  #order: WaitOrder<D> | undefined;

  constructor(options: WaitQueueOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Who came first of those who wait, or `undefined`. */
  get oldest(): Waiting<D> | undefined {
    return this.#first;
  }

  /** Who came last of those who wait, or `undefined`. */
  get newest(): Waiting<D> | undefined {
    return this.#last;
  }

  /** Serves by `order` from now on, those who wait already included; `undefined`: first come, first served again. */
  reorder(order: WaitOrder<D> | undefined): void {
    this.#order = order;
    if (order === undefined) return;
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) order.add(waiter);
  }

  /**
   * The refusal of a call with bad options or a signal that is aborted already, or `undefined` when it may go on.
   * Comes first in every waiting method, before anything is granted or queued.
   */
  refusal(options: WaitOptions | undefined): Promise<never> | undefined {
    if (options === undefined) return undefined;
    try {
      checkWaitOptions(this.doing, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const { signal } = options;
    if (signal === undefined || !signal.aborted) return undefined;
    this.totals.aborted++;
    if (observed()) this.#tell("abort", { outcome: OUTCOMES.abort, waitedMs: 0 });
    return Promise.reject(signal.reason);
  }

  /**
   * Waits for a grant, behind everybody who waits already.
   *
   * **Abort** rejects with the signal's reason; after the grant it is ignored. **Limit**: a `TimeoutError` that says
   * what was waited behind; 0 still lets grants of this turn through.
   *
   * @param joined Is told the waiter as soon as it is in line, before any observer is.
   */
  wait(data: D, options?: WaitOptions, joined?: (waiter: Waiting<D>) => void): Promise<T> {
    const refused = this.refusal(options);
    if (refused !== undefined) return refused;
    return new Promise<T>((resolve, reject) => {
      const waiter = new Waiter<T, D>(data, clock().putOff ? this.#puttingOff(resolve) : resolve, reject);
      this.#link(waiter);
      if (joined !== undefined) joined(waiter);
      if (options !== undefined) this.#watch(waiter, options);
      if (observed() && waiter.waiting) this.#tellStart(waiter);
    });
  }

  /**
   * Waits like {@linkcode wait}, with functions instead of a promise: for somebody who waits in several queues and, in
   * the very step in which one of them grants, leaves the others. Watching `signal` is the caller's business; here it
   * is only asked, so that nothing is granted to one who has given up.
   *
   * Leaving has two steps, as nobody may be granted another of its places when the line moves behind the first; nor by
   * an observer: whoever has several places joins and leaves them in {@linkcode oneStep}, in which `granted` and
   * `rejected` are called, too.
   *
   * @param joined Is told the place as soon as it is in line, before any observer is.
   */
  join(
    data: D,
    signal: AbortSignal | undefined,
    granted: (value: T) => void,
    rejected: (reason: unknown) => void,
    joined?: (place: Place) => void,
  ): Place {
    const waiter = new Joined<T, D>(data, granted, rejected);
    if (signal !== undefined) waiter.watch = new Watch(waiter, this.#end, signal);
    this.#link(waiter);
    let moved = false;
    const place: Place = {
      leave: () => {
        if (!waiter.waiting) return;
        this.#unlink(waiter);
        if (observed()) this.#tellEnd(waiter, "leave");
        moved = true;
      },
      left: () => {
        if (moved) this.#options.onLeave?.();
        moved = false;
      },
    };
    joined?.(place);
    if (observed()) this.#tellStart(waiter);
    return place;
  }

  /** Lets one who waits go before another who came earlier, where it is first come, first served otherwise. */
  advance(waiter: Waiting<D>, before: Waiting<D>): void {
    const [one, other] = [waiter as Waiter<T, D>, before as Waiter<T, D>];
    if (one === other || !one.waiting || !other.waiting) return;
    this.#detach(one);
    const { prev } = other;
    one.prev = prev;
    one.next = other;
    other.prev = one;
    if (prev === undefined) this.#first = one;
    else prev.next = one;
  }

  /** What the waiter at the head waits with, or `undefined` when nobody waits. */
  head(): D | undefined {
    return this.#head()?.data;
  }

  /** Hands `value` to the head. @returns Whether somebody was there to take it. */
  grant(value: T): boolean {
    const waiter = this.#head();
    if (waiter === undefined) return false;
    this.#unlink(waiter, true);
    this.totals.granted++;
    if (observed()) this.#settleTold(waiter, "grant", () => waiter.resolve(value));
    else waiter.resolve(value);
    return true;
  }

  /**
   * Hands everybody a value, by place in the line, if there are `count` of them: all or nobody, as one step, so that
   * nobody can come or give up in between. Those whose signal is aborted, but has not told us yet, don't count.
   *
   * @returns Whether there were.
   */
  grantTogether(count: number, value: (place: number) => T): boolean {
    if (this.#size < count) return false;
    const together: Waiter<T, D>[] = [];
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) {
      if (!waiter.watch?.signal?.aborted) together.push(waiter);
    }
    if (together.length < count) return false;
    for (const waiter of together) this.#unlink(waiter, true);
    this.totals.granted += together.length;
    together.forEach((waiter, place) => waiter.resolve(value(place)));
    if (observed()) { for (const waiter of together) this.#tellEnd(waiter, "grant"); }
    return true;
  }

  /** Sends one away. @returns Whether it still waited. */
  dismiss(waiter: Waiting<D>, reason: unknown): boolean {
    if (!waiter.waiting) return false;
    const one = waiter as Waiter<T, D>;
    const signal = one.watch?.signal;
    if (signal?.aborted) this.#drop(one, signal.reason, "abort");
    else this.#drop(one, reason, "reject");
    return true;
  }

  /** Gives one up that has reached a limit which somebody else watches. @returns Whether it still waited. */
  expire(waiter: Waiting<D>, limitMs: number): boolean {
    if (!waiter.waiting) return false;
    this.#drop(waiter as Waiter<T, D>, this.#timeoutError(waiter as Waiter<T, D>, limitMs), "timeout");
    return true;
  }

  /** Sends everybody away. @returns How many there were. */
  settleAll(reason: unknown): number {
    return this.rejectWhere(() => true, reason);
  }

  /** Sends those away whose data match, in order, before observers are told of any. @returns How many there were. */
  rejectWhere(match: (data: D) => boolean, reason: unknown): number {
    return oneStep(() => this.#rejectWhere(match, reason));
  }

  #rejectWhere(match: (data: D) => boolean, reason: unknown): number {
    const away: Waiter<T, D>[] = [];
    for (let waiter = this.#first; waiter !== undefined; waiter = waiter.next) {
      if (match(waiter.data)) away.push(waiter);
    }
    let rejected = 0;
    for (const waiter of away) {
      // One who has joined twice takes all its places out when it is sent away from the first.
      if (!waiter.waiting) continue;
      this.#drop(waiter, reason, "reject");
      rejected++;
    }
    return rejected;
  }

  /** What its waiters wait for: `acquire lock "files"`. */
  get doing(): string {
    const { what, name } = this.#options;
    return name === undefined ? what : `${what} ${JSON.stringify(name)}`;
  }

  #timeoutError(waiter: Waiter<T, D>, limitMs: number): TimeoutError {
    const operation = this.doing;
    if (this.#options.expired !== undefined) return this.#options.expired(operation, limitMs);
    const message = `Cannot ${operation} within ${limitMs} ms: ${this.#behind(waiter)}`;
    return new TimeoutError(message, { operation, limitMs });
  }

  #behind({ data }: Waiter<T, D>): string {
    return this.#options.behind?.(data) ?? `${this.#size} waiting`;
  }

  readonly #end: QueueEnd<T, D> = {
    giveUp: (waiter, reason, why) => {
      if (!waiter.waiting) return;
      this.#drop(waiter, reason, why);
      this.#options.onLeave?.();
    },
    doing: () => this.doing,
    behind: (waiter) => this.#behind(waiter),
  };

  #head(): Waiter<T, D> | undefined {
    for (;;) {
      const first = this.#order === undefined ? this.#first : this.#order.first() as Waiter<T, D> | undefined;
      const signal = first?.watch?.signal;
      // One whose signal is aborted, but has not told us yet, has given up: the abort came before the grant.
      if (signal === undefined || !signal.aborted) return first;
      this.#drop(first!, signal.reason, "abort");
    }
  }

  #watch(waiter: Waiter<T, D>, { signal, timeoutMs = Infinity }: WaitOptions): void {
    const watch = waiter.watch = new Watch(waiter, this.#end, signal);
    if (signal !== undefined) {
      try {
        watch.subscription = subscribe(signal, watch);
      } catch (error) {
        return this.#drop(waiter, error, "reject"); // It can't be listened to, being none of the platform's.
      }
    }
    if (timeoutMs === Infinity || !waiter.waiting) return;
    const expire = (): void => this.#end.giveUp(waiter, this.#timeoutError(waiter, timeoutMs), "timeout");
    watch.timer = clock().schedule(clock().now() + timeoutMs, expire, { ref: true });
  }

  #puttingOff(resolve: (value: T) => void): (value: T) => void {
    const { putOff } = clock();
    return (value) => putOff!("wait", this, () => resolve(value));
  }

  #drop(waiter: Waiter<T, D>, reason: unknown, why: "abort" | "timeout" | "reject"): void {
    this.#unlink(waiter);
    if (why === "abort") this.totals.aborted++;
    else if (why === "timeout") this.totals.timedOut++;
    if (observed()) this.#settleTold(waiter, why, () => waiter.reject(reason));
    else waiter.reject(reason);
  }

  /** Tells of the end of a wait before the caller hears of it; of one who has joined after it has left its other places. */
  #settleTold(waiter: Waiter<T, D>, ending: Ending, settle: () => void): void {
    const step = (): void => {
      this.#tellEnd(waiter, ending);
      settle();
    };
    if (waiter instanceof Joined) oneStep(step);
    else step();
  }

  #tellStart(waiter: Waiter<T, D>): void {
    waiter.watch ??= new Watch(waiter, this.#end, undefined);
    waiter.watch.sinceMs = clock().now();
    this.#tell("wait");
  }

  #tellEnd({ watch }: Waiter<T, D>, ending: Ending): void {
    this.#tell(ending, {
      ...(ending === "leave" ? {} : { outcome: OUTCOMES[ending] }),
      ...(watch?.sinceMs === undefined ? {} : { waitedMs: clock().now() - watch.sinceMs }),
    });
  }

  #tell(kind: string, more?: object): void {
    emit(kind, this.#options.structure, this.#options.name, { waiting: this.#size, ...more });
  }

  #link(waiter: Waiter<T, D>): void {
    if (this.#last === undefined) this.#first = waiter;
    else {
      waiter.prev = this.#last;
      this.#last.next = waiter;
    }
    this.#last = waiter;
    this.#size++;
    this.#order?.add(waiter);
    census.waiters++;
  }

  #unlink(waiter: Waiter<T, D>, granted = false): void {
    this.#order?.remove(waiter, granted);
    this.#detach(waiter);
    waiter.waiting = false;
    this.#size--;
    census.waiters--;
    waiter.watch?.end();
  }

  #detach(waiter: Waiter<T, D>): void {
    const { prev, next } = waiter;
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    waiter.prev = waiter.next = undefined;
  }
}
