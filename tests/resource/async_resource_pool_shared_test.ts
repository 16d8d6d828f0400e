import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe } from "../../src/kernel/observer.ts";
import {
  AsyncResourcePool,
  type AsyncResourcePoolOptions,
  PoolFullError,
  PoolSelfDeadlockError,
} from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { failureOf } from "./_store.ts";

interface Line {
  readonly id: number;
  ended: boolean;
}

/** Lines of which each serves two calls at once. */
function lines(options: Partial<AsyncResourcePoolOptions<Line>> = {}) {
  const all: Line[] = [];
  const pool = new AsyncResourcePool<Line>({
    max: 2,
    leasesPerResource: 2,
    create: () => {
      const line = { id: all.length + 1, ended: false };
      all.push(line);
      return line;
    },
    destroy: (line) => {
      assert.equal(line.ended, false, "ended twice");
      line.ended = true;
    },
    ...options,
  });
  return { pool, all, alive: () => all.filter(({ ended }) => !ended).map(({ id }) => id) };
}

describe("AsyncResourcePool with several leases for each resource", () => {
  test("leases what is in use before what is idle, and makes another only when all seats are taken", async () => {
    await world(async () => {
      const { pool, all } = lines();
      const leases = await Promise.all([1, 2, 3].map(() => pool.acquire()));
      assert.deepEqual(leases.map(({ value }) => value.id), [1, 1, 2]);
      const { size, inUse, leases: taken, free } = pool.statistics();
      assert.deepEqual([size, inUse, taken, free], [2, 2, 3, 1]);
      leases[2]!.release();
      leases[1]!.release();
      const next = pool.tryAcquire()!;
      assert.deepEqual([next.value.id, pool.statistics().idle], [1, 1]);
      for (const lease of [leases[0]!, next]) lease.release();
      assert.deepEqual([pool.statistics().idle, all.length], [2, 2]);
      await pool.close();
    });
  });

  test("creates no more than those who wait will need", async () => {
    await world(async () => {
      const { pool, all } = lines({ max: 10 });
      const leases = await Promise.all(Array.from({ length: 5 }, () => pool.acquire()));
      assert.equal(all.length, 3);
      for (const lease of leases) lease.release();
      await pool.close();
    });
  });

  test("a seat that is given back goes to the longest waiter directly; giving back twice takes nobody else's", async () => {
    await world(async () => {
      const { pool } = lines({ max: 1 });
      const [one, two] = await Promise.all([pool.acquire(), pool.acquire()]);
      const order: string[] = [];
      const waiting = ["a", "b"].map((name) => pool.acquire().then((lease) => (order.push(name), lease)));
      one.release();
      assert.deepEqual([pool.statistics().waiting, pool.tryAcquire()], [1, undefined]);
      one[Symbol.dispose]();
      assert.throws(() => one.release());
      assert.equal(pool.statistics().leases, 2);
      two.release();
      for (const lease of waiting) (await lease).release();
      assert.deepEqual(order, ["a", "b"]);
      await pool.close();
    });
  });

  test("one that is discarded, gone, evicted, too old or used up has no new users, and ends with its last", async () => {
    const ways = ["discard", "gone", "evict", "age", "uses", "resize"] as const;
    for (const way of ways) {
      await world(async (w) => {
        const told: (() => void)[] = [];
        const { pool, all, alive } = lines({
          ...(way === "age" ? { maxLifetimeMs: 10, lifetimeJitter: 0 } : {}),
          ...(way === "uses" ? { maxUses: 2 } : {}),
        });
        if (way === "gone") {
          const create = (context: { gone(): void }): Line => {
            told.push(context.gone);
            const line = { id: told.length, ended: false };
            all.push(line);
            return line;
          };
          await pool.close();
          const other = lines({ create }).pool;
          const held = await other.acquire();
          told[0]!();
          const next = await other.acquire();
          assert.deepEqual([held.value.id, next.value.id, all[0]!.ended], [1, 2, false]);
          held.release();
          assert.equal(all[0]!.ended, true);
          next.release();
          return await other.close().then(() => {});
        }
        const held = [await pool.acquire(), await pool.acquire()];
        if (way === "resize") {
          held.push(await pool.acquire());
          pool.resize(1);
          held.pop()!.release(); // It was alone on its line, which ends at once.
          await sleep(1);
          assert.deepEqual(alive(), [1]);
          held.pop()!.release();
          held.push(await pool.acquire()); // The other one may stay.
        } else {
          if (way === "discard") held.pop()!.discard();
          else if (way === "evict") pool.evict();
          else if (way === "age") await w.advance(10);
          if (held.length > 1 && way !== "uses") held.pop()!.release();
          const next = await pool.acquire();
          assert.deepEqual([next.value.id, alive()], [2, [1, 2]], way);
          next.release();
        }
        for (const lease of held) lease.release();
        await sleep(0);
        if (way !== "resize") assert.equal(all[0]!.ended, true, way);
        await pool.close();
        assert.deepEqual(alive(), []);
      });
    }
  });

  test("one that is discarded was not found bad: it does not count as invalid, whoever is the last", async () => {
    await world(async () => {
      const { pool, alive } = lines({ max: 1 });
      for (const first of ["discard", "release"] as const) {
        const [a, b] = [await pool.acquire(), await pool.acquire()];
        a[first]();
        b[first === "discard" ? "release" : "discard"]();
        await sleep(1);
        assert.deepEqual(alive(), []);
      }
      const { invalid, destroyed } = pool.statistics();
      assert.deepEqual({ invalid, destroyed }, { invalid: 0, destroyed: 2 });
      await pool.close();
    });
  });

  test("seats that nobody may have while there are too many resources are given again after that", async () => {
    await world(async () => {
      const { pool } = lines({ leasesPerResource: 3 });
      const held = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
      held[0]!.release();
      pool.resize(1);
      assert.equal(pool.tryAcquire(), undefined);
      pool.resize(2);
      assert.equal(pool.statistics().free, 3);
      const more = [1, 2, 3].map(() => pool.tryAcquire());
      assert.deepEqual(more.map((lease) => lease?.value.id), [2, 2, 1]);
      for (const lease of [...held.slice(1), ...more]) lease!.release();
      await pool.close();
    });
  });

  test("a seat is given to who waits once there are not too many resources any more", async () => {
    await world(async () => {
      const { pool } = lines({ leasesPerResource: 3, acquireTimeoutMs: 10 });
      const held = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
      held[0]!.release();
      pool.resize(1);
      const waiting = pool.acquire();
      held[3]!.release();
      const lease = await waiting;
      assert.equal(lease.value.id, 1);
      for (const one of [held[1]!, held[2]!, lease]) one.release();
      await pool.close();
    });
  });

  test("is recycled when all have given it back, and validated before the first only", async () => {
    await world(async () => {
      const looks: string[] = [];
      const { pool } = lines({
        freshMs: 0,
        validate: ({ id }) => void looks.push(`validate ${id}`),
        recycle: ({ id }) => void looks.push(`recycle ${id}`),
      });
      const [one, two] = await Promise.all([pool.acquire(), pool.acquire()]);
      one.release();
      assert.deepEqual(looks, []);
      two.release();
      await sleep(1);
      const [three, four] = await Promise.all([pool.acquire(), pool.acquire()]);
      assert.deepEqual(looks, ["recycle 1", "validate 1"]);
      for (const lease of [three, four]) lease.release();
      await pool.close();
    });
  });

  test("close names all who use one, and ends it once", async () => {
    await world(async () => {
      const { pool, alive } = lines();
      const leases = await Promise.all(["a", "b", "c"].map((label) => pool.acquire({ label })));
      const { stragglers } = await pool.close({ graceMs: 5 });
      assert.deepEqual([stragglers, alive()], [["a", "b", "c"], []]);
      for (const lease of leases) lease.release();
      assert.deepEqual([pool.statistics().leases, pool.statistics().size], [0, 0]);
    });
  });

  test("limits of waiters, owners that wait for each other, and leaks count seats", async () => {
    await world(async (w) => {
      const leaks: unknown[] = [];
      using _ = observe({ record: ({ kind, data }) => void (kind === "leak" && leaks.push(data)) });
      const { pool } = lines({ max: 1, maxWaiters: 0, leakAfterMs: 10 });
      const [a, b] = [{ name: "a" }, { name: "b" }];
      const one = await pool.acquire({ owner: a, label: "one" });
      const two = await pool.acquire({ owner: b, label: "two" });
      assert.ok(await failureOf(pool.acquire()) instanceof PoolFullError);
      await w.advance(10);
      assert.deepEqual(leaks.map((leak) => (leak as { label: string }).label), ["one", "two"]);
      one.release();
      two.release();
      await pool.close();

      const other = lines({ max: 1 }).pool;
      const held = [await other.acquire({ owner: a }), await other.acquire({ owner: b })];
      const waiting = other.acquire({ owner: a });
      assert.ok(await failureOf(other.acquire({ owner: b })) instanceof PoolSelfDeadlockError);
      held[1]!.release();
      (await waiting).release();
      held[0]!.release();
      await other.close();
    });
  });

  test("the number has to be an integer of 1 or more", () => {
    for (const leasesPerResource of [0, 1.5, NaN, Infinity]) {
      assert.throws(() => lines({ leasesPerResource }), RangeError);
    }
    assert.throws(() => lines({ leasesPerResource: "2" as never }), TypeError);
  });
});
