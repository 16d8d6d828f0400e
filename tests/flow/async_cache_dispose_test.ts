import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { AsyncCache, MisuseError } from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

type Removal = readonly [value: string, key: string, reason: string];

/** A cache of texts that remembers what was disposed. */
function watched(options: ConstructorParameters<typeof AsyncCache<string, string>>[0] = {}) {
  const gone: Removal[] = [];
  const cache = new AsyncCache<string, string>({
    ...options,
    dispose: (value, key, reason) => void gone.push([value, key, reason]),
  });
  return { cache, gone };
}

describe("AsyncCache: disposal", () => {
  test("CA-10 a value is disposed once, when it leaves, with the reason", async () => {
    await world(async () => {
      const { cache, gone } = watched({ maxEntries: 2, eviction: "lru", ttlMs: 100 });
      cache.set("a", "1");
      cache.set("a", "2");
      cache.set("b", "3");
      cache.set("c", "4");
      cache.delete("b");
      cache.set("d", "5");
      await sleep(100);
      cache.set("e", "6");
      cache.clear();
      cache.set("f", "7");
      await cache.close();
      assert.deepEqual(gone, [
        ["1", "a", "replaced"],
        ["2", "a", "evicted"],
        ["3", "b", "deleted"],
        ["4", "c", "expired"],
        ["5", "d", "expired"],
        ["6", "e", "cleared"],
        ["7", "f", "closed"],
      ]);
    });
  });

  test("CA-10 one that is replaced by itself, or is in twice, is disposed after its last entry", () => {
    const { cache, gone } = watched();
    cache.set("a", "same");
    cache.set("a", "same");
    cache.set("b", "same");
    cache.delete("a");
    assert.deepEqual(gone, []);
    cache.set("b", "other");
    assert.deepEqual(gone, [["same", "b", "replaced"]]);
  });

  test("CA-10 a value on loan is disposed after the last lease, whatever becomes of its entry", async () => {
    const { cache, gone } = watched();
    const first = await cache.lease("a", () => "1");
    const second = await cache.lease("a", () => "never");
    assert.deepEqual([first.value, second.value, cache.statistics().inUse], ["1", "1", 2]);
    cache.delete("a");
    cache.set("a", "2");
    first.release();
    assert.throws(() => first.release(), MisuseError);
    first[Symbol.dispose]();
    assert.deepEqual([gone, second.held], [[], true]);
    second.release();
    assert.deepEqual(gone, [["1", "a", "deleted"]]);
    using third = await cache.lease("a", () => "never");
    third.release();
    assert.deepEqual([gone.length, cache.peek("a"), cache.statistics().inUse], [1, "2", 0]);
  });

  test("CA-10 close waits for leases and for disposals", async () => {
    await world(async (w) => {
      const gone: string[] = [];
      const cache = new AsyncCache<string, string>({
        dispose: async (value) => {
          await sleep(10);
          gone.push(value);
        },
      });
      const lease = await cache.lease("a", () => "1");
      const closing = cache.close();
      void sleep(50).then(() => lease.release());
      await closing;
      assert.deepEqual([gone, w.now], [["1"], 60]);
    });
  });

  test("CA-10 disposal that throws or rejects is told, and disturbs nothing", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _ = observe({ record: (event) => void records.push(event) });
      const cache = new AsyncCache<string, string>({
        dispose: (value) => {
          if (value === "sync") throw new Error(value);
          return Promise.reject(new Error(value));
        },
      });
      cache.set("a", "sync");
      cache.set("b", "async");
      cache.clear();
      await w.idle();
      const told = records.filter(({ kind }) => kind === "dispose.failed");
      assert.deepEqual(told.map(({ data }) => (data as { error: Error }).error.message), ["sync", "async"]);
      await cache.close();
    });
  });

  test("dispose: true is the value's own disposal, the asynchronous one first", async () => {
    const gone: string[] = [];
    const cache = new AsyncCache<string, unknown>({ dispose: true });
    cache.set("sync", { [Symbol.dispose]: () => void gone.push("sync") });
    cache.set("both", {
      [Symbol.dispose]: () => void gone.push("wrong"),
      [Symbol.asyncDispose]: async () => {
        await undefined;
        gone.push("async");
      },
    });
    for (const [key, value] of Object.entries({ none: {}, nothing: null, text: "x", undef: undefined })) {
      cache.set(key, value);
    }
    await cache.close();
    assert.deepEqual(gone, ["sync", "async"]);
  });

  test("what nobody was left to take is disposed; without `dispose` it is left alone", async () => {
    await world(async () => {
      const { cache, gone } = watched();
      const late = () => sleep(10).then(() => "late");
      await assert.rejects(cache.get("a", late, { timeoutMs: 5 }));
      await sleep(10);
      assert.deepEqual(gone, [["late", "a", "unwanted"]]);
      const borrowed = { [Symbol.dispose]: () => assert.fail("it belongs to somebody else") };
      const plain = new AsyncCache<string, object>();
      await assert.rejects(plain.get("a", () => sleep(10).then(() => borrowed), { timeoutMs: 5 }));
      await sleep(10);
    });
  });

  test("what could not be stored belongs to who got it, or is disposed after the leases on it", async () => {
    await world(async () => {
      const { cache, gone } = watched({ maxWeight: 1, weigh: (value) => value.length });
      assert.equal(await cache.get("a", () => "too heavy"), "too heavy");
      assert.deepEqual(gone, []);
      const lease = await cache.lease("a", () => "heavy too");
      assert.deepEqual(gone, []);
      lease.release();
      assert.deepEqual(gone, [["heavy too", "a", "unwanted"]]);
      const waiting = cache.lease("b", () => sleep(10).then(() => "b"));
      cache.delete("b");
      (await waiting).release();
      assert.deepEqual(gone[1], ["b", "b", "unwanted"]);
      await cache.close();
      assert.equal(gone.length, 2);
    });
  });

  test("values of a bulk load that nobody can get are disposed: of a wrong shape, or by keys not asked for", async () => {
    await world(async () => {
      const { cache, gone } = watched();
      const wrong = await cache.getMany(["a", "b"], () => ["1", "2", new Error("no"), "3"]);
      assert.deepEqual(wrong.map(({ status }) => status), ["rejected", "rejected"]);
      assert.deepEqual(gone.splice(0), [["1", "a", "unwanted"], ["2", "b", "unwanted"], [
        "3",
        undefined,
        "unwanted",
      ]]);
      const [got, none] = await cache.getMany(["a", "b"], () => new Map([["a", "4"], ["x", "5"]]));
      assert.deepEqual([got, none?.status], [{ status: "fulfilled", value: "4" }, "rejected"]);
      assert.deepEqual(gone.splice(0), [["5", "x", "unwanted"]]);
      await cache.close();
      assert.deepEqual(gone, [["4", "a", "closed"]]);
    });
  });

  test("a weigher that throws leaves no loaded value undisposed", async () => {
    const gone: string[] = [];
    const cache = new AsyncCache<string, string>({
      weigh: () => {
        throw "unweighable";
      },
      dispose: (value) => void gone.push(value),
    });
    await assert.rejects(cache.get("a", () => "x"), (error) => error === "unweighable");
    assert.deepEqual(gone, ["x"]);
  });

  test("disposal may come back to the cache: everything is disposed once all the same", () => {
    const disposed = new Map<number, number>();
    const cache = new AsyncCache<number, number>({
      maxEntries: 3,
      dispose: (value) => {
        disposed.set(value, (disposed.get(value) ?? 0) + 1);
        if (value < 20) cache.set(value, value + 100);
        if (value % 7 === 0) cache.delete(value + 1);
        if (value === 15) cache.clear();
      },
    });
    for (let i = 0; i < 20; i++) cache.set(i, i);
    cache.clear();
    cache.clear();
    assert.equal(cache.size, 0);
    for (const [value, times] of disposed) assert.equal(times, 1, `${value}`);
    assert.ok(disposed.size >= 20);
  });

  test("a value that disposal puts back is in use again, and disposed when it leaves again", () => {
    const gone: string[] = [];
    const cache = new AsyncCache<string, string>({
      dispose: (value) => {
        gone.push(value);
        if (value === "first") cache.set("back", "second");
      },
    });
    cache.set("a", "first");
    cache.set("b", "second");
    cache.clear();
    assert.deepEqual([gone, cache.peek("back")], [["first"], "second"]);
    cache.clear();
    assert.deepEqual(gone, ["first", "second"]);
  });

  test("two callers of one load each have a lease of their own", async () => {
    await world(async () => {
      const { cache, gone } = watched();
      const load = () => sleep(5).then(() => "v");
      const controller = new AbortController();
      const [a, b, c] = [
        cache.lease("a", load),
        cache.lease("a", load, { timeoutMs: 50 }),
        cache.lease("a", load, { signal: controller.signal }).catch((reason) => reason),
      ];
      controller.abort("stop");
      assert.equal(await c, "stop");
      const leases = [await a, await b];
      assert.notEqual(leases[0], leases[1]);
      assert.equal(cache.statistics().inUse, 2);
      cache.clear();
      for (const lease of leases) {
        assert.deepEqual(gone, []);
        lease.release();
      }
      assert.deepEqual(gone, [["v", "a", "cleared"]]);
    });
  });

  test("a stale value on loan outlives the value that replaces it", async () => {
    await world(async () => {
      const { cache, gone } = watched({ ttlMs: 10, staleWhileRevalidateMs: 100 });
      cache.set("a", "old");
      await sleep(20);
      const lease = await cache.lease("a", () => "new");
      assert.equal(lease.value, "old");
      await sleep(1);
      assert.deepEqual([cache.peek("a"), gone], ["new", []]);
      lease.release();
      assert.deepEqual(gone, [["old", "a", "replaced"]]);
      await cache.close();
    });
  });
});
