/** Counts the turns of the microtask queue during which a test world is busy. */
import { census } from "../kernel/census.ts";
import { clock } from "../kernel/clock.ts";
import { observe } from "../kernel/observer.ts";
import { VirtualClock } from "./virtual_clock.ts";

/**
 * How many turns in a row nothing of the library has to move for the world to count as at rest. A chain of promises
 * that goes on for longer without a timer, waiter or subscription made or dropped is not counted to its end.
 */
const QUIET_TURNS = 32;

/** Calls back once a turn, from the start and from each step of time on, until all is at rest. */
export class Pulse implements Disposable {
  readonly #beat: () => void;
  readonly #watching: Disposable;
  #beating = false;
  #over = false;
  #quiet = 0;
  #events = 0;

  constructor(beat: () => void) {
    this.#beat = beat;
    this.#watching = observe({ record: () => void this.#events++ });
  }

  /** To be called when something is about to run. */
  readonly wake = (): void => {
    this.#quiet = 0;
    if (this.#beating || this.#over) return;
    this.#beating = true;
    void this.#run();
  };

  [Symbol.dispose](): void {
    this.#over = true;
    this.#watching[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    // Any change shows in one of the numbers, or is told to observers.
    let before = this.#traces();
    while (this.#quiet++ < QUIET_TURNS) {
      await undefined;
      if (this.#over) return;
      this.#beat();
      const now = this.#traces();
      if (now.some((number, i) => number !== before[i])) this.#quiet = 0;
      before = now;
    }
    this.#beating = false;
  }

  #traces(): readonly number[] {
    const time = clock();
    const timers = time instanceof VirtualClock ? [time.size, time.made] : [];
    return [census.waiters, census.subscriptions, this.#events, ...timers];
  }
}
