import { checkFunction, checkName, checkOptions, show, subject } from "../kernel/checks.ts";
import type { HoldOptions, Lease } from "../kernel/types.ts";
import { AsyncLock, permitsOf } from "./async_lock.ts";

/** What an operator wants to know of a {@linkcode KeyedLock}. */
export interface KeyedLockStatistics {
  /** Keys that are held or waited for. */
  readonly keys: number;
  /** How many wait, over all keys. */
  readonly waiting: number;
  /** Acquisitions so far. */
  readonly granted: number;
  /** Acquisitions given up by a signal. */
  readonly aborted: number;
  /** Acquisitions that reached their limit. */
  readonly timedOut: number;
}

/**
 * One {@linkcode AsyncLock} for each key, for as long as somebody holds it or waits for it.
 *
 * **Order** — per key, as for a lock; keys don't hold each other up. **Memory** — a key leaves nothing behind when
 * nobody holds it or waits for it any more. Keys are compared as in a `Map`.
 *
 * @example
 * ```ts
 * import { KeyedLock } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const accounts = new KeyedLock<string>();
 * using _ada = await accounts.acquire("ada");
 * using _bob = await accounts.acquire("bob"); // another key: no waiting
 * assert.equal(accounts.tryAcquire("ada"), undefined);
 * ```
 */
export class KeyedLock<K> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #locks = new Map<K, AsyncLock>();
  /** The totals of keys that are gone. */
  readonly #past = { granted: 0, aborted: 0, timedOut: 0 };

  /**
   * Creates a lock without keys.
   *
   * @param options `name` appears in messages and observer records, with the key.
   */
  constructor(options: { name?: string | undefined } = {}) {
    checkOptions("create keyed lock", options);
    checkName("create keyed lock", options.name);
    this.name = options.name;
  }

  /** Waits for the lock of `key`; see {@linkcode AsyncLock.acquire}. */
  acquire(key: K, options?: HoldOptions): Promise<Lease> {
    return this.#use(key, (lock) => lock.acquire(options));
  }

  /** Takes the lock of `key` if it is free; see {@linkcode AsyncLock.tryAcquire}. */
  tryAcquire(key: K, options?: Pick<HoldOptions, "owner" | "label">): Lease | undefined {
    return this.#use(key, (lock) => lock.tryAcquire(options));
  }

  /** Runs `fn` while holding the lock of `key`; see {@linkcode AsyncLock.run}. */
  async run<T>(key: K, fn: () => T | PromiseLike<T>, options?: HoldOptions): Promise<T> {
    checkFunction(`run in ${subject("keyed lock", this.name)}`, "fn", fn);
    return await this.#use(key, (lock) => lock.run(fn, options));
  }

  /** Whether somebody holds the lock of `key`. */
  isHeld(key: K): boolean {
    return this.#locks.get(key)?.held ?? false;
  }

  /** A snapshot of the keys in use and the totals so far. */
  statistics(): KeyedLockStatistics {
    const sum = { keys: this.#locks.size, waiting: 0, ...this.#past };
    for (const lock of this.#locks.values()) {
      const { waiting, granted, aborted, timedOut } = lock.statistics();
      sum.waiting += waiting;
      sum.granted += granted;
      sum.aborted += aborted;
      sum.timedOut += timedOut;
    }
    return Object.freeze(sum);
  }

  /** Calls with the lock of `key`, and lets go of one that was not acquired after all. */
  #use<R>(key: K, call: (lock: AsyncLock) => R): R {
    const lock = this.#locks.get(key) ?? this.#add(key);
    try {
      return call(lock);
    } finally {
      const { inUse, queue } = permitsOf(lock);
      if (inUse === 0 && queue.size === 0) this.#drop(key, lock);
    }
  }

  #add(key: K): AsyncLock {
    const lock = new AsyncLock({ name: `${this.name ?? "keyed"}[${show(key)}]` });
    permitsOf(lock).onIdle = () => this.#drop(key, lock);
    this.#locks.set(key, lock);
    return lock;
  }

  #drop(key: K, lock: AsyncLock): void {
    // Not the fresh lock that has taken the place of one which is dropped late.
    if (this.#locks.get(key) !== lock) return;
    this.#locks.delete(key);
    const { granted, aborted, timedOut } = permitsOf(lock).queue.totals;
    this.#past.granted += granted;
    this.#past.aborted += aborted;
    this.#past.timedOut += timedOut;
  }
}
