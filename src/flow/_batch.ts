/** The parts of a batcher: an item on its way, the line of items that wait for a batch, and a batch that runs. */
import { ownAbort } from "../kernel/errors.ts";
import type { AbortTarget, Subscription } from "../kernel/signals.ts";
import { abortWork, Work } from "./_work.ts";

/** What an item may ask of its batcher. */
export interface EntryOwner<I, O> {
  giveUp(entry: Entry<I, O>, reason: unknown, why: "aborted" | "timedOut"): void;
}

/** One item and the caller who waits for its result. */
export class Entry<I, O> implements AbortTarget {
  prev: Entry<I, O> | undefined = undefined;
  next: Entry<I, O> | undefined = undefined;
  readonly item: I;
  readonly owner: EntryOwner<I, O>;
  /** Its place in the order of calls. */
  readonly order: number;
  /** When the window it belongs to was opened. */
  sinceMs = 0;
  batch: Batch<I, O> | undefined = undefined;
  subscription: Subscription | undefined = undefined;
  timer: Disposable | undefined = undefined;
  /** The two ends of the caller's promise, until it is settled. */
  resolve: ((value: O) => void) | undefined;
  reject: ((reason: unknown) => void) | undefined;

  constructor(
    item: I,
    owner: EntryOwner<I, O>,
    order: number,
    resolve: (value: O) => void,
    reject: (reason: unknown) => void,
  ) {
    this.item = item;
    this.owner = owner;
    this.order = order;
    this.resolve = resolve;
    this.reject = reject;
  }

  aborted(reason: unknown): void {
    this.owner.giveUp(this, reason, "aborted");
  }

  /** Whether its caller still waits. */
  get wanted(): boolean {
    return this.resolve !== undefined;
  }

  succeed(value: O): void {
    const { resolve } = this;
    this.#settle();
    resolve?.(value);
  }

  fail(reason: unknown): void {
    const { reject } = this;
    this.#settle();
    reject?.(reason);
  }

  #settle(): void {
    this.resolve = this.reject = undefined;
    this.subscription?.cancel();
    this.timer?.[Symbol.dispose]();
  }
}

/** Items that wait for a batch, oldest first; any of them can leave in O(1). */
export class Line<I, O> {
  first: Entry<I, O> | undefined;
  #last: Entry<I, O> | undefined;
  size = 0;

  push(entry: Entry<I, O>): void {
    entry.prev = this.#last;
    if (this.#last === undefined) this.first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    this.size++;
  }

  remove(entry: Entry<I, O>): void {
    const { prev, next } = entry;
    if (prev === undefined) this.first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    entry.prev = entry.next = undefined;
    this.size--;
  }

  /** Takes up to `count` from the front. */
  take(count: number): Entry<I, O>[] {
    const taken: Entry<I, O>[] = [];
    let next = this.first;
    while (next !== undefined && taken.length < count) {
      const entry = next;
      next = entry.next;
      entry.prev = entry.next = undefined;
      taken.push(entry);
    }
    this.first = next;
    if (next === undefined) this.#last = undefined;
    else next.prev = undefined;
    this.size -= taken.length;
    return taken;
  }
}

/** Items that were handed to the batch function together. */
export class Batch<I, O> {
  readonly entries: readonly Entry<I, O>[];
  readonly work = new Work();
  /** How many callers still wait. */
  #wanted: number;
  #end: { readonly reason: unknown } | undefined;

  constructor(entries: readonly Entry<I, O>[]) {
    this.entries = entries;
    this.#wanted = entries.length;
    for (const entry of entries) entry.batch = this;
  }

  /** Those whose callers still wait. */
  get wanted(): readonly Entry<I, O>[] {
    return this.#wanted === this.entries.length ? this.entries : this.entries.filter((entry) => entry.wanted);
  }

  /** What it was aborted with, boxed, once nobody waits for it any more. */
  get end(): { readonly reason: unknown } | undefined {
    return this.#end;
  }

  /** A caller has gone; the last one takes the batch with it. */
  leave(reason: unknown, what: string): void {
    if (--this.#wanted > 0) return;
    this.#end = {
      reason: ownAbort(`Cannot go on with a batch of ${what}: nobody waits for it any more`, reason),
    };
    abortWork(this.work, this.#end.reason);
  }
}
