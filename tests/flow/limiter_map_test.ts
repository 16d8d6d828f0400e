import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { Deadline, sleep, timeout } from "../../src/cancel/mod.ts";
import { ClosedError, Limiter } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** A source that tells what was asked of it. */
function source(count: number, options: { delayMs?: number; failAt?: number } = {}) {
  const seen = { pulled: 0, returned: 0 };
  const iterator: AsyncIterableIterator<number> = {
    async next() {
      if (options.delayMs) await sleep(options.delayMs);
      if (seen.pulled === options.failAt) throw new Error("source");
      if (seen.pulled === count) return { done: true, value: undefined };
      return { done: false, value: seen.pulled++ };
    },
    // deno-lint-ignore require-await
    async return() {
      seen.returned++;
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return { iterator, seen };
}

test("Limiter.map gives the results in the order of the source, whatever the order of completion", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 3 });
    let [running, most] = [0, 0];
    const results = await limiter.map([50, 10, 30, 20, 40], async (ms) => {
      most = Math.max(most, ++running);
      await sleep(ms);
      running--;
      return ms * 2;
    });
    assert.deepEqual(results, [100, 20, 60, 40, 80]);
    assert.equal(most, 3);
    assert.deepEqual(await limiter.map([], (x) => x), []);
    assert.deepEqual(await limiter.map("abc", (c) => c.toUpperCase()), ["A", "B", "C"]);
    assert.equal(limiter.statistics().inUse, 0);
  });
});

test("Limiter.map pulls the next item only when the one before could start, at most one ahead", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const { iterator, seen } = source(10);
    const mapped = limiter.map(iterator, () => sleep(100));
    await w.idle();
    assert.equal(seen.pulled, 3);
    await w.advance(100);
    assert.equal(seen.pulled, 5);
    await mapped;
    assert.deepEqual([seen.pulled, seen.returned], [10, 0]);
    // With a bound of its own, nothing is pulled that could not start.
    const bounded = source(4);
    const slow = limiter.map(bounded.iterator, () => sleep(100), { concurrency: 1 });
    await w.idle();
    assert.deepEqual([bounded.seen.pulled, limiter.statistics().inUse], [1, 1]);
    await slow;
  });
});

test("Limiter.map asks a slow source for one item at a time and holds no slot meanwhile", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const { iterator } = source(3, { delayMs: 10 });
    const mapped = limiter.map(iterator, (x) => x);
    await w.idle();
    assert.equal(limiter.statistics().inUse, 0);
    assert.deepEqual(await mapped, [0, 1, 2]);
    assert.equal(w.now, 40);
  });
});

test("QU-10 Limiter.map: a failure stops pulling, returns the source once and awaits what runs", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 3 });
    const { iterator, seen } = source(100);
    const error = new Error("item 1");
    const ended: unknown[] = [];
    const mapped = limiter.map(iterator, async (i, { signal }) => {
      if (i === 1) {
        await sleep(10);
        throw error;
      }
      await sleep(1_000, { signal }).catch(() => {});
      await sleep(20); // clean-up
      ended.push([i, signal.reason.name, signal.reason.cause === error]);
    });
    await assert.rejects(mapped, (e) => e === error);
    assert.equal(w.now, 30);
    assert.deepEqual(ended, [[0, "AbortError", true], [2, "AbortError", true]]);
    assert.deepEqual(seen, { pulled: 4, returned: 1 });
    assert.deepEqual([limiter.statistics().inUse, limiter.statistics().waiting], [0, 0]);
  });
});

test("Limiter.map: a source that fails, at once or later, fails it; it is not told to return", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 2 });
    const { iterator, seen } = source(5, { failAt: 2 });
    await assert.rejects(limiter.map(iterator, (x) => x), { message: "source" });
    assert.equal(seen.returned, 0);
    let returned = 0;
    function* failing() {
      try {
        yield 1;
        throw new Error("sync source");
      } finally {
        returned++;
      }
    }
    await assert.rejects(limiter.map(failing(), (x) => x), { message: "sync source" });
    assert.equal(returned, 1);
    await limiter.onIdle();
  });
});

test("Limiter.map: abort rejects at once; items keep their slots until they have settled", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const { iterator, seen } = source(100);
    const controller = new AbortController();
    let disposed = 0;
    const mapped = limiter.map(iterator, async () => {
      await sleep(100); // deaf
      return { [Symbol.dispose]: () => void disposed++ };
    }, { signal: controller.signal });
    await w.advance(150);
    controller.abort("stop");
    assert.equal(await mapped.catch((e) => e), "stop");
    assert.equal(w.now, 150);
    assert.deepEqual([limiter.statistics().inUse, limiter.statistics().waiting], [2, 0]);
    await limiter.onIdle();
    assert.equal(w.now, 200);
    assert.deepEqual(seen, { pulled: 5, returned: 1 });
    await w.idle();
    assert.equal(disposed, 4, "what nobody gets is disposed, early results too");
    const refused = await limiter.map(iterator, (x) => x, { signal: controller.signal }).catch((e) => e);
    assert.equal(refused, "stop");
    assert.equal(seen.pulled, 5);
  });
});

test("Limiter.map takes its turns among the limiter's other calls", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    const order: string[] = [];
    const mapped = limiter.map([1, 2, 3], async (i) => {
      order.push(`item ${i}`);
      await sleep(10);
    });
    const calls = ["a", "b"].map((id) =>
      limiter.run(async () => {
        order.push(id);
        await sleep(10);
      })
    );
    await Promise.all([mapped, ...calls]);
    assert.deepEqual(order, ["item 1", "a", "b", "item 2", "item 3"]);
    assert.equal(w.now, 50);
  });
});

test("Limiter.map keeps its place in line against a stream of other calls while some of its items run", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 2 });
    const order: string[] = [];
    const call = (id: string, ms: number) =>
      limiter.run(async () => {
        order.push(id);
        await sleep(ms);
      });
    const first = call("a", 10);
    const mapped = limiter.map([100, 1], async (ms) => {
      order.push(`item ${ms}`);
      await sleep(ms);
    });
    await sleep(1);
    await Promise.all([first, call("b", 10), call("c", 10), mapped]);
    assert.deepEqual(order, ["a", "item 100", "item 1", "b", "c"]);
  });
});

test("Limiter.map fills up when the limit is raised, and waits while the limiter is paused", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    const mapped = limiter.map([1, 2, 3, 4], () => sleep(10));
    await w.idle();
    limiter.resize(3);
    await w.idle();
    assert.equal(limiter.statistics().inUse, 3);
    limiter.pause();
    await w.advance(10);
    assert.equal(limiter.statistics().inUse, 0);
    limiter.resume();
    await mapped;
    assert.equal(w.now, 20);
  });
});

test("Limiter.close lets a map that was accepted go on to its end, or fails it", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const { iterator } = source(3, { delayMs: 10 });
    const done: number[] = [];
    const mapped = limiter.map(iterator, (i) => void done.push(i));
    await limiter.close();
    assert.deepEqual(done, [0, 1, 2]);
    await mapped;
    const strict = new Limiter({ limit: 1 });
    const other = source(3);
    const failing = strict.map(other.iterator, () => sleep(10)).catch((e) => e);
    await sleep(5);
    await strict.close({ pending: "reject" });
    assert.ok(await failing instanceof ClosedError);
    assert.equal(other.seen.returned, 1);
  });
});

test("Limiter.map runs every item in its caller's async context, whoever makes room", async () => {
  const storage = new AsyncLocalStorage<string>();
  const limiter = new Limiter({ limit: 1 });
  const map = (name: string) =>
    storage.run(name, () =>
      limiter.map([1, 2, 3], async () => {
        await Promise.resolve();
        return storage.getStore();
      }));
  const both = Promise.all([map("a"), map("b")]);
  storage.run("resizer", () => limiter.resize(2));
  assert.deepEqual(await both, [["a", "a", "a"], ["b", "b", "b"]]);
  const paused = new Limiter({ limit: 1 });
  paused.pause();
  const waiting = storage.run("c", () => paused.map([1, 2], () => storage.getStore()));
  storage.run("resumer", () => paused.resume());
  assert.deepEqual(await waiting, ["c", "c"]);
});

test("Limiter.map refuses what it can't map", async () => {
  const limiter = new Limiter({ limit: 1, name: "m" });
  await assert.rejects(limiter.map(5 as never, (x) => x), {
    name: "TypeError",
    message: 'Cannot map through limiter "m" as source must be iterable or async iterable: received 5',
  });
  await assert.rejects(limiter.map(null as never, (x) => x), TypeError);
  await assert.rejects(limiter.map([1], undefined as never), TypeError);
  await assert.rejects(limiter.map([1], (x) => x, { concurrency: 0 }), RangeError);
});

test("Limiter.map fails, and gives its slot back, when a result can't even be asked whether it is a promise", async () => {
  const limiter = new Limiter({ limit: 1 });
  const strict = new Proxy({}, {
    get() {
      throw new Error("no such property");
    },
  });
  for (const before of [[], [1]]) {
    const mapping = limiter.map([...before, 0], (n) => n === 0 ? strict : Promise.resolve(n));
    await assert.rejects(mapping, { message: "no such property" });
    assert.equal(limiter.statistics().inUse, 0);
  }
});

test("Limiter.map fails when its source does not answer as an iterator must", async () => {
  const limiter = new Limiter({ limit: 1 });
  const broken = { [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve(undefined) }) };
  await assert.rejects(limiter.map(broken as unknown as AsyncIterable<number>, (n) => n), TypeError);
  assert.equal(limiter.statistics().inUse, 0);
});

test("Limiter.map: items know the deadline of the whole", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const left = await timeout(500, async ({ signal }) => {
      await sleep(100);
      return await limiter.map([1, 2], async (_, context) => {
        await sleep(50);
        return Deadline.of(context.signal).remainingMs;
      }, { signal });
    });
    assert.deepEqual(left, [350, 300]);
  });
});

test("Limiter.close aborts the items of a map that run, also when those that wait are still to run", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const begun: number[] = [];
    const map = limiter.map([1, 2, 3], async (item, { signal }) => {
      begun.push(item);
      await sleep(1_000, { signal });
    });
    const call = limiter.run(() => "still served");
    await w.idle();
    const closing = limiter.close({ running: "abort", pending: "run", reason: "over" });
    assert.equal(await map.catch((error) => error), "over");
    assert.equal(await call, "still served");
    await closing;
    assert.deepEqual([w.now, begun], [0, [1, 2]]);
  });
});
