/** When batches begin, and in whose context. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { AsyncBatcher, type AsyncBatcherOptions, TimeoutError } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A batcher that gives items back and remembers when which batch began. */
function timed(
  now: () => number,
  options: AsyncBatcherOptions<number>,
  ms = 0,
) {
  const begun: [number, ...(readonly number[])][] = [];
  const batcher = new AsyncBatcher<number, number>(async (items) => {
    begun.push([now(), ...items]);
    if (ms > 0) await sleep(ms);
    return items;
  }, options);
  return { batcher, begun };
}

describe("windows of a batcher", () => {
  test("BT-14 AsyncBatcher: a caller with less time than the window has its batch begun early", async () => {
    await world(async (w) => {
      const { batcher, begun } = timed(() => w.now, { maxWaitMs: 100 }, 5);
      const calls = [batcher.add(0)];
      await w.advance(10);
      calls.push(batcher.add(1, { timeoutMs: 30 }));
      await w.advance(5);
      calls.push(batcher.add(2));
      assert.deepEqual(await Promise.all(calls), [0, 1, 2]);
      assert.deepEqual(begun, [[25, 0, 1, 2]], "half of its time waiting");
      assert.deepEqual(w.timers.length, 0);
      // One with time enough changes nothing.
      await Promise.all([batcher.add(3), batcher.add(4, { timeoutMs: 1_000 })]);
      assert.deepEqual(begun[1], [130, 3, 4]);
    });
  });

  test("BT-14 AsyncBatcher: needsMs before the limit, by timeoutMs or the deadline of the signal", async () => {
    await world(async (w) => {
      const { batcher, begun } = timed(() => w.now, { maxWaitMs: 100, needsMs: 20 }, 15);
      {
        using limit = timeout(60);
        assert.deepEqual(await Promise.all([batcher.add(1), batcher.add(2, { signal: limit.signal })]), [
          1,
          2,
        ]);
      }
      assert.deepEqual(begun, [[40, 1, 2]]);
      await assert.rejects(batcher.add(3, { timeoutMs: 10 }), TimeoutError);
      assert.deepEqual(begun[1], [55, 3], "at once when less is left than that");
      await batcher.flush();
    });
  });

  test("AsyncBatcher: when the caller in a hurry has gone, the window is what it was", async () => {
    await world(async (w) => {
      const { batcher, begun } = timed(() => w.now, { maxWaitMs: 100 });
      const controller = new AbortController();
      const call = batcher.add(1);
      const gone = batcher.add(2, { signal: controller.signal, timeoutMs: 40 }).catch((e) => e);
      await w.advance(10);
      assert.deepEqual(w.timers.map(({ atMs }) => atMs).sort((a, b) => a - b), [20, 40]);
      controller.abort("gone");
      assert.equal(await gone, "gone");
      assert.deepEqual(w.timers.map(({ atMs }) => atMs), [100]);
      await call;
      assert.deepEqual(begun, [[100, 1]]);
    });
  });

  test("AsyncBatcher: one in a hurry who joins an item that waits, or is far back, is heard too", async () => {
    await world(async (w) => {
      const shared = timed(() => w.now, { maxWaitMs: 100, dedupe: true });
      await Promise.all([shared.batcher.add(1), shared.batcher.add(1, { timeoutMs: 20 })]);
      assert.deepEqual(shared.begun, [[10, 1]]);
      const busy = timed(() => w.now, { maxWaitMs: 100, maxSize: 2 }, 10);
      const calls = [0, 1, 2].map((n) => busy.batcher.add(n));
      calls.push(busy.batcher.add(3));
      calls.push(busy.batcher.add(4, { timeoutMs: 60 }));
      await Promise.all(calls);
      assert.deepEqual(busy.begun, [[10, 0, 1], [20, 2, 3], [40, 4]]);
    });
  });

  test("AsyncBatcher: quietMs closes a window in which nothing is added, maxWaitMs any", async () => {
    await world(async (w) => {
      const { batcher, begun } = timed(() => w.now, { maxWaitMs: 50, quietMs: 8 });
      const calls: Promise<number>[] = [];
      for (const [n, pauseMs] of [5, 5, 20, 7, 7, 7, 7, 7, 7, 7, 7, 7].entries()) {
        calls.push(batcher.add(n));
        assert.ok(w.timers.length <= 1);
        await sleep(pauseMs);
      }
      await Promise.all(calls);
      // The first: 8 ms after 10. The second: 50 ms after 30, as there was always something.
      assert.deepEqual(begun, [[18, 0, 1, 2], [80, 3, 4, 5, 6, 7, 8, 9, 10], [94, 11]]);
      assert.equal(w.timers.length, 0);
    });
  });

  test("AsyncBatcher: one timer however many kinds wait, for the window that closes first", async () => {
    await world(async (w) => {
      const { batcher, begun } = timed(() => w.now, {
        maxWaitMs: 100,
        partition: (n) => n,
        concurrency: 100,
      });
      const calls: Promise<number>[] = [];
      for (const n of range(0, 50)) {
        calls.push(batcher.add(n));
        await w.advance(1);
        assert.equal(w.timers.length, 1);
      }
      await Promise.all(calls);
      assert.deepEqual(begun, range(0, 50).map((n) => [100 + n, n]));
    });
  });

  test("AsyncBatcher: its function may add to it, and what it adds begins in a turn of its own", async () => {
    await world(async () => {
      let inside = 0;
      const batcher: AsyncBatcher<number, number> = new AsyncBatcher(([n]) => {
        assert.equal(inside++, 0);
        const result = n! === 0 ? Promise.resolve(0) : batcher.add(n! - 1).then((m) => m + 1);
        inside--;
        return result.then((m) => [m]);
      }, { maxSize: 1, concurrency: Infinity });
      assert.equal(await batcher.add(5), 5);
      assert.equal(batcher.statistics().batches, 6);
    });
  });

  test("AsyncBatcher: the clocks that fake timers leave behind do not keep windows open", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const batcher = new AsyncBatcher<number, number>((items) => items, { maxWaitMs: 60_000 });
    const call = batcher.add(1);
    t.mock.timers.tick(60_001);
    assert.equal(await call, 1);
    t.mock.timers.reset();
  });
});

describe("AsyncBatcher.flush", () => {
  test("is heard once all before it are settled, their callers first", async () => {
    await world(async () => {
      const { batcher } = timed(() => 0, { maxWaitMs: 1_000, maxSize: 2 }, 10);
      const order: string[] = [];
      const calls = range(0, 4).map((n) => batcher.add(n).then(() => order.push(`${n}`)));
      await batcher.flush().then(() => order.push("flushed"));
      assert.deepEqual(order, ["0", "1", "2", "3", "flushed"]);
      await Promise.all(calls);
    });
  });

  test("takes time in proportion to what runs, not to its square", async () => {
    const count = 20_000;
    const ends: (() => void)[] = [];
    const batcher = new AsyncBatcher<number, number>(
      (items) => new Promise((resolve) => ends.push(() => resolve(items))),
      { maxSize: 1, concurrency: Infinity },
    );
    const calls = range(0, count).map((n) => batcher.add(n));
    while (ends.length < count) await undefined;
    const flushes = range(0, count).map(() => batcher.flush());
    let told = false;
    const all = Promise.all(flushes).then(() => told = true);
    for (let i = count - 1; i > 0; i--) ends[i]!();
    await Promise.all(calls.slice(1));
    assert.equal(told, false, "the first still runs");
    ends[0]!();
    await all;
    assert.deepEqual(await Promise.all(calls), range(0, count));
  });

  test("given up by many does not disturb the others", async () => {
    await world(async (w) => {
      const { batcher } = timed(() => w.now, {}, 100);
      const call = batcher.add(1);
      const flushes = range(0, 10).map((n) =>
        batcher.flush(n % 2 === 0 ? { timeoutMs: 10 } : {}).catch((e) => e)
      );
      const results = await Promise.all(flushes);
      assert.ok(
        results.every((result, n) => n % 2 === 0 ? result instanceof TimeoutError : result === undefined),
      );
      assert.equal(w.now, 100);
      await call;
    });
  });
});

describe("the async context of batches", () => {
  test("AsyncBatcher: batches run in the context in which the batcher was made, whoever has them begun", async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const batcher = storage.run("maker", () =>
      new AsyncBatcher<number, number>(async (items) => {
        seen.push(storage.getStore());
        await Promise.resolve();
        seen.push(storage.getStore());
        if (items.length > 1 && items.includes(9)) throw new Error("nine");
        return items;
      }, { maxSize: 2, bisect: true }));
    await storage.run("a", () => batcher.add(1)); // by the window
    await storage.run("b", () => Promise.all(range(0, 6).map((n) => batcher.add(n)))); // by size, and by other batches
    await storage.run("c", () => Promise.all([batcher.add(8), batcher.add(9)])); // by halves
    const flushed = batcher.add(7);
    await storage.run("d", () => batcher.flush());
    await flushed;
    assert.equal(seen.length, 16);
    assert.ok(seen.every((store) => store === "maker"), `${seen}`);
  });

  test("AsyncBatcher: each caller goes on in its own, with signals, limits and equal items too", async () => {
    const storage = new AsyncLocalStorage<number>();
    const { batcher } = timed(() => 0, { maxSize: 3, maxPending: 4, dedupe: true });
    const { signal } = new AbortController();
    const seen = await Promise.all(
      range(0, 20).map((n) =>
        storage.run(n, async () => {
          await batcher.add(n % 7, n % 2 === 0 ? { signal, timeoutMs: 10_000 } : undefined);
          return storage.getStore();
        })
      ),
    );
    assert.deepEqual(seen, range(0, 20));
  });
});

describe("options of a batcher", () => {
  test("AsyncBatcher refuses bad options by name", () => {
    const fn = () => [];
    const bad: [object, typeof TypeError | typeof RangeError, RegExp][] = [
      [{ maxWeight: 0, weight: Number }, RangeError, /maxWeight must be an integer >= 1: received 0/],
      [{ maxWeight: 5 }, TypeError, /weight must be a function: received undefined/],
      [{ weight: 5 }, TypeError, /weight must be a function: received 5/],
      [{ quietMs: NaN }, RangeError, /quietMs/],
      [{ needsMs: Infinity }, RangeError, /needsMs/],
      [{ overflow: "block" }, RangeError, /overflow must be one of "wait", "reject": received "block"/],
      [{ overflow: null }, TypeError, /overflow/],
      [{ dedupe: "id" }, TypeError, /dedupe must be a boolean or a function: received "id"/],
      [{ bisect: null }, TypeError, /bisect/],
      [{ partition: "table" }, TypeError, /partition must be a function: received "table"/],
      [{ name: 5 }, TypeError, /name/],
    ];
    for (const [options, name, message] of bad) {
      assert.throws(() => new AsyncBatcher(fn, options), (error: Error) => {
        assert.ok(
          error instanceof name && error.message.startsWith("Cannot create batcher as "),
          error.message,
        );
        assert.match(error.message, message);
        return true;
      });
    }
    assert.throws(() => new AsyncBatcher(fn, null as never), TypeError);
    assert.throws(() => AsyncBatcher.ofSettled(fn, null as never), TypeError);
    assert.throws(() => AsyncBatcher.ofSettled(fn, { maxSize: 0 }), RangeError);
    assert.throws(() => new AsyncBatcher(null as never, { name: "b" }), {
      message: 'Cannot create batcher "b" as fn must be a function: received null',
    });
  });

  test("AsyncBatcher.add rejects for bad options, and never throws", async () => {
    const { batcher } = timed(() => 0, {});
    for (
      const options of [null, 5, { timeoutMs: -1 }, { timeoutMs: NaN }, { timeoutMs: "5" }, { signal: {} }]
    ) {
      const call = batcher.add(1, options as never);
      await assert.rejects(call, (error) => error instanceof TypeError || error instanceof RangeError);
    }
    assert.equal(batcher.statistics().pending, 0);
  });
});
