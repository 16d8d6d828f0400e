import { backoff, type BackoffOptions } from "../kernel/backoff.ts";
import {
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  checkWaitOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { isEcho } from "../kernel/echo.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { sleep } from "../cancel/sleep.ts";
import { type Bounds, runWithin, Work } from "./_work.ts";
import { type CallContext, type Policy, transformer } from "./policy.ts";

/** What one attempt gets to know. */
export interface Attempt extends CallContext {
  /** Which attempt it is, from 1. */
  readonly attempt: number;
  /** Milliseconds since the call began. */
  readonly elapsedMs: number;
  /** What the attempt before failed with; `undefined` in the first. */
  readonly lastError: unknown;
}

/** What {@linkcode RetryOptions.onRetry} gets to know. */
export interface RetryEvent {
  /** Which attempt has failed, from 1. */
  readonly attempt: number;
  /** Milliseconds since the call began. */
  readonly elapsedMs: number;
  /** What it failed with. */
  readonly error: unknown;
  /** How long the pause will be, in milliseconds. */
  readonly pauseMs: number;
  /** Aborted when the call is given up. */
  readonly signal: AbortSignal;
}

/** Options of {@linkcode retry}; the pauses are those of `BackoffOptions`. */
export type RetryOptions = BackoffOptions & {
  /** How many attempts at most, the first included; `Infinity` for no limit. Default 3. */
  attempts?: number;
  /** No attempt begins later than so many milliseconds after the call; one that runs is let finish. */
  maxElapsedMs?: number;
  /** Limit of each attempt, in milliseconds: one that takes longer has failed with a `TimeoutError`. */
  attemptTimeoutMs?: number;
  /** Whether to try again after this error. Default: always. */
  when?: (error: unknown) => boolean;
  /** Called, and awaited, before each pause; what it throws ends the call. */
  onRetry?: (event: RetryEvent) => unknown;
  /** Appears in messages and observer records. */
  name?: string;
};

/** Checked options, shared by all calls of one policy. */
interface Plan {
  readonly name: string | undefined;
  readonly attempts: number;
  readonly maxElapsedMs: number;
  readonly attemptTimeoutMs: number;
  readonly when: ((error: unknown) => boolean) | undefined;
  readonly onRetry: ((event: RetryEvent) => unknown) | undefined;
  readonly pause: (attempt: number, previousMs?: number) => number;
}

function planOf(options: RetryOptions | undefined): Plan {
  if (options === undefined) return DEFAULTS;
  checkOptions("create retry", options);
  const { name, attempts = 3, maxElapsedMs = Infinity, attemptTimeoutMs = Infinity, when, onRetry } = options;
  checkName("create retry", name);
  const doing = name === undefined ? "create retry" : `create ${subject("retry", name)}`;
  checkCount(doing, "attempts", attempts, 1);
  checkDurationMs(doing, "maxElapsedMs", maxElapsedMs);
  checkDurationMs(doing, "attemptTimeoutMs", attemptTimeoutMs);
  if (when !== undefined) checkFunction(doing, "when", when);
  if (onRetry !== undefined) checkFunction(doing, "onRetry", onRetry);
  const { kind, baseMs, maxMs, jitter } = options;
  const standard = [kind, baseMs, maxMs, jitter].every((option) => option === undefined);
  const pause = standard ? DEFAULTS.pause : backoff({ kind, baseMs, maxMs, jitter });
  return { name, attempts, maxElapsedMs, attemptTimeoutMs, when, onRetry, pause };
}

const DEFAULTS: Plan = {
  name: undefined,
  attempts: 3,
  maxElapsedMs: Infinity,
  attemptTimeoutMs: Infinity,
  when: undefined,
  onRetry: undefined,
  pause: backoff(),
};

class AttemptWork extends Work implements Attempt {
  readonly attempt: number;
  readonly lastError: unknown;
  readonly #startedMs: number;

  constructor(attempt: number, startedMs: number, lastError: unknown, bounds: Bounds | undefined) {
    super(bounds);
    this.attempt = attempt;
    this.lastError = lastError;
    this.#startedMs = startedMs;
  }

  get elapsedMs(): number {
    return clock().now() - this.#startedMs;
  }
}

class HookWork extends Work implements RetryEvent {
  readonly attempt: number;
  readonly elapsedMs: number;
  readonly error: unknown;
  readonly pauseMs: number;

  constructor(facts: Omit<RetryEvent, "signal">, bounds: Bounds) {
    super(bounds);
    this.attempt = facts.attempt;
    this.elapsedMs = facts.elapsedMs;
    this.error = facts.error;
    this.pauseMs = facts.pauseMs;
  }
}

/** One call on its way. Its state is its own: nothing is shared with other calls of the same policy. */
class RetryCall {
  readonly #plan: Plan;
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  readonly startedMs: number;
  /** When the whole call must have ended. */
  readonly #endMs: number;
  /** Set when the whole call has run out of time. */
  #expired: TimeoutError | undefined;
  #attempt = 1;
  #lastError: unknown;
  #pauseMs: number | undefined;

  constructor(plan: Plan, options: WaitOptions | undefined, startedMs: number) {
    this.#plan = plan;
    this.startedMs = startedMs;
    this.#signal = options?.signal;
    this.#timeoutMs = options?.timeoutMs ?? Infinity;
    this.#endMs = this.startedMs + this.#timeoutMs;
  }

  attempt<T>(fn: (context: Attempt) => T | PromiseLike<T>): T | PromiseLike<T> {
    if (this.#signal === undefined && this.#endMs === Infinity && this.#plan.attemptTimeoutMs === Infinity) {
      return fn(new AttemptWork(this.#attempt, this.startedMs, this.#lastError, undefined));
    }
    const bounds = this.#bounds(clock().now() + this.#plan.attemptTimeoutMs);
    return runWithin(bounds, new AttemptWork(this.#attempt, this.startedMs, this.#lastError, bounds), fn);
  }

  /** Returns when it is time for the next attempt; throws when there is none. */
  async next(error: unknown): Promise<void> {
    if (this.#expired !== undefined && error === this.#expired) throw error;
    const { when, onRetry, name, pause } = this.#plan;
    if (this.#signal?.aborted) {
      // The attempt had failed before the abort, but in the same turn: the failure must not get lost.
      if (!isEcho(error, this.#signal)) emit("late.failure", "retry", name, { error });
      throw this.#signal.reason;
    }
    if (this.#attempt >= this.#plan.attempts) throw this.#giveUp("attempts", error);
    if (when !== undefined && !when(error)) throw this.#giveUp("when", error);
    this.#pauseMs = pause(this.#attempt, this.#pauseMs);
    const pauseMs = Math.max(this.#pauseMs, retryAfterOf(error));
    if (this.#isTooLong(pauseMs)) throw this.#giveUp("deadline", error, pauseMs);
    const elapsedMs = clock().now() - this.startedMs;
    emit("retry", "retry", name, { attempt: this.#attempt, pauseMs, error });
    this.#lastError = error;
    if (onRetry !== undefined) {
      const bounds = this.#bounds(Infinity);
      const event = new HookWork({ attempt: this.#attempt, elapsedMs, error, pauseMs }, bounds);
      await runWithin(bounds, event, onRetry);
      // The hook took its time.
      if (this.#isTooLong(pauseMs)) throw this.#giveUp("deadline", error, pauseMs);
    }
    await sleep(pauseMs, { signal: this.#signal });
    this.#attempt++;
  }

  /** Whether a pause would go past what bounds the call, so that it is of no use to begin it. */
  #isTooLong(pauseMs: number): boolean {
    const untilMs = clock().now() + pauseMs;
    return untilMs >= Math.min(this.#endMs, deadlineOf(this.#signal)) ||
      untilMs > this.startedMs + this.#plan.maxElapsedMs;
  }

  /** The error itself: why no more was tried is for the observer. */
  #giveUp(why: "attempts" | "when" | "deadline", error: unknown, pauseMs?: number): unknown {
    emit("retry.gaveUp", "retry", this.#plan.name, {
      why,
      attempt: this.#attempt,
      error,
      ...(pauseMs === undefined ? {} : { pauseMs }),
    });
    return error;
  }

  #bounds(attemptEndMs: number): Bounds {
    const { name } = this.#plan;
    return {
      structure: "retry",
      name,
      signal: this.#signal,
      atMs: Math.min(this.#endMs, attemptEndMs),
      expired: () =>
        attemptEndMs < this.#endMs ? this.#attemptTimeoutError() : this.#expired = this.#timeoutError(),
    };
  }

  #attemptTimeoutError(): TimeoutError {
    const operation = `finish attempt ${this.#attempt} of ${subject("retry", this.#plan.name)}`;
    const limitMs = this.#plan.attemptTimeoutMs;
    const why = limitMs === 0 ? "no time was left to start" : "it was still running";
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${why}`, { operation, limitMs });
  }

  #timeoutError(): TimeoutError {
    const operation = `finish ${subject("retry", this.#plan.name)}`;
    const limitMs = this.#timeoutMs;
    const why = limitMs === 0
      ? "no time was left to start"
      : `it was busy with attempt ${this.#attempt} of ${this.#plan.attempts}`;
    return new TimeoutError(`Cannot ${operation} within ${limitMs} ms: ${why}`, {
      operation,
      limitMs,
      ...(this.#attempt > 1 && { cause: this.#lastError }),
    });
  }
}

/** The pause that the failure itself asks for, as far as it does. */
function retryAfterOf(error: unknown): number {
  const retryAfterMs = typeof error === "object" && error !== null && "retryAfterMs" in error
    ? error.retryAfterMs
    : 0;
  return typeof retryAfterMs === "number" && retryAfterMs > 0 ? retryAfterMs : 0;
}

async function run<T>(
  plan: Plan,
  fn: (context: Attempt) => T | PromiseLike<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  if (typeof fn !== "function") checkFunction(`run ${subject("retry", plan.name)}`, "fn", fn);
  if (options !== undefined) {
    checkWaitOptions(`run ${subject("retry", plan.name)}`, options);
    if (options.signal?.aborted) throw options.signal.reason;
  }
  const startedMs = clock().now();
  let call: RetryCall | undefined;
  if (options === undefined && plan.attemptTimeoutMs === Infinity) {
    // What succeeds at once, and that is nearly everything, needs no more than this.
    try {
      return await fn(new AttemptWork(1, startedMs, undefined, undefined));
    } catch (error) {
      call = new RetryCall(plan, undefined, startedMs);
      await call.next(error);
    }
  }
  call ??= new RetryCall(plan, options, startedMs);
  for (;;) {
    try {
      return await call.attempt(fn);
    } catch (error) {
      await call.next(error);
    }
  }
}

/**
 * Makes a policy that tries again: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * The promises are those of the other form; bad options are refused here. Concurrent calls share nothing.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { retry } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * let calls = 0;
 * const load = retry({ attempts: 5, baseMs: 1 })(async function load(id: number) {
 *   if (++calls < 3) throw new Error("not yet");
 *   return await Promise.resolve(`item ${id}`);
 * });
 * assert.deepEqual(await load(7), "item 7");
 * assert.deepEqual(calls, 3);
 * ```
 */
export function retry(options?: RetryOptions): Policy<Attempt>;
/**
 * Runs `fn` until an attempt succeeds, with pauses that grow and scatter.
 *
 * **Error** — when no attempt is left, or `when` says no, the last error is thrown, itself. **Abort** — rejects at
 * once with the reason, in an attempt as in a pause, and is never retried; the attempt's signal is aborted, a late
 * result disposed, a late failure that is no echo told to the observer. A result that arrives in the turn of the abort,
 * but before it, counts. **Time** — `timeoutMs` bounds the whole call and rejects with a `TimeoutError` (`cause`: the
 * last error); a pause that would go past it, past `maxElapsedMs` or past a deadline of `signal` is not begun: the last
 * error is thrown now. An attempt that reaches `attemptTimeoutMs` has failed, and the next one may run beside what is
 * left of it if it ignores its signal. **Pushback** — a numeric `retryAfterMs` on the error is the least the pause will
 * be, also above `maxMs`.
 *
 * @param fn One attempt; gets its number, the time elapsed, the last error and its signal.
 * @param options When and how often; `signal` and `timeoutMs` bound the whole call.
 * @returns What the successful attempt returns.
 * @throws The last error, or the reason of `signal`, unchanged.
 * @throws {TimeoutError} When `timeoutMs` is reached during an attempt.
 *
 * @example
 * ```ts
 * import { retry } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const answer = await retry(async ({ attempt, signal }) => {
 *   signal.throwIfAborted();
 *   if (attempt === 1) throw new Error("connection reset");
 *   return await Promise.resolve("pong");
 * }, { attempts: 3, baseMs: 1, timeoutMs: 5_000 });
 * assert.deepEqual(answer, "pong");
 * ```
 */
export function retry<T>(
  fn: (context: Attempt) => T | PromiseLike<T>,
  options?: RetryOptions & WaitOptions,
): Promise<T>;
export function retry<T>(
  first?: ((context: Attempt) => T | PromiseLike<T>) | RetryOptions,
  options?: RetryOptions & WaitOptions,
): Policy<Attempt> | Promise<T> {
  if (typeof first === "function") {
    try {
      const bounded = options?.signal !== undefined || options?.timeoutMs !== undefined;
      return run(planOf(options), first, bounded ? options : undefined);
    } catch (error) {
      return Promise.reject(error);
    }
  }
  const plan = planOf(first);
  return transformer<Attempt>({ run: (fn, options) => run(plan, fn, options) });
}
