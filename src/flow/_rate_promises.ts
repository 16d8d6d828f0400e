/**
 * Reservations, when something has made those slower who wait before them: a pause, a penalty, another rule.
 *
 * A reservation is used at its moment by somebody who isn't told of any of this, so it has to be counted then, and who
 * would get in too close before that has to come after it. Each goes before as few as it takes: with all of them at the
 * front, a short pause would hold everybody up until the last one.
 */
import type { Waiting } from "../kernel/wait_queue.ts";
import { beginning, type Gate, isLate, type Outlook, servedAt, step } from "./_rate_ahead.ts";
import type { RateAlgorithm } from "./_rate_algorithm.ts";
import { isPromised, type RateLine, type RateRequest } from "./_rate_line.ts";

type Waiter = Waiting<RateRequest>;

/** Moves those reservations of a line forward that would be too much at their moments behind those before them. */
export function keepPromises(gate: Gate, line: RateLine, nowMs: number): void {
  const { algorithm } = gate;
  const { queue } = line;
  const openMs = gate.openFrom(line.bucket, nowMs);
  let ahead = beginning(algorithm, line, openMs);
  // Who comes first of those that have not been served in `ahead`, and how many others than reservations have been.
  let next = queue.oldest;
  let served = 0;
  let left = line.reserved;
  for (let one = next; left > 0 && one !== undefined;) {
    const following: Waiter | undefined = one.next;
    if (isPromised(one.data)) {
      left--;
      const inTheWay = firstInTheWay(algorithm, ahead, next!, one);
      for (const end = inTheWay ?? one; next !== end; next = next!.next) {
        serve(algorithm, ahead, next!);
        served++;
      }
      if (inTheWay === undefined) next = following;
      else queue.advance(one, inTheWay);
      if (served > 0 && !fits(algorithm, ahead, one.data)) {
        // Not even right behind another reservation, which is in time: who waits before that comes after both.
        next = toFront(line, one);
        ahead = beginning(algorithm, line, openMs);
        served = 0;
        for (let other = queue.oldest!; other !== one; other = other.next!) serve(algorithm, ahead, other);
      }
      serve(algorithm, ahead, one);
    }
    one = following;
  }
}

/** Of those from `next` on, the first behind whom the reservation `one` would be too much; they stand before it. */
function firstInTheWay(
  algorithm: RateAlgorithm,
  ahead: Outlook,
  next: Waiter,
  one: Waiter,
): Waiter | undefined {
  if (next === one) return undefined;
  const probe = { ...ahead, bucket: algorithm.copy(ahead.bucket) };
  for (let other = next; other !== one; other = other.next!) {
    serve(algorithm, probe, other);
    if (!fits(algorithm, probe, one.data)) return other;
  }
  return undefined;
}

/** Serves one, unless it is going to be refused as it comes too late. */
function serve(algorithm: RateAlgorithm, ahead: Outlook, { data }: Waiter): void {
  const atMs = servedAt(algorithm, ahead, data);
  if (isPromised(data) || !isLate(atMs, data.latestMs)) step(algorithm, ahead, data, atMs);
}

/** Whether a reservation can be had at its moment. */
function fits(algorithm: RateAlgorithm, { bucket, atMs, openMs }: Outlook, data: RateRequest): boolean {
  const fromMs = Math.max(atMs, openMs);
  return data.weight <= algorithm.most && fromMs < Infinity &&
    !isLate(algorithm.fitsAt(bucket, data.weight, fromMs), data.notBeforeMs);
}

/** Moves the reservations up to `last` before all others. @returns Who comes behind them. */
function toFront({ queue }: RateLine, last: Waiter): Waiter {
  let behind = queue.oldest!;
  while (isPromised(behind.data)) behind = behind.next!;
  for (let one = behind; one !== last;) {
    const following: Waiter = one.next!;
    if (isPromised(one.data)) queue.advance(one, behind);
    one = following;
  }
  queue.advance(last, behind);
  return behind;
}
