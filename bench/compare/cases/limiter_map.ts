/** So many at a time, over items known before. */
import assert from "node:assert/strict";
import { Limiter } from "../../../src/flow/limiter.ts";
import { mapTasks } from "../../../src/task/map_tasks.ts";
import { sink } from "../../_measure.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";
import { LIMIT, type LimitModule, type SemaModule, watched, type Work, work } from "./_limits.ts";

type MapAll = (items: readonly number[], fn: Work) => Promise<readonly number[]>;

async function checkMap(map: MapAll): Promise<void> {
  const items = Array.from({ length: 100 }, (_, i) => i);
  const { work, most } = watched();
  assert.deepEqual(
    await map(items, work),
    items.map((n) => 2 * n),
    "results are not in the order of the items",
  );
  assert.equal(most(), LIMIT, `${most()} run at once`);
}

async function handMap(items: readonly number[], fn: Work): Promise<number[]> {
  const results = new Array<number>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      results[i] = await fn(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: LIMIT }, worker));
  return results;
}

function upTo(size: number): number[] {
  return Array.from({ length: size }, (_, i) => i);
}

interface MapModule {
  default: <T, R>(
    items: Iterable<T>,
    fn: (item: T) => Promise<R>,
    options: { concurrency: number },
  ) => Promise<R[]>;
}

const map: Row = {
  kind: "time",
  name: "limiter: map over 100,000 items, 10 at a time",
  size: 100_000,
  rivals: [
    byHand({
      check: () => checkMap(handMap),
      run: async (_, size) => sink((await handMap(upTo(size), work)).length),
    }, "workers"),
    ours({
      async check() {
        const limiter = new Limiter({ limit: LIMIT });
        await checkMap((items, fn) => limiter.map(items, fn));
        return [limiter, limiter.map([1], () => new Promise(() => {}))];
      },
      run: async (_, size) => sink((await new Limiter({ limit: LIMIT }).map(upTo(size), work)).length),
    }, "Limiter.map"),
    ours({
      async check() {
        await checkMap((items, fn) => Array.fromAsync(mapTasks(items, fn, { concurrency: LIMIT })));
        return [mapTasks([1], () => new Promise(() => {}), { concurrency: LIMIT }).next()];
      },
      async run(_, size) {
        for await (const n of mapTasks(upTo(size), work, { concurrency: LIMIT })) sink(n);
      },
    }, "mapTasks"),
    theirs("p-map", ({ default: pMap }: MapModule) => ({
      check: () => checkMap((items, fn) => pMap(items, fn, { concurrency: LIMIT })),
      run: async (_, size) => sink((await pMap(upTo(size), work, { concurrency: LIMIT })).length),
    })),
    theirs("async-sema", ({ Sema }: SemaModule) => {
      const mapThrough: MapAll = async (items, fn) => {
        const sema = new Sema(LIMIT);
        return await Promise.all(items.map(async (item) => {
          await sema.acquire();
          try {
            return await fn(item);
          } finally {
            sema.release();
          }
        }));
      };
      return {
        async check() {
          await checkMap(mapThrough);
          const sema = new Sema(1);
          return [sema, await sema.acquire(), sema.acquire()];
        },
        run: async (_, size) => sink((await mapThrough(upTo(size), work)).length),
      };
    }),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => {
      const mapThrough: MapAll = (items, fn) => {
        const limit = pLimit(LIMIT);
        return Promise.all(items.map((item) => limit(() => fn(item))));
      };
      return {
        async check() {
          await checkMap(mapThrough);
          const limit = pLimit(1);
          return [limit, limit(() => new Promise(() => {})), limit(() => work(1))];
        },
        run: async (_, size) => sink((await mapThrough(upTo(size), work)).length),
      };
    }),
    theirs("effect", ({ Effect }: EffectModule) => {
      const concurrency = LIMIT;
      return {
        async check() {
          await checkMap((items, fn) =>
            Effect.runPromise(Effect.forEach(items, (n) => Effect.promise(() => fn(n)), { concurrency }))
          );
          const never = Effect.promise(() => new Promise(() => {}));
          return Effect.runFork(Effect.forEach([1, 2], () => never, { concurrency: 1 }));
        },
        async run(_, size) {
          const all = Effect.forEach(upTo(size), (n) => Effect.promise(() => work(n)), { concurrency });
          sink((await Effect.runPromise(all)).length);
        },
      };
    }, "forEach"),
    theirs("effect", ({ Effect }: EffectModule) => {
      const concurrency = LIMIT;
      return {
        async check() {
          const doubled = Effect.forEach(upTo(100), (n) => Effect.sync(() => 2 * n), { concurrency });
          assert.deepEqual(await Effect.runPromise(doubled), upTo(100).map((n) => 2 * n));
          return Effect.runFork(Effect.forEach([1, 2], () => Effect.never, { concurrency: 1 }));
        },
        async run(_, size) {
          const all = Effect.forEach(upTo(size), (n) => Effect.sync(() => n), { concurrency });
          sink((await Effect.runPromise(all)).length);
        },
      };
    }, "forEach of synchronous effects"),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [map];
