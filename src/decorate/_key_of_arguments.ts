/** Telling calls apart by their arguments. */
import { show } from "../kernel/checks.ts";
import { isSignal } from "../flow/policy.ts";

/**
 * A string that is the same for the same arguments only; a `signal` at the end and what is left out don't count.
 *
 * @param name The function's.
 */
export function keyOfArguments(name: string | undefined, args: readonly unknown[]): string {
  let { length } = args;
  if (isSignalOnly(args[length - 1])) length--;
  while (length > 0 && args[length - 1] === undefined) length--;
  let key = "";
  for (let i = 0; i < length; i++) key += `${textOf(name, args[i], i)},`;
  return key;
}

function textOf(name: string | undefined, value: unknown, index: number): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    default:
      if (value === null) return "null";
      throw new TypeError(
        `Cannot make a key of the arguments${name === undefined ? "" : ` of ${JSON.stringify(name)}`} ` +
          `as args[${index}] must be primitive, or key be given: received ${show(value)}`,
      );
  }
}

function isSignalOnly(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false;
  if (!Reflect.ownKeys(value).every((key) => key === "signal")) return false;
  const { signal } = value as { signal?: unknown };
  return signal === undefined || isSignal(signal);
}
