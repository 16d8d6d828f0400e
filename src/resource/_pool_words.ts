/** What a pool says of itself when it can't serve. */
import { showError } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import type { LinkedList } from "../kernel/linked_list.ts";
import { holderOf } from "./_drain.ts";
import type { Item } from "./_pool_item.ts";
import {
  PoolClosedError,
  type PoolFacts,
  PoolFullError,
  PoolSelfDeadlockError,
  PoolTimeoutError,
} from "./pool_errors.ts";

/** How things stand. */
export interface Standing<T> extends PoolFacts {
  /** `pool "orders"`. */
  readonly what: string;
  readonly leased: LinkedList<Item<T>>;
  /** What creating failed with the last time, if it did. */
  readonly failure: { readonly error: unknown } | undefined;
}

/** `10 of 10 in use, 4 waiting, longest lease 8120 ms by "report/7"`. */
export function inWords<T>({ inUse, max, waiting, leased: { first }, failure }: Standing<T>): string {
  const parts = [`${inUse} of ${max} in use`, `${waiting} waiting`];
  if (first?.sinceMs !== undefined) {
    const by = holderOf(first.hold);
    const heldMs = Math.round(clock().now() - first.sinceMs);
    parts.push(`longest lease ${heldMs} ms${by === undefined ? "" : ` by ${JSON.stringify(by)}`}`);
  }
  if (failure !== undefined) parts.push(`creating fails: ${showError(failure.error)}`);
  return parts.join(", ");
}

export function timeoutError<T>(operation: string, limitMs: number, standing: Standing<T>): PoolTimeoutError {
  const { inUse, max, waiting, failure } = standing;
  return new PoolTimeoutError(`Cannot ${operation} within ${limitMs} ms: ${inWords(standing)}`, {
    operation,
    limitMs,
    inUse,
    max,
    waiting,
    ...(failure === undefined ? {} : { cause: failure.error }),
  });
}

export function fullError<T>(maxWaiters: number, standing: Standing<T>): PoolFullError {
  return new PoolFullError(
    `Cannot lease from ${standing.what}: at most ${maxWaiters} may wait, ${inWords(standing)}`,
    standing,
  );
}

export function closedError(what: string): PoolClosedError {
  return new PoolClosedError(`Cannot lease from ${what}: it is closed`);
}

export function selfDeadlockError<T>({ what, inUse, leased }: Standing<T>): PoolSelfDeadlockError {
  const holders: string[] = [];
  for (let at: Item<T> | undefined = leased.first; at !== undefined; at = at.next) {
    holders.push(holderOf(at.hold) ?? "unknown");
  }
  const names = holders.map((name) => JSON.stringify(name)).join(", ");
  return new PoolSelfDeadlockError(
    `Cannot lease from ${what}: all ${inUse} in use are held by owners that wait for another one (${names})`,
    holders,
  );
}
