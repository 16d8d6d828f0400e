/** A time limit as a policy. */
import {
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  checkWaitOptions,
} from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { timeout, type TimeoutScope } from "../cancel/timeout.ts";
import { noteLayer } from "./_layer.ts";
import { type Policy, transformer } from "./policy.ts";

/** Options of {@linkcode timeoutHandler}. */
export type TimeoutHandlerOptions = {
  /** What is being done, for the message and the error's `operation`. */
  operation?: string;
  /** The whole message of the error, instead of one made from `operation`. */
  message?: string;
};

/**
 * Makes a policy that limits how long each call may take: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * The promises are those of `timeout(ms, fn)`: at the limit the call rejects with a `TimeoutError`, whether or not the
 * work heeds its signal. **Order** — inside of `retry` it limits each attempt, outside all of them together with their
 * pauses, and `retry` then begins no pause that would go past it.
 *
 * @param ms The limit, in milliseconds, or a function that gives it for each call; `Infinity` for none.
 * @throws {TypeError | RangeError} When an argument is not as it says.
 *
 * @example
 * ```ts
 * import { sleep, TimeoutError } from "@uno/async/cancel";
 * import { timeoutHandler } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const limited = timeoutHandler(5, { operation: "report" });
 * const report = limited(async (options: { signal?: AbortSignal }) => await sleep(60_000, options));
 * await assert.rejects(report({ signal: undefined }), TimeoutError);
 * ```
 */
export function timeoutHandler(
  ms: number | (() => number),
  options: TimeoutHandlerOptions = {},
): Policy<TimeoutScope> {
  const doing = "create timeout handler";
  if (typeof ms !== "function") checkDurationMs(doing, "ms", ms);
  checkOptions(doing, options ?? null);
  const { operation, message } = options;
  checkName(doing, operation, "operation");
  checkName(doing, message, "message");
  const own = { operation, message };
  const policy = transformer<TimeoutScope>({
    run: typeof ms === "number"
      ? (fn, bounds) => run(ms, fn, own, bounds)
      : async (fn, bounds) => await run(ms(), fn, own, bounds),
  });
  return noteLayer(policy, {
    kind: "timeout",
    name: operation,
    limitMs: typeof ms === "number" ? ms : undefined,
  });
}

function run<T>(
  ms: number,
  fn: (scope: TimeoutScope) => T | PromiseLike<T>,
  options: TimeoutHandlerOptions,
  bounds: WaitOptions | undefined,
): Promise<T> {
  // Not an async function: that would be half of what a limit costs that is not reached.
  if (bounds === undefined && typeof fn === "function") return timeout(ms, fn, options);
  return runWithin(ms, fn, options, bounds ?? {});
}

async function runWithin<T>(
  ms: number,
  fn: (scope: TimeoutScope) => T | PromiseLike<T>,
  options: TimeoutHandlerOptions,
  bounds: WaitOptions,
): Promise<T> {
  checkFunction("run timeout handler", "fn", fn);
  checkWaitOptions("run timeout handler", bounds);
  const { signal, timeoutMs = Infinity } = bounds;
  return await timeout(Math.min(ms, timeoutMs), fn, { ...options, signal });
}
