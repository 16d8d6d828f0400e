/** What a rate limiter says when somebody can't be served, or not in time. */
import { show } from "../kernel/checks.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { RateLimitError } from "./rate_limit_error.ts";

/** How things are for somebody who can't be served now. */
export interface Outlook {
  /** What is tried, as it stands after "Cannot": `acquire from rate limiter "mail"`. */
  readonly doing: string;
  readonly key: string | undefined;
  /** In how many milliseconds it could be. */
  readonly waitMs: number;
  /** How many wait for the same. */
  readonly waiting: number;
}

/** The error for a call that would have to wait too long; `within` says what is too late, as ` within 100 ms`. */
export function rateLimitError(outlook: Outlook, weight: number, within: string): RateLimitError {
  const { key, waitMs, waiting } = outlook;
  const others = waiting === 0 ? "" : `, ${waiting} waiting`;
  return new RateLimitError(`Cannot ${text(outlook)}${within}: ${next(waitMs)}${others}`, {
    retryAfterMs: waitMs,
    weight,
    key,
  });
}

/** The error for a call with a new key when there may be no more. */
export function keysError(outlook: Outlook, weight: number, within: string, keys: number): RateLimitError {
  const { key, waitMs } = outlook;
  return new RateLimitError(`Cannot ${text(outlook)}${within}: all ${keys} keys there may be are in use`, {
    retryAfterMs: waitMs,
    weight,
    key,
  });
}

/** The error of a wait that has reached its limit. */
export function limitError(outlook: Outlook, operation: string, limitMs: number): TimeoutError {
  return new TimeoutError(
    `Cannot ${text(outlook)} within ${limitMs} ms: ${next(outlook.waitMs)}, ${outlook.waiting} waiting`,
    { operation, limitMs },
  );
}

function text({ doing, key }: Outlook): string {
  return key === undefined ? doing : `${doing} for key ${show(key)}`;
}

/** To the microsecond, rounded up but for what floating point sums are off by. */
function next(waitMs: number): string {
  return waitMs === Infinity
    ? "it is paused"
    : `next free in ${Math.ceil(waitMs * 1_000 - 0.001) / 1_000} ms`;
}
