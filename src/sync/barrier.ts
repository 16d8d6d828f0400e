import { checkInteger, checkName, checkOptions, subject } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";

/** The barrier was broken: not everybody will come. */
export class BrokenBarrierError extends Error {
  static {
    this.prototype.name = "BrokenBarrierError";
  }
}

/** What an operator wants to know of a {@linkcode Barrier}. */
export interface BarrierStatistics {
  /** How many have to come. */
  readonly parties: number;
  /** How many have come in this round. */
  readonly waiting: number;
  /** Rounds completed so far. */
  readonly rounds: number;
  /** Whether it is broken. */
  readonly broken: boolean;
  /** Arrivals that were let through so far. */
  readonly granted: number;
  /** Arrivals given up by a signal. */
  readonly aborted: number;
  /** Arrivals that reached their limit. */
  readonly timedOut: number;
}

/**
 * Waits until every party has arrived, then releases all of them together.
 *
 * **Order** — parties resume in the order in which they came. **Abort** — a party that gives up is uncounted and the
 * rest keep waiting for a full count (as in asyncio); {@linkcode break} breaks it for all. **Reuse** — after a release the next
 * round starts by itself; after `break()`, with `reset()`.
 *
 * @example
 * ```ts
 * import { Barrier } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const start = new Barrier(3);
 * assert.deepEqual(await Promise.all([start.wait(), start.wait(), start.wait()]), [0, 1, 2]);
 * ```
 */
export class Barrier {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #parties: number;
  readonly #queue: WaitQueue<number, true>;
  #rounds = 0;
  #brokenWith: { readonly reason: unknown } | undefined;

  /**
   * Creates a barrier at which nobody has arrived.
   *
   * @param parties How many have to come, 1 or more.
   * @param options `name` appears in messages and observer records.
   */
  constructor(parties: number, options: { name?: string | undefined } = {}) {
    checkOptions("create barrier", options);
    checkName("create barrier", options.name);
    checkInteger(`create ${subject("barrier", options.name)}`, "parties", parties, 1);
    this.name = options.name;
    this.#parties = parties;
    this.#queue = new WaitQueue({
      what: "pass barrier",
      structure: "barrier",
      name: options.name,
      behind: () => `${this.#queue.size} of ${parties} parties have come`,
    });
  }

  /** Whether it is broken. */
  get broken(): boolean {
    return this.#brokenWith !== undefined;
  }

  /**
   * Arrives, and waits for the others.
   *
   * @param options `signal` and `timeoutMs` give up this arrival only.
   * @returns The place in the order of arrival, from 0; handy to elect one party for a follow-up.
   * @throws {BrokenBarrierError} When the barrier is broken, before or while waiting (or the reason given to `break`).
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged.
   */
  wait(options?: WaitOptions): Promise<number> {
    const refused = this.#queue.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#brokenWith !== undefined) return Promise.reject(this.#brokenWith.reason);
    const others = this.#parties - 1;
    if (!this.#queue.grantTogether(others, (place) => place)) return this.#queue.wait(true, options);
    this.#queue.totals.granted++;
    this.#rounds++;
    return Promise.resolve(others);
  }

  /**
   * Breaks it: everybody who waits, and everybody who comes before {@linkcode reset}, is sent away.
   *
   * @param reason What they reject with; a `BrokenBarrierError` by default.
   */
  break(reason?: unknown): void {
    if (this.#brokenWith !== undefined) return;
    const error = reason !== undefined
      ? reason
      : new BrokenBarrierError(`Cannot pass ${subject("barrier", this.name)}: it was broken`);
    this.#brokenWith = { reason: error };
    this.#queue.settleAll(error);
  }

  /** Starts a new round: breaks the current one for those who wait, and mends the barrier. */
  reset(): void {
    if (this.#queue.size > 0) this.break();
    this.#brokenWith = undefined;
  }

  /** A snapshot of the round and the totals so far. */
  statistics(): BarrierStatistics {
    return Object.freeze({
      parties: this.#parties,
      waiting: this.#queue.size,
      rounds: this.#rounds,
      broken: this.broken,
      ...this.#queue.totals,
    });
  }
}
