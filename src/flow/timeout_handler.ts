/** A time limit as a policy. */
import {
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  checkWaitOptions,
} from "../kernel/checks.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { limited, type LimitedEnd, type TimeoutOptions, type TimeoutScope } from "../cancel/timeout.ts";
import { noteLayer } from "./_layer.ts";
import { type Policy, refuseUncalled, type Run, transformerBy } from "./policy.ts";

/** Options of {@linkcode timeoutHandler}. */
export type TimeoutHandlerOptions = {
  /** What is being done, for the message and the error's `operation`. Default: a transformed function's name. */
  operation?: string | undefined;
  /** The whole message of the error, instead of one made from `operation`. */
  message?: string | undefined;
};

/** What an operator wants to know of a {@linkcode timeoutHandler} policy. */
export interface TimeoutHandlerStatistics {
  /** Calls that have not been answered yet. */
  readonly running: number;
  /** Calls so far, those refused at the door left out. */
  readonly calls: number;
  /** Calls that got a result. */
  readonly succeeded: number;
  /** Calls that failed by themselves. */
  readonly failed: number;
  /** Calls given up by a signal, before their start or after. */
  readonly aborted: number;
  /** Calls that reached the limit. */
  readonly timedOut: number;
}

/** A policy that limits how long each call may take; made by {@linkcode timeoutHandler}. */
export interface TimeoutPolicy extends Policy<TimeoutScope> {
  /** The numbers of all calls so far. */
  statistics(): TimeoutHandlerStatistics;
}

/**
 * Makes a policy that limits how long each call may take: `policy.run(fn)`, `policy(fn)`, or `@policy` on a method.
 *
 * The promises are those of `timeout(ms, fn)`: at the limit the call rejects with a `TimeoutError`, whether or not the
 * work heeds its signal. **Order** — inside of `retry` it limits each attempt, outside all of them together with their
 * pauses, and `retry` then begins no pause that would go past it. The observer is told of each call that reaches it.
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
 * await assert.rejects(report({}), TimeoutError);
 * ```
 */
export function timeoutHandler(
  ms: number | (() => number),
  options: TimeoutHandlerOptions = {},
): TimeoutPolicy {
  const doing = "create timeout handler";
  refuseUncalled("timeoutHandler", options);
  if (typeof ms !== "function") checkDurationMs(doing, "ms", ms);
  checkOptions(doing, options ?? null);
  const { operation, message } = options;
  checkName(doing, operation, "operation");
  checkName(doing, message, "message");
  const totals = newTotals();
  const handlerOf = (operation: string | undefined): Run<TimeoutScope> => {
    const handler = new Handler({ operation, message }, totals);
    if (typeof ms === "number") return { run: (fn, bounds) => handler.run(ms, fn, bounds) };
    return { run: async (fn, bounds) => await handler.runFor(ms, fn, bounds) };
  };
  const policy = transformerBy(handlerOf(operation), (name) => handlerOf(operation ?? name));
  noteLayer(policy, { kind: "timeout", name: operation, limitMs: typeof ms === "number" ? ms : undefined });
  return Object.assign(policy, { statistics: () => Object.freeze({ ...totals }) });
}

type Fn<T> = (scope: TimeoutScope) => T | PromiseLike<T>;

type Totals = { -readonly [K in keyof TimeoutHandlerStatistics]: number };

function newTotals(): Totals {
  return { running: 0, calls: 0, succeeded: 0, failed: 0, aborted: 0, timedOut: 0 };
}

/** The limit as it is put on what has one name. */
class Handler {
  readonly totals: Totals;
  readonly #options: TimeoutHandlerOptions;

  constructor(options: TimeoutHandlerOptions, totals: Totals) {
    this.#options = options;
    this.totals = totals;
  }

  run<T>(ms: number, fn: Fn<T>, bounds: WaitOptions | undefined): Promise<T> {
    // Not an async function: that would be half of what a limit costs that is not reached.
    if (bounds === undefined && typeof fn === "function") return this.#limited(ms, fn, this.#options);
    return this.#runWithin(ms, fn, bounds ?? {});
  }

  async runFor<T>(ask: () => number, fn: Fn<T>, bounds: WaitOptions | undefined): Promise<T> {
    const ms = ask();
    checkDurationMs("run timeout handler", "ms", ms);
    return await this.run(ms, fn, bounds);
  }

  async #runWithin<T>(ms: number, fn: Fn<T>, bounds: WaitOptions): Promise<T> {
    checkFunction("run timeout handler", "fn", fn);
    checkWaitOptions("run timeout handler", bounds);
    const { signal, timeoutMs = Infinity } = bounds;
    if (signal?.aborted) {
      this.totals.aborted++;
      throw signal.reason;
    }
    return await this.#limited(Math.min(ms, timeoutMs), fn, { ...this.#options, signal });
  }

  #limited<T>(ms: number, fn: Fn<T>, options: TimeoutOptions): Promise<T> {
    this.totals.calls++;
    this.totals.running++;
    return limited(ms, fn, options, this.#ended);
  }

  readonly #ended = (how: LimitedEnd): void => {
    this.totals.running--;
    this.totals[how]++;
    if (how === "timedOut") emit("timeout", "timeout", this.#options.operation);
  };
}
