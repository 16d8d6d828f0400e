import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { ClosedError, TimeoutError } from "../../src/kernel/errors.ts";
import { observe } from "../../src/kernel/observer.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { explore, world } from "../../src/testing/mod.ts";

describe("AsyncSemaphore", () => {
  test("tells the observer who takes how much and gives it back, whether they waited or not", async () => {
    const told: unknown[] = [];
    using _observer = observe({
      record: ({ kind, structure, name, data }) => {
        if (structure !== "semaphore" || name !== "MiB" || kind === "wait" || kind === "grant") return;
        told.push([kind, data]);
      },
    });
    const semaphore = new AsyncSemaphore(3, { name: "MiB" });
    const first = semaphore.tryAcquire()!;
    const second = await semaphore.acquire({ weight: 2, label: "import" });
    const third = semaphore.acquire();
    first.release();
    (await third).release();
    second.release();
    assert.deepEqual(told, [
      ["acquire", { inUse: 1, waiting: 0, weight: 1 }],
      ["acquire", { inUse: 3, waiting: 0, weight: 2, label: "import" }],
      ["release", { inUse: 2, waiting: 1, weight: 1 }],
      ["acquire", { inUse: 3, waiting: 0, weight: 1 }],
      ["release", { inUse: 2, waiting: 0, weight: 1 }],
      ["release", { inUse: 0, waiting: 0, weight: 2, label: "import" }],
    ]);
  });

  test("lets as many in as it has permits, in the order in which they came", async () => {
    await world(async (w) => {
      const semaphore = new AsyncSemaphore(3);
      const starts: [number, number][] = [];
      let inside = 0;
      await Promise.all(Array.from({ length: 9 }, async (_, i) => {
        using _lease = await semaphore.acquire();
        starts.push([i, w.now]);
        assert.ok(++inside <= 3);
        await sleep(100);
        inside--;
      }));
      assert.deepEqual(starts, Array.from({ length: 9 }, (_, i) => [i, Math.floor(i / 3) * 100]));
      assert.equal(semaphore.statistics().free, 3);
    });
  });

  test("a light request never overtakes a heavy one that waits", async () => {
    await world(async (w) => {
      const semaphore = new AsyncSemaphore(3);
      const [one, two] = [await semaphore.acquire(), await semaphore.acquire({ weight: 2 })];
      const order: string[] = [];
      const heavy = semaphore.acquire({ weight: 3 }).then((lease) => (order.push("heavy"), lease));
      const light = semaphore.acquire().then((lease) => (order.push("light"), lease));
      two.release();
      await w.idle();
      assert.deepEqual(order, []);
      assert.equal(semaphore.statistics().free, 2);
      assert.equal(semaphore.tryAcquire(), undefined);
      one.release();
      (await heavy).release();
      (await light).release();
      assert.deepEqual(order, ["heavy", "light"]);
    });
  });

  test("when a heavy head gives up, those behind it that fit are granted in the same turn (LK-02)", async () => {
    for (const how of ["abort", "limit"] as const) {
      await world(async (w) => {
        const semaphore = new AsyncSemaphore(3);
        const held = await semaphore.acquire({ weight: 2 });
        const controller = new AbortController();
        const heavy = semaphore.acquire(
          how === "abort" ? { weight: 3, signal: controller.signal } : { weight: 3, timeoutMs: 10 },
        );
        const [light, next] = [semaphore.acquire(), semaphore.acquire()];
        const gone = assert.rejects(heavy, how === "abort" ? (error) => error === "stop" : TimeoutError);
        if (how === "abort") controller.abort("stop");
        else await w.advance(10);
        assert.deepEqual(semaphore.statistics().inUse, 3);
        assert.deepEqual(semaphore.statistics().waiting, 1);
        await gone;
        held.release();
        for (const lease of await Promise.all([light, next])) lease.release();
        assert.equal(semaphore.statistics().inUse, 0);
      });
    }
  });

  test("a heavy waiter that gives up further back changes nothing for the head", async () => {
    await world(async () => {
      const semaphore = new AsyncSemaphore(2);
      const held = await semaphore.acquire({ weight: 2 });
      const controller = new AbortController();
      const head = semaphore.acquire({ weight: 2 });
      const gone = assert.rejects(semaphore.acquire({ weight: 2, signal: controller.signal }));
      const last = semaphore.acquire();
      controller.abort();
      await gone;
      assert.equal(semaphore.statistics().waiting, 2);
      held.release();
      (await head).release();
      (await last).release();
    });
  });

  test("refuses weights that could never be served, and queues nothing (LK-06)", async () => {
    await world(async () => {
      const semaphore = new AsyncSemaphore(4, { name: "x" });
      for (const weight of [0, -1, NaN, 1.5, 5, Infinity, 2 ** 53]) {
        await assert.rejects(semaphore.acquire({ weight }), RangeError);
        assert.throws(() => semaphore.tryAcquire({ weight }), RangeError);
      }
      for (const weight of ["1", null, 1n]) {
        await assert.rejects(semaphore.acquire({ weight: weight as unknown as number }), TypeError);
      }
      await assert.rejects(semaphore.acquire({ weight: 5 }), {
        message: 'Cannot acquire semaphore "x" as weight must be at most its 4 permits: received 5',
      });
      await assert.rejects(new AsyncSemaphore(0).acquire(), RangeError);
      for (const permits of [-1, NaN, 1.5, Infinity]) {
        assert.throws(() => new AsyncSemaphore(permits), RangeError);
      }
      assert.throws(() => new AsyncSemaphore("3" as unknown as number), TypeError);
      const { inUse, waiting } = semaphore.statistics();
      assert.deepEqual([inUse, waiting], [0, 0]);
    });
  });

  test("resize to less sends away whom it could never serve, and serves who then fits (LK-06)", async () => {
    await world(async () => {
      const semaphore = new AsyncSemaphore(4, { name: "x" });
      const held = [await semaphore.acquire(), await semaphore.acquire()];
      const heavy = assert.rejects(semaphore.acquire({ weight: 4 }), {
        name: "RangeError",
        message: 'Cannot acquire semaphore "x" as weight must fit its permits: it was resized to 3',
      });
      const light = semaphore.acquire();
      semaphore.resize(3);
      await heavy;
      const third = await light;
      assert.deepEqual(semaphore.statistics().inUse, 3);
      semaphore.resize(1);
      assert.deepEqual([semaphore.statistics().inUse, semaphore.statistics().free], [3, 0]);
      const next = semaphore.acquire();
      for (const lease of held) lease.release();
      assert.equal(semaphore.statistics().waiting, 1);
      third.release();
      (await next).release();
      assert.deepEqual([semaphore.statistics().inUse, semaphore.statistics().free], [0, 1]);
    });
  });

  test("resize to more serves waiters at once; wrong sizes are refused", async () => {
    await world(async () => {
      const semaphore = new AsyncSemaphore(1);
      using _held = await semaphore.acquire();
      const [second, third] = [semaphore.acquire(), semaphore.acquire()];
      semaphore.resize(3);
      assert.equal(semaphore.statistics().waiting, 0);
      for (const lease of await Promise.all([second, third])) lease.release();
      for (const permits of [-1, NaN, 0.5, Infinity]) {
        assert.throws(() => semaphore.resize(permits), RangeError);
      }
      assert.equal(semaphore.statistics().capacity, 3);
    });
  });

  test("a lease gives back exactly what it took, once: permits can't be invented", async () => {
    await world(async () => {
      const semaphore = new AsyncSemaphore(5);
      const lease = await semaphore.acquire({ weight: 3 });
      lease.release();
      for (let i = 0; i < 3; i++) lease[Symbol.dispose]();
      assert.throws(() => lease.release(), { name: "MisuseError" });
      assert.deepEqual([semaphore.statistics().inUse, semaphore.statistics().free], [0, 5]);
    });
  });

  test("close sends everybody away, with the reason untouched, and takes nothing new", async () => {
    for (const reason of [undefined, null, "shutting down", new Error("why")]) {
      await world(async () => {
        const semaphore = new AsyncSemaphore(1, { name: "x" });
        const held = await semaphore.acquire();
        const check = (error: unknown): boolean =>
          reason === undefined
            ? error instanceof ClosedError && error.message === 'Cannot acquire semaphore "x": it is closed'
            : error === reason;
        const waits = [semaphore.acquire(), semaphore.acquire({ timeoutMs: 1_000 })];
        const gone = Promise.all(waits.map((wait) => assert.rejects(wait, check)));
        semaphore.close(reason);
        semaphore.close("again");
        await gone;
        assert.equal(semaphore.closed, true);
        await assert.rejects(semaphore.acquire(), check);
        held.release();
        assert.equal(semaphore.tryAcquire(), undefined);
        await assert.rejects(semaphore.acquire({ signal: AbortSignal.abort("first") }), (e) => e === "first");
        assert.equal(semaphore.statistics().inUse, 0);
      });
    }
  });

  test("abort and grant in one turn, both orders: one outcome, no permit lost or made (LK-04)", async () => {
    for (const abortFirst of [true, false]) {
      await world(async () => {
        const semaphore = new AsyncSemaphore(2);
        const held = await semaphore.acquire({ weight: 2 });
        const controller = new AbortController();
        const wait = semaphore.acquire({ weight: 2, signal: controller.signal });
        const outcome = wait.then((lease) => (lease.release(), "granted"), () => "aborted");
        if (abortFirst) controller.abort();
        held.release();
        controller.abort();
        assert.equal(await outcome, abortFirst ? "aborted" : "granted");
        assert.equal(semaphore.statistics().free, 2);
      });
    }
  });

  test("close and abort in one turn, both orders: the first of the two is the outcome", async () => {
    for (const abortFirst of [true, false]) {
      await world(async () => {
        const semaphore = new AsyncSemaphore(1);
        const held = await semaphore.acquire();
        const controller = new AbortController();
        const wait = semaphore.acquire({ signal: controller.signal });
        const outcome = wait.then(() => "granted", (reason) => reason);
        if (abortFirst) controller.abort("aborted");
        semaphore.close("closed");
        controller.abort("aborted");
        held.release();
        assert.equal(await outcome, abortFirst ? "aborted" : "closed");
        const { free, aborted } = semaphore.statistics();
        assert.deepEqual([free, aborted], [1, abortFirst ? 1 : 0]);
      });
    }
  });

  test("a release and a limit due at the same time, in any order: one outcome, no permit lost", async () => {
    const seen = new Set<string>();
    await explore(async () => {
      const semaphore = new AsyncSemaphore(1);
      const held = await semaphore.acquire();
      const releasing = sleep(10).then(() => held.release());
      const outcome = await semaphore.acquire({ timeoutMs: 10 }).then(
        (lease) => (lease.release(), "granted"),
        (error) => {
          assert.ok(error instanceof TimeoutError);
          return "timed out";
        },
      );
      await releasing;
      const { free, granted, timedOut } = semaphore.statistics();
      assert.deepEqual([free, granted, timedOut], outcome === "granted" ? [1, 2, 0] : [1, 1, 1]);
      seen.add(outcome);
    }, { runs: 50 });
    assert.deepEqual([...seen].toSorted(), ["granted", "timed out"]);
  });

  test("a limit says how many permits are in use and how many wait (LK-12)", async () => {
    await world(async (w) => {
      const semaphore = new AsyncSemaphore(2, { name: "x" });
      const held = await semaphore.acquire({ weight: 2 });
      await assert.rejects(semaphore.acquire({ timeoutMs: 250 }), {
        name: "TimeoutError",
        message: 'Cannot acquire semaphore "x" within 250 ms: 2 of 2 in use, 1 waiting',
      });
      await assert.rejects(semaphore.acquire({ weight: 2, timeoutMs: 0 }), {
        message: 'Cannot acquire semaphore "x" within 0 ms: 2 asked for, 2 of 2 in use, 1 waiting',
      });
      const granted = semaphore.acquire({ timeoutMs: 1_000 });
      held.release();
      assert.equal(w.timers.length, 0);
      (await granted).release();
      const { timedOut, granted: total } = semaphore.statistics();
      assert.deepEqual([timedOut, total], [2, 2]);
    });
  });

  test("run gives the permits back however fn ends, in the caller's async context (LK-16)", async () => {
    const semaphore = new AsyncSemaphore(2);
    const storage = new AsyncLocalStorage<number>();
    const seen: (number | undefined)[] = [];
    const failure = new Error("inside");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) =>
        storage.run(i, () =>
          semaphore.run(async () => {
            seen.push(storage.getStore());
            await Promise.resolve();
            if (i % 2) throw failure;
            return i;
          }, { weight: 1 + i % 2 }))),
    );
    assert.deepEqual(seen, Array.from({ length: 10 }, (_, i) => i));
    outcomes.forEach((outcome, i) =>
      assert.deepEqual(
        outcome,
        i % 2 ? { status: "rejected", reason: failure } : { status: "fulfilled", value: i },
      )
    );
    assert.equal(semaphore.statistics().free, 2);
  });
});
