import assert from "node:assert/strict";
import { describe, test } from "node:test";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AsyncCache } from "../../src/flow/mod.ts";

/** Collects garbage, where the runtime lets one ask for it. */
const collect: (() => void) | undefined = (() => {
  const { Bun, gc } = globalThis as { Bun?: { gc(now: boolean): void }; gc?: () => void };
  if (Bun !== undefined) return () => Bun.gc(true);
  if (gc !== undefined) return gc;
  setFlagsFromString("--expose-gc");
  return runInNewContext("globalThis.gc");
})();
const needsGc = collect === undefined
  ? { skip: "garbage collection can't be asked for: run with --expose-gc" }
  : { timeout: 60_000 };
const isBun = "Bun" in globalThis;

/** Bytes in use: the heap, and the typed arrays, which lie outside of it (but on Bun are counted as heap). */
async function used(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect!();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + (isBun ? 0 : arrayBuffers);
}

const ENTRIES = 250_000;

async function bytesAnEntry(fill: () => object): Promise<number> {
  const before = await used();
  const kept = fill();
  const bytes = (await used() - before) / ENTRIES;
  assert.ok(kept);
  return bytes;
}

const cached = (ttlMs: number) => (): AsyncCache<number, number> => {
  const cache = new AsyncCache<number, number>({ maxEntries: ENTRIES, ttlMs });
  for (let i = 0; i < ENTRIES; i++) cache.set(i, i);
  return cache;
};

describe("AsyncCache: memory", () => {
  test("an entry takes 25 bytes more than in a Map, and 8 more with a TTL", needsGc, async () => {
    const map = await bytesAnEntry(() => {
      const map = new Map<number, number>();
      for (let i = 0; i < ENTRIES; i++) map.set(i, i);
      return map;
    });
    const plain = await bytesAnEntry(cached(Infinity));
    let ended: AsyncCache<number, number> | undefined;
    const withTtl = await bytesAnEntry(() => ended = cached(3_600_000)());
    await ended!.close();
    const spare = isBun ? 12 : 3; // arrays of others than V8 have room to spare
    assert.ok(plain - map < 25 + spare, `${plain} bytes, ${map} in a Map`);
    assert.ok(withTtl - map < 33 + spare, `${withTtl} bytes, ${map} in a Map`);
  });

  test("what was cleared leaves nothing behind, nor do loads, leases and tags", needsGc, async () => {
    const cache = new AsyncCache<number, object>({ maxEntries: 5_000, eviction: "s3-fifo", dispose: true });
    const round = async (): Promise<void> => {
      for (let i = 0; i < 10_000; i++) {
        await cache.get(i, () => Promise.resolve({}));
        if (i % 3 === 0) cache.set(i, {}, { tags: [`tag/${i}`] });
        if (i % 5 === 0) (await cache.lease(i, () => ({}))).release();
        if (i % 7 === 0) await cache.get(i + 1e6, () => Promise.reject(new Error("none"))).catch(() => {});
      }
      cache.clear();
    };
    await round();
    const before = await used();
    await round();
    const bytes = await used() - before;
    assert.ok(bytes < 2 ** 20, `${bytes} bytes are left`);
    assert.equal(cache.size, 0);
  });
});
