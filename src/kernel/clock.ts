/** The only source of time and chance in the library, replaced as a whole by the test world. */
import { Heap, type HeapItem } from "./heap.ts";

/** Monotonic time, timers and chance. */
export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /**
   * Calls `run` once when `now()` has reached `atMs`.
   *
   * `ref` says whether somebody awaits it: such a timer keeps the process alive, another does not. Timers of the same
   * kind that are due together run in the order in which they were made.
   */
  schedule(atMs: number, run: () => void, options: { ref: boolean }): Disposable;
  /** A number from 0 up to 1. */
  random(): number;
  /**
   * Milliseconds since 1970 by the wall clock, which can jump: only for moments that come from outside of the process or
   * outlive it. By `Date` where it is missing.
   */
  wall?(): number;
  /** Calls `run` in the next turn of the event loop, after I/O had its chance; by a timer where it is missing. */
  turn?(run: () => void): void;
  /**
   * Runs something, the start of a task or the end of a wait, now or some turns of the microtask queue later; what has
   * the same `line`, in order. Only there while a test world explores orders.
   */
  readonly putOff?: ((what: "start" | "wait", line: object | undefined, run: () => void) => void) | undefined;
}

/** Longer delays fire at once on every runtime, so they are made of hops. */
const LONGEST_DELAY = 2 ** 31 - 1;

/**
 * How many microtask turns an idle lane keeps its timer armed: a loop that sets and drops one deadline after another
 * then arms one platform timer in all (Deno: 4 µs each), and none is left when the loop is over, as all this happens
 * before the next macrotask.
 */
const LINGER_TURNS = 12;

/** How early platforms fire: 1 ms at most. A timer that fires earlier is somebody's fake one. */
const EARLY_MS = 1;

/** How far foreign fake timers have moved time ahead of a `performance.now` that they left alone. */
let aheadMs = 0;

function now(): number {
  return performance.now() + aheadMs;
}

class Entry implements Disposable, HeapItem {
  heapIndex = -1;
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  readonly #lane: Lane;

  constructor(at: number, order: number, run: () => void, lane: Lane) {
    this.at = at;
    this.order = order;
    this.run = run;
    this.#lane = lane;
  }

  [Symbol.dispose](): void {
    this.#lane.cancel(this);
  }
}

/** All timers of one kind (awaited or not) behind a single platform timer, set to the earliest of them. */
class Lane {
  readonly #ref: boolean;
  readonly #entries = new Heap<Entry>((a, b) => a.at < b.at || (a.at === b.at && a.order < b.order));
  #made = 0;
  #handle: ReturnType<typeof setTimeout> | undefined;
  #armedFor = 0;
  // The functions it was armed with: fake timers that come or go in between must not leave it armed on a dead clock.
  #setter: typeof setTimeout | undefined;
  #clearer: typeof clearTimeout | undefined;
  #lingering = 0;
  #firing = false;

  constructor(ref: boolean) {
    this.#ref = ref;
  }

  add(at: number, run: () => void): Entry {
    const entry = new Entry(at, this.#made++, run, this);
    this.#entries.push(entry);
    const armed = this.#handle !== undefined && this.#armedFor <= at &&
      this.#setter === globalThis.setTimeout;
    if (!armed && !this.#firing) this.#arm();
    return entry;
  }

  cancel(entry: Entry): void {
    if (this.#entries.remove(entry) && this.#entries.size === 0 && this.#lingering === 0) {
      this.#lingering = LINGER_TURNS;
      settled.then(this.#linger);
    }
  }

  readonly #linger = (): void => {
    if (this.#entries.size > 0) this.#lingering = 0;
    else if (--this.#lingering > 0) settled.then(this.#linger);
    else this.#disarm();
  };

  #disarm(): void {
    if (this.#handle !== undefined) this.#clearer!(this.#handle);
    this.#handle = undefined;
  }

  #arm(): void {
    this.#disarm();
    const first = this.#entries.peek();
    if (first === undefined) return;
    const from = now();
    // Up to whole milliseconds, less the trace that a floating point sum leaves: 100 must not become 101.
    const delay = Math.min(Math.max(0, Math.ceil(first.at - from - 0.001)), LONGEST_DELAY);
    this.#armedFor = Math.min(first.at, from + LONGEST_DELAY);
    this.#setter = globalThis.setTimeout;
    this.#clearer = globalThis.clearTimeout;
    this.#handle = this.#setter(this.#fire, delay);
    if (!this.#ref) (this.#handle as { unref?: () => void }).unref?.();
  }

  readonly #fire = (): void => {
    this.#handle = undefined;
    // What the timer was set for has come. Where that is news to `performance.now`, time is moved on for everybody:
    // a timer set from here on must not count from the past.
    const earlyMs = this.#armedFor - now();
    if (earlyMs > EARLY_MS) aheadMs += earlyMs;
    const reached = Math.max(now(), this.#armedFor);
    this.#firing = true;
    try {
      for (
        let first = this.#entries.peek();
        first !== undefined && first.at <= reached;
        first = this.#entries.peek()
      ) {
        this.#entries.pop();
        first.run();
      }
    } finally {
      this.#firing = false;
      this.#arm();
    }
  };
}

const settled = Promise.resolve();
const awaited = new Lane(true);
const background = new Lane(false);

const systemClock: Clock = {
  now,
  schedule: (atMs, run, { ref }) => (ref ? awaited : background).add(atMs, run),
  random: () => Math.random(),
  turn,
};

/** A timer of zero takes a millisecond and more; every server runtime has this instead, browsers have channels. */
function turn(run: () => void): void {
  if (typeof globalThis.setImmediate === "function") return void globalThis.setImmediate(run);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    run();
  };
  port2.postMessage(undefined);
}

let current: Clock = systemClock;

/** The clock in force. Ask anew each time; never keep it. */
export function clock(): Clock {
  return current;
}

/** Milliseconds since 1970, by the wall clock of the clock in force; see {@linkcode Clock.wall}. */
export function wallNow(): number {
  return current.wall?.() ?? Date.now();
}

/** Puts another clock in force until disposed: for the test world. */
export function replaceClock(replacement: Clock): Disposable {
  const previous = current;
  current = replacement;
  return {
    [Symbol.dispose](): void {
      current = previous;
    },
  };
}
