/** How long a server asks its callers to wait, as it says in the header fields of a response. */
import { wallNow } from "../kernel/clock.ts";
import type { RateLimitHeaders, RateLimitResponse } from "./rate_limiter_options.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH = MONTHS.join("|");
const TIME = "(?<h>\\d\\d):(?<m>\\d\\d):(?<s>\\d\\d)";

/** The three forms of a date that HTTP has known (RFC 9110, 5.6.7). Not `Date.parse`, to which "-5" is a date as well. */
const DATES = [
  `[A-Z][a-z]{2}, (?<day>\\d\\d) (?<month>${MONTH}) (?<year>\\d{4}) ${TIME} GMT`,
  `[A-Z][a-z]+day, (?<day>\\d\\d)-(?<month>${MONTH})-(?<year>\\d\\d) ${TIME} GMT`,
  `[A-Z][a-z]{2} (?<month>${MONTH}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})`,
].map((form) => new RegExp(`^${form}$`));

const DAY_MS = 86_400_000;
const FIFTY_YEARS_MS = 50 * 365.2425 * DAY_MS;

/** Milliseconds since 1970 of an HTTP date, or `undefined` when it is none. */
function parseHttpDate(text: string, nowMs: number): number | undefined {
  for (const form of DATES) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const [day, hour, minute, second] = [parts.day, parts.h, parts.m, parts.s].map(Number) as number[];
    const month = MONTHS.indexOf(parts.month!);
    let year = Number(parts.year);
    if (parts.year!.length === 2) {
      // Of two digits: the latest such year that is at most fifty years ahead.
      year += 1_900;
      while (daysUntil(year + 100, month) * DAY_MS <= nowMs + FIFTY_YEARS_MS) year += 100;
    }
    const days = daysUntil(year, month);
    const monthDays = daysUntil(month === 11 ? year + 1 : year, (month + 1) % 12) - days;
    // A minute may have a leap second.
    if (day! < 1 || day! > monthDays || hour! > 23 || minute! > 59 || second! > 60) return undefined;
    return (days + day! - 1) * DAY_MS + ((hour! * 60 + minute!) * 60 + second!) * 1_000;
  }
  return undefined;
}

/** Days from 1970 to the first of a month, which counts from 0, in the Gregorian calendar. */
function daysUntil(year: number, month: number): number {
  // In years that begin with March, so that a leap day is the last of them.
  const [from, months] = month < 2 ? [year - 1, month + 10] : [year, month - 2];
  const leapDays = Math.floor(from / 4) - Math.floor(from / 100) + Math.floor(from / 400);
  return 365 * from + leapDays + Math.floor((153 * months + 2) / 5) - 719_468;
}

/**
 * Reads the value of a `Retry-After` header field (RFC 9110, 10.2.3): whole seconds, or an HTTP date.
 *
 * @param value The value, as `headers.get("retry-after")` gives it.
 * @param options `nowMs` is what a date is counted from, in milliseconds since 1970; the wall clock by default.
 * @returns Milliseconds from now, 0 for a date that has passed; `undefined` when there is nothing, or something else.
 *
 * @example
 * ```ts
 * import { parseRetryAfter } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(parseRetryAfter("120"), 120_000);
 * const nowMs = Date.UTC(2026, 9, 21, 7, 27, 0);
 * assert.deepEqual(parseRetryAfter("Wed, 21 Oct 2026 07:28:00 GMT", { nowMs }), 60_000);
 * assert.deepEqual(parseRetryAfter("-5"), undefined);
 * ```
 */
export function parseRetryAfter(
  value: string | null | undefined,
  options: { nowMs?: number | undefined } = {},
): number | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, Number.MAX_SAFE_INTEGER);
  const nowMs = options.nowMs ?? wallNow();
  const atMs = parseHttpDate(text, nowMs);
  return atMs === undefined ? undefined : Math.max(0, atMs - nowMs);
}

/**
 * How long the server asks to wait before the next call, by any of the header fields in use.
 *
 * `Retry-After` comes first; a date in it is counted from the response's own `Date`, so that it does not matter whether
 * the clocks of both sides agree. Without it, `RateLimit` (the IETF draft: `"default";r=0;t=30`, and the older
 * `remaining=0, reset=30`), then `RateLimit-Remaining` with `RateLimit-Reset`, then the same with `X-` in front, whose
 * reset is in seconds, from now or since 1970. These ask for a pause only when nothing remains.
 *
 * @returns Milliseconds from now; `undefined` when no field asks for a pause.
 *
 * @example
 * ```ts
 * import { retryAfterOf } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const headers = new Headers({ "RateLimit": '"burst";r=12;t=1, "daily";r=0;t=3600' });
 * assert.deepEqual(retryAfterOf({ headers }), 3_600_000);
 * ```
 */
export function retryAfterOf(response: RateLimitResponse): number | undefined {
  const fieldOf = reader(response.headers);
  const field = fieldOf("retry-after");
  if (field !== null) {
    const sentMs = parseHttpDate(fieldOf("date")?.trim() ?? "", wallNow());
    const asked = parseRetryAfter(field, { nowMs: sentMs });
    if (asked !== undefined) return asked;
  }
  return parseRateLimit(fieldOf("ratelimit")) ??
    resetOf(fieldOf("ratelimit-remaining"), fieldOf("ratelimit-reset")) ??
    resetOf(fieldOf("x-ratelimit-remaining"), fieldOf("x-ratelimit-reset"), true);
}

/** Reads header fields, whether they are `Headers` or a plain object, as clients for Node have it. */
function reader(headers: RateLimitHeaders): (name: string) => string | null {
  const { get } = headers;
  if (typeof get === "function") return (name) => text(get.call(headers, name));
  return (name) => {
    const own = Object.keys(headers).find((key) => key.toLowerCase() === name);
    return own === undefined ? null : text((headers as Record<string, unknown>)[own]);
  };
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : null;
}

function resetOf(remaining: string | null, reset: string | null, absolute = false): number | undefined {
  if (remaining?.trim() !== "0") return undefined;
  const text = reset?.trim() ?? "";
  if (!/^\d+$/.test(text)) return undefined;
  // Nobody asks for a pause of thirty years: so large a number is a moment.
  const seconds = Number(text);
  if (absolute && seconds >= 1e9) return Math.max(0, seconds * 1_000 - wallNow());
  return Math.min(seconds * 1_000, Number.MAX_SAFE_INTEGER);
}

/** Text in quotes, with what may be escaped in it. */
const STRING = '"(?:[^"\\\\]|\\\\.)*"';

/** A member of the field's list: a string or token, with parameters; and the comma behind it, or the end. */
const MEMBER = new RegExp(
  `[ \\t]*(?:${STRING}|[A-Za-z*][^\\s",;=()]*)` +
    `(?<parameters>(?:[ \\t]*;[ \\t]*[a-z*][\\w.*-]*(?:=(?:${STRING}|[^\\s",;]+))?)*)[ \\t]*(?<comma>,|$)`,
  "y",
);

/** The longest pause that a `RateLimit` field asks for: among its policies of which nothing remains. */
function parseRateLimit(field: string | null): number | undefined {
  if (typeof field !== "string") return undefined;
  if (/^\s*(limit|remaining|reset)\s*=/.test(field)) {
    return resetOf(numberIn(field, ",", "remaining"), numberIn(field, ",", "reset"));
  }
  let longest: number | undefined;
  MEMBER.lastIndex = 0;
  for (;;) {
    const { parameters, comma } = MEMBER.exec(field)?.groups ?? {};
    // A field with anything malformed in it says nothing at all (RFC 9651, 4.2).
    if (parameters === undefined) return undefined;
    const plain = parameters.replaceAll(new RegExp(STRING, "g"), "");
    const reset = resetOf(numberIn(plain, ";", "r"), numberIn(plain, ";", "t"));
    if (reset !== undefined) longest = Math.max(longest ?? 0, reset);
    if (comma === "") return longest;
  }
}

/** The number in `name=123`, among others of its kind. */
function numberIn(text: string, separator: string, name: string): string | null {
  const pair = new RegExp(`(?:^|${separator})\\s*${name}\\s*=\\s*(\\d+)\\s*(?:${separator}|$)`);
  return pair.exec(text)?.[1] ?? null;
}
