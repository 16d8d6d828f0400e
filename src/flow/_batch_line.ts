/** Calls that wait together, in the order in which they came. */
import type { Call } from "./_batch.ts";

/** Below so many empty places it is not worth while to close them up. */
const FEW = 32;

/**
 * First in, first out; who has ties can leave from anywhere.
 *
 * An array, which a batch takes over as it is when it takes all: that is what mostly happens, and costs nothing for each
 * call, as links between them would. Who leaves makes an empty place; when there are more of them than calls, they are
 * closed up, so that leaving is O(1) on the average.
 */
export class CallLine<I, O> {
  size = 0;
  #calls: (Call<I, O> | undefined)[] = [];
  /** The place of the first call. */
  #head = 0;

  get first(): Call<I, O> | undefined {
    return this.#calls[this.#head];
  }

  push(call: Call<I, O>): void {
    if (call.ties !== undefined) call.ties.at = this.#calls.length;
    this.#calls.push(call);
    this.size++;
  }

  /** Takes one out who has ties. */
  remove(call: Call<I, O>): void {
    this.#calls[call.ties!.at] = undefined;
    this.size--;
    this.#settle();
  }

  /** Takes up to `count` from the front, no more than `fits` says of one after the other. */
  take(count: number, fits?: (call: Call<I, O>) => boolean): Call<I, O>[] {
    const calls = this.#calls;
    if (calls.length === this.size && this.size <= count && fits === undefined) {
      this.#calls = [];
      this.size = 0;
      return calls as Call<I, O>[];
    }
    const taken: Call<I, O>[] = [];
    for (let at = this.#head; at < calls.length && taken.length < count; at++) {
      const call = calls[at];
      if (call === undefined) continue;
      if (fits?.(call) === false) break;
      taken.push(call);
      calls[at] = undefined;
    }
    this.size -= taken.length;
    this.#settle();
    return taken;
  }

  /** Finds the first call again, and closes up empty places when there are many. */
  #settle(): void {
    const calls = this.#calls;
    while (this.#head < calls.length && calls[this.#head] === undefined) this.#head++;
    if (calls.length - this.size <= this.size + FEW && this.size > 0) return;
    this.#calls = [];
    this.#head = this.size = 0;
    for (const call of calls) if (call !== undefined) this.push(call);
  }
}
