import { AsyncCache } from "../flow/async_cache.ts";
import type { AsyncCacheOptions } from "../flow/async_cache_options.ts";
import { show } from "../kernel/checks.ts";
import { keyOfArguments } from "./_key_of_arguments.ts";
import { decorator, finder, keyFunction, type Kind } from "./_decorator.ts";
import type { Decorator, KeyFunction, PerOptions } from "./decorator.ts";

/** What {@linkcode cached} looks at in calls. */
// deno-lint-ignore no-explicit-any
export interface CachedKey<A extends any[], K> {
  /** What the value depends on, as a key of the cache; compared as `Map` keys are. */
  key: KeyFunction<A, K>;
}

/** Options of {@linkcode cached}, with those of the `AsyncCache` that it makes. */
// deno-lint-ignore no-explicit-any
export interface CachedOptions<A extends any[] = any[], V = any, K = any>
  extends
    Omit<AsyncCacheOptions<K, V>, "load" | "loadMany" | "dispose">,
    Partial<CachedKey<A, K>>,
    PerOptions {
}

// deno-lint-ignore no-explicit-any
type Cache = AsyncCache<any, any>;

// deno-lint-ignore no-explicit-any
const kind: Kind<Cache, CachedOptions<any[]>> = {
  what: "cache",
  method: "get",
  per: "instance",
  make: (options) => new AsyncCache(options),
};

/**
 * Makes a decorator that keeps what calls give, and has equal calls at the same time made once. Also a transformer of
 * functions.
 *
 * The promises are those of `AsyncCache`. **Key** — by default the arguments, which have to be strings, numbers, bigints,
 * booleans, `null` or `undefined`; `undefined` ones at the end and an options bag that holds nothing but a `signal` don't
 * count. A call with others rejects with a `TypeError`: give it a `key`. **Sharing** — each object has a cache of its
 * own, held weakly, as what a method gives depends on its object; with `per: "function"` all share one. **Signal** — when
 * the last argument of a call is an options bag with a `signal`, it gives this call up; the function gets that of the
 * load in its place, which is aborted when nobody waits for it any more. **Values** — are the same for all callers: don't
 * change them. To delete from the cache or look at its numbers, give it one: see the other form.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { cached } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * class Users {
 *   queries = 0;
 *
 *   @cached({ ttlMs: 60_000, maxEntries: 1_000 })
 *   async byId(id: number): Promise<{ id: number }> {
 *     this.queries++;
 *     return await Promise.resolve({ id });
 *   }
 * }
 * const users = new Users();
 * const [one, same] = await Promise.all([users.byId(1), users.byId(1)]);
 * assert.equal(one, same);
 * assert.equal(await users.byId(1), one);
 * assert.deepEqual(users.queries, 1);
 * ```
 */
// deno-lint-ignore no-explicit-any
export function cached<A extends any[] = any[], V = any, K = any>(
  options?: CachedOptions<A, V, K>,
): Decorator<A, V>;
/**
 * The same with a given `AsyncCache`, or that which each object has.
 *
 * Several functions may share one: `key` has to tell their calls apart.
 *
 * @example
 * ```ts
 * import { cached } from "@uno/async/decorate";
 * import { AsyncCache } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * class Users {
 *   readonly names = new AsyncCache<number, string>({ ttlMs: 60_000 });
 *   readonly #table = new Map([[1, "Ada"]]);
 *
 *   @cached((self: Users) => self.names, { key: (id: number) => id })
 *   async name(id: number): Promise<string> {
 *     return await Promise.resolve(this.#table.get(id) ?? "nobody");
 *   }
 *
 *   rename(id: number, name: string): void {
 *     this.#table.set(id, name);
 *     this.names.delete(id);
 *   }
 * }
 * const users = new Users();
 * assert.deepEqual(await users.name(1), "Ada");
 * users.rename(1, "Ada Lovelace");
 * assert.deepEqual(await users.name(1), "Ada Lovelace");
 * assert.deepEqual(users.names.statistics().loads, 2);
 * ```
 */
// deno-lint-ignore no-explicit-any
export function cached<A extends any[], K, V>(
  // deno-lint-ignore no-explicit-any
  cache: AsyncCache<K, V> | ((self: any) => AsyncCache<K, V>),
  options: CachedKey<A, K>,
): Decorator<A, V>;
// deno-lint-ignore no-explicit-any
export function cached<A extends any[]>(
  // deno-lint-ignore no-explicit-any
  source: Cache | ((self: any) => Cache) | CachedOptions<A> = {},
  beside?: CachedKey<A, unknown>,
  // deno-lint-ignore no-explicit-any
): Decorator<A, any> {
  const key = keyFunction<A>("cache", source, beside);
  if (key === undefined && (typeof source === "function" || source instanceof AsyncCache)) {
    throw new TypeError(
      `Cannot create cached as key must be given with a cache of one's own: received ${show(key)}`,
    );
  }
  return decorator(
    finder(kind, source),
    (name) => key ?? ((...args) => keyOfArguments(name, args)),
    (cache, work, options, key) => cache.get(key, (_, context) => work(context), options),
  );
}
