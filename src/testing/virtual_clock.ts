/** Time and chance of a test: time that moves only when told to, chance that a seed repeats. */
import type { Clock } from "../kernel/clock.ts";
import { Heap, type HeapItem } from "../kernel/heap.ts";
import { chance } from "./_chance.ts";
import type { Exploration } from "./_exploration.ts";

/** A timer that has not fired yet. */
export interface VirtualTimer {
  /** When it is due, in milliseconds of virtual time; `Infinity` for one that is there only to be cancelled. */
  readonly atMs: number;
  /** Whether somebody awaits it; a background timer would not keep a process alive. */
  readonly ref: boolean;
}

/** `sleep(Infinity)` and the like are timers so far off that time is never moved there. */
const NEVER = Number.MAX_SAFE_INTEGER;

/** What the wall clock shows when virtual time starts: the first moment of 2026, UTC. */
const WALL_MS = 1_767_225_600_000;

class Entry implements HeapItem, Disposable {
  heapIndex = -1;
  readonly at: number;
  /** Decides among those due together; drawn where orders are explored. */
  readonly tie: number;
  readonly order: number;
  readonly run: () => void;
  readonly ref: boolean;
  readonly #heap: Heap<Entry>;

  constructor(at: number, tie: number, order: number, run: () => void, ref: boolean, heap: Heap<Entry>) {
    this.at = at;
    this.tie = tie;
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
  if (a.at !== b.at) return a.at < b.at;
  return a.tie < b.tie || (a.tie === b.tie && a.order < b.order);
}

/**
 * A {@linkcode Clock} whose time starts at 0 and is moved by hand; timers due together run in the order made, or, where
 * orders are explored, in any.
 */
export class VirtualClock implements Clock {
  /** What the chance was seeded with. */
  readonly seed: number;
  /** As the exploration of orders has it; missing without one. */
  readonly putOff: Clock["putOff"];
  readonly random: () => number;
  readonly #timers: Heap<Entry> = new Heap(before);
  readonly #scheduled: () => void;
  readonly #exploration: Exploration | undefined;
  #now = 0;
  #made = 0;

  /** Creates the clock; `scheduled` is called whenever a timer was made. */
  constructor(seed: number, scheduled: () => void = () => {}, exploration?: Exploration) {
    this.random = chance("create virtual clock", seed);
    this.seed = seed;
    this.#scheduled = scheduled;
    this.#exploration = exploration;
    this.putOff = exploration && ((what, line, run) => exploration.putOff(what, line, run));
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return WALL_MS + this.#now;
  }

  schedule(atMs: number, run: () => void, { ref }: { ref: boolean }): Disposable {
    // What is overdue is due now: it must not overtake what has been due now for longer.
    const at = Math.max(atMs, this.#now);
    const entry = new Entry(at, this.#exploration?.tie() ?? 0, this.#made++, run, ref, this.#timers);
    this.#timers.push(entry);
    this.#scheduled();
    return entry;
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
   * that what the first ones woke runs in between; where orders are explored, others may have to wait as well.
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
      if (this.#exploration?.pauses()) break;
    }
    return ran;
  }
}
