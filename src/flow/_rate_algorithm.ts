/** How a rate limiter counts: what the algorithms have in common, and what they keep for each key. */
import type { HeapItem } from "../kernel/heap.ts";

/** What is allowed. */
export interface RateRule {
  /** How much in each interval. */
  readonly limit: number;
  readonly intervalMs: number;
  /** How much at once, where that is not the limit. */
  readonly burst: number;
}

/** What is kept for one key, as small as can be: there may be a hundred thousand of them; `L` is who waits. */
export class Bucket<L = unknown> implements HeapItem {
  heapIndex = -1;
  readonly key: string | undefined;
  /** The algorithm's one number. A double from the start: engines change the layout of an object only once then. */
  mark = -Infinity;
  /** What the algorithm needs beyond that. */
  more: unknown = undefined;
  /** Before this moment it is not as good as new; kept by `RateBuckets`, and never too late. */
  dueMs = -Infinity;
  /** Who waits, and until when the key is paused; only there while somebody does or it is. */
  line: L | undefined = undefined;

  constructor(key: string | undefined) {
    this.key = key;
  }
}

/** What was taken and may still be given back. */
export interface Receipt {
  /** Gives it back as of now, as if it had never been taken; for the second time, it does nothing. */
  cancel(nowMs: number): void;
  /** It was used. */
  keep(): void;
}

/** Counts what is taken from buckets; knows nothing of those who wait. Times are milliseconds on the clock. */
export interface RateAlgorithm {
  /** How much can be had at once at most. */
  readonly most: number;
  /** Whether waiting for one after the other takes as long as waiting for all of them together. */
  readonly linear: boolean;
  /** When `weight` can be had, from `fromMs` on; `fromMs` itself if it can then. */
  fitsAt(bucket: Bucket, weight: number, fromMs: number): number;
  /** Takes `weight` if it can be had now. */
  tryTake(bucket: Bucket, weight: number, nowMs: number): boolean;
  /** Takes `weight`, whether it fits or not. */
  take(bucket: Bucket, weight: number, atMs: number): void;
  /** The same, for somebody who may give it back. */
  takeForNow(bucket: Bucket, weight: number, atMs: number): Receipt;
  /** How much could be had now, parts included. */
  room(bucket: Bucket, nowMs: number): number;
  /** From when on the bucket is as good as a new one. */
  idleAt(bucket: Bucket): number;
  /** The earliest that a bucket from which something is taken now can be that. */
  soonestIdle(nowMs: number): number;
  /** The same counts in another bucket, to look ahead with. */
  copy(bucket: Bucket): Bucket;
  /** Goes by another limit and burst from now on; what was taken stays taken. */
  change(rule: RateRule, nowMs: number): void;
}
