/** Trying again what has failed. */
import { checkNothingAfter } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { noteLayer } from "./_layer.ts";
import { newTotals, type Plan, planOf } from "./_retry_plan.ts";
import { run } from "./_retry_call.ts";
import { refuseUncalled, transformer } from "./policy.ts";
import type { Attempt, RetryOptions, RetryPolicy } from "./retry_options.ts";

/**
 * Runs `fn` until an attempt succeeds, with pauses that grow and scatter.
 *
 * **Error** — when no attempt is left, or `when` says no, the last error is thrown, itself; why no more was tried is
 * for the observer. **Abort** — rejects at
 * once with the reason, in an attempt as in a pause, and is never retried; the attempt's signal is aborted, a late
 * result disposed, a late failure that is no echo told to the observer. A result that arrives in the turn of the abort,
 * but before it, counts. **Time** — `timeoutMs` bounds the whole call and rejects with a `TimeoutError` (`cause`: the
 * last error); a pause that would go past it, past `maxElapsedMs` or past a deadline of `signal` is not begun: the last
 * error is thrown now. An attempt that reaches `attemptTimeoutMs` has failed, and the next one may run beside what is
 * left of it if it ignores its signal (not with `waitForAttempt`). **Result** — one that `whenResult` doesn't take is
 * disposed, if it can be, before the pause; when no attempt is left, it is returned as it is. **Pushback** — a pause that
 * the failure asks for is the least the pause will be, also above `maxMs`; see `retryAfter`. **Circuit** — what an open
 * circuit breaker refused is not tried again, or only when it lets calls try; see `circuitOpen`. **Budget** — each
 * call pays into `budget`, each retry takes from it; when it is empty, the last error is thrown now. **Repeating** —
 * what can't be done twice says `commit()` in its context first.
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
  options?: RetryOptions<T> & WaitOptions,
): Promise<T>;
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
export function retry(options?: RetryOptions): RetryPolicy;
export function retry<T>(
  first?: ((context: Attempt) => T | PromiseLike<T>) | RetryOptions,
  options?: RetryOptions & WaitOptions,
): RetryPolicy | Promise<T> {
  if (typeof first === "function") {
    refuseUncalled("retry", options);
    try {
      const bounded = options?.signal !== undefined || options?.timeoutMs !== undefined;
      return run(planOf(options), first, bounded ? options : undefined);
    } catch (error) {
      return Promise.reject(error);
    }
  }
  checkNothingAfter("retry", options);
  return policyOf(planOf(first));
}

function policyOf(plan: Plan): RetryPolicy {
  // Its own totals: without options, plans are shared.
  const own = { ...plan, totals: newTotals() };
  const paid = { ...own, pays: false };
  const policy = transformer<Attempt>({ run: (fn, options) => run(own, fn, options) });
  noteLayer(policy, {
    kind: "retry",
    name: own.name,
    limitMs: own.attemptTimeoutMs === Infinity ? undefined : own.attemptTimeoutMs,
    budget: own.budget,
    paid: { run: (fn, options) => run(paid, fn, options) },
  });
  return Object.assign(policy, { statistics: () => Object.freeze({ ...own.totals }) });
}
