/** Another way when the first one fails. */
import {
  checkFunction,
  checkName,
  checkNothingAfter,
  checkOptions,
  checkWaitOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { isEcho } from "../kernel/echo.ts";
import type { TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { noteLayer } from "./_layer.ts";
import { type Bounds, overdue, runWithin, Work } from "./_work.ts";
import { noteAttemptErrors } from "./attempt_errors.ts";
import { type CallContext, type Policy, refuseUncalled, transformer } from "./policy.ts";

/** What an alternative gets to know. */
export interface FallbackContext extends CallContext {
  /** Which alternative it is, from 1. */
  readonly attempt: number;
  /** What failed before it; `undefined` when it was a result that was not good enough. */
  readonly error: unknown;
  /** All that has failed so far, in order. */
  readonly errors: readonly unknown[];
}

/** Another way to a result. */
export type Alternative<T> = (context: FallbackContext) => T | PromiseLike<T>;

/**
 * Options of {@linkcode fallback}; of a policy, the alternatives have to give what its functions give. `R` is what may be
 * looked at by `whenResult`.
 */
// deno-lint-ignore no-explicit-any
export type FallbackOptions<T = unknown, R = any> = {
  /** What to do instead; several are tried in order, each once. */
  to: Alternative<T> | readonly Alternative<T>[];
  /** Whether another way is to be tried after this error. Default: always. */
  when?: ((error: unknown) => boolean) | undefined;
  /** Whether another way is to be tried after this result. Default: never. */
  whenResult?: ((result: R) => boolean) | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
};

/** What an operator wants to know of a {@linkcode fallback} policy. */
export interface FallbackStatistics {
  /** Calls that have not ended yet. */
  readonly running: number;
  /** Calls so far, those refused at the door left out. */
  readonly calls: number;
  /** Calls that succeeded by themselves. */
  readonly succeeded: number;
  /** Calls that succeeded by an alternative. */
  readonly recovered: number;
  /** Calls that failed. */
  readonly failed: number;
  /** Calls given up by a signal, before their start or after. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
}

/** A policy that falls back; made by {@linkcode fallback}. */
export interface FallbackPolicy extends Policy<CallContext> {
  /** The numbers of all calls so far. */
  statistics(): FallbackStatistics;
}

class Plan {
  readonly name: string | undefined;
  readonly to: readonly Alternative<unknown>[];
  readonly when: ((error: unknown) => boolean) | undefined;
  readonly whenResult: ((result: unknown) => boolean) | undefined;
  readonly totals: { -readonly [K in keyof FallbackStatistics]: number } = {
    running: 0,
    calls: 0,
    succeeded: 0,
    recovered: 0,
    failed: 0,
    aborted: 0,
    timedOut: 0,
  };

  constructor(options: FallbackOptions<never> | FallbackOptions) {
    checkOptions("create fallback", options ?? null);
    const { name, to, when, whenResult } = options as FallbackOptions;
    checkName("create fallback", name);
    const doing = `create ${subject("fallback", name)}`;
    const alternatives = Array.isArray(to) ? [...to] : [to];
    if (alternatives.length === 0) {
      throw new RangeError(`Cannot ${doing} as to must be at least one function: received ${show(to)}`);
    }
    for (const alternative of alternatives) checkFunction(doing, "to", alternative);
    if (when !== undefined) checkFunction(doing, "when", when);
    if (whenResult !== undefined) checkFunction(doing, "whenResult", whenResult);
    this.name = name;
    this.to = alternatives;
    this.when = when;
    this.whenResult = whenResult;
  }
}

class FallbackWork extends Work implements FallbackContext {
  readonly attempt: number;
  readonly errors: readonly unknown[];
  readonly error: unknown;

  constructor(attempt: number, error: unknown, errors: readonly unknown[], bounds: Bounds | undefined) {
    super(bounds);
    this.attempt = attempt;
    this.error = error;
    this.errors = errors;
  }
}

/** What a step of a call came to. */
type Step = { readonly result: unknown } | { readonly error: unknown };

class FallbackCall {
  readonly #plan: Plan;
  readonly #signal: AbortSignal | undefined;
  readonly #bounds: Bounds | undefined;
  readonly #errors: unknown[] = [];
  #expired: TimeoutError | undefined;

  constructor(plan: Plan, options: WaitOptions | undefined) {
    this.#plan = plan;
    const { signal, timeoutMs = Infinity } = options ?? {};
    this.#signal = signal;
    if (signal === undefined && timeoutMs === Infinity) return;
    this.#bounds = {
      structure: "fallback",
      name: plan.name,
      signal,
      atMs: clock().now() + timeoutMs,
      expired: (why) => this.#expired = overdue(`finish ${subject("fallback", plan.name)}`, timeoutMs, why),
    };
  }

  async run(fn: (context: CallContext) => unknown): Promise<unknown> {
    const { to } = this.#plan;
    let step = await this.#try(fn, new Work(this.#bounds));
    let tried = 0;
    for (; tried < to.length && this.#isToGoOn(step); tried++) {
      const error = "error" in step ? step.error : undefined;
      if ("result" in step) discard(step.result, "fallback", this.#plan.name);
      emit("fallback", "fallback", this.#plan.name, { attempt: tried + 1, ...step });
      step = await this.#try(to[tried]!, new FallbackWork(tried + 1, error, [...this.#errors], this.#bounds));
    }
    if ("error" in step) throw step.error;
    this.#plan.totals[tried === 0 ? "succeeded" : "recovered"]++;
    return step.result;
  }

  /** A call that will not get a result has ended so. */
  ended(error: unknown): void {
    const { totals } = this.#plan;
    if (this.#signal?.aborted && error === this.#signal.reason) totals.aborted++;
    else if (this.#expired !== undefined && error === this.#expired) totals.timedOut++;
    else {
      totals.failed++;
      // Also of what a predicate has thrown: without this, the failure that it was asked about would be lost.
      noteAttemptErrors(error, this.#errors);
    }
  }

  async #try<W extends Work>(fn: (work: W) => unknown, work: W): Promise<Step> {
    try {
      return { result: await (this.#bounds === undefined ? fn(work) : runWithin(this.#bounds, work, fn)) };
    } catch (error) {
      if (this.#expired !== undefined && error === this.#expired) throw error;
      const signal = this.#signal;
      if (signal?.aborted) {
        // It had failed before the abort, but in the same turn: the failure must not get lost.
        if (!isEcho(error, signal)) emit("late.failure", "fallback", this.#plan.name, { error });
        throw signal.reason;
      }
      this.#errors.push(error);
      return { error };
    }
  }

  #isToGoOn(step: Step): boolean {
    const { when, whenResult } = this.#plan;
    if ("error" in step) return when === undefined || when(step.error);
    try {
      return whenResult !== undefined && whenResult(step.result);
    } catch (bug) {
      discard(step.result, "fallback", this.#plan.name);
      throw bug;
    }
  }
}

async function run<T>(
  plan: Plan,
  fn: (context: CallContext) => T | PromiseLike<T>,
  options: WaitOptions | undefined,
): Promise<T> {
  const doing = `run ${subject("fallback", plan.name)}`;
  checkFunction(doing, "fn", fn);
  checkWaitOptions(doing, options);
  const { totals } = plan;
  if (options?.signal?.aborted) {
    totals.aborted++;
    throw options.signal.reason;
  }
  totals.calls++;
  totals.running++;
  const call = new FallbackCall(plan, options);
  try {
    return await call.run(fn) as T;
  } catch (error) {
    call.ended(error);
    throw error;
  } finally {
    totals.running--;
  }
}

/**
 * Runs `fn`, and when it fails, the alternatives, until one succeeds.
 *
 * **Order** — alternatives are tried in their order, each once, and get what failed before. **Failure** — when all have
 * failed, or `when` says no, the last error is thrown, itself; `attemptErrors` knows the others. **Abort** — rejects at
 * once with the reason and is never made good, and neither is `timeoutMs`; a deadline further in is. **Result** — one
 * that `whenResult` doesn't take is disposed, if it can be; that of the last alternative is returned as it is.
 *
 * @param fn What to try first; gets a signal that is aborted when the call is given up.
 * @param options `to` is what to try then; `signal` and `timeoutMs` bound the whole call.
 * @returns What the first that succeeds returns.
 * @throws The last error, or the reason of `signal`, unchanged.
 * @throws {TimeoutError} When `timeoutMs` is reached.
 *
 * @example
 * ```ts
 * import { fallback } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const price = await fallback(() => Promise.reject(new Error("service down")), {
 *   to: [
 *     () => Promise.reject(new Error("replica down")),
 *     ({ errors }) => `price of yesterday, after ${errors.length} failures`,
 *   ],
 * });
 * assert.deepEqual(price, "price of yesterday, after 2 failures");
 * ```
 */
export function fallback<T, U = T>(
  fn: (context: CallContext) => T | PromiseLike<T>,
  options: FallbackOptions<U, T | U> & WaitOptions,
): Promise<T | U>;
/**
 * Makes a policy that falls back: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * The promises are those of the other form; bad options are refused here.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { fallback } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const orDefault = fallback({ to: () => "default" });
 * const theme = orDefault(async (user: string) => {
 *   if (user !== "ada") throw new Error("no such user");
 *   return await Promise.resolve("dark");
 * });
 * assert.deepEqual([await theme("ada"), await theme("bob")], ["dark", "default"]);
 * ```
 */
export function fallback(options: FallbackOptions): FallbackPolicy;
export function fallback<T, U = T>(
  first: ((context: CallContext) => T | PromiseLike<T>) | FallbackOptions,
  options?: FallbackOptions<U, T | U> & WaitOptions,
): FallbackPolicy | Promise<T | U> {
  if (typeof first === "function") {
    refuseUncalled("fallback", options);
    try {
      return run(new Plan(options as FallbackOptions), first, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }
  checkNothingAfter("fall back", options);
  const plan = new Plan(first);
  const policy = transformer<CallContext>({ run: (fn, options) => run(plan, fn, options) });
  noteLayer(policy, { kind: "fallback", name: plan.name });
  return Object.assign(policy, { statistics: () => Object.freeze({ ...plan.totals }) });
}
