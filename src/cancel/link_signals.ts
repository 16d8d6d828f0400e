import { checkSignal } from "../kernel/checks.ts";
import { noteDeadline } from "../kernel/deadlines.ts";
import { type AbortTarget, Canceller, subscribe, type Subscription } from "../kernel/signals.ts";

/** What {@linkcode linkSignals} gives. */
export interface LinkedSignal extends Disposable {
  /** Aborted with the reason of the first source that is. */
  readonly signal: AbortSignal;
}

class Link implements LinkedSignal, AbortTarget {
  readonly #controller = new Canceller();
  readonly #subscriptions: Subscription[] = [];
  /** Each once. */
  readonly #sources: AbortSignal[];

  constructor(sources: readonly AbortSignal[]) {
    const first = sources.find((source) => source.aborted);
    this.#sources = first === undefined ? [...new Set(sources)] : [];
    noteDeadline(this.signal, Infinity, this.#sources);
    if (first !== undefined) this.#controller.abort(first.reason);
    try {
      for (const source of this.#sources) this.#subscriptions.push(subscribe(source, this));
    } catch (error) {
      this[Symbol.dispose](); // One can't be listened to, being none of the platform's.
      throw error;
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  aborted(reason: unknown): void {
    this[Symbol.dispose]();
    this.#controller.abort(reason);
  }

  passesOn(): readonly AbortSignal[] {
    return [this.signal];
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.cancel();
    this.#sources.length = 0;
  }
}

/**
 * One signal out of several: aborted with the first, with its reason.
 *
 * Unlike `AbortSignal.any`, it lets go of its sources when disposed, so that a long-lived source does not collect
 * what was once derived from it. **Dispose** — unlinks; the signal then stays as it is. **Deadline** — the earliest of
 * the sources' is known to `Deadline.of`.
 *
 * @param sources Signals; `undefined` ones are left out.
 *
 * @example
 * ```ts
 * import { linkSignals } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * const [request, server] = [new AbortController(), new AbortController()];
 * using linked = linkSignals(request.signal, server.signal, undefined);
 * server.abort("shutting down");
 * assert.deepEqual(linked.signal.reason, "shutting down");
 * ```
 */
export function linkSignals(...sources: (AbortSignal | undefined)[]): LinkedSignal {
  for (const source of sources) checkSignal("link signals", source);
  return new Link(sources.filter((source) => source !== undefined));
}
