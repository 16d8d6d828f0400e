/** Looking ahead: when those who wait, and somebody who comes now, are going to be served, as things are. */
import type { Waiting } from "../kernel/wait_queue.ts";
import type { Bucket, RateAlgorithm } from "./_rate_algorithm.ts";
import type { Ahead, RateLine, RateRequest } from "./_rate_line.ts";

/** What floating point sums may be off by, in milliseconds. */
const SLACK_MS = 1e-6;

/** A gate, as far as it is looked at from here. */
interface Gate {
  readonly algorithm: RateAlgorithm;
  readonly own: Bucket<RateLine>;
  readonly parent: Gate | undefined;
  /** From when on a bucket is not paused. */
  openFrom(bucket: Bucket<RateLine>, nowMs: number): number;
  /** Serves the head of a line as long as it can be. */
  serve(line: RateLine, nowMs: number): void;
}

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
    atMs = algorithm.fitsAt(ahead.bucket, weight, ahead.atMs);
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
  // What lines below ask for can change at any time.
  if (line.below > 0) line.ahead = undefined;
  const ahead = line.ahead ??= { bucket: algorithm.copy(line.bucket), atMs: fromMs, last: undefined };
  let waiter = ahead.last === undefined ? line.queue.oldest : ahead.last.next;
  for (; waiter !== undefined; waiter = waiter.next) {
    const { weight, notBeforeMs } = waiter.data;
    ahead.atMs = Math.max(notBeforeMs, algorithm.fitsAt(ahead.bucket, weight, ahead.atMs));
    algorithm.take(ahead.bucket, weight, ahead.atMs);
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
  const ahead = algorithm.copy(line.bucket);
  let atMs = gate.openFrom(line.bucket, nowMs);
  const late: { waiter: Waiting<RateRequest>; atMs: number }[] = [];
  for (let waiter = line.queue.oldest; waiter !== undefined; waiter = waiter.next) {
    const { weight, notBeforeMs, latestMs } = waiter.data;
    const servedMs = atMs === Infinity
      ? Infinity
      : Math.max(notBeforeMs, algorithm.fitsAt(ahead, weight, atMs));
    if (isLate(servedMs, latestMs)) late.push({ waiter, atMs: servedMs });
    else {
      atMs = servedMs;
      algorithm.take(ahead, weight, atMs);
    }
  }
  return late;
}
