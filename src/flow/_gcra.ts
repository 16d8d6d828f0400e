/**
 * The generic cell rate algorithm (ITU-T I.371, virtual scheduling): one number a key, the moment at which all that was
 * taken will have been made up for. It is the token bucket seen from the other side (that moment less now is what the
 * bucket lacks), so there is no second implementation under that name.
 *
 * Time is counted in parts of a millisecond of which each unit of weight takes `intervalMs` and `limit` go by in a
 * millisecond: for whole numbers, all sums are exact, however long they grow; and a new limit is but another speed.
 */
import { Bucket, type RateAlgorithm, type RateRule, type Receipt } from "./_rate_algorithm.ts";
import { RateBook } from "./_rate_book.ts";

/** A millionth of a millisecond: what a sum of floating point numbers may be off by. */
const SLACK_MS = 1e-6;

/** See the file. */
export class Gcra implements RateAlgorithm {
  readonly linear = true;
  most: number;
  readonly #unit: number;
  #speed: number;
  #span: number;
  #slack: number;
  // Where our time stood when the speed changed last.
  #fromMs = 0;
  #from = 0;

  constructor(rule: RateRule) {
    this.#unit = rule.intervalMs;
    this.most = rule.burst;
    this.#speed = rule.limit;
    this.#span = rule.burst * this.#unit;
    this.#slack = Math.min(SLACK_MS * this.#speed, this.#unit / 1_000);
  }

  fitsAt(bucket: Bucket, weight: number, fromMs: number): number {
    const from = this.#from + (fromMs - this.#fromMs) * this.#speed;
    const mark = bucket.mark > from ? bucket.mark : from;
    const short = mark + weight * this.#unit - this.#span - from;
    return short <= this.#slack ? fromMs : fromMs + short / this.#speed;
  }

  tryTake(bucket: Bucket, weight: number, nowMs: number): boolean {
    const now = this.#from + (nowMs - this.#fromMs) * this.#speed;
    const mark = (bucket.mark > now ? bucket.mark : now) + weight * this.#unit;
    if (mark - this.#span - now > this.#slack) return false;
    if (bucket.more !== undefined) this.#note(bucket, weight, now);
    bucket.mark = mark;
    return true;
  }

  take(bucket: Bucket, weight: number, atMs: number): void {
    const at = this.#time(atMs);
    if (bucket.more !== undefined) this.#note(bucket, weight, at);
    bucket.mark = this.#after(bucket.mark, weight, at);
  }

  takeForNow(bucket: Bucket, weight: number, atMs: number): Receipt {
    const at = this.#time(atMs);
    if (this.#bookOf(bucket, at) === undefined) bucket.more = new RateBook(bucket.mark);
    const book = bucket.more as RateBook;
    const entry = book.push(weight * this.#unit, at, true);
    bucket.mark = this.#after(bucket.mark, weight, at);
    return {
      cancel: () => {
        if (!entry.open || bucket.more !== book) return;
        book.cancel(entry);
        bucket.mark = book.mark;
        if (book.open === 0) bucket.more = undefined;
      },
      keep: () => {
        if (!entry.open || bucket.more !== book) return;
        book.keep(entry);
        if (book.open === 0) bucket.more = undefined;
      },
    };
  }

  room(bucket: Bucket, nowMs: number): number {
    const now = this.#time(nowMs);
    return Math.max(0, (this.#span - Math.max(0, bucket.mark - now)) / this.#unit);
  }

  idleAt(bucket: Bucket): number {
    return this.#fromMs + (bucket.mark - this.#from) / this.#speed;
  }

  soonestIdle(nowMs: number): number {
    return nowMs + this.#unit / this.#speed;
  }

  copy(bucket: Bucket): Bucket {
    const copy = new Bucket(bucket.key);
    copy.mark = bucket.mark;
    return copy;
  }

  change(rule: RateRule, nowMs: number): void {
    this.#from = this.#time(nowMs);
    this.#fromMs = nowMs;
    this.most = rule.burst;
    this.#speed = rule.limit;
    this.#span = rule.burst * this.#unit;
    this.#slack = Math.min(SLACK_MS * this.#speed, this.#unit / 1_000);
  }

  #time(ms: number): number {
    return this.#from + (ms - this.#fromMs) * this.#speed;
  }

  #after(mark: number, weight: number, at: number): number {
    return (mark > at ? mark : at) + weight * this.#unit;
  }

  /** Writes into the book, if there still is one. */
  #note(bucket: Bucket, weight: number, at: number): void {
    this.#bookOf(bucket, at)?.push(weight * this.#unit, at, false);
  }

  /** The book, unless nothing in it matters any more. */
  #bookOf(bucket: Bucket, at: number): RateBook | undefined {
    const book = bucket.more as RateBook | undefined;
    if (book === undefined) return undefined;
    // Full again, and what comes later does not depend on what was before. While it is not, what was taken longer ago
    // than it takes to fill it stays taken: somebody may never say, and the book must end somewhere.
    if (bucket.mark > at) {
      book.settle(at - this.#span);
      if (book.open > 0) return book;
    }
    return bucket.more = undefined;
  }
}
