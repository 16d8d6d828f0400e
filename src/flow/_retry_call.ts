/** The engine of `retry`: one call on its way from attempt to attempt. */
import { checkFunction, checkWaitOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { isEcho } from "../kernel/echo.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { sleep } from "../cancel/sleep.ts";
import { properMs, pushbackOf } from "./_pushback.ts";
import type { Plan } from "./_retry_plan.ts";
import { type Bounds, overdue, runWithin as runWorkWithin, Work } from "./_work.ts";
import { CircuitOpenError } from "./circuit_open_error.ts";
import { noteAttemptErrors } from "./attempt_errors.ts";
import type { Attempt, RetryEvent } from "./retry_options.ts";

class AttemptWork extends Work implements Attempt {
  readonly attempt: number;
  readonly lastError: unknown;
  readonly #startedMs: number;
  #committed = false;

  constructor(attempt: number, startedMs: number, lastError: unknown, bounds: Bounds | undefined) {
    super(bounds);
    this.attempt = attempt;
    this.lastError = lastError;
    this.#startedMs = startedMs;
  }

  get elapsedMs(): number {
    return clock().now() - this.#startedMs;
  }

  commit(): void {
    this.#committed = true;
  }

  /** @internal */
  get committed(): boolean {
    return this.#committed;
  }
}

class HookWork extends Work implements RetryEvent {
  readonly attempt: number;
  readonly elapsedMs: number;
  readonly error: unknown;
  readonly result: unknown;
  readonly pauseMs: number;

  constructor(facts: Omit<RetryEvent, "signal">, bounds: Bounds) {
    super(bounds);
    this.attempt = facts.attempt;
    this.elapsedMs = facts.elapsedMs;
    this.error = facts.error;
    this.result = facts.result;
    this.pauseMs = facts.pauseMs;
  }
}

/** An endless retry must not collect errors without end. */
const ERRORS_KEPT = 32;

/** How an attempt was not good enough: it failed, or it was its result. */
type Failure = { readonly error: unknown } | { readonly error: undefined; readonly result: unknown };

/** Why no more is tried. */
type Why = "attempts" | "when" | "deadline" | "budget" | "committed" | "retryAfter" | "circuitOpen";

/** One call on its way. Its state is its own: nothing is shared with other calls of the same policy. */
class RetryCall {
  readonly #plan: Plan;
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  readonly #startedMs: number;
  /** When the whole call must have ended. */
  readonly #endMs: number;
  /** Set when the whole call has run out of time. */
  #expired: TimeoutError | undefined;
  #work: AttemptWork | undefined;
  #attempt = 1;
  #lastError: unknown;
  /** What attempts have failed with, the last ones. */
  readonly #errors: unknown[] = [];
  #pauseMs: number | undefined;

  constructor(plan: Plan, options: WaitOptions | undefined, startedMs: number, first?: AttemptWork) {
    this.#plan = plan;
    this.#startedMs = startedMs;
    this.#signal = options?.signal;
    this.#timeoutMs = options?.timeoutMs ?? Infinity;
    this.#endMs = startedMs + this.#timeoutMs;
    this.#work = first;
  }

  attempt<T>(fn: (context: Attempt) => T | PromiseLike<T>): T | PromiseLike<T> {
    this.#plan.totals.attempts++;
    const { attemptTimeoutMs } = this.#plan;
    if (this.#signal === undefined && this.#endMs === Infinity && attemptTimeoutMs === Infinity) {
      return fn(this.#work = this.#newWork(undefined));
    }
    const bounds = this.#bounds(clock().now() + attemptTimeoutMs);
    return runWorkWithin(bounds, this.#work = this.#newWork(bounds), fn);
  }

  /** Returns when it is time for the next attempt; throws when there is none. */
  async failed(error: unknown): Promise<void> {
    if (this.#expired !== undefined && error === this.#expired) throw error;
    const signal = this.#signal;
    if (signal?.aborted) {
      // The attempt had failed before the abort, but in the same turn: the failure must not get lost.
      if (!isEcho(error, signal)) emit("late.failure", "retry", this.#plan.name, { error });
      throw signal.reason;
    }
    if (this.#errors.push(error) > ERRORS_KEPT) this.#errors.shift();
    const pauseMs = await this.#decide({ error });
    if (pauseMs === undefined) throw error;
    await this.#pause(pauseMs);
  }

  /** Whether this result is the call's; when not, it is time for the next attempt. */
  async accepts(result: unknown): Promise<boolean> {
    let pauseMs: number | undefined;
    try {
      if (!this.#plan.whenResult!(result)) return true;
      if (this.#signal?.aborted) throw this.#signal.reason;
      pauseMs = await this.#decide({ error: undefined, result });
    } catch (error) {
      discard(result, "retry", this.#plan.name);
      throw error;
    }
    if (pauseMs === undefined) return true;
    discard(result, "retry", this.#plan.name);
    await this.#pause(pauseMs);
    return false;
  }

  /** A call that will not get a result has ended so. */
  ended(error: unknown): void {
    const { totals } = this.#plan;
    if (this.#signal?.aborted && error === this.#signal.reason) totals.aborted++;
    else if (this.#expired !== undefined && error === this.#expired) totals.timedOut++;
    else {
      totals.failed++;
      // Also of what a hook or a predicate has thrown: without this, the failure that it was asked about would be lost.
      noteAttemptErrors(error, this.#errors);
    }
  }

  /** How long to pause before the next attempt; `undefined` when there is to be none. */
  async #decide(failure: Failure): Promise<number | undefined> {
    const { onRetry, budget, name } = this.#plan;
    const { error } = failure;
    const unwanted = this.#unwanted(failure);
    if (unwanted !== undefined) return this.#giveUp(unwanted, failure);
    const askedMs = this.#askedMs("result" in failure ? failure.result : error);
    if (askedMs > this.#plan.maxRetryAfterMs) return this.#giveUp("retryAfter", failure, askedMs);
    const pauseMs = this.#nextPauseMs(error, askedMs);
    if (this.#isTooLong(pauseMs)) return this.#giveUp("deadline", failure, pauseMs);
    if (budget !== undefined && !budget.tryWithdraw()) return this.#giveUp("budget", failure);
    emit("retry", "retry", name, { attempt: this.#attempt, pauseMs, ...failure });
    this.#lastError = error;
    if (onRetry === undefined) return pauseMs;
    const bounds = this.#bounds(Infinity);
    const elapsedMs = clock().now() - this.#startedMs;
    const event = new HookWork({ attempt: this.#attempt, elapsedMs, ...failure, pauseMs }, bounds);
    await runWorkWithin(bounds, event, onRetry);
    // The hook took its time.
    return this.#isTooLong(pauseMs) ? this.#giveUp("deadline", failure, pauseMs) : pauseMs;
  }

  async #pause(pauseMs: number): Promise<void> {
    await sleep(pauseMs, { signal: this.#signal });
    this.#attempt++;
  }

  /** Why this failure is not to be followed by another attempt, however much time there is. */
  #unwanted(failure: Failure): Why | undefined {
    const { attempts, when, waitsForCircuit } = this.#plan;
    if (this.#attempt >= attempts) return "attempts";
    if (this.#work?.committed) return "committed";
    if ("result" in failure) return undefined;
    if (!waitsForCircuit && failure.error instanceof CircuitOpenError) return "circuitOpen";
    return when === undefined || when(failure.error) ? undefined : "when";
  }

  /** The pause that the failure asks for, -1 for none. */
  #askedMs(failure: unknown): number {
    const { retryAfter, retryAfterOf } = this.#plan;
    // Until it lets calls try, there is no use in trying, whatever is made of other failures.
    if (failure instanceof CircuitOpenError) return failure.retryAfterMs;
    if (retryAfter === "ignore") return -1;
    return (retryAfterOf === undefined ? pushbackOf(failure) : properMs(retryAfterOf(failure))) ?? -1;
  }

  #nextPauseMs(error: unknown, askedMs: number): number {
    const { retryAfter, pause } = this.#plan;
    this.#pauseMs = pause({ attempt: this.#attempt, error, previousMs: this.#pauseMs });
    // Half-open for now, a circuit asks for a pause of 0: that is the least, not the pause itself.
    const exact = retryAfter === "exact" && askedMs >= 0 && !(error instanceof CircuitOpenError);
    return exact ? askedMs : Math.max(this.#pauseMs, askedMs);
  }

  /** Whether a pause would go past what bounds the call, so that it is of no use to begin it. */
  #isTooLong(pauseMs: number): boolean {
    const untilMs = clock().now() + pauseMs;
    return untilMs >= Math.min(this.#endMs, deadlineOf(this.#signal)) ||
      untilMs > this.#startedMs + this.#plan.maxElapsedMs;
  }

  /** What was thrown stays what it is: why no more was tried is for the observer. */
  #giveUp(why: Why, failure: Failure, pauseMs?: number): undefined {
    emit("retry.gaveUp", "retry", this.#plan.name, {
      why,
      attempt: this.#attempt,
      ...failure,
      ...(pauseMs === undefined ? {} : { pauseMs }),
    });
    return undefined;
  }

  #newWork(bounds: Bounds | undefined): AttemptWork {
    return new AttemptWork(this.#attempt, this.#startedMs, this.#lastError, bounds);
  }

  #bounds(attemptEndMs: number): Bounds {
    const { name, waitForAttempt } = this.#plan;
    return {
      structure: "retry",
      name,
      signal: this.#signal,
      atMs: Math.min(this.#endMs, attemptEndMs),
      waits: waitForAttempt,
      expired: (why) =>
        attemptEndMs < this.#endMs ? this.#attemptTimeoutError(why) : this.#expired = this.#timeoutError(),
    };
  }

  #attemptTimeoutError(why: string): TimeoutError {
    const operation = `finish attempt ${this.#attempt} of ${subject("retry", this.#plan.name)}`;
    return overdue(operation, this.#plan.attemptTimeoutMs, why);
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

/** Runs `fn` under the plan. */
export function run<T>(
  plan: Plan,
  fn: (context: Attempt) => T | PromiseLike<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  const plain = options === undefined && plan.attemptTimeoutMs === Infinity && plan.whenResult === undefined;
  return plain && typeof fn === "function" ? runPlain(plan, fn) : runWithin(plan, fn, options);
}

/** What succeeds at once, and that is nearly everything, needs no more than this. */
async function runPlain<T>(plan: Plan, fn: (context: Attempt) => T | PromiseLike<T>): Promise<T> {
  const { totals } = plan;
  begun(plan);
  const startedMs = clock().now();
  const work = new AttemptWork(1, startedMs, undefined, undefined);
  totals.attempts++;
  let result: T;
  try {
    result = await fn(work);
  } catch (error) {
    const call = new RetryCall(plan, undefined, startedMs, work);
    return await ended(plan, call, call.failed(error).then(() => attempts(plan, call, fn)));
  }
  totals.succeeded++;
  totals.running--;
  return result;
}

async function runWithin<T>(
  plan: Plan,
  fn: (context: Attempt) => T | PromiseLike<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  const doing = `run ${subject("retry", plan.name)}`;
  checkFunction(doing, "fn", fn);
  checkWaitOptions(doing, options);
  if (options?.signal?.aborted) {
    plan.totals.aborted++;
    throw options.signal.reason;
  }
  begun(plan);
  const call = new RetryCall(plan, options, clock().now());
  return await ended(plan, call, attempts(plan, call, fn));
}

function begun(plan: Plan): void {
  plan.totals.calls++;
  plan.totals.running++;
  if (plan.pays) plan.budget!.deposit();
}

async function attempts<T>(
  plan: Plan,
  call: RetryCall,
  fn: (context: Attempt) => T | PromiseLike<T>,
): Promise<T> {
  for (;;) {
    let result: T;
    try {
      result = await call.attempt(fn);
    } catch (error) {
      await call.failed(error);
      continue;
    }
    if (plan.whenResult === undefined || await call.accepts(result)) return result;
  }
}

/** Counts how a call ends. */
async function ended<T>(plan: Plan, call: RetryCall, result: Promise<T>): Promise<T> {
  const { totals } = plan;
  try {
    const value = await result;
    totals.succeeded++;
    return value;
  } catch (error) {
    call.ended(error);
    throw error;
  } finally {
    totals.running--;
  }
}
