/** What was taken by somebody who may give it back, at a rate limiter and those above it. */
import { clock } from "../kernel/clock.ts";
import type { Bucket, Receipt } from "./_rate_algorithm.ts";
import type { RateGate } from "./_rate_gate.ts";

/** See the file. */
export class Booking {
  readonly #gate: RateGate;
  readonly #bucket: Bucket;
  readonly #receipt: Receipt;
  readonly #above: Booking | undefined;

  constructor(gate: RateGate, bucket: Bucket, receipt: Receipt, above: Booking | undefined) {
    this.#gate = gate;
    this.#bucket = bucket;
    this.#receipt = receipt;
    this.#above = above;
  }

  /** Gives it back, everywhere before anybody who waits for it is served. */
  cancel(): void {
    this.#undo(clock().now());
    this.#serve();
  }

  /** It was used, and can't be given back any more. */
  keep(): void {
    this.#receipt.keep();
    this.#above?.keep();
  }

  #undo(nowMs: number): void {
    this.#receipt.cancel(nowMs);
    if (this.#above !== undefined) this.#above.#undo(nowMs);
  }

  #serve(): void {
    if (this.#bucket.line !== undefined) this.#gate.serve(this.#bucket.line);
    if (this.#above !== undefined) this.#above.#serve();
  }
}
