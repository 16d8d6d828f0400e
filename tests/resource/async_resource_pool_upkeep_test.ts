import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import { PoolTimeoutError, TimeoutError } from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { failureOf, records, Store, type Thing } from "./_store.ts";

describe("AsyncResourcePool that can't create", () => {
  test("tries again with back-off, one at a time; each waiter fails at its own limit, with the cause (PL-02)", async () => {
    for (const [error, said] of [[new Error("refused"), "refused"], ["text", '"text"'], [null, "null"]]) {
      await world(async (w) => {
        const store = new Store(
          { max: 10, backoff: { baseMs: 100, jitter: "none", maxMs: 1_000 } },
          () => w.now,
        );
        const { pool } = store;
        store.down = { error };
        const limits = Array.from({ length: 10 }, (_, i) => 200 * (i + 1));
        const failures = await Promise.all(limits.map((timeoutMs) => failureOf(pool.acquire({ timeoutMs }))));
        failures.forEach((failure, i) => {
          assert.ok(failure instanceof PoolTimeoutError);
          assert.equal(failure.cause, error);
          assert.match(
            failure.message,
            new RegExp(`within ${limits[i]} ms: 0 of 10 in use, ${10 - i} waiting, creating fails: ${said}$`),
          );
        });
        assert.equal(w.now, 2_000);
        assert.deepEqual(store.attemptsMs, [...Array(10).fill(0), 100, 300, 700, 1_500]);
        assert.equal(pool.statistics().createFailed, 14);
        await pool.close();
        assert.equal(w.timers.length, 0);
      });
    }
  });

  test("serves all who wait once it can, and starts afresh", async () => {
    await world(async (w) => {
      const store = new Store(
        { max: 3, createMs: 10, backoff: { baseMs: 100, jitter: "none" } },
        () => w.now,
      );
      const { pool } = store;
      store.down = { error: new Error("down") };
      const waits = [pool.acquire(), pool.acquire(), pool.acquire()];
      await sleep(150);
      store.down = undefined;
      const leases = await Promise.all(waits);
      // The one of 110 failed when it ended at 120; then one at 320, and when that went well, the others.
      assert.deepEqual(store.attemptsMs, [0, 0, 0, 110, 320, 330, 330]);
      assert.equal(w.now, 340);
      for (const lease of leases) lease.release();
      await pool.close();
    });
  });

  test("failFast: all who wait get the error at once, later ones too until it may be tried again", async () => {
    for (const error of [new Error("refused"), null, undefined]) {
      await world(async (w) => {
        const store = new Store(
          { failFast: true, createMs: 10, backoff: { baseMs: 100, jitter: "none" } },
          () => w.now,
        );
        const { pool } = store;
        store.down = { error };
        assert.deepEqual(await Promise.all([failureOf(pool.acquire()), failureOf(pool.acquire())]), [
          error,
          error,
        ]);
        assert.equal(w.now, 10);
        assert.equal(await failureOf(pool.acquire()), error);
        await sleep(99);
        assert.equal(await failureOf(pool.acquire()), error);
        assert.deepEqual(store.attemptsMs, [0, 0]);
        assert.equal(w.timers.length, 0);
        await sleep(1);
        store.down = undefined;
        (await pool.acquire()).release();
        assert.deepEqual([store.attemptsMs, w.now], [[0, 0, 110], 120]);
        await pool.close();
      });
    }
  });

  test("an attempt that takes too long has failed; what comes of it all the same is destroyed", async () => {
    await world(async (w) => {
      using seen = records();
      const reasons: unknown[] = [];
      const things: Thing[] = [];
      let attempts = 0;
      const pool = new AsyncResourcePool<Thing>({
        name: "orders",
        max: 1,
        createTimeoutMs: 50,
        backoff: { baseMs: 10, jitter: "none" },
        create: async ({ signal }) => {
          const ms = ++attempts === 1 ? 200 : 5;
          signal.addEventListener("abort", () => reasons.push(signal.reason), { once: true });
          await sleep(ms);
          things.push({ id: attempts, destroyed: false });
          return things[things.length - 1]!;
        },
        destroy: (thing) => void (thing.destroyed = true),
      });
      const lease = await pool.acquire();
      assert.deepEqual([w.now, lease.value.id], [65, 2]);
      const [reason] = reasons;
      assert.ok(reason instanceof TimeoutError);
      assert.equal(
        reason.message,
        'Cannot create resource of pool "orders" within 50 ms: it was still being created',
      );
      assert.deepEqual(seen.of("create.failed").map(({ data }) => data), [{ error: reason }]);
      await sleep(200);
      assert.deepEqual(things.map(({ destroyed }) => destroyed), [false, true]);
      lease.release();
      await pool.close();
      const { created, destroyed } = pool.statistics();
      assert.deepEqual([created, destroyed], [1, 1]);
    });
  });

  test("a create that throws at once is a failure like any other", async () => {
    await world(async () => {
      const failure = new Error("sync");
      const pool = new AsyncResourcePool({
        max: 1,
        failFast: true,
        create: (): number => {
          throw failure;
        },
      });
      assert.equal(await failureOf(pool.acquire()), failure);
      await pool.close();
    });
  });
});

describe("AsyncResourcePool.validate before leasing", () => {
  test("asked before leasing what was not known to be good of late, not within freshMs", async () => {
    await world(async () => {
      const asked: string[] = [];
      const store = new Store({
        freshMs: 100,
        idleTimeoutMs: Infinity,
        validate: async ({ id }) => {
          asked.push(`${id}`);
          await sleep(5);
        },
      });
      const { pool } = store;
      (await pool.acquire()).release();
      await sleep(100);
      (await pool.acquire()).release();
      assert.deepEqual(asked, []);
      await sleep(101);
      assert.equal(pool.tryAcquire(), undefined);
      (await pool.acquire()).release();
      assert.deepEqual(asked, ["1"]);
      await pool.close();
    });
  });

  test("false, rejecting, throwing, hanging: destroyed and replaced, the same waiter is served next (PL-04)", async () => {
    const bad: ((thing: Thing) => unknown)[] = [
      () => false,
      () => Promise.resolve(false),
      () => Promise.reject(new Error("gone")),
      () => Promise.reject(null),
      () => {
        throw new Error("gone");
      },
      () => new Promise(() => {}),
    ];
    for (const validate of bad) {
      await world(async (w) => {
        using seen = records();
        const store = new Store({ max: 1, freshMs: 0, validateTimeoutMs: 50, validate });
        const { pool } = store;
        (await pool.acquire()).release();
        await sleep(1);
        const order: number[] = [];
        const waits = [1, 2].map((n) => pool.run(({ value }) => (order.push(n), value.id)));
        assert.equal(pool.statistics().checking, 1);
        assert.deepEqual(await Promise.all(waits), [2, 2]);
        assert.deepEqual(order, [1, 2]);
        assert.ok(w.now <= 51);
        assert.deepEqual([store.alive, pool.statistics().invalid, seen.of("invalid").length], [[2], 1, 1]);
        assert.equal(pool.statistics().size, 1);
        await pool.close();
      });
    }
  });

  test("after some dead ones in a row it makes a new one, instead of asking all of them (PL-04)", async () => {
    for (const full of [false, true]) {
      await world(async () => {
        let asked = 0;
        let dead = false;
        const store = new Store({
          max: full ? 10 : 20,
          freshMs: 0,
          validate: () => {
            asked++;
            return !dead;
          },
        });
        const { pool } = store;
        const leases = await Promise.all(Array.from({ length: 10 }, () => pool.acquire()));
        for (const lease of leases) lease.release();
        await sleep(1);
        dead = true;
        const lease = await pool.acquire();
        assert.deepEqual([lease.value.id, asked], [11, 3]);
        assert.equal(pool.statistics().idle, 7);
        lease.release();
        await pool.close();
        assert.deepEqual(store.alive, []);
      });
    }
  });

  test("while it can't create, it goes on asking the others: one of them may be alive", async () => {
    await world(async () => {
      const store = new Store({ max: 6, freshMs: 0, validate: ({ id }) => id === 1 });
      const { pool } = store;
      const leases = await Promise.all(Array.from({ length: 6 }, () => pool.acquire()));
      for (const lease of leases) lease.release();
      await sleep(1);
      store.down = { error: new Error("down") };
      const lease = await pool.acquire({ timeoutMs: 60_000 });
      assert.equal(lease.value.id, 1);
      lease.release();
      await pool.close();
    });
  });

  test("idle ones are validated from time to time, without losing their place, and replaced down to min", async () => {
    await world(async (w) => {
      const asked: string[] = [];
      const store = new Store({
        max: 3,
        min: 2,
        validateIdleMs: 1_000,
        validate: async ({ id }) => {
          await sleep(10);
          asked.push(`${id}@${w.now}`);
          return id !== 1 || w.now < 2_000;
        },
      });
      await sleep(2_500);
      assert.deepEqual(asked, ["1@1010", "2@1010", "1@2020", "2@2020"]);
      assert.deepEqual([store.alive, store.pool.statistics().idle], [[2, 3], 2]);
      await store.pool.close();
    });
  });
});

describe("AsyncResourcePool.validate while idle", () => {
  test("one that is validated while idle goes back to where it was", async () => {
    await world(async () => {
      const { pool } = new Store({
        max: 2,
        validateIdleMs: 100,
        freshMs: 1_000,
        validate: ({ id }) => sleep(id === 1 ? 20 : 5),
      });
      const [a, b] = await Promise.all([pool.acquire(), pool.acquire()]);
      a.release();
      await sleep(1);
      b.release();
      await sleep(150);
      const latest = pool.tryAcquire()!;
      assert.equal(latest.value.id, 2);
      latest.release();
      await pool.close();
    });
  });
});

describe("AsyncResourcePool.recycle", () => {
  test("runs before the next user; what it refuses is replaced", async () => {
    await world(async () => {
      const log: string[] = [];
      const store = new Store({
        max: 1,
        recycle: async ({ id }) => {
          log.push(`recycle ${id}`);
          await sleep(5);
          return id !== 1;
        },
      });
      const { pool } = store;
      const first = await pool.acquire();
      const second = pool.run(({ value }) => log.push(`use ${value.id}`));
      first.release();
      assert.deepEqual([pool.statistics().checking, pool.statistics().inUse], [1, 0]);
      await second;
      await sleep(10);
      assert.deepEqual(log, ["recycle 1", "use 2", "recycle 2"]);
      assert.deepEqual([pool.statistics().idle, store.alive], [1, [2]]);
      await pool.close();
    });
  });

  test("is not asked of what ends anyway", async () => {
    await world(async () => {
      const store = new Store({ max: 1, maxUses: 1, recycle: () => assert.fail("it was recycled") });
      (await store.pool.acquire()).release();
      const lease = await store.pool.acquire();
      assert.equal(lease.value.id, 2);
      const closing = store.pool.close();
      lease.release();
      assert.deepEqual(await closing, { stragglers: [], errors: [] });
    });
  });
});

describe("AsyncResourcePool as time goes by", () => {
  test("keeps min from the beginning on, also after they ended", async () => {
    await world(async () => {
      const store = new Store({ max: 5, min: 3 });
      await sleep(1);
      assert.deepEqual([store.alive, store.pool.statistics().idle], [[1, 2, 3], 3]);
      (await store.pool.acquire()).discard();
      await sleep(1);
      assert.deepEqual(store.alive, [1, 2, 4]);
      await store.pool.close();
      assert.deepEqual(store.alive, []);
    });
  });

  test("min is seen to with back-off too, by a timer that keeps nothing alive", async () => {
    await world(async (w) => {
      const store = new Store({ min: 1, backoff: { baseMs: 100, jitter: "none" } }, () => w.now);
      store.down = { error: "down" };
      await sleep(1);
      assert.deepEqual(w.timers.map(({ atMs, ref }) => [atMs, ref]), [[100, false]]);
      await sleep(350);
      assert.deepEqual(store.attemptsMs, [0, 100, 300]);
      store.down = undefined;
      await sleep(400);
      assert.deepEqual([store.alive, store.attemptsMs.length], [[1], 4]);
      store.down = { error: "down" };
      (await store.pool.acquire()).discard();
      await sleep(1);
      assert.deepEqual(w.timers.map(({ ref }) => ref), [false]);
      const waiting = store.pool.acquire({ timeoutMs: Infinity });
      assert.deepEqual(w.timers.map(({ ref }) => ref), [true]); // now somebody waits for it
      store.down = undefined;
      (await waiting).release();
      await store.pool.close();
    });
  });

  test("destroys what is idle for too long, the oldest first, down to min; one timer, none without need", async () => {
    await world(async (w) => {
      const store = new Store({ max: 4, min: 1, idleTimeoutMs: 100 });
      const { pool } = store;
      await sleep(1);
      assert.equal(w.timers.length, 0);
      const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
      for (const lease of leases) {
        lease.release();
        await sleep(10);
      }
      assert.deepEqual(w.timers.map(({ atMs, ref }) => [atMs, ref]), [[101, false]]);
      const goneAt: number[][] = [];
      for (let last = 4; w.now < 300;) {
        await sleep(1);
        if (store.alive.length === last) continue;
        last = store.alive.length;
        goneAt.push([w.now, ...store.alive]);
      }
      assert.deepEqual(goneAt, [[101, 2, 3, 4], [111, 3, 4], [121, 4]]);
      assert.deepEqual([pool.statistics().evicted, w.timers.length], [3, 0]);
      await pool.close();
    });
  });

  test("100 created together do not end together; one too old in use ends when it comes back (PL-10)", async () => {
    await world(async (w) => {
      const store = new Store({ max: 101, maxLifetimeMs: 1_000, idleTimeoutMs: Infinity });
      const { pool } = store;
      const leases = await Promise.all(Array.from({ length: 101 }, () => pool.acquire()));
      for (const lease of leases.slice(1)) lease.release();
      const windows = new Map<number, number>();
      for (let alive = 101; w.now < 1_100;) {
        await sleep(10);
        const gone = alive - store.alive.length;
        alive -= gone;
        if (gone > 0) windows.set(w.now, gone);
      }
      assert.ok(Math.min(...windows.keys()) >= 900 && Math.max(...windows.keys()) <= 1_000);
      assert.ok(windows.size >= 5 && Math.max(...windows.values()) < 40);
      assert.deepEqual([store.alive, w.timers.length], [[1], 0]);
      leases[0]!.release();
      await sleep(1);
      assert.deepEqual([store.alive, pool.statistics().evicted], [[], 101]);
      await pool.close();
    });
  });

  test("after maxUses leases one is replaced", async () => {
    await world(async () => {
      const store = new Store({ max: 1, maxUses: 2 });
      const ids: number[] = [];
      for (let i = 0; i < 5; i++) ids.push(await store.pool.run(({ value }) => value.id));
      assert.deepEqual(ids, [1, 1, 2, 2, 3]);
      await store.pool.close();
    });
  });

  test("a lease held for too long is reported once, with its age, its label and where it was acquired", async () => {
    await world(async (w) => {
      using seen = records();
      const { pool } = new Store({ max: 3, leakAfterMs: 1_000, idleTimeoutMs: Infinity });
      const leaked = await pool.acquire({ label: "report/7" });
      await sleep(500);
      const second = await pool.acquire();
      (await pool.acquire()).release();
      assert.deepEqual(w.timers.map(({ atMs, ref }) => [atMs, ref]), [[1_000, false]]);
      await sleep(5_000);
      const leaks = seen.of("leak").map(({ data }) =>
        data as { ageMs: number; label?: string; site: string }
      );
      assert.deepEqual(leaks.map(({ ageMs, label }) => [ageMs, label]), [[1_000, "report/7"], [
        1_000,
        undefined,
      ]]);
      // Whoever acquired it comes first.
      for (const { site } of leaks) assert.match(site.split("\n")[1]!, /async_resource_pool_upkeep_test/);
      assert.equal(pool.statistics().leaked, 2);
      leaked.release();
      second.release();
      const again = await pool.acquire();
      await sleep(1_500);
      assert.equal(pool.statistics().leaked, 3);
      again.release();
      await sleep(2_000);
      assert.equal(w.timers.length, 0);
      await pool.close();
    });
  });

  test("resize: down trims idle ones at once and others when they come back; up serves waiters (PL-16)", async () => {
    await world(async () => {
      const store = new Store({ max: 4, min: 1 });
      const { pool } = store;
      const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
      leases[3]!.release();
      pool.resize(2);
      await sleep(1);
      assert.deepEqual([store.alive, pool.max], [[1, 2, 3], 2]);
      const waits = [pool.acquire(), pool.acquire()];
      leases[0]!.release();
      await sleep(1);
      assert.deepEqual([store.alive, pool.statistics().waiting], [[2, 3], 2]);
      leases[1]!.release();
      const first = await waits[0]!;
      assert.equal(first.value.id, 2);
      pool.resize(3);
      const second = await waits[1]!;
      assert.equal(second.value.id, 5);
      pool.resize(0);
      for (const lease of [first, second, leases[2]!]) lease.release();
      await sleep(1);
      assert.deepEqual([store.alive, pool.statistics().min], [[], 0]);
      const paused = pool.acquire();
      await sleep(100);
      pool.resize(1);
      assert.equal((await paused).value.id, 6);
      (await paused).release();
      await pool.close();
    });
  });

  test("evict replaces all: idle ones at once, those in use or being created when they come back", async () => {
    await world(async () => {
      const store = new Store({ max: 3, createMs: 5 });
      const { pool } = store;
      const [used, idle] = await Promise.all([1, 2].map(() => pool.acquire()));
      const controller = new AbortController();
      const gone = failureOf(pool.acquire({ signal: controller.signal }));
      controller.abort("stop");
      assert.equal(await gone, "stop");
      idle!.release();
      assert.deepEqual([pool.statistics().idle, pool.statistics().creating], [1, 1]);
      pool.evict();
      await sleep(1);
      assert.deepEqual(store.alive, [1]);
      used!.release();
      await sleep(10);
      assert.deepEqual([store.alive, store.all.length, pool.statistics().evicted], [[], 3, 3]);
      const fresh = await pool.acquire();
      assert.equal(fresh.value.id, 4);
      fresh.release();
      assert.equal(pool.statistics().idle, 1);
      await pool.close();
    });
  });
});

describe("AsyncResourcePool and what is called on the way", () => {
  test("functions of the user and observers that use the pool never make it more than it may be", async () => {
    await world(async () => {
      let most = 0;
      const nested: Promise<unknown>[] = [];
      const again = (): void => {
        if (nested.length > 40) return;
        most = Math.max(most, store.pool.statistics().size);
        nested.push(store.pool.run(() => sleep(1)));
      };
      const store: Store = new Store({
        max: 3,
        min: 1,
        freshMs: 0,
        maxUses: 4,
        idleTimeoutMs: 5,
        validate: () => again(),
        recycle: () => again(),
        destroy: () => again(),
      });
      using _seen = records();
      for (let i = 0; i < 5; i++) {
        again();
        await sleep(7);
      }
      await Promise.all(nested);
      assert.ok(most <= 3 && nested.length > 30);
      await store.pool.close();
      assert.equal(store.pool.statistics().size, 0);
    });
  });

  test("a release of 100,000 waiters on one resource is served in order, in linear time (PL-18)", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1 });
      const first = await pool.acquire();
      let last = -1;
      const all = Array.from({ length: 100_000 }, async (_, i) => {
        const lease = await pool.acquire();
        assert.equal(i, ++last);
        lease.release();
      });
      assert.equal(pool.statistics().waiting, 100_000);
      first.release();
      await Promise.all(all);
      assert.equal(last, 99_999);
      await pool.close();
    });
  });
});
