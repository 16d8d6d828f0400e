/** The pause that a failure asks for by itself. */

/** In milliseconds, 0 or more; `undefined` when it asks for none, or can't be looked at. */
export function pushbackOf(failure: unknown): number | undefined {
  if (typeof failure !== "object" || failure === null) return undefined;
  try {
    return properMs((failure as { retryAfterMs?: unknown }).retryAfterMs);
  } catch {
    return undefined; // Its getters throw: a failure all the same.
  }
}

/** `value` if it is a length of time. */
export function properMs(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? value : undefined;
}
