/** Who still has a value of a cache, and its disposal when nobody does. */
import { isThenable } from "../kernel/deferred.ts";
import { OwnedLease } from "../kernel/disposer.ts";
import { emit } from "../kernel/observer.ts";
import type { AsyncCacheOptions, CacheLease, CacheRemoval } from "./async_cache_options.ts";

/** A value on loan: it is not disposed before the lease is given back. */
export class ValueLease<V> extends OwnedLease implements CacheLease<V> {
  readonly value: V;

  constructor(owner: ConstructorParameters<typeof OwnedLease>[0], value: V) {
    super(owner);
    this.value = value;
  }
}

interface Held {
  count: number;
  /** Why it left the cache; a value that never did is not disposed. */
  reason: CacheRemoval | undefined;
}

interface Gone<K> {
  readonly key: K;
  readonly reason: CacheRemoval;
}

/**
 * Counts, by identity, the entries and leases that have a value, and disposes it after the last of them.
 *
 * Disposal is left until {@linkcode flush}: it runs code of others, which may come back to a cache that is just being
 * changed.
 */
export class Disposal<K, V> {
  readonly #dispose: NonNullable<AsyncCacheOptions<K, V>["dispose"]>;
  readonly #name: string | undefined;
  readonly #done: () => void;
  readonly #held = new Map<V, Held>();
  readonly #gone = new Map<V, Gone<K>>();
  #flushing = false;
  /** Disposals under way. */
  pending = 0;

  constructor(
    dispose: NonNullable<AsyncCacheOptions<K, V>["dispose"]>,
    name: string | undefined,
    done: () => void,
  ) {
    this.#dispose = dispose;
    this.#name = name;
    this.#done = done;
  }

  hold(value: V): void {
    const held = this.#held.get(value);
    if (held === undefined) this.#held.set(value, { count: 1, reason: undefined });
    else held.count++;
  }

  /** Somebody has a value no more: the cache, for a `reason`, or a lease. */
  drop(value: V, key: K, reason?: CacheRemoval): void {
    const held = this.#held.get(value)!;
    held.reason = reason ?? held.reason;
    if (--held.count > 0) return;
    this.#held.delete(value);
    if (held.reason !== undefined) this.#gone.set(value, { key, reason: held.reason });
  }

  /** Disposes what nobody has any more. */
  flush(): void {
    if (this.#gone.size === 0 || this.#flushing) return;
    this.#flushing = true;
    for (const [value, gone] of this.#gone) {
      this.#gone.delete(value);
      // What the disposal of another has put back meanwhile is in use again.
      if (!this.#held.has(value)) this.#disposeOf(value, gone);
    }
    this.#flushing = false;
  }

  #disposeOf(value: V, { key, reason }: Gone<K>): void {
    const failed = (error: unknown): void => emit("dispose.failed", "cache", this.#name, { key, error });
    try {
      const result = this.#dispose === true ? disposeItself(value) : this.#dispose(value, key, reason);
      if (!isThenable(result)) return;
      this.pending++;
      Promise.resolve(result).then(undefined, failed).then(() => {
        this.pending--;
        this.#done();
      });
    } catch (error) {
      failed(error);
    }
  }
}

function disposeItself(value: unknown): unknown {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  const it = value as Partial<AsyncDisposable & Disposable>;
  return typeof it[Symbol.asyncDispose] === "function" ? it[Symbol.asyncDispose]!() : it[Symbol.dispose]?.();
}
