import {
  checkCount,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock, wallNow } from "../kernel/clock.ts";
import { ClosedError } from "../kernel/errors.ts";
import { foresee, isLate } from "./_rate_ahead.ts";
import { asked, askedToWait, checkedKey, checkedWeight, keyOf } from "./_rate_asked.ts";
import { RateControl } from "./_rate_control.ts";
import { bucketOf, enter, runInTurn, within } from "./_rate_entry.ts";
import { RateGate } from "./_rate_gate.ts";
import { request } from "./_rate_line.ts";
import { rateOf } from "./_rate_rules.ts";
import { Work } from "./_work.ts";
import type { CallContext, Run } from "./policy.ts";
import type {
  RateLimiterAcquireOptions,
  RateLimiterAdaptiveOptions,
  RateLimiterAlgorithm,
  RateLimiterReservation,
  RateLimiterReserveOptions,
  RateLimiterRunOptions,
  RateLimiterStatistics,
  RateLimiterTakeOptions,
  RateLimitResponse,
} from "./rate_limiter_options.ts";

/** Options of a {@linkcode RateLimiter}. */
export interface RateLimiterOptions {
  /** How much in an interval: an integer of 1 or more. */
  limit: number;
  /** How long an interval is, in milliseconds: finite, more than 0. */
  intervalMs: number;
  /** How much at once, after nothing for long enough: an integer of 1 or more. Default: the limit. Only of `"gcra"`. */
  burst?: number | undefined;
  /** How it is counted. Default `"gcra"`. */
  algorithm?: RateLimiterAlgorithm | undefined;
  /** Another limit that all calls, whatever their key, have to keep too. */
  parent?: RateLimiter | undefined;
  /** How many keys may be known at once; see {@linkcode RateLimiter}. Default 100,000. */
  maxKeys?: number | undefined;
  /** How many may wait, over all keys; a call beyond that rejects with `QueueFullError`. Default `Infinity`. */
  maxQueue?: number | undefined;
  /** Goes slower when the server refuses, and step by step up to the limit again. Only of `"gcra"`. */
  adaptive?: boolean | RateLimiterAdaptiveOptions | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** What most calls get. */
const LET_IN: Promise<void> = Promise.resolve();

/** The engine of a limiter, for its parent's children and for the floor. */
let gateOf: (limiter: RateLimiter) => RateGate;

/**
 * Lets so much through in a time, a burst at once, and the rest in the order in which it came.
 *
 * **Order** — first come, first served, whatever the weight: a light call never overtakes a heavy one that waits. Keys
 * don't hold each other up. For priorities, let calls wait in a `Limiter` of one slot in front of it. **Abort** — who waits has taken nothing yet: a call that gives up leaves at once, and those
 * behind it come earlier by what it would have cost. **Too late** — a call that could not be served within `maxWaitMs`,
 * or before the deadline of its signal, is refused at once, takes nothing, and learns when it could be. If a pause or
 * a slower rate comes while it waits, it is refused then. **Keys** — a key that is as good as new is forgotten; one
 * that is throttled never is, so that nobody gets a fresh burst by being forgotten. When `maxKeys` are throttled all at
 * once, calls for further keys are refused until one of them is not. No timer runs for a key, one for all who wait.
 * **Parent** — a call is let through by both or by none; who waits for the parent is a line for each key, in the order
 * in which their own limit let them through, and the times told in advance are then not exact, but the earliest
 * possible. **Time** — monotonic; how a call is counted: see {@linkcode RateLimiterAlgorithm}.
 *
 * GCRA is the virtual scheduling algorithm of ITU-T I.371.
 *
 * @example
 * ```ts
 * import { RateLimiter, RateLimitError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const global = new RateLimiter({ limit: 1_000, intervalMs: 1_000 });
 * const users = new RateLimiter({ limit: 2, intervalMs: 60_000, parent: global, name: "mail" });
 * assert.ok(users.tryAcquire({ key: "ada" }));
 * await users.acquire({ key: "ada" });
 * assert.equal(users.tryAcquire({ key: "ada" }), false);
 * assert.ok(users.tryAcquire({ key: "bob" }));
 *
 * const error = await users.acquire({ key: "ada", maxWaitMs: 100 }).catch((error) => error);
 * assert.ok(error instanceof RateLimitError);
 * assert.ok(error.retryAfterMs > 29_000);
 * ```
 */
export class RateLimiter implements Run<CallContext> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #gate: RateGate;
  readonly #control: RateControl;

  static {
    gateOf = (limiter) => limiter.#gate;
  }

  /**
   * Creates a rate limiter from which nothing has been taken.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: RateLimiterOptions) {
    checkOptions("create rate limiter", options ?? null);
    const { burst, parent, maxKeys = 100_000, maxQueue = Infinity, name } = options;
    checkName("create rate limiter", name);
    const doing = `create ${subject("rate limiter", name)}`;
    const { rule, algorithm, pace } = rateOf(doing, options);
    checkCount(doing, "maxKeys", maxKeys, 1);
    checkCount(doing, "maxQueue", maxQueue, 0);
    if (parent !== undefined && (typeof parent !== "object" || parent === null || !(#gate in parent))) {
      throw new TypeError(`Cannot ${doing} as parent must be a RateLimiter: received ${show(parent)}`);
    }
    this.name = name;
    this.#gate = new RateGate({ name, algorithm, parent: parent && gateOf(parent), maxKeys, maxQueue });
    this.#control = new RateControl(this.#gate, rule, burst === undefined, pace);
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#gate.closedWith !== undefined;
  }

  /**
   * Waits for its turn.
   *
   * @param options `weight` is how much; `key`, for whom. `maxWaitMs` refuses at once what would take longer, `timeoutMs`
   * gives up after so long; `signal` gives up this wait only, and is not waited for past its deadline.
   * @throws {RateLimitError} When it would take too long, saying when it would not.
   * @throws {RangeError} When `weight` is not an integer from 1 to the burst.
   * @throws {QueueFullError} When `maxQueue` calls wait already.
   * @throws {TimeoutError} When the limit is reached.
   * @throws {ClosedError} When it is closed, before or while waiting (or the reason given to `close`).
   * @throws The reason of `signal`, unchanged.
   */
  acquire(options?: RateLimiterAcquireOptions): Promise<void> {
    const gate = this.#gate;
    if (options === undefined && gate.tryTake(gate.own, 1, clock().now())) return LET_IN;
    try {
      const wanted = options === undefined ? undefined : askedToWait(gate, options);
      return enter(gate, wanted, false) as Promise<unknown> as Promise<void>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Takes so much if it can be had now and nobody waits for it; never waits.
   *
   * @returns Whether it was taken; if not, nothing was.
   * @throws {RangeError} When `weight` is not an integer from 1 to the burst.
   */
  tryAcquire(options?: RateLimiterTakeOptions): boolean {
    const gate = this.#gate;
    const taken = options === undefined
      ? gate.tryTake(gate.own, 1, clock().now())
      : this.#tryTake(options, clock().now());
    if (!taken) gate.totals.refused++;
    return taken;
  }

  /**
   * Takes a place in the line without waiting in it: for somebody who has a queue or a timer already.
   *
   * What is promised stands and counts at the promised moment, also when a pause, a penalty, a slower rate or a smaller
   * burst comes later: whoever waits before it, and would then get in too close to it, lets it go first. With a parent,
   * only what can be had at once can be promised.
   *
   * @param options `weight`, `key`, and `maxWaitMs`, beyond which it is refused.
   * @returns How long to wait, and the way to give it back.
   * @throws {RateLimitError} When it would take longer than `maxWaitMs`, or can't be promised.
   */
  reserve(options?: RateLimiterReserveOptions): RateLimiterReservation {
    const gate = this.#gate;
    const { weight, key, maxWaitMs } = asked(gate, options ?? {});
    if (gate.refusal !== undefined) throw gate.refusal.reason;
    const nowMs = clock().now();
    const bucket = bucketOf(gate, key, weight, nowMs);
    let booking = gate.tryBook(bucket, weight, nowMs);
    if (booking !== undefined) return { waitMs: 0, weight, cancel: () => booking!.cancel() };
    const atMs = foresee(gate, bucket, weight, nowMs);
    if (gate.parent !== undefined || atMs === Infinity || isLate(atMs, nowMs + maxWaitMs)) {
      throw gate.refuse(
        bucket,
        key,
        weight,
        atMs,
        maxWaitMs === Infinity ? " in advance" : within(maxWaitMs),
      );
    }
    const promised = request(weight, { notBeforeMs: atMs, forNow: true });
    const place = gate.join(bucket, promised, nowMs, (granted) => booking = granted);
    return {
      waitMs: atMs - nowMs,
      weight,
      cancel: () => {
        if (booking !== undefined) return booking.cancel();
        place.leave();
        place.left();
      },
    };
  }

  /**
   * Runs `fn` when its turn comes. Nothing is held while it runs.
   *
   * If the call is given up after it was let through, but before `fn` was called, what it took is given back.
   *
   * @param fn The work; gets a signal that is aborted when the call is given up.
   * @param options As for {@linkcode acquire}, but `timeoutMs` bounds the whole call; `queueTimeoutMs` the wait.
   * @returns What `fn` returns.
   * @throws As {@linkcode acquire} does; what `fn` throws.
   */
  run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: RateLimiterRunOptions): Promise<T> {
    return options === undefined ? this.#runPlain(fn) : runInTurn(this.#gate, fn, options);
  }

  /**
   * How long such a call would have to wait if it came now, in milliseconds; takes nothing.
   *
   * @returns 0 when it would not have to wait, `Infinity` when that is not known: paused for good, or closed.
   */
  waitMs(options?: RateLimiterTakeOptions): number {
    const gate = this.#gate;
    const { weight, key } = asked(gate, options ?? {});
    if (gate.refusal !== undefined) return Infinity;
    const nowMs = clock().now();
    const bucket = key === undefined ? gate.own : gate.buckets.get(key, nowMs);
    const atMs = bucket === undefined ? gate.buckets.roomAtMs : foresee(gate, bucket, weight, nowMs);
    return Math.max(0, atMs - nowMs);
  }

  /**
   * How much of its own could be taken at once now, by a call with this key or without one: 0 while others wait for the
   * same, while it is paused, and when it or a parent is closed. An open parent may have less: {@linkcode waitMs} asks
   * both.
   */
  available(options?: Pick<RateLimiterTakeOptions, "key">): number {
    const key = keyOf(this.#gate, options);
    return this.#gate.available(key === undefined ? this.#gate.own : this.#gate.buckets.find(key));
  }

  /**
   * Takes so much whether or not it is there, for calls that turned out to cost more, or as a punishment: whoever comes
   * then waits until it is made up for. A parent is left alone.
   *
   * @throws {RateLimitError} When the key would be one too many.
   */
  penalize(weight: number, options?: Pick<RateLimiterTakeOptions, "key">): void {
    checkInteger(`penalize in ${this.#gate.describe()}`, "weight", weight, 1);
    this.#control.spend(keyOf(this.#gate, options), () => weight);
  }

  /** Takes all that is there; see {@linkcode penalize}. */
  drain(options?: Pick<RateLimiterTakeOptions, "key">): void {
    const { algorithm } = this.#gate;
    this.#control.spend(keyOf(this.#gate, options), (bucket, nowMs) => algorithm.room(bucket, nowMs));
  }

  /**
   * Lets nobody through for so long, with `key` nobody with that key. It is made longer by this, never shorter.
   *
   * @param ms How long, in milliseconds; `Infinity`: until {@linkcode resume}.
   * @throws {RateLimitError} When the key would be one too many.
   */
  pauseFor(ms: number, options?: Pick<RateLimiterTakeOptions, "key">): void {
    checkDurationMs(`pause ${this.#gate.describe()}`, "ms", ms);
    this.#control.pause(ms, keyOf(this.#gate, options));
  }

  /**
   * The same, until a moment by the wall clock: a `Date`, or milliseconds since 1970. A moment that has passed changes
   * nothing.
   */
  pauseUntil(moment: Date | number, options?: Pick<RateLimiterTakeOptions, "key">): void {
    const doing = `pause ${this.#gate.describe()}`;
    const isDate = typeof moment === "object" && typeof moment?.getTime === "function";
    const atMs = isDate ? moment.getTime() : moment;
    if (typeof atMs !== "number") {
      throw new TypeError(`Cannot ${doing} as moment must be a Date or a number: received ${show(moment)}`);
    }
    if (Number.isNaN(atMs)) {
      throw new RangeError(`Cannot ${doing} as moment must be a valid date: received NaN`);
    }
    this.#control.pause(Math.max(0, atMs - wallNow()), keyOf(this.#gate, options));
  }

  /** Ends a pause: that of all, or with `key` that of the key. */
  resume(options?: Pick<RateLimiterTakeOptions, "key">): void {
    this.#control.resume(keyOf(this.#gate, options));
  }

  /**
   * Does what a response asks for: pauses for as long as its header fields say, and, where that is wanted, adapts the
   * limit: a status of 429 makes it slower, one below 400 faster.
   *
   * A response that arrives late never makes a pause shorter, and neither does one that succeeds.
   *
   * @param response A `Response`, or whatever has its `status` and `headers`.
   * @param options `key`: the pause is for those with this key.
   * @returns For how long it asks, in milliseconds; 0 when for nothing.
   * @throws {RateLimitError} When it asks for a pause and the key would be one too many.
   *
   * @example
   * ```ts
   * import { RateLimiter } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const api = new RateLimiter({ limit: 100, intervalMs: 1_000 });
   * const response = new Response("Slow down", { status: 429, headers: { "Retry-After": "2" } });
   * assert.deepEqual(api.heed(response), 2_000);
   * assert.equal(api.tryAcquire(), false);
   * ```
   */
  heed(response: RateLimitResponse, options?: Pick<RateLimiterTakeOptions, "key">): number {
    return this.#control.heed(response, keyOf(this.#gate, options));
  }

  /**
   * Changes the limit, and the burst. What was taken or promised stays so; who waits is served by the new ones. Calls
   * that wait and ask for more than the new burst reject with a `RangeError`.
   *
   * @param options `limit` and `burst` as at creation; a burst that was the limit goes on being that.
   */
  resize(options: { limit?: number | undefined; burst?: number | undefined }): void {
    this.#control.resize(options);
  }

  /**
   * Sends away all who wait and refuses new calls, those of limiters whose parent this is included. Again: does nothing.
   *
   * @param reason What they reject with; a `ClosedError` by default.
   */
  close(reason?: unknown): void {
    const gate = this.#gate;
    if (gate.closedWith !== undefined) return;
    const message = `Cannot acquire from ${gate.describe()}: it is closed`;
    gate.close(reason === undefined ? new ClosedError(message) : reason);
  }

  /** A snapshot of what there is, who waits, and the totals so far. */
  statistics(): RateLimiterStatistics {
    return this.#control.statistics();
  }

  #tryTake(options: RateLimiterTakeOptions, nowMs: number): boolean {
    const gate = this.#gate;
    if (typeof options !== "object" || options === null) keyOf(gate, options);
    const { key, weight = 1 } = options;
    const checked = checkedWeight(gate, weight);
    const bucket = key === undefined ? gate.own : gate.buckets.get(checkedKey(gate, key)!, nowMs);
    return bucket !== undefined && gate.tryTake(bucket, checked, nowMs);
  }

  async #runPlain<T>(fn: (context: CallContext) => T | PromiseLike<T>): Promise<T> {
    if (typeof fn !== "function") checkFunction(`run in ${this.#gate.describe()}`, "fn", fn);
    await enter(this.#gate, undefined, false);
    return await fn(new Work());
  }
}
