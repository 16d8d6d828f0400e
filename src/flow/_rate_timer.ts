/** The one timer of a rate limiter: set for the line that can be served first, and not set when nobody waits. */
import { clock } from "../kernel/clock.ts";
import { Heap } from "../kernel/heap.ts";
import type { RateLine } from "./_rate_line.ts";

/** See the file. */
export class RateTimer {
  readonly #serve: (line: RateLine, nowMs: number) => void;
  readonly #lines = new Heap<RateLine>((a, b) =>
    a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order)
  );
  #timer: Disposable | undefined;
  #atMs = Infinity;
  #firing = false;

  /** `serve` looks at the head of a line that is due. */
  constructor(serve: (line: RateLine, nowMs: number) => void) {
    this.#serve = serve;
  }

  /** A line can be served at that moment; `Infinity`: nobody knows when, or nobody waits in it. */
  set(line: RateLine, atMs: number): void {
    if (line.dueMs === atMs) return;
    this.#lines.remove(line);
    line.dueMs = atMs;
    if (atMs !== Infinity) this.#lines.push(line);
    if (!this.#firing) this.#arm();
  }

  #arm(): void {
    const atMs = this.#lines.peek()?.dueMs ?? Infinity;
    if (atMs === this.#atMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#atMs = atMs;
    this.#timer = atMs === Infinity ? undefined : clock().schedule(atMs, this.#fire, { ref: true });
  }

  readonly #fire = (): void => {
    // What the timer was set for has come, even if the clock stands still: foreign fake timers move only the one.
    const nowMs = Math.max(clock().now(), this.#atMs);
    this.#timer = undefined;
    this.#atMs = Infinity;
    this.#firing = true;
    try {
      for (
        let line = this.#lines.peek();
        line !== undefined && line.dueMs <= nowMs;
        line = this.#lines.peek()
      ) {
        this.set(line, Infinity);
        this.#serve(line, nowMs);
      }
    } finally {
      this.#firing = false;
      this.#arm();
    }
  };
}
