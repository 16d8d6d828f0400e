/** The options of a cache, checked and completed. */
import { backoffOf } from "../kernel/backoff.ts";
import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { EVICTIONS } from "./_cache_entries.ts";
import type { AsyncCacheOptions, AsyncCacheSetOptions } from "./async_cache_options.ts";

type Defaulted =
  | "maxEntries"
  | "maxWeight"
  | "eviction"
  | "ttlMs"
  | "idleMs"
  | "jitter"
  | "staleWhileRevalidateMs"
  | "staleIfErrorMs"
  | "errorTtlMs"
  | "earlyRefresh";

/** What a cache goes by. */
export interface CacheSettings<K, V>
  extends
    Required<Pick<AsyncCacheOptions<K, V>, Defaulted>>,
    Pick<AsyncCacheOptions<K, V>, "load" | "loadMany" | "weigh" | "tags" | "dispose" | "name"> {
  /** For how long an entry is of use after it was fresh. */
  readonly graceMs: number;
  readonly pauseMs: (attempt: number, previousMs?: number) => number;
}

/** How the pauses between vain attempts to replace a stale value grow, unless told otherwise. */
const BACKOFF = { baseMs: 1_000, maxMs: 60_000, jitter: "equal" } as const;

/** Checks the options of a cache. */
export function cacheSettings<K, V>(options: AsyncCacheOptions<K, V>): CacheSettings<K, V> {
  checkOptions("create cache", options);
  const { load, loadMany, weigh, tags, dispose, name, ...given } = options;
  checkName("create cache", name);
  const doing = `create ${subject("cache", name)}`;
  const {
    maxEntries = Infinity,
    maxWeight = Infinity,
    eviction = "sieve",
    ttlMs = Infinity,
    idleMs = Infinity,
    jitter = 0,
    staleWhileRevalidateMs = 0,
    staleIfErrorMs = 0,
    errorTtlMs = 0,
    earlyRefresh = 0,
    backoff = BACKOFF,
  } = given;
  for (const [what, fn] of Object.entries({ load, loadMany, weigh, tags })) {
    if (fn !== undefined) checkFunction(doing, what, fn);
  }
  if (dispose !== undefined && dispose !== true) checkFunction(doing, "dispose", dispose);
  checkCount(doing, "maxEntries", maxEntries, 0);
  checkCount(doing, "maxWeight", maxWeight, 0);
  if (maxWeight !== Infinity) checkFunction(doing, "weigh", weigh);
  checkChoice(doing, "eviction", eviction, EVICTIONS);
  if (typeof ttlMs !== "function") checkDurationMs(doing, "ttlMs", ttlMs);
  if (typeof errorTtlMs !== "function") checkDurationMs(doing, "errorTtlMs", errorTtlMs);
  checkDurationMs(doing, "idleMs", idleMs);
  checkDurationMs(doing, "staleWhileRevalidateMs", staleWhileRevalidateMs);
  checkDurationMs(doing, "staleIfErrorMs", staleIfErrorMs);
  checkFactor(doing, "jitter", jitter, 1);
  checkFactor(doing, "earlyRefresh", earlyRefresh, Number.MAX_VALUE);
  return {
    load,
    loadMany,
    weigh,
    tags,
    dispose,
    name,
    maxEntries,
    maxWeight,
    eviction,
    ttlMs,
    idleMs,
    jitter,
    staleWhileRevalidateMs,
    staleIfErrorMs,
    errorTtlMs,
    earlyRefresh,
    graceMs: Math.max(staleWhileRevalidateMs, staleIfErrorMs),
    pauseMs: backoffOf(doing, backoff, "backoff."),
  };
}

function checkFactor(doing: string, what: string, value: unknown, max: number): void {
  const rule = max === 1 ? "a number from 0 to 1" : "a finite number >= 0";
  const message = `Cannot ${doing} as ${what} must be ${rule}: received ${show(value)}`;
  if (typeof value !== "number") throw new TypeError(message);
  if (!(value >= 0 && value <= max)) throw new RangeError(message);
}

/** Checked options of something that is written, each read once. */
export interface WriteOptions {
  readonly ttlMs: number | undefined;
  readonly tags: readonly string[] | undefined;
}

/** Checks what is said of a value that is written, or will be. */
export function writeOptions(doing: string, options: AsyncCacheSetOptions): WriteOptions {
  const { ttlMs, tags } = options;
  if (ttlMs !== undefined) checkDurationMs(doing, "ttlMs", ttlMs);
  return { ttlMs, tags: tags === undefined ? undefined : tagList(doing, tags) };
}

/** Checks tags. Text could be iterated too, and would be a tag for each letter. */
export function tagList(doing: string, tags: unknown): readonly string[] {
  const iterable = typeof tags === "object" && tags !== null && Symbol.iterator in tags;
  const list: readonly unknown[] | undefined = iterable ? [...tags as Iterable<unknown>] : undefined;
  if (list?.every((tag) => typeof tag === "string")) return list as readonly string[];
  const wrong = list === undefined ? tags : list.find((tag) => typeof tag !== "string");
  throw new TypeError(`Cannot ${doing} as tags must be a list of strings: received ${show(wrong)}`);
}
