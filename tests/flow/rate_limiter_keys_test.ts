import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RateLimiter, RateLimitError } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

test("RateLimiter: keys have the limit each, and don't hold each other up", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100 });
    const order: string[] = [];
    await Promise.all(["a", "b", "a", "b", "", "a"].map(async (key) => {
      await limiter.acquire({ key });
      order.push(`${key}@${w.now}`);
    }));
    await limiter.acquire();
    assert.deepEqual(order, ["a@0", "b@0", "@0", "a@100", "b@100", "a@200"]);
    assert.equal(w.now, 200);
    assert.equal(w.timers.length, 0);
  });
});

test("RateLimiter: all keys that wait share one timer, and leave nothing behind", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100 });
    const controller = new AbortController();
    const waits: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      const key = `user/${i}`;
      await limiter.acquire({ key });
      const signal = i % 2 === 0 ? controller.signal : undefined;
      waits.push(limiter.acquire({ key, signal }).catch((reason) => reason));
      await w.advance(0.5);
    }
    assert.equal(w.timers.length, 1);
    assert.equal(limiter.statistics().waiting, 100);
    controller.abort("stop");
    const outcomes = await Promise.all(waits);
    assert.equal(outcomes.filter((one) => one === "stop").length, 50);
    assert.equal(w.timers.length, 0);
    const { waiting, granted, aborted } = limiter.statistics();
    assert.deepEqual({ waiting, granted, aborted }, { waiting: 0, granted: 150, aborted: 50 });
  });
});

test("RL-10 RateLimiter: keys that are used once take bounded memory", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, maxKeys: 1_000 });
    for (let i = 0; i < 100_000; i++) {
      assert.ok(limiter.tryAcquire({ key: `key/${i}` }));
      if (i % 900 === 899) await w.advance(100);
    }
    assert.ok(limiter.statistics().keys <= 1_000);
  });
  await world(async (w) => {
    // Without a bound, too, what is as good as new is forgotten as new keys come.
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, maxKeys: Infinity });
    for (let i = 0; i < 10_000; i++) {
      limiter.tryAcquire({ key: `key/${i}` });
      await w.advance(1);
    }
    assert.ok(limiter.statistics().keys <= 200, `${limiter.statistics().keys}`);
  });
});

test("RL-10 RateLimiter: a throttled key gets no fresh burst by many others coming", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, maxKeys: 10, name: "mail" });
    let granted = 0;
    for (let i = 0; i < 10; i++) if (limiter.tryAcquire({ key: "greedy" })) granted++;
    for (let i = 0; i < 1_000; i++) limiter.tryAcquire({ key: `other/${i}` });
    for (let i = 0; i < 10; i++) if (limiter.tryAcquire({ key: "greedy" })) granted++;
    assert.equal(granted, 10);
    // All ten that may be known are throttled: an eleventh is refused, until the first of them is not.
    const error = await limiter.acquire({ key: "new" }).catch((error) => error);
    assert.ok(error instanceof RateLimitError);
    assert.equal(
      error.message,
      'Cannot acquire from rate limiter "mail" for key "new": all 10 keys there may be are in use',
    );
    assert.equal(error.retryAfterMs, 100);
    assert.equal(limiter.waitMs({ key: "new" }), 100);
    assert.throws(() => limiter.reserve({ key: "new" }), RateLimitError);
    await w.advance(100);
    await limiter.acquire({ key: "new" });
    assert.equal(limiter.tryAcquire({ key: "greedy", weight: 2 }), false);
  });
});

test("RateLimiter: a key that somebody waits for, or that is paused, is not forgotten", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, maxKeys: 2 });
    limiter.pauseFor(10_000, { key: "paused" });
    assert.equal(limiter.tryAcquire({ key: "paused" }), false);
    await w.advance(5_000);
    for (let i = 0; i < 5; i++) {
      assert.ok(limiter.tryAcquire({ key: `${i}` }));
      await w.advance(200);
    }
    assert.equal(limiter.tryAcquire({ key: "paused" }), false);
    const wait = limiter.acquire({ key: "paused" }).then(() => w.now);
    for (let i = 0; i < 5; i++) {
      limiter.tryAcquire({ key: `${i}` });
      await w.advance(1_000);
    }
    assert.equal(await wait, 10_000);
    limiter.resume({ key: "paused" });
    await w.advance(1_000);
    // Both can be forgotten by now.
    assert.ok(limiter.tryAcquire({ key: "x" }));
    assert.ok(limiter.tryAcquire({ key: "y" }));
  });
});

test("RateLimiter: a pause of one key is none of the others; one of all is one of each", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    const headers = new Headers({ "RateLimit": '"default";r=0;t=3' });
    assert.equal(limiter.heed({ headers }, { key: "a" }), 3_000);
    assert.equal(limiter.tryAcquire({ key: "a" }), false);
    assert.ok(limiter.tryAcquire({ key: "b" }));
    limiter.pauseFor(1_000);
    assert.equal(limiter.tryAcquire({ key: "b" }), false);
    await limiter.acquire({ key: "b" });
    assert.equal(w.now, 1_000);
    await limiter.acquire({ key: "a" });
    assert.equal(w.now, 3_000);
  });
});

test("RateLimiter: penalties, drains and reservations are of their key", async () => {
  await world(() => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    limiter.penalize(4, { key: "a" });
    limiter.drain({ key: "b" });
    const reserved = limiter.reserve({ key: "c", weight: 10 });
    const keys = ["a", "b", "c", "d"].map((key) => limiter.available({ key }));
    assert.deepEqual(keys, [6, 0, 0, 10]);
    reserved.cancel();
    assert.equal(limiter.available({ key: "c" }), 10);
    assert.equal(limiter.available(), 10);
  });
});

test("RateLimiter: forgetting keys changes no answer (as one that never forgets)", async () => {
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ key: fc.nat(30).map(String), weight: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 2, arbitrary: fc.record({ advanceMs: fc.integer({ min: 1, max: 120 }) }) },
  );
  let steps = 0;
  for (const algorithm of ["gcra", "slidingLog", "slidingCounter", "fixedWindow"] as const) {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 400, size: "max" }), (list) =>
        world(async (w) => {
          const rule = { limit: 4, intervalMs: 100, algorithm };
          const bounded = new RateLimiter({ ...rule, maxKeys: 8 });
          const reference = new Map<string, RateLimiter>();
          for (const one of list) {
            steps++;
            if ("advanceMs" in one) {
              await w.advance(one.advanceMs);
              continue;
            }
            const { key, weight } = one;
            let own = reference.get(key);
            if (own === undefined) reference.set(key, own = new RateLimiter(rule));
            // One of its own throttled keys each, or refused as a new key: never more than the reference.
            const throttled = [...reference].filter(([, limiter]) => limiter.available() < 4).length;
            const expected = own.waitMs({ weight }) === 0;
            const granted = bounded.tryAcquire({ key, weight });
            if (granted) {
              assert.ok(expected, `${key} was given what it should not have`);
              assert.ok(own.tryAcquire({ weight }));
            } else if (expected) {
              assert.ok(throttled >= 8 || algorithm === "slidingCounter", `${key} was refused in vain`);
            }
            assert.ok(bounded.statistics().keys <= 8);
          }
        }, { auto: false })),
      { seed: 7, numRuns: 40 },
    );
  }
  assert.ok(steps > 20_000, `${steps} steps`);
});
