/** Time and chance of a test: time that moves only when told to, chance that a seed repeats. */
import { checkInteger } from "../kernel/checks.ts";
import type { Clock } from "../kernel/clock.ts";
import { Heap, type HeapItem } from "../kernel/heap.ts";

/** A timer that has not fired yet. */
export interface VirtualTimer {
  /** When it is due, in milliseconds of virtual time; `Infinity` for one that is there only to be cancelled. */
  readonly atMs: number;
  /** Whether somebody awaits it; a background timer would not keep a process alive. */
  readonly ref: boolean;
}

/** `sleep(Infinity)` and the like are timers so far off that time is never moved there. */
const NEVER = Number.MAX_SAFE_INTEGER;

class Entry implements HeapItem, Disposable {
  heapIndex = -1;
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  readonly ref: boolean;
  readonly #heap: Heap<Entry>;

  constructor(at: number, order: number, run: () => void, ref: boolean, heap: Heap<Entry>) {
    this.at = at;
    this.order = order;
    this.run = run;
    this.ref = ref;
    this.#heap = heap;
  }

  [Symbol.dispose](): void {
    this.#heap.remove(this);
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A {@linkcode Clock} whose time starts at 0 and is moved by hand; timers due together run in the order made. */
export class VirtualClock implements Clock {
  /** What the chance was seeded with. */
  readonly seed: number;
  readonly #timers: Heap<Entry> = new Heap(before);
  readonly #scheduled: () => void;
  #chance: number;
  #now = 0;
  #made = 0;

  /** Creates the clock; `scheduled` is called whenever a timer was made. */
  constructor(seed: number, scheduled: () => void = () => {}) {
    checkInteger("create virtual clock", "seed", seed, 0, 2 ** 32 - 1);
    this.seed = seed;
    this.#chance = seed;
    this.#scheduled = scheduled;
  }

  now(): number {
    return this.#now;
  }

  schedule(atMs: number, run: () => void, { ref }: { ref: boolean }): Disposable {
    // What is overdue is due now: it must not overtake what has been due now for longer.
    const at = Math.max(atMs, this.#now);
    const entry = new Entry(at, this.#made++, run, ref, this.#timers);
    this.#timers.push(entry);
    this.#scheduled();
    return entry;
  }

  /** The generator known as Mulberry32 (Tommy Ettinger): 32 bits of state are plenty for a test. */
  random(): number {
    this.#chance = (this.#chance + 0x6d2b79f5) | 0;
    let mixed = this.#chance;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** When the next timer is due; `Infinity` when none ever will be. */
  get nextMs(): number {
    const at = this.#timers.peek()?.at ?? NEVER;
    return at >= NEVER ? Infinity : at;
  }

  /** How many timers there are now. */
  get size(): number {
    return this.#timers.size;
  }

  /** How many there have ever been. */
  get made(): number {
    return this.#made;
  }

  /** All timers, those due next first. */
  timers(): VirtualTimer[] {
    return [...this.#timers.values()]
      .sort((a, b) => before(a, b) ? -1 : 1)
      .map(({ at, ref }) => ({ atMs: at >= NEVER ? Infinity : at, ref }));
  }

  /** Moves time forward, not beyond the next timer; runs nothing. */
  moveTo(atMs: number): void {
    this.#now = Math.max(this.#now, Math.min(atMs, this.nextMs));
  }

  /**
   * Runs the timers that are due. Those made meanwhile have to wait for the next call even if they are due too, so
   * that what the first ones woke runs in between.
   *
   * @returns How many ran.
   */
  runDue(): number {
    const made = this.#made;
    let ran = 0;
    for (let next = this.#timers.peek(); next !== undefined; next = this.#timers.peek()) {
      if (next.at > this.#now || next.order >= made) break;
      this.#timers.pop();
      ran++;
      next.run();
    }
    return ran;
  }
}
