import { checkChoice, checkFinite, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { deferred } from "../kernel/deferred.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { subscribe } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { Batch, Call, type CallOwner, Cohort, Ties } from "./_batch.ts";
import { Lanes } from "./_batch_lanes.ts";
import { type BatchRules, batchRules } from "./_batch_rules.ts";
import { BatchRunner, failCallers, NO_COUNTS } from "./_batch_runner.ts";
import type {
  AsyncBatcherCloseOptions,
  AsyncBatcherOptions,
  AsyncBatcherStatistics,
  BatchFunction,
  SettledBatchFunction,
} from "./async_batcher_options.ts";
import { QueueFullError } from "./queue_full_error.ts";

/** A call that waits to be let in. */
interface Waiting<I, O> {
  readonly call: Call<I, O>;
  readonly bounds: WaitOptions;
  /** When it must have ended. */
  readonly endMs: number;
}

/**
 * Collects items that are added one by one and has them served together.
 *
 * **Window** — opens at the first item of a batch and closes at `maxSize` items, at `maxWeight`, or after `maxWaitMs`,
 * whichever comes first, and earlier when a caller has less time than that; while all `concurrency` batches run, items
 * go on joining the next one until it is begun. **Order** — items are served in the order in which they came, and
 * results are handed out by position or key. **Failure** — when the function throws or rejects, every caller of that
 * batch gets that very error, or with `bisect` those whose items are to blame; an `Error` in the place of a result
 * rejects its item only; results of the wrong shape reject all with a `BatchShapeError`. **Abort** — before the batch is
 * begun, the item is taken out (when it was the last, the function is not called); afterwards the caller rejects at
 * once, and the batch's own signal is aborted only when all its callers have gone. An item that several callers share
 * (`dedupe`) stays until the last of them has gone. **Back-pressure** — with `maxPending` items waiting, further callers
 * wait in line, first come, first served, or are refused. **Close** — see {@linkcode close}; `await using` flushes. Every
 * item settles exactly once. **Context** — the function runs in the async context in which the batcher was made, and not
 * in that of a caller, as it works for several; each caller goes on in its own.
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
 *
 * @example
 * ```ts
 * import { AsyncBatcher, BatchMissingError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * // Found rows as a Map, and each row asked for once, however many want it.
 * const rows = new Map([[1, "one"], [2, "two"]]);
 * const load = new AsyncBatcher<number, string>((ids) => {
 *   assert.deepEqual(ids, [1, 3]);
 *   return new Map(ids.filter((id) => rows.has(id)).map((id) => [id, rows.get(id)!]));
 * }, { dedupe: true });
 * const [a, b, none] = await Promise.allSettled([load.add(1), load.add(1), load.add(3)]);
 * assert.deepEqual([a, b].map((it) => it.status === "fulfilled" && it.value), ["one", "one"]);
 * assert.ok(none.status === "rejected" && none.reason instanceof BatchMissingError);
 * ```
 *
 * @example
 * ```ts
 * import { AsyncBatcher } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * // Tables do not mix, no insert is larger than the protocol allows, and a bad row fails alone.
 * type Row = { table: string; text: string };
 * const inserts = new AsyncBatcher<Row, string>((rows, { partition }) => {
 *   if (rows.some(({ text }) => text === "bad")) throw new Error(`Bad row for ${partition}`);
 *   return rows.map(({ text }) => `${partition}: ${text}`);
 * }, { partition: ({ table }) => table, weight: ({ text }) => text.length, maxWeight: 65_536, bisect: true });
 * const done = await Promise.allSettled([
 *   inserts.add({ table: "a", text: "1" }),
 *   inserts.add({ table: "a", text: "bad" }),
 *   inserts.add({ table: "b", text: "2" }),
 * ]);
 * assert.deepEqual(done.map((it) => it.status === "fulfilled" ? it.value : it.reason.message), [
 *   "a: 1",
 *   "Bad row for a",
 *   "b: 2",
 * ]);
 * ```
 */
export class AsyncBatcher<I, O> implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #rules: BatchRules<I>;
  /** Whether nothing has to be asked of items. */
  readonly #plain: boolean;
  readonly #lanes: Lanes<I, O>;
  readonly #runner: BatchRunner<I, O>;
  /** Callers that wait to be let into a lane. */
  readonly #waiters: WaitQueue<void, Waiting<I, O>>;
  /** Those who wait until a cohort and all before it are over. */
  readonly #flushers: WaitQueue<void, Cohort>;
  readonly #owner: CallOwner<I, O> = { giveUp: (...how) => this.#giveUp(...how) };
  readonly #counts = { ...NO_COUNTS };
  #running = 0;
  /** The earliest cohort that is not over, and the one that calls are added to. */
  #oldest = new Cohort();
  #cohort = this.#oldest;
  #ids = 0;
  #closing: Promise<void> | undefined;

  /**
   * Creates an empty batcher whose function says of each item how it went.
   *
   * @param fn Serves a batch. Called with at least one item, never more than `maxSize` or heavier than `maxWeight`.
   * @throws {TypeError | RangeError} When an argument is not as it says.
   */
  constructor(fn: SettledBatchFunction<I, O>, options: AsyncBatcherOptions<I> & { results: "settled" });
  /**
   * Creates an empty batcher.
   *
   * @param fn Serves a batch. Called with at least one item, never more than `maxSize` or heavier than `maxWeight`.
   * @throws {TypeError | RangeError} When an argument is not as it says.
   */
  constructor(fn: BatchFunction<I, O>, options?: AsyncBatcherOptions<I> & { results?: "values" });
  constructor(
    fn: BatchFunction<I, O> | SettledBatchFunction<I, O>,
    options: AsyncBatcherOptions<I> = {},
  ) {
    this.#rules = batchRules<I>(fn, options);
    const { name, weigh, keyOf, partitionOf } = this.#rules;
    this.name = name;
    this.#plain = weigh === undefined && keyOf === undefined && partitionOf === undefined;
    this.#lanes = new Lanes(this.#rules, () => this.#pump());
    this.#runner = new BatchRunner(fn as BatchFunction<I, O>, this.#rules, this.#counts);
    const behind = (): string => this.#behind();
    this.#waiters = new WaitQueue({ what: "add to batcher", structure: "batcher", name, behind });
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
   * @throws The error in the item's place, or what the batch function threw; what `weight`, `dedupe` or `partition` threw.
   * @throws {BatchShapeError} When there is not one result for each item.
   * @throws {BatchMissingError} When results came as a `Map` that has none for the item.
   * @throws {QueueFullError} When `maxPending` items wait, with `overflow: "reject"`.
   * @throws {ClosedError} When the batcher is closed, or closed with `pending: "reject"` before the item's turn.
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws {RangeError} When the item weighs more than a batch may.
   * @throws The reason of `signal`, unchanged.
   */
  add(item: I, options?: WaitOptions): Promise<O> {
    if (
      options !== undefined || !this.#plain || this.#closing !== undefined || !this.#hasRoom || observed()
    ) {
      return this.#addWith(item, options);
    }
    return new Promise<O>((resolve, reject) => {
      const cohort = this.#cohort;
      cohort.left++;
      this.#lanes.push(new Call<I, O>(item, cohort, resolve, reject));
      if (this.#lanes.ready) this.#pump();
    });
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
      const doing = `close ${this.#subject}`;
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
      pending: this.#lanes.size,
      waiting: this.#waiters.size,
      partitions: this.#lanes.lanes,
      inUse: this.#running,
      free: this.#rules.concurrency - this.#running,
      closed: this.closed,
      ...this.#counts,
      aborted: this.#counts.aborted + aborted,
      timedOut: this.#counts.timedOut + timedOut,
    });
  }

  get #hasRoom(): boolean {
    return this.#lanes.size < this.#rules.maxPending && this.#waiters.size === 0;
  }

  /** Adds an item when there is more to know, of it or of its caller. */
  #addWith(item: I, options: WaitOptions | undefined): Promise<O> {
    const refused = this.#waiters.refusal(options) ?? this.#refusal(options?.timeoutMs);
    if (refused !== undefined) return refused;
    const { promise, resolve, reject } = deferred<O>();
    const call = new Call<I, O>(item, this.#cohort, resolve, reject);
    const bounds = { signal: options?.signal, timeoutMs: options?.timeoutMs ?? Infinity };
    if (!this.#plain) {
      try {
        this.#ask(call);
      } catch (error) {
        return Promise.reject(error);
      }
      // Functions of the user's were called, which can do anything.
      const refusedNow = this.#waiters.refusal(bounds) ?? this.#refusal();
      if (refusedNow !== undefined) return refusedNow;
    }
    if (observed()) this.#tellAdded(call);
    if (this.#join(call, bounds, bounds.timeoutMs)) return promise;
    if (!this.#hasRoom && this.#rules.overflow === "reject") {
      this.#counts.refused++;
      return Promise.reject(this.#fullError());
    }
    call.cohort.left++;
    if (this.#hasRoom) {
      this.#bind(call, bounds, bounds.timeoutMs);
      this.#lanes.push(call);
      this.#pump();
    } else this.#wait(call, bounds);
    return promise;
  }

  #refusal(timeoutMs?: number): Promise<never> | undefined {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    if (timeoutMs !== 0) return undefined;
    this.#counts.timedOut++;
    return Promise.reject(this.#timeoutError(0));
  }

  /** Has the user's functions look at an item. */
  #ask(call: Call<I, O>): void {
    const { weigh, keyOf, partitionOf, maxWeight } = this.#rules;
    const doing = `add to ${this.#subject}`;
    if (weigh !== undefined) {
      call.weight = weigh(call.item);
      checkFinite(doing, "weight", call.weight, 0);
      if (call.weight > maxWeight) {
        throw new RangeError(
          `Cannot ${doing} as weight must be at most ${maxWeight}: received ${call.weight}`,
        );
      }
    }
    if (partitionOf !== undefined) call.tie(this.#owner).partition = partitionOf(call.item);
    if (keyOf !== undefined) call.tie(this.#owner).key = keyOf(call.item);
  }

  /** Joins an equal item that waits for a batch. @returns Whether there is one. */
  #join(call: Call<I, O>, bounds: WaitOptions, leftMs: number): boolean {
    if (!this.#rules.dedupes) return false;
    const ties = call.ties!;
    const leader = this.#lanes.find(ties.partition, ties.key);
    if (leader === undefined) return false;
    this.#counts.joined++;
    ties.leader = leader;
    (leader.ties!.followers ??= new Set()).add(call);
    leader.ties!.holders++;
    this.#bind(call, bounds, leftMs);
    this.#lanes.hurry(leader, ties.byMs);
    this.#pump();
    return true;
  }

  /** Ties a call that is let in to its signal and its limits. */
  #bind(call: Call<I, O>, { signal, timeoutMs }: WaitOptions, leftMs: number): void {
    if (signal === undefined && leftMs === Infinity) return;
    const ties = call.tie(this.#owner);
    if (signal !== undefined) ties.subscription = subscribe(signal, ties);
    const signalMs = deadlineOf(signal);
    if (leftMs === Infinity && signalMs === Infinity) return;
    const now = clock().now();
    if (leftMs !== Infinity) {
      const expire = (): void => this.#giveUp(call, this.#timeoutError(timeoutMs!), "timedOut");
      ties.timer = clock().schedule(now + leftMs, expire, { ref: true });
    }
    const { needsMs } = this.#rules;
    const endMs = Math.min(now + leftMs, signalMs);
    ties.byMs = needsMs === undefined ? now + (endMs - now) / 2 : endMs - needsMs;
  }

  /** Waits to be let in. */
  #wait(call: Call<I, O>, bounds: WaitOptions): void {
    const endMs = bounds.timeoutMs === Infinity ? Infinity : clock().now() + bounds.timeoutMs!;
    this.#waiters.wait({ call, bounds, endMs }, bounds).catch((error) => {
      call.fail(error);
      call.cohort.left--;
      this.#tellFlushers();
    });
  }

  /** Lets callers in while there is room. */
  #admit(): void {
    while (this.#waiters.size > 0 && this.#lanes.size < this.#rules.maxPending) {
      const waiting = this.#waiters.head();
      if (waiting === undefined) return;
      this.#waiters.grant();
      const { call, bounds, endMs } = waiting;
      const leftMs = endMs === Infinity ? Infinity : endMs - clock().now();
      if (this.#join(call, bounds, leftMs)) call.cohort.left--;
      else {
        this.#bind(call, bounds, leftMs);
        this.#lanes.push(call);
      }
    }
  }

  /** Begins what batches can begin. */
  #pump(): void {
    while (this.#lanes.ready && this.#running < this.#rules.concurrency) {
      const calls = this.#lanes.take();
      const { cohort, ties } = calls[0]!;
      for (const call of calls) call.cohort.left--;
      cohort.left++;
      this.#running++;
      this.#runner.begin(new Batch(calls, ties?.partition), () => {
        this.#running--;
        cohort.left--;
        this.#pump();
        this.#tellFlushers();
      });
      this.#admit();
    }
  }

  #giveUp(call: Call<I, O>, reason: unknown, why: "aborted" | "timedOut"): void {
    if (!call.wanted) return;
    this.#counts[why]++;
    call.fail(reason);
    const { leader } = call.ties!;
    leader?.ties!.followers!.delete(call);
    const ties = (leader ?? call).ties!;
    if (--ties.holders > 0) return;
    if (ties.batch !== undefined) return ties.batch.leave(reason, this.#subject);
    this.#lanes.remove(leader ?? call);
    (leader ?? call).cohort.left--;
    this.#admit();
    this.#pump();
    this.#tellFlushers();
  }

  #refuseAll(error: Error): void {
    for (const call of this.#lanes.drain()) {
      call.cohort.left--;
      this.#counts.failed += failCallers(call, error);
    }
    this.#counts.failed += this.#waiters.settleAll(error);
    this.#tellFlushers();
  }

  #flush(options?: WaitOptions): Promise<void> {
    const cohort = this.#cohort;
    cohort.flushed = true;
    this.#cohort = cohort.next = new Cohort();
    this.#lanes.closeAll();
    this.#pump();
    this.#tellFlushers();
    return cohort.over ? Promise.resolve() : this.#flushers.wait(cohort, options);
  }

  #tellFlushers(): void {
    while (this.#oldest !== this.#cohort && this.#oldest.left === 0) {
      this.#oldest.over = true;
      this.#oldest = this.#oldest.next!;
    }
    while (this.#flushers.size > 0 && this.#flushers.head()?.over) this.#flushers.grant();
  }

  #tellAdded(call: Call<I, O>): void {
    const id = call.tie(this.#owner).id = ++this.#ids;
    emit("add", "batcher", this.name, { id, pending: this.#lanes.size });
  }

  get #subject(): string {
    return subject("batcher", this.name);
  }

  #behind(): string {
    const { maxPending, concurrency } = this.#rules;
    const most = maxPending === Infinity ? "" : ` of ${maxPending}`;
    return `${this.#lanes.size}${most} pending, ${this.#waiters.size} waiting, ` +
      `${this.#running} of ${concurrency} batches running`;
  }

  #closedError(): ClosedError {
    return new ClosedError(`Cannot add to ${this.#subject}: it is closed`);
  }

  #fullError(): QueueFullError {
    const facts = { maxQueue: this.#rules.maxPending, inUse: this.#running };
    return new QueueFullError(`Cannot add to ${this.#subject}: ${this.#behind()}`, facts);
  }

  #timeoutError(limitMs: number): TimeoutError {
    const operation = `add to ${this.#subject}`;
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${this.#behind()}`, {
      operation,
      limitMs,
    });
  }
}
