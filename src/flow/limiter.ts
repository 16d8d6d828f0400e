import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { OwnedLease } from "../kernel/disposer.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
import { mapThrough } from "./_map.ts";
import { PLAIN, type Request, Slots } from "./_slots.ts";
import { type Bounds, runWithin, Stoppable, Work } from "./_work.ts";
import type { CallContext, Run } from "./policy.ts";

const LEASED: Request = { lease: true };

/** Options of a {@linkcode Limiter}. */
export interface LimiterOptions {
  /** How much may run at once: an integer of 0 (nothing, for now) or more, or `Infinity`. */
  limit: number;
  /** How many may wait; a call beyond that rejects with `QueueFullError`. Default `Infinity`. */
  maxQueue?: number;
  /** Appears in messages and observer records. */
  name?: string;
}

/** Options of {@linkcode Limiter.run}. */
export interface LimiterRunOptions extends WaitOptions {
  /** Gives up after so many milliseconds of waiting for a slot; 0 runs only if a slot is free now. */
  queueTimeoutMs?: number;
}

/** Options of {@linkcode Limiter.map}. */
export interface LimiterMapOptions {
  /** Gives the whole up. */
  signal?: AbortSignal;
  /** How many of these items may run at once, below the limit. Default `Infinity`. */
  concurrency?: number;
}

/** Options of {@linkcode Limiter.close}. */
export interface LimiterCloseOptions {
  /** What becomes of those who wait. Default `"run"`, or `"reject"` when the running ones are aborted. */
  pending?: "run" | "reject";
  /** Whether running work is waited for (`"wait"`, the default) or has its signal aborted first. */
  running?: "wait" | "abort";
  /** What waiting calls reject with and running work is aborted with, instead of an error made for it. */
  reason?: unknown;
}

/** What an operator wants to know of a {@linkcode Limiter}. */
export interface LimiterStatistics {
  /** How much may run at once. */
  readonly limit: number;
  /** Slots taken: work that has not settled yet, and leases that are held. */
  readonly inUse: number;
  /** Slots that are free. */
  readonly free: number;
  /** Calls that wait for a slot. */
  readonly waiting: number;
  /** Slots whose work still runs although its caller was answered. */
  readonly abandoned: number;
  /** Whether it is paused. */
  readonly paused: boolean;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Slots handed out so far. */
  readonly granted: number;
  /** Calls given up by a signal, waiting or running. */
  readonly aborted: number;
  /** Calls that reached their limit, waiting or running. */
  readonly timedOut: number;
  /** Calls refused because the queue was full. */
  readonly refused: number;
}

/**
 * Runs work, so many at a time; the rest waits its turn.
 *
 * **Order** — first come, first served; a slot that comes free is handed to the longest waiter directly. **Slots** — a
 * slot stays taken until its work has settled, also when the caller was answered before that by its signal or its
 * limit: the limit is on what runs, not on who waits for it. **Abort** — a waiting call leaves the queue at once and
 * nothing is started; a running one rejects at once, its work's signal is aborted, a late result is disposed and a
 * late failure goes to the observer. **Limit 0** — paused; the queue is kept. **Close** — see {@linkcode close};
 * `await using` closes too and so lets everything accepted run to its end. **Context** — work runs in the async
 * context of whoever submitted it.
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
 */
export class Limiter implements Run<CallContext>, AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #slots: Slots;
  readonly #running = new Stoppable();
  /** The bounds of work whose caller set none. */
  readonly #unbounded: Bounds;
  #abandoned = 0;
  #closing: Promise<void> | undefined;

  /**
   * Creates a limiter with all slots free.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: LimiterOptions) {
    checkOptions("create limiter", options ?? null);
    const { limit, maxQueue = Infinity, name } = options;
    checkName("create limiter", name);
    const doing = `create ${subject("limiter", name)}`;
    checkCount(doing, "limit", limit, 0);
    checkCount(doing, "maxQueue", maxQueue, 0);
    this.name = name;
    this.#slots = new Slots(limit, maxQueue, name);
    this.#unbounded = {
      structure: "limiter",
      name,
      signal: undefined,
      atMs: Infinity,
      stoppable: this.#running,
      expired: () => this.#timeoutError(Infinity),
    };
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
    return this.#slots.closedWith !== undefined;
  }

  /**
   * Runs `fn` when its turn comes, and keeps the slot until it has settled.
   *
   * @param fn The work; gets a signal that is aborted when the call is given up.
   * @param options `signal` gives the call up, waiting or running; `timeoutMs` bounds the whole call, `queueTimeoutMs`
   * the wait for the slot.
   * @returns What `fn` returns.
   * @throws {QueueFullError} When `maxQueue` calls wait already.
   * @throws {ClosedError} When the limiter is closed.
   * @throws {TimeoutError} When a limit is reached.
   * @throws The reason of `signal`, unchanged; what `fn` throws.
   */
  run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: LimiterRunOptions): Promise<T> {
    return options === undefined ? this.#runPlain(fn) : this.#runWithin(fn, options);
  }

  /**
   * Waits for a slot and holds it until the lease is released or disposed.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `label` says in observer records who holds it.
   * @throws As {@linkcode run} does while waiting.
   */
  acquire(options?: HoldOptions): Promise<Lease> {
    if (options !== undefined) {
      const refused = this.#slots.queue.refusal(options);
      if (refused !== undefined) return refused;
      try {
        this.#checkHold(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    if (this.#slots.closedWith !== undefined) return Promise.reject(this.#slots.closedWith.error);
    const request = options?.label === undefined ? LEASED : { lease: true, label: options.label };
    if (this.#slots.take(request)) return Promise.resolve(new OwnedLease(this.#slots));
    return this.#slots.wait(request, options) as Promise<Lease>;
  }

  /**
   * Takes a slot if one is free and nobody waits; never waits.
   *
   * @returns The lease, or `undefined`.
   */
  tryAcquire(options?: Pick<HoldOptions, "owner" | "label">): Lease | undefined {
    if (options !== undefined) this.#checkHold(options);
    const request = options?.label === undefined ? LEASED : { lease: true, label: options.label };
    return !this.closed && this.#slots.take(request) ? new OwnedLease(this.#slots) : undefined;
  }

  /**
   * Runs `fn` for each item of a source, pulling the next one only when the one before could start.
   *
   * Items take their turns among the limiter's other calls (`maxQueue` does not count against them). **Failure** — of
   * an item or the source: nothing more is pulled, the source is told to return, the signals of running items are
   * aborted, and when they have settled the first failure is thrown. **Abort** — rejects at once; running items keep
   * their slots until they have settled.
   *
   * @param source An iterable or async iterable.
   * @param fn The work for one item; gets the item and a signal that the items of one `map` share.
   * @returns What `fn` returned, in the order of the source.
   */
  map<T, R>(
    source: Iterable<T> | AsyncIterable<T>,
    fn: (item: T, context: CallContext) => R | PromiseLike<R>,
    options?: LimiterMapOptions,
  ): Promise<R[]> {
    return mapThrough(this.#slots, source, fn, options);
  }

  /**
   * Changes the limit. More lets waiters in at once; less takes effect as work settles; 0 pauses.
   *
   * @param limit An integer of 0 or more, or `Infinity`.
   */
  resize(limit: number): void {
    checkCount(`resize ${this.#slots.describe()}`, "limit", limit, 0);
    this.#slots.limit = limit;
    this.#slots.changed();
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
    const message = `Cannot enter ${this.#slots.describe()}: its queue was cleared`;
    return this.#slots.sendAway(reason === undefined ? new DOMException(message, "AbortError") : reason);
  }

  /**
   * Resolves when nothing runs and nobody waits: at once if that is so now.
   *
   * @throws The reason of `signal`, or a `TimeoutError`.
   */
  onIdle(options?: WaitOptions): Promise<void> {
    const refused = this.#slots.idlers.refusal(options);
    if (refused !== undefined) return refused;
    return this.#slots.idle ? Promise.resolve() : this.#slots.idlers.wait(true, options);
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
    try {
      this.#close(options, `close ${this.#slots.describe()}`);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closing ??= this.onIdle();
    this.resume();
    return this.#closing;
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of slots, waiters and the totals so far. */
  statistics(): LimiterStatistics {
    const { limit, inUse, queue, paused, refused } = this.#slots;
    return Object.freeze({
      limit,
      inUse,
      free: Math.max(0, limit - inUse),
      waiting: queue.size,
      abandoned: this.#abandoned,
      paused,
      closed: this.closed,
      ...queue.totals,
      refused,
    });
  }

  // In both, the submitter's own async function waits and then runs the work, which so has the submitter's async
  // context. Locals are few: they are kept for every waiting call.
  async #runPlain<T>(fn: (context: CallContext) => T | PromiseLike<T>): Promise<T> {
    const slots = this.#slots;
    if (typeof fn !== "function" || slots.closedWith !== undefined) this.#refuse(fn);
    if (!slots.take(PLAIN)) await slots.wait(PLAIN);
    const work = new Work(this.#unbounded);
    try {
      return await fn(work);
    } finally {
      this.#running.delete(work);
      slots.leave();
    }
  }

  async #runWithin<T>(
    fn: (context: CallContext) => T | PromiseLike<T>,
    options: LimiterRunOptions,
  ): Promise<T> {
    const slots = this.#slots;
    if (typeof fn !== "function") this.#refuse(fn);
    const refused = slots.queue.refusal(options);
    if (refused !== undefined) return await refused;
    const { signal, timeoutMs = Infinity, queueTimeoutMs = Infinity } = options;
    checkDurationMs(`run in ${slots.describe()}`, "queueTimeoutMs", queueTimeoutMs);
    if (slots.closedWith !== undefined) this.#refuse(fn);
    const { totals } = slots.queue;
    const expired = (): TimeoutError => this.#timeoutError(timeoutMs);
    if (timeoutMs === 0) {
      totals.timedOut++;
      throw expired();
    }
    const atMs = timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs;
    if (!slots.take(PLAIN)) {
      await slots.wait(PLAIN, { signal, timeoutMs: Math.min(timeoutMs, queueTimeoutMs) });
    }
    let abandoned = false;
    const bounds = {
      structure: "limiter",
      name: this.name,
      signal,
      atMs,
      stoppable: this.#running,
      expired,
      gaveUp: (why: "aborted" | "timedOut", running: boolean) => {
        totals[why]++;
        abandoned = running;
        if (running) this.#abandoned++;
      },
      settled: () => {
        this.#running.delete(work);
        if (abandoned) this.#abandoned--;
        slots.leave();
      },
    };
    const work = new Work(bounds);
    return await runWithin(bounds, work, fn);
  }

  /** Throws what is wrong with a call: what it wants to run, or that it comes too late. */
  #refuse(fn: unknown): never {
    checkFunction(`run in ${this.#slots.describe()}`, "fn", fn);
    throw this.#slots.closedWith?.error;
  }

  #close(options: LimiterCloseOptions, doing: string): void {
    checkOptions(doing, options);
    const { running = "wait", pending = running === "abort" ? "reject" : "run", reason } = options;
    checkChoice(doing, "pending", pending, ["run", "reject"]);
    checkChoice(doing, "running", running, ["wait", "abort"]);
    const slots = this.#slots;
    const message = `Cannot enter ${slots.describe()}: it is closed`;
    slots.closedWith ??= { error: reason === undefined ? new ClosedError(message) : reason };
    if (pending === "reject") slots.serving = false;
    if (running === "abort") {
      const message = `Cannot go on with work in ${slots.describe()}: it is closed`;
      this.#running.stop(reason === undefined ? new DOMException(message, "AbortError") : reason);
    }
  }

  #timeoutError(limitMs: number): TimeoutError {
    const operation = `finish work in ${this.#slots.describe()}`;
    const why = limitMs === 0 ? "no time was left to start" : "it was still running";
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${why}`, { operation, limitMs });
  }

  #checkHold(options: Pick<HoldOptions, "owner" | "label">): void {
    const doing = `enter ${this.#slots.describe()}`;
    checkOptions(doing, options);
    checkName(doing, options.label, "label");
    if (options.owner !== undefined) checkOptions(`${doing} as owner`, options.owner);
  }
}
