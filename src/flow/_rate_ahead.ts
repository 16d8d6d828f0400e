/** Looking ahead: when those who wait, and somebody who comes now, are going to be served, as things are. */
import type { Waiting } from "../kernel/wait_queue.ts";
import type { Bucket, RateAlgorithm } from "./_rate_algorithm.ts";
import { type Ahead, isPromised, type RateLine, type RateRequest } from "./_rate_line.ts";

/** What floating point sums may be off by, in milliseconds. */
const SLACK_MS = 1e-6;

/** A gate, as far as it is looked at from here. */
export interface Gate {
  readonly algorithm: RateAlgorithm;
  readonly own: Bucket<RateLine>;
  readonly parent: Gate | undefined;
  /** From when on a bucket is not paused. */
  openFrom(bucket: Bucket<RateLine>, nowMs: number): number;
  /** Serves the head of a line as long as it can be. */
  serve(line: RateLine, nowMs: number): void;
}

/** How it will be when some of a line have been served. */
export type Outlook = Omit<Ahead, "dueMs" | "last">;

/** Whether a moment is past the latest, by more than floating point sums are off by. */
export function isLate(atMs: number, latestMs: number): boolean {
  return atMs > latestMs + SLACK_MS;
}

/**
 * When so much could be had by somebody who asks now, as things are: exactly, or, where there is a gate above, not
 * before that.
 */
export function foresee(gate: Gate, bucket: Bucket<RateLine>, weight: number, nowMs: number): number {
  const { line } = bucket;
  if (line !== undefined) gate.serve(line, nowMs);
  const fromMs = gate.openFrom(bucket, nowMs);
  if (fromMs === Infinity) return Infinity;
  const { algorithm, parent } = gate;
  let atMs: number;
  if (line === undefined || line.queue.size === 0) atMs = algorithm.fitsAt(bucket, weight, fromMs);
  else if (algorithm.linear && line.reserved === 0) {
    atMs = algorithm.fitsAt(bucket, line.weighing + weight, fromMs);
  } else {
    const ahead = lookAhead(gate, line, fromMs);
    atMs = algorithm.fitsAt(ahead.bucket, weight, Math.max(ahead.atMs, ahead.openMs));
  }
  if (parent === undefined) return atMs;
  // Who stands before us here, and not yet there, will stand before us there.
  const before = line === undefined ? 0 : line.weighing - (line.place === undefined ? 0 : line.weight);
  return Math.max(atMs, foresee(parent, parent.own, before + weight, nowMs));
}

/**
 * How it will be when the whole line has been served: kept until something else than a newcomer changes that, as many
 * may come one after the other.
 */
function lookAhead({ algorithm }: Gate, line: RateLine, fromMs: number): Ahead {
  // Who is held up above is served later than was foreseen.
  if (line.ahead !== undefined && line.ahead.dueMs < fromMs) line.ahead = undefined;
  const ahead = line.ahead ??= { ...beginning(algorithm, line, fromMs), dueMs: Infinity, last: undefined };
  let waiter = ahead.last === undefined ? line.queue.oldest : ahead.last.next;
  for (; waiter !== undefined; waiter = waiter.next) {
    const atMs = servedAt(algorithm, ahead, waiter.data);
    if (ahead.last === undefined) ahead.dueMs = atMs;
    step(algorithm, ahead, waiter.data, atMs);
    ahead.last = waiter;
  }
  return ahead;
}

/** Those in a line who can't be served in time any more, and when they could be; all others can. */
export function lateIn(
  gate: Gate,
  line: RateLine,
  nowMs: number,
): { readonly waiter: Waiting<RateRequest>; readonly atMs: number }[] {
  const { algorithm } = gate;
  const ahead = beginning(algorithm, line, gate.openFrom(line.bucket, nowMs));
  const late: { waiter: Waiting<RateRequest>; atMs: number }[] = [];
  for (let waiter = line.queue.oldest; waiter !== undefined; waiter = waiter.next) {
    const atMs = servedAt(algorithm, ahead, waiter.data);
    if (isLate(atMs, waiter.data.latestMs)) late.push({ waiter, atMs });
    else step(algorithm, ahead, waiter.data, atMs);
  }
  return late;
}

/** How it is before anybody in a line is served. */
export function beginning(algorithm: RateAlgorithm, line: RateLine, openMs: number): Outlook {
  return { bucket: algorithm.copy(line.bucket), atMs: -Infinity, openMs };
}

/** When the next in a line is served: a reservation at its moment, whatever comes, and all others when they fit. */
export function servedAt(
  algorithm: RateAlgorithm,
  { bucket, atMs, openMs }: Outlook,
  data: RateRequest,
): number {
  if (isPromised(data)) return Math.max(data.notBeforeMs, atMs);
  const fromMs = Math.max(atMs, openMs);
  return fromMs === Infinity ? Infinity : algorithm.fitsAt(bucket, data.weight, fromMs);
}

/** The next in a line is served then. */
export function step(algorithm: RateAlgorithm, ahead: Outlook, { weight }: RateRequest, atMs: number): void {
  ahead.atMs = atMs;
  // After an endless pause it makes no difference.
  if (atMs < Infinity) algorithm.take(ahead.bucket, weight, atMs);
}
