import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import { MisuseError, TimeoutError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { Codel } from "./_codel.ts";
import { Meter } from "./_meter.ts";
import { Reserve } from "./_reserve.ts";
import { SlotRunner } from "./_slot_runner.ts";
import { Slots } from "./_slots.ts";
import type { AdaptiveLimit, LimitEstimator } from "./adaptive_limit.ts";
import { BulkheadFullError } from "./bulkhead_full_error.ts";
import type { CodelOptions, LimiterCloseOptions, LimiterStatistics } from "./limiter_options.ts";
import { OverloadError } from "./overload_error.ts";
import type { CallContext, Run } from "./policy.ts";
import { QueueFullError } from "./queue_full_error.ts";

/** Options of a {@linkcode Bulkhead}. */
export interface BulkheadOptions {
  /** How many may run at once: an integer of 1 or more, or a way to find it, such as `aimd()` or `gradient2()`. */
  limit: number | AdaptiveLimit;
  /** How many may wait. Default 0: who can't run at once is refused. */
  maxQueue?: number | undefined;
  /** How long a call may wait, in milliseconds. Default `Infinity`. */
  maxWaitMs?: number | undefined;
  /**
   * Who gives way when `maxQueue` calls wait already: the new call (`"reject"`, the default), who has waited longest
   * (`"dropOldest"`), or who would be served last, that is who has the least priority (`"dropLowest"`).
   */
  overflow?: "reject" | "dropOldest" | "dropLowest" | undefined;
  /** How long a wait makes up for one of priority, in milliseconds. Default `Infinity`. */
  ageingMs?: number | undefined;
  /** Sends calls away from the head of a line that stands, with an `OverloadError`. Default: none are. */
  codel?: CodelOptions | undefined;
  /**
   * What part of the places is kept free for calls of a key, such as `{ checkout: 0.3 }`: others never take it. Down to
   * whole places, and 1 in sum at most; what is not reserved is for all.
   */
  reserved?: Readonly<Record<string, number>> | undefined;
  /**
   * Whether an error speaks of too much load, for a limit that is being found. Default: a `TimeoutError`, a
   * `QueueFullError`, an `OverloadError`, and what has a `retryAfterMs`. Other failures tell nothing about it.
   */
  isOverload?: ((error: unknown) => boolean) | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** Options of {@linkcode Bulkhead.run}. */
export interface BulkheadRunOptions extends WaitOptions {
  /** Who has more goes first, among those of one key. Default 0. */
  priority?: number | undefined;
  /** Whom it is for: those who wait with different keys take turns. With `reserved`, those that have nothing share one. */
  key?: unknown | undefined;
}

/** What an operator wants to know of a {@linkcode Bulkhead}. */
export type BulkheadStatistics = Omit<LimiterStatistics, "blocked" | "paused">;

/**
 * Keeps what is behind it from being overrun: so many calls at once, so many that wait, and the rest is refused at once.
 *
 * **Full** — a call that can neither run nor wait rejects with a `BulkheadFullError` before anything is started; one that
 * was let in to wait is served in its turn, is never overtaken, and gives its place free in the very turn in which it is
 * given up. **Slots** — stay taken until the work has settled, also when its caller was answered before that by its
 * signal or its limit. **Adaptive** — `limit: aimd()` or `gradient2()` looks for the limit in how long calls run; aborted
 * ones and failures that don't speak of load tell nothing. **Shedding** — `overflow: "dropLowest"` lets what matters push
 * out what doesn't, `reserved` keeps places for it, `codel` empties a line that stands. **Context** — work runs in the
 * async context of its caller. **Close** — see {@linkcode close}.
 *
 * @example
 * ```ts
 * import { Bulkhead, BulkheadFullError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const reports = new Bulkhead({ limit: 1, maxQueue: 1, name: "reports" });
 * const make = (id: number) => reports.run(async () => await Promise.resolve(id));
 * const [first, second, third] = await Promise.allSettled([make(1), make(2), make(3)]);
 * assert.deepEqual([first?.status, second?.status, third?.status], ["fulfilled", "fulfilled", "rejected"]);
 * assert.ok(third?.status === "rejected" && third.reason instanceof BulkheadFullError);
 * ```
 */
export class Bulkhead implements Run<CallContext>, AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #slots: Slots;
  readonly #runner: SlotRunner;
  readonly #maxWaitMs: number;
  readonly #adaptive: boolean;

  /**
   * Creates a bulkhead that is empty.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: BulkheadOptions) {
    checkOptions("create bulkhead", options ?? null);
    const { limit, maxQueue = 0, maxWaitMs = Infinity, overflow = "reject", ageingMs = Infinity } = options;
    const { codel, reserved, isOverload = speaksOfLoad, name } = options;
    checkName("create bulkhead", name);
    const doing = `create ${subject("bulkhead", name)}`;
    checkCount(doing, "maxQueue", maxQueue, 0);
    checkDurationMs(doing, "maxWaitMs", maxWaitMs);
    checkChoice(doing, "overflow", overflow, ["reject", "dropOldest", "dropLowest"]);
    checkDurationMs(doing, "ageingMs", ageingMs);
    checkFunction(doing, "isOverload", isOverload);
    const estimator = estimatorOf(doing, limit);
    this.name = name;
    this.#maxWaitMs = maxWaitMs;
    this.#adaptive = estimator !== undefined;
    this.#slots = new Slots({
      kind: "bulkhead",
      name,
      limit: estimator === undefined ? limit as number : Math.max(1, Math.floor(estimator.limit)),
      maxQueue,
      overflow,
      ageingMs,
      FullError: BulkheadFullError,
      codel: codel === undefined ? undefined : new Codel(codel, doing),
      reserve: reserved === undefined ? undefined : new Reserve(reserved, doing),
    });
    const meter = estimator && new Meter(estimator, this.#slots, isOverload);
    this.#runner = new SlotRunner(this.#slots, false, meter);
  }

  /** How many may run at once: as created, as changed by {@linkcode resize}, or as found so far. */
  get limit(): number {
    return this.#slots.limit;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#runner.closed;
  }

  /**
   * Runs `fn` at once or when its turn comes, or refuses it.
   *
   * @param fn The work; gets a signal that is aborted when the call is given up.
   * @param options `signal` gives the call up, waiting or running; `timeoutMs` bounds the whole call.
   * @returns What `fn` returns.
   * @throws {BulkheadFullError} When it may neither run nor wait, or is sent away for others that go first.
   * @throws {OverloadError} When it is sent away as the line stands.
   * @throws {TimeoutError} When it has waited for `maxWaitMs`, or `timeoutMs` is reached.
   * @throws {ClosedError} When the bulkhead is closed.
   * @throws The reason of `signal`, unchanged; what `fn` throws.
   */
  run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: BulkheadRunOptions): Promise<T> {
    if (options === undefined && this.#maxWaitMs === Infinity) return this.#runner.run(fn, undefined);
    try {
      checkOptions(`run in ${this.#slots.describe()}`, options);
      const { signal, timeoutMs, priority, key } = options ?? {};
      return this.#runner.run(fn, { signal, timeoutMs, priority, key, queueTimeoutMs: this.#maxWaitMs });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Changes how many may run at once. More lets waiters in at once, less takes effect as work settles.
   *
   * @param limit An integer of 1 or more, or `Infinity`.
   * @throws {MisuseError} When the bulkhead finds its limit by itself.
   */
  resize(limit: number): void {
    const doing = `resize ${this.#slots.describe()}`;
    checkCount(doing, "limit", limit, 1);
    if (this.#adaptive) throw new MisuseError(`Cannot ${doing}: it finds its limit by itself`);
    this.#slots.resize(limit);
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
   * Accepts nothing new and waits until nothing runs. Those who wait are still served, or are sent away with
   * `pending: "reject"`; running work has its signal aborted with `running: "abort"`. Again: the same promise.
   */
  close(options: LimiterCloseOptions = {}): Promise<void> {
    return this.#runner.close(options);
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of places, waiters and the totals so far. */
  statistics(): BulkheadStatistics {
    const { blocked: _blocked, paused: _paused, ...statistics } = this.#runner.statistics();
    return Object.freeze(statistics);
  }
}

function estimatorOf(doing: string, limit: number | AdaptiveLimit): LimitEstimator | undefined {
  if (typeof limit !== "object" || limit === null) {
    if (limit !== Infinity) checkInteger(doing, "limit", limit, 1);
    return undefined;
  }
  checkFunction(doing, "start of limit", limit.start);
  const estimator = limit.start();
  checkOptions(`${doing} with the estimator of its limit`, estimator ?? null);
  checkFunction(doing, "record of the estimator", estimator.record);
  checkFinite(doing, "limit of the estimator", estimator.limit, 1);
  return estimator;
}

function speaksOfLoad(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  return error instanceof TimeoutError || error instanceof QueueFullError || error instanceof OverloadError ||
    (error as { name?: unknown }).name === "TimeoutError" ||
    typeof (error as { retryAfterMs?: unknown }).retryAfterMs === "number";
}
