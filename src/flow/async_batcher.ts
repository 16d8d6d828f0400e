import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit, observed } from "../kernel/observer.ts";
import { subscribe } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { Batch, Entry, type EntryOwner, Line } from "./_batch.ts";
import { BatchShapeError } from "./batch_shape_error.ts";
import type { CallContext } from "./policy.ts";

/**
 * Serves several items at once: one result for each, in their order. An `Error` in the place of a result fails that
 * item only.
 */
export type BatchFunction<I, O> = (
  items: readonly I[],
  context: CallContext,
) => PromiseLike<readonly (O | Error)[]>;

/** Options of an {@linkcode AsyncBatcher}. */
export interface AsyncBatcherOptions {
  /** How many items go into one batch at most; `Infinity` for no limit. Default 100. */
  maxSize?: number;
  /**
   * How long the first item of a batch waits for others, in milliseconds. Default 0: only for those that are added by
   * code that is running or ready to run now.
   */
  maxWaitMs?: number;
  /** How many items may wait for a batch; callers beyond that wait to be let in. Default `Infinity`. */
  maxPending?: number;
  /** How many batches may run at once. Default 1. */
  concurrency?: number;
  /** Appears in messages and observer records. */
  name?: string;
}

/** Options of {@linkcode AsyncBatcher.close}. */
export interface AsyncBatcherCloseOptions {
  /** Whether items that wait for a batch still get theirs (`"flush"`, the default) or are refused. */
  pending?: "flush" | "reject";
}

/** What an operator wants to know of an {@linkcode AsyncBatcher}. */
export interface AsyncBatcherStatistics {
  /** Items that wait for a batch. */
  readonly pending: number;
  /** Callers that wait to be let in. */
  readonly waiting: number;
  /** Batches that run. */
  readonly inUse: number;
  /** Batches that could run besides. */
  readonly free: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Batches begun so far. */
  readonly batches: number;
  /** Items handed to the batch function so far. */
  readonly granted: number;
  /** Items that got a result. */
  readonly fulfilled: number;
  /** Items that failed, by themselves or with their batch. */
  readonly failed: number;
  /** Calls given up by a signal. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
}

/** A caller that waits to be let in. */
interface Waiting<I, O> {
  readonly entry: Entry<I, O>;
  readonly options: WaitOptions | undefined;
  /** When its call must have ended. */
  readonly endMs: number;
}

/**
 * For how many turns of the microtask queue nothing must be added before a window of 0 ms closes. Several, as callers
 * that come through an async function or two more than others are a few turns behind them.
 */
const QUIET_TURNS = 8;

const settled = Promise.resolve();

/**
 * Collects items that are added one by one and has them served together.
 *
 * **Window** — opens at the first item of a batch and closes at `maxSize` items or after `maxWaitMs`, whichever comes
 * first; while all `concurrency` batches run, items go on joining the next one. **Order** — items are served in the
 * order in which they came, and results are handed out by position. **Failure** — when the function throws or rejects,
 * every caller of that batch gets that very error; an `Error` in the place of a result rejects its item only; a result
 * of the wrong shape rejects all with a `BatchShapeError`. **Abort** — before the batch is begun, the item is taken
 * out (when it was the last, the function is not called); afterwards the caller rejects at once, and the batch's own
 * signal is aborted only when all its callers have gone. **Back-pressure** — with `maxPending` items waiting, further
 * callers wait in line, first come, first served. **Close** — see {@linkcode close}; `await using` flushes. Every item
 * settles exactly once. The function runs in the async context of a caller, not each in its own.
 *
 * @example
 * ```ts
 * import { AsyncBatcher } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const queries: (readonly number[])[] = [];
 * const names = new AsyncBatcher<number, string>(async (ids) => {
 *   queries.push(ids);
 *   return await Promise.resolve(ids.map((id) => id > 0 ? `user ${id}` : new RangeError(`No user ${id}`)));
 * });
 * const [one, none] = await Promise.allSettled([names.add(1), names.add(-1)]);
 * assert.deepEqual(one, { status: "fulfilled", value: "user 1" });
 * assert.deepEqual(none.status, "rejected");
 * assert.deepEqual(queries, [[1, -1]]);
 * ```
 */
export class AsyncBatcher<I, O> implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #fn: BatchFunction<I, O>;
  readonly #maxSize: number;
  readonly #maxWaitMs: number;
  readonly #maxPending: number;
  readonly #concurrency: number;
  /** At how many items waiting longer is of no use. */
  readonly #fullSize: number;
  readonly #line = new Line<I, O>();
  /** Callers that wait to be let into the line. */
  readonly #waiters: WaitQueue<void, Waiting<I, O>>;
  /** Those who wait until all calls up to one are settled. */
  readonly #flushers: WaitQueue<void, number>;
  readonly #running = new Set<Batch<I, O>>();
  readonly #owner: EntryOwner<I, O> = { giveUp: (...how) => this.#giveUp(...how) };
  readonly #counts = { batches: 0, granted: 0, fulfilled: 0, failed: 0, aborted: 0, timedOut: 0 };
  #calls = 0;
  /** Calls up to this one do not wait for a window any more. */
  #closedTo = 0;
  #timer: Disposable | undefined;
  #timerMs = 0;
  /** How many quiet turns of the microtask queue the window of 0 ms stays open; 0 when none is open. */
  #turnsLeft = 0;
  #closing: Promise<void> | undefined;

  /**
   * Creates an empty batcher.
   *
   * @param fn Serves a batch. Called with at least one item, never more than `maxSize`.
   * @throws {TypeError | RangeError} When an argument is not as it says.
   */
  constructor(fn: BatchFunction<I, O>, options: AsyncBatcherOptions = {}) {
    checkOptions("create batcher", options);
    const { maxSize = 100, maxWaitMs = 0, maxPending = Infinity, concurrency = 1, name } = options;
    checkName("create batcher", name);
    const doing = `create ${subject("batcher", name)}`;
    checkFunction(doing, "fn", fn);
    checkCount(doing, "maxSize", maxSize, 1);
    checkDurationMs(doing, "maxWaitMs", maxWaitMs);
    checkCount(doing, "maxPending", maxPending, 1);
    checkCount(doing, "concurrency", concurrency, 1);
    this.name = name;
    this.#fn = fn;
    this.#maxSize = maxSize;
    this.#maxWaitMs = maxWaitMs;
    this.#maxPending = maxPending;
    this.#concurrency = concurrency;
    this.#fullSize = Math.min(maxSize, maxPending);
    const behind = (): string => this.#behind();
    const onLeave = (): void => this.#tellFlushers();
    this.#waiters = new WaitQueue({ what: "add to batcher", structure: "batcher", name, behind, onLeave });
    this.#flushers = new WaitQueue({ what: "flush batcher", structure: "batcher", name, behind });
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Adds an item and waits for its result.
   *
   * @param options `signal` gives this call up; `timeoutMs` bounds the whole of it.
   * @returns The result in the item's place.
   * @throws The error in the item's place, or what the batch function threw.
   * @throws {BatchShapeError} When there is not one result for each item.
   * @throws {ClosedError} When the batcher is closed, or closed with `pending: "reject"` before the item's turn.
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged.
   */
  add(item: I, options?: WaitOptions): Promise<O> {
    if (options !== undefined) {
      const refused = this.#waiters.refusal(options);
      if (refused !== undefined) return refused;
    }
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    if (options?.timeoutMs === 0) {
      this.#counts.timedOut++;
      return Promise.reject(this.#timeoutError(0));
    }
    const { promise, resolve, reject } = deferred<O>();
    const entry = new Entry<I, O>(item, this.#owner, ++this.#calls, resolve, reject);
    if (this.#line.size < this.#maxPending && this.#waiters.size === 0) {
      this.#letIn(entry, options, options?.timeoutMs);
      // An open window that stays open is the common case, and costs next to nothing.
      if (this.#turnsLeft > 0 && this.#line.size < this.#fullSize) this.#turnsLeft = QUIET_TURNS;
      else this.#consider();
    } else this.#wait(entry, options);
    return promise;
  }

  /**
   * Has all items served that were added before, without waiting for windows to close.
   *
   * @param options `signal` and `timeoutMs` give this wait up, not the items.
   * @returns A promise that resolves when they are settled, however that went.
   */
  flush(options?: WaitOptions): Promise<void> {
    const refused = this.#flushers.refusal(options);
    if (refused !== undefined) return refused;
    return this.#flush(options);
  }

  /**
   * Accepts nothing new and waits until all is settled.
   *
   * Items that wait for a batch are served first, or refused with `pending: "reject"`. Running batches are waited for.
   * Calls after the first get the same promise; a later `"reject"` still holds for what is waiting then.
   *
   * @returns A promise that resolves when no item and no batch is left; it never rejects for a failed batch.
   */
  close(options: AsyncBatcherCloseOptions = {}): Promise<void> {
    try {
      const doing = `close ${this.#subject()}`;
      checkOptions(doing, options);
      const { pending = "flush" } = options;
      checkChoice(doing, "pending", pending, ["flush", "reject"]);
      if (pending === "reject") this.#refuseAll(this.#closedError());
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#closing ??= this.#flush();
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of items, batches and the totals so far. */
  statistics(): AsyncBatcherStatistics {
    const { aborted, timedOut } = this.#waiters.totals;
    return Object.freeze({
      pending: this.#line.size,
      waiting: this.#waiters.size,
      inUse: this.#running.size,
      free: this.#concurrency - this.#running.size,
      closed: this.closed,
      ...this.#counts,
      aborted: this.#counts.aborted + aborted,
      timedOut: this.#counts.timedOut + timedOut,
    });
  }

  /** Takes an item into the line. */
  #letIn(entry: Entry<I, O>, options: WaitOptions | undefined, leftMs = Infinity): void {
    const { first } = this.#line;
    if (this.#maxWaitMs > 0) {
      // One that joins the open window has its time; one that waits for a batch to end may be the first of the next.
      const joins = first !== undefined && this.#running.size < this.#concurrency;
      entry.sinceMs = joins ? first.sinceMs : clock().now();
    }
    this.#line.push(entry);
    if (options === undefined) return;
    const { signal, timeoutMs } = options;
    if (signal !== undefined) entry.subscription = subscribe(signal, entry);
    if (leftMs !== Infinity) {
      const expire = (): void => this.#giveUp(entry, this.#timeoutError(timeoutMs!), "timedOut");
      entry.timer = clock().schedule(clock().now() + leftMs, expire, { ref: true });
    }
  }

  /** Waits for room in the line. */
  #wait(entry: Entry<I, O>, options: WaitOptions | undefined): void {
    const timeoutMs = options?.timeoutMs ?? Infinity;
    const endMs = timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs;
    this.#waiters.wait({ entry, options, endMs }, options).catch((error) => entry.fail(error));
  }

  /** Lets callers in while there is room. */
  #admit(): void {
    while (this.#line.size < this.#maxPending) {
      const waiting = this.#waiters.head();
      if (waiting === undefined) return;
      const { entry, options, endMs } = waiting;
      this.#letIn(entry, options, endMs === Infinity ? Infinity : endMs - clock().now());
      this.#waiters.grant();
    }
  }

  /** Begins the batches that can begin, and sees to it that the next one does when its window closes. */
  #consider(): void {
    for (;;) {
      const { first, size } = this.#line;
      if (first === undefined || this.#running.size >= this.#concurrency) return this.#disarm();
      if (size < this.#fullSize && first.order > this.#closedTo && !this.#isDue(first)) {
        return this.#maxWaitMs > 0 ? this.#arm(first) : this.#holdOpen();
      }
      const batch = new Batch(this.#line.take(this.#maxSize));
      this.#running.add(batch);
      // Not now: this may be inside of `add`, and whoever calls that does not expect the batch function to run.
      void settled.then(() => this.#serve(batch));
      this.#admit();
    }
  }

  #isDue(first: Entry<I, O>): boolean {
    return this.#maxWaitMs > 0 && this.#timer === undefined &&
      clock().now() >= first.sinceMs + this.#maxWaitMs;
  }

  #arm(first: Entry<I, O>): void {
    const atMs = first.sinceMs + this.#maxWaitMs;
    if (atMs === Infinity || (this.#timer !== undefined && this.#timerMs === atMs)) return;
    this.#disarm();
    this.#timerMs = atMs;
    this.#timer = clock().schedule(atMs, () => {
      this.#timer = undefined;
      this.#closedTo = Math.max(this.#closedTo, this.#line.first?.order ?? 0);
      this.#consider();
    }, { ref: true });
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** Opens the window of 0 ms, or holds it open as something was added. */
  #holdOpen(): void {
    const open = this.#turnsLeft > 0;
    this.#turnsLeft = QUIET_TURNS;
    if (!open) void settled.then(this.#turn);
  }

  readonly #turn = (): void => {
    if (--this.#turnsLeft > 0) return void settled.then(this.#turn);
    this.#closedTo = this.#calls;
    this.#consider();
  };

  async #serve(batch: Batch<I, O>): Promise<void> {
    // Some may have gone since the batch was put together.
    const entries = batch.wanted;
    if (entries.length > 0) {
      this.#counts.batches++;
      this.#counts.granted += entries.length;
      if (observed()) emit("batch", "batcher", this.name, { size: entries.length, pending: this.#line.size });
      try {
        this.#handOut(entries, await this.#fn(entries.map((entry) => entry.item), batch.work));
      } catch (error) {
        for (const entry of entries) this.#fail(entry, error);
        if (batch.end !== undefined && !isEcho(error, batch.end)) this.#tellLate(error);
      }
    }
    this.#running.delete(batch);
    this.#consider();
    this.#tellFlushers();
  }

  #handOut(entries: readonly Entry<I, O>[], results: readonly (O | Error)[]): void {
    if (!Array.isArray(results) || results.length !== entries.length) {
      if (Array.isArray(results)) { for (const result of results) discard(result, "batcher", this.name); }
      throw this.#shapeError(entries.length, results);
    }
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      const result = results[i] as O | Error;
      if (result instanceof Error) {
        if (entry.wanted) this.#fail(entry, result);
        else this.#tellLate(result);
      } else if (entry.wanted) {
        this.#counts.fulfilled++;
        entry.succeed(result);
      } else discard(result, "batcher", this.name);
    }
  }

  #fail(entry: Entry<I, O>, error: unknown): void {
    if (!entry.wanted) return;
    this.#counts.failed++;
    entry.fail(error);
  }

  #giveUp(entry: Entry<I, O>, reason: unknown, why: "aborted" | "timedOut"): void {
    if (!entry.wanted) return;
    this.#counts[why]++;
    entry.fail(reason);
    if (entry.batch !== undefined) return entry.batch.leave(reason, this.#subject());
    this.#line.remove(entry);
    this.#admit();
    this.#consider();
    this.#tellFlushers();
  }

  #refuseAll(error: Error): void {
    for (const entry of this.#line.take(Infinity)) this.#fail(entry, error);
    this.#counts.failed += this.#waiters.settleAll(error);
    this.#consider();
    this.#tellFlushers();
  }

  #flush(options?: WaitOptions): Promise<void> {
    const upTo = this.#calls;
    this.#closedTo = upTo;
    this.#consider();
    return this.#oldest() > upTo ? Promise.resolve() : this.#flushers.wait(upTo, options);
  }

  /** The earliest call that is not settled. */
  #oldest(): number {
    let oldest = this.#line.first?.order ?? this.#waiters.head()?.entry.order ?? Infinity;
    for (const batch of this.#running) oldest = Math.min(oldest, batch.entries[0]!.order);
    return oldest;
  }

  #tellFlushers(): void {
    while (this.#flushers.size > 0 && this.#oldest() > this.#flushers.head()!) this.#flushers.grant();
  }

  #tellLate(error: unknown): void {
    emit("late.failure", "batcher", this.name, { error });
  }

  #subject(): string {
    return subject("batcher", this.name);
  }

  #behind(): string {
    const most = this.#maxPending === Infinity ? "" : ` of ${this.#maxPending}`;
    return `${this.#line.size}${most} pending, ${this.#waiters.size} waiting, ` +
      `${this.#running.size} of ${this.#concurrency} batches running`;
  }

  #closedError(): ClosedError {
    return new ClosedError(`Cannot add to ${this.#subject()}: it is closed`);
  }

  #timeoutError(limitMs: number): TimeoutError {
    const operation = `add to ${this.#subject()}`;
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${this.#behind()}`, {
      operation,
      limitMs,
    });
  }

  #shapeError(expected: number, results: unknown): BatchShapeError {
    const actual = Array.isArray(results) ? results.length : undefined;
    return new BatchShapeError(
      `Cannot hand out the results of ${this.#subject()} as they must be an array of ${expected}: ` +
        `received ${show(results)}`,
      { expected, actual },
    );
  }
}
