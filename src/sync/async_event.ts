import { checkBoolean, checkName, checkOptions } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** What an operator wants to know of an {@linkcode AsyncEvent}. */
export interface AsyncEventStatistics {
  /** Whether it is set. */
  readonly isSet: boolean;
  /** How many wait. */
  readonly waiting: number;
  /** Waits that ended because it was set. */
  readonly granted: number;
  /** Waits given up by a signal. */
  readonly aborted: number;
  /** Waits that reached their limit. */
  readonly timedOut: number;
}

/**
 * Something that has happened, or not yet, and can be waited for.
 *
 * **Manual reset** (the default) — `set()` lets everybody through, those who wait and those who come later, until
 * `reset()`. **Auto reset** — each `set()` lets exactly one through: the one that waits longest, or else the next
 * to come; setting it again before that adds nothing. **Abort** — a waiter that gives up has consumed nothing.
 *
 * @example
 * ```ts
 * import { AsyncEvent } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const ready = new AsyncEvent({ name: "ready" });
 * const waiting = ready.wait({ timeoutMs: 1_000 });
 * ready.set();
 * await waiting;
 * assert.ok(ready.isSet);
 * ```
 */
export class AsyncEvent {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #autoReset: boolean;
  readonly #queue: WaitQueue<void, true>;
  #isSet = false;

  /**
   * Creates an event that is not set.
   *
   * @param options `autoReset` makes each `set()` let one waiter through; `name` appears in messages and records.
   */
  constructor(options: { autoReset?: boolean | undefined; name?: string | undefined } = {}) {
    checkOptions("create event", options);
    checkName("create event", options.name);
    checkBoolean("create event", "autoReset", options.autoReset);
    this.name = options.name;
    this.#autoReset = options.autoReset ?? false;
    this.#queue = new WaitQueue({
      what: "wait for event",
      structure: "event",
      name: options.name,
      behind: () => `it is not set, ${this.#queue.size} waiting`,
    });
  }

  /** Whether the next wait would go through at once. */
  get isSet(): boolean {
    return this.#isSet;
  }

  /** Sets it. */
  set(): void {
    if (this.#autoReset) {
      this.#isSet ||= !this.#queue.grant(undefined);
      return;
    }
    this.#isSet = true;
    while (this.#queue.grant(undefined));
  }

  /** Makes it unset again; those let through before are not affected. */
  reset(): void {
    this.#isSet = false;
  }

  /**
   * Waits until it is set.
   *
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged.
   */
  wait(options?: WaitOptions): Promise<void> {
    const refused = this.#queue.refusal(options);
    if (refused !== undefined) return refused;
    if (!this.#isSet) return this.#queue.wait(true, options);
    if (this.#autoReset) this.#isSet = false;
    this.#queue.totals.granted++;
    return Promise.resolve();
  }

  /** A snapshot of its state, its waiters and the totals so far. */
  statistics(): AsyncEventStatistics {
    return Object.freeze({ isSet: this.#isSet, waiting: this.#queue.size, ...this.#queue.totals });
  }
}
