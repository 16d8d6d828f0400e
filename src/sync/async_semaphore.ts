import { askedFor, checkFunction, checkInteger, checkName, checkOptions, subject } from "../kernel/checks.ts";
import type { HoldOptions, Lease } from "../kernel/types.ts";
import { checkHold, Permits } from "./_permits.ts";

/** Options of {@linkcode AsyncSemaphore.acquire}. */
export interface SemaphoreAcquireOptions extends HoldOptions {
  /** How many permits at once. Default 1. */
  weight?: number | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncSemaphore}. */
export interface AsyncSemaphoreStatistics {
  /** How many permits there are. */
  readonly capacity: number;
  /** How many are held; above `capacity` for a while after {@linkcode AsyncSemaphore.resize} to less. */
  readonly inUse: number;
  /** How many are free. */
  readonly free: number;
  /** How many callers wait. */
  readonly waiting: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Acquisitions so far. */
  readonly granted: number;
  /** Acquisitions given up by a signal. */
  readonly aborted: number;
  /** Acquisitions that reached their limit. */
  readonly timedOut: number;
}

/**
 * Holds a number of permits that callers take, one or several at once, and give back.
 *
 * **Order** — strictly first come, first served, whatever the weight: a light request never overtakes a heavy one
 * that waits, so that the heavy one is not starved. **Abort** — a waiter that gives up leaves at once, and those
 * behind it that now fit are granted in the same turn. **Resize** — to more serves waiters at once; to less takes
 * effect as permits come back, and sends away waiters that could never be served. **Close** — sends all waiters away;
 * permits that are held can still be given back. **Misuse** — a lease gives back exactly what it took, once: permits
 * can't be invented.
 *
 * @example
 * ```ts
 * import { AsyncSemaphore } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const memory = new AsyncSemaphore(100, { name: "MiB" });
 * {
 *   using _big = await memory.acquire({ weight: 80 });
 *   assert.deepEqual(memory.statistics().free, 20);
 *   assert.deepEqual(memory.tryAcquire({ weight: 30 }), undefined);
 * }
 * assert.deepEqual(memory.statistics().free, 100);
 * ```
 */
export class AsyncSemaphore {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #permits: Permits;

  /**
   * Creates a semaphore with all permits free.
   *
   * @param permits How many, 0 or more.
   * @param options `name` appears in messages and observer records.
   */
  constructor(permits: number, options: { name?: string | undefined } = {}) {
    checkOptions("create semaphore", options);
    checkName("create semaphore", options.name);
    checkInteger(`create ${subject("semaphore", options.name)}`, "permits", permits, 0);
    this.name = options.name;
    this.#permits = new Permits(permits, {
      kind: "semaphore",
      name: options.name,
      behind: ({ weight }) => {
        const { inUse, capacity, queue } = this.#permits;
        return `${askedFor(weight)}${inUse} of ${capacity} in use, ${queue.size} waiting`;
      },
    });
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#permits.closedWith !== undefined;
  }

  /**
   * Waits for permits and holds them until the lease is released or disposed.
   *
   * @param options `weight` is how many; `signal` and `timeoutMs` bound this wait only.
   * @throws {RangeError} When `weight` is not an integer from 1 to the number of permits there are.
   * @throws {ClosedError} When the semaphore is closed, before or while waiting (or the reason given to `close`).
   * @throws {TimeoutError} When the limit is reached, saying how many are in use and how many callers wait.
   * @throws The reason of `signal`, unchanged.
   */
  acquire(options?: SemaphoreAcquireOptions): Promise<Lease> {
    let weight = 1;
    if (options !== undefined || this.#permits.capacity === 0) {
      try {
        weight = this.#weight(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#permits.acquire(weight, options);
  }

  /**
   * Takes permits if they are free and nobody waits; never waits.
   *
   * @returns The lease, or `undefined`.
   */
  tryAcquire(options?: Omit<SemaphoreAcquireOptions, "signal" | "timeoutMs">): Lease | undefined {
    return this.#permits.tryAcquire(this.#weight(options), options);
  }

  /**
   * Runs `fn` while holding permits; given back however it ends.
   *
   * @param options As for {@linkcode acquire}; they bound the wait, not `fn`.
   * @returns What `fn` returns.
   */
  async run<T>(fn: () => T | PromiseLike<T>, options?: SemaphoreAcquireOptions): Promise<T> {
    checkFunction(`run in ${this.#permits.describe()}`, "fn", fn);
    const lease = await this.acquire(options);
    try {
      return await fn();
    } finally {
      lease.release();
    }
  }

  /**
   * Changes how many permits there are. Waiters that ask for more than that reject with a `RangeError`.
   *
   * @param permits The new number, 0 or more.
   */
  resize(permits: number): void {
    checkInteger(`resize ${this.#permits.describe()}`, "permits", permits, 0);
    this.#permits.resize(permits);
  }

  /**
   * Sends all waiters away and refuses new ones. Again: does nothing.
   *
   * @param reason What they reject with; a `ClosedError` by default.
   */
  close(reason?: unknown): void {
    this.#permits.close(reason);
  }

  /** A snapshot of permits, waiters and the totals so far. */
  statistics(): AsyncSemaphoreStatistics {
    const { capacity, inUse, queue } = this.#permits;
    return Object.freeze({
      capacity,
      inUse,
      free: Math.max(0, capacity - inUse),
      waiting: queue.size,
      closed: this.closed,
      ...queue.totals,
    });
  }

  #weight(options: SemaphoreAcquireOptions | undefined): number {
    const capacity = this.#permits.capacity;
    if (options === undefined && capacity > 0) return 1;
    const doing = `acquire ${this.#permits.describe()}`;
    checkOptions(doing, options);
    const weight = options?.weight === undefined ? 1 : options.weight;
    if (options !== undefined) checkHold(doing, options);
    checkInteger(doing, "weight", weight, 1);
    if (weight > capacity) {
      throw new RangeError(
        `Cannot ${doing} as weight must be at most its ${capacity} permits: received ${weight}`,
      );
    }
    return weight;
  }
}
