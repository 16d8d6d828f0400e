import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncCache, ClosedError } from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

const never = (): never => {
  throw new Error("this must not be called");
};

describe("AsyncCache: what is in it", () => {
  test("it refuses bad options where it is made", () => {
    const make = (options: unknown) => () => new AsyncCache(options as never);
    assert.throws(make(null), TypeError);
    assert.throws(make({ maxEntries: "5" }), TypeError);
    for (const maxEntries of [-1, 1.5, NaN]) assert.throws(make({ maxEntries }), RangeError);
    assert.throws(make({ maxWeight: 10 }), TypeError); // without weigh
    assert.throws(make({ maxWeight: -1, weigh: () => 1 }), RangeError);
    for (const what of ["load", "loadMany", "weigh", "tags"]) assert.throws(make({ [what]: 5 }), TypeError);
    assert.throws(make({ dispose: false }), TypeError);
    assert.throws(make({ eviction: "fifo" }), RangeError);
    for (
      const what of ["ttlMs", "idleMs", "staleWhileRevalidateMs", "staleIfErrorMs", "errorTtlMs", "jitter"]
    ) {
      for (const wrong of [NaN, -1]) assert.throws(make({ [what]: wrong }), RangeError);
      assert.throws(make({ [what]: "5" }), TypeError);
    }
    assert.throws(make({ jitter: 1.1 }), RangeError);
    assert.throws(make({ earlyRefresh: Infinity }), RangeError);
    assert.throws(make({ backoff: { baseMs: -1 } }), RangeError);
    for (const wrong of [null, 5]) {
      assert.throws(make({ backoff: wrong }), {
        name: "TypeError",
        message: `Cannot create cache as backoff must be an object: received ${wrong}`,
      });
    }
    assert.throws(make({ name: 5 }), TypeError);
    assert.throws(make({ name: "users", maxEntries: -1 }), {
      message: 'Cannot create cache "users" as maxEntries must be an integer >= 0: received -1',
    });
  });

  test("CA-15 keys are those of a Map, and undefined is a value", async () => {
    const cache = new AsyncCache<unknown, unknown>();
    cache.set(NaN, "nan");
    cache.set(-0, "zero");
    cache.set(undefined, undefined);
    cache.set(null, null);
    assert.deepEqual([cache.peek(NaN), cache.peek(0), cache.size], ["nan", "zero", 4]);
    assert.deepEqual([cache.peek(undefined), cache.has(undefined), cache.has("none")], [
      undefined,
      true,
      false,
    ]);
    assert.equal(await cache.get(undefined, never), undefined);
    assert.equal(await cache.get(null, never), null);
    let loads = 0;
    assert.equal(await cache.get("later", () => void loads++), undefined);
    assert.equal(await cache.get("later", () => void loads++), undefined);
    assert.equal(loads, 1);
    const [a, b] = [{}, {}];
    cache.set(a, 1);
    assert.deepEqual([cache.has(a), cache.has(b)], [true, false]);
  });

  test("set replaces, delete tells whether there was something, clear leaves nothing", () => {
    const cache = new AsyncCache<string, number>();
    cache.set("a", 1);
    cache.set("a", 2);
    assert.deepEqual([cache.peek("a"), cache.size], [2, 1]);
    assert.deepEqual([cache.delete("a"), cache.delete("a"), cache.size], [true, false, 0]);
    cache.set("b", 1);
    cache.clear();
    assert.deepEqual([cache.peek("b"), cache.size], [undefined, 0]);
    cache.set("b", 2);
    assert.equal(cache.peek("b"), 2);
  });

  test("deleteWhere takes out by key, and nothing at all when the function throws", () => {
    const cache = new AsyncCache<string, number>();
    for (const key of ["a/1", "a/2", "b/1"]) cache.set(key, 1);
    assert.throws(() =>
      cache.deleteWhere((key) => {
        if (key === "b/1") throw new Error("no");
        return true;
      }), { message: "no" });
    assert.equal(cache.size, 3);
    assert.equal(cache.deleteWhere((key) => key.startsWith("a/")), 2);
    assert.deepEqual([cache.has("a/1"), cache.has("b/1")], [false, true]);
    assert.throws(() => cache.deleteWhere("a" as never), TypeError);
  });

  test("deleteTag takes out what carries the tag, by value, by set and by get", async () => {
    const cache = new AsyncCache<string, { team: string }>({ tags: (value) => [`team/${value.team}`] });
    cache.set("ann", { team: "red" });
    cache.set("bob", { team: "blue" }, { tags: ["vip"] });
    await cache.get("cid", () => ({ team: "red" }), { tags: new Set(["vip", "new"]) });
    assert.equal(cache.statistics().tags, 4);
    assert.equal(cache.deleteTag("nobody"), 0);
    assert.equal(cache.deleteTag("vip"), 2);
    assert.deepEqual([cache.has("ann"), cache.size, cache.statistics().tags], [true, 1, 1]);
    cache.set("ann", { team: "blue" }); // the old tag is gone with the old value
    assert.equal(cache.deleteTag("team/red"), 0);
    assert.equal(cache.deleteTag("team/blue"), 1);
    assert.equal(cache.statistics().tags, 0);
    assert.throws(() => cache.deleteTag(5 as never), TypeError);
    assert.throws(() => cache.set("x", { team: "red" }, { tags: "vip" as never }), TypeError);
    // The same tag, by the cache and by who sets it, and twice.
    for (
      const remove of [() => cache.delete("dan"), () => cache.deleteTag("team/red"), () => cache.clear()]
    ) {
      cache.set("dan", { team: "red" }, { tags: ["team/red", "vip", "vip"] });
      cache.set("dan", { team: "red" }, { tags: ["vip", "vip"] });
      assert.equal(cache.statistics().tags, 2);
      remove();
      assert.deepEqual([cache.has("dan"), cache.statistics().tags], [false, 0]);
    }
    assert.throws(() => cache.set("x", { team: "red" }, { tags: [5] as never }), TypeError);
    assert.equal(cache.size, 0);
  });

  test("CA-12 a value heavier than the limit is returned and not kept; the old one does not stay either", async () => {
    const cache = new AsyncCache<string, string>({ maxWeight: 5, weigh: (value) => value.length });
    assert.equal(await cache.get("a", () => "too heavy"), "too heavy");
    assert.deepEqual([cache.size, cache.statistics().weight], [0, 0]);
    cache.set("a", "abc");
    cache.set("b", "de");
    assert.deepEqual([cache.size, cache.statistics().weight], [2, 5]);
    cache.set("a", "too heavy");
    assert.deepEqual([cache.has("a"), cache.has("b"), cache.statistics().weight], [false, true, 2]);
    cache.set("c", "fghi");
    assert.deepEqual([cache.has("b"), cache.has("c"), cache.statistics().weight], [false, true, 4]);
  });

  test("CA-12 replacing by something heavier makes room, at the cost of others", () => {
    for (const eviction of ["sieve", "lru", "s3-fifo"] as const) {
      const cache = new AsyncCache<string, string>({ maxWeight: 6, weigh: (v) => v.length, eviction });
      for (const key of ["a", "b", "c"]) cache.set(key, "xx");
      cache.set("b", "xxxxx");
      assert.equal(cache.peek("b"), "xxxxx", eviction);
      assert.deepEqual([cache.size, cache.statistics().weight], [1, 5]);
    }
  });

  test("CA-12 a weight that is none is refused, and changes nothing", async () => {
    let weight: unknown = 1;
    const cache = new AsyncCache<string, string>({ maxWeight: 5, weigh: () => weight as number });
    cache.set("a", "old");
    for (const wrong of [NaN, -1, 0.5]) {
      weight = wrong;
      assert.throws(() => cache.set("a", "new"), RangeError);
      await assert.rejects(cache.get("b", () => "new"), RangeError);
    }
    weight = "5";
    assert.throws(() => cache.set("a", "new"), {
      name: "TypeError",
      message: 'Cannot write to cache as the weight must be an integer >= 0: received "5"',
    });
    weight = Infinity;
    cache.set("b", "never kept");
    assert.deepEqual([cache.peek("a"), cache.size, cache.statistics().weight], ["old", 1, 1]);
    const throwing = new AsyncCache<string, string>({
      weigh: () => {
        throw "unweighable";
      },
    });
    assert.throws(() => throwing.set("a", "b"), (error) => error === "unweighable");
    await assert.rejects(throwing.get("a", () => "b"), (error) => error === "unweighable");
    assert.equal(throwing.statistics().loading, 0);
  });

  test("CA-12 what weighs Infinity is never kept, and the sum stays a number", async () => {
    for (const options of [{}, { maxWeight: 10 }]) {
      const cache = new AsyncCache<string, number>({ ...options, weigh: (value) => value });
      cache.set("a", 1);
      cache.set("a", Infinity);
      assert.equal(await cache.get("b", () => Infinity), Infinity);
      assert.deepEqual([cache.size, cache.statistics().weight], [0, 0]);
    }
  });

  test("with maxEntries 0 it keeps nothing and still shares loads", async () => {
    const cache = new AsyncCache<string, number>({ maxEntries: 0 });
    let loads = 0;
    const load = async () => await Promise.resolve(++loads);
    assert.deepEqual(await Promise.all([cache.get("a", load), cache.get("a", load)]), [1, 1]);
    assert.equal(await cache.get("a", load), 2);
    cache.set("a", 5);
    assert.deepEqual([cache.size, cache.peek("a")], [0, undefined]);
  });

  test("statistics count hits, misses, loads, failures and evictions, and are frozen", async () => {
    const cache = new AsyncCache<string, number>({ maxEntries: 2, name: "n" });
    await cache.get("a", () => 1);
    await cache.get("a", never);
    cache.peek("a");
    cache.peek("b");
    cache.has("a");
    await cache.get("b", () => Promise.reject(new Error("no"))).catch(() => {});
    await cache.get("c", () => 3);
    await cache.get("d", () => 4);
    const statistics = cache.statistics();
    assert.ok(Object.isFrozen(statistics));
    assert.deepEqual(statistics, {
      size: 2,
      weight: 0,
      tags: 0,
      loading: 0,
      inUse: 0,
      closed: false,
      hits: 2,
      staleHits: 0,
      misses: 5,
      loads: 4,
      joined: 0,
      failed: 1,
      evicted: 1,
      expired: 0,
      aborted: 0,
      timedOut: 0,
    });
  });

  test("statistics tell who joined a load of another from who began one", async () => {
    const cache = new AsyncCache<number, number>({ load: async (key) => await Promise.resolve(key) });
    const { signal } = new AbortController();
    await Promise.all([cache.get(1), cache.get(1), cache.get(1, { signal }), cache.getMany([1, 2])]);
    await cache.get(1);
    const { hits, misses, loads, joined } = cache.statistics();
    assert.deepEqual({ hits, misses, loads, joined }, { hits: 1, misses: 5, loads: 2, joined: 3 });
  });

  test("an observer is told of hits, misses, loads, evictions and expiry", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _ = observe({ record: (event) => void records.push(event) });
      const cache = new AsyncCache<string, number>({ maxEntries: 1, ttlMs: 10, name: "n" });
      await cache.get("a", () => 1);
      await cache.get("a", never);
      cache.set("b", 2);
      await w.advance(10);
      assert.deepEqual(records.map(({ kind, data }) => [kind, (data as { key: string }).key]), [
        ["miss", "a"],
        ["load", "a"],
        ["hit", "a"],
        ["evict", "a"],
        ["expire", "b"],
      ]);
      for (const { structure, name } of records) assert.deepEqual([structure, name], ["cache", "n"]);
    });
  });

  test("an observer that changes the cache while it is told does no harm", () => {
    const cache = new AsyncCache<number, number>({ maxEntries: 3 });
    using _ = observe({
      record: ({ kind, data }) => {
        if (kind === "evict") cache.set((data as { key: number }).key + 1_000, 0);
        if (cache.size === 3) cache.clear();
      },
    });
    for (let i = 0; i < 100; i++) {
      cache.set(i, i);
      assert.ok(cache.size <= 3);
    }
  });

  test("CA-17 after closing, reads find nothing, writes throw, and get rejects", async () => {
    const cache = new AsyncCache<string, number>({ name: "users", load: () => 1 });
    cache.set("a", 1);
    await cache.close();
    await cache.close();
    await cache[Symbol.asyncDispose]();
    assert.deepEqual([cache.closed, cache.size, cache.peek("a"), cache.has("a")], [
      true,
      0,
      undefined,
      false,
    ]);
    assert.equal(cache.delete("a"), false);
    assert.throws(() => cache.set("a", 1), ClosedError);
    const refusal = { name: "ClosedError", message: 'Cannot get from cache "users": it is closed' };
    await assert.rejects(cache.get("a"), refusal);
    await assert.rejects(cache.lease("a"), refusal);
    await assert.rejects(cache.getMany(["a"]), refusal);
    assert.equal(cache.statistics().loads, 0);
    await assert.rejects(new AsyncCache().close({ loads: "kill" as never }), RangeError);
    await assert.rejects(new AsyncCache().close(null as never), TypeError);
  });

  test("get and its siblings refuse bad arguments, on a hit too, as rejections", async () => {
    const cache = new AsyncCache<string, number>();
    cache.set("a", 1);
    for (const key of ["a", "b"]) {
      for (const ask of [cache.get.bind(cache), cache.lease.bind(cache)]) {
        await assert.rejects(ask(key), {
          name: "TypeError",
          message: "Cannot get from cache as load must be given, here or to the cache: received none",
        });
        await assert.rejects(ask(key, 5 as never), TypeError);
        await assert.rejects(ask(key, null as never), TypeError);
        await assert.rejects(ask(key, () => 1, 5 as never), TypeError);
        await assert.rejects(ask(key, () => 1, { timeoutMs: -1 }), RangeError);
        await assert.rejects(ask(key, () => 1, { timeoutMs: "5" as never }), TypeError);
        await assert.rejects(ask(key, () => 1, { signal: {} as never }), TypeError);
        await assert.rejects(ask(key, () => 1, { ttlMs: NaN }), RangeError);
        await assert.rejects(ask(key, () => 1, { refresh: 1 as never }), TypeError);
        await assert.rejects(ask(key, () => 1, { tags: "ab" as never }), TypeError);
        const throwing = Object.defineProperty({}, "signal", { get: () => never() });
        await assert.rejects(ask(key, () => 1, throwing), { message: "this must not be called" });
      }
      await assert.rejects(cache.getMany(key, { timeoutMs: 5 }), TypeError);
      await assert.rejects(cache.getMany(5 as never, () => []), {
        name: "TypeError",
        message: /^Cannot get from cache.* as keys must be iterable: received 5$/,
      });
    }
    assert.throws(() => cache.set("a", 1, { ttlMs: -1 }), RangeError);
    assert.throws(() => cache.set("a", 1, 5 as never), TypeError);
    assert.equal(cache.statistics().loads, 0);
  });

  test("the default load is taken without a load, or with options in its place", async () => {
    const cache = new AsyncCache({ load: (key: string) => key.length });
    assert.equal(await cache.get("abc"), 3);
    assert.equal(await cache.get("abcd", { timeoutMs: 5 }), 4);
    assert.equal(await cache.get("ab", () => 7), 7);
    using lease = await cache.lease("x");
    assert.equal(lease.value, 1);
  });
});
