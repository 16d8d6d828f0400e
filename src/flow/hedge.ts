/** Asking again before an answer has come. */
import { checkNothingAfter } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { run } from "./_hedge_call.ts";
import { noteLayer } from "./_layer.ts";
import { HedgePlan } from "./_hedge_plan.ts";
import type { HedgeAttempt, HedgeOptions, HedgePolicy } from "./hedge_options.ts";
import { refuseUncalled, transformer } from "./policy.ts";

/**
 * Runs `fn`, and once more beside it when it does not answer in time; the first answer counts.
 *
 * **Order** — attempts begin `delayMs` apart, and the next at once when one fails; none any more when it
 * asks for a pause (`retryAfterMs`, `Retry-After`). **Answer** — the first result wins,
 * the other attempts' signals are aborted; a late result is disposed, once, and a late failure that is no echo of the
 * abort told to the observer. The winner's signal is not aborted, as what it returned may still be read under it.
 * **Failure** — when all attempts have failed, with what the primary one failed with, itself; `attemptErrors` knows the
 * others. A `fatal` error stops all. **Abort** — rejects at once with the reason, all attempts are aborted, none begins.
 * **Budget** — each call pays into `budget`, each attempt beside the primary one takes from it; when it is empty, what
 * runs goes on alone.
 *
 * Only for work that may be done twice.
 *
 * @param fn One attempt; gets its number and its own signal.
 * @param options When and how often; `signal` and `timeoutMs` bound the whole call.
 * @returns What the winner returns.
 * @throws What the primary attempt fails with, a `fatal` error, or the reason of `signal`, unchanged.
 * @throws {TimeoutError} When `timeoutMs` is reached.
 *
 * @example
 * ```ts
 * import { sleep } from "@uno/async/cancel";
 * import { hedge } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const replicas = ["slow", "quick"];
 * const answer = await hedge(async ({ attempt, signal }) => {
 *   const replica = replicas[attempt - 1];
 *   if (replica === "slow") await sleep(60_000, { signal });
 *   return replica;
 * }, { delayMs: 5, max: 2 });
 * assert.deepEqual(answer, "quick");
 * ```
 */
export function hedge<T>(
  fn: (context: HedgeAttempt) => T | PromiseLike<T>,
  options: HedgeOptions & WaitOptions,
): Promise<T>;
/**
 * Makes a policy that hedges: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * The promises are those of the other form; bad options are refused here. With `quantile` it learns from its calls how
 * long they take, from the last 500 to 1,000 primary attempts, to within 5 %.
 *
 * Hedged requests as in Dean and Barroso, "The Tail at Scale".
 *
 * @throws {TypeError | RangeError} When an option is not as it says, or neither `delayMs` nor `quantile` is given.
 *
 * @example
 * ```ts
 * import { hedge, RetryBudget } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const hedged = hedge({ quantile: 0.95, delayMs: 50, budget: new RetryBudget({ ratio: 0.05 }) });
 * const read = hedged(async (key: string, { signal }: { signal?: AbortSignal }) => {
 *   signal?.throwIfAborted();
 *   return await Promise.resolve(`value of ${key}`);
 * });
 * assert.deepEqual(await read("a", {}), "value of a");
 * assert.deepEqual(hedged.statistics().hedges, 0);
 * ```
 */
export function hedge(options: HedgeOptions): HedgePolicy;
export function hedge<T>(
  first: ((context: HedgeAttempt) => T | PromiseLike<T>) | HedgeOptions,
  options?: HedgeOptions & WaitOptions,
): HedgePolicy | Promise<T> {
  if (typeof first === "function") {
    refuseUncalled("hedge", options);
    try {
      return run(new HedgePlan(options, false), first, options, true);
    } catch (error) {
      return Promise.reject(error);
    }
  }
  checkNothingAfter("hedge", options);
  return policyOf(new HedgePlan(first, true));
}

function policyOf(plan: HedgePlan): HedgePolicy {
  const policy = transformer<HedgeAttempt>({ run: (fn, options) => run(plan, fn, options, true) });
  noteLayer(policy, {
    kind: "hedge",
    name: plan.name,
    budget: plan.budget,
    paid: { run: (fn, options) => run(plan, fn, options, false) },
  });
  return Object.assign(policy, { statistics: () => plan.statistics() });
}
