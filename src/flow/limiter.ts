import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkDurationMs,
  checkName,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
import { Codel } from "./_codel.ts";
import { mapThrough } from "./_map.ts";
import { SlotRunner } from "./_slot_runner.ts";
import { Slots } from "./_slots.ts";
import type {
  LimiterCloseOptions,
  LimiterMapOptions,
  LimiterOptions,
  LimiterRunOptions,
  LimiterStatistics,
  LimiterTurnOptions,
} from "./limiter_options.ts";
import type { CallContext, Run } from "./policy.ts";
import { QueueFullError } from "./queue_full_error.ts";

/**
 * Runs work, so many at a time; the rest waits its turn.
 *
 * **Order** — first come, first served; a slot that comes free is handed to who is next directly. With priorities, who
 * has more goes first, and who came first among equals; with keys, those of different keys take turns. A call that takes
 * several slots is not overtaken by lighter ones once it is next. **Slots** — a slot stays taken until its work has
 * settled, also when the caller was answered before that by its signal or its limit: the limit is on what runs, not on
 * who waits for it. **Abort** — a waiting call leaves the queue at once and nothing is started; a running one rejects at
 * once, its work's signal is aborted, a late result is disposed and a late failure goes to the observer. **Limit 0** —
 * paused; the queue is kept. **Close** — see {@linkcode close}; `await using` closes too and so lets everything accepted
 * run to its end. **Context** — work runs in the async context of whoever submitted it.
 *
 * Priorities, keys, weights and the rest are paid for only while somebody waits who uses them.
 *
 * @example
 * ```ts
 * import { Limiter } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const limiter = new Limiter({ limit: 2, name: "mail" });
 * let [running, most] = [0, 0];
 * const sent = await Promise.all(["a", "b", "c", "d"].map((to) =>
 *   limiter.run(async ({ signal }) => {
 *     signal.throwIfAborted();
 *     most = Math.max(most, ++running);
 *     await Promise.resolve();
 *     running--;
 *     return to.toUpperCase();
 *   })
 * ));
 * assert.deepEqual(sent, ["A", "B", "C", "D"]);
 * assert.deepEqual(most, 2);
 * ```
 *
 * @example
 * ```ts
 * import { Limiter } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * // A tenant with many calls does not hold up the others, and what is urgent goes first.
 * const limiter = new Limiter({ limit: 1 });
 * const begun: string[] = [];
 * const call = (key: string, id: number, priority = 0) =>
 *   limiter.run(() => void begun.push(key + id), { key, priority });
 * const slot = limiter.tryAcquire();
 * const calls = [call("a", 1), call("a", 2), call("a", 3), call("b", 1), call("b", 2, 5)];
 * slot?.release();
 * await Promise.all(calls);
 * assert.deepEqual(begun, ["a1", "b2", "a2", "b1", "a3"]);
 * ```
 */
export class Limiter implements Run<CallContext>, AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #slots: Slots;
  readonly #runner: SlotRunner;

  /**
   * Creates a limiter with all slots free.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: LimiterOptions) {
    checkOptions("create limiter", options ?? null);
    const { limit, maxQueue = Infinity, overflow = "reject", ageingMs = Infinity } = options;
    const { codel, releaseOnTimeout = false, name } = options;
    checkName("create limiter", name);
    const doing = `create ${subject("limiter", name)}`;
    checkCount(doing, "limit", limit, 0);
    checkCount(doing, "maxQueue", maxQueue, 0);
    checkChoice(doing, "overflow", overflow, ["reject", "dropOldest", "dropLowest", "block"]);
    checkDurationMs(doing, "ageingMs", ageingMs);
    checkBoolean(doing, "releaseOnTimeout", releaseOnTimeout);
    this.name = name;
    this.#slots = new Slots({
      kind: "limiter",
      name,
      limit,
      maxQueue,
      overflow,
      ageingMs,
      FullError: QueueFullError,
      codel: codel === undefined ? undefined : new Codel(codel, doing),
    });
    this.#runner = new SlotRunner(this.#slots, releaseOnTimeout);
  }

  /** How much may run at once; changed by {@linkcode resize}. */
  get limit(): number {
    return this.#slots.limit;
  }

  /** Whether it is paused. */
  get paused(): boolean {
    return this.#slots.paused;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#runner.closed;
  }

  /**
   * Runs `fn` when its turn comes, and keeps the slot until it has settled.
   *
   * @param fn The work; gets a signal that is aborted when the call is given up.
   * @param options `signal` gives the call up, waiting or running; `timeoutMs` bounds the whole call, `queueTimeoutMs`
   * the wait for the slot; `weight`, `priority` and `key` say what it takes and when its turn is.
   * @returns What `fn` returns.
   * @throws {QueueFullError} When `maxQueue` calls wait already, or it is sent away for others that go first.
   * @throws {OverloadError} When it is sent away as the line stands.
   * @throws {ClosedError} When the limiter is closed.
   * @throws {TimeoutError} When a limit is reached, or less time is left than the work needs.
   * @throws {RangeError} When it asks for more slots than there are, or will be after a {@linkcode resize}.
   * @throws The reason of `signal`, unchanged; what `fn` throws.
   */
  run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: LimiterRunOptions): Promise<T> {
    return this.#runner.run(fn, options);
  }

  /**
   * Waits for a slot and holds it until the lease is released or disposed.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `label` says in observer records who holds it.
   * @throws As {@linkcode run} does while waiting.
   */
  acquire(options?: HoldOptions & LimiterTurnOptions): Promise<Lease> {
    return this.#runner.acquire(options);
  }

  /**
   * Takes a slot if one is free and nobody waits for it; never waits.
   *
   * @returns The lease, or `undefined`.
   */
  tryAcquire(options?: Omit<HoldOptions & LimiterTurnOptions, keyof WaitOptions>): Lease | undefined {
    return this.#runner.tryAcquire(options);
  }

  /**
   * Runs `fn` for each item of a source, pulling the next one only when the one before could start.
   *
   * Items take their turns among the limiter's other calls; the one that waits is neither refused nor sent away when the
   * queue is full. **Failure** — of an item or the source: nothing more is pulled, the source is told to return, the
   * signals of running items are aborted, and when they have settled the first failure is thrown. **Abort** — rejects at
   * once; running items keep their slots until they have settled.
   *
   * @param source An iterable or async iterable.
   * @param fn The work for one item; gets the item and a signal that the items of one `map` share.
   * @param options `weight`, `priority` and `key` are those of each item.
   * @returns What `fn` returned, in the order of the source, or of completion.
   */
  map<T, R>(
    source: Iterable<T> | AsyncIterable<T>,
    fn: (item: T, context: CallContext) => R | PromiseLike<R>,
    options?: LimiterMapOptions,
  ): Promise<R[]> {
    return mapThrough(this.#runner, source, fn, options);
  }

  /**
   * Gives a waiting call another priority, and so another place in the line; among equals it keeps that of its arrival.
   *
   * Only for calls that were made with a `priority`; 0, which is what calls without one have, will do. To be able to find
   * every call that waits would cost all of them half a turn more, for what few are going to use.
   *
   * @param call The very promise that {@linkcode run} or {@linkcode acquire} returned, not one made from it.
   * @returns Whether it still waited; a call that runs or has ended is left alone.
   * @throws {MisuseError} When the call was made without a priority, or not of this limiter, whether it waits or not.
   *
   * @example
   * ```ts
   * import { Limiter } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const limiter = new Limiter({ limit: 1 });
   * const begun: string[] = [];
   * const call = (id: string) => limiter.run(() => void begun.push(id), { priority: 0 });
   * const [first, second, third] = [call("first"), call("second"), call("third")];
   * assert.equal(limiter.setPriority(third, 1), true);
   * assert.equal(limiter.setPriority(first, 1), false);
   * await Promise.all([first, second, third]);
   * assert.deepEqual(begun, ["first", "third", "second"]);
   * ```
   */
  setPriority(call: Promise<unknown>, priority: number): boolean {
    return this.#runner.setPriority(call, priority);
  }

  /**
   * Changes the limit. More lets waiters in at once; less takes effect as work settles, and sends away with a
   * `RangeError` who asks for more slots than that; 0 pauses and keeps all.
   *
   * @param limit An integer of 0 or more, or `Infinity`.
   */
  resize(limit: number): void {
    checkCount(`resize ${this.#slots.describe()}`, "limit", limit, 0);
    this.#slots.resize(limit);
  }

  /** Lets nothing start until {@linkcode resume}; calls are still accepted and wait. Once closed, it does nothing. */
  pause(): void {
    if (!this.closed) this.#slots.paused = true;
  }

  /** Ends a pause. */
  resume(): void {
    this.#slots.paused = false;
    this.#slots.changed();
  }

  /**
   * Sends away those who wait; what runs goes on.
   *
   * @param reason What they reject with; an AbortError by default.
   * @returns How many there were.
   */
  clear(reason?: unknown): number {
    return this.#runner.clear(reason);
  }

  /**
   * Resolves when nothing runs and nobody waits: at once if that is so now.
   *
   * @throws The reason of `signal`, or a `TimeoutError`.
   */
  onIdle(options?: WaitOptions): Promise<void> {
    return this.#slots.idlers.waitIdle(options);
  }

  /**
   * Resolves when nobody waits, whether or not something runs: at once if that is so now.
   *
   * @throws The reason of `signal`, or a `TimeoutError`.
   */
  onEmpty(options?: WaitOptions): Promise<void> {
    return this.#slots.idlers.waitShort(1, options);
  }

  /**
   * Resolves when fewer than `size` wait: at once if that is so now. A producer that awaits this before each call keeps
   * the line short.
   *
   * @param size An integer of 1 or more.
   * @throws The reason of `signal`, or a `TimeoutError`.
   */
  onSizeLessThan(size: number, options?: WaitOptions): Promise<void> {
    return this.#slots.idlers.waitShort(size, options);
  }

  /**
   * Accepts nothing new and waits until all slots are free.
   *
   * Those who wait are still served, a paused limiter being resumed for it (with a limit of 0 they are sent away), or
   * are sent away at once with `pending: "reject"`. Running work is waited for, with `running: "abort"` after its
   * signal was aborted; its callers get what it makes of that. Calls after the first get the same promise; a stricter
   * one makes the closing stricter.
   *
   * @returns A promise that resolves when nothing runs and nobody waits any more.
   */
  close(options: LimiterCloseOptions = {}): Promise<void> {
    return this.#runner.close(options);
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of slots, waiters and the totals so far. */
  statistics(): LimiterStatistics {
    return Object.freeze(this.#runner.statistics());
  }
}
