/** Caches that load what they lack: loaded already, and shared by many callers. */
import assert from "node:assert/strict";
import { AsyncCache } from "../../../src/flow/async_cache.ts";
import { sink } from "../../_measure.ts";
import type { Effect, EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";

const ENTRIES = 10_000;

interface LruModule {
  LRUCache: new (options: { max: number; fetchMethod: (key: number) => Promise<number> }) => {
    fetch(key: number): Promise<number | undefined>;
  };
}
interface EffectCacheModule extends EffectModule {
  Cache: {
    make(options: { capacity: number; lookup: (key: number) => Effect<number> }): Effect<object>;
    get(cache: object, key: number): Effect<number>;
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

/** The rows of this file. */
export const rows: readonly Row[] = [asyncHit, coalesced];
