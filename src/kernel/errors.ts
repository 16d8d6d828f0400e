/** The errors all floors share, and the ways to look into a failure with several parts. */

/** Data of a {@linkcode TimeoutError}. */
export interface TimeoutErrorOptions {
  /** What did not end in time, such as `acquire lock "orders"`. */
  operation: string;
  /** The limit, in milliseconds. */
  limitMs: number;
  /** What is known of why. */
  cause?: unknown | undefined;
}

/** Something did not end within its limit. */
export class TimeoutError extends Error {
  static {
    this.prototype.name = "TimeoutError";
  }
  /** What did not end in time. */
  readonly operation: string;
  /** The limit, in milliseconds. */
  readonly limitMs: number;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: TimeoutErrorOptions) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.operation = options.operation;
    this.limitMs = options.limitMs;
  }
}

/** The library was used in a way that cannot be right, such as giving back what is not held. */
export class MisuseError extends Error {
  static {
    this.prototype.name = "MisuseError";
  }
}

/** The structure was closed: it takes nothing new, and what still waited was sent away. */
export class ClosedError extends Error {
  static {
    this.prototype.name = "ClosedError";
  }
}

/** Several failures of one scope, in the order in which they happened. */
export class TaskGroupError extends AggregateError {
  static {
    this.prototype.name = "TaskGroupError";
  }
}

const ownAborts = new WeakSet<object>();

/**
 * The abort reason that a scope gives to its members when it ends them by itself: an AbortError with the trigger
 * as `cause`.
 *
 * Not the trigger itself: the body and a disposer would then throw one object twice. Branded by identity, not by
 * name, so that {@linkcode leaves} drops ours and keeps anybody else's.
 */
export function ownAbort(message: string, cause?: unknown): DOMException {
  const error = new DOMException(message, "AbortError");
  if (cause !== undefined) {
    Object.defineProperty(error, "cause", { value: cause, configurable: true, writable: true });
  }
  ownAborts.add(error);
  return error;
}

/** Whether `error` was made by {@linkcode ownAbort}. */
export function isOwnAbort(error: unknown): boolean {
  return typeof error === "object" && error !== null && ownAborts.has(error);
}

/**
 * What `inside` finds in a failure; nothing where that can't be looked at, as its getters throw or it is a revoked proxy:
 * whoever waits for what has failed must be answered all the same.
 */
function look<T>(inside: () => T): T | undefined {
  try {
    return inside();
  } catch {
    return undefined;
  }
}

/** The cause of a failure, boxed, if it has one. */
function causeOf(error: object): { readonly cause: unknown } | undefined {
  return look(() => "cause" in error ? { cause: error.cause } : undefined);
}

/** The members of a failure with several parts, or `undefined` when it is a single one. */
function parts(error: unknown): readonly unknown[] | undefined {
  return look(() => membersOf(error));
}

function membersOf(error: unknown): readonly unknown[] | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const shape = error as { name?: unknown; errors?: unknown; error?: unknown; suppressed?: unknown };
  if (error instanceof AggregateError && Array.isArray(shape.errors) && shape.errors.length > 0) {
    return shape.errors;
  }
  // By shape: older runtimes, and compiled `using`, bring a SuppressedError of their own.
  if (
    error instanceof Error && shape.name === "SuppressedError" && "error" in error && "suppressed" in error
  ) {
    return [shape.suppressed, shape.error];
  }
  return undefined;
}

/**
 * The single failures inside `error`, in order and each once: members of `AggregateError` and `SuppressedError` at
 * any depth. A scope's own "I ended you" AbortError is left out; one of anybody else's is kept.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { leaves } from "@uno/async";
 *
 * const [a, b] = [new Error("a"), new Error("b")];
 * assert.deepEqual(leaves(new AggregateError([a, new AggregateError([b, a])])), [a, b]);
 * ```
 */
export function leaves(error: unknown): unknown[] {
  const found = new Set<unknown>();
  const seen = new Set<unknown>();
  const pending = [error];
  while (pending.length > 0) {
    const next = pending.pop();
    const members = parts(next);
    if (members === undefined) {
      if (!isOwnAbort(next)) found.add(next);
    } else if (!seen.has(next)) {
      seen.add(next);
      for (let i = members.length - 1; i >= 0; i--) pending.push(members[i]);
    }
  }
  return [...found];
}

/**
 * The first error of a class inside `error`: itself, a member of it at any depth, or a `cause` of either.
 *
 * @returns The error, or `undefined` when there is none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { findError, TimeoutError } from "@uno/async";
 *
 * const late = new TimeoutError("too late", { operation: "load", limitMs: 5 });
 * const error = new AggregateError([new Error("a"), new Error("b", { cause: late })]);
 * assert.equal(findError(error, TimeoutError), late);
 * assert.equal(findError(error, RangeError), undefined);
 * ```
 */
export function findError<E>(error: unknown, type: abstract new (...args: never[]) => E): E | undefined {
  const seen = new Set<unknown>();
  const pending = [error];
  while (pending.length > 0) {
    const next = pending.pop();
    if (typeof next !== "object" || next === null || seen.has(next)) continue;
    seen.add(next);
    const found = look(() => next instanceof type ? next : undefined);
    if (found !== undefined) return found;
    const behind = causeOf(next);
    if (behind !== undefined) pending.push(behind.cause);
    const members = parts(next);
    if (members !== undefined) { for (let i = members.length - 1; i >= 0; i--) pending.push(members[i]); }
  }
  return undefined;
}

/** An error and the causes behind it. */
export function causes(error: unknown): Set<unknown> {
  const chain = new Set<unknown>();
  for (let at = error; !chain.has(at);) {
    chain.add(at);
    const behind = typeof at === "object" && at !== null ? causeOf(at) : undefined;
    if (behind === undefined) break;
    at = behind.cause;
  }
  return chain;
}
