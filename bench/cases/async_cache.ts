import assert from "node:assert/strict";
import { AsyncCache } from "../../src/flow/async_cache.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const KEYS = 10_000;
const TIMES = 200_000;

/** Keys in an order that no processor guesses, each as often as any other. */
const order = Array.from({ length: TIMES }, (_, i) => (i * 7_919) % KEYS);
const names = Array.from({ length: KEYS }, (_, i) => `key/${i}`);

/** What somebody would write who wants to keep the last so many values and nothing else: first in, first out. */
class HandCache {
  readonly #map = new Map<string, number>();
  readonly #keys: string[] = [];
  readonly #max: number;
  #next = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): number | undefined {
    return this.#map.get(key);
  }

  set(key: string, value: number): void {
    if (!this.#map.has(key)) {
      const at = this.#next;
      if (this.#map.size >= this.#max) this.#map.delete(this.#keys[at]!);
      this.#keys[at] = key;
      this.#next = at + 1 === this.#max ? 0 : at + 1;
    }
    this.#map.set(key, value);
  }
}

/** Values that take time, each loaded once. */
class HandLoads {
  readonly #map = new Map<string, number>();
  readonly #loads = new Map<string, Promise<number>>();

  get(key: string, load: (key: string) => Promise<number>): Promise<number> {
    const value = this.#map.get(key);
    if (value !== undefined) return Promise.resolve(value);
    let loading = this.#loads.get(key);
    if (loading === undefined) {
      loading = load(key).then((value) => {
        this.#loads.delete(key);
        this.#map.set(key, value);
        return value;
      });
      this.#loads.set(key, loading);
    }
    return loading;
  }

  delete(key: string): void {
    this.#map.delete(key);
  }
}

function filled(options: ConstructorParameters<typeof AsyncCache<string, number>>[0]) {
  const cache = new AsyncCache<string, number>(options);
  for (let i = 0; i < KEYS; i++) cache.set(names[i]!, i + 1);
  return cache;
}

function map(): Map<string, number> {
  return new Map(names.map((name, i) => [name, i + 1]));
}

const load = (key: string): Promise<number> => Promise.resolve(key.length);

function check(): unknown {
  const cache = filled({ maxEntries: KEYS });
  assert.equal(cache.peek(names[7]!), 8);
  cache.set("one more", 1);
  assert.equal(cache.size, KEYS);
  const hand = new HandCache(2);
  for (const [i, name] of ["a", "b", "c"].entries()) hand.set(name, i);
  assert.deepEqual([hand.get("a"), hand.get("c")], [undefined, 2]);
  return [cache, hand];
}

async function checkLoads(): Promise<unknown> {
  const caches = [new HandLoads(), new AsyncCache<string, number>()];
  for (const cache of caches) {
    let loads = 0;
    const slow = async (): Promise<number> => await Promise.resolve(++loads);
    assert.deepEqual(await Promise.all([cache.get("a", slow), cache.get("a", slow)]), [1, 1]);
    assert.equal(await cache.get("a", slow), 1);
  }
  return caches;
}

const hits = (name: string, target: number, options: Parameters<typeof filled>[0]): Case => {
  const [hand, cache] = [map(), filled({ maxEntries: KEYS, ...options })];
  return {
    name: `cache: hit, ${name}`,
    ops: TIMES,
    target,
    check,
    minimum() {
      let sum = 0;
      for (let i = 0; i < TIMES; i++) sum += hand.get(names[order[i]!]!)!;
      sink(sum);
    },
    ours() {
      let sum = 0;
      for (let i = 0; i < TIMES; i++) sum += cache.peek(names[order[i]!]!)!;
      sink(sum);
    },
  };
};

/** S3-FIFO has no target: what it remembers of the keys that have gone is a second map, which the minimum has not. */
const evicting = (eviction: "sieve" | "lru" | "s3-fifo"): Case => ({
  name: `cache: set, evicting (${eviction})`,
  ops: KEYS * 10,
  ...(eviction === "s3-fifo" ? {} : { target: 1.7 }),
  check,
  minimum() {
    const cache = new HandCache(KEYS / 10);
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < KEYS; i++) cache.set(names[i]!, i);
    }
  },
  ours() {
    const cache = new AsyncCache<string, number>({ maxEntries: KEYS / 10, eviction });
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < KEYS; i++) cache.set(names[i]!, i);
    }
  },
});

export const cases: readonly Case[] = [
  hits("sieve", 2, {}),
  hits("lru", 2, { eviction: "lru" }),
  hits("s3-fifo", 2, { eviction: "s3-fifo" }),
  hits("with a TTL", 3, { ttlMs: 3_600_000 }),
  {
    name: "cache: set existing",
    ops: TIMES,
    target: 2,
    check,
    minimum() {
      const cache = map();
      for (let i = 0; i < TIMES; i++) cache.set(names[order[i]!]!, i);
    },
    ours() {
      const cache = filled({ maxEntries: KEYS });
      for (let i = 0; i < TIMES; i++) cache.set(names[order[i]!]!, i);
    },
  },
  evicting("sieve"),
  evicting("lru"),
  evicting("s3-fifo"),
  {
    name: "cache: get, a hit",
    ops: TIMES,
    target: 1.2,
    check: checkLoads,
    async minimum() {
      const cache = new HandLoads();
      let sum = 0;
      for (let i = 0; i < TIMES; i++) sum += await cache.get(names[i % 100]!, load);
      sink(sum);
    },
    async ours() {
      const cache = new AsyncCache<string, number>({ maxEntries: KEYS });
      let sum = 0;
      for (let i = 0; i < TIMES; i++) sum += await cache.get(names[i % 100]!, load);
      sink(sum);
    },
  },
  {
    name: "cache: get, 100 at once share a load",
    ops: TIMES,
    target: 2,
    check: checkLoads,
    async minimum() {
      const cache = new HandLoads();
      for (let i = 0; i < TIMES / 100; i++) {
        const name = names[i % 100]!;
        cache.delete(name);
        const all: Promise<number>[] = [];
        for (let j = 0; j < 100; j++) all.push(cache.get(name, load));
        sink((await Promise.all(all)).length);
      }
    },
    async ours() {
      const cache = new AsyncCache<string, number>({ maxEntries: KEYS });
      for (let i = 0; i < TIMES / 100; i++) {
        const name = names[i % 100]!;
        cache.delete(name);
        const all: Promise<number>[] = [];
        for (let j = 0; j < 100; j++) all.push(cache.get(name, load));
        sink((await Promise.all(all)).length);
      }
    },
  },
];
