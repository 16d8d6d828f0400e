/** What a rate limiter says when somebody can't be served, or not in time. */
import { show } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { TimeoutError } from "../kernel/errors.ts";
import type { RateGate } from "./_rate_gate.ts";
import type { RateLine } from "./_rate_line.ts";
import { RateLimitError } from "./rate_limit_error.ts";

/** What was asked for, and when it could be had. */
export interface Refused {
  readonly key: string | undefined;
  readonly weight: number;
  readonly atMs: number;
  /** What that is too late for, as it stands in the message: ` within 100 ms`. */
  readonly within: string;
  /** How many wait for the same. */
  readonly waiting: number;
  /** Whether it is refused because there may be no more keys. */
  readonly keysFull: boolean;
}

/** The error for a call that would have to wait too long. */
export function rateLimitError(gate: RateGate, refused: Refused): RateLimitError {
  const { key, weight, atMs, within, waiting, keysFull } = refused;
  const retryAfterMs = Math.max(0, atMs - clock().now());
  const why = keysFull
    ? `all ${gate.buckets.size} keys there may be are in use`
    : retryAfterMs === Infinity
    ? "it is paused"
    : `next free in ${text(retryAfterMs)} ms`;
  const what = `${gate.describe()}${key === undefined ? "" : ` for key ${show(key)}`}`;
  return new RateLimitError(
    `Cannot acquire from ${what}${within}: ${why}${waiting === 0 ? "" : `, ${waiting} waiting`}`,
    { retryAfterMs, weight, key },
  );
}

/** The error of a wait that has reached its limit. */
export function limitError(
  gate: RateGate,
  { bucket, queue }: RateLine,
  operation: string,
  limitMs: number,
): TimeoutError {
  const nowMs = clock().now();
  const atMs = gate.fitsAt(bucket, queue.oldest?.data.weight ?? 1, nowMs);
  const next = atMs === Infinity ? "it is paused" : `next free in ${text(Math.max(0, atMs - nowMs))} ms`;
  const who = bucket.key === undefined ? "" : ` for key ${show(bucket.key)}`;
  return new TimeoutError(
    `Cannot ${operation}${who} within ${limitMs} ms: ${next}, ${queue.size} waiting`,
    { operation, limitMs },
  );
}

/** Milliseconds for a message: to the microsecond, rounded up but for what floating point sums are off by. */
function text(ms: number): number {
  return Math.ceil(ms * 1_000 - 0.001) / 1_000;
}
