import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { MisuseError, PoolSelfDeadlockError, PoolTimeoutError } from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { failureOf, Store } from "./_store.ts";

describe("AsyncResourcePool and owners", () => {
  test("of three that hold all three and ask for another, one is refused at once; two end (DB-14)", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 3 });
      const outer = async (name: string): Promise<string> => {
        const owner = { name };
        return await pool.run(async () => {
          await sleep(5);
          return await pool.run(() => sleep(10).then(() => name), { owner });
        }, { owner });
      };
      const ends = await Promise.allSettled([outer("a"), outer("b"), outer("c")]);
      assert.deepEqual(ends.map((end) => end.status === "fulfilled" && end.value), ["a", "b", false]);
      const { reason } = ends[2] as PromiseRejectedResult;
      assert.ok(reason instanceof PoolSelfDeadlockError && reason instanceof MisuseError);
      assert.equal(
        reason.message,
        'Cannot lease from pool "orders": all 3 in use are held by owners that wait for another one ("a", "b", "c")',
      );
      assert.deepEqual(reason.holders, ["a", "b", "c"]);
      assert.equal(w.now, 25); // c gave its own back at 5, for a; b followed.
      assert.equal(pool.statistics().refused, 1);
      await pool.close();
    });
  });

  test("one that holds all there is and asks for more is refused before it waits", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 2 });
      const owner = {};
      const leases = [await pool.acquire({ owner }), await pool.acquire({ owner })];
      assert.ok(await failureOf(pool.acquire({ owner })) instanceof PoolSelfDeadlockError);
      assert.equal(pool.statistics().waiting, 0);
      leases[0]!.release();
      (await pool.acquire({ owner })).release();
      leases[1]!.release();
      await pool.close();
    });
  });

  test("nobody is refused while somebody could still give back, or there is room", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 3 });
      const [a, b] = [{ name: "a" }, { name: "b" }];
      const first = await pool.acquire({ owner: a });
      const second = await pool.acquire({ owner: b });
      const free = await pool.acquire();
      const waits = [pool.acquire({ owner: a }), pool.acquire({ owner: b })] as const;
      assert.equal(pool.statistics().waiting, 2);
      free.release();
      const third = await waits[0];
      assert.equal(pool.statistics().waiting, 1);
      first.release();
      const fourth = await waits[1];
      for (const lease of [second, third, fourth]) lease.release();
      await pool.close();
    });
  });

  test("who gave up does not count, in the same turn already", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 2 });
      const [a, b] = [{}, {}];
      const leases = [await pool.acquire({ owner: a }), await pool.acquire({ owner: b })] as const;
      const controller = new AbortController();
      const gone = failureOf(pool.acquire({ owner: a, signal: controller.signal }));
      controller.abort("stop");
      const waiting = pool.acquire({ owner: b, timeoutMs: 50 });
      assert.equal(await gone, "stop");
      assert.equal(pool.statistics().waiting, 1);
      assert.ok(await failureOf(pool.acquire({ owner: a })) instanceof PoolSelfDeadlockError);
      leases[0].release();
      (await waiting).release();
      leases[1].release();
      await pool.close();
    });
  });

  test("a circle that a grant or a resize completes is found too; the newest waiter is refused", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 2 });
      const [a, b] = [{ name: "a" }, { name: "b" }];
      const first = await pool.acquire({ owner: a });
      const other = await pool.acquire();
      const granted = pool.acquire({ owner: b });
      const waits = [pool.acquire({ owner: a }), failureOf(pool.acquire({ owner: b }))] as const;
      other.release(); // b gets it, and waits for another: now all wait.
      const second = await granted;
      assert.ok(await waits[1] instanceof PoolSelfDeadlockError);
      second.release();
      const third = await waits[0];
      first.release();
      third.release();

      pool.resize(3);
      const held = [
        await pool.acquire({ owner: a }),
        await pool.acquire({ owner: b }),
        await pool.acquire(),
      ] as const;
      const late = [pool.acquire({ owner: a }), failureOf(pool.acquire({ owner: b }))] as const;
      pool.resize(2);
      assert.equal(pool.statistics().waiting, 2);
      held[2].release(); // is one too many: nobody gets it
      await sleep(1);
      assert.ok(await late[1] instanceof PoolSelfDeadlockError);
      held[1].release();
      (await late[0]).release();
      held[0].release();
      await pool.close();
    });
  });

  test("without owners it can only be a limit, which says who holds what", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1 });
      const error = await failureOf(
        pool.run(() => pool.acquire({ timeoutMs: 50 }), { label: "outer" }),
      );
      assert.ok(error instanceof PoolTimeoutError);
      assert.match(error.message, /1 of 1 in use, 1 waiting, longest lease 50 ms by "outer"$/);
      await pool.close();
    });
  });

  test("priorities and owners go together, and leave nothing behind when the line is empty", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1 });
      for (let round = 0; round < 3; round++) {
        const first = await pool.acquire();
        const order: number[] = [];
        const all = [1, 3, 2, 3].map((priority) =>
          pool.run(() => order.push(priority), { priority, owner: {} })
        );
        const plain = pool.run(() => order.push(0));
        first.release();
        await Promise.all([...all, plain]);
        assert.deepEqual(order, [3, 3, 2, 1, 0]);
      }
      await pool.close();
    });
  });
});
