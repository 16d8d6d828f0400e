import { checkSignal } from "../kernel/checks.ts";
import { ignore } from "../kernel/deferred.ts";
import { type AbortTarget, subscribe, type Subscription } from "../kernel/signals.ts";

class Abandoner<T> implements AbortTarget {
  resolve: ((value: T) => void) | undefined;
  reject: ((reason: unknown) => void) | undefined;
  subscription: Subscription | undefined;

  aborted(reason: unknown): void {
    this.settle()?.reject(reason);
  }

  describe(): string {
    return "work without a signal";
  }

  /** Waits for the work. Here, where its reactions see nothing but this: they live as long as the work. */
  follow(work: PromiseLike<T>): void {
    // Not Promise.race: its reaction on a long-lived promise would keep the caller's promise for as long.
    Promise.resolve(work).then(
      (value) => this.settle()?.resolve(value),
      (error) => this.settle()?.reject(error),
    );
  }

  /** The two ends, once; work that ends later finds none, and keeps nothing of the caller alive until then. */
  settle(): { resolve: (value: T) => void; reject: (reason: unknown) => void } | undefined {
    const { resolve, reject } = this;
    if (resolve === undefined || reject === undefined) return undefined;
    this.resolve = this.reject = undefined;
    this.subscription?.cancel();
    this.subscription = undefined;
    return { resolve, reject };
  }
}

/**
 * Waits for work that does not know about signals, until a signal gives up the wait.
 *
 * **Abort** — rejects at once; the work itself goes on, unseen, and its later failure is not an unhandled rejection.
 * Prefer work that takes the signal; where something must be given back, a result that comes too late is lost here.
 *
 * @param work A promise (or thenable).
 * @param signal Gives up the wait.
 * @returns What the work gives.
 * @throws What the work throws.
 * @throws The reason of `signal`, unchanged.
 *
 * @example
 * ```ts
 * import { abortable } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * const controller = new AbortController();
 * assert.deepEqual(await abortable(Promise.resolve(7), controller.signal), 7);
 * ```
 */
export function abortable<T>(work: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal === undefined) {
      throw new TypeError("Cannot make abortable as signal must be an AbortSignal: received undefined");
    }
    checkSignal("make abortable", signal);
    if (signal.aborted) {
      // Work that is under way may fail unseen; a thenable may be work that waiting would only start.
      if (work instanceof Promise) work.then(undefined, ignore);
      return reject(signal.reason);
    }
    const waiter = new Abandoner<T>();
    waiter.follow(work);
    waiter.resolve = resolve;
    waiter.reject = reject;
    waiter.subscription = subscribe(signal, waiter);
  });
}
