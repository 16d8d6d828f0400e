import { checkChoice, checkFunction, checkOptions, show, subject } from "../kernel/checks.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { PLAIN } from "./_cache_ask.ts";
import { Asking, closedError } from "./_cache_asking.ts";
import { Loads } from "./_cache_loads.ts";
import { type CacheSettings, cacheSettings, writeOptions } from "./_cache_settings.ts";
import { NONE } from "./_cache_slots.ts";
import { KeptFailure, Store } from "./_cache_store.ts";
import type {
  AsyncCacheCloseOptions,
  AsyncCacheGetOptions,
  AsyncCacheOptions,
  AsyncCacheSetOptions,
  AsyncCacheStatistics,
  CacheLease,
  CacheLoad,
  CacheLoadMany,
} from "./async_cache_options.ts";

let hitIn: <K, V>(cache: AsyncCache<K, V>, key: K) => V | undefined;

/** What `get` would answer at once with, counted as a hit; `undefined` where that would take more. For the floors above. */
export function hitOf<K, V>(cache: AsyncCache<K, V>, key: K): V | undefined {
  return hitIn(cache, key);
}

/**
 * Keeps values that take time to load, and has each loaded once for all who want it at the same time.
 *
 * **Load** — shared by key, under a signal of its own, and lives as long as somebody wants it: a caller that gives up
 * leaves the others waiting; after the last one the signal is aborted, and whoever asks then gets a new load. Its
 * deadline (`Deadline.of`) is that of the caller who waits longest. It is called at once, in the async context of the
 * first caller. A load that asks for what waits for itself gets a {@linkcode CycleError}, if that can be seen: it asks
 * before its first `await`, or passes its signal on. **Expiry** — counts from when a value was written or had been
 * loaded; looked at when it is read (in bursts within one turn, up to 64 reads share a look at the clock). Values may
 * outlive it on request: given out at once while they are loaded anew (`staleWhileRevalidateMs`), or when that fails
 * (`staleIfErrorMs`), with pauses between attempts. **Invalidation** — beats loads under way: what is set, deleted or cleared meanwhile stands; the load answers those who had asked before,
 * and is not stored. **Failures** — go to those who waited, by identity, and are not kept, unless `errorTtlMs` says so;
 * those of loads that nobody waits for go to the observer (`refresh.failed`, `late.failure`). **Room** — when there is
 * none, the `eviction` policy says who goes; a value heavier than `maxWeight` is given to its callers and not kept.
 * **Disposal** — with `dispose`, once for each value, by identity, when it has left the cache and no
 * {@linkcode lease} is out; only a lease protects the value while it is used. A loaded value that could not be stored
 * belongs to those who got it by `get`. Failures of disposal go to the observer (`dispose.failed`). **Close** — see
 * {@linkcode close}. **Timers** — one at most, none when nothing can expire; it keeps no process alive.
 *
 * Keys are those of a `Map`: objects by identity, `NaN` is one key, `-0` is `0`. `undefined` is a value like any other.
 *
 * @example
 * ```ts
 * import { AsyncCache } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * let loads = 0;
 * const users = new AsyncCache({
 *   maxEntries: 10_000,
 *   ttlMs: 60_000,
 *   load: async (id: number) => await Promise.resolve({ id, version: ++loads }),
 * });
 * const [a, b] = await Promise.all([users.get(7), users.get(7)]);
 * assert.equal(a, b);
 * assert.equal(users.peek(7), a);
 * users.delete(7);
 * assert.deepEqual(await users.get(7), { id: 7, version: 2 });
 * await users.close();
 * ```
 */
export class AsyncCache<K, V> implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #settings: CacheSettings<K, V>;
  readonly #store: Store<K, V>;
  readonly #loads: Loads<K, V>;
  readonly #asking: Asking<K, V>;
  readonly #closers: WaitQueue<void, true>;
  /** Whether a hit is a value and begins no load. */
  readonly #plainHits: boolean;

  static {
    hitIn = (cache, key) => cache.#hit(key);
  }

  /**
   * Creates an empty cache.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: AsyncCacheOptions<K, V> = {}) {
    const settings = this.#settings = cacheSettings(options);
    const changed = (): void => this.#tellClosers();
    this.name = settings.name;
    this.#store = new Store(settings, changed);
    this.#loads = new Loads(this.#store, settings, changed);
    this.#asking = new Asking(settings, this.#store, this.#loads);
    this.#closers = new WaitQueue({
      what: "close cache",
      structure: "cache",
      name: settings.name,
      behind: () => {
        const { calls, leases } = this.#loads;
        return `${calls.size} loads under way, ${leases} leases out, ${this.#disposing} disposals under way`;
      },
    });
    this.#plainHits = settings.errorTtlMs === 0 && settings.earlyRefresh === 0;
  }

  /** How many entries there are, those included that have expired and not gone yet, and failures that are kept. */
  get size(): number {
    return this.#store.size;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#loads.closed;
  }

  /**
   * The value of a key, loaded if it is not there.
   *
   * @param load Loads it; what it returns may be a promise or not. Default: that of the cache. Not called when the
   * value is there, or somebody else's load is under way.
   * @param options `signal` and `timeoutMs` give up this call, a hit included when the signal is aborted already.
   * @throws What the load throws.
   * @throws {CycleError} When the load of this very value asks.
   * @throws {ClosedError} When the cache is closed.
   * @throws {TimeoutError} When `timeoutMs` is reached; the load goes on for others.
   * @throws The reason of `signal`, unchanged.
   */
  get(key: K, load: CacheLoad<K, V>, options?: AsyncCacheGetOptions): Promise<V>;
  /** The same, with the load of the cache. */
  get(key: K, options?: AsyncCacheGetOptions): Promise<V>;
  get(key: K, load?: CacheLoad<K, V> | AsyncCacheGetOptions, options?: AsyncCacheGetOptions): Promise<V> {
    if (options === undefined && this.#plainHits && (typeof load === "function" || this.#hasLoad(load))) {
      const store = this.#store;
      const slot = store.expires ? store.freshSlot(key) : store.index.get(key);
      if (slot !== undefined && slot !== NONE) return Promise.resolve(store.hit(slot) as V);
      const under = slot === undefined ? this.#loads.find(key) : undefined;
      if (under !== undefined) {
        this.#loads.joined++;
        const waiting = this.#loads.wait(under, PLAIN, false) as Promise<V>;
        store.missed(key);
        store.deliver();
        return waiting;
      }
    }
    return this.#asking.one(key, load, options, false) as Promise<V>;
  }

  /**
   * A lease on the value of a key, loaded if it is not there: the value is not disposed before the lease is given back,
   * whatever becomes of its entry.
   *
   * Takes what {@linkcode get} takes, and fails as it does. {@linkcode close} waits for leases.
   *
   * @example
   * ```ts
   * import { AsyncCache } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const closed: string[] = [];
   * await using files = new AsyncCache({
   *   maxEntries: 1,
   *   load: async (path: string) => await Promise.resolve({ path }),
   *   dispose: ({ path }) => void closed.push(path),
   * });
   * const lease = await files.lease("a.txt");
   * await files.get("b.txt"); // which takes the only place
   * assert.deepEqual([lease.value.path, closed], ["a.txt", []]);
   * lease.release();
   * assert.deepEqual(closed, ["a.txt"]);
   * ```
   */
  lease(key: K, load: CacheLoad<K, V>, options?: AsyncCacheGetOptions): Promise<CacheLease<V>>;
  /** The same, with the load of the cache. */
  lease(key: K, options?: AsyncCacheGetOptions): Promise<CacheLease<V>>;
  lease(
    key: K,
    load?: CacheLoad<K, V> | AsyncCacheGetOptions,
    options?: AsyncCacheGetOptions,
  ): Promise<CacheLease<V>> {
    return this.#asking.one(key, load, options, true) as Promise<CacheLease<V>>;
  }

  /**
   * The values of several keys; those that are neither there nor being loaded are loaded together.
   *
   * @param load Loads them. Default: that of the cache, or else its `load` for each key.
   * @param options `signal` and `timeoutMs` give up the whole call; the load goes on for others who share it.
   * @returns A result for each key, in their order, as of `Promise.allSettled`: one key may fail alone.
   * @throws {ClosedError} When the cache is closed.
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged.
   *
   * @example
   * ```ts
   * import { AsyncCache } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * await using prices = new AsyncCache<string, number>();
   * prices.set("tea", 3);
   * const results = await prices.getMany(["tea", "milk", "gold"], async (names) => {
   *   assert.deepEqual(names, ["milk", "gold"]);
   *   return await Promise.resolve([1, new RangeError("Sold out")]);
   * });
   * assert.deepEqual(results.map((one) => one.status), ["fulfilled", "fulfilled", "rejected"]);
   * ```
   */
  getMany(
    keys: Iterable<K>,
    load: CacheLoadMany<K, V>,
    options?: AsyncCacheGetOptions,
  ): Promise<PromiseSettledResult<V>[]>;
  /** The same, with the loads of the cache. */
  getMany(keys: Iterable<K>, options?: AsyncCacheGetOptions): Promise<PromiseSettledResult<V>[]>;
  getMany(
    keys: Iterable<K>,
    load?: CacheLoadMany<K, V> | AsyncCacheGetOptions,
    options?: AsyncCacheGetOptions,
  ): Promise<PromiseSettledResult<V>[]> {
    return this.#asking.many(keys, load, options);
  }

  /**
   * The value of a key if it is there and fresh, without waiting; counts as a read.
   *
   * @returns The value, or `undefined`; {@linkcode has} tells an `undefined` that is there from none.
   */
  peek(key: K): V | undefined {
    const store = this.#store;
    const slot = store.expires ? store.freshSlot(key) : store.index.get(key);
    if (slot !== undefined && slot !== NONE) {
      const value = store.hit(slot);
      if (this.#plainHits || !(value instanceof KeptFailure)) return value as V;
    } else this.#missed(key);
    return undefined;
  }

  /** Whether a fresh value is there; does not count as a read. */
  has(key: K): boolean {
    const slot = this.#store.slotOf(key);
    return slot !== NONE && this.#store.phaseOf(slot) === "fresh" &&
      !(this.#store.values[slot] instanceof KeptFailure);
  }

  /**
   * Writes a value; a load of the key that is under way is not stored any more.
   *
   * @throws What `weigh`, `ttlMs` and `tags` of the cache throw; nothing has changed then.
   * @throws {TypeError | RangeError} When an option, a weight or a TTL is not as it should be.
   * @throws {ClosedError} When the cache is closed.
   */
  set(key: K, value: V, options?: AsyncCacheSetOptions): void {
    if (this.#loads.closed) throw closedError("write to", this.name);
    const store = this.#store;
    if (options === undefined) store.put(key, value, undefined);
    else {
      const doing = `write to ${subject("cache", this.name)}`;
      checkOptions(doing, options);
      store.put(key, value, writeOptions(doing, options));
    }
    this.#loads.detach(key);
    if (this.#loads.closed) store.clear("closed"); // as what was asked of the user has closed it
    else store.deliver();
  }

  /**
   * Deletes the entry of a key, and has a load under way not stored.
   *
   * @returns Whether there was a value of any use.
   */
  delete(key: K): boolean {
    this.#loads.detach(key); // first, as it may abort a load, whose listeners may do anything
    const slot = this.#store.slotOf(key);
    if (slot === NONE) return false;
    const isValue = !(this.#store.values[slot] instanceof KeptFailure);
    this.#store.out(slot, "deleted");
    this.#store.deliver();
    return isValue;
  }

  /**
   * Deletes all entries with a tag, and has loads under way not stored whose values turn out to have it.
   *
   * @returns How many entries there were.
   */
  deleteTag(tag: string): number {
    if (typeof tag !== "string") {
      throw new TypeError(
        `Cannot delete from ${subject("cache", this.name)} as tag must be a string: received ${show(tag)}`,
      );
    }
    const keys = this.#store.tags.slotsOf(tag).map((slot) => this.#store.keys[slot] as K);
    this.#loads.suspect(tag);
    return this.#deleteAll(keys);
  }

  /**
   * Deletes all entries whose keys match, and has loads of such keys that are under way not stored.
   *
   * @param match Called with each key; when it throws, nothing was deleted.
   * @returns How many entries there were.
   *
   * @example
   * ```ts
   * import { AsyncCache } from "@uno/async/flow";
   * import assert from "node:assert/strict";
   *
   * const pages = new AsyncCache<string, string>();
   * for (const path of ["/a", "/a/b", "/c"]) pages.set(path, "…");
   * assert.equal(pages.deleteWhere((path) => path.startsWith("/a")), 2);
   * ```
   */
  deleteWhere(match: (key: K) => boolean): number {
    checkFunction(`delete from ${subject("cache", this.name)}`, "match", match);
    const keys = [...this.#store.index.keys()].filter((key) => match(key));
    const loading = this.#loads.keys().filter((key) => match(key));
    for (const key of loading) this.#loads.detach(key);
    return this.#deleteAll(keys);
  }

  /** Deletes everything, and has all loads under way not stored. */
  clear(): void {
    for (const key of this.#loads.keys()) this.#loads.detach(key);
    this.#store.clear("cleared");
  }

  /**
   * Takes nothing new, deletes everything, and waits until all is over: loads under way, leases, disposals.
   *
   * Loads go on for those who wait for them; with `loads: "abort"` their signals are aborted, and those who wait get a
   * {@linkcode ClosedError}. What asks afterwards gets one too. Again: waits for the same end; `"abort"` still aborts.
   *
   * @returns A promise that resolves when nothing is left; it does not reject for loads or disposals that failed.
   */
  close(options: AsyncCacheCloseOptions = {}): Promise<void> {
    const doing = `close ${subject("cache", this.name)}`;
    let loads: AsyncCacheCloseOptions["loads"];
    try {
      checkOptions(doing, options);
      ({ loads = "wait" } = options);
      checkChoice(doing, "loads", loads, ["wait", "abort"]);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = this.#closers.refusal(options);
    if (refused !== undefined) return refused;
    this.#loads.closed = true;
    for (const key of this.#loads.keys()) this.#loads.detach(key);
    if (loads === "abort") this.#loads.abortAll(closedError("get from", this.name));
    this.#store.clear("closed");
    return this.#idle ? Promise.resolve() : this.#closers.wait(true, options);
  }

  /** Closes it; see {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of what is in it, and the totals so far. */
  statistics(): AsyncCacheStatistics {
    const { size, weight, tags, hits, staleHits, misses, evicted, expired } = this.#store;
    const { calls, leases, started, joined, failed, closed } = this.#loads;
    const { aborted, timedOut } = this.#loads.totals();
    return Object.freeze({
      size,
      weight,
      tags: tags.size,
      loading: [...calls].reduce((sum, call) => sum + call.loads.length, 0),
      inUse: leases,
      closed,
      hits,
      staleHits,
      misses,
      loads: started,
      joined,
      failed,
      evicted,
      expired,
      aborted: aborted + this.#asking.refused,
      timedOut,
    });
  }

  #missed(key: K): void {
    this.#store.slotOf(key); // which takes out what is of no use any more
    this.#store.missed(key);
    this.#store.deliver();
  }

  #deleteAll(keys: readonly K[]): number {
    let deleted = 0;
    for (const key of keys) if (this.delete(key)) deleted++;
    return deleted;
  }

  /** Whether what stands in the place of a load is none, and the cache has one of its own. */
  #hasLoad(load: unknown): boolean {
    return load === undefined && this.#settings.load !== undefined;
  }

  #hit(key: K): V | undefined {
    const slot = this.#plainHits ? this.#store.freshSlot(key) : NONE;
    return slot === NONE ? undefined : this.#store.hit(slot) as V;
  }

  get #idle(): boolean {
    return this.#loads.calls.size === 0 && this.#loads.leases === 0 && this.#disposing === 0;
  }

  get #disposing(): number {
    return this.#store.disposal?.pending ?? 0;
  }

  #tellClosers(): void {
    while (this.#closers.size > 0 && this.#idle) this.#closers.grant();
  }
}
