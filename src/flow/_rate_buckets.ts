/**
 * The buckets of a keyed rate limiter, in bounded memory and without timers.
 *
 * A bucket that is as good as new is the same as none, so leaving it out changes no answer. A heap knows a moment for
 * each bucket before which it is not; at the top, the moment is looked at again, as it moves on when the key is used.
 * A new key pays for two such looks, which is how the heap keeps up without a sweep that would stop the world.
 */
import { Heap } from "../kernel/heap.ts";
import { Bucket, type RateAlgorithm } from "./_rate_algorithm.ts";

const LOOKS = 2;

/** See the file. */
export class RateBuckets<L> {
  readonly #algorithm: RateAlgorithm;
  readonly #max: number;
  readonly #byKey = new Map<string, Bucket<L>>();
  readonly #byTime = new Heap<Bucket<L>>((a, b) => a.dueMs < b.dueMs);

  readonly #isBusy: (bucket: Bucket<L>, nowMs: number) => boolean;

  /** `isBusy` says whether a bucket must stay for another reason than its counts. */
  constructor(algorithm: RateAlgorithm, max: number, isBusy: (bucket: Bucket<L>, nowMs: number) => boolean) {
    this.#algorithm = algorithm;
    this.#max = max;
    this.#isBusy = isBusy;
  }

  get size(): number {
    return this.#byKey.size;
  }

  find(key: string): Bucket<L> | undefined {
    return this.#byKey.get(key);
  }

  /** The bucket of a key, made if need be; `undefined` when there are as many as may be, and none as good as new. */
  get(key: string, nowMs: number): Bucket<L> | undefined {
    return this.#byKey.get(key) ?? this.#add(key, nowMs);
  }

  /** When there may be room for another key. */
  get roomAtMs(): number {
    return this.#byTime.peek()?.dueMs ?? Infinity;
  }

  #add(key: string, nowMs: number): Bucket<L> | undefined {
    for (let look = 0; look < LOOKS || this.size >= this.#max; look++) {
      const first = this.#byTime.peek();
      if (first === undefined || first.dueMs > nowMs) break;
      this.#byTime.pop();
      const idleAt = this.#algorithm.idleAt(first);
      if (idleAt > nowMs) first.dueMs = idleAt;
      else if (this.#isBusy(first, nowMs)) first.dueMs = nowMs + 1;
      else {
        this.#byKey.delete(first.key!);
        continue;
      }
      this.#byTime.push(first);
    }
    if (this.size >= this.#max) return undefined;
    const bucket = new Bucket<L>(key);
    bucket.dueMs = this.#algorithm.soonestIdle(nowMs);
    this.#byKey.set(key, bucket);
    this.#byTime.push(bucket);
    return bucket;
  }
}
