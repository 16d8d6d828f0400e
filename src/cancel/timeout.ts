import {
  checkBoolean,
  checkDurationMs,
  checkFunction,
  checkName,
  checkNothingAfter,
  checkOptions,
  checkSignal,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf, noteDeadline } from "../kernel/deadlines.ts";
import { isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { MisuseError, TimeoutError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import {
  type AbortTarget,
  Canceller,
  stillRunning,
  subscribe,
  type Subscription,
} from "../kernel/signals.ts";

/** A stretch of work with a time limit. */
export interface TimeoutScope extends Disposable {
  /** Aborted with the scope's `TimeoutError` at its limit, or with the outer signal's reason. */
  readonly signal: AbortSignal;
  /** What is left, in milliseconds, of this limit or an earlier outer one. */
  readonly remainingMs: number;
  /**
   * Starts the limit anew, in an idle timeout.
   *
   * @throws {MisuseError} When the scope was not made with `idle: true`.
   */
  touch(): void;
}

/** Options of {@linkcode timeout}. */
export type TimeoutOptions = {
  /** Ends the scope early, with its reason. */
  signal?: AbortSignal | undefined;
  /** What is being done, for the message and the error's `operation`. */
  operation?: string | undefined;
  /** The whole message of the error, instead of one made from `operation`. */
  message?: string | undefined;
  /** Whether the limit is on inactivity: each `touch()` starts it anew. */
  idle?: boolean | undefined;
};

class Scope implements TimeoutScope, AbortTarget {
  readonly #limitMs: number;
  readonly #options: TimeoutOptions | undefined;
  readonly #ref: boolean;
  #ended: ((reason: unknown) => void) | undefined;
  #controller: Canceller | undefined;
  #subscription: Subscription | undefined;
  #timer: Disposable | undefined;
  #atMs = Infinity;
  /** How it ended, once it did: nothing aborts a scope that was disposed before. */
  #end: { readonly aborted: boolean; readonly reason?: unknown } | undefined;

  constructor(limitMs: number, options: TimeoutOptions | undefined, ended?: (reason: unknown) => void) {
    this.#limitMs = limitMs;
    this.#options = options;
    this.#ended = ended;
    this.#ref = ended !== undefined;
    const outer = options?.signal;
    if (outer?.aborted) this.aborted(outer.reason);
    else if (limitMs === 0) this.aborted(this.#timeoutError());
    else {
      if (outer !== undefined) this.#subscription = subscribe(outer, this);
      // Listening may have ended it, if the signal is none of the platform's.
      if (limitMs !== Infinity && this.#end === undefined) {
        this.#atMs = clock().now() + limitMs;
        this.#arm();
      }
    }
  }

  get signal(): AbortSignal {
    let controller = this.#controller;
    if (controller === undefined) {
      // Made when first asked for: an AbortController costs more than all the rest on some runtimes.
      this.#controller = controller = new Canceller();
      noteDeadline(controller.signal, () => this.#ownDeadline(), this.#options?.signal);
      if (this.#end?.aborted) controller.abort(this.#end.reason);
    }
    return controller.signal;
  }

  get remainingMs(): number {
    const atMs = Math.min(this.#ownDeadline(), deadlineOf(this.#options?.signal));
    return atMs === Infinity ? Infinity : Math.max(0, atMs - clock().now());
  }

  touch(): void {
    if (!this.#options?.idle) {
      throw new MisuseError(
        `Cannot touch ${this.#operation} as its timeout must have idle: true: it has a fixed limit`,
      );
    }
    // The timer is left where it is and looks again when it fires: touching is then next to free.
    if (this.#end === undefined && this.#limitMs !== Infinity) this.#atMs = clock().now() + this.#limitMs;
  }

  aborted(reason: unknown): void {
    const ended = this.#ended;
    if (!this.#finish({ aborted: true, reason })) return;
    this.#controller?.abort(reason);
    ended?.(reason);
  }

  describe(): string {
    return this.#limitMs === Infinity ? this.#operation : `${this.#operation} within ${this.#limitMs} ms`;
  }

  passesOn(): readonly AbortSignal[] {
    return this.#controller === undefined ? [] : [this.#controller.signal];
  }

  [Symbol.dispose](): void {
    this.#finish({ aborted: false });
  }

  /** The reason it was aborted with, boxed; `undefined` while running or when disposed. */
  get abortedWith(): { readonly reason?: unknown } | undefined {
    return this.#end?.aborted ? this.#end : undefined;
  }

  #finish(end: { readonly aborted: boolean; readonly reason?: unknown }): boolean {
    if (this.#end !== undefined) return false;
    this.#end = end;
    // The deadline's note in a WeakMap holds this scope until the next full collection, on V8, and by `ended` the
    // promise of `timeout(ms, fn)` with its value: all results would outlive the young generation.
    this.#ended = undefined;
    this.#timer?.[Symbol.dispose]();
    this.#subscription?.cancel();
    return true;
  }

  #arm(): void {
    const armedFor = this.#atMs;
    this.#timer = clock().schedule(armedFor, () => {
      if (this.#atMs > armedFor) this.#arm();
      else this.aborted(this.#timeoutError());
    }, { ref: this.#ref });
  }

  #ownDeadline(): number {
    if (this.#end?.aborted === false) return Infinity; // Disposed: this limit has gone.
    return this.#end?.aborted && this.#limitMs === 0 ? 0 : this.#atMs;
  }

  get #operation(): string {
    return this.#options?.operation ?? "operation";
  }

  #timeoutError(): TimeoutError {
    const [operation, limitMs] = [this.#operation, this.#limitMs];
    const message = this.#options?.message ??
      `Cannot finish ${operation} within ${limitMs} ms: ${this.#why()}`;
    return new TimeoutError(message, { operation, limitMs });
  }

  #why(): string {
    if (this.#limitMs === 0) return "no time was left to start";
    return this.#options?.idle ? "nothing happened for so long" : stillRunning(this.#controller?.signal);
  }
}

/**
 * Limits how long work may take, as a scope with a signal.
 *
 * **Limit** — at its end the signal is aborted with a `TimeoutError` that names operation and limit; this scope's own
 * error can be told from an outer one by identity. 0 is over at once, `Infinity` never. **Nesting** — an outer, earlier
 * limit wins and is the outer's error. **Dispose** — stops the clock; it does not abort. The scope itself does not
 * keep the process alive.
 *
 * @param ms The limit, in milliseconds.
 * @throws {RangeError} When `ms` is negative or NaN.
 *
 * @example
 * ```ts
 * import { sleep, timeout, TimeoutError } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * using limit = timeout(5, { operation: "nap" });
 * await assert.rejects(sleep(60_000, { signal: limit.signal }), TimeoutError);
 * ```
 */
export function timeout(ms: number, options?: TimeoutOptions): TimeoutScope;
/**
 * Runs `fn` with a time limit, and answers at the limit even when the work ignores its signal.
 *
 * **Limit** — at its end the work's signal is aborted and the call rejects with the `TimeoutError`; work that ends
 * later anyway has its result disposed, if it can be, and its failure told to the observer. 0 does not start `fn`.
 * **Nesting** — see the scope form. **Abort** — the call rejects at once with the reason of `signal`.
 *
 * @param ms The limit, in milliseconds.
 * @param fn The work; gets the scope.
 * @returns What `fn` returns.
 * @throws {TimeoutError} At the limit.
 * @throws The reason of `signal`, unchanged; what `fn` throws.
 *
 * @example
 * ```ts
 * import { timeout } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * const answer = await timeout(1_000, async ({ signal }) => {
 *   signal.throwIfAborted();
 *   return await Promise.resolve(42);
 * });
 * assert.deepEqual(answer, 42);
 * ```
 */
export function timeout<T>(
  ms: number,
  fn: (scope: TimeoutScope) => T | PromiseLike<T>,
  options?: TimeoutOptions,
): Promise<T>;
export function timeout<T>(
  ms: number,
  fnOrOptions?: ((scope: TimeoutScope) => T | PromiseLike<T>) | TimeoutOptions,
  options?: TimeoutOptions,
): TimeoutScope | Promise<T> {
  if (typeof fnOrOptions === "function") return limited(ms, fnOrOptions, options);
  check(ms, fnOrOptions);
  checkNothingAfter("create timeout", options);
  return new Scope(ms, fnOrOptions);
}

function check(ms: number, options: TimeoutOptions | undefined): void {
  checkDurationMs("create timeout", "ms", ms);
  if (options === undefined) return;
  checkOptions("create timeout", options);
  checkSignal("create timeout", options.signal);
  checkName("create timeout", options.operation, "operation");
  checkName("create timeout", options.message, "message");
  checkBoolean("create timeout", "idle", options.idle);
}

/** How a call under a limit ended: with a value, by its own failure, at its limit, or by the outer signal. */
export type LimitedEnd = "succeeded" | "failed" | "timedOut" | "aborted";

/** The form of `timeout` that runs; tells `watch` how the call ended, before its caller learns of it. @internal */
export function limited<T>(
  ms: number,
  fn: (scope: TimeoutScope) => T | PromiseLike<T>,
  options: TimeoutOptions | undefined,
  watch?: (how: LimitedEnd) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    check(ms, options);
    let scope: Scope;
    try {
      scope = new Scope(
        ms,
        options,
        watch === undefined ? reject : (reason) => {
          watch(options?.signal?.aborted && reason === options.signal.reason ? "aborted" : "timedOut");
          reject(reason);
        },
      );
    } catch (error) {
      watch?.("aborted"); // The signal is none of the platform's, and can't be listened to.
      return reject(error);
    }
    if (scope.abortedWith !== undefined) return;
    const ended = (value: T): void => {
      if (scope.abortedWith !== undefined) return discard(value, "timeout");
      scope[Symbol.dispose]();
      watch?.("succeeded");
      resolve(value);
    };
    const failed = (error: unknown): void => {
      const over = scope.abortedWith;
      if (over === undefined) {
        scope[Symbol.dispose]();
        watch?.("failed");
        reject(error);
      } else if (!isEcho(error, over)) {
        emit("late.failure", "timeout", options?.operation, { error });
      }
    };
    try {
      const result = fn(scope);
      // Through a promise of ours, as a thenable may call back twice.
      if (isThenable(result)) Promise.resolve(result).then(ended, failed);
      else ended(result);
    } catch (error) {
      failed(error);
    }
  });
}

/**
 * Runs clean-up work that the cancellation around it must not cut short: with a signal of its own, linked to nothing,
 * but always with a time limit.
 *
 * Nobody but the caller waits for it: inside a task group, `group.shield` is the one that the group waits for too.
 *
 * @param ms The limit, in milliseconds; finite.
 * @param fn The work; gets the fresh signal.
 * @returns What `fn` returns.
 * @throws {TimeoutError} At the limit, whether or not the work heeds its signal.
 *
 * @example
 * ```ts
 * import { shield } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * const saved: string[] = [];
 * await shield(1_000, async ({ signal }) => {
 *   signal.throwIfAborted();
 *   saved.push(await Promise.resolve("state"));
 * });
 * assert.deepEqual(saved, ["state"]);
 * ```
 */
export async function shield<T>(
  ms: number,
  fn: (context: { signal: AbortSignal }) => PromiseLike<T>,
): Promise<T> {
  checkFunction("shield", "fn", fn);
  checkDurationMs("shield", "ms", ms);
  if (ms === Infinity) throw new RangeError("Cannot shield as ms must be finite: received Infinity");
  return await timeout(ms, fn, { operation: "shielded work" });
}
