/** How a call gets through a rate limiter: at once, in its turn, or not in time; and how work is run behind it. */
import { checkDurationMs, checkFunction } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";
import { emit } from "../kernel/observer.ts";
import { foresee, isLate } from "./_rate_ahead.ts";
import type { Bucket } from "./_rate_algorithm.ts";
import { type Asked, askedToWait } from "./_rate_asked.ts";
import type { Booking } from "./_rate_booking.ts";
import type { RateGate } from "./_rate_gate.ts";
import { PLAIN, type RateLine, request } from "./_rate_line.ts";
import { overdue, runWithin, Work } from "./_work.ts";
import type { CallContext } from "./policy.ts";
import { QueueFullError } from "./queue_full_error.ts";
import type { RateLimiterRunOptions } from "./rate_limiter_options.ts";

/** The bucket of a key, or of calls without one; throws when there may be no more. */
export function bucketOf(
  gate: RateGate,
  key: string | undefined,
  weight: number,
  nowMs: number,
  within = "",
): Bucket<RateLine> {
  if (key === undefined) return gate.own;
  const bucket = gate.buckets.get(key, nowMs);
  if (bucket === undefined) throw gate.refuse(undefined, key, weight, gate.buckets.roomAtMs, within);
  return bucket;
}

/**
 * Takes what is asked for, or waits for it; without `asked`, a unit of weight for a call that says nothing.
 *
 * @param forNow Whether it may be given back by the booking that it then gives.
 */
export function enter(
  gate: RateGate,
  asked: Asked | undefined,
  forNow: boolean,
): Promise<Booking | undefined> {
  if (asked?.signal?.aborted) {
    gate.totals.aborted++;
    return Promise.reject(asked.signal.reason);
  }
  if (gate.refusal !== undefined) return Promise.reject(gate.refusal.reason);
  const nowMs = clock().now();
  if (asked === undefined) {
    if (gate.tryTake(gate.own, 1, nowMs)) return Promise.resolve(undefined);
    checkQueue(gate, undefined, 1);
    return gate.wait(gate.own, PLAIN, nowMs);
  }
  const { weight, key, maxWaitMs, signal, timeoutMs } = asked;
  const bucket = bucketOf(gate, key, weight, nowMs, within(maxWaitMs));
  if (forNow) {
    const booking = gate.tryBook(bucket, weight, nowMs);
    if (booking !== undefined) return Promise.resolve(booking);
  } else if (gate.tryTake(bucket, weight, nowMs)) return Promise.resolve(undefined);
  const deadlineMs = deadlineOf(signal);
  const latestMs = Math.min(nowMs + maxWaitMs, deadlineMs);
  if (latestMs < Infinity) {
    const atMs = foresee(gate, bucket, weight, nowMs);
    if (isLate(atMs, latestMs)) {
      const before = deadlineMs < nowMs + maxWaitMs
        ? ` before the deadline in ${Math.round(Math.max(0, deadlineMs - nowMs) * 1_000) / 1_000} ms`
        : within(maxWaitMs);
      throw gate.refuse(bucket, key, weight, atMs, before);
    }
  }
  checkQueue(gate, key, weight);
  // With a gate above, others can get in before us there: what was foreseen may turn out to be too early.
  const limitMs = gate.parent === undefined ? timeoutMs : Math.min(timeoutMs ?? Infinity, maxWaitMs);
  return gate.wait(bucket, request(weight, { latestMs, forNow }), nowMs, { signal, timeoutMs: limitMs });
}

/** Runs work when its turn comes, within the bounds of its options. */
export async function runInTurn<T>(
  gate: RateGate,
  fn: (context: CallContext) => T | PromiseLike<T>,
  options: RateLimiterRunOptions,
): Promise<T> {
  const doing = `run in ${gate.describe()}`;
  checkFunction(doing, "fn", fn);
  const asked = askedToWait(gate, options);
  const { queueTimeoutMs = Infinity } = options;
  checkDurationMs(doing, "queueTimeoutMs", queueTimeoutMs);
  const { signal, timeoutMs = Infinity } = asked;
  const expired = (why: string) => overdue(`finish work in ${gate.describe()}`, timeoutMs, why);
  const atMs = timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs;
  const booking = await enter(gate, { ...asked, timeoutMs: Math.min(timeoutMs, queueTimeoutMs) }, true);
  const bounds = {
    structure: "rate limiter",
    name: gate.name,
    signal,
    atMs,
    expired,
    gaveUp: (why: "aborted" | "timedOut", running: boolean) => {
      gate.totals[why]++;
      if (!running) booking!.cancel();
    },
  };
  return await runWithin(bounds, new Work(bounds), (work) => {
    booking!.keep();
    return fn(work);
  });
}

/** ` within 100 ms`, as it stands in a message. */
export function within(maxWaitMs: number): string {
  return maxWaitMs === Infinity ? "" : ` within ${maxWaitMs} ms`;
}

function checkQueue(gate: RateGate, key: string | undefined, weight: number): void {
  const { waiting, maxQueue } = gate;
  if (waiting < maxQueue) return;
  gate.totals.refused++;
  emit("refuse", "rate limiter", gate.name, { ...(key === undefined ? {} : { key }), weight, waiting });
  throw new QueueFullError(
    `Cannot acquire from ${gate.describe()}: its queue is full, ${waiting} of ${maxQueue} waiting`,
    { maxQueue, inUse: 0 },
  );
}
