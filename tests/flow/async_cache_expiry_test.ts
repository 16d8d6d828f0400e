import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { AsyncCache } from "../../src/flow/mod.ts";
import { replaceClock } from "../../src/kernel/clock.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** A loader that counts, takes 10 ms, and fails while `fails` is set. */
function source(ms = 10) {
  const it = {
    calls: 0,
    fails: undefined as unknown,
    load: async (): Promise<number> => {
      const n = ++it.calls;
      await sleep(ms);
      if (it.fails !== undefined) throw it.fails;
      return n;
    },
  };
  return it;
}

describe("AsyncCache: expiry", () => {
  test("a value is fresh until its TTL has passed, to the millisecond, and a timer takes it out then", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({ ttlMs: 100 });
      cache.set("a", 1);
      await w.advance(50);
      cache.set("b", 2);
      assert.equal(w.timers.length, 1);
      await w.advance(49);
      assert.deepEqual([cache.peek("a"), cache.size], [1, 2]);
      await w.advance(1);
      assert.deepEqual([cache.size, cache.peek("a"), cache.peek("b"), w.timers.length], [1, undefined, 2, 1]);
      await w.advance(50);
      assert.deepEqual([cache.size, w.timers.length, cache.statistics().expired], [0, 0, 2]);
    }, { auto: false });
  });

  test("CA-07 the TTL counts from when the load has ended", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({ ttlMs: 100 });
      const { load } = source(1_000);
      await cache.get("a", load);
      await sleep(99);
      assert.equal(cache.peek("a"), 1);
      await sleep(1);
      assert.equal(cache.peek("a"), undefined);
      assert.equal(w.timers.length, 0);
    });
  });

  test("reading looks at the time itself, however late the timer is", () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, schedule: () => ({ [Symbol.dispose]() {} }), random: () => 0 };
    using _ = replaceClock(clock);
    const cache = new AsyncCache<string, number>({ ttlMs: 100 });
    cache.set("a", 1);
    nowMs = 99;
    assert.deepEqual([cache.peek("a"), cache.has("a")], [1, true]);
    nowMs = 100;
    assert.deepEqual([cache.peek("a"), cache.has("a"), cache.delete("a")], [undefined, false, false]);
    assert.deepEqual([cache.size, cache.statistics().expired], [0, 1]);
  });

  test("in a burst of reads the time stands still for 64 of them at most, and for none of the next turn", async () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, schedule: () => ({ [Symbol.dispose]() {} }), random: () => 0 };
    using _ = replaceClock(clock);
    const cache = new AsyncCache<string, number>({ ttlMs: 100 });
    cache.set("a", 1);
    for (let i = 0; i < 1_000; i++) assert.equal(cache.peek("a"), 1);
    nowMs = 100;
    let late = 0;
    while (cache.peek("a") !== undefined) late++;
    assert.ok(late < 64, `${late} reads`);
    cache.set("a", 2);
    for (let i = 0; i < 1_000; i++) cache.peek("a");
    await undefined;
    nowMs = 200;
    assert.equal(cache.peek("a"), undefined);
  });

  test("what is written counts from then, also in a burst of reads and after long work in the same turn", () => {
    let nowMs = 0;
    const clock = { now: () => nowMs, schedule: () => ({ [Symbol.dispose]() {} }), random: () => 0 };
    using _ = replaceClock(clock);
    const cache = new AsyncCache<string, number>({ ttlMs: 100 });
    cache.set("a", 1);
    for (let i = 0; i < 30; i++) cache.peek("a");
    nowMs = 300;
    cache.set("b", 2);
    nowMs = 399;
    for (let i = 0; i < 100; i++) assert.equal(cache.peek("b"), 2);
    nowMs = 400;
    for (let i = 0; i < 64; i++) cache.peek("b");
    assert.equal(cache.peek("b"), undefined);
  });

  test("a TTL may be that of the value, of the call, Infinity, or 0, which keeps nothing", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({ ttlMs: (value) => value });
      for (const [key, value] of [["a", 10], ["b", 20], ["c", Infinity], ["d", 0]] as const) {
        cache.set(key, value);
      }
      assert.equal(cache.size, 3);
      cache.set("b", 20, { ttlMs: 30 });
      await cache.get("e", () => 5, { ttlMs: 15 });
      const alive = () => ["a", "b", "c", "d", "e"].filter((key) => cache.has(key)).join("");
      const seen: string[] = [];
      for (let i = 0; i < 4; i++) {
        seen.push(alive());
        await sleep(10);
      }
      assert.deepEqual(seen, ["abce", "bce", "bc", "c"]);
      assert.equal(w.timers.length, 0);
      for (const wrong of [NaN, -1]) assert.throws(() => cache.set("c", wrong), RangeError);
      assert.equal(cache.peek("c"), Infinity);
      await assert.rejects(cache.get("f", () => NaN), RangeError);
    });
  });

  test("a TTL of 30 days holds for 30 days", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>({ ttlMs: 30 * 86_400_000 });
      cache.set("a", 1);
      await sleep(30 * 86_400_000 - 1);
      assert.equal(cache.peek("a"), 1);
      await sleep(1);
      assert.equal(cache.size, 0);
    });
  });

  test("an idle limit counts from the last read or write, and does not outlast the TTL", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({ idleMs: 10, ttlMs: 25 });
      cache.set("read", 1);
      cache.set("unread", 1);
      const seen: unknown[] = [];
      for (const by of ["peek", "get", "lease", "peek"] as const) {
        await sleep(8);
        const value = by === "peek"
          ? cache.peek("read")
          : by === "get"
          ? await cache.get("read", () => 0)
          : (await cache.lease("read", () => 0)).value;
        seen.push(value);
      }
      assert.deepEqual([seen, cache.has("unread"), w.now], [[1, 1, 1, undefined], false, 32]);
      const idle = new AsyncCache<string, number>({ idleMs: 10 });
      idle.set("a", 1);
      for (let i = 0; i < 10; i++) {
        await sleep(9);
        assert.equal(idle.peek("a"), 1);
        idle.has("a"); // which is no read
      }
      await sleep(10);
      assert.equal(idle.size, 0);
    });
  });

  test("jitter cuts TTLs at random, by its part at most, so that they do not end together", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<number, number>({ ttlMs: 1_000, jitter: 0.2 });
      for (let i = 0; i < 1_000; i++) cache.set(i, i);
      const sizes: number[] = [];
      for (const at of [799, 850, 900, 950, 1_000]) {
        await sleep(at - w.now);
        sizes.push(cache.size);
      }
      assert.equal(sizes[0], 1_000);
      assert.equal(sizes[4], 0);
      assert.ok(sizes[1]! > 700 && sizes[1]! < 800 && sizes[3]! > 200 && sizes[3]! < 300, sizes.join());
    });
  });

  test("CA-16 clear leaves no entry, no timer, no tag; nor does closing, nor does deleting the last", async () => {
    await world(async (w) => {
      for (
        const empty of [
          (cache: AsyncCache<string, number>) => cache.clear(),
          (cache: AsyncCache<string, number>) => cache.close(),
          (cache: AsyncCache<string, number>) => ["a", "b"].map((key) => cache.delete(key)),
          (cache: AsyncCache<string, number>) => cache.deleteTag("t"),
        ]
      ) {
        const cache = new AsyncCache<string, number>({ ttlMs: 1_000, errorTtlMs: 100 });
        for (const key of ["a", "b"]) cache.set(key, 1, { tags: ["t", key] });
        assert.equal(w.timers.length, 1);
        await empty(cache);
        const { size, tags, loading } = cache.statistics();
        assert.deepEqual([size, tags, loading, w.timers.length], [0, 0, 0, 0]);
      }
    });
  });

  test("100,000 entries that expire together go in portions, through one timer", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<number, number>({ ttlMs: 100 });
      for (let i = 0; i < 100_000; i++) cache.set(i, i);
      assert.equal(w.timers.length, 1);
      await w.advance(100);
      assert.ok(cache.size > 0 && cache.size < 100_000);
      assert.deepEqual([cache.has(99_999), w.timers.length], [false, 1]);
      await w.advance(20);
      assert.deepEqual([cache.size, w.timers.length], [0, 0]);
    }, { auto: false });
  });
});

describe("AsyncCache: values that have expired", () => {
  test("CA-06 stale-while-revalidate gives the old value at once, and loads once in the background", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({ ttlMs: 100, staleWhileRevalidateMs: 50 });
      const { load } = source();
      await cache.get("a", load);
      await sleep(110);
      const since = w.now;
      const all = await Promise.all(Array.from({ length: 20 }, () => cache.get("a", load)));
      assert.deepEqual([new Set(all), w.now - since], [new Set([1]), 0]);
      assert.deepEqual([cache.peek("a"), cache.has("a")], [undefined, false]); // fresh ones only
      await sleep(11);
      assert.equal(cache.peek("a"), 2);
      assert.equal(cache.statistics().loads, 2);
      assert.equal(cache.statistics().staleHits, 20);
      await sleep(150); // beyond both limits: a load, and a wait for it
      assert.equal(cache.size, 0);
      assert.equal(await cache.get("a", load), 3);
      await cache.close();
    });
  });

  test("CA-06 a refresh that fails is told, the value stays until its end, and attempts are spaced", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _ = observe({ record: (event) => void records.push(event) });
      const cache = new AsyncCache<string, number>({
        ttlMs: 100,
        staleWhileRevalidateMs: 1_000,
        backoff: { baseMs: 100, kind: "exponential", jitter: "none" },
      });
      const it = source(0);
      await cache.get("a", it.load);
      it.fails = new Error("down");
      const calls: number[] = [];
      while (w.now < 1_099) {
        await sleep(1);
        const before = it.calls;
        assert.equal(await cache.get("a", it.load), 1);
        if (it.calls > before) calls.push(w.now);
      }
      assert.deepEqual(calls, [100, 200, 400, 800]);
      assert.equal(records.filter(({ kind }) => kind === "refresh.failed").length, 4);
      await sleep(1);
      await assert.rejects(cache.get("a", it.load), { message: "down" });
      it.fails = undefined;
      const fresh = await cache.get("a", it.load);
      assert.equal(cache.peek("a"), fresh);
      await cache.close();
    });
  });

  test("stale-if-error waits for the load, and gives the old value when it fails, for so long and no longer", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>({
        ttlMs: 100,
        staleIfErrorMs: 200,
        backoff: { baseMs: 50, kind: "constant", jitter: "none" },
      });
      const it = source();
      await cache.get("a", it.load);
      await sleep(110);
      assert.equal(await cache.get("a", it.load), 2); // what is new comes first
      await sleep(110);
      it.fails = new Error("down");
      assert.deepEqual(
        await Promise.all([cache.get("a", it.load), cache.get("a", it.load), cache.peek("a")]),
        [2, 2, undefined],
      );
      assert.equal(it.calls, 3);
      assert.equal(await cache.get("a", it.load), 2); // not asked again so soon
      assert.equal(it.calls, 3);
      await sleep(50);
      using lease = await cache.lease("a", it.load);
      assert.deepEqual([lease.value, it.calls], [2, 4]);
      await sleep(150);
      await assert.rejects(cache.get("a", it.load), it.fails as Error);
      assert.equal(cache.size, 0);
    });
  });

  test("the end of stale-if-error counts when the load fails, not when it began", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>({ ttlMs: 100, staleIfErrorMs: 100 });
      const it = source(20);
      cache.set("a", 1);
      it.fails = "down";
      await sleep(190);
      await assert.rejects(cache.get("a", it.load), (error) => error === "down");
    });
  });

  test("a caller's own abort or limit is never answered with a stale value", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>({ ttlMs: 10, staleIfErrorMs: 1_000 });
      cache.set("a", 1);
      await sleep(20);
      const it = source(50);
      await assert.rejects(cache.get("a", it.load, { timeoutMs: 5 }), { name: "TimeoutError" });
      const controller = new AbortController();
      const call = cache.get("a", it.load, { signal: controller.signal });
      controller.abort("stop");
      await assert.rejects(call, (error) => error === "stop");
      await sleep(50);
      await cache.close();
    });
  });

  test("failures are kept for errorTtlMs, which may depend on the error, and count as entries", async () => {
    await world(async () => {
      const missing = new Error("no such key");
      const cache = new AsyncCache<string, number>({
        maxEntries: 2,
        errorTtlMs: (error) => error === missing ? 100 : 0,
      });
      const it = source();
      it.fails = missing;
      for (let i = 0; i < 3; i++) await assert.rejects(cache.get("a", it.load), (error) => error === missing);
      assert.deepEqual([it.calls, cache.size, cache.peek("a"), cache.has("a")], [1, 1, undefined, false]);
      const [result] = await cache.getMany(["a"], () => []);
      assert.ok(result?.status === "rejected" && result.reason === missing);
      await assert.rejects(cache.lease("a", it.load), (error) => error === missing);
      await sleep(100);
      it.fails = new Error("down");
      for (let i = 0; i < 2; i++) await assert.rejects(cache.get("a", it.load), { message: "down" });
      assert.deepEqual([it.calls, cache.size], [3, 0]);
      it.fails = missing;
      for (const key of ["a", "b", "c"]) await assert.rejects(cache.get(key, it.load));
      assert.equal(cache.size, 2);
      cache.set("c", 5);
      assert.equal(await cache.get("c", it.load), 5);
      assert.equal(cache.delete("b"), false); // there was no value
      it.fails = undefined;
      assert.equal(typeof await cache.get("b", it.load), "number");
      const wrong = new AsyncCache<string, number>({ errorTtlMs: () => NaN });
      await assert.rejects(wrong.get("a", () => Promise.reject(missing)), RangeError);
      await cache.close();
    });
  });

  test("a failure that is kept is a miss to whoever reads it, not a value that was there", async () => {
    await world(async () => {
      const kinds: string[] = [];
      using _ = observe({ record: ({ kind }) => void kinds.push(kind) });
      const cache = new AsyncCache<string, number>({ errorTtlMs: 100 });
      const load = () => Promise.reject(new Error("down"));
      for (let i = 0; i < 2; i++) await assert.rejects(cache.get("a", load), { message: "down" });
      assert.equal(cache.peek("a"), undefined);
      await cache.getMany(["a"], () => []);
      await assert.rejects(cache.lease("a", load), { message: "down" });
      const { hits, misses, loads, failed } = cache.statistics();
      assert.deepEqual({ hits, misses, loads, failed }, { hits: 0, misses: 5, loads: 1, failed: 1 });
      assert.deepEqual(kinds, ["miss", "load", "load.failed", "miss", "miss", "miss", "miss"]);
      cache.set("a", 1);
      assert.deepEqual([cache.peek("a"), await cache.get("a", load), cache.statistics().hits], [1, 1, 2]);
      await cache.close();
    });
  });

  test("a failure never takes the place of a value that is of use", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>({ errorTtlMs: 1_000 });
      cache.set("a", 1);
      await assert.rejects(cache.get("a", () => Promise.reject("down"), { refresh: true }));
      assert.equal(cache.peek("a"), 1);
      await cache.close();
    });
  });

  test("early refreshes come before the TTL is over, more likely the closer it is, and never without a load time", async () => {
    await world(async (w) => {
      const early: number[] = [];
      for (let i = 0; i < 200; i++) {
        const cache = new AsyncCache<string, number>({ ttlMs: 100, earlyRefresh: 1 });
        const it = source(10);
        await cache.get("a", it.load);
        const since = w.now;
        for (let ms = 0; ms < 99 && it.calls === 1; ms++) {
          await sleep(1);
          assert.equal(await cache.get("a", it.load), 1);
        }
        if (it.calls > 1) early.push(w.now - since);
        await cache.close();
      }
      assert.ok(early.length > 180, `${early.length} of 200`);
      assert.ok(early.filter((ms) => ms > 60).length > early.length / 2, early.join());
      const cache = new AsyncCache<string, number>({ ttlMs: 100, earlyRefresh: 1 });
      cache.set("set", 1);
      await sleep(99);
      assert.equal(await cache.get("set", () => assert.fail("loaded")), 1);
      await cache.close();
    });
  });
});
