import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import {
  MemoryRateStore,
  RateLimitError,
  type RateStore,
  type RateStoreRequest,
  SharedRateLimiter,
  TimeoutError,
} from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

const rule = { limit: 10, intervalMs: 1_000, burst: 1, name: "mail" };

/** A store that takes its time, over the one in memory. */
class SlowStore implements RateStore {
  readonly #inner = new MemoryRateStore();
  readonly back: RateStoreRequest[] = [];
  readonly asked: string[] = [];
  readonly delayMs: number;

  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  async take(request: RateStoreRequest): Promise<number> {
    this.asked.push(request.key);
    await sleep(this.delayMs);
    return this.#inner.take(request);
  }

  giveBack(request: RateStoreRequest): void {
    this.back.push(request);
  }
}

test("SharedRateLimiter counts by a key in the store that is the same for no other name and key", async () => {
  const asked: string[] = [];
  const store = { take: ({ key }: RateStoreRequest) => asked.push(key) * 0 };
  const parts = [undefined, "", "%", "/", "a", "a/b", "b/c", "c", "a%2Fb", "%25"];
  for (const name of parts) {
    const limiter = new SharedRateLimiter({ ...rule, store, name });
    for (const key of parts) await limiter.acquire({ key });
  }
  assert.equal(new Set(asked).size, parts.length ** 2);
  assert.ok(["/", "a/", "a/c", "a/b%2Fc", "a%2Fb/c", "a/%"].every((key) => asked.includes(key)));
});

test("SharedRateLimiter refuses bad options where it is made, and bad calls", async () => {
  const store = new MemoryRateStore();
  for (
    const options of [{}, { ...rule }, { ...rule, store: {} }, undefined, { ...rule, store, limit: "1" }]
  ) {
    assert.throws(() => new SharedRateLimiter(options as never), TypeError);
  }
  for (const wrong of [{ limit: 0 }, { intervalMs: 0 }, { intervalMs: Infinity }, { burst: 0 }]) {
    assert.throws(() => new SharedRateLimiter({ ...rule, store, ...wrong }), RangeError);
  }
  assert.throws(() => new MemoryRateStore({ maxKeys: 0 }), RangeError);
  const limiter = new SharedRateLimiter({ ...rule, store });
  await assert.rejects(limiter.acquire({ weight: 2 }), RangeError);
  await assert.rejects(limiter.acquire({ maxWaitMs: NaN }), RangeError);
  await assert.rejects(limiter.acquire({ key: 5 as never }), TypeError);
  await assert.rejects(limiter.run(5 as never), TypeError);
  const lying = new SharedRateLimiter({ ...rule, store: { take: () => NaN } });
  await assert.rejects(lying.acquire(), RangeError);
  const failing = new SharedRateLimiter({ ...rule, store: { take: () => Promise.reject("down") } });
  await assert.rejects(failing.acquire(), (error) => error === "down");
});

test("SharedRateLimiter: limiters with one store keep one limit, each in the order of its calls", async () => {
  await world(async (w) => {
    const store = new SlowStore(1);
    const [here, there] = [
      new SharedRateLimiter({ ...rule, store }),
      new SharedRateLimiter({ ...rule, store }),
    ];
    const served: number[] = [];
    const order: string[] = [];
    const call = async (limiter: SharedRateLimiter, name: string): Promise<void> => {
      await limiter.acquire({ key: "ada" });
      served.push(w.now);
      order.push(name);
    };
    await Promise.all([
      call(here, "h1"),
      call(here, "h2"),
      call(there, "t1"),
      call(here, "h3"),
      call(there, "t2"),
      here.acquire({ key: "bob" }),
    ]);
    for (let i = 1; i < served.length; i++) assert.ok(served[i]! - served[i - 1]! >= 99, `${served}`);
    assert.deepEqual(order.filter((name) => name[0] === "h"), ["h1", "h2", "h3"]);
    assert.deepEqual(order.filter((name) => name[0] === "t"), ["t1", "t2"]);
    assert.deepEqual(new Set(store.asked), new Set(["mail/ada", "mail/bob"]));
    const { keys, granted, refused } = here.statistics();
    assert.deepEqual({ keys, granted, refused }, { keys: 0, granted: 4, refused: 0 });
  });
});

test("SharedRateLimiter: what the store says to be too late is refused, also to those behind", async () => {
  await world(async (w) => {
    const limiter = new SharedRateLimiter({ ...rule, store: new MemoryRateStore() });
    await limiter.acquire({ key: "ada" });
    const error = await limiter.acquire({ key: "ada", maxWaitMs: 50 }).catch((error) => error);
    assert.ok(error instanceof RateLimitError);
    assert.equal(error.retryAfterMs, 100);
    assert.equal(
      error.message,
      'Cannot acquire from shared rate limiter "mail" for key "ada" within 50 ms: next free in 100 ms',
    );
    const waiting = limiter.acquire({ key: "ada" });
    await w.advance(10);
    await assert.rejects(limiter.acquire({ key: "ada", maxWaitMs: 50 }), { retryAfterMs: 90 });
    using limit = timeout(20);
    await assert.rejects(limiter.acquire({ key: "ada", signal: limit.signal }), {
      message: /before the deadline: next free in 90 ms$/,
    });
    assert.equal(w.now, 10);
    await assert.rejects(limiter.acquire({ key: "ada", timeoutMs: 50 }), TimeoutError);
    assert.equal(w.now, 60);
    await waiting;
    assert.equal(w.now, 100);
    assert.equal(limiter.statistics().refused, 3);
  });
});

test("SharedRateLimiter: what the store gives to somebody who has gone is given back", async () => {
  await world(async (w) => {
    const store = new SlowStore(10);
    const limiter = new SharedRateLimiter({ ...rule, store });
    const controller = new AbortController();
    const gone = limiter.acquire({ signal: controller.signal });
    const behind = limiter.acquire().then(() => w.now);
    await w.advance(5);
    controller.abort(null);
    await assert.rejects(gone, (error) => error === null);
    assert.equal(w.now, 5);
    await behind;
    assert.deepEqual(store.back.map(({ key, weight }) => [key, weight]), [["mail/", 1]]);
    assert.equal(limiter.statistics().granted, 1);
    const aborted = AbortSignal.abort("no");
    await assert.rejects(limiter.acquire({ signal: aborted }), (error) => error === "no");
  });
});

test("SharedRateLimiter.run runs the work in its turn, within its limits", async () => {
  await world(async (w) => {
    const limiter = new SharedRateLimiter({ ...rule, store: new MemoryRateStore() });
    assert.deepEqual(await Promise.all([1, 2].map((n) => limiter.run(() => n))), [1, 2]);
    assert.equal(w.now, 100);
    const slow = limiter.run(({ signal }) => sleep(1_000, { signal }), { timeoutMs: 150 });
    await assert.rejects(slow, TimeoutError);
    assert.equal(w.now, 250);
  });
});

test("SharedRateLimiter answers whoever gives up at once, however long the store takes to take something back", async () => {
  await world(async (w) => {
    const controller = new AbortController();
    const store: RateStore = {
      take: () => {
        // In the turn in which the store gives, and before the caller knows.
        queueMicrotask(() => controller.abort("away"));
        return 0;
      },
      giveBack: () => new Promise(() => {}),
    };
    const limiter = new SharedRateLimiter({ ...rule, store });
    await assert.rejects(limiter.acquire({ signal: controller.signal }), (error) => error === "away");
    assert.equal(w.now, 0);
  });
});

test("SharedRateLimiter.run gives back what it took when it is given up before the work has begun", async () => {
  await world(async (w) => {
    const store = new MemoryRateStore();
    const limiter = new SharedRateLimiter({ ...rule, store });
    for (let turns = 0; turns < 12; turns++) {
      const controller = new AbortController();
      let began = false;
      const call = limiter.run(() => void (began = true), { signal: controller.signal, key: `${turns}` });
      for (let i = 0; i < turns; i++) await undefined;
      controller.abort("away");
      const end = await call.catch((error) => error);
      const again = limiter.acquire({ key: `${turns}` }).then(() => w.now);
      const before = w.now;
      assert.equal(await again - before, began ? 100 : 0, `${end} after ${turns} turns`);
    }
    const { granted, aborted, waiting, keys } = limiter.statistics();
    assert.deepEqual({ waiting, keys }, { waiting: 0, keys: 0 });
    assert.ok(aborted > 2 && granted >= 12);
  });
});

test("MemoryRateStore says what is wrong with a request", () => {
  const store = new MemoryRateStore();
  const wrong = [
    [undefined, "request must be an object: received undefined"],
    ["a", 'request must be an object: received "a"'],
    [{ weight: 1, limit: 1, intervalMs: 1, burst: 1 }, "key must be a string: received undefined"],
  ] as const;
  for (const [request, why] of wrong) {
    const error = (doing: string) => ({ name: "TypeError", message: `Cannot ${doing} as ${why}` });
    assert.throws(() => store.take(request as never), error("take from rate store"));
    assert.throws(() => store.giveBack(request as never), error("give back to rate store"));
  }
});

test("MemoryRateStore gives back what tens of thousands of keys took without looking at all of it each time", async () => {
  await world(() => {
    const store = new MemoryRateStore();
    const requestOf = (i: number) => ({ key: `${i}`, weight: 1, limit: 1, intervalMs: 60_000, burst: 1 });
    const count = 50_000;
    for (let i = 0; i < count; i++) assert.equal(store.take(requestOf(i)), 0);
    for (let i = 0; i < count; i++) store.giveBack(requestOf(i));
    for (let i = 0; i < count; i++) assert.equal(store.take(requestOf(i)), 0);
  });
});

test("MemoryRateStore gives back as if it had never been taken, once, and never more than was", async () => {
  await world(async (w) => {
    const store = new MemoryRateStore();
    const request = { key: "a", weight: 1, limit: 10, intervalMs: 1_000, burst: 3 };
    const all = (): number => {
      let taken = 0;
      while (store.take(request) === 0) taken++;
      return taken;
    };
    assert.equal(all(), 3);
    store.giveBack(request);
    store.giveBack({ ...request, key: "b" });
    store.giveBack({ ...request, weight: 2 });
    assert.equal(all(), 1);
    for (let i = 0; i < 9; i++) store.giveBack(request);
    assert.equal(all(), 3);
    await w.advance(300);
    store.giveBack(request); // made up for by now
    assert.equal(all(), 3);
    assert.equal(store.take(request), 100);
  });
});

test("SharedRateLimiter counts how calls ended, and tells observers", async () => {
  await world(async () => {
    const records: ObserverRecord[] = [];
    using _watching = observe({ record: (record) => void records.push(record) });
    let answer: () => number | Promise<number> = () => 0;
    const limiter = new SharedRateLimiter({ ...rule, store: { take: () => answer() } });
    const ends = (call: Promise<unknown>): Promise<unknown> => call.catch((error) => error);
    await limiter.acquire({ key: "ada" });
    await ends(limiter.acquire({ signal: AbortSignal.abort("early") }));
    answer = () => 50;
    await ends(limiter.acquire({ maxWaitMs: 10 }));
    const late = limiter.acquire({ timeoutMs: 20 });
    assert.equal(limiter.statistics().waiting, 1);
    assert.ok(await ends(late) instanceof TimeoutError);
    answer = () => Promise.reject("down");
    await ends(limiter.acquire());
    assert.deepEqual(limiter.statistics(), {
      keys: 0,
      waiting: 0,
      granted: 1,
      aborted: 1,
      timedOut: 1,
      refused: 1,
      failed: 1,
    });
    const told = records.filter(({ structure }) => structure === "shared rate limiter");
    assert.deepEqual(told.map(({ kind, name, data }) => [kind, name, data]), [
      ["acquire", "mail", { key: "ada", weight: 1 }],
      ["refuse", "mail", { weight: 1, retryAfterMs: 50 }],
    ]);
  });
});
