/** What limiters and bulkheads have in common: running work in slots, holding slots, and closing. */
import {
  checkChoice,
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkInteger,
  checkName,
  checkObject,
  checkOptions,
  show,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { deferred } from "../kernel/deferred.ts";
import { OwnedLease } from "../kernel/disposer.ts";
import { ClosedError, MisuseError, type TimeoutError } from "../kernel/errors.ts";
import type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
import type { Meter, Reading } from "./_meter.ts";
import { LEASED, PLAIN, Request } from "./_slot_request.ts";
import type { Slots } from "./_slots.ts";
import { type Bounds, overdue, runWithin, Stoppable, Work } from "./_work.ts";
import type {
  LimiterCloseOptions,
  LimiterRunOptions,
  LimiterStatistics,
  LimiterTurnOptions,
} from "./limiter_options.ts";
import type { CallContext } from "./policy.ts";

type Fn<T> = (context: CallContext) => T | PromiseLike<T>;

/** What a call may say of its turn, and of who it is. */
type TurnOptions = LimiterTurnOptions & Pick<HoldOptions, "label">;

/** How long a call may wait, and when it must have ended. */
interface Limits {
  readonly atMs: number;
  readonly waitMs: number;
}

const NONE: LimiterRunOptions = {};

/**
 * Where a call that may be moved has its request: on its promise, as a WeakMap of all that wait takes twice the time of a
 * turn. A promise with a field of ours is garbage enough to make turns half as slow again, and aborts twice: so calls
 * that said nothing of a priority have none.
 */
const REQUEST = Symbol("request");

/** Runs work in slots. */
export class SlotRunner {
  readonly slots: Slots;
  readonly #running = new Stoppable();
  readonly #releaseOnTimeout: boolean;
  readonly #meter: Meter | undefined;
  /** The bounds of work whose caller set none. */
  readonly #unbounded: Bounds;
  /** How much work still runs although its caller was answered. */
  abandoned = 0;
  #closing: Promise<void> | undefined;

  constructor(slots: Slots, releaseOnTimeout: boolean, meter?: Meter) {
    this.slots = slots;
    this.#releaseOnTimeout = releaseOnTimeout;
    this.#meter = meter;
    this.#unbounded = {
      structure: slots.kind,
      name: slots.name,
      signal: undefined,
      atMs: Infinity,
      stoppable: this.#running,
      expired: () => this.#timeoutError(Infinity, ""),
    };
  }

  get closed(): boolean {
    return this.slots.closedWith !== undefined;
  }

  run<T>(fn: Fn<T>, options: LimiterRunOptions | undefined): Promise<T> {
    if (options === undefined && this.#meter === undefined) return this.#runPlain(fn);
    return this.#runWith(fn, options === undefined ? NONE : options);
  }

  acquire(options: HoldOptions & TurnOptions | undefined): Promise<Lease> {
    if (options === undefined) return this.#hold(LEASED, undefined);
    try {
      const request = this.#holdRequest(options);
      const lease = this.slots.queue.refusal(options) ?? this.#hold(request, options);
      return options.priority === undefined ? lease : this.#remember(lease, request);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  tryAcquire(options: HoldOptions & TurnOptions | undefined): Lease | undefined {
    const request = options === undefined ? LEASED : this.#holdRequest(options);
    return !this.closed && this.slots.take(request) ? new OwnedLease(this.slots, request) : undefined;
  }

  setPriority(call: unknown, priority: number): boolean {
    const doing = `set priority in ${this.slots.describe()}`;
    if (typeof call !== "object" || call === null) {
      throw new TypeError(`Cannot ${doing} as call must be the promise it gave: received ${show(call)}`);
    }
    checkFinite(doing, "priority", priority);
    const request = (call as { [REQUEST]?: Request })[REQUEST];
    if (request?.owner !== this) {
      throw new MisuseError(
        `Cannot ${doing} as the call must have been made here, with a priority: it was not`,
      );
    }
    return this.slots.setPriority(request, priority);
  }

  /** What the items of one `map` share, given up by `signal`; to be ended by {@linkcode ended}. */
  shared(signal: AbortSignal | undefined): Work {
    return new Work({ ...this.#unbounded, signal });
  }

  /** Work of {@linkcode shared} is over. */
  ended(work: Work): void {
    this.#running.delete(work);
  }

  clear(reason: unknown): number {
    const message = `Cannot enter ${this.slots.describe()}: its queue was cleared`;
    return this.slots.sendAway(reason === undefined ? new DOMException(message, "AbortError") : reason);
  }

  close(options: LimiterCloseOptions): Promise<void> {
    try {
      this.#close(options, `close ${this.slots.describe()}`);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#closing === undefined) {
      // It is there before the wait begins, as an observer of that may close it again.
      const { promise, resolve } = deferred<void>();
      this.#closing = promise;
      resolve(this.slots.idlers.waitIdle(undefined));
    }
    // Those who wait are still to be served, or are to be sent away.
    this.slots.paused = false;
    this.slots.changed();
    return this.#closing;
  }

  statistics(): LimiterStatistics {
    const { limit, inUse, queue, blocked, paused, refused, dropped } = this.slots;
    return {
      limit,
      inUse,
      free: paused || this.closed ? 0 : Math.max(0, limit - inUse),
      waiting: queue.size,
      blocked,
      abandoned: this.abandoned,
      paused,
      closed: this.closed,
      ...queue.totals,
      refused,
      dropped,
    };
  }

  // In both, the submitter's own async function waits and then runs the work, which so has the submitter's async
  // context. Locals are few: they are kept for every waiting call.
  async #runPlain<T>(fn: Fn<T>): Promise<T> {
    const slots = this.slots;
    if (typeof fn !== "function" || slots.closedWith !== undefined) this.#refuse(fn);
    if (!slots.take(PLAIN)) await slots.wait(PLAIN);
    const work = new Work(this.#unbounded);
    try {
      return await fn(work);
    } finally {
      this.#running.delete(work);
      slots.leave(PLAIN);
    }
  }

  #runWith<T>(fn: Fn<T>, options: LimiterRunOptions): Promise<T> {
    try {
      const doing = `run in ${this.slots.describe()}`;
      checkFunction(doing, "fn", fn);
      checkOptions(doing, options);
      const request = this.#runRequest(doing, options);
      const call = this.slots.queue.refusal(options) ?? this.#begin(fn, request, options);
      return options.priority === undefined ? call : this.#remember(call, request);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #begin<T>(fn: Fn<T>, request: Request, options: LimiterRunOptions): Promise<T> {
    if (this.slots.closedWith !== undefined) return Promise.reject(this.slots.closedWith.error);
    const limits = this.#limits(options);
    if (options.signal === undefined && limits.atMs === Infinity && this.#meter === undefined) {
      return this.#runInTurn(fn, request, limits.waitMs);
    }
    return this.#runWithin(fn, request, options, limits);
  }

  /** Like {@linkcode #runPlain}, for calls that only say when their turn is and what it takes. */
  async #runInTurn<T>(fn: Fn<T>, request: Request, waitMs: number): Promise<T> {
    const { slots } = this;
    if (!slots.take(request)) {
      await slots.wait(request, waitMs === Infinity ? undefined : { timeoutMs: waitMs });
    }
    const work = new Work(this.#unbounded);
    try {
      return await fn(work);
    } finally {
      this.#running.delete(work);
      slots.leave(request);
    }
  }

  async #runWithin<T>(fn: Fn<T>, request: Request, options: LimiterRunOptions, limits: Limits): Promise<T> {
    const slots = this.slots;
    const { signal, timeoutMs = Infinity } = options;
    const { atMs, waitMs } = limits;
    if (!slots.take(request)) await slots.wait(request, { signal, timeoutMs: waitMs });
    let abandoned = false;
    let holding = true;
    let reading: Reading | undefined;
    const bounds: Bounds = {
      structure: slots.kind,
      name: slots.name,
      signal,
      atMs,
      stoppable: this.#running,
      expired: (why) => this.#timeoutError(timeoutMs, why),
      gaveUp: (why, running) => {
        slots.queue.totals[why]++;
        if (!running) return;
        abandoned = true;
        this.abandoned++;
        reading?.gaveUp(why);
        if (why === "aborted" || !this.#releaseOnTimeout) return;
        holding = false;
        slots.leave(request);
      },
      settled: () => {
        this.#running.delete(work);
        if (abandoned) this.abandoned--;
        if (holding) slots.leave(request);
      },
    };
    const work = new Work(bounds);
    if (this.#meter === undefined) return await runWithin(bounds, work, fn);
    return await runWithin(bounds, work, (work) => (reading = this.#meter!.begin(signal)).of(() => fn(work)));
  }

  #hold(request: Request, options: WaitOptions | undefined): Promise<Lease> {
    const slots = this.slots;
    if (slots.closedWith !== undefined) return Promise.reject(slots.closedWith.error);
    if (slots.take(request)) return Promise.resolve(new OwnedLease(slots, request));
    return slots.wait(request, options) as Promise<Lease>;
  }

  /** Notes whose call it is, for {@linkcode setPriority}. */
  #remember<T>(call: Promise<T> & { [REQUEST]?: Request }, request: Request): Promise<T> {
    request.owner = this;
    call[REQUEST] = request;
    return call;
  }

  #runRequest(doing: string, options: LimiterRunOptions): Request {
    const { queueTimeoutMs, needsMs } = options;
    if (queueTimeoutMs !== undefined) checkDurationMs(doing, "queueTimeoutMs", queueTimeoutMs);
    if (needsMs !== undefined) checkDurationMs(doing, "needsMs", needsMs);
    return this.#request(doing, PLAIN, options);
  }

  #holdRequest(options: HoldOptions & TurnOptions): Request {
    const doing = `enter ${this.slots.describe()}`;
    checkOptions(doing, options);
    checkName(doing, options.label, "label");
    checkObject(doing, "owner", options.owner);
    return this.#request(doing, LEASED, options);
  }

  /** What is asked for: one that all share, if it is nothing special. */
  #request(doing: string, plain: Request, { weight, priority, key, label }: TurnOptions): Request {
    if (weight === undefined && priority === undefined && key === undefined && label === undefined) {
      return plain;
    }
    return this.request(doing, plain.lease, { weight, priority, key, label });
  }

  /** A request of its own; throws unless it can ever be served. */
  request(doing: string, lease: boolean, { weight = 1, priority = 0, key, label }: TurnOptions): Request {
    checkInteger(doing, "weight", weight, 1);
    checkFinite(doing, "priority", priority);
    const { limit } = this.slots;
    // Nobody fits a limit of 0, which is a pause.
    if (weight > limit && limit > 0) {
      throw new RangeError(`Cannot ${doing} as weight must fit its limit of ${limit}: received ${weight}`);
    }
    return new Request(lease, weight, priority, this.slots.laneOf(key), label);
  }

  /** Throws when no time is left, or less than the work needs. */
  #limits(
    { signal, timeoutMs = Infinity, queueTimeoutMs = Infinity, needsMs = 0 }: LimiterRunOptions,
  ): Limits {
    const deadlineMs = signal === undefined ? Infinity : deadlineOf(signal);
    if (timeoutMs === Infinity && deadlineMs === Infinity) return { atMs: Infinity, waitMs: queueTimeoutMs };
    const nowMs = clock().now();
    const leftMs = Math.min(timeoutMs, deadlineMs - nowMs);
    if (leftMs <= 0 || leftMs < needsMs) {
      this.slots.queue.totals.timedOut++;
      const why = leftMs <= 0 ? "no time was left to start" : `it needs ${needsMs} ms`;
      throw this.#timeoutError(Math.max(0, leftMs), why);
    }
    // A deadline of the signal ends the wait by itself, unless the work could not start as late as that.
    const startInMs = needsMs > 0 ? leftMs - needsMs : Infinity;
    return { atMs: nowMs + timeoutMs, waitMs: Math.min(timeoutMs, queueTimeoutMs, startInMs) };
  }

  /** Throws what is wrong with a call: what it wants to run, or that it comes too late. */
  #refuse(fn: unknown): never {
    checkFunction(`run in ${this.slots.describe()}`, "fn", fn);
    throw this.slots.closedWith?.error;
  }

  #close(options: LimiterCloseOptions, doing: string): void {
    checkOptions(doing, options);
    const { running = "wait", pending = running === "abort" ? "reject" : "run", reason } = options;
    checkChoice(doing, "pending", pending, ["run", "reject"]);
    checkChoice(doing, "running", running, ["wait", "abort"]);
    const slots = this.slots;
    const message = `Cannot enter ${slots.describe()}: it is closed`;
    slots.closedWith ??= { error: reason === undefined ? new ClosedError(message) : reason };
    if (pending === "reject") slots.serving = false;
    if (running === "abort") {
      const message = `Cannot go on with work in ${slots.describe()}: it is closed`;
      this.#running.stop(reason === undefined ? new DOMException(message, "AbortError") : reason);
    }
  }

  #timeoutError(limitMs: number, why: string): TimeoutError {
    return overdue(`finish work in ${this.slots.describe()}`, limitMs, why);
  }
}
