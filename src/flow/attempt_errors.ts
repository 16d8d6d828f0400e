/** What the other attempts of a call failed with. */

const lists = new WeakMap<object, readonly unknown[]>();

/** Notes what all attempts failed with, of a call that is about to fail with `error`. @internal */
export function noteAttemptErrors(error: unknown, errors: readonly unknown[]): void {
  if ((typeof error === "object" || typeof error === "function") && error !== null) lists.set(error, errors);
}

/**
 * What the attempts of a failed call failed with, in the order of the attempts: of a `retry`, `hedge` or `fallback` that
 * threw `error`, which is one of them, or was thrown by a hook or predicate that was asked about one.
 *
 * The error itself is left as it is; so the list is known only of errors that are objects, and of an object that several
 * calls threw, the list is that of the last.
 *
 * @returns The errors, at most the last 32; empty for any other error.
 *
 * @example
 * ```ts
 * import { attemptErrors, retry } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const errors = [new Error("reset"), new Error("refused")];
 * const call = retry(({ attempt }) => Promise.reject(errors[attempt - 1]), { attempts: 2, baseMs: 1 });
 * const error = await call.catch((error) => error);
 * assert.equal(error, errors[1]);
 * assert.deepEqual(attemptErrors(error), errors);
 * ```
 */
export function attemptErrors(error: unknown): readonly unknown[] {
  return typeof error === "object" && error !== null || typeof error === "function"
    ? lists.get(error) ?? []
    : [];
}
