import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/sleep.ts";
import { KeyedResourcePool } from "../../src/resource/keyed_resource_pool.ts";
import {
  type KeyedResourcePoolOptions,
  PoolClosedError,
  PoolSelfDeadlockError,
  PoolTimeoutError,
} from "../../src/resource/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";
import { failureOf } from "./_store.ts";

interface Thing {
  readonly key: string;
  readonly id: number;
  destroyed: boolean;
}

class KeyedStore {
  readonly all: Thing[] = [];
  readonly pool: KeyedResourcePool<string, Thing>;

  constructor(
    { createMs = 0, destroyMs = 0, ...options }:
      & { createMs?: number; destroyMs?: number }
      & Partial<KeyedResourcePoolOptions<string, Thing>> = {},
  ) {
    this.pool = new KeyedResourcePool({
      max: 2,
      name: "hosts",
      create: async (key, { signal }) => {
        if (createMs > 0) await sleep(createMs, { signal });
        const thing = { key, id: this.all.length + 1, destroyed: false };
        this.all.push(thing);
        return thing;
      },
      destroy: async (thing) => {
        assert.equal(thing.destroyed, false, "destroyed twice");
        thing.destroyed = true;
        if (destroyMs > 0) await sleep(destroyMs);
      },
      ...options,
    });
  }

  get alive(): string[] {
    return this.all.filter(({ destroyed }) => !destroyed).map(({ key, id }) => `${key}${id}`);
  }
}

describe("KeyedResourcePool", () => {
  test("keeps resources by key, within one limit for all", async () => {
    await world(async () => {
      const store = new KeyedStore();
      const { pool } = store;
      const [a, b] = await Promise.all([pool.acquire("a"), pool.acquire("b")]);
      assert.deepEqual([a.value.key, b.value.key], ["a", "b"]);
      assert.ok(await failureOf(pool.acquire("a", { timeoutMs: 10 })) instanceof PoolTimeoutError);
      assert.ok(await failureOf(pool.acquire("c", { timeoutMs: 10 })) instanceof PoolTimeoutError);
      assert.deepEqual(pool.keys(), ["a", "b"]);
      a.release();
      const again = await pool.acquire("a");
      assert.equal(again.value, a.value);
      again.release();
      b.release();
      assert.equal(pool.tryAcquire("c"), undefined);
      pool.tryAcquire("b")!.release();
      const { size, inUse, idle, keys, created, granted, timedOut, waiting } = pool.statistics();
      assert.deepEqual([size, inUse, idle, keys, created, granted, timedOut, waiting], [
        2,
        0,
        2,
        2,
        2,
        4,
        2,
        0,
      ]);
      assert.equal(pool.statisticsOf("a")!.idle, 1);
      assert.equal(pool.statisticsOf("c"), undefined);
      await pool.close();
    });
  });

  test("a key that needs room gets that of whatever has been idle for the longest", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 3, destroyMs: 5 });
      const { pool } = store;
      for (const key of ["a", "b", "c", "a"]) await pool.run(key, () => sleep(1));
      const d = await pool.acquire("d");
      assert.deepEqual(store.alive, ["a1", "c3", "d4"]);
      assert.deepEqual(pool.keys(), ["a", "c", "d"]);
      d.release();
      const { size, evicted, created } = pool.statistics();
      assert.deepEqual([size, evicted, created], [3, 1, 4]);
      await pool.close();
      assert.deepEqual(store.alive, []);
    });
  });

  test("serves first come, first served over all keys: a busy key does not starve the others", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 1 });
      const { pool } = store;
      const first = await pool.acquire("a");
      const order: string[] = [];
      const all = ["a1", "a2", "b1", "a3", "c1", "b2"].map((name) =>
        pool.run(name[0]!, () => order.push(name), { label: name })
      );
      first.release();
      await Promise.all(all);
      assert.deepEqual(order, ["a1", "a2", "b1", "a3", "c1", "b2"]);
      assert.equal(pool.statistics().size, 1);
      await pool.close();
    });
  });

  test("who waits for room keeps the place of its first waiter that is still there", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 1 });
      const { pool } = store;
      const held = await pool.acquire("x");
      const controller = new AbortController();
      const gone = failureOf(pool.acquire("b", { signal: controller.signal }));
      const order: string[] = [];
      const all = ["c1", "b2"].map((name) => pool.run(name[0]!, () => order.push(name)));
      controller.abort("stop");
      assert.equal(await gone, "stop");
      held.release();
      await Promise.all(all);
      assert.deepEqual(order, ["c1", "b2"]);
      assert.equal(store.all.length, 3); // none was made for "b" only to make room for "c"
      await pool.close();
    });
  });

  test("no more is destroyed to make room than is needed", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 3, destroyMs: 5 });
      const { pool } = store;
      const held = await pool.acquire("c");
      await pool.run("a", () => 1);
      await pool.run("b", () => 1);
      const waiting = pool.acquire("d");
      pool.evict("d");
      pool.evict("d");
      (await waiting).release();
      assert.deepEqual(store.alive, ["c1", "b3", "d4"]);
      held.release();
      await pool.close();
    });
  });

  test("one key may have so many, and what it has is handed over directly", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 5, maxPerKey: 2 });
      const { pool } = store;
      let [inside, most] = [0, 0];
      await Promise.all(Array.from({ length: 10 }, () =>
        pool.run("a", async () => {
          most = Math.max(most, ++inside);
          await sleep(1);
          inside--;
        })));
      assert.deepEqual([most, store.all.length], [2, 2]);
      await pool.close();
    });
  });

  test("a key with nothing is forgotten, one that can't create only after its pause", async () => {
    await world(async (w) => {
      let attempts = 0;
      const pool = new KeyedResourcePool<number, object>({
        max: 2,
        failFast: true,
        backoff: { baseMs: 100, jitter: "none" },
        create: () => {
          attempts++;
          throw "down";
        },
      });
      for (let key = 0; key < 1_000; key++) {
        assert.equal(await failureOf(pool.acquire(key, { signal: AbortSignal.abort("stop") })), "stop");
        await assert.rejects(pool.acquire(key, { label: 5 as never }), TypeError);
      }
      assert.deepEqual([pool.keys(), pool.statistics().aborted], [[], 1_000]);
      assert.equal(await failureOf(pool.acquire(7)), "down");
      assert.equal(await failureOf(pool.acquire(7)), "down");
      assert.deepEqual([pool.keys(), attempts], [[7], 1]);
      await sleep(101);
      assert.deepEqual([pool.keys(), w.timers.length], [[], 0]);
      const { createFailed, refused } = pool.statistics();
      assert.deepEqual([createFailed, refused], [1, 1]);
      await pool.close();
    });
  });

  test("sees owners that wait for each other, over keys too", async () => {
    await world(async () => {
      const { pool } = new KeyedStore({ max: 2 });
      const [a, b] = [{ name: "a" }, { name: "b" }];
      const leases = [await pool.acquire("x", { owner: a }), await pool.acquire("y", { owner: b })] as const;
      const waiting = pool.acquire("z", { owner: a });
      assert.ok(await failureOf(pool.acquire("x", { owner: b })) instanceof PoolSelfDeadlockError);
      leases[1].release();
      (await waiting).release();
      leases[0].release();
      await pool.close();
    });
  });

  test("resize trims what has been idle for the longest, and serves waiters", async () => {
    await world(async () => {
      const store = new KeyedStore({ max: 3 });
      const { pool } = store;
      const leases = await Promise.all(["a", "b", "c"].map((key) => pool.acquire(key)));
      leases[1]!.release();
      pool.resize(1);
      await sleep(1);
      assert.deepEqual(store.alive, ["a1", "c3"]);
      const waiting = pool.acquire("d");
      leases[0]!.release();
      await sleep(1);
      assert.deepEqual([store.alive, pool.statistics().waiting], [["c3"], 1]);
      pool.resize(2);
      (await waiting).release();
      leases[2]!.release();
      pool.evict("c");
      await sleep(1);
      assert.deepEqual(store.alive, ["d4"]);
      await pool.close();
    });
  });

  test("resize lets one key have more, too, unless `maxPerKey` was given", async () => {
    await world(async () => {
      for (const [maxPerKey, served] of [[undefined, 2], [1, 0]] as const) {
        const { pool } = new KeyedStore({ max: 1, maxPerKey });
        const first = await pool.acquire("a");
        const waiting = [pool.acquire("a"), pool.acquire("a")];
        pool.resize(3);
        await sleep(1);
        assert.deepEqual(pool.statistics().inUse, 1 + served);
        pool.resize(1);
        assert.deepEqual(pool.statisticsOf("a")!.max, 1);
        first.release();
        for (const lease of waiting) (await lease).release();
        await sleep(1);
        assert.deepEqual(pool.statistics().size, 1);
        await pool.close();
      }
    });
  });

  test("room that comes free goes to those who came first, also where one key wants more of it", async () => {
    await world(async () => {
      for (const how of ["resize", "release", "release, slowly"]) {
        const store = new KeyedStore({ max: 2, destroyMs: how === "release, slowly" ? 5 : 0 });
        const { pool } = store;
        const held = [await pool.acquire("x"), await pool.acquire("y")];
        const got: string[] = [];
        const all = ["a1", "b1", "a2", "b2"].map(async (name) => {
          const lease = await pool.acquire(name[0]!);
          got.push(name);
          return lease;
        });
        if (how === "resize") pool.resize(4);
        else for (const lease of held) lease.release();
        await sleep(10);
        assert.deepEqual(got, ["a1", "b1"], how);
        if (how === "resize") { for (const lease of held) lease.release(); }
        for (const lease of all) (await lease).release();
        assert.deepEqual(got, ["a1", "b1", "a2", "b2"], how);
        assert.equal(store.all.length, 4, "none is made only to make room");
        await pool.close();
      }
    });
  });

  test("close: waiters of all keys are sent away, users waited for, stragglers named", async () => {
    await world(async (w) => {
      const store = new KeyedStore({ max: 2, createMs: 5 });
      const { pool } = store;
      const held = await pool.acquire("a", { label: "import" });
      const creating = failureOf(pool.acquire("b"));
      const waiting = failureOf(pool.acquire("c"));
      const closing = pool.close();
      assert.deepEqual([pool.closed, pool.statistics().free], [true, 0]);
      assert.equal(pool.close({ graceMs: 50 }), closing);
      for (const one of [creating, waiting, failureOf(pool.acquire("d"))]) {
        assert.ok(await one instanceof PoolClosedError);
      }
      assert.deepEqual(await closing, { stragglers: ["import"], errors: [] });
      assert.deepEqual([w.now, store.alive, pool.keys()], [55, [], []]);
      held.release();
      assert.equal(pool.tryAcquire("a"), undefined);
      await pool[Symbol.asyncDispose]();
    });
  });

  test("close: who comes back while it begins is refused, and closes the same", async () => {
    await world(async () => {
      const created: string[] = [];
      const late: Promise<unknown>[] = [];
      let again: Promise<unknown> | undefined;
      const pool: KeyedResourcePool<string, string> = new KeyedResourcePool({
        max: 5,
        create: (key, { signal }) => {
          created.push(key);
          return new Promise<string>((_, reject) => {
            signal.addEventListener("abort", () => {
              reject(signal.reason);
              late.push(failureOf(pool.acquire("b")));
              assert.equal(pool.tryAcquire("b"), undefined);
              again = pool.close({ graceMs: 5 });
            });
          });
        },
      });
      const waiting = failureOf(pool.acquire("a"));
      await sleep(1);
      const closing = pool.close();
      assert.equal(again, closing);
      assert.deepEqual((await closing).stragglers, []);
      for (const refused of [waiting, ...late]) assert.ok(await refused instanceof PoolClosedError);
      assert.deepEqual([created, late.length, pool.keys()], [["a"], 1, []]);
    });
  });

  test("aborted at any point, nothing is left, and no room is lost", async () => {
    let store: KeyedStore;
    await sweep(async (signal) => {
      store = new KeyedStore({ max: 2, createMs: 2, destroyMs: 1 });
      await using pool = store.pool;
      const use = (key: string, ms: number): Promise<void> =>
        pool.run(key, () => sleep(ms, { signal }), { signal, queueTimeoutMs: 1_000 });
      const all = [use("a", 2), use("b", 3), use("c", 1), use("a", 1), use("d", 1)];
      await Promise.allSettled(all);
      await Promise.all(all);
      await Promise.all([use("e", 1), use("f", 1)]);
    }, () => {
      const { size, waiting, inUse, keys } = store.pool.statistics();
      assert.deepEqual([size, waiting, inUse, keys, store.alive], [0, 0, 0, 0, []]);
    });
  });

  test("whatever is done: never more than max in all or for a key, everybody is served", async () => {
    const call = fc.record({
      key: fc.constantFrom("a", "a", "a", "b", "c", "d"),
      startMs: fc.nat(60),
      holdMs: fc.nat(6),
      abortMs: fc.constantFrom(1, 5, Infinity, Infinity, Infinity),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { minLength: 1, maxLength: 60, size: "max" }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(4),
        (calls, max, maxPerKey, destroyMs) =>
          world(async () => {
            const store = new KeyedStore({ max, maxPerKey, createMs: 2, destroyMs });
            const inside = new Set<Thing>();
            await Promise.all(calls.map(async ({ key, startMs, holdMs, abortMs }) => {
              await sleep(startMs);
              const controller = new AbortController();
              const aborting = abortMs === Infinity
                ? undefined
                : sleep(abortMs).then(() => controller.abort("stop"));
              try {
                await store.pool.run(key, async ({ value }) => {
                  assert.ok(value.key === key && !value.destroyed && !inside.has(value));
                  inside.add(value);
                  assert.ok(inside.size <= max && store.pool.statistics().size <= max);
                  assert.ok([...inside].filter((other) => other.key === key).length <= maxPerKey);
                  await sleep(holdMs);
                  inside.delete(value);
                }, { signal: controller.signal });
              } catch (error) {
                assert.equal(error, "stop");
              }
              await aborting;
            }));
            await sleep(20);
            const { inUse, waiting, creating, size } = store.pool.statistics();
            assert.deepEqual([inUse, waiting, creating], [0, 0, 0]);
            assert.equal(store.alive.length, size);
            await store.pool.close();
            assert.deepEqual(store.alive, []);
          }),
      ),
      { numRuns: 200, seed: 12 },
    );
  });

  test("wrong arguments throw from the constructor, and reject elsewhere", async () => {
    const create = () => 1;
    for (
      const wrong of [undefined, null, {}, { max: 1 }, { max: "1", create }, {
        max: 1,
        create,
        maxPerKey: "1",
      }]
    ) {
      assert.throws(() => new KeyedResourcePool(wrong as never), TypeError);
    }
    for (const wrong of [{ max: 0 }, { max: 1, maxPerKey: 0 }]) {
      assert.throws(() => new KeyedResourcePool({ create, ...wrong }), RangeError);
    }
    const pool = new KeyedResourcePool({ max: 1, create });
    await assert.rejects(pool.acquire("a", null as never), TypeError);
    await assert.rejects(pool.run("a", 5 as never), TypeError);
    await assert.rejects(pool.close({ graceMs: -1 }), RangeError);
    assert.throws(() => pool.resize(-1), RangeError);
    await pool.close();
  });
});
