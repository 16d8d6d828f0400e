/** Draws one of the orders in which things that happen at the same time can happen. */
import type { Clock } from "../kernel/clock.ts";
import { chance } from "./_chance.ts";

/** What can be put in another order: starts of tasks, timers due together, ends of waits. */
export type Varied = "starts" | "timers" | "waits";

/** One order, repeated by its seed. */
export class Exploration {
  readonly #random: () => number;
  readonly #maxTurns: number;
  readonly #vary: ReadonlySet<Varied>;
  /** What was put off last of each line, until it has run. */
  readonly #last = new WeakMap<object, Promise<void>>();

  constructor(seed: number, maxTurns: number, vary: readonly Varied[]) {
    // Not the numbers that the scenario draws: what it does with them must not hang together with the order.
    this.#random = chance("explore", (seed ^ 0x9e3779b9) >>> 0);
    this.#maxTurns = maxTurns;
    this.#vary = new Set(vary);
  }

  /** Decides among timers due together: the lower comes first. */
  tie(): number {
    return this.#vary.has("timers") ? this.#random() : 0;
  }

  /** Whether what a timer has woken runs before the next timer that is due. */
  pauses(): boolean {
    return this.#vary.has("timers") && this.#random() < 0.5;
  }

  /** As {@linkcode Clock.putOff} says. */
  readonly putOff: NonNullable<Clock["putOff"]> = (what, line, run) => {
    const turns = this.#turns(what === "start" ? "starts" : "waits");
    const ahead = line && this.#last.get(line);
    if (ahead === undefined && turns === 0) return run();
    const done = (async () => {
      await ahead;
      for (let i = 0; i < turns; i++) await undefined;
      run();
    })();
    if (line === undefined) return;
    this.#last.set(line, done);
    done.then(() => void (this.#last.get(line) === done && this.#last.delete(line)));
  };

  /** As often as not none, so that some run far ahead of others. */
  #turns(what: Varied): number {
    if (!this.#vary.has(what) || this.#random() < 0.5) return 0;
    return Math.ceil(this.#random() * this.#maxTurns);
  }
}
