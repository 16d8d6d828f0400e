import { checkFunction, checkInteger, subject } from "../kernel/checks.ts";
import { deferred } from "../kernel/deferred.ts";
import { checkDrain } from "./_drain.ts";
import { Pool } from "./_pool.ts";
import type { Request } from "./_pool_line.ts";
import { requestOf, runLeased } from "./_pool_requests.ts";
import { Room } from "./_pool_room.ts";
import { checkPoolOptions, type PoolSettings, settingsOf } from "./_pool_settings.ts";
import { closedError } from "./_pool_words.ts";
import type {
  KeyedPoolStatistics,
  KeyedResourcePoolOptions,
  PoolAcquireOptions,
  PoolCloseOptions,
  PoolCloseReport,
  PoolCreateContext,
  PoolLease,
  PoolRunContext,
  PoolRunOptions,
  PoolStatistics,
} from "./pool_options.ts";

/** What is counted over all keys, those that are gone included. */
const TOTALS = [
  "granted",
  "aborted",
  "timedOut",
  "refused",
  "created",
  "createFailed",
  "destroyed",
  "invalid",
  "evicted",
  "leaked",
] as const;

type Total = typeof TOTALS[number];

/** What is counted over the keys that there are. */
const COUNTS = ["inUse", "leases", "idle", "creating", "checking", "destroying", "waiting"] as const;

/**
 * A pool for each key, such as a host or a tenant, all of them within one limit.
 *
 * Each key has an {@linkcode AsyncResourcePool} of its own, with its own back-off, which is there only while it has
 * anything. **Limit** — `max` counts the resources of all keys, `maxPerKey` those of one. A key that needs room when
 * there is none has the resource destroyed that has been idle for the longest, whichever key it is of. **Order** — first
 * come, first served: a resource that comes back goes to a waiter of its own key, unless somebody waits for room for
 * another key who came before; then it is destroyed, and the room is theirs.
 *
 * @example
 * ```ts
 * import { KeyedResourcePool } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * await using pool = new KeyedResourcePool({
 *   max: 2,
 *   create: (host: string) => Promise.resolve({ host }),
 * });
 * for (const host of ["a", "b", "c", "a"]) {
 *   assert.equal(await pool.run(host, ({ value }) => value.host), host);
 * }
 * assert.equal(pool.statistics().size, 2);
 * assert.equal(pool.statistics().created, 4); // "a" had to make room for "c"
 * ```
 */
export class KeyedResourcePool<K, T> implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #options: KeyedResourcePoolOptions<K, T>;
  readonly #what: string;
  #maxPerKey: number;
  readonly #room: Room<T>;
  readonly #pools = new Map<K, Pool<T>>();
  readonly #totals: Record<Total, number>;
  readonly #settings: PoolSettings<T>;
  #requests = 0;
  #closing: Promise<PoolCloseReport> | undefined;

  /**
   * Creates a pool without resources.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: KeyedResourcePoolOptions<K, T>) {
    checkPoolOptions(options);
    const doing = `create ${subject("pool", options.name)}`;
    const { max, maxPerKey = max } = options;
    checkInteger(doing, "max", max, 1);
    checkInteger(doing, "maxPerKey", maxPerKey, 1);
    checkFunction(doing, "create", options.create);
    this.name = options.name;
    this.#options = options;
    this.#maxPerKey = maxPerKey;
    this.#room = new Room(max);
    this.#settings = settingsOf(options, () => undefined as T);
    this.#what = this.#settings.what;
    this.#totals = Object.fromEntries(TOTALS.map((name) => [name, 0])) as Record<Total, number>;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** The keys that have anything: resources, waiters, or a pause after creating failed. */
  keys(): K[] {
    return [...this.#pools.keys()];
  }

  /**
   * Waits for a resource of a key; see {@linkcode AsyncResourcePool.acquire}.
   *
   * @param key Which; compared as a `Map` compares.
   */
  acquire(key: K, options?: PoolAcquireOptions): Promise<PoolLease<T>> {
    const pool = this.#pools.get(key) ?? this.#make(key);
    try {
      const refused = pool.line.refusal(options);
      if (refused !== undefined) return refused;
      const request = this.#request(options, this.acquire);
      if (this.closed) return Promise.reject(closedError(this.#what));
      const lease = pool.take(request);
      if (lease !== undefined) return Promise.resolve(lease);
      return pool.wait(request, options?.signal, options?.timeoutMs);
    } catch (error) {
      return Promise.reject(error);
    } finally {
      pool.settled(); // A key that was refused is not kept.
    }
  }

  /** Leases a resource of a key if one is idle; see {@linkcode AsyncResourcePool.tryAcquire}. */
  tryAcquire(key: K, options?: Pick<PoolAcquireOptions, "owner" | "label">): PoolLease<T> | undefined {
    const request = this.#request(options, this.tryAcquire);
    return this.closed ? undefined : this.#pools.get(key)?.take(request);
  }

  /** Runs `fn` with a resource of a key; see {@linkcode AsyncResourcePool.run}. */
  async run<R>(
    key: K,
    fn: (context: PoolRunContext<T>) => R | PromiseLike<R>,
    options: PoolRunOptions = {},
  ): Promise<R> {
    return await runLeased(this.#what, this.#settings, fn, options, (hold) => this.acquire(key, hold));
  }

  /**
   * Changes how many resources there may be in all, and of one key, unless `maxPerKey` was given; see
   * {@linkcode AsyncResourcePool.resize}.
   *
   * @param max The new number, 0 or more.
   */
  resize(max: number): void {
    checkInteger(`resize ${this.#what}`, "max", max, 0);
    if (this.#options.maxPerKey === undefined) {
      // Before there is room: whoever may now have more of a key asks for it, and all are served as they came.
      this.#maxPerKey = max;
      for (const pool of [...this.#pools.values()]) pool.resize(max);
    }
    this.#room.resize(max);
  }

  /** Replaces what there is of a key; see {@linkcode AsyncResourcePool.evict}. */
  evict(key: K): void {
    this.#pools.get(key)?.evict();
  }

  /** Closes the pools of all keys; see {@linkcode AsyncResourcePool.close}. */
  close(options: PoolCloseOptions = {}): Promise<PoolCloseReport> {
    try {
      const graceMs = checkDrain(`close ${this.#what}`, options);
      const pools = [...this.#pools.values()];
      if (this.#closing !== undefined) {
        for (const pool of pools) void pool.close(graceMs);
        return this.#closing;
      }
      // It is there before the pools end, as those who are told on the way may come back.
      const { promise, resolve } = deferred<PoolCloseReport>();
      this.#closing = promise;
      resolve(this.#close(pools, graceMs));
      return promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Closes it; see {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A snapshot of all keys together, and the totals so far. */
  statistics(): KeyedPoolStatistics {
    const all = [...this.#pools.values()].map((pool) => pool.statistics());
    const sum = (name: typeof COUNTS[number] | typeof TOTALS[number], from = 0): number =>
      all.reduce((total, one) => total + one[name], from);
    const counts = Object.fromEntries(COUNTS.map((name) => [name, sum(name)]));
    const totals = Object.fromEntries(TOTALS.map((name) => [name, sum(name, this.#totals[name])]));
    const { max, used, leased } = this.#room;
    return Object.freeze({
      max,
      size: used,
      keys: this.#pools.size,
      free: this.closed ? 0 : Math.max(0, max - leased),
      closed: this.closed,
      ...counts,
      ...totals,
    }) as KeyedPoolStatistics;
  }

  /** A snapshot of one key; `undefined` when it has nothing. */
  statisticsOf(key: K): PoolStatistics | undefined {
    return this.#pools.get(key)?.statistics();
  }

  #make(key: K): Pool<T> {
    const settings = {
      ...this.#settings,
      create: (context: PoolCreateContext) => this.#options.create(key, context),
    };
    const pool = new Pool(settings, {
      max: this.#maxPerKey,
      min: 0,
      room: this.#room,
      onEmpty: () => {
        if (this.#pools.get(key) !== pool) return;
        this.#pools.delete(key);
        this.#count(pool);
      },
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /** Keeps what a pool has counted that is gone. */
  #count(pool: Pool<T>): void {
    const statistics = pool.statistics();
    for (const name of TOTALS) this.#totals[name] += statistics[name];
  }

  #request(options: PoolAcquireOptions | undefined, from: object): Request {
    const watched = this.#settings.leakAfterMs !== Infinity;
    return requestOf(this.#what, watched ? from : undefined, options, ++this.#requests);
  }

  async #close(pools: Pool<T>[], graceMs: number): Promise<PoolCloseReport> {
    const reports = await Promise.all(pools.map((pool) => pool.close(graceMs)));
    return Object.freeze({
      stragglers: Object.freeze(reports.flatMap(({ stragglers }) => stragglers)),
      errors: Object.freeze(reports.flatMap(({ errors }) => errors)),
    });
  }
}
