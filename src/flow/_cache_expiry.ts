/** Until when the entries of a cache hold, and the timer by which those that nobody asks for go. */
import { clock } from "../kernel/clock.ts";
import { grown } from "./_cache_slots.ts";

/** How many entries go in one turn of the event loop at most. */
const BATCH = 10_000;

/**
 * Deadlines by slot, in milliseconds on the clock.
 *
 * Expiry is looked at when an entry is read. Besides, one timer, set to the earliest deadline, finds what is over by
 * going through all of them: a millisecond for a million, and with so many it is given time between two rounds. A
 * wheel of buckets would find them at once, and take eight bytes an entry more.
 */
export class Expiry {
  /** Until when an entry is fresh; empty as long as no entry expires. */
  freshUntil: Float64Array = new Float64Array(0);
  /** Until when it could be if it were read often enough; only with an idle limit. */
  #writtenUntil: Float64Array = new Float64Array(0);
  /** How long it took to load; only for early refreshes. */
  #loadMs: Float32Array = new Float32Array(0);
  /** Whether any entry may expire: from the first that may on. */
  #active = false;
  readonly #idleMs: number;
  /** For how long an entry is of use after it was fresh. */
  readonly #graceMs: number;
  readonly #timesLoads: boolean;
  readonly #due: () => void;
  #capacity = 0;
  #timer: Disposable | undefined;
  #timerMs = Infinity;

  constructor(options: { idleMs: number; graceMs: number; timesLoads: boolean; due: () => void }) {
    this.#idleMs = options.idleMs;
    this.#graceMs = options.graceMs;
    this.#timesLoads = options.timesLoads;
    this.#due = options.due;
  }

  grow(capacity: number): void {
    this.#capacity = capacity;
    if (!this.#active) return;
    this.freshUntil = grown(this.freshUntil, capacity, Infinity);
    if (this.#idleMs !== Infinity) this.#writtenUntil = grown(this.#writtenUntil, capacity, Infinity);
    if (this.#timesLoads) this.#loadMs = grown(this.#loadMs, capacity);
  }

  /** An entry was written; it holds for `ttlMs`. */
  written(slot: number, nowMs: number, ttlMs: number, loadMs: number): void {
    if (!this.#active) {
      this.#active = true;
      this.grow(this.#capacity);
    }
    let until = nowMs + ttlMs;
    if (this.#idleMs !== Infinity) {
      this.#writtenUntil[slot] = until;
      until = Math.min(until, nowMs + this.#idleMs);
    }
    if (this.#timesLoads) this.#loadMs[slot] = loadMs;
    this.freshUntil[slot] = until;
    this.#arm(until + this.#graceMs);
  }

  /** An entry was read. */
  used(slot: number, nowMs: number): void {
    if (this.#idleMs === Infinity) return;
    this.freshUntil[slot] = Math.min(this.#writtenUntil[slot]!, nowMs + this.#idleMs);
  }

  /** An entry was taken out. */
  removed(slot: number): void {
    if (this.#active) this.freshUntil[slot] = Infinity;
  }

  /**
   * Whether an entry should be loaded anew before it expires: by chance, the more likely the longer its load takes and
   * the closer its end (XFetch; Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention",
   * VLDB '15).
   */
  isEarly(slot: number, nowMs: number, beta: number): boolean {
    const loadMs = this.#loadMs[slot]!;
    return loadMs > 0 && nowMs - loadMs * beta * Math.log(clock().random()) >= this.freshUntil[slot]!;
  }

  /** The entries among the slots below `top` that are of no use any more, some of them; sets the timer for the rest. */
  collect(top: number): number[] {
    const reached = Math.max(clock().now(), this.#timerMs);
    const over: number[] = [];
    let earliest = Infinity;
    for (let slot = 1; slot < top; slot++) {
      const until = this.freshUntil[slot]!;
      // The very sum that the timer was set to: a difference could be rounded to the other side of it.
      if (until + this.#graceMs <= reached) over.push(slot);
      else if (until < earliest) earliest = until;
      if (over.length === BATCH) break;
    }
    this.#timer = undefined;
    this.#timerMs = Infinity;
    if (over.length === BATCH) this.#arm(reached + 1);
    else this.#arm(Math.max(earliest + this.#graceMs, reached + Math.floor(top / BATCH)));
    return over;
  }

  /** Drops the timer: nothing is left that could expire. */
  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerMs = Infinity;
  }

  #arm(atMs: number): void {
    if (atMs >= this.#timerMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#timerMs = atMs;
    this.#timer = clock().schedule(atMs, this.#due, { ref: false });
  }
}
