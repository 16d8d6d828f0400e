import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { AsyncCache } from "../../../src/flow/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

export const operations: readonly Operation[] = [
  {
    name: "a cache whose loads are shared, leased and asked for together",
    covers: ["AsyncCache.get", "AsyncCache.getMany", "AsyncCache.lease"],
    scene: () => {
      let loading = 0;
      const load = async (key: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        loading++;
        try {
          await sleep(3, { signal });
          return key;
        } finally {
          loading--;
        }
      };
      const cache = new AsyncCache<string, string>({ maxEntries: 8, load });
      return {
        act: (signal) =>
          all(
            cache.get("a").then((value) => assert.equal(value, "a")),
            cache.get("a", load, { signal }),
            cache.get("b", load, { signal }),
            mayBeLate(cache.get("c", load, { signal, timeoutMs: 2 })),
            cache.lease("a", load, { signal }).then(async (lease) => {
              using _held = lease;
              await sleep(2, { signal });
            }),
            cache.getMany(["a", "d"], (keys, context) => Promise.all(keys.map((key) => load(key, context))), {
              signal,
            }),
            cache.lease("e").then((lease) => lease.release()),
          ),
        check: async () => {
          assert.equal(loading, 0);
          assert.deepEqual([cache.peek("a"), cache.peek("e")], ["a", "e"]);
          await cache.close();
          assert.equal(cache.statistics().size, 0);
        },
      };
    },
  },
  {
    name: "a cache closed while it loads",
    covers: ["AsyncCache.close", "AsyncCache[Symbol.asyncDispose]"],
    scene: () => {
      const load = (key: string, { signal }: { signal: AbortSignal }): Promise<string> =>
        sleep(3, { signal }).then(() => key);
      const patient = new AsyncCache<string, string>({ maxEntries: 8, load });
      const hasty = new AsyncCache<string, string>({ maxEntries: 8, load });
      return {
        act: (signal) => {
          const kept = patient.get("a", load, { signal });
          const lost = hasty.get("a").catch(() => "refused");
          return all(
            kept,
            lost.then((value) => assert.equal(value, "refused")),
            patient[Symbol.asyncDispose](),
            hasty.close({ loads: "abort" }),
          );
        },
        check: async () => {
          assert.deepEqual([patient.closed, hasty.closed], [true, true]);
          await patient.close();
          await assert.rejects(hasty.get("b"), { name: "ClosedError" });
        },
      };
    },
  },
];

export const still: Readonly<Record<string, string>> = {};
