/** What a batcher knows of items: what they weigh, which are equal, which go together, which is to blame. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import {
  AsyncBatcher,
  type AsyncBatcherOptions,
  type BatchMissingError,
  BatchShapeError,
  ClosedError,
  TimeoutError,
} from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A batcher that gives items back and remembers its batches. */
function echo<I>(options?: AsyncBatcherOptions<I>, ms = 0) {
  const batches: (readonly I[])[] = [];
  const batcher = new AsyncBatcher<I, I>(async (items) => {
    batches.push(items);
    if (ms > 0) await sleep(ms);
    return items;
  }, options);
  return { batcher, batches };
}

describe("a batcher that weighs", () => {
  test("AsyncBatcher: no batch weighs more than maxWeight, and a full one does not wait", async () => {
    await world(async (w) => {
      const { batcher, batches } = echo<number>({ weight: (n) => n, maxWeight: 10, maxWaitMs: 50 });
      const calls = [4, 5, 3, 7, 10, 1].map((n) => batcher.add(n));
      await w.idle();
      assert.deepEqual([w.now, batches], [0, [[4, 5], [3, 7], [10]]]);
      await Promise.all(calls);
      assert.deepEqual([w.now, batches], [50, [[4, 5], [3, 7], [10], [1]]]);
    });
  });

  test("AsyncBatcher: one that gives up makes room by its weight", async () => {
    await world(async () => {
      const { batcher, batches } = echo<number>({ weight: (n) => n, maxWeight: 10, maxWaitMs: 50 });
      const controller = new AbortController();
      const gone = batcher.add(6, { signal: controller.signal }).catch((e) => e);
      const calls = [batcher.add(3)];
      controller.abort("gone");
      calls.push(batcher.add(6));
      assert.equal(await gone, "gone");
      await Promise.all(calls);
      assert.deepEqual(batches, [[3, 6]]);
    });
  });

  test("AsyncBatcher.add refuses what weighs too much or nothing sensible, and what weight throws", async () => {
    await world(async () => {
      const { batcher } = echo<unknown>({
        weight: (n) => {
          if (n === undefined) throw "no weight";
          return n as number;
        },
        maxWeight: 10,
        name: "rows",
      });
      await assert.rejects(batcher.add(11), {
        name: "RangeError",
        message: 'Cannot add to batcher "rows" as weight must be at most 10: received 11',
      });
      for (const bad of [-1, NaN, Infinity]) await assert.rejects(batcher.add(bad), RangeError);
      for (const bad of ["5", null]) await assert.rejects(batcher.add(bad), TypeError);
      assert.equal(await batcher.add(undefined).catch((e) => e), "no weight");
      assert.equal(batcher.statistics().pending, 0);
      await batcher.flush();
    });
  });
});

describe("a batcher that dedupes", () => {
  test("BT-02 AsyncBatcher: equal items that wait are handed over once and all callers get the result", async () => {
    await world(async () => {
      const { batcher, batches } = echo<number>({ dedupe: true });
      const items = [1, 2, 1, NaN, 0, -0, NaN, 1];
      const results = await Promise.all(items.map((n) => batcher.add(n)));
      assert.deepEqual(batches, [[1, 2, NaN, 0]]);
      assert.deepEqual(results, [1, 2, 1, NaN, 0, 0, NaN, 1]);
      const { joined, fulfilled, granted, pending } = batcher.statistics();
      assert.deepEqual([joined, fulfilled, granted, pending], [4, 8, 4, 0]);
      assert.equal(await batcher.add(1), 1);
      assert.deepEqual(batches[1], [1], "what was served before is asked for anew");
    });
  });

  test("BT-02 AsyncBatcher: objects are equal by what dedupe makes of them, and without it none are", async () => {
    await world(async () => {
      const byId = echo<{ id: number }>({ dedupe: ({ id }) => id });
      const [a, b] = [{ id: 1 }, { id: 1 }];
      const [first, second] = await Promise.all([byId.batcher.add(a), byId.batcher.add(b)]);
      assert.ok(first === a && second === a);
      const plain = echo<number>();
      await Promise.all([plain.batcher.add(1), plain.batcher.add(1)]);
      assert.deepEqual(plain.batches, [[1, 1]]);
      const broken = echo<number>({
        dedupe: () => {
          throw new Error("no key");
        },
      });
      await assert.rejects(broken.batcher.add(1), { message: "no key" });
    });
  });

  test("BT-06 AsyncBatcher: an item stays while one of its callers does, whoever goes first", async () => {
    for (const leaver of [0, 1]) {
      await world(async (w) => {
        const { batcher, batches } = echo<string>({ dedupe: true, maxWaitMs: 10 });
        const controllers = [new AbortController(), new AbortController()];
        const calls = controllers.map(({ signal }) => batcher.add("a", { signal }).catch((e) => e));
        controllers[leaver]!.abort("no");
        assert.equal(await calls[leaver], "no");
        assert.equal(await calls[1 - leaver], "a");
        assert.deepEqual([batches, w.now], [[["a"]], 10]);
        // When both go, so does the item, and a later call is a new one.
        const more = controllers.map(() => new AbortController());
        const gone = more.map(({ signal }) => batcher.add("b", { signal }).catch((e) => e));
        for (const controller of more) controller.abort("gone");
        assert.deepEqual(await Promise.all(gone), ["gone", "gone"]);
        assert.deepEqual([w.timers.length, batcher.statistics().pending], [0, 0]);
        assert.equal(await batcher.add("b"), "b");
        assert.deepEqual(batches, [["a"], ["b"]]);
      });
    }
  });

  test("AsyncBatcher: the signal of a batch is aborted only when all who share its items have gone", async () => {
    await world(async (w) => {
      let signal: AbortSignal | undefined;
      const batcher = new AsyncBatcher<number, number>(async (items, context) => {
        signal = context.signal;
        await sleep(100);
        return items;
      }, { dedupe: true });
      const controllers = range(0, 3).map(() => new AbortController());
      const calls = controllers.map((c) => batcher.add(1, { signal: c.signal }).catch((e) => e));
      await w.idle();
      for (const [i, controller] of controllers.entries()) {
        assert.equal(signal!.aborted, false);
        controller.abort(i);
      }
      assert.equal(signal!.aborted, true);
      assert.deepEqual(await Promise.all(calls), [0, 1, 2]);
      await batcher.flush();
    });
  });

  test("AsyncBatcher: one who wants an item that waits needs no room, also when many wait to be let in", async () => {
    await world(async (w) => {
      const { batcher, batches } = echo<number>({ dedupe: true, maxPending: 2 }, 10);
      const calls = [0, 1, 2, 3, 4, 3, 2].map((n) => batcher.add(n));
      await w.idle();
      calls.push(batcher.add(2), batcher.add(3));
      const { pending, waiting } = batcher.statistics();
      assert.deepEqual({ pending, waiting, batches }, { pending: 2, waiting: 1, batches: [[0, 1]] });
      assert.deepEqual(await Promise.all(calls), [0, 1, 2, 3, 4, 3, 2, 2, 3]);
      assert.deepEqual(batches, [[0, 1], [2, 3], [4]]);
      await batcher.flush();
    });
  });
});

describe("a batcher that partitions", () => {
  test("AsyncBatcher: each kind has batches and windows of its own, and the function is told which", async () => {
    await world(async (w) => {
      const seen: unknown[] = [];
      const batcher = new AsyncBatcher<string, string>((items, { partition }) => {
        seen.push([w.now, partition, items]);
        return items;
      }, { partition: (item) => item[0], maxWaitMs: 20, maxSize: 2, concurrency: 2 });
      const calls = ["a1", "b1"].map((item) => batcher.add(item));
      await w.advance(5);
      calls.push(...["c1", "b2"].map((item) => batcher.add(item)));
      assert.equal(batcher.statistics().partitions, 2, "b is full and on its way");
      assert.deepEqual(await Promise.all(calls), ["a1", "b1", "c1", "b2"]);
      assert.deepEqual(seen, [[5, "b", ["b1", "b2"]], [20, "a", ["a1"]], [25, "c", ["c1"]]]);
      assert.deepEqual([batcher.statistics().partitions, w.timers.length], [0, 0]);
    });
  });

  test("AsyncBatcher: equal items of different kinds are different, and kinds take turns", async () => {
    await world(async () => {
      type Item = { kind: string; n: number };
      const { batcher, batches } = echo<Item>({
        partition: ({ kind }) => kind,
        dedupe: ({ n }) => n,
        maxSize: 1,
      }, 1);
      const items = [..."aaab"].map((kind, n) => ({ kind, n: n % 3 }));
      await Promise.all(items.map((item) => batcher.add(item)));
      assert.deepEqual(batches.map(([item]) => item!.kind + item!.n), ["a0", "a1", "b0", "a2"]);
    });
  });

  test("AsyncBatcher: with maxPending items of all kinds, no window is waited for", async () => {
    await world(async (w) => {
      const { batcher, batches } = echo<string>({
        partition: (item) => item[0],
        maxWaitMs: 1_000,
        maxPending: 3,
        overflow: "reject",
        name: "rows",
      }, 10);
      const calls = ["a1", "b1", "a2"].map((item) => batcher.add(item));
      await w.idle();
      assert.deepEqual(batches, [["a1", "a2"]]);
      calls.push(batcher.add("c1"), batcher.add("c2"));
      await assert.rejects(batcher.add("d1"), {
        name: "QueueFullError",
        message: 'Cannot add to batcher "rows": 3 of 3 pending, 0 waiting, 1 of 1 batches running',
        maxQueue: 3,
        inUse: 1,
      });
      assert.equal(batcher.statistics().refused, 1);
      assert.deepEqual(await Promise.all(calls), ["a1", "b1", "a2", "c1", "c2"]);
      assert.deepEqual([batches.slice(1), w.now], [[["b1"], ["c1", "c2"]], 30]);
    });
  });

  test("AsyncBatcher: functions that look at items may close the batcher or abort the call", async () => {
    await world(async () => {
      const controller = new AbortController();
      const { batcher, batches } = echo<number>({
        partition: (n) => {
          if (n === 1) controller.abort("during");
          else void batcher.close();
          return n;
        },
      });
      assert.equal(await batcher.add(1, { signal: controller.signal }).catch((e) => e), "during");
      await assert.rejects(batcher.add(2), ClosedError);
      assert.deepEqual(batches, []);
    });
  });

  test("AsyncBatcher: a function that looks at an item may flush, and a later flush waits for the item", async () => {
    await world(async (w) => {
      let flushing = true;
      const { batcher } = echo<number>({
        partition: (n) => {
          if (flushing) void batcher.flush();
          return n;
        },
        maxWaitMs: 100,
      }, 10);
      let served = false;
      const call = batcher.add(1).then(() => served = true);
      flushing = false;
      await w.advance(50);
      await batcher.flush();
      assert.deepEqual([served, w.now], [true, 60]);
      await call;
    });
  });
});

describe("results of a batch", () => {
  test("AsyncBatcher: results may be a Map by item; one that is missing fails alone", async () => {
    await world(async () => {
      let disposed = 0;
      const extra = { [Symbol.dispose]: () => void disposed++ };
      const batcher = new AsyncBatcher<number, unknown>(
        () =>
          new Map<number, unknown>([[3, new RangeError("three")], [1, "one"], [9, extra], [4, undefined]]),
        { name: "users" },
      );
      const results = await Promise.allSettled([1, 2, 3, 4].map((n) => batcher.add(n)));
      assert.deepEqual(results.map((r) => r.status === "fulfilled" ? r.value : r.reason.name), [
        "one",
        "BatchMissingError",
        "RangeError",
        undefined,
      ]);
      const missing = (results[1] as PromiseRejectedResult).reason as BatchMissingError;
      assert.equal(missing.message, 'Cannot hand out the result of batcher "users" for 2: there is none');
      assert.equal(missing.key, 2);
      await Promise.resolve();
      assert.equal(disposed, 1, "what nobody asked for is disposed");
    });
  });

  test("AsyncBatcher: a Map is by what dedupe makes of items", async () => {
    await world(async () => {
      const batcher = new AsyncBatcher<{ id: number }, string>(
        (items) => new Map(items.map(({ id }) => [id, `row ${id}`])),
        { dedupe: ({ id }) => id },
      );
      const results = await Promise.all([1, 2, 1].map((id) => batcher.add({ id })));
      assert.deepEqual(results, ["row 1", "row 2", "row 1"]);
    });
  });

  test("AsyncBatcher: settled results say how each item went, whatever the value or the reason", async () => {
    await world(async () => {
      const value = new Error("a value");
      for (const asMap of [false, true]) {
        const batcher = AsyncBatcher.ofSettled<number, Error>(async (items) => {
          const settled = await Promise.allSettled(items.map((n) => n === 1 ? value : Promise.reject(null)));
          return asMap ? new Map(items.map((n, i) => [n, settled[i]!])) : settled;
        });
        assert.deepEqual(await Promise.allSettled([batcher.add(1), batcher.add(2)]), [
          { status: "fulfilled", value },
          { status: "rejected", reason: null },
        ]);
        const { fulfilled, failed } = batcher.statistics();
        assert.deepEqual([fulfilled, failed], [1, 1]);
      }
    });
  });

  test("BT-04 AsyncBatcher: results that do not say how it went reject every member", async () => {
    await world(async () => {
      for (const wrong of [undefined, null, "x", { status: "pending" }]) {
        let disposed = 0;
        const value = { [Symbol.dispose]: () => void disposed++ };
        const batcher = AsyncBatcher.ofSettled<number, unknown>(
          () => [{ status: "fulfilled", value }, wrong as PromiseSettledResult<unknown>],
        );
        const errors = await Promise.all([1, 2].map((n) => batcher.add(n).catch((e) => e)));
        assert.ok(errors[0] instanceof BatchShapeError && errors[0] === errors[1]);
        assert.match(errors[0].message, /as each must have a status of "fulfilled" or "rejected": received /);
        await Promise.resolve();
        assert.equal(disposed, 1);
      }
    });
  });

  test("AsyncBatcher: a result that breaks when it is looked at still leaves nobody waiting", async () => {
    await world(async () => {
      const trap = new Proxy({}, {
        getPrototypeOf: () => {
          throw new Error("trap");
        },
      });
      const batcher = new AsyncBatcher<number, unknown>(() => [1, trap, 3]);
      const results = await Promise.allSettled([1, 2, 3].map((n) => batcher.add(n)));
      assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "rejected"]);
    });
  });
});

describe("a batcher that bisects", () => {
  /** Serves batches without any of `poison`; counts calls. */
  function poisoned(poison: number[], options: AsyncBatcherOptions<number>, ms = 0) {
    const calls: (readonly number[])[] = [];
    const batcher = new AsyncBatcher<number, number>(async (items) => {
      calls.push(items);
      if (ms > 0) await sleep(ms);
      const bad = items.filter((n) => poison.includes(n));
      if (bad.length > 0) throw new RangeError(`bad ${bad}`);
      return items;
    }, { maxSize: Infinity, ...options });
    return { batcher, calls };
  }

  test("AsyncBatcher: only poison items fail, with their own error, after O(p log n) calls", async () => {
    await world(async () => {
      for (const poison of [[0], [517], [3, 1_023], [100, 101, 800]]) {
        const { batcher, calls } = poisoned(poison, { bisect: true });
        const results = await Promise.allSettled(range(0, 1_024).map((n) => batcher.add(n)));
        for (const [n, result] of results.entries()) {
          if (result.status === "fulfilled") assert.equal(result.value, n);
          else assert.ok(poison.includes(n) && result.reason.message === `bad ${n}`);
        }
        const { fulfilled, failed, batches, bisected } = batcher.statistics();
        assert.deepEqual([fulfilled, failed, batches], [1_024 - poison.length, poison.length, calls.length]);
        assert.equal(calls.length, 1 + 2 * bisected);
        assert.ok(calls.length <= 1 + 2 * 10 * poison.length, `${calls.length} calls`);
      }
    });
  });

  test("AsyncBatcher: for the errors that bisect picks; what it throws is what callers get", async () => {
    await world(async () => {
      const picked = poisoned([1], { bisect: (error) => error instanceof RangeError });
      assert.deepEqual(
        (await Promise.allSettled([1, 2].map((n) => picked.batcher.add(n)))).map(({ status }) => status),
        ["rejected", "fulfilled"],
      );
      const other = poisoned([1], { bisect: (error) => error instanceof TypeError });
      const results = await Promise.all([1, 2].map((n) => other.batcher.add(n).catch((e) => e.message)));
      assert.deepEqual([results, other.calls.length], [["bad 1", "bad 1"], 1]);
      const broken = poisoned([1], {
        bisect: () => {
          throw new Error("broken");
        },
      });
      assert.deepEqual(
        await Promise.all([1, 2].map((n) => broken.batcher.add(n).catch((e) => e.message))),
        ["broken", "broken"],
      );
      // Results of the wrong shape are no failure of an item: what was done is not done again.
      let calls = 0;
      const short = new AsyncBatcher<number, number>(() => {
        calls++;
        return [];
      }, { bisect: true });
      const errors = await Promise.all([1, 2].map((n) => short.add(n).catch((e) => e)));
      assert.ok(errors.every((e) => e instanceof BatchShapeError) && calls === 1);
    });
  });

  test("AsyncBatcher: halves run one after the other within one place, without those who have gone", async () => {
    await world(async (w) => {
      const { batcher, calls } = poisoned([0], { bisect: true }, 10);
      const controller = new AbortController();
      const { signal } = controller;
      const first = batcher.add(0, { signal }).catch((e) => e);
      const others = [1, 2, 3].map((n) =>
        batcher.add(n, n === 3 ? { timeoutMs: 15 } : undefined).catch((e) => e)
      );
      await w.advance(5);
      assert.equal(batcher.statistics().inUse, 1);
      controller.abort("gone");
      assert.equal(await first, "gone");
      const results = await Promise.all(others);
      assert.deepEqual(results.slice(0, 2), [1, 2]);
      assert.ok(results[2] instanceof TimeoutError);
      // 3 was part of the half that had not begun when its limit came.
      assert.deepEqual(calls, [[0, 1, 2, 3], [1, 2]]);
      assert.equal(w.now, 20);
      await batcher.flush();
    });
  });

  test("AsyncBatcher: a half whose callers have all gone has its signal aborted, and the other runs", async () => {
    await world(async (w) => {
      const aborted: string[] = [];
      const batcher = new AsyncBatcher<number, number>(async (items, { signal }) => {
        signal.addEventListener("abort", () => aborted.push(`${items}`));
        await sleep(10);
        if (items.length > 2) throw new Error("too many");
        return items;
      }, { bisect: true });
      const controller = new AbortController();
      const { signal } = controller;
      const leavers = [1, 2].map((n) => batcher.add(n, { signal }).catch((e) => e));
      const stayers = [3, 4].map((n) => batcher.add(n));
      await w.advance(15);
      controller.abort("gone");
      assert.deepEqual(await Promise.all(leavers), ["gone", "gone"]);
      assert.deepEqual(await Promise.all(stayers), [3, 4]);
      assert.deepEqual([aborted, w.now], [["1,2"], 30]);
    });
  });
});

describe("what observers are told of batches", () => {
  test("AsyncBatcher: a failure that comes when all have gone is told, and nothing is tried again for nobody", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (r) => void (r.kind === "late.failure" && records.push(r)) });
      const error = new Error("late");
      const batcher = new AsyncBatcher<number, number>(
        () => sleep(10).then(() => Promise.reject(error)),
        { bisect: true },
      );
      const calls = [1, 2].map((n) => batcher.add(n, { timeoutMs: 5 }).catch((e) => e));
      assert.ok((await Promise.all(calls)).every((e) => e instanceof TimeoutError));
      await w.advance(10);
      const { batches, bisected } = batcher.statistics();
      assert.deepEqual([batches, bisected, records.map(({ data }) => data)], [1, 0, [{ error }]]);
    });
  });

  test("AsyncBatcher: records link each batch to its members", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (r) => void (r.structure === "batcher" && records.push(r)) });
      const batcher = new AsyncBatcher<number, number>(async (items) => {
        await sleep(5);
        return items;
      }, { dedupe: true, name: "b" });
      await Promise.all([1, 2, 1].map((n) => batcher.add(n)));
      const told = records.map(({ kind, name, data }) => ({ kind, name, ...data }));
      assert.deepEqual(told, [
        { kind: "add", name: "b", id: 1, pending: 0 },
        { kind: "add", name: "b", id: 2, pending: 1 },
        { kind: "add", name: "b", id: 3, pending: 2 },
        { kind: "batch", name: "b", batch: 1, size: 2, members: [1, 3, 2], partition: undefined },
        { kind: "batch.end", name: "b", batch: 1, outcome: "fulfilled", ranMs: 5 },
      ]);
      assert.equal(w.now, 5);
    });
  });
});
