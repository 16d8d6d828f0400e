/** Caches: read, written, loaded through, weighed. */
import assert from "node:assert/strict";
import { AsyncCache } from "../../../src/flow/async_cache.ts";
import { sink } from "../../_measure.ts";
import type { Effect, EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";

const ENTRIES = 10_000;
const TTL_MS = 600_000;

interface Store {
  get(key: number): number | undefined;
  set(key: number, value: number): unknown;
}
interface LruModule {
  LRUCache: new (options: {
    max: number;
    ttl?: number;
    fetchMethod?: (key: number) => Promise<number>;
  }) => Store & { fetch(key: number): Promise<number | undefined> };
}
interface TtlModule {
  TTLCache: new (options: { max: number; ttl: number }) => Store;
}
interface EffectCacheModule extends EffectModule {
  Cache: {
    make(options: { capacity: number; lookup: (key: number) => Effect<number> }): Effect<object>;
    get(cache: object, key: number): Effect<number>;
  };
}

/** It keeps as many as it should, and what was read or written last among them. */
function checkStore(store: Store, limit: number): Store {
  for (let i = 0; i < limit; i++) store.set(i, 2 * i);
  assert.equal(store.get(limit - 1), 2 * (limit - 1));
  for (let i = limit; i < 2 * limit; i++) store.set(i, 2 * i);
  let kept = 0;
  for (let i = 0; i < 2 * limit; i++) if (store.get(i) === 2 * i) kept++;
  assert.equal(kept, limit, `${kept} of ${limit} entries are there`);
  return store;
}

function filled<S extends Store>(store: S): S {
  for (let i = 0; i < ENTRIES; i++) store.set(i, i);
  return store;
}

function oursAsStore(options: { maxEntries: number; ttlMs?: number; eviction?: "lru" }): Store {
  const cache = new AsyncCache<number, number>(options);
  return { get: (key) => cache.peek(key), set: (key, value) => cache.set(key, value) };
}

interface Node {
  key: number;
  value: number;
  prev: Node | undefined;
  next: Node | undefined;
}

/** The least recently used one goes: a map, and a list through its entries. */
class HandLru implements Store {
  readonly #max: number;
  readonly #nodes = new Map<number, Node>();
  #first: Node | undefined;
  #last: Node | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: number): number | undefined {
    const node = this.#nodes.get(key);
    if (node === undefined) return undefined;
    this.#remove(node);
    this.#add(node);
    return node.value;
  }

  set(key: number, value: number): void {
    const node = this.#nodes.get(key);
    if (node !== undefined) {
      node.value = value;
      this.#remove(node);
      this.#add(node);
      return;
    }
    if (this.#nodes.size === this.#max) {
      const first = this.#first!;
      this.#remove(first);
      this.#nodes.delete(first.key);
    }
    const added = { key, value, prev: undefined, next: undefined };
    this.#nodes.set(key, added);
    this.#add(added);
  }

  #add(node: Node): void {
    node.prev = this.#last;
    node.next = undefined;
    if (this.#last === undefined) this.#first = node;
    else this.#last.next = node;
    this.#last = node;
  }

  #remove({ prev, next }: Node): void {
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
  }
}

const hit: Row = {
  kind: "time",
  name: "cache: hit",
  size: 200_000,
  rivals: [
    byHand({
      check: () => new Map(),
      run(_, size) {
        const map = new Map<number, number>();
        for (let i = 0; i < ENTRIES; i++) map.set(i, i);
        for (let i = 0; i < size; i++) sink(map.get(i % ENTRIES)!);
      },
    }, "Map.get"),
    ours({
      check: () => checkStore(oursAsStore({ maxEntries: 100 }), 100),
      run(timer, size) {
        const cache = new AsyncCache<number, number>({ maxEntries: ENTRIES });
        for (let i = 0; i < ENTRIES; i++) cache.set(i, i);
        timer.start();
        for (let i = 0; i < size; i++) sink(cache.peek(i % ENTRIES)!);
      },
    }, "peek"),
    ours({
      check: () => checkStore(oursAsStore({ maxEntries: 100, ttlMs: TTL_MS }), 100),
      run(timer, size) {
        const cache = new AsyncCache<number, number>({ maxEntries: ENTRIES, ttlMs: TTL_MS });
        for (let i = 0; i < ENTRIES; i++) cache.set(i, i);
        timer.start();
        for (let i = 0; i < size; i++) sink(cache.peek(i % ENTRIES)!);
      },
    }, "with TTL"),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      check: () => checkStore(new LRUCache({ max: 100 }), 100),
      run(timer, size) {
        const cache = filled(new LRUCache({ max: ENTRIES }));
        timer.start();
        for (let i = 0; i < size; i++) sink(cache.get(i % ENTRIES)!);
      },
    })),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      check: () => checkStore(new LRUCache({ max: 100, ttl: TTL_MS }), 100),
      run(timer, size) {
        const cache = filled(new LRUCache({ max: ENTRIES, ttl: TTL_MS }));
        timer.start();
        for (let i = 0; i < size; i++) sink(cache.get(i % ENTRIES)!);
      },
    }), "with TTL"),
    theirs("@isaacs/ttlcache", ({ TTLCache }: TtlModule) => ({
      check: () => checkStore(new TTLCache({ max: 100, ttl: TTL_MS }), 100),
      run(timer, size) {
        const cache = filled(new TTLCache({ max: ENTRIES, ttl: TTL_MS }));
        timer.start();
        for (let i = 0; i < size; i++) sink(cache.get(i % ENTRIES)!);
      },
    }), "with TTL"),
  ],
};

/** Writes keys of which there are more than fit, or as many. */
function written(name: string, keys: number): Row {
  return {
    kind: "time",
    name,
    size: 100_000,
    rivals: [
      byHand({
        check: () => checkStore(new HandLru(100), 100),
        run(timer, size) {
          const cache = filled(new HandLru(ENTRIES));
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      }, "LRU"),
      ours({
        check: () => checkStore(oursAsStore({ maxEntries: 100 }), 100),
        run(timer, size) {
          const cache = new AsyncCache<number, number>({ maxEntries: ENTRIES });
          for (let i = 0; i < ENTRIES; i++) cache.set(i, i);
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      }, "SIEVE"),
      ours({
        check: () => checkStore(oursAsStore({ maxEntries: 100, eviction: "lru", ttlMs: TTL_MS }), 100),
        run(timer, size) {
          const cache = new AsyncCache<number, number>({
            maxEntries: ENTRIES,
            eviction: "lru",
            ttlMs: TTL_MS,
          });
          for (let i = 0; i < ENTRIES; i++) cache.set(i, i);
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      }, "LRU with TTL"),
      theirs("lru-cache", ({ LRUCache }: LruModule) => ({
        check: () => checkStore(new LRUCache({ max: 100 }), 100),
        run(timer, size) {
          const cache = filled(new LRUCache({ max: ENTRIES }));
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      })),
      theirs("lru-cache", ({ LRUCache }: LruModule) => ({
        check: () => checkStore(new LRUCache({ max: 100, ttl: TTL_MS }), 100),
        run(timer, size) {
          const cache = filled(new LRUCache({ max: ENTRIES, ttl: TTL_MS }));
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      }), "with TTL"),
      theirs("@isaacs/ttlcache", ({ TTLCache }: TtlModule) => ({
        check: () => checkStore(new TTLCache({ max: 100, ttl: TTL_MS }), 100),
        run(timer, size) {
          const cache = filled(new TTLCache({ max: ENTRIES, ttl: TTL_MS }));
          timer.start();
          for (let i = 0; i < size; i++) cache.set(i % keys, i);
        },
      }), "with TTL"),
    ],
  };
}

type Get = (key: number) => Promise<number | undefined>;

/** A hundred callers of a key share a load, and later ones get what it gave. */
async function checkLoads(make: (load: (key: number) => Promise<number>) => Get): Promise<void> {
  let loads = 0;
  const get = make(async (key) => {
    loads++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return 2 * key;
  });
  const values = await Promise.all(Array.from({ length: 100 }, () => get(7)));
  assert.ok(values.every((value) => value === 14), "values are not those of the load");
  assert.equal(await get(7), 14);
  assert.equal(loads, 1, `loaded ${loads} times`);
}

async function load(key: number): Promise<number> {
  await undefined;
  return 2 * key;
}

/** A map of promises: nothing ever leaves it but failures. */
function handLoading(load: (key: number) => Promise<number>): Get {
  const loaded = new Map<number, Promise<number>>();
  return (key) => {
    let promise = loaded.get(key);
    if (promise === undefined) {
      loaded.set(key, promise = load(key));
      promise.catch(() => loaded.delete(key));
    }
    return promise;
  };
}

const KEYS = 1_000;

const asyncHit: Row = {
  kind: "time",
  name: "cache: hit, through a load",
  size: 50_000,
  rivals: [
    byHand({
      check: () => checkLoads(handLoading),
      async run(timer, size) {
        const get = handLoading(load);
        for (let i = 0; i < KEYS; i++) await get(i);
        timer.start();
        for (let i = 0; i < size; i++) sink((await get(i % KEYS))!);
      },
    }, "a map of promises"),
    ours({
      async check() {
        await checkLoads((load) => {
          const cache = new AsyncCache<number, number>({ maxEntries: KEYS });
          return (key) => cache.get(key, load);
        });
        const cache = new AsyncCache<number, number>({ maxEntries: KEYS });
        return [cache, cache.get(1, load), cache.get(2, () => new Promise(() => {}))];
      },
      async run(timer, size) {
        const cache = new AsyncCache<number, number>({ maxEntries: KEYS });
        for (let i = 0; i < KEYS; i++) await cache.get(i, load);
        timer.start();
        for (let i = 0; i < size; i++) sink(await cache.get(i % KEYS, load));
      },
    }),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      async check() {
        await checkLoads((load) => {
          const cache = new LRUCache({ max: KEYS, fetchMethod: load });
          return (key) => cache.fetch(key);
        });
        const cache = new LRUCache({ max: KEYS, fetchMethod: load });
        return [cache, await cache.fetch(1)];
      },
      async run(timer, size) {
        const cache = new LRUCache({ max: KEYS, fetchMethod: load });
        for (let i = 0; i < KEYS; i++) await cache.fetch(i);
        timer.start();
        for (let i = 0; i < size; i++) sink((await cache.fetch(i % KEYS))!);
      },
    }), "fetch"),
    theirs("effect", (module: EffectCacheModule) => {
      const { Effect, Cache } = module;
      return {
        check: () => checkEffect(module),
        async run(timer, size) {
          const cache = await Effect.runPromise(
            Cache.make({ capacity: KEYS, lookup: (key) => Effect.promise(() => load(key)) }),
          );
          for (let i = 0; i < KEYS; i++) await Effect.runPromise(Cache.get(cache, i));
          timer.start();
          for (let i = 0; i < size; i++) sink(await Effect.runPromise(Cache.get(cache, i % KEYS)));
        },
      };
    }),
  ],
};

async function checkEffect({ Effect, Cache }: EffectCacheModule): Promise<unknown> {
  const kept: object[] = [];
  const made: Promise<object>[] = [];
  await checkLoads((load) => {
    const cache = Effect.runPromise(
      Cache.make({ capacity: KEYS, lookup: (key) => Effect.promise(() => load(key)) }),
    );
    made.push(cache);
    return async (key) => Effect.runPromise(Cache.get(await cache, key));
  });
  kept.push(await made[0]!, Effect.runFork(Effect.promise(() => new Promise(() => {}))));
  return kept;
}

const SHARING = 100;

const coalesced: Row = {
  kind: "time",
  name: "cache: 100 callers share a load",
  size: 20_000,
  unit: SHARING,
  rivals: [
    byHand({
      check: () => checkLoads(handLoading),
      async run(_, size) {
        const get = handLoading(load);
        for (let key = 0; key < size / SHARING; key++) {
          const all: Promise<number | undefined>[] = [];
          for (let i = 0; i < SHARING; i++) all.push(get(key));
          sink((await Promise.all(all)).length);
        }
      },
    }, "a map of promises"),
    ours({
      async check() {
        await checkLoads((load) => {
          const cache = new AsyncCache<number, number>();
          return (key) => cache.get(key, load);
        });
        const cache = new AsyncCache<number, number>();
        const never = (): Promise<number> => new Promise(() => {});
        return [cache, cache.get(1, never), cache.get(1, never)];
      },
      async run(_, size) {
        const cache = new AsyncCache<number, number>({ maxEntries: ENTRIES });
        for (let key = 0; key < size / SHARING; key++) {
          const all: Promise<number>[] = [];
          for (let i = 0; i < SHARING; i++) all.push(cache.get(key, load));
          sink((await Promise.all(all)).length);
        }
      },
    }),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      async check() {
        await checkLoads((load) => {
          const cache = new LRUCache({ max: KEYS, fetchMethod: load });
          return (key) => cache.fetch(key);
        });
        const cache = new LRUCache({ max: KEYS, fetchMethod: () => new Promise(() => {}) });
        return [cache, [cache.fetch(1)]];
      },
      async run(_, size) {
        const cache = new LRUCache({ max: ENTRIES, fetchMethod: load });
        for (let key = 0; key < size / SHARING; key++) {
          const all: Promise<number | undefined>[] = [];
          for (let i = 0; i < SHARING; i++) all.push(cache.fetch(key));
          sink((await Promise.all(all)).length);
        }
      },
    }), "fetch"),
    theirs("effect", (module: EffectCacheModule) => {
      const { Effect, Cache } = module;
      return {
        check: () => checkEffect(module),
        async run(_, size) {
          const cache = await Effect.runPromise(
            Cache.make({ capacity: ENTRIES, lookup: (key) => Effect.promise(() => load(key)) }),
          );
          for (let key = 0; key < size / SHARING; key++) {
            const all: Promise<number>[] = [];
            for (let i = 0; i < SHARING; i++) all.push(Effect.runPromise(Cache.get(cache, key)));
            sink((await Promise.all(all)).length);
          }
        },
      };
    }),
  ],
};

const bytes: Row = {
  kind: "bytes",
  name: "cache: bytes per entry of a number",
  size: 200_000,
  rivals: [
    byHand({
      hold(size) {
        const map = new Map<number, number>();
        for (let i = 0; i < size; i++) map.set(i, i);
        return { kept: map };
      },
    }, "Map"),
    ours({ hold: (size) => ({ kept: filledWith(size, oursAsStore({ maxEntries: size })) }) }),
    ours({
      hold: (size) => ({ kept: filledWith(size, oursAsStore({ maxEntries: size, ttlMs: TTL_MS })) }),
    }, "with TTL"),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      hold: (size) => ({ kept: filledWith(size, new LRUCache({ max: size })) }),
    })),
    theirs("lru-cache", ({ LRUCache }: LruModule) => ({
      hold: (size) => ({ kept: filledWith(size, new LRUCache({ max: size, ttl: TTL_MS })) }),
    }), "with TTL"),
    theirs("@isaacs/ttlcache", ({ TTLCache }: TtlModule) => ({
      hold: (size) => ({ kept: filledWith(size, new TTLCache({ max: size, ttl: TTL_MS })) }),
    }), "with TTL"),
  ],
};

function filledWith(size: number, store: Store): Store {
  for (let i = 0; i < size; i++) store.set(i, i);
  return store;
}

/** The rows of this file. */
export const rows: readonly Row[] = [
  hit,
  written("cache: write a key that is there", ENTRIES),
  written("cache: write a new key, another one goes", 4 * ENTRIES),
  asyncHit,
  coalesced,
  bytes,
];
