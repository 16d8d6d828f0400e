import { checkCount, show } from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { Lease, WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { AsyncLock, permitsOf } from "./async_lock.ts";

/** What an operator wants to know of a {@linkcode Condition}. */
export interface ConditionStatistics {
  /** How many wait to be notified. */
  readonly waiting: number;
  /** Waits that were notified. */
  readonly granted: number;
  /** Waits given up by a signal. */
  readonly aborted: number;
  /** Waits that reached their limit. */
  readonly timedOut: number;
}

/**
 * Lets the holder of a lock wait for others to change what the lock guards.
 *
 * **Lock** — a wait gives the lock back and, before it resolves or rejects, holds it again with the same lease; that
 * second wait cannot be given up, so that the code after it can rely on the lock either way. **Order** — those who
 * wait longest are notified first. **No memory** — a notification without a waiter is lost: check what you wait for in
 * a loop, under the lock.
 *
 * @example
 * ```ts
 * import { AsyncLock, Condition } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const lock = new AsyncLock();
 * const changed = new Condition(lock);
 * const items: string[] = [];
 * async function take() {
 *   using lease = await lock.acquire();
 *   while (items.length === 0) await changed.wait(lease);
 *   return items.shift();
 * }
 * const taken = take();
 * await lock.run(() => {
 *   items.push("apple");
 *   changed.notify();
 * });
 * assert.equal(await taken, "apple");
 * ```
 */
export class Condition {
  /** The lock it belongs to. */
  readonly lock: AsyncLock;
  readonly #queue: WaitQueue<void, true>;

  /**
   * Creates a condition of a lock.
   *
   * @throws {TypeError} When `lock` is no `AsyncLock`.
   */
  constructor(lock: AsyncLock) {
    if (!(lock instanceof AsyncLock)) {
      throw new TypeError(`Cannot create condition as lock must be an AsyncLock: received ${show(lock)}`);
    }
    this.lock = lock;
    this.#queue = new WaitQueue({
      what: "wait for condition of lock",
      structure: "condition",
      name: lock.name,
      behind: () => `${this.#queue.size} waiting to be notified`,
    });
  }

  /**
   * Gives the lock back, waits to be notified, and holds the lock again, with the same lease.
   *
   * @param lease The lease on the lock, held.
   * @param options `signal` and `timeoutMs` give up the wait for the notification, not the one for the lock.
   * @throws {MisuseError} When `lease` is not held, or not of this lock.
   * @throws {TimeoutError} When `timeoutMs` is reached; the lock is held again.
   * @throws The reason of `signal`, unchanged; the lock is held again.
   */
  async wait(lease: Lease, options?: WaitOptions): Promise<void> {
    const permits = permitsOf(this.lock);
    const held = permits.holder;
    if (held === undefined || held !== lease) {
      throw new MisuseError(
        `Cannot wait for a condition of ${permits.describe()}: the lease given does not hold it`,
      );
    }
    const refused = this.#queue.refusal(options);
    if (refused !== undefined) return await refused;
    const notified = this.#queue.wait(true, options);
    permits.suspend(held);
    try {
      await notified;
    } finally {
      await permits.resume(held);
    }
  }

  /**
   * Wakes those who wait longest.
   *
   * @param n How many at most. Default 1.
   * @returns How many there were to wake.
   */
  notify(n = 1): number {
    checkCount("notify", "n", n, 0);
    let woken = 0;
    while (woken < n && this.#queue.grant(undefined)) woken++;
    return woken;
  }

  /** Wakes everybody who waits. @returns How many there were. */
  notifyAll(): number {
    return this.notify(Infinity);
  }

  /** A snapshot of the waiters and the totals so far. */
  statistics(): ConditionStatistics {
    return Object.freeze({ waiting: this.#queue.size, ...this.#queue.totals });
  }
}
