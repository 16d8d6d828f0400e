import { clock } from "../kernel/clock.ts";
import { deferred, ignore } from "../kernel/deferred.ts";

/** The one deadline of a stop, out of which every step gets its time. */
export class Budget {
  #deadlineMs: number;
  readonly #waits = new Set<() => void>();
  #forced = false;

  constructor(ms: number) {
    this.#deadlineMs = clock().now() + ms;
  }

  /** When all has to be over, in milliseconds on the clock. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** What is left, in milliseconds. */
  get leftMs(): number {
    return this.#deadlineMs === Infinity ? Infinity : Math.max(0, this.#deadlineMs - clock().now());
  }

  /** What a step without a limit of its own gets: half of what is left, so that those after it get some, too. */
  get shareMs(): number {
    return this.leftMs / 2;
  }

  /** Whether it was cut short. */
  get forced(): boolean {
    return this.#forced;
  }

  /** Ends it now: whoever waits for anything goes on at once. */
  force(): void {
    this.#forced = true;
    this.#deadlineMs = clock().now();
    for (const cut of [...this.#waits]) cut();
  }

  /** Waits for `work` to settle, at most `limitMs` and what is left. Returns whether it did. */
  async wait(work: PromiseLike<unknown>, limitMs: number = Infinity): Promise<boolean> {
    const ms = Math.min(limitMs, this.leftMs);
    const end = deferred<boolean>();
    const cut = (): void => end.resolve(false);
    this.#waits.add(cut);
    const timer = ms === Infinity ? undefined : clock().schedule(clock().now() + ms, cut, { ref: true });
    work.then(ignore, ignore).then(() => end.resolve(true));
    try {
      return await end.promise;
    } finally {
      timer?.[Symbol.dispose]();
      this.#waits.delete(cut);
    }
  }
}
