import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, mock, test } from "node:test";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import type { Lease } from "../../src/kernel/types.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncLock, LockReentryError } from "../../src/sync/async_lock.ts";
import { MisuseError } from "../../src/sync/mod.ts";
import { world } from "../../src/testing/mod.ts";

describe("AsyncLock", () => {
  test("lets one at a time through, first come, first served", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const order: number[] = [];
      let inside = 0;
      await Promise.all(Array.from({ length: 10 }, async (_, i) => {
        using _lease = await lock.acquire();
        assert.equal(++inside, 1);
        order.push(i);
        await sleep(10 - i);
        inside--;
      }));
      assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      assert.equal(lock.held, false);
    });
  });

  test("is handed over directly: nobody barges in between release and the next holder", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const first = await lock.acquire();
      const second = lock.acquire();
      first.release();
      assert.equal(lock.held, true);
      assert.equal(lock.tryAcquire(), undefined);
      const barger = lock.acquire();
      (await second).release();
      (await barger).release();
      assert.equal(lock.held, false);
    });
  });

  test("releasing twice is misuse, disposing twice does nothing, neither lets two in (LK-08)", async () => {
    await world(async () => {
      const lock = new AsyncLock({ name: "x" });
      const first = await lock.acquire();
      const waits = [lock.acquire(), lock.acquire()] as const;
      first.release();
      first[Symbol.dispose]();
      assert.throws(() => first.release(), {
        name: "MisuseError",
        message: 'Cannot release lock "x": this lease was given back before',
      });
      assert.equal(lock.statistics().waiting, 1);
      const second = await waits[0];
      first[Symbol.dispose]();
      assert.equal(second.held, true);
      assert.equal(lock.statistics().waiting, 1);
      second.release();
      (await waits[1]).release();
    });
  });

  test("abort and grant in one turn, both orders: one outcome, and the lock is not lost (LK-04)", async () => {
    for (const abortFirst of [true, false]) {
      await world(async (w) => {
        const lock = new AsyncLock();
        const held = await lock.acquire();
        const controller = new AbortController();
        const wait = lock.acquire({ signal: controller.signal });
        if (abortFirst) controller.abort("stop");
        held.release();
        if (!abortFirst) controller.abort("stop");
        if (abortFirst) {
          await assert.rejects(wait, (error) => error === "stop");
          assert.equal(lock.held, false);
        } else {
          const lease = await wait;
          assert.equal(lease.held, true);
          lease.release();
        }
        await w.idle();
        assert.equal(lock.held, false);
        lock.tryAcquire()!.release();
      });
    }
  });

  test("a lock released by an abort listener goes past the waiters of that signal (LK-04)", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const controller = new AbortController();
      const held = await lock.acquire();
      controller.signal.addEventListener("abort", () => held.release(), { once: true });
      const aborted = lock.acquire({ signal: controller.signal });
      const next = lock.acquire();
      controller.abort("stop");
      await assert.rejects(aborted, (error) => error === "stop");
      (await next).release();
      assert.equal(lock.held, false);
    });
  });

  test("a signal aborted beforehand is refused first, and only counted", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const owner = {};
      const signal = AbortSignal.abort(null);
      await assert.rejects(lock.acquire({ signal }), (error) => error === null);
      assert.equal(lock.held, false);
      using _lease = await lock.acquire({ owner });
      await assert.rejects(lock.acquire({ signal }), (error) => error === null);
      await assert.rejects(lock.acquire({ signal, owner }), (error) => error === null);
      const { waiting, granted, aborted } = lock.statistics();
      assert.deepEqual([waiting, granted, aborted], [0, 1, 3]);
    });
  });

  test("a limit says who holds the lock, for how long, and how many wait", async () => {
    await world(async (w) => {
      const lock = new AsyncLock({ name: "orders" });
      using _held = await lock.acquire({ label: "import" });
      await w.advance(1_000);
      const waits = [lock.acquire({ timeoutMs: 500 }), lock.acquire({ timeoutMs: 600 })];
      await assert.rejects(waits[0]!, {
        name: "TimeoutError",
        message: 'Cannot acquire lock "orders" within 500 ms: it is held as "import" for 1500 ms, 2 waiting',
        operation: 'acquire lock "orders"',
        limitMs: 500,
      });
      await assert.rejects(waits[1]!, {
        message: /within 600 ms: it is held as "import" for 1600 ms, 1 waiting/,
      });
      assert.deepEqual(lock.statistics(), {
        held: true,
        owner: undefined,
        label: "import",
        heldForMs: 1_600,
        waiting: 0,
        granted: 1,
        aborted: 0,
        timedOut: 2,
      });
    });
  });

  test("a limit of 0 takes a free lock and fails on a held one; a grant clears its timer (LK-12)", async () => {
    await world(async (w) => {
      const lock = new AsyncLock();
      const held = await lock.acquire({ timeoutMs: 0 });
      await assert.rejects(lock.acquire({ timeoutMs: 0 }), TimeoutError);
      assert.equal(w.now, 0);
      const next = lock.acquire({ timeoutMs: 0 });
      const later = lock.acquire({ timeoutMs: 1_000 });
      held.release();
      (await next).release();
      (await later).release();
      assert.equal(w.timers.length, 0);
      assert.equal(lock.held, false);
    });
  });

  test("refuses an owner that is no object, and says so", async () => {
    const message = 'Cannot acquire lock "x" as owner must be an object: received 5';
    await assert.rejects(new AsyncLock({ name: "x" }).acquire({ owner: 5 as never }), { message });
  });

  test("refuses its own holder, and knows the owner by identity only", async () => {
    await world(async () => {
      const lock = new AsyncLock({ name: "x" });
      const owner = { id: 1 };
      const lease = await lock.acquire({ owner, label: "task a" });
      await assert.rejects(lock.acquire({ owner }), (error) => {
        assert.ok(error instanceof LockReentryError && error instanceof MisuseError);
        assert.equal(error.message, 'Cannot acquire lock "x": the same owner holds it already as "task a"');
        return true;
      });
      assert.throws(() => lock.tryAcquire({ owner }), LockReentryError);
      assert.equal(lock.tryAcquire({ owner: { id: 1 } }), undefined);
      const other = lock.acquire({ owner: { id: 1 } });
      assert.equal(lock.statistics().owner, owner);
      lease.release();
      assert.notEqual(lock.statistics().owner, owner);
      (await other).release();
      (await lock.acquire({ owner })).release();
      assert.equal(lock.statistics().owner, undefined);
    });
  });

  test("run gives the lock back however fn ends, and passes on what it returns or throws", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const failure = new Error("inside");
      assert.equal(await lock.run(() => 1), 1);
      assert.equal(await lock.run(() => Promise.resolve(2)), 2);
      const throwing = () => {
        throw failure;
      };
      await assert.rejects(lock.run(throwing), (error) => error === failure);
      await assert.rejects(lock.run(() => Promise.reject(failure)), (error) => error === failure);
      await assert.rejects(lock.run(5 as unknown as () => void), TypeError);
      assert.equal(lock.held, false);
      using _held = await lock.acquire();
      let ran = false;
      await assert.rejects(lock.run(() => void (ran = true), { timeoutMs: 5 }), TimeoutError);
      assert.equal(ran, false);
    });
  });

  test("what runs inside sees its own caller's async context, at every place in the line (LK-16)", async () => {
    const storage = new AsyncLocalStorage<number>();
    const lock = new AsyncLock();
    const seen: (number | undefined)[] = [];
    await Promise.all(Array.from({ length: 20 }, (_, i) =>
      storage.run(i, () =>
        lock.run(async () => {
          seen.push(storage.getStore());
          await Promise.resolve();
        }))));
    assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => i));
  });

  test("wrong options reject from acquire, and throw from tryAcquire and the constructor", async () => {
    const lock = new AsyncLock();
    for (const options of [null, 5, { label: 5 }, { owner: "me" }, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(lock.acquire(options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(lock.acquire({ timeoutMs }), RangeError);
    assert.throws(() => lock.tryAcquire({ label: 5 as unknown as string }), TypeError);
    assert.throws(() => new AsyncLock({ name: 5 as unknown as string }), TypeError);
    assert.throws(() => new AsyncLock(null as unknown as object), TypeError);
    assert.equal(lock.held, false);
  });

  test("an observer sees waits, hand-overs and releases, and can't disturb them by what it does", async () => {
    const records: ObserverRecord[] = [];
    const controller = new AbortController();
    using _observer = observe({
      record(record) {
        records.push(record);
        if (record.kind === "acquire" && records.length > 1) controller.abort("from the observer");
      },
    });
    const lock = new AsyncLock({ name: "x" });
    const leases: Lease[] = [await lock.acquire()];
    const waits = [lock.acquire({ signal: controller.signal }), lock.acquire({ signal: controller.signal })];
    leases[0]!.release();
    const outcomes = await Promise.allSettled(waits);
    assert.deepEqual(outcomes.map(({ status }) => status), ["fulfilled", "rejected"]);
    (await waits[0]!).release();
    assert.equal(lock.held, false);
    assert.ok(records.every(({ structure, name }) => structure === "lock" && name === "x"));
    assert.deepEqual(
      new Set(records.map(({ kind }) => kind)),
      new Set(["acquire", "wait", "release", "grant", "abort"]),
    );
  });

  test("an observer that throws leaves it as it is (OB-02)", async () => {
    const print = mock.method(console, "error", () => {});
    try {
      using _observer = observe({
        record() {
          throw new Error("broken");
        },
      });
      const lock = new AsyncLock();
      const lease = await lock.acquire();
      const runs = [lock.run(() => 1), lock.run(() => 2)];
      lease.release();
      assert.deepEqual(await Promise.all(runs), [1, 2]);
      assert.equal(lock.held, false);
      assert.equal(print.mock.callCount(), 1);
    } finally {
      print.mock.restore();
    }
  });

  test("statistics are a frozen snapshot", async () => {
    const lock = new AsyncLock();
    const before = lock.statistics();
    using _lease = await lock.acquire();
    assert.equal(before.held, false);
    assert.ok(Object.isFrozen(before));
  });
});
