/**
 * The generic cell rate algorithm (ITU-T I.371, virtual scheduling): one number a key, the moment at which all that was
 * taken will have been made up for. It is the token bucket seen from the other side (that moment less now is what the
 * bucket lacks), so there is no second implementation under that name.
 *
 * Time is counted in parts of a millisecond of which each unit of weight takes `intervalMs` and `limit` go by in a
 * millisecond: for whole numbers, all sums are exact, however long they grow; and a new limit is but another speed.
 */
import { Bucket, type RateAlgorithm, type RateRule, type Receipt } from "./_rate_algorithm.ts";

/** A millionth of a millisecond: what a sum of floating point numbers may be off by. */
const SLACK_MS = 1e-6;

/** Something that was taken while somebody might still give something back. */
interface Entry {
  readonly at: number;
  /** 0 when it was given back. */
  weight: number;
  /** What the mark was then. */
  after: number;
  next: Entry | undefined;
  /** Whether it may still be given back. */
  open: boolean;
}

/**
 * What was taken since the first thing that may still be given back: to give it back is to count again without it.
 * Just to subtract it would be wrong when the bucket was full in between, and let more through than the rule allows.
 */
interface Book {
  /** The mark before the first entry. */
  base: number;
  first: Entry | undefined;
  last: Entry | undefined;
  open: number;
  /** Whether something was given back since the mark was counted: many at once are counted once. */
  stale: boolean;
}

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
    if (bucket.more !== undefined) this.#settle(bucket);
    const from = this.#from + (fromMs - this.#fromMs) * this.#speed;
    const mark = bucket.mark > from ? bucket.mark : from;
    const short = mark + weight * this.#unit - this.#span - from;
    return short <= this.#slack ? fromMs : fromMs + short / this.#speed;
  }

  tryTake(bucket: Bucket, weight: number, nowMs: number): boolean {
    if (bucket.more !== undefined) this.#settle(bucket);
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
    bucket.more ??= {
      base: bucket.mark,
      first: undefined,
      last: undefined,
      open: 0,
      stale: false,
    } satisfies Book;
    const book = bucket.more as Book;
    book.open++;
    const entry = this.#note(bucket, weight, at)!;
    entry.open = true;
    bucket.mark = entry.after;
    return {
      cancel: () => {
        if (!entry.open) return;
        entry.weight = 0;
        book.stale = true;
        this.#close(bucket, entry);
      },
      keep: () => this.#close(bucket, entry),
    };
  }

  room(bucket: Bucket, nowMs: number): number {
    if (bucket.more !== undefined) this.#settle(bucket);
    const now = this.#time(nowMs);
    return Math.max(0, (this.#span - Math.max(0, bucket.mark - now)) / this.#unit);
  }

  idleAt(bucket: Bucket): number {
    if (bucket.more !== undefined) this.#settle(bucket);
    return this.#fromMs + (bucket.mark - this.#from) / this.#speed;
  }

  soonestIdle(nowMs: number): number {
    return nowMs + this.#unit / this.#speed;
  }

  copy(bucket: Bucket): Bucket {
    if (bucket.more !== undefined) this.#settle(bucket);
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
    // What was given back counts for nothing, not even for moving the mark on.
    return weight === 0 ? mark : (mark > at ? mark : at) + weight * this.#unit;
  }

  /** Writes into the book, and takes out what time has made up for. Without open entries, the book is closed. */
  #note(bucket: Bucket, weight: number, at: number): Entry | undefined {
    this.#settle(bucket);
    const book = bucket.more as Book;
    while (book.first !== undefined && book.first.after <= at) {
      book.base = book.first.after;
      if (book.first.open) book.open--;
      book.first.open = false;
      book.first = book.first.next;
    }
    if (book.open === 0) {
      bucket.more = undefined;
      return undefined;
    }
    const after = this.#after(bucket.mark, weight, at);
    const entry: Entry = { at, weight, after, next: undefined, open: false };
    if (book.first === undefined) book.first = entry;
    else book.last!.next = entry;
    book.last = entry;
    return entry;
  }

  /** Counts again, if something was given back since. */
  #settle(bucket: Bucket): void {
    const book = bucket.more as Book;
    if (!book.stale) return;
    book.stale = false;
    let mark = book.base;
    for (let one = book.first; one !== undefined; one = one.next) {
      one.after = mark = this.#after(mark, one.weight, one.at);
    }
    bucket.mark = mark;
  }

  #close(bucket: Bucket, entry: Entry): void {
    if (!entry.open) return;
    entry.open = false;
    const book = bucket.more as Book;
    if (--book.open > 0) return;
    this.#settle(bucket);
    bucket.more = undefined;
  }
}
