import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe } from "../../src/kernel/observer.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { Condition } from "../../src/sync/condition.ts";
import { type Lease, MisuseError, TimeoutError } from "../../src/sync/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("Condition.wait", () => {
  test("gives the lock back while it waits, and holds it again with the same lease", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      assert.equal(changed.lock, lock);
      const lease = await lock.acquire();
      const wait = changed.wait(lease);
      assert.deepEqual([lease.held, lock.held], [false, false]);
      const other = await lock.acquire();
      assert.equal(changed.notify(), 1);
      await sleep(10);
      assert.equal(lease.held, false, "the notifier still holds the lock");
      other.release();
      await wait;
      assert.deepEqual([lease.held, lock.held], [true, true]);
      assert.equal(lock.tryAcquire(), undefined);
      lease.release();
      assert.throws(() => lease.release(), MisuseError);
      assert.equal(lock.held, false);
    });
  });

  test("holds the lock again behind everybody who waits for it by then", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      const order: string[] = [];
      const lease = await lock.acquire();
      const wait = changed.wait(lease).then(() => order.push("waiter"));
      const notifier = await lock.acquire();
      const next = lock.acquire().then((lease) => {
        order.push("next");
        lease.release();
      });
      changed.notify();
      notifier.release();
      await Promise.all([wait, next]);
      assert.deepEqual(order, ["next", "waiter"]);
      lease.release();
    });
  });

  test("an abort or a limit gives up the wait, but only with the lock held again", async () => {
    for (const reason of ["stop", null, undefined, new Error("own")]) {
      for (const heldByOther of [true, false]) {
        await world(async (w) => {
          const lock = new AsyncLock();
          const changed = new Condition(lock);
          const controller = new AbortController();
          const lease = await lock.acquire();
          const options = reason === undefined ? { timeoutMs: 5 } : { signal: controller.signal };
          const wait = changed.wait(lease, options);
          let rejected = false;
          const settled = wait.catch(() => rejected = true);
          const other = heldByOther ? await lock.acquire() : undefined;
          await sleep(5);
          controller.abort(reason);
          await sleep(20);
          assert.equal(rejected, !heldByOther);
          assert.equal(lease.held, !heldByOther);
          other?.release();
          await settled;
          await assert.rejects(
            wait,
            (error) => reason === undefined ? error instanceof TimeoutError : error === reason,
          );
          assert.deepEqual([lease.held, lock.held], [true, true]);
          lease.release();
          assert.equal(lock.held, false);
          assert.equal(w.timers.length, 0);
        });
      }
    }
  });

  test("an abort while it waits for the lock again is too late: it has been notified", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      const controller = new AbortController();
      const lease = await lock.acquire();
      const wait = changed.wait(lease, { signal: controller.signal, timeoutMs: 10 });
      const other = await lock.acquire();
      changed.notify();
      await sleep(1);
      controller.abort("too late");
      await sleep(50); // so is the limit
      other.release();
      await wait;
      assert.equal(lease.held, true);
      lease.release();
    });
  });

  test("a signal aborted beforehand is refused first: the lock was never given back", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      const lease = await lock.acquire();
      const next = lock.acquire();
      await assert.rejects(
        changed.wait(lease, { signal: AbortSignal.abort(null) }),
        (error) => error === null,
      );
      assert.equal(lease.held, true);
      assert.equal(lock.statistics().waiting, 1);
      const { waiting, aborted } = changed.statistics();
      assert.deepEqual([waiting, aborted], [0, 1]);
      lease.release();
      (await next).release();
    });
  });

  test("keeps who holds the lock, and counts each holding again, as it does any other (LK-08)", async () => {
    for (const contended of [true, false]) {
      await world(async (w) => {
        const kinds: string[] = [];
        using _observer = observe({
          record: ({ kind, structure }) => structure === "lock" && kinds.push(kind),
        });
        const lock = new AsyncLock();
        const changed = new Condition(lock);
        const owner = {};
        const lease = await lock.acquire({ owner, label: "consumer" });
        const wait = changed.wait(lease);
        assert.equal(lock.statistics().owner, undefined);
        if (contended) {
          const other = await lock.acquire();
          changed.notify();
          await sleep(100);
          other.release();
        } else changed.notify();
        await wait;
        await w.advance(5);
        const { label, heldForMs, granted } = lock.statistics();
        assert.equal(lock.statistics().owner, owner);
        assert.deepEqual([label, heldForMs], ["consumer", 5]);
        assert.equal(granted, contended ? 3 : 2);
        await assert.rejects(lock.acquire({ owner }), { name: "LockReentryError" });
        lease.release();
        const count = (kind: string): number => kinds.filter((each) => each === kind).length;
        assert.equal(count("acquire"), count("release"));
      });
    }
  });

  test("a lease that does not hold this lock is misuse, and changes nothing", async () => {
    await world(async () => {
      const lock = new AsyncLock({ name: "x" });
      const changed = new Condition(lock);
      const foreign = await new AsyncLock().acquire();
      const released = await lock.acquire();
      released.release();
      for (const lease of [foreign, released, undefined, null, {}]) {
        await assert.rejects(changed.wait(lease as Lease), {
          name: "MisuseError",
          message: 'Cannot wait for a condition of lock "x": the lease given does not hold it',
        });
      }
      const lease = await lock.acquire();
      for (const other of [foreign, released, undefined]) {
        await assert.rejects(changed.wait(other as Lease), MisuseError);
      }
      const wait = changed.wait(lease);
      await assert.rejects(changed.wait(lease), MisuseError); // it is waiting with it already
      changed.notify();
      await wait;
      assert.equal(changed.statistics().waiting, 0);
      lease.release();
      foreign.release();
    });
  });

  test("a limit names the lock; wrong options reject and keep the lock", async () => {
    await world(async (w) => {
      const lock = new AsyncLock({ name: "x" });
      const changed = new Condition(lock);
      const lease = await lock.acquire();
      await assert.rejects(changed.wait(lease, { timeoutMs: 20 }), {
        name: "TimeoutError",
        message: 'Cannot wait for condition of lock "x" within 20 ms: 1 waiting to be notified',
      });
      await assert.rejects(changed.wait(lease, { timeoutMs: 0 }), TimeoutError);
      assert.equal(w.now, 20);
      for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
        await assert.rejects(changed.wait(lease, options as object), TypeError);
      }
      for (const timeoutMs of [-1, NaN]) await assert.rejects(changed.wait(lease, { timeoutMs }), RangeError);
      assert.equal(lease.held, true);
      lease.release();
      assert.deepEqual(changed.statistics(), { waiting: 0, granted: 0, aborted: 0, timedOut: 2 });
      assert.ok(Object.isFrozen(changed.statistics()));
      assert.throws(() => new Condition({} as AsyncLock), {
        name: "TypeError",
        message: "Cannot create condition as lock must be an AsyncLock: received an object",
      });
    });
  });

  test("whose lease was disposed of meanwhile gives the lock back as soon as it holds it again", () =>
    world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      let waiting: Promise<void>;
      {
        using lease = await lock.acquire();
        waiting = changed.wait(lease);
      }
      changed.notify();
      await waiting;
      assert.equal(lock.held, false);
      using _next = await lock.acquire({ timeoutMs: 10 });
    }));
});

describe("Condition.notify", () => {
  test("wakes as many as asked for, who waits longest first; without a waiter it is lost", async () => {
    await world(async (w) => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      assert.equal(changed.notify(), 0);
      const order: number[] = [];
      const all = [0, 1, 2, 3, 4].map(async (i) => {
        using lease = await lock.acquire();
        await changed.wait(lease);
        order.push(i);
      });
      await w.idle();
      assert.equal(changed.notify(0), 0);
      assert.equal(changed.notify(), 1);
      await w.idle();
      assert.deepEqual(order, [0]);
      assert.equal(changed.notify(2), 2);
      await w.idle();
      assert.deepEqual(order, [0, 1, 2]);
      assert.equal(changed.notifyAll(), 2);
      assert.equal(changed.notify(9), 0);
      await Promise.all(all);
      assert.deepEqual(order, [0, 1, 2, 3, 4]);
      for (const n of [-1, 1.5, NaN]) assert.throws(() => changed.notify(n), RangeError);
      assert.throws(() => changed.notify("1" as unknown as number), TypeError);
    });
  });

  test("is not lost on a waiter that is being aborted: it goes to the next", async () => {
    await world(async (w) => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      const controller = new AbortController();
      let woken = 0;
      // Notifies while the abort is being told: before the condition hears of it.
      controller.signal.addEventListener("abort", () => woken = changed.notify(), { once: true });
      const outcomes: string[] = [];
      const all = [controller.signal, undefined].map(async (signal, i) => {
        using lease = await lock.acquire();
        try {
          await changed.wait(lease, { signal });
          outcomes.push(`notified ${i}`);
        } catch (error) {
          outcomes.push(`${error} ${i}`);
        }
        assert.equal(lease.held, true);
      });
      await w.idle();
      controller.abort("stop");
      await Promise.all(all);
      assert.equal(woken, 1);
      assert.deepEqual(outcomes.sort(), ["notified 1", "stop 0"]);
    });
  });

  test("an abort after it, in the same turn, does not swallow it: the wait resolves", async () => {
    await world(async () => {
      const lock = new AsyncLock();
      const changed = new Condition(lock);
      const controller = new AbortController();
      const lease = await lock.acquire();
      const wait = changed.wait(lease, { signal: controller.signal });
      changed.notify();
      controller.abort("too late");
      await wait;
      lease.release();
      assert.deepEqual([changed.statistics().granted, changed.statistics().aborted], [1, 0]);
    });
  });

  test("aborted at any point, everybody ends with the lock held, and no item is left without a taker", async () => {
    let lock: AsyncLock;
    let items: number;
    let taken: number;
    let abortedTakers: number;
    await sweep(async (signal) => {
      lock = new AsyncLock();
      const changed = new Condition(lock);
      items = taken = abortedTakers = 0;
      const take = async (signal?: AbortSignal): Promise<void> => {
        using lease = await lock.acquire();
        try {
          while (items === 0) await changed.wait(lease, { signal });
          items--;
          taken++;
        } catch (error) {
          abortedTakers++;
          throw error;
        } finally {
          assert.equal(lease.held, true);
        }
      };
      const put = async (afterMs: number): Promise<void> => {
        await sleep(afterMs);
        await lock.run(async () => {
          items++;
          changed.notify();
          await sleep(5);
        });
      };
      const all = [take(signal), take(signal), take(), put(10), put(12), put(30)];
      await Promise.allSettled(all);
      await Promise.all(all);
    }, () => {
      assert.equal(lock.held, false);
      assert.equal(taken + items, 3);
      assert.equal(taken + abortedTakers, 3);
    });
  });
});
