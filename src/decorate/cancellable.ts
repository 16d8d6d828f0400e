import { checkOptions, checkSignal } from "../kernel/checks.ts";
import { linkSignals } from "../cancel/link_signals.ts";
import { type AsyncMethod, type CallContext, nameOf, transform } from "../flow/policy.ts";
import { timeoutHandler } from "../flow/timeout_handler.ts";
import type { Decorator } from "./decorator.ts";

/** Options of {@linkcode cancellable}. */
export interface CancellableOptions {
  /** Gives up all calls, besides each caller's own signal: a signal, or how the object whose method is called has it. */
  // deno-lint-ignore no-explicit-any
  signal?: (AbortSignal | ((self: any) => AbortSignal | undefined)) | undefined;
}

/**
 * Makes calls end as soon as their signal is aborted, whether or not the function heeds it: `@cancellable`, or
 * `cancellable(fn)`.
 *
 * **Signal** — is that in the options bag at the end of the arguments; the function gets one of its own in its place.
 * **Abort** — before the call: nothing is run. Later: rejects at once with the reason; a late result is disposed, if it
 * can be, and a late failure that is no echo goes to the observer. A call without a signal is left alone.
 *
 * @throws {TypeError} When what is to be made cancellable is no function or no method.
 *
 * @example
 * ```ts
 * import { cancellable } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * class Archive {
 *   @cancellable
 *   search(_text: string, _options: { signal?: AbortSignal } = {}): Promise<string[]> {
 *     return new Promise(() => {}); // never answers, and knows nothing of signals
 *   }
 * }
 * const controller = new AbortController();
 * const found = new Archive().search("uno", { signal: controller.signal });
 * controller.abort("enough");
 * assert.deepEqual(await found.catch((reason) => reason), "enough");
 * ```
 */
export function cancellable<F extends AsyncMethod>(fn: F, context?: ClassMethodDecoratorContext): F;
/**
 * The same with one more signal for all calls, such as that of an object's life: whichever is aborted first.
 *
 * @example
 * ```ts
 * import { cancellable } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * class Feed implements Disposable {
 *   readonly closing = new AbortController();
 *
 *   @cancellable({ signal: (self: Feed) => self.closing.signal })
 *   next(): Promise<string> {
 *     return new Promise(() => {});
 *   }
 *
 *   [Symbol.dispose](): void {
 *     this.closing.abort("closed");
 *   }
 * }
 * const feed = new Feed();
 * const next = feed.next();
 * feed[Symbol.dispose]();
 * assert.deepEqual(await next.catch((reason) => reason), "closed");
 * ```
 */
export function cancellable(options?: CancellableOptions): Decorator;
export function cancellable(
  first?: AsyncMethod | CancellableOptions,
  context?: ClassMethodDecoratorContext,
): AsyncMethod | Decorator {
  if (typeof first === "function" || context !== undefined) {
    return cancellableBy(undefined)(first as AsyncMethod, context);
  }
  checkOptions("create cancellable", first);
  const signal = first?.signal;
  if (typeof signal !== "function") checkSignal("create cancellable", signal);
  return cancellableBy(signal);
}

function cancellableBy(signal: CancellableOptions["signal"]): Decorator {
  return (fn, context) => {
    const unlimited = timeoutHandler(Infinity, { operation: nameOf(fn) });
    return transform<CallContext, typeof fn>(fn, context, async (work, options, self) => {
      if (options?.signal?.aborted) return await unlimited.run(work, options);
      const own = typeof signal === "function" ? signal(self) : signal;
      if (own === undefined) return await unlimited.run(work, options);
      const linked = linkSignals(options?.signal, own);
      try {
        return await unlimited.run(work, { signal: linked.signal });
      } finally {
        linked[Symbol.dispose]();
      }
    });
  };
}
