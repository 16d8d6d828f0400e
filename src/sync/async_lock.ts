import { checkFunction, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { HoldOptions, Lease } from "../kernel/types.ts";
import { checkHold, Permits } from "./_permits.ts";

/** A lock was asked for by the owner that holds it: waiting would never end. */
export class LockReentryError extends MisuseError {
  static {
    this.prototype.name = "LockReentryError";
  }
}

/** The engine of a lock, for the other structures of this floor. @internal */
export let permitsOf: (lock: AsyncLock) => Permits;

/** What an operator wants to know of an {@linkcode AsyncLock}. */
export interface AsyncLockStatistics {
  /** Whether somebody holds it. */
  readonly held: boolean;
  /** Who holds it, as far as the holder said. */
  readonly owner: object | undefined;
  /** Who holds it, in words. */
  readonly label: string | undefined;
  /** For how long, in milliseconds; known of holders that gave an `owner` or a `label`. */
  readonly heldForMs: number | undefined;
  /** How many wait. */
  readonly waiting: number;
  /** Acquisitions so far. */
  readonly granted: number;
  /** Acquisitions given up by a signal. */
  readonly aborted: number;
  /** Acquisitions that reached their limit. */
  readonly timedOut: number;
}

/**
 * Lets one caller at a time through, in the order in which they came.
 *
 * **Order** — strictly first come, first served; a release hands the lock over to the next waiter directly, so nobody
 * can barge in. **Abort** — a waiter that gives up leaves at once and the rest keep their places; an abort after the
 * grant is ignored: the lease is the caller's. **Misuse** — the lease is the only thing that can release;
 * releasing it twice throws, disposing it twice does nothing. Not re-entrant: an acquisition by the `owner` that
 * already holds the lock is refused; without an `owner` it waits for ever (or until its limit).
 *
 * @example
 * ```ts
 * import { AsyncLock } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const lock = new AsyncLock({ name: "balance" });
 * let balance = 0;
 * async function deposit(amount: number) {
 *   using _lease = await lock.acquire({ timeoutMs: 1_000 });
 *   const before = balance;
 *   await Promise.resolve(); // without the lock, deposits would be lost here
 *   balance = before + amount;
 * }
 * await Promise.all([deposit(10), deposit(20), deposit(30)]);
 * assert.deepEqual(balance, 60);
 * ```
 */
export class AsyncLock {
  static {
    permitsOf = (lock) => lock.#permits;
  }
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #permits: Permits;

  /**
   * Creates a free lock.
   *
   * @param options `name` appears in messages and observer records.
   */
  constructor(options: { name?: string | undefined } = {}) {
    checkOptions("create lock", options);
    checkName("create lock", options.name);
    this.name = options.name;
    this.#permits = new Permits(1, { kind: "lock", name: options.name, behind: () => this.#behind() });
  }

  /** Whether somebody holds it. */
  get held(): boolean {
    return this.#permits.inUse > 0;
  }

  /**
   * Waits for the lock and holds it until the lease is released or disposed.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `owner` and `label` say who will hold it.
   * @throws {LockReentryError} When `owner` holds it already.
   * @throws {TimeoutError} When the limit is reached, saying who holds it and how many wait.
   * @throws The reason of `signal`, unchanged.
   */
  acquire(options?: HoldOptions): Promise<Lease> {
    if (options !== undefined) {
      try {
        this.#check(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#permits.acquire(1, options);
  }

  /**
   * Takes the lock if it is free and nobody waits; never waits.
   *
   * @returns The lease, or `undefined`.
   */
  tryAcquire(options?: Pick<HoldOptions, "owner" | "label">): Lease | undefined {
    if (options !== undefined) this.#check(options);
    return this.#permits.tryAcquire(1, options);
  }

  /**
   * Runs `fn` while holding the lock; released however it ends.
   *
   * @param options As for {@linkcode acquire}; they bound the wait, not `fn`.
   * @returns What `fn` returns.
   */
  async run<T>(fn: () => T | PromiseLike<T>, options?: HoldOptions): Promise<T> {
    checkFunction(`run in ${this.#permits.describe()}`, "fn", fn);
    const lease = await this.acquire(options);
    try {
      return await fn();
    } finally {
      lease.release();
    }
  }

  /** A snapshot of who holds it, who waits, and the totals so far. */
  statistics(): AsyncLockStatistics {
    const { inUse, holder, queue } = this.#permits;
    return Object.freeze({
      held: inUse > 0,
      owner: holder?.data.owner,
      label: holder?.data.label,
      heldForMs: this.#heldForMs(),
      waiting: queue.size,
      ...queue.totals,
    });
  }

  #check(options: HoldOptions): void {
    const doing = `acquire ${subject("lock", this.name)}`;
    checkOptions(doing, options);
    checkHold(doing, options);
    const { owner, signal } = options;
    // An aborted signal comes first, and is refused further on.
    if (owner !== undefined && this.#permits.holder?.data.owner === owner && !signal?.aborted) {
      throw new LockReentryError(`Cannot ${doing}: the same owner holds it already${this.#byWhom()}`);
    }
  }

  #byWhom(): string {
    const label = this.#permits.holder?.data.label;
    return label === undefined ? "" : ` as ${JSON.stringify(label)}`;
  }

  #behind(): string {
    const forMs = this.#heldForMs();
    const since = forMs === undefined ? "" : ` for ${Math.round(forMs)} ms`;
    return `it is held${this.#byWhom()}${since}, ${this.#permits.queue.size} waiting`;
  }

  #heldForMs(): number | undefined {
    const since = this.#permits.holder?.data.sinceMs;
    return since === undefined ? undefined : clock().now() - since;
  }
}
