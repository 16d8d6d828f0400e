import { checkDurationMs, checkOptions } from "../kernel/checks.ts";

/** When a queue has stood for too long, and its head is to be dropped. */
export interface CodelOptions {
  /** How long a call may wait without being one too many, in milliseconds. */
  targetMs: number;
  /** For how long all must have waited longer than that before the first is dropped. Default 20 times `targetMs`. */
  intervalMs?: number | undefined;
}

/**
 * Controlled delay (Nichols and Jacobson, 2012; RFC 8289): a queue that smooths a burst empties again, one that stands
 * only makes everybody wait. Once all who were served in an interval have waited longer than the target, heads are
 * dropped, at first one an interval, then faster and faster, until the wait is down again.
 */
export class Codel {
  readonly targetMs: number;
  readonly #intervalMs: number;
  /** When the queue will have stood for an interval; `undefined` while it does not stand. */
  #standsAtMs: number | undefined;
  #dropping = false;
  #nextMs = 0;
  #count = 0;
  /** The count with which dropping began the last time. */
  #began = 0;

  constructor(options: CodelOptions, doing: string) {
    checkOptions(`${doing} with codel`, options);
    const { targetMs, intervalMs = 20 * targetMs } = options;
    checkDurationMs(doing, "codel.targetMs", targetMs);
    checkDurationMs(doing, "codel.intervalMs", intervalMs);
    this.targetMs = targetMs;
    this.#intervalMs = intervalMs;
  }

  /** The queue has no more than its head: it does not stand. */
  settle(): void {
    this.#standsAtMs = undefined;
    this.#dropping = false;
  }

  /** Whether the head, which has waited so long, is to be dropped instead of served. */
  drops(nowMs: number, waitedMs: number): boolean {
    if (waitedMs < this.targetMs) {
      this.settle();
      return false;
    }
    this.#standsAtMs ??= nowMs + this.#intervalMs;
    if (nowMs < this.#standsAtMs) return false;
    if (!this.#dropping) {
      this.#dropping = true;
      // Soon after the last time, it goes on nearly as fast as it dropped then: that rate was about right.
      const again = this.#count - this.#began > 1 && nowMs - this.#nextMs < 16 * this.#intervalMs;
      this.#count = again ? this.#count - this.#began : 1;
      this.#began = this.#count;
      this.#nextMs = nowMs;
    } else if (nowMs < this.#nextMs) return false;
    else this.#count++;
    this.#nextMs += this.#intervalMs / Math.sqrt(this.#count);
    return true;
  }
}
