/** Caches: read, written, weighed. */
import assert from "node:assert/strict";
import { AsyncCache } from "../../../src/flow/async_cache.ts";
import { sink } from "../../_measure.ts";
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
  }) => Store;
}
interface TtlModule {
  TTLCache: new (options: { max: number; ttl: number }) => Store;
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
  bytes,
];
