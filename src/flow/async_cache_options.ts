/** What a cache can be told, and what it tells. */
import type { BackoffOptions } from "../kernel/backoff.ts";
import type { Lease, WaitOptions } from "../kernel/types.ts";
import type { CallContext } from "./policy.ts";

/** Loads the value of a key. */
export type CacheLoad<K, V> = (key: K, context: CallContext) => V | PromiseLike<V>;

/** What a bulk load gives: a value for each key in their order, or by key. An `Error` in its place fails one key only. */
export type CacheBulk<K, V> = readonly (V | Error)[] | ReadonlyMap<K, V | Error>;

/** Loads the values of several keys at once; called with at least one, each once. */
export type CacheLoadMany<K, V> = (
  keys: readonly K[],
  context: CallContext,
) => CacheBulk<K, V> | PromiseLike<CacheBulk<K, V>>;

/** Why a value is not in a cache any more; `"unwanted"`: it never was, as nobody was left to take it. */
export type CacheRemoval =
  | "evicted"
  | "expired"
  | "replaced"
  | "deleted"
  | "cleared"
  | "closed"
  | "unwanted";

/** Options of an {@linkcode AsyncCache}. All functions are called synchronously, and should be quick. */
export interface AsyncCacheOptions<K, V> {
  /** Loads what is asked for without a load of its own. */
  load?: CacheLoad<K, V> | undefined;
  /** The same for {@linkcode AsyncCache.getMany}. */
  loadMany?: CacheLoadMany<K, V> | undefined;
  /** How many entries there are at most; 0 keeps none, and still shares loads. Default `Infinity`. */
  maxEntries?: number | undefined;
  /** How much all entries may weigh together; takes `weigh`. Default `Infinity`. */
  maxWeight?: number | undefined;
  /** What an entry weighs: a whole number, 0 or more. */
  weigh?: ((value: V, key: K) => number) | undefined;
  /**
   * Which entry goes when there is no room: `"sieve"` (the default: as good as any on most loads, and a hit costs
   * next to nothing), `"lru"` (the least recently used one), or `"s3-fifo"` (the best where many keys are asked for
   * only once).
   */
  eviction?: "sieve" | "lru" | "s3-fifo" | undefined;
  /** For how long a value is fresh, in milliseconds, from when it was written or had been loaded. Default `Infinity`. */
  ttlMs?: (number | ((value: V, key: K) => number)) | undefined;
  /** For how long it is fresh without being read, in milliseconds. Default `Infinity`. */
  idleMs?: number | undefined;
  /** By which part of it, from 0 to 1, a TTL is cut at random, so that what came together does not go together. */
  jitter?: number | undefined;
  /**
   * For how long after its TTL a value is given out at once all the same, in milliseconds, while it is loaded anew in
   * the background. Default 0.
   */
  staleWhileRevalidateMs?: number | undefined;
  /**
   * For how long after its TTL a value is given out, in milliseconds, when loading it anew has failed. Default 0: the
   * failure goes to the caller.
   */
  staleIfErrorMs?: number | undefined;
  /** How long after a failure such a value is not loaded anew. Default: from 1 s, doubling to 60 s, the upper half at random. */
  backoff?: BackoffOptions | undefined;
  /** For how long a failure to load is kept, and given to callers, in milliseconds. Default 0. */
  errorTtlMs?: (number | ((error: unknown, key: K) => number)) | undefined;
  /**
   * How eagerly values are loaded anew before their TTL is over, each reader at random: 1 is as good as any number
   * above 0. Default 0: never.
   */
  earlyRefresh?: number | undefined;
  /** What the value of a key depends on, for {@linkcode AsyncCache.deleteTag}. */
  tags?: ((value: V, key: K) => Iterable<string>) | undefined;
  /**
   * How a value is disposed once it has left the cache and nobody holds a lease on it: `true` for its own
   * `Symbol.asyncDispose` or `Symbol.dispose`. Default: not at all.
   */
  dispose?: (true | ((value: V, key: K, reason: CacheRemoval) => unknown)) | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** Options of {@linkcode AsyncCache.set}. */
export interface AsyncCacheSetOptions {
  /** For how long this value is fresh, in milliseconds; default: as the cache has it. */
  ttlMs?: number | undefined;
  /** What it depends on, besides what the cache's own `tags` says. */
  tags?: Iterable<string> | undefined;
}

/** Options of {@linkcode AsyncCache.get} and its siblings. Of those who share a load, the first says `ttlMs` and `tags`. */
export interface AsyncCacheGetOptions extends WaitOptions, AsyncCacheSetOptions {
  /** Loads the value even if it is there and fresh, or joins a load that is under way. Default `false`. */
  refresh?: boolean | undefined;
}

/** Options of {@linkcode AsyncCache.close}: `signal` and `timeoutMs` give up the wait, not the closing. */
export interface AsyncCacheCloseOptions extends WaitOptions {
  /** Whether loads under way go on for those who wait for them (`"wait"`, the default) or are aborted. */
  loads?: "wait" | "abort" | undefined;
}

/** A value on loan: it is not disposed before it is given back. */
export interface CacheLease<V> extends Lease {
  /** The value. */
  readonly value: V;
}

/** What an operator wants to know of an {@linkcode AsyncCache}. */
export interface AsyncCacheStatistics {
  /** Entries, those included that have expired and not gone yet, and failures that are kept. */
  readonly size: number;
  /** What they weigh together; 0 without `weigh`. */
  readonly weight: number;
  /** Different tags on them. */
  readonly tags: number;
  /** Loads under way, those included that were given up and have not ended. */
  readonly loading: number;
  /** Leases that are out. */
  readonly inUse: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Reads answered with a value that was there; in `getMany`, one for each different key. */
  readonly hits: number;
  /** Those of them whose value had expired. */
  readonly staleHits: number;
  /** Reads that found no value of use, counted likewise: nothing, or a failure that is kept. */
  readonly misses: number;
  /** Loads begun, by key. */
  readonly loads: number;
  /** Reads that waited for a load which another had begun, by key. */
  readonly joined: number;
  /** Loads that failed, by key. */
  readonly failed: number;
  /** Entries that had to go to make room. */
  readonly evicted: number;
  /** Entries that went as they had expired. */
  readonly expired: number;
  /** Calls given up by a signal. */
  readonly aborted: number;
  /** Calls that reached their limit. */
  readonly timedOut: number;
}
