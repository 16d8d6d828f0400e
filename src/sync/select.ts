import { checkChoice, checkWaitOptions, show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred } from "../kernel/deferred.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { oneStep } from "../kernel/observer.ts";
import { subscribe, type Subscription } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { Place } from "../kernel/wait_queue.ts";
import { Choice, type SelectCase } from "./_select_case.ts";

export type { SelectCase } from "./_select_case.ts";

/** Makes the result of a select once its choice has been made. */
type Taken<R> = () => R;

/** Options of {@linkcode select}. */
export interface SelectOptions extends WaitOptions {
  /** Which of several choices that are possible at once is made: any (`"random"`, the default) or the first listed. */
  order?: "random" | "listed" | undefined;
}

/** The result of the choices of a select. */
export type SelectResult<C extends readonly SelectCase<unknown>[]> = C[number] extends SelectCase<infer R> ? R
  : never;

/**
 * Waits for the first of several sends and receives that can be done, and does that one and no other.
 *
 * **Exactly one** — in the step in which one is done, all others are given up: no value is taken from, or delivered to,
 * any other channel. **Order** — a fair draw among those possible at once, or `"listed"`; when none is, it waits in
 * every line like anybody else, first come, first served. **Abort** — nothing was done; after it was done, abort is
 * ignored. **Close** — a channel that is closed (and empty, for a receive) counts as possible: drawn, it rejects the
 * select with its error, and nothing was done. **Dropping** — a send to a channel that drops never waits, here neither.
 *
 * Claims as in Go's `select`, made simple by a single thread.
 *
 * @param cases Made by `channel.receiving()` and `channel.sending()`; at least one.
 * @returns What the `then` of the choice makes of it.
 * @throws {TimeoutError} When `timeoutMs` is reached.
 * @throws The reason of `signal`, unchanged; the error of a closed channel; what `then` throws.
 *
 * @example
 * ```ts
 * import { Channel, select } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const numbers = new Channel<number>({ capacity: 1 });
 * const words = new Channel<string>({ capacity: 1 });
 * await words.send("hello");
 * const got = await select([
 *   numbers.receiving((n) => `number ${n}`),
 *   words.receiving((w) => `word ${w}`),
 * ]);
 * assert.equal(got, "word hello");
 * ```
 */
export async function select<const C extends readonly SelectCase<unknown>[]>(
  cases: C,
  options?: SelectOptions,
): Promise<Awaited<SelectResult<C>>> {
  check(cases, options);
  if (options?.signal?.aborted) throw options.signal.reason;
  // An observer of the attempts could make one possible that was not, before we are in its line.
  const choice = oneStep(() => attempt(cases, options) ?? first(cases, options));
  const taken = typeof choice === "function" ? choice : await choice;
  return await taken() as Awaited<SelectResult<C>>;
}

/**
 * Does the first of several sends and receives that can be done without waiting.
 *
 * @returns The result in a box; `undefined` when none can be done now.
 *
 * @example
 * ```ts
 * import { Channel, trySelect } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const jobs = new Channel<string>({ capacity: 1 });
 * assert.equal(trySelect([jobs.receiving()]), undefined);
 * await jobs.send("sweep");
 * assert.deepEqual(trySelect([jobs.receiving()]), { value: "sweep" });
 * ```
 */
export function trySelect<const C extends readonly SelectCase<unknown>[]>(
  cases: C,
  options?: Pick<SelectOptions, "order">,
): { value: SelectResult<C> } | undefined {
  check(cases, options);
  const taken = attempt(cases, options);
  return taken && { value: taken() as SelectResult<C> };
}

function check(cases: readonly SelectCase<unknown>[], options: SelectOptions | undefined): void {
  if (!Array.isArray(cases) || !cases.every((it) => it instanceof Choice)) {
    throw new TypeError(`Cannot select as cases must be an array of select cases: received ${show(cases)}`);
  }
  if (cases.length === 0) throw new RangeError("Cannot select as cases must be at least one: received none");
  checkWaitOptions("select", options);
  if (options?.order !== undefined) checkChoice("select", "order", options.order, ["random", "listed"]);
}

/** Tries the cases in order, or in a random one: the first that is possible is then a fair draw among those that are. */
function attempt(
  cases: readonly SelectCase<unknown>[],
  options: SelectOptions | undefined,
): Taken<unknown> | undefined {
  if (options?.order === "listed" || cases.length === 1) {
    for (const it of cases) {
      const taken = it.attempt();
      if (taken !== undefined) return taken;
    }
    return undefined;
  }
  // Not from a random one onwards: a possible one behind impossible ones would also get their share.
  const left = [...cases];
  while (left.length > 0) {
    const drawn = Math.floor(clock().random() * left.length);
    const taken = left[drawn]!.attempt();
    if (taken !== undefined) return taken;
    left[drawn] = left[left.length - 1]!;
    left.pop();
  }
  return undefined;
}

function first(
  cases: readonly SelectCase<unknown>[],
  options: SelectOptions | undefined,
): Promise<Taken<unknown>> {
  const { promise, resolve, reject } = deferred<Taken<unknown>>();
  const { signal, timeoutMs = Infinity } = options ?? {};
  const places: Place[] = [];
  let subscription: Subscription | undefined;
  let timer: Disposable | undefined;
  let over = false;
  const decided = (): void =>
    oneStep(() => {
      over = true;
      // Out of every line in the same step: whoever comes next must not find us anywhere.
      for (const place of places) place.leave();
      subscription?.cancel();
      timer?.[Symbol.dispose]();
      for (const place of places) place.left();
    });
  const granted = (taken: Taken<unknown>): void => {
    resolve(taken);
    decided();
  };
  const rejected = (reason: unknown): void => {
    reject(reason);
    decided();
  };
  for (const it of cases) places.push(it.join(signal, granted, rejected));
  if (signal !== undefined) {
    try {
      subscription = subscribe(signal, { aborted: rejected, describe: () => `select: ${inWords(cases)}` });
    } catch (error) {
      rejected(error);
    }
  }
  if (timeoutMs !== Infinity && !over) {
    const expire = (): void => {
      const message = `Cannot select within ${timeoutMs} ms: none of ${cases.length} cases could be done: ${
        inWords(cases)
      }`;
      rejected(new TimeoutError(message, { operation: "select", limitMs: timeoutMs }));
    };
    timer = clock().schedule(clock().now() + timeoutMs, expire, { ref: true });
  }
  return promise;
}

/** The first few of them. */
function inWords(cases: readonly SelectCase<unknown>[]): string {
  const more = cases.length > 3 ? ` and ${cases.length - 3} more` : "";
  return cases.slice(0, 3).map(({ doing }) => doing).join(", ") + more;
}
