import { checkDurationMs, checkOptions, checkSignal } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type AbortTarget, subscribe, type Subscription } from "../kernel/signals.ts";

class Sleeper implements AbortTarget {
  resolve!: () => void;
  reject!: (reason: unknown) => void;
  timer: Disposable | undefined;
  subscription: Subscription | undefined;

  wake(): void {
    this.subscription?.cancel();
    this.resolve();
  }

  aborted(reason: unknown): void {
    this.timer?.[Symbol.dispose]();
    this.reject(reason);
  }

  describe(): string {
    return "sleep";
  }
}

/**
 * Resolves after `ms` milliseconds.
 *
 * **Abort** — rejects at once and leaves no timer behind. **Length** — any; beyond the 24.8 days after which platform
 * timers fire at once, and `Infinity` sleeps until aborted. The process is kept alive meanwhile.
 *
 * @param ms How long, in milliseconds, 0 or more.
 * @param options `signal` wakes it with its reason.
 * @throws {RangeError} When `ms` is negative or NaN.
 * @throws The reason of `signal`, unchanged.
 *
 * @example
 * ```ts
 * import { sleep } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * await sleep(5);
 * const controller = new AbortController();
 * const nap = sleep(60_000, { signal: controller.signal });
 * controller.abort(new Error("wake up"));
 * await assert.rejects(nap, { message: "wake up" });
 * ```
 */
export function sleep(ms: number, options?: { signal?: AbortSignal | undefined }): Promise<void> {
  return new Promise((resolve, reject) => {
    checkDurationMs("sleep", "ms", ms);
    checkOptions("sleep", options);
    const signal = options?.signal;
    checkSignal("sleep", signal);
    if (signal?.aborted) return reject(signal.reason);
    const sleeper = new Sleeper();
    sleeper.resolve = resolve;
    sleeper.reject = reject;
    if (signal !== undefined) {
      sleeper.subscription = subscribe(signal, sleeper);
      if (signal.aborted) return; // By listening to it, being none of the platform's.
    }
    // Sleeping for ever still holds the process: somebody awaits it.
    const wakeAt = clock().now() + Math.min(ms, Number.MAX_SAFE_INTEGER);
    sleeper.timer = clock().schedule(wakeAt, () => sleeper.wake(), { ref: true });
  });
}
