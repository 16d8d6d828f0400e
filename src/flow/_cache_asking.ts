/** The way of a call for values: checked, answered with what is there, or put to a load that is shared. */
import { show, subject } from "../kernel/checks.ts";
import { ClosedError } from "../kernel/errors.ts";
import { type Ask, checkAsk, PLAIN } from "./_cache_ask.ts";
import type { ValueLease } from "./_cache_disposal.ts";
import { Call } from "./_cache_load.ts";
import type { Loads } from "./_cache_loads.ts";
import { getMany } from "./_cache_many.ts";
import type { CacheSettings } from "./_cache_settings.ts";
import { KeptFailure, type Store } from "./_cache_store.ts";
import type { AsyncCacheGetOptions, CacheLoad, CacheLoadMany } from "./async_cache_options.ts";

/** The error of a cache that is closed. */
export function closedError(doing: string, name: string | undefined): ClosedError {
  return new ClosedError(`Cannot ${doing} ${subject("cache", name)}: it is closed`);
}

/** Answers those who ask a cache. */
export class Asking<K, V> {
  /** Calls refused as their signal was aborted already. */
  refused = 0;
  readonly #settings: CacheSettings<K, V>;
  readonly #store: Store<K, V>;
  readonly #loads: Loads<K, V>;

  constructor(settings: CacheSettings<K, V>, store: Store<K, V>, loads: Loads<K, V>) {
    this.#settings = settings;
    this.#store = store;
    this.#loads = loads;
  }

  /** For one value, or a lease on it; `load` is a load, or options in its place. */
  one(
    key: K,
    load: CacheLoad<K, V> | AsyncCacheGetOptions | undefined,
    options: AsyncCacheGetOptions | undefined,
    lease: boolean,
  ): Promise<V | ValueLease<V>> {
    const loader = typeof load === "function" ? load : this.#settings.load;
    let ask: Ask;
    try {
      ask = this.#check(loader, load, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = this.#refusal(ask);
    if (refused !== undefined) return refused;
    const [store, loads] = [this.#store, this.#loads];
    const found = store.look(key, ask.refresh);
    if (found !== undefined) {
      const { value, again } = found;
      const failed = value instanceof KeptFailure;
      const answer = failed ? undefined : lease ? loads.lend(key, value) : value;
      store.deliver();
      if (failed) return Promise.reject(value.error);
      if (again) loads.refresh(key, loader!, ask.write);
      return Promise.resolve(answer as V | ValueLease<V>);
    }
    const under = loads.find(key);
    const call = under === undefined ? new Call() : undefined;
    if (under !== undefined) loads.joined++;
    // First the wait: observers and the loader may do anything, such as to abort this very call.
    const waiting = loads.wait(under ?? loads.open(key, call!, ask.write), ask, lease);
    store.deliver();
    if (call !== undefined) loads.begin(call, loader!);
    return waiting;
  }

  /** For several values. */
  many(
    keys: Iterable<K>,
    load: CacheLoadMany<K, V> | AsyncCacheGetOptions | undefined,
    options: AsyncCacheGetOptions | undefined,
  ): Promise<PromiseSettledResult<V>[]> {
    const { load: loadOne, loadMany: loadAll } = this.#settings;
    const loadMany = typeof load === "function" ? load : loadAll;
    let ask: Ask;
    let list: K[];
    try {
      ask = this.#check(loadMany ?? loadOne, load, options);
      if (typeof keys?.[Symbol.iterator] !== "function") {
        throw new TypeError(
          `Cannot get from ${subject("cache", this.#settings.name)} as keys must be iterable: received ${
            show(keys)
          }`,
        );
      }
      list = [...keys];
    } catch (error) {
      return Promise.reject(error);
    }
    const source = { store: this.#store, loads: this.#loads, loadMany, load: loadOne };
    return this.#refusal(ask) ?? getMany(list, source, ask);
  }

  /** Most say nothing that could be wrong. */
  #check(loader: unknown, load: unknown, options: AsyncCacheGetOptions | undefined): Ask {
    const plain = options === undefined && typeof loader === "function" &&
      (load === undefined || load === loader);
    return plain
      ? PLAIN
      : checkAsk(`get from ${subject("cache", this.#settings.name)}`, loader, load, options);
  }

  #refusal({ signal }: Ask): Promise<never> | undefined {
    if (signal?.aborted) {
      this.refused++;
      return Promise.reject(signal.reason);
    }
    return this.#loads.closed ? Promise.reject(closedError("get from", this.#settings.name)) : undefined;
  }
}
