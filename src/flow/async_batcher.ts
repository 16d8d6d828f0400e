import { checkOptions } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { BatchIntake } from "./_batch_intake.ts";
import { batchRules, SETTLED } from "./_batch_rules.ts";
import type {
  AsyncBatcherCloseOptions,
  AsyncBatcherOptions,
  AsyncBatcherStatistics,
  BatchFunction,
  SettledBatchFunction,
} from "./async_batcher_options.ts";

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
  readonly #intake: BatchIntake<I, O>;

  /**
   * Creates an empty batcher.
   *
   * @param fn Serves a batch. Called with at least one item, never more than `maxSize` or heavier than `maxWeight`.
   * @throws {TypeError | RangeError} When an argument is not as it says.
   */
  constructor(fn: BatchFunction<I, O>, options: AsyncBatcherOptions<I> = {}) {
    this.#intake = new BatchIntake(fn, batchRules<I>(fn, options));
    this.name = this.#intake.rules.name;
  }

  /**
   * Creates an empty batcher whose function says of each item how it went, as `Promise.allSettled` does: for results
   * that may be an `Error`, and failures that are none.
   *
   * @throws {TypeError | RangeError} When an argument is not as it says.
   *
   * @example
   * ```ts
   * import { AsyncBatcher } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const answers = AsyncBatcher.ofSettled((urls: readonly string[]) =>
   *   Promise.allSettled(urls.map(async (url) => url === "/" ? await Promise.resolve("home") : await Promise.reject(404)))
   * );
   * assert.deepEqual(await answers.add("/"), "home");
   * await assert.rejects(answers.add("/none"), (reason) => reason === 404);
   * ```
   */
  static ofSettled<I, O>(
    fn: SettledBatchFunction<I, O>,
    options: AsyncBatcherOptions<I> = {},
  ): AsyncBatcher<I, O> {
    checkOptions("create batcher", options);
    return new AsyncBatcher<I, O>(fn as unknown as BatchFunction<I, O>, { ...options, ...SETTLED });
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#intake.closed;
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
    return this.#intake.add(item, options);
  }

  /**
   * Has all items served that were added before, without waiting for windows to close.
   *
   * @param options `signal` and `timeoutMs` give this wait up, not the items.
   * @returns A promise that resolves when they are settled, however that went.
   */
  flush(options?: WaitOptions): Promise<void> {
    return this.#intake.flush(options);
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
    return this.#intake.close(options);
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of items, batches and the totals so far. */
  statistics(): AsyncBatcherStatistics {
    return Object.freeze(this.#intake.statistics());
  }
}
