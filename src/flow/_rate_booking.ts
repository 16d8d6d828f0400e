/** What was taken by somebody who may give it back, at a rate limiter and those above it. */
import { clock } from "../kernel/clock.ts";
import type { Receipt } from "./_rate_algorithm.ts";

/** See the file. */
export class Booking {
  readonly #receipt: Receipt;
  readonly #above: Booking | undefined;
  readonly #serve: () => void;

  /** `serve` lets those in who wait for what was given back. */
  constructor(receipt: Receipt, above: Booking | undefined, serve: () => void) {
    this.#receipt = receipt;
    this.#above = above;
    this.#serve = serve;
  }

  /** Gives it back, everywhere before anybody who waits for it is served. */
  cancel(): void {
    this.#undo(clock().now());
    this.#serveAll();
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

  #serveAll(): void {
    this.#serve();
    if (this.#above !== undefined) this.#above.#serveAll();
  }
}
