/** Every call remembered for an interval: exact over any stretch of that length, at the price of a list. */
import { type Linked, LinkedList } from "../kernel/linked_list.ts";
import { Bucket, type RateAlgorithm, type RateRule, type Receipt } from "./_rate_algorithm.ts";

interface Entry extends Linked<Entry> {
  readonly atMs: number;
  weight: number;
}

/** Entries in the order of their times, and the sum of their weights. What is given back must leave no gap to walk over. */
interface Log {
  readonly entries: LinkedList<Entry>;
  used: number;
  /** The latest entry, unless it must stay by itself: calls of one moment share it. */
  shared: Entry | undefined;
}

function newLog(): Log {
  return { entries: new LinkedList(), used: 0, shared: undefined };
}

function push(log: Log, weight: number, atMs: number): Entry {
  const entry: Entry = { atMs, weight, prev: undefined, next: undefined };
  log.entries.add(entry);
  log.used += weight;
  return entry;
}

function remove(log: Log, entry: Entry): void {
  log.entries.remove(entry);
  log.used -= entry.weight;
  entry.weight = 0;
}

/** What is taken counts for one interval, to the moment. */
export class SlidingLog implements RateAlgorithm {
  readonly linear = false;
  most: number;
  readonly #intervalMs: number;

  constructor(rule: RateRule) {
    this.most = rule.limit;
    this.#intervalMs = rule.intervalMs;
  }

  fitsAt(bucket: Bucket, weight: number, fromMs: number): number {
    const log = bucket.more as Log | undefined;
    if (log === undefined) return fromMs;
    let tooMuch = log.used + weight - this.most;
    if (tooMuch <= 0) return fromMs;
    for (let entry = log.entries.first; entry !== undefined; entry = entry.next) {
      tooMuch -= entry.weight;
      if (tooMuch <= 0) return Math.max(fromMs, entry.atMs + this.#intervalMs);
    }
    return fromMs;
  }

  tryTake(bucket: Bucket, weight: number, nowMs: number): boolean {
    const log = bucket.more as Log | undefined;
    if (log !== undefined && log.used + weight > this.most) {
      // Whether it fits is asked more often than when it would, which only a look at the entries can tell.
      this.#forget(log, nowMs);
      if (log.used + weight > this.most) return false;
    }
    this.take(bucket, weight, nowMs);
    return true;
  }

  take(bucket: Bucket, weight: number, atMs: number): void {
    const log = bucket.more as Log | undefined;
    if (log?.shared === undefined || log.shared.atMs !== atMs) return void this.#add(bucket, weight, atMs);
    log.used += weight;
    log.shared.weight += weight;
  }

  takeForNow(bucket: Bucket, weight: number, atMs: number): Receipt {
    // An entry of its own, which no other call is added to.
    const entry = this.#add(bucket, weight, atMs);
    const log = bucket.more as Log;
    log.shared = undefined;
    let open = true;
    return {
      cancel: () => {
        if (open && entry.weight > 0) remove(log, entry);
        open = false;
      },
      keep: () => void (open = false),
    };
  }

  room(bucket: Bucket, nowMs: number): number {
    const log = bucket.more as Log | undefined;
    if (log === undefined) return this.most;
    this.#forget(log, nowMs);
    return Math.max(0, this.most - log.used);
  }

  idleAt(bucket: Bucket): number {
    return bucket.mark + this.#intervalMs;
  }

  soonestIdle(nowMs: number): number {
    return nowMs + this.#intervalMs;
  }

  copy(bucket: Bucket): Bucket {
    const copy = new Bucket(bucket.key);
    copy.mark = bucket.mark;
    const log = bucket.more as Log | undefined;
    if (log === undefined) return copy;
    const same = newLog();
    for (let entry = log.entries.first; entry !== undefined; entry = entry.next) {
      push(same, entry.weight, entry.atMs);
    }
    copy.more = same;
    return copy;
  }

  change(rule: RateRule): void {
    this.most = rule.limit;
  }

  #add(bucket: Bucket, weight: number, atMs: number): Entry {
    const log = (bucket.more ??= newLog()) as Log;
    this.#forget(log, atMs);
    bucket.mark = atMs;
    return log.shared = push(log, weight, atMs);
  }

  #forget(log: Log, nowMs: number): void {
    const { entries } = log;
    while (entries.first !== undefined && entries.first.atMs + this.#intervalMs <= nowMs) {
      remove(log, entries.first);
    }
  }
}
