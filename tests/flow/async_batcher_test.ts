import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { AsyncBatcher, BatchShapeError, ClosedError, TimeoutError } from "../../src/flow/mod.ts";
import { census } from "../../src/kernel/census.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** A batcher that doubles numbers and remembers its batches. */
function doubler(
  options?: ConstructorParameters<typeof AsyncBatcher>[1],
  serve: (items: readonly number[], signal: AbortSignal) => Promise<unknown> = () => Promise.resolve(),
) {
  const batches: (readonly number[])[] = [];
  const batcher = new AsyncBatcher<number, number>(async (items, { signal }) => {
    batches.push(items);
    await serve(items, signal);
    return items.map((n) => 2 * n);
  }, options);
  return { batcher, batches };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

test("AsyncBatcher refuses bad arguments where it is made", () => {
  const fn = () => Promise.resolve([]);
  assert.throws(() => new AsyncBatcher(undefined as never), TypeError);
  for (const maxSize of [0, -1, 1.5, NaN]) assert.throws(() => new AsyncBatcher(fn, { maxSize }), RangeError);
  assert.throws(() => new AsyncBatcher(fn, { maxWaitMs: -1 }), RangeError);
  assert.throws(() => new AsyncBatcher(fn, { maxPending: 0 }), RangeError);
  assert.throws(() => new AsyncBatcher(fn, { concurrency: 0, name: "users" }), {
    message: 'Cannot create batcher "users" as concurrency must be an integer >= 1: received 0',
  });
});

test("AsyncBatcher serves what is added in one turn together, each caller by position", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler();
    assert.deepEqual(await Promise.all([1, 2, 3].map((n) => batcher.add(n))), [2, 4, 6]);
    assert.deepEqual(batches, [[1, 2, 3]]);
    assert.equal(await batcher.add(4), 8);
    assert.deepEqual([batches.length, w.now], [2, 0]);
  });
});

test("AsyncBatcher never calls its function from inside of add", async () => {
  await world(async () => {
    const { batcher, batches } = doubler({ maxSize: 1 });
    const call = batcher.add(1);
    assert.equal(batches.length, 0);
    await call;
  });
});

test("AsyncBatcher: callers that are some turns of the microtask queue behind still join", async () => {
  await world(async () => {
    const { batcher, batches } = doubler();
    const wrapped = async (depth: number, n: number): Promise<number> =>
      depth === 0 ? await batcher.add(n) : await Promise.resolve().then(() => wrapped(depth - 1, n));
    await Promise.all([batcher.add(0), wrapped(1, 1), wrapped(2, 2)]);
    assert.deepEqual(batches, [[0, 1, 2]]);
  });
});

test("BT-08 AsyncBatcher: loads issued from resolved loads join the next batch: depth 3, 3 batches", async () => {
  await world(async () => {
    const { batcher, batches } = doubler();
    const chain = async (n: number): Promise<number> =>
      await batcher.add(await batcher.add(await batcher.add(n)));
    assert.deepEqual(await Promise.all(range(0, 50).map(chain)), range(0, 50).map((n) => 8 * n));
    assert.deepEqual(batches.map((b) => b.length), [50, 50, 50]);
  });
});

test("AsyncBatcher closes a batch at maxSize, and keeps the order", async () => {
  await world(async () => {
    const { batcher, batches } = doubler({ maxSize: 3 });
    await Promise.all(range(0, 8).map((n) => batcher.add(n)));
    assert.deepEqual(batches, [[0, 1, 2], [3, 4, 5], [6, 7]]);
  });
});

test("AsyncBatcher: the window opens at the first item, so that items 10 ms apart share a batch", async () => {
  await world(async (w) => {
    const begun: number[] = [];
    const { batcher, batches } = doubler(
      { maxWaitMs: 50, maxSize: 10 },
      () => Promise.resolve(begun.push(w.now)),
    );
    const calls: Promise<number>[] = [];
    for (const n of range(0, 8)) {
      calls.push(batcher.add(n));
      await sleep(10);
    }
    await Promise.all(calls);
    assert.deepEqual(batches, [[0, 1, 2, 3, 4], [5, 6, 7]]);
    assert.deepEqual(begun, [50, 100]);
  });
});

test("AsyncBatcher: a full batch does not wait for its window, and the timer goes with it", async () => {
  await world(async (w) => {
    const { batcher } = doubler({ maxWaitMs: 1_000, maxSize: 2 });
    const calls = [batcher.add(1), batcher.add(2)];
    await Promise.all(calls);
    assert.deepEqual([w.now, w.timers.length], [0, 0]);
    const never = doubler({ maxWaitMs: Infinity, maxSize: 2 });
    const waiting = never.batcher.add(1);
    await w.idle();
    assert.equal(never.batcher.statistics().pending, 1);
    await Promise.all([waiting, never.batcher.add(2)]);
  });
});

test("AsyncBatcher: with all batches running items go on joining, and each still has its own window", async () => {
  await world(async (w) => {
    const begun: number[] = [];
    const { batcher, batches } = doubler({ maxWaitMs: 10, maxSize: 2 }, async () => {
      begun.push(w.now);
      await sleep(100);
    });
    const calls = [batcher.add(0), batcher.add(1)];
    await sleep(50);
    calls.push(batcher.add(2), batcher.add(3));
    await sleep(45);
    calls.push(batcher.add(4));
    await sleep(103);
    calls.push(batcher.add(5)); // the window of 4 was over long before, and a batch is about to end
    await Promise.all(calls);
    assert.deepEqual(batches, [[0, 1], [2, 3], [4, 5]]);
    assert.deepEqual(begun, [0, 100, 200]);
  });
});

test("BT-10 AsyncBatcher: at most so many batches run at once; the next fills until it begins", async () => {
  await world(async (w) => {
    let [running, most] = [0, 0];
    const { batcher, batches } = doubler({ concurrency: 2, maxSize: 3 }, async () => {
      most = Math.max(most, ++running);
      await sleep(100);
      running--;
    });
    const calls = range(0, 7).map((n) => batcher.add(n));
    await w.idle();
    assert.deepEqual(batches, [[0, 1, 2], [3, 4, 5]]);
    calls.push(batcher.add(7));
    await Promise.all(calls);
    assert.deepEqual([batches[2], most, w.now], [[6, 7], 2, 200]);
  });
});

test("AsyncBatcher: an Error in the place of a result fails that item only", async () => {
  await world(async () => {
    const error = new Error("no 2");
    const batcher = new AsyncBatcher<number, number | undefined>((items) =>
      Promise.resolve(items.map((n) => n === 2 ? error : n === 3 ? undefined : n))
    );
    const results = await Promise.allSettled([1, 2, 3].map((n) => batcher.add(n)));
    assert.deepEqual(results, [
      { status: "fulfilled", value: 1 },
      { status: "rejected", reason: error },
      { status: "fulfilled", value: undefined },
    ]);
    const { fulfilled, failed, batches } = batcher.statistics();
    assert.deepEqual({ fulfilled, failed, batches }, { fulfilled: 2, failed: 1, batches: 1 });
  });
});

test("BT-04 AsyncBatcher: a result of the wrong shape rejects every member and says what was expected", async () => {
  await world(async () => {
    const shapes: [unknown, number | undefined, string][] = [
      [[1], 1, "an array of 1"],
      [[1, 2, 3], 3, "an array of 3"],
      [[], 0, "an array of 0"],
      [undefined, undefined, "undefined"],
      ["ab", undefined, '"ab"'],
      [{ length: 2 }, undefined, "an object"],
    ];
    for (const [shape, actual, shown] of shapes) {
      const batcher = new AsyncBatcher<number, number>(() => Promise.resolve(shape as number[]), {
        name: "u",
      });
      const errors = await Promise.all([1, 2].map((n) => batcher.add(n).catch((e) => e)));
      assert.ok(errors[0] instanceof BatchShapeError);
      assert.equal(errors[0], errors[1]);
      assert.deepEqual([errors[0].expected, errors[0].actual, errors[0].name], [
        2,
        actual,
        "BatchShapeError",
      ]);
      assert.equal(
        errors[0].message,
        `Cannot hand out the results of batcher "u" as they must be an array of 2: received ${shown}`,
      );
    }
    let disposed = 0;
    const one = { [Symbol.dispose]: () => void disposed++ };
    const batcher = new AsyncBatcher<number, typeof one>(() => Promise.resolve([one, one]));
    await assert.rejects(batcher.add(1), BatchShapeError);
    await Promise.resolve();
    assert.equal(disposed, 2, "results that nobody can get are disposed");
  });
});

test("AsyncBatcher: a failing function, at once or later, fails all its callers with that very error", async () => {
  await world(async () => {
    const error = new Error("down");
    for (
      const fn of [() => Promise.reject(error), () => {
        throw error;
      }]
    ) {
      const batcher = new AsyncBatcher<number, number>(fn, { maxSize: 2 });
      const errors = await Promise.all(range(0, 5).map((n) => batcher.add(n).catch((e) => e)));
      assert.ok(errors.every((e) => e === error));
      assert.deepEqual([batcher.statistics().batches, batcher.statistics().failed], [3, 5]);
    }
  });
});

test("BT-06 AsyncBatcher: abort before the batch begins takes the item out; the last one takes the window too", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxWaitMs: 50 });
    const [a, b] = [new AbortController(), new AbortController()];
    const first = batcher.add(1, { signal: a.signal }).catch((e) => e);
    await w.advance(5);
    const second = batcher.add(2, { signal: b.signal });
    await w.advance(5);
    a.abort("no");
    assert.equal(await first, "no");
    assert.equal(batcher.statistics().pending, 1);
    assert.equal(await second, 4);
    assert.deepEqual([batches, w.now], [[[2]], 50]);
    const c = new AbortController();
    const only = batcher.add(3, { signal: c.signal }).catch((e) => e);
    await w.advance(10);
    c.abort("none");
    assert.equal(w.timers.length, 0);
    assert.equal(await only, "none");
    await w.advance(100);
    assert.equal(batches.length, 1);
    const refused = batcher.add(4, { signal: c.signal });
    assert.equal(batcher.statistics().pending, 0);
    assert.equal(await refused.catch((e) => e), "none");
  });
});

test("AsyncBatcher: an abort in the turn in which the batch is put together still takes the item out", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxSize: 2 });
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [batcher.add(1), batcher.add(2, { signal }).catch((e) => e)];
    controller.abort("no");
    assert.deepEqual([await calls[0], await calls[1]], [2, "no"]);
    assert.deepEqual(batches, [[1]]);
    const all = new AbortController();
    const gone = [3, 4].map((n) => batcher.add(n, { signal: all.signal }).catch((e) => e));
    all.abort("all");
    await Promise.all(gone);
    await w.idle();
    assert.equal(batches.length, 1, "nobody left: not called");
    assert.equal(batcher.statistics().inUse, 0);
  });
});

test("AsyncBatcher: abort of a running batch's caller rejects it at once; the batch's signal follows the last", async () => {
  await world(async (w) => {
    const signals: AbortSignal[] = [];
    let disposed = 0;
    const batcher = new AsyncBatcher<number, Disposable>(async (items, { signal }) => {
      signals.push(signal);
      await sleep(100); // deaf
      return items.map(() => ({ [Symbol.dispose]: () => void disposed++ }));
    }, { maxSize: 2 });
    const [a, b] = [new AbortController(), new AbortController()];
    const first = batcher.add(1, { signal: a.signal }).catch((e) => e);
    const second = batcher.add(2, { signal: b.signal }).catch((e) => e);
    const third = batcher.add(3);
    await w.advance(10);
    a.abort("a");
    assert.equal(await first, "a");
    assert.deepEqual([w.now, signals[0]!.aborted], [10, false]);
    await w.advance(10);
    b.abort("b");
    assert.equal(await second, "b");
    assert.deepEqual([w.now, signals[0]!.aborted], [20, true]);
    assert.equal(signals[0]!.reason.name, "AbortError");
    assert.equal(signals[0]!.reason.cause, "b");
    assert.equal(batcher.statistics().inUse, 1, "its place is taken until it has settled");
    assert.ok(Symbol.dispose in await third);
    assert.equal(disposed, 2, "results that nobody waits for are disposed, others are not");
    assert.equal(w.now, 200);
  });
});

test("AsyncBatcher: late failures of a batch that nobody waits for go to the observer, echoes do not", async () => {
  await world(async (w) => {
    const records: ObserverRecord[] = [];
    using _watching = observe({ record: (r) => void (r.kind === "late.failure" && records.push(r)) });
    const real = new Error("real");
    for (
      const fn of [
        (signal: AbortSignal) => sleep(100, { signal }),
        () => sleep(20).then(() => Promise.reject(real)),
        () => sleep(20).then(() => [real]),
      ]
    ) {
      const batcher = new AsyncBatcher<number, number>(
        async (_, { signal }) => await fn(signal) as never[],
        { name: "b" },
      );
      await assert.rejects(batcher.add(1, { timeoutMs: 10 }), TimeoutError);
      await w.advance(100);
    }
    const record = { kind: "late.failure", structure: "batcher", name: "b", data: { error: real } };
    assert.deepEqual(records, [record, record]);
  });
});

test("AsyncBatcher.add: timeoutMs bounds the whole call, waiting and running", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ name: "users" }, () => sleep(100));
    const first = batcher.add(1);
    await w.idle();
    await assert.rejects(batcher.add(2, { timeoutMs: 20 }), {
      name: "TimeoutError",
      message: 'Cannot add to batcher "users" within 20 ms: 1 pending, 0 waiting, 1 of 1 batches running',
      operation: 'add to batcher "users"',
      limitMs: 20,
    });
    await first;
    assert.deepEqual(batches, [[1]]);
    await assert.rejects(batcher.add(3, { timeoutMs: 70 }), TimeoutError);
    assert.deepEqual([w.now, batches], [170, [[1], [3]]]);
    await assert.rejects(batcher.add(4, { timeoutMs: 0 }), TimeoutError);
    await batcher.flush();
    assert.deepEqual([w.now, batches.length, batcher.statistics().timedOut], [200, 2, 3]);
  });
});

test("AsyncBatcher: maxPending makes callers wait in line, whose wait can be given up", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxPending: 2, maxSize: 10, name: "u" }, () => sleep(100));
    const controller = new AbortController();
    const calls = range(0, 4).map((n) => batcher.add(n));
    const gone = batcher.add(99, { signal: controller.signal }).catch((e) => e);
    calls.push(batcher.add(4));
    await w.idle();
    const { pending, waiting } = batcher.statistics();
    assert.deepEqual({ pending, waiting, batches }, { pending: 2, waiting: 2, batches: [[0, 1]] });
    await assert.rejects(batcher.add(5, { timeoutMs: 10 }), {
      message: 'Cannot add to batcher "u" within 10 ms: 2 of 2 pending, 3 waiting, 1 of 1 batches running',
    });
    controller.abort("gone");
    assert.equal(await gone, "gone");
    assert.deepEqual(await Promise.all(calls), [0, 2, 4, 6, 8]);
    assert.deepEqual(batches, [[0, 1], [2, 3], [4]]);
    const totals = batcher.statistics();
    assert.deepEqual([totals.aborted, totals.timedOut, totals.waiting], [1, 1, 0]);
  });
});

test("AsyncBatcher: a caller let in from the line keeps its own limit and signal", async () => {
  await world(async (w) => {
    const { batcher } = doubler({ maxPending: 1 }, () => sleep(100));
    const controller = new AbortController();
    const calls = [batcher.add(0), batcher.add(1)];
    const limited = batcher.add(2, { timeoutMs: 150 }).catch((e) => e);
    const aborted = batcher.add(3, { signal: controller.signal }).catch((e) => e);
    await w.advance(120);
    assert.equal(batcher.statistics().pending, 1, "2 is let in, 1 is running");
    await Promise.all(calls.slice(0, 1));
    assert.ok(await limited instanceof TimeoutError);
    assert.equal(w.now, 150);
    await w.advance(60);
    controller.abort("gone");
    assert.equal(await aborted, "gone");
    assert.equal(w.now, 210);
    await Promise.all(calls);
    await batcher.flush();
  });
});

test("AsyncBatcher.flush serves what was added before without waiting, and not what comes after", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxWaitMs: 1_000 }, () => sleep(10));
    await batcher.flush();
    const calls = [batcher.add(1), batcher.add(2)];
    const flushed = batcher.flush();
    await w.idle();
    const later = batcher.add(3);
    await flushed;
    assert.deepEqual([w.now, batches], [10, [[1, 2]]]);
    await Promise.all(calls);
    assert.equal(await later, 6);
    // It resolves also when the batch fails or the items go, and can be given up.
    const failing = new AsyncBatcher<number, number>(() => Promise.reject(new Error("x")));
    const failed = failing.add(1).catch((e) => e.message);
    await failing.flush();
    assert.equal(await failed, "x");
    const other = doubler({ maxWaitMs: 1_000 }, () => sleep(100));
    const slow = other.batcher.add(1);
    await assert.rejects(other.batcher.flush({ timeoutMs: 20 }), TimeoutError);
    assert.equal(await slow, 2);
  });
});

test("AsyncBatcher.flush reaches those who wait to be let in", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxPending: 2, maxSize: 10, maxWaitMs: 1_000 }, () => sleep(10));
    const calls = range(0, 5).map((n) => batcher.add(n));
    await batcher.flush();
    assert.deepEqual([w.now, batches], [30, [[0, 1], [2, 3], [4]]]);
    await Promise.all(calls);
  });
});

test("BT-12 AsyncBatcher.close refuses new items and serves or refuses those that wait", async () => {
  await world(async (w) => {
    let calls: Promise<number>[] = [];
    const { batcher, batches } = doubler({ maxWaitMs: 1_000, maxSize: 2 }, () => sleep(100));
    {
      await using scoped = batcher;
      calls = range(0, 5).map((n) => scoped.add(n));
    }
    assert.deepEqual([w.now, batches], [300, [[0, 1], [2, 3], [4]]]);
    assert.deepEqual(await Promise.all(calls), [0, 2, 4, 6, 8]);
    assert.equal(batcher.close(), batcher.close());
    await assert.rejects(batcher.add(9), {
      name: "ClosedError",
      message: "Cannot add to batcher: it is closed",
    });
    const strict = doubler({ maxSize: 2, maxPending: 2 }, () => sleep(100));
    const outcomes = range(0, 5).map((n) => strict.batcher.add(n).catch((e) => e));
    await w.idle();
    await strict.batcher.close({ pending: "reject" });
    assert.equal(w.now, 400, "what runs is waited for");
    const results = await Promise.all(outcomes);
    assert.deepEqual(results.slice(0, 2), [0, 2]);
    assert.ok(results.slice(2).every((e) => e instanceof ClosedError));
    assert.equal(strict.batches.length, 1);
    await assert.rejects(strict.batcher.close({ pending: "drop" as "flush" }), RangeError);
  });
});

test("AsyncBatcher.close: a later, stricter one holds for what still waits", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxSize: 1 }, () => sleep(100));
    const outcomes = range(0, 3).map((n) => batcher.add(n).catch((e) => e));
    const closing = batcher.close();
    await w.advance(10);
    assert.equal(batcher.close({ pending: "reject" }), closing);
    await closing;
    assert.deepEqual([w.now, batches], [100, [[0]]]);
    const results = await Promise.all(outcomes);
    assert.ok(results[0] === 0 && results[1] instanceof ClosedError && results[2] instanceof ClosedError);
  });
});

test("AsyncBatcher: every accepted item settles exactly once, whatever happens to it", async () => {
  await world(async (w) => {
    let served = 0;
    const batcher = new AsyncBatcher<number, number>(async (items) => {
      served += items.length;
      await sleep(items[0]! % 40);
      if (items[0]! % 5 === 0) throw new Error("batch");
      return items.map((n) => n % 7 === 0 ? new Error("item") : n);
    }, { maxSize: 7, maxWaitMs: 5, maxPending: 20, concurrency: 2 });
    let settled = 0;
    const calls = range(0, 500).map(async (n) => {
      await sleep(n % 50);
      const controller = new AbortController();
      const options = n % 3 === 0 ? { signal: controller.signal } : n % 4 === 0 ? { timeoutMs: n % 30 } : {};
      const call = batcher.add(n, options).then((v) => assert.equal(v, n), (e) => assert.ok(e))
        .finally(() => settled++);
      await sleep(n % 23);
      controller.abort(new Error("abort"));
      await call;
    });
    await sleep(1_200);
    await batcher.close({ pending: "reject" });
    await Promise.all(calls);
    const { fulfilled, failed, aborted, timedOut, pending, waiting, inUse } = batcher.statistics();
    assert.equal(settled, 500);
    assert.equal(fulfilled + failed + aborted + timedOut, 500);
    assert.deepEqual([pending, waiting, inUse], [0, 0, 0]);
    assert.ok(fulfilled > 0 && failed > 0 && aborted > 0 && timedOut > 0 && served > fulfilled);
    await w.idle();
  });
});

test("AsyncBatcher: 100k items aborted from the tail leave at once and nothing stays behind", async () => {
  const count = 100_000;
  const before = { ...census };
  const { batcher, batches } = doubler({ maxWaitMs: Infinity, maxSize: Infinity });
  const controllers = range(0, count).map(() => new AbortController());
  const calls = controllers.map(({ signal }, n) => batcher.add(n, { signal }).catch((e) => e));
  for (let i = count - 1; i > 0; i--) {
    controllers[i]!.abort(i);
    if (i % 10_000 === 0) assert.equal(batcher.statistics().pending, i);
  }
  await batcher.close();
  const results = await Promise.all(calls);
  assert.deepEqual(batches, [[0]]);
  assert.ok(results.every((result, i) => result === i));
  assert.deepEqual({ ...census }, before);
});

test("AsyncBatcher: a long line keeps its order when many leave it, from anywhere, between batches", async () => {
  await world(async (w) => {
    const { batcher, batches } = doubler({ maxSize: 7 }, () => sleep(10));
    const controllers = range(0, 1_000).map(() => new AbortController());
    const calls = controllers.map(({ signal }, n) =>
      batcher.add(n, n % 5 === 0 ? undefined : { signal }).catch((e) => e)
    );
    await w.idle();
    const gone = new Set<number>();
    for (let turn = 0; batcher.statistics().pending > 0; turn++) {
      for (let n = turn % 3; n < 1_000; n += 3 + turn % 4) {
        if (n % 5 === 0 || batches.some((items) => items.includes(n))) continue;
        controllers[n]!.abort("gone");
        gone.add(n);
      }
      await w.advance(10);
    }
    await batcher.flush();
    const served = batches.flat();
    assert.deepEqual(served, range(0, 1_000).filter((n) => !gone.has(n)));
    assert.ok(batches.slice(0, -1).every((items) => items.length === 7));
    assert.ok(gone.size > 300 && served.length > 200);
    const results = await Promise.all(calls);
    assert.deepEqual(results, range(0, 1_000).map((n) => gone.has(n) ? "gone" : 2 * n));
  });
});

test("AsyncBatcher: each caller goes on in its own async context", async () => {
  const storage = new AsyncLocalStorage<number>();
  const { batcher } = doubler({ maxSize: 3, maxPending: 4 });
  const seen = await Promise.all(
    range(0, 20).map((n) =>
      storage.run(n, async () => {
        await batcher.add(n);
        return storage.getStore();
      })
    ),
  );
  assert.deepEqual(seen, range(0, 20));
});

test("AsyncBatcher: nothing is free once it is closed", async () => {
  await world(async () => {
    const { batcher } = doubler({ concurrency: 2 }, () => sleep(10));
    const item = batcher.add(1);
    assert.equal(batcher.statistics().free, 2);
    const closing = batcher.close();
    assert.deepEqual([batcher.statistics().inUse, batcher.statistics().free], [1, 0]);
    await Promise.all([item, closing]);
    assert.equal(batcher.statistics().free, 0);
  });
});

test("AsyncBatcher.close refuses null for pending", async () => {
  const { batcher } = doubler();
  await assert.rejects(batcher.close({ pending: null } as never), TypeError);
  assert.equal(batcher.closed, false);
});
