/** The one timer of a pool. */
import { clock } from "../kernel/clock.ts";

/** Rings at the earliest time that was asked for. A later wish costs a comparison. */
export class Alarm {
  readonly #ring: (now: number) => void;
  #atMs = Infinity;
  #ref = false;
  #timer: Disposable | undefined;

  constructor(ring: (now: number) => void) {
    this.#ring = ring;
  }

  /** Rings at `atMs` or before; `ref`: somebody waits for what is done then. */
  at(atMs: number, ref = false): void {
    if (atMs >= this.#atMs && (this.#ref || !ref)) return;
    if (atMs === Infinity) return;
    this.#timer?.[Symbol.dispose]();
    this.#atMs = atMs = Math.min(atMs, this.#atMs);
    this.#ref = ref;
    this.#timer = clock().schedule(atMs, () => {
      this.off();
      // A timer that fired counts as due, whatever the clock says.
      this.#ring(Math.max(clock().now(), atMs));
    }, { ref });
  }

  /** Rings no more. */
  off(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#atMs = Infinity;
    this.#ref = false;
  }
}
