/** A signal that is made when somebody first asks for it: an AbortController can cost more than all else of a group. */
import { Canceller } from "../kernel/signals.ts";

/** A signal made when first read, aborted already if that has come by then. */
export class LazySignal {
  readonly #made: ((signal: AbortSignal) => void) | undefined;
  #controller: Canceller | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  /** @param made Called with the signal when it is made. */
  constructor(made?: (signal: AbortSignal) => void) {
    this.#made = made;
  }

  get signal(): AbortSignal {
    let controller = this.#controller;
    if (controller === undefined) {
      this.#controller = controller = new Canceller();
      this.#made?.(controller.signal);
      if (this.#aborted !== undefined) controller.abort(this.#aborted.reason);
    }
    return controller.signal;
  }

  /** Aborts it, made or not. Again: does nothing. */
  abort(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#controller?.abort(reason);
  }
}
