import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { KeyedLock } from "../../src/sync/keyed_lock.ts";
import { MisuseError, TimeoutError } from "../../src/sync/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("KeyedLock", () => {
  test("lets one at a time through for each key, in order; keys don't hold each other up", async () => {
    await world(async (w) => {
      const locks = new KeyedLock<string>();
      const order: string[] = [];
      await Promise.all(["a1", "a2", "b1", "a3", "b2"].map((who) =>
        locks.run(who[0]!, async () => {
          order.push(`${who}@${w.now}`);
          await sleep(10);
        })
      ));
      assert.deepEqual(order, ["a1@0", "b1@0", "a2@10", "b2@10", "a3@20"]);
      assert.equal(locks.statistics().keys, 0);
    });
  });

  test("compares keys as a Map does", () => {
    const locks = new KeyedLock<unknown>();
    const keys = [1, "1", NaN, null, undefined, Symbol("s"), {}, {}, 1n, true];
    const leases = keys.map((key) => locks.tryAcquire(key)!);
    assert.ok(leases.every((lease) => lease.held));
    assert.equal(locks.tryAcquire(NaN), undefined);
    assert.equal(locks.tryAcquire(keys[6]), undefined);
    assert.equal(locks.statistics().keys, keys.length);
    assert.deepEqual([locks.isHeld(undefined), locks.isHeld("other")], [true, false]);
    for (const lease of leases) lease.release();
    assert.equal(locks.statistics().keys, 0);
  });

  test("1,000,000 keys used once leave no entry (LK-10)", async () => {
    const locks = new KeyedLock<number>();
    for (let key = 0; key < 1_000_000; key++) locks.tryAcquire(key)!.release();
    const { keys, granted } = locks.statistics();
    assert.deepEqual([keys, granted], [0, 1_000_000]);
    for (let key = 0; key < 10_000; key++) (await locks.acquire(key))[Symbol.dispose]();
    assert.equal(locks.statistics().keys, 0);
  });

  test("an entry goes whichever way its last user goes: release, abort, limit, refusal (LK-10)", async () => {
    await world(async () => {
      const locks = new KeyedLock<string>();
      await assert.rejects(
        locks.acquire("k", { signal: AbortSignal.abort(null) }),
        (error) => error === null,
      );
      await assert.rejects(locks.acquire("k", { timeoutMs: -1 }), RangeError);
      await assert.rejects(locks.run("k", () => Promise.reject("inside")), (error) => error === "inside");
      await assert.rejects(
        locks.run("k", () => assert.fail("it ran"), { signal: AbortSignal.abort("no") }),
        (error) => error === "no",
      );
      assert.throws(() => locks.tryAcquire("k", { label: 5 as unknown as string }), TypeError);
      assert.equal(locks.statistics().keys, 0);

      const held = await locks.acquire("k");
      const controller = new AbortController();
      const aborted = locks.acquire("k", { signal: controller.signal });
      const limited = locks.acquire("k", { timeoutMs: 10 });
      controller.abort("stop");
      await assert.rejects(aborted, (error) => error === "stop");
      await assert.rejects(limited, TimeoutError);
      assert.equal(locks.statistics().keys, 1);
      held.release();
      assert.deepEqual(locks.statistics(), { keys: 0, waiting: 0, granted: 2, aborted: 3, timedOut: 1 });
    });
  });

  test("what comes late from an old entry leaves the fresh entry of the same key alone (LK-10)", async () => {
    await world(async () => {
      const locks = new KeyedLock<string>();
      const old = await locks.acquire("k");
      const controller = new AbortController();
      const waiter = locks.acquire("k", { signal: controller.signal });
      old.release();
      (await waiter).release(); // the entry is gone
      const fresh = await locks.acquire("k");
      controller.abort("late"); // of a waiter of the old entry
      old[Symbol.dispose]();
      assert.throws(() => old.release(), MisuseError);
      assert.equal(locks.statistics().keys, 1);
      assert.equal(locks.isHeld("k"), true);
      assert.equal(locks.tryAcquire("k"), undefined);
      fresh.release();
      assert.equal(locks.statistics().keys, 0);
    });
  });

  test("a waiter that is aborted while the holder leaves does not keep the entry (LK-10)", async () => {
    await world(async (w) => {
      const locks = new KeyedLock<string>();
      const held = await locks.acquire("k");
      const controller = new AbortController();
      controller.signal.addEventListener("abort", () => held.release(), { once: true });
      const waiter = locks.acquire("k", { signal: controller.signal });
      controller.abort("stop");
      await assert.rejects(waiter, (error) => error === "stop");
      await w.idle();
      assert.equal(locks.statistics().keys, 0);
    });
  });

  test("an aborted waiter leaves the line, and the rest keep their places", async () => {
    await world(async () => {
      const locks = new KeyedLock<number>();
      const held = await locks.acquire(1);
      const controller = new AbortController();
      const order: number[] = [];
      const use = async (i: number, signal?: AbortSignal): Promise<void> => {
        using _lease = await locks.acquire(1, { signal });
        order.push(i);
      };
      const all = [use(0), use(1, controller.signal), use(2)];
      controller.abort("stop");
      held.release();
      assert.deepEqual((await Promise.allSettled(all)).map(({ status }) => status), [
        "fulfilled",
        "rejected",
        "fulfilled",
      ]);
      assert.deepEqual(order, [0, 2]);
    });
  });

  test("messages name the lock and the key; an owner is refused its own key, not another", async () => {
    await world(async () => {
      const locks = new KeyedLock<string>({ name: "accounts" });
      const owner = {};
      using _ada = await locks.acquire("ada", { owner, label: "transfer" });
      using _bob = await locks.acquire("bob", { owner });
      await assert.rejects(locks.acquire("ada", { owner }), { name: "LockReentryError" });
      await assert.rejects(locks.acquire("ada", { timeoutMs: 0 }), (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.match(
          error.message,
          /accounts.*ada.* within 0 ms: it is held as "transfer" for 0 ms, 1 waiting/,
        );
        return true;
      });
      assert.equal(locks.statistics().keys, 2);
    });
  });

  test("what runs inside sees its own caller's async context (LK-16)", async () => {
    const storage = new AsyncLocalStorage<number>();
    const locks = new KeyedLock<string>();
    const seen: (number | undefined)[] = [];
    await Promise.all(Array.from({ length: 10 }, (_, i) =>
      storage.run(i, () =>
        locks.run("k", async () => {
          seen.push(storage.getStore());
          await Promise.resolve();
        }))));
    assert.deepEqual(seen, Array.from({ length: 10 }, (_, i) => i));
  });

  test("aborted at any point, no entry is left", async () => {
    let locks: KeyedLock<string>;
    await sweep(async (signal) => {
      locks = new KeyedLock();
      const all = ["a", "b", "a", "a", "b"].map((key) =>
        locks.run(key, () => sleep(10, { signal }), { signal, timeoutMs: 1_000 })
      );
      await Promise.allSettled(all);
      await Promise.all(all);
    }, () => {
      const { keys, waiting } = locks.statistics();
      assert.deepEqual([keys, waiting], [0, 0]);
    });
  });

  test("wrong arguments throw from the constructor and tryAcquire, and reject from the waits", async () => {
    for (const options of [null, 5, { name: 5 }]) {
      assert.throws(() => new KeyedLock(options as object), TypeError);
    }
    const locks = new KeyedLock<string>({ name: "accounts" });
    for (const options of [null, 5, { label: 5 }, { owner: "me" }, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(locks.acquire("k", options as object), TypeError);
      await assert.rejects(locks.run("k", () => assert.fail("it ran"), options as object), TypeError);
    }
    await assert.rejects(locks.run("k", 5 as unknown as () => void), {
      name: "TypeError",
      message: 'Cannot run in keyed lock "accounts" as fn must be a function: received 5',
    });
    assert.equal(locks.statistics().keys, 0);
    assert.ok(Object.isFrozen(locks.statistics()));
  });
});
