/** The parts of a batcher: a call on its way, those that came in one go, and a batch that runs. */
import { ownAbort } from "../kernel/errors.ts";
import type { HeapItem } from "../kernel/heap.ts";
import type { AbortTarget, Subscription } from "../kernel/signals.ts";
import { abortWork, Work } from "./_work.ts";
import type { BatchContext } from "./async_batcher_options.ts";

/** Calls that were made between two flushes: one waits for them and for those before. */
export class Cohort {
  /** How many of its calls wait for a batch, and how many of its batches run. */
  left = 0;
  /** Whether its calls wait for no window any more. */
  flushed = false;
  /** Whether it and all before it have ended. */
  over = false;
  next: Cohort | undefined = undefined;
}

/** What a call may ask of its batcher. */
export interface CallOwner<I, O> {
  /** What its callers do, in words. */
  readonly doing: string;
  giveUp(call: Call<I, O>, reason: unknown, why: "aborted" | "timedOut"): void;
}

/**
 * One item and the caller who waits for its result. Kept small, as there are many: what only some need is in their
 * {@linkcode Ties}.
 */
export class Call<I, O> {
  readonly item: I;
  cohort: Cohort;
  /** The two ends of the caller's promise, until it is settled. */
  resolve: ((value: O) => void) | undefined;
  reject: ((reason: unknown) => void) | undefined;
  /** When the window it belongs to was opened, where windows are timed. */
  sinceMs = 0;
  ties: Ties<I, O> | undefined = undefined;

  constructor(
    item: I,
    cohort: Cohort,
    resolve: (value: O) => void,
    reject: (reason: unknown) => void,
  ) {
    this.item = item;
    this.cohort = cohort;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** Its ties, made when first needed. */
  tie(owner: CallOwner<I, O>): Ties<I, O> {
    return this.ties ??= new Ties(this, owner);
  }

  /** Whether its caller still waits. */
  get wanted(): boolean {
    return this.resolve !== undefined;
  }

  /** Whether somebody still waits for the item, its caller or one who joined it. */
  get held(): boolean {
    return this.ties === undefined || this.ties.holders > 0;
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
    this.ties?.cut();
  }
}

/** What ties a call to others: a signal, a limit, those who want the same. */
export class Ties<I, O> implements AbortTarget, HeapItem {
  heapIndex = -1;
  readonly #call: Call<I, O>;
  readonly #owner: CallOwner<I, O>;
  subscription: Subscription | undefined;
  timer: Disposable | undefined;
  /** When its batch should have begun, as its caller has no more time than that. */
  byMs = Infinity;
  /** Its place among those who wait with it. */
  at = 0;
  weight = 0;
  /** What kind of batch it goes into, and what makes another item the same. */
  partition: unknown;
  key: unknown;
  /** The number by which observers know it; 0 without. */
  id = 0;
  /** The batch it is in, once there is one. */
  batch: Batch<I, O> | undefined;
  /** Whose item serves for this one too. */
  leader: Call<I, O> | undefined;
  /** For whom this item serves too, and how many in all still wait for it. */
  followers: Set<Call<I, O>> | undefined;
  holders = 1;

  constructor(call: Call<I, O>, owner: CallOwner<I, O>) {
    this.#call = call;
    this.#owner = owner;
  }

  aborted(reason: unknown): void {
    this.#owner.giveUp(this.#call, reason, "aborted");
  }

  describe(): string {
    return this.#owner.doing;
  }

  cut(): void {
    this.subscription?.cancel();
    this.timer?.[Symbol.dispose]();
  }
}

/** What the batch function gets. */
class BatchWork extends Work implements BatchContext {
  readonly partition: unknown;

  constructor(partition: unknown) {
    super();
    this.partition = partition;
  }
}

/** Items that are handed to the batch function together. */
export class Batch<I, O> {
  readonly #calls: readonly Call<I, O>[];
  readonly work: BatchWork;
  /** How many items somebody still waits for. */
  #held: number;
  #end: { readonly reason: unknown } | undefined;

  constructor(calls: readonly Call<I, O>[], partition: unknown) {
    this.#calls = calls;
    this.#held = calls.length;
    this.work = new BatchWork(partition);
    for (const { ties } of calls) if (ties !== undefined) ties.batch = this;
  }

  /** Those whose items somebody still waits for. */
  get held(): readonly Call<I, O>[] {
    return this.#held === this.#calls.length ? this.#calls : this.#calls.filter((call) => call.held);
  }

  /** What it was aborted with, boxed, once nobody waits for it any more. */
  get end(): { readonly reason: unknown } | undefined {
    return this.#end;
  }

  /** Nobody waits for one of the items any more; the last one takes the batch with it. */
  leave(reason: unknown, what: string): void {
    if (--this.#held > 0) return;
    this.#end = {
      reason: ownAbort(`Cannot go on with a batch of ${what}: nobody waits for it any more`, reason),
    };
    abortWork(this.work, this.#end.reason);
  }

  /** Those whose items somebody still waits for, in two batches; in one, when that is a single item. */
  halves(): Batch<I, O>[] {
    const { held } = this;
    const middle = Math.ceil(held.length / 2);
    return [held.slice(0, middle), held.slice(middle)].filter((half) => half.length > 0)
      .map((half) => new Batch(half, this.work.partition));
  }
}
