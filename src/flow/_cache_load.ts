/** A load under way: who waits for it, how long it is wanted, and what it waits for itself. */
import { show } from "../kernel/checks.ts";
import { deadlineOf, noteDeadline } from "../kernel/deadlines.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { Canceller } from "../kernel/signals.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { WriteOptions } from "./_cache_settings.ts";
import type { ValueLease } from "./_cache_disposal.ts";
import type { LoadState } from "./_cache_store.ts";
import type { CallContext } from "./policy.ts";

/** The call by which a signal was given to a loader: on the signal itself, as its deadline is. */
const CALL = Symbol("load");

type Given = AbortSignal & { [CALL]?: Call };

/** The call whose loader is running right now, in this very turn. */
let running: Call | undefined;

/** The load on whose behalf something is asked for: known by the signal it was given, or by running right now. */
export function askingFor(signal: Given | undefined): Call | undefined {
  return signal?.[CALL] ?? running;
}

/** One call of a loader, for one key or several. It is the context that the loader gets. */
export class Call implements CallContext {
  readonly loads: Load<unknown, unknown>[] = [];
  /** How many of its loads somebody wants. */
  wanted = 0;
  /** What it was aborted with, boxed. */
  end: { readonly reason: unknown } | undefined;
  /** The calls that it waits for, by a box for each wait. */
  readonly #waitsFor = new Set<{ readonly call: Call }>();
  #canceller: Canceller | undefined;

  /** Made when first read: a controller costs more than a load from memory. */
  get signal(): AbortSignal {
    if (this.#canceller === undefined) {
      const signal: Given = (this.#canceller = new Canceller()).signal;
      signal[CALL] = this;
      noteDeadline(signal, () => this.loads.reduce((ms, load) => Math.max(ms, load.deadlineMs()), -Infinity));
      if (this.end !== undefined) this.#canceller.abort(this.end.reason);
    }
    return this.#canceller.signal;
  }

  /** Runs the loader, here and now: in the async context of whoever asks first. What it throws is a rejection. */
  run<T>(loader: () => T | PromiseLike<T>): Promise<T> {
    const outer = running;
    running = this;
    try {
      return new Promise((resolve) => resolve(loader()));
    } finally {
      running = outer;
    }
  }

  abort(reason: unknown): void {
    if (this.end !== undefined) return;
    this.end = { reason };
    this.#canceller?.abort(reason);
  }

  /** Notes that the loader waits for another call, until `wait` is over. */
  waitFor(call: Call, wait: Promise<unknown>): void {
    const box = { call };
    const over = (): void => void this.#waitsFor.delete(box);
    this.#waitsFor.add(box);
    wait.then(over, over);
  }

  /** Whether it waits for `other`, directly or through others; it does for itself. */
  needs(other: Call): boolean {
    const seen = new Set<Call>([this]);
    for (const call of seen) {
      if (call === other) return true;
      for (const box of call.#waitsFor) seen.add(box.call);
    }
    return false;
  }
}

/** How somebody waits for a load. */
export interface Want {
  /** Whether a lease on the value is what is waited for. */
  readonly lease: boolean;
  readonly signal: AbortSignal | undefined;
  /** When the wait ends by its own limit. */
  readonly atMs: number;
}

/** What the waiters of a load need of their cache. */
export interface LoadOwner {
  readonly name: string | undefined;
  /** A waiter has given up. */
  left(load: Load<unknown, unknown>): void;
}

/** The load of one key: as much of a call as those who want that key have to do with. */
export class Load<K, V> implements LoadState {
  readonly key: K;
  readonly call: Call;
  readonly owner: LoadOwner;
  /** What its first caller says of the value. */
  readonly write: WriteOptions | undefined;
  current = true;
  /** Tags that were deleted since, as long as nobody knows whether the value has them. */
  suspects: Set<string> | undefined;
  /** Whether it has been answered, one way or another, or given up. */
  over = false;
  /** Those who can't give up share one promise. */
  #shared: Deferred<V> | undefined;
  #queue: WaitQueue<V | ValueLease<V>, Want> | undefined;
  #background = false;
  #wanted = false;

  constructor(key: K, call: Call, owner: LoadOwner, write: WriteOptions | undefined) {
    this.key = key;
    this.write = write;
    this.call = call;
    this.owner = owner;
    call.loads.push(this as Load<unknown, unknown>);
  }

  /** Those who wait with a signal, a limit, or for a lease. */
  get queue(): WaitQueue<V | ValueLease<V>, Want> {
    return this.#queue ??= new WaitQueue({
      what: `get ${show(this.key)} from cache`,
      structure: "cache",
      name: this.owner.name,
      behind: () => "it is still being loaded",
      onLeave: () => this.owner.left(this as Load<unknown, unknown>),
    });
  }

  get totals(): { aborted: number; timedOut: number } | undefined {
    return this.#queue?.totals;
  }

  /** Whether anybody waits for it, or the cache itself wants it. */
  get wanted(): boolean {
    return this.#shared !== undefined || this.#background || (this.#queue?.size ?? 0) > 0;
  }

  /** Whether anybody waits for it. */
  get awaited(): boolean {
    return this.#shared !== undefined || (this.#queue?.size ?? 0) > 0;
  }

  /** Whether any of those who get its value may use it without a lease. */
  get shared(): boolean {
    if (this.#shared !== undefined) return true;
    for (let at = this.#queue?.oldest; at !== undefined; at = at.next) if (!at.data.lease) return true;
    return false;
  }

  /** Whether the cache itself wants it, to have a newer value. */
  set background(on: boolean) {
    this.#background = on;
    this.count();
  }

  /** The promise of all who have no way to give up. */
  share(): Promise<V> {
    if (this.#shared === undefined) {
      this.#shared = deferred<V>();
      this.count();
    }
    return this.#shared.promise;
  }

  /** Keeps its call's count of wanted loads right, after somebody came or went. */
  count(): void {
    if (this.wanted === this.#wanted) return;
    this.#wanted = !this.#wanted;
    this.call.wanted += this.#wanted ? 1 : -1;
  }

  /** By when the last of those who want it wants it. */
  deadlineMs(): number {
    if (this.#shared !== undefined || this.#background) return Infinity;
    let latest = -Infinity;
    for (let at = this.#queue?.oldest; at !== undefined; at = at.next) {
      latest = Math.max(latest, Math.min(at.data.atMs, deadlineOf(at.data.signal)));
    }
    return latest === -Infinity ? Infinity : latest;
  }

  /** Answers all who wait. */
  succeed(value: V, lease: () => ValueLease<V>): void {
    this.over = true;
    this.#shared?.resolve(value);
    const queue = this.#queue;
    if (queue === undefined) return;
    for (let want = queue.head(); want !== undefined; want = queue.head()) {
      queue.grant(want.lease ? lease() : value);
    }
  }

  fail(error: unknown): void {
    this.over = true;
    this.#shared?.reject(error);
    const queue = this.#queue;
    // Through the head, which sends those away whose signal is aborted and has not told us: that came first.
    while (queue?.head() !== undefined) queue.dismiss(queue.oldest!, error);
  }
}
