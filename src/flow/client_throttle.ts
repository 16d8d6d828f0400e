import {
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkName,
  checkOptions,
  checkWaitOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { type Bounds, overdue, runWithin, Work } from "./_work.ts";
import type { CallContext, Run } from "./policy.ts";
import { ThrottledError } from "./throttled_error.ts";

/** Into how many parts the window is divided, of which the oldest is forgotten at a time. */
const PARTS = 12;

/** Options of a {@linkcode ClientThrottle}. */
export interface ClientThrottleOptions {
  /**
   * How many calls are let through for each that is accepted: 1 or more. The more, the sooner it is seen that the
   * backend has recovered, and the more it is made to reject. Default 2.
   */
  k?: number | undefined;
  /** Over how long calls are counted, in milliseconds; finite, above 0. Default 120,000. */
  windowMs?: number | undefined;
  /** Whether an error means that the backend did not accept the call. Default: every error does. */
  isOverload?: ((error: unknown) => boolean) | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** What an operator wants to know of a {@linkcode ClientThrottle}. */
export interface ClientThrottleStatistics {
  /** Calls that ended within the window, those refused here included. */
  readonly requests: number;
  /** Calls within the window that the backend accepted. */
  readonly accepts: number;
  /** How likely a call is refused now. */
  readonly probability: number;
  /** Calls that were let through and have not been answered. */
  readonly running: number;
  /** Calls refused here so far. */
  readonly throttled: number;
  /** Calls given up by a signal so far; they don't count. */
  readonly aborted: number;
  /** Calls so far that reached their limit; they were not accepted. */
  readonly timedOut: number;
}

class Part {
  requests = 0;
  accepts = 0;
  /** Which stretch of time it stands for. */
  readonly at: number;

  constructor(at: number) {
    this.at = at;
  }
}

/**
 * Refuses calls at the client when the backend rejects many, so that it does not spend what it has on rejecting more.
 *
 * **Probability** — `max(0, (requests − k · accepts) / (requests + 1))` over the window: nothing is refused as long as
 * the backend accepts one of `k` calls; when it accepts none, nearly all calls are, and the few that go out show when it
 * recovers. Calls refused here count as requests. Calls count when they have ended, so that a burst of the first ones is
 * let through. **Abort** — a call that is given up by its signal does not count; one that reaches `timeoutMs` was not
 * accepted, and does not count when no time was left to make it. **Time** — no timer runs.
 *
 * Client-side throttling of Google's "Site Reliability Engineering", chapter 21.
 *
 * @example
 * ```ts
 * import { ClientThrottle, ThrottledError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const throttle = new ClientThrottle({ name: "search" });
 * const down = () => Promise.reject(new Error("503"));
 * let [sent, throttled] = [0, 0];
 * for (let i = 0; i < 1_000; i++) {
 *   await throttle.run(() => (sent++, down())).catch((error) => {
 *     if (error instanceof ThrottledError) throttled++;
 *   });
 * }
 * assert.ok(throttled > 900 && sent > 0);
 * ```
 */
export class ClientThrottle implements Run<CallContext> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #k: number;
  readonly #windowMs: number;
  readonly #isOverload: ((error: unknown) => boolean) | undefined;
  readonly #parts: Part[] = [];
  #requests = 0;
  #accepts = 0;
  #throttled = 0;
  #aborted = 0;
  #timedOut = 0;
  #running = 0;

  /**
   * Creates a throttle that lets everything through so far.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: ClientThrottleOptions = {}) {
    checkOptions("create throttle", options);
    const { k = 2, windowMs = 120_000, isOverload, name } = options;
    checkName("create throttle", name);
    const doing = `create ${subject("throttle", name)}`;
    checkFinite(doing, "k", k, 1);
    checkDurationMs(doing, "windowMs", windowMs);
    if (windowMs === 0 || windowMs === Infinity) {
      throw new RangeError(`Cannot ${doing} as windowMs must be finite and above 0: received ${windowMs}`);
    }
    if (isOverload !== undefined) checkFunction(doing, "isOverload", isOverload);
    this.name = name;
    this.#k = k;
    this.#windowMs = windowMs;
    this.#isOverload = isOverload;
  }

  /** How likely a call is refused now, from 0 to 1. */
  get probability(): number {
    this.#forget(this.#stretch());
    return Math.max(0, (this.#requests - this.#k * this.#accepts) / (this.#requests + 1));
  }

  /**
   * Runs `fn`, or refuses to.
   *
   * @param fn The call; gets a signal that is aborted when the call is given up.
   * @param options `signal` gives the call up; `timeoutMs` bounds it.
   * @returns What `fn` returns.
   * @throws {ThrottledError} When it is refused.
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged; what `fn` throws.
   */
  async run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: WaitOptions): Promise<T> {
    const doing = `run in ${subject("throttle", this.name)}`;
    checkFunction(doing, "fn", fn);
    checkWaitOptions(doing, options);
    if (options?.signal?.aborted) {
      this.#aborted++;
      throw options.signal.reason;
    }
    const { probability } = this;
    if (probability > 0 && clock().random() < probability) this.#refuse(probability);
    let over: "aborted" | "timedOut" | undefined;
    this.#running++;
    try {
      const value = await this.#call(fn, options, (why) => over = why);
      this.#count(true);
      return value;
    } catch (error) {
      if (over === "timedOut") this.#timedOut++;
      if (over === "aborted") this.#aborted++;
      else if (over !== "timedOut" || options?.timeoutMs !== 0) this.#count(!this.#speaksOfLoad(error));
      throw error;
    } finally {
      this.#running--;
    }
  }

  /** A snapshot of what was counted. */
  statistics(): ClientThrottleStatistics {
    const { probability } = this;
    return Object.freeze({
      requests: this.#requests,
      accepts: this.#accepts,
      probability,
      running: this.#running,
      throttled: this.#throttled,
      aborted: this.#aborted,
      timedOut: this.#timedOut,
    });
  }

  #call<T>(
    fn: (context: CallContext) => T | PromiseLike<T>,
    options: WaitOptions | undefined,
    gaveUp: (why: "aborted" | "timedOut") => void,
  ): T | PromiseLike<T> {
    if (options === undefined) return fn(new Work());
    const { signal, timeoutMs = Infinity } = options;
    const bounds: Bounds = {
      structure: "throttle",
      name: this.name,
      signal,
      atMs: timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs,
      expired: (why) => overdue(`finish call of ${subject("throttle", this.name)}`, timeoutMs, why),
      gaveUp,
    };
    return runWithin(bounds, new Work(bounds), fn);
  }

  #refuse(probability: number): never {
    this.#throttled++;
    this.#count(false);
    emit("throttle", "throttle", this.name, { probability });
    throw new ThrottledError(
      `Cannot call through ${
        subject("throttle", this.name)
      }: ${this.#accepts} of ${this.#requests} calls were ` +
        `accepted in the last ${this.#windowMs} ms, now refused with a probability of ${
          probability.toFixed(3)
        }`,
      { probability },
    );
  }

  #speaksOfLoad(error: unknown): boolean {
    if (this.#isOverload === undefined) return true;
    try {
      return this.#isOverload(error);
    } catch (failure) {
      // The caller is to get the error itself, whatever the predicate makes of it.
      emit("throttle.failed", "throttle", this.name, { error: failure });
      return true;
    }
  }

  #stretch(): number {
    return Math.floor(clock().now() * PARTS / this.#windowMs);
  }

  /** When a call has ended, not when it begins: calls under way would look like calls that were not accepted. */
  #count(accepted: boolean): void {
    const at = this.#stretch();
    this.#forget(at);
    let part = this.#parts.at(-1);
    if (part?.at !== at) this.#parts.push(part = new Part(at));
    part.requests++;
    this.#requests++;
    if (!accepted) return;
    part.accepts++;
    this.#accepts++;
  }

  #forget(at: number): void {
    for (let first = this.#parts[0]; first !== undefined && first.at <= at - PARTS; first = this.#parts[0]) {
      this.#parts.shift();
      this.#requests -= first.requests;
      this.#accepts -= first.accepts;
    }
  }
}
