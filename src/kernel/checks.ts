/**
 * Argument checks with one message shape: `Cannot <do what> as <what> must be <rule>: received <value>`.
 *
 * The wrong kind of value is a `TypeError`, the right kind with a wrong value a `RangeError`.
 */
import type { WaitOptions } from "./types.ts";

/** The text of a value for a message: short, quoted when it is text, never throwing. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > 60 ? value.slice(0, 57) + "..." : value);
  }
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  try {
    if (Array.isArray(value)) return `an array of ${value.length}`;
    const { name } = value.constructor ?? {};
    if (typeof name === "string" && name !== "Object" && name !== "") return `an instance of ${name}`;
  } catch {
    // A proxy that can't be looked at.
  }
  return "an object";
}

/** The text of a failure for a message: its own, if it is an error that has one; never throwing. */
export function showError(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.message);
  } catch {
    // It can't be looked at.
  }
  return show(error);
}

/** What a waiter asked for, before what it waits behind: nothing where that is the usual one. */
export function askedFor(weight: number): string {
  return weight === 1 ? "" : `${weight} asked for, `;
}

/** `lock "orders"`, or just `lock` when it has no name. */
export function subject(kind: string, name: string | undefined): string {
  return name === undefined ? kind : `${kind} ${JSON.stringify(name)}`;
}

function complain(
  Class: new (message: string) => Error,
  doing: string,
  what: string,
  rule: string,
  value: unknown,
): never {
  throw new Class(`Cannot ${doing} as ${what} must be ${rule}: received ${show(value)}`);
}

/** Throws unless `value` is a function. */
export function checkFunction(doing: string, what: string, value: unknown): void {
  if (typeof value !== "function") complain(TypeError, doing, what, "a function", value);
}

/** Throws unless `value` is absent or an object. */
export function checkObject(doing: string, what: string, value: unknown): void {
  if (value !== undefined && (typeof value !== "object" || value === null)) {
    complain(TypeError, doing, what, "an object", value);
  }
}

/**
 * Throws unless `value` is an object whose own properties are meant. Of a Map, a list, a promise or a signal, which would
 * pass for one, they are none.
 */
export function checkRecord(doing: string, what: string, value: unknown): void {
  const isRecord = / (Object|Module)\]$/.test(Object.prototype.toString.call(value)) &&
    !(Symbol.iterator in (value as object));
  if (!isRecord) complain(TypeError, doing, what, "an object", value);
}

/**
 * Throws unless `value` is absent or may be options. A signal, a promise or a list is what other libraries take in
 * their place: read as options, it would be taken for none.
 */
export function checkOptions(doing: string, value: unknown, what = "options"): void {
  if (value === undefined) return;
  checkObject(doing, what, value);
  const { then, aborted } = value as { then?: unknown; aborted?: unknown };
  if (typeof then === "function" || typeof aborted === "boolean" || Array.isArray(value)) {
    complain(TypeError, doing, what, "an object of options", value);
  }
}

/** Throws if something follows options that stand alone, for a policy: work belongs before them, and would be dropped. */
export function checkNothingAfter(doing: string, value: unknown): void {
  if (value === undefined) return;
  throw new TypeError(
    `Cannot ${doing} as fn must come before the options: received ${show(value)} after them`,
  );
}

/** Throws unless `value` is absent or a string. */
export function checkName(doing: string, value: unknown, what = "name"): void {
  if (value !== undefined && typeof value !== "string") complain(TypeError, doing, what, "a string", value);
}

/** Throws unless `value` is absent or a boolean. */
export function checkBoolean(doing: string, what: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") complain(TypeError, doing, what, "a boolean", value);
}

/** Throws unless `value` is a whole number from `min` to `max`. */
export function checkInteger(
  doing: string,
  what: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  const rule = max === Number.MAX_SAFE_INTEGER ? `an integer >= ${min}` : `an integer from ${min} to ${max}`;
  if (typeof value !== "number") complain(TypeError, doing, what, rule, value);
  if (!Number.isInteger(value) || value < min || value > max) complain(RangeError, doing, what, rule, value);
}

/** Like {@linkcode checkInteger}, with `Infinity` allowed. */
export function checkCount(doing: string, what: string, value: unknown, min: number): void {
  if (value !== Infinity) checkInteger(doing, what, value, min);
}

/** Throws unless `value` is a finite number, of `min` or more. */
export function checkFinite(doing: string, what: string, value: unknown, min = -Infinity): void {
  const rule = min === -Infinity ? "a finite number" : `a finite number >= ${min}`;
  if (typeof value !== "number") complain(TypeError, doing, what, rule, value);
  if (!Number.isFinite(value) || value < min) complain(RangeError, doing, what, rule, value);
}

/** Throws unless `value` is a number of milliseconds: zero or more, `Infinity` allowed, never NaN. */
export function checkDurationMs(doing: string, what: string, value: unknown): void {
  if (typeof value !== "number") complain(TypeError, doing, what, "a number of milliseconds", value);
  if (!(value >= 0)) complain(RangeError, doing, what, "a number of milliseconds >= 0", value);
}

/** Throws unless `value` is one of a closed set of words. */
export function checkChoice(doing: string, what: string, value: unknown, choices: readonly string[]): void {
  const rule = `one of ${choices.map((choice) => JSON.stringify(choice)).join(", ")}`;
  if (typeof value !== "string") complain(TypeError, doing, what, rule, value);
  if (!choices.includes(value)) complain(RangeError, doing, what, rule, value);
}

/** Throws unless `value` is absent or an `AbortSignal` (of any realm). */
export function checkSignal(doing: string, value: unknown): void {
  if (value === undefined) return;
  const signal = value as Partial<AbortSignal> | null;
  if (
    typeof signal !== "object" || signal === null || typeof signal.aborted !== "boolean" ||
    typeof signal.addEventListener !== "function" || typeof signal.removeEventListener !== "function"
  ) complain(TypeError, doing, "signal", "an AbortSignal", value);
}

/** Throws unless `value` is absent or proper {@linkcode WaitOptions}. */
export function checkWaitOptions(doing: string, value: WaitOptions | undefined): void {
  if (value === undefined) return;
  checkOptions(doing, value);
  checkSignal(doing, value.signal);
  if (value.timeoutMs !== undefined) checkDurationMs(doing, "timeoutMs", value.timeoutMs);
}
