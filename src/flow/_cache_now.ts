/** The time, read less often by whoever asks for it all the time. */
import { clock } from "../kernel/clock.ts";

/** Reads closer together than this, in milliseconds, are a burst. */
const BURST_MS = 0.05;
/** How many reads in a row make it worth to keep the time. */
const READS = 8;
/** How many reads one reading serves at most. */
const SERVED = 64;
/** How many reads to leave it at when keeping the time was of no use. */
const PAUSE = 256;

const settled = Promise.resolve();

/**
 * The time for a cache whose entries expire: reading the clock costs more than looking up an entry.
 *
 * In a burst of reads one reading serves up to 64 of them, and none beyond the turn of the microtask queue in which it
 * was made: whoever computes for long between two reads of a turn may find what has expired meanwhile. Not kept for a
 * millisecond by a timer, as is common: time would stand still for code that never lets one fire.
 */
export class Now {
  #ms = 0;
  /** How many more reads the reading at hand serves. */
  #left = 0;
  #burst = 0;
  #turn = 0;

  readMs(): number {
    if (this.#left > 0) {
      this.#left--;
      return this.#ms;
    }
    const ms = clock().now();
    this.#burst = ms - this.#ms < BURST_MS ? this.#burst + 1 : 0;
    this.#ms = ms;
    if (this.#burst > READS) this.#keep();
    return ms;
  }

  #keep(): void {
    this.#left = SERVED - 1;
    if (this.#turn++ === 0) void settled.then(this.#drop);
  }

  readonly #drop = (): void => {
    if (this.#turn === 1 && this.#left > SERVED - READS) this.#burst = -PAUSE;
    this.#left = this.#turn = 0;
  };
}
