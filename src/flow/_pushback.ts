/** The pause that a failure asks for by itself. */
import type { RateLimitHeaders } from "./rate_limiter_options.ts";
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
    const own = properMs(retryAfterMs);
    if (own !== undefined) return own;
    const fields = isObject(headers) ? headers : response?.headers;
    return isObject(fields) ? retryAfterOf({ headers: fields as RateLimitHeaders }) : undefined;
  } catch {
    return undefined; // Its getters throw: a failure all the same.
  }
}

/** `value` if it is a length of time. */
export function properMs(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? value : undefined;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
