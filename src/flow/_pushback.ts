/** The pause that a failure asks for by itself. */
import { retryAfterOf } from "./retry_after.ts";

/**
 * In milliseconds, 0 or more: by its `retryAfterMs`, or else by its header fields or those of its `response`.
 * `undefined` when it asks for none, or can't be looked at.
 */
export function pushbackOf(failure: unknown): number | undefined {
  if (typeof failure !== "object" || failure === null) return undefined;
  try {
    const { retryAfterMs, headers, response } = failure as {
      retryAfterMs?: unknown;
      headers?: unknown;
      response?: { headers?: unknown } | null;
    };
    const field = fieldsOf(headers) ?? fieldsOf(response?.headers);
    return properMs(retryAfterMs) ?? (field && retryAfterOf({ headers: { get: field } }));
  } catch {
    return undefined; // Its getters throw: a failure all the same.
  }
}

/** `value` if it is a length of time. */
export function properMs(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? value : undefined;
}

/** Reads header fields, whether they are `Headers` or a plain object, as clients for Node have it. */
function fieldsOf(headers: unknown): ((name: string) => string | null) | undefined {
  if (typeof headers !== "object" || headers === null) return undefined;
  const { get } = headers as { get?: unknown };
  if (typeof get === "function") return (name) => text(get.call(headers, name));
  return (name) => {
    const own = Object.keys(headers).find((key) => key.toLowerCase() === name);
    return own === undefined ? null : text((headers as Record<string, unknown>)[own]);
  };
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
}
