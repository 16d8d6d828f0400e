import assert from "node:assert/strict";
import { test } from "node:test";
import { ClosedError, Limiter, RateLimiter, RateLimitError, TimeoutError } from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

function limiters(global: object, user: object) {
  const parent = new RateLimiter({ limit: 10, intervalMs: 1_000, ...global });
  return { parent, users: new RateLimiter({ limit: 10, intervalMs: 1_000, parent, ...user }) };
}

test("RateLimiter with a parent lets through what both let through, and takes from both", async () => {
  await world(() => {
    const { parent, users } = limiters({ burst: 3 }, { burst: 2 });
    const granted = ["a", "a", "a", "b", "b"].map((key) => users.tryAcquire({ key }));
    assert.deepEqual(granted, [true, true, false, true, false]);
    assert.equal(parent.available(), 0);
    assert.equal(users.available({ key: "b" }), 1);
    const { granted: above } = parent.statistics();
    assert.equal(above, 3);
  });
});

test("RateLimiter: a refusal takes nothing from anybody, whichever of them refuses", async () => {
  await world(async () => {
    const grand = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 5 });
    const { parent, users } = limiters({ burst: 4, parent: grand }, { burst: 4 });
    const left = () => [grand.available(), parent.available(), users.available({ key: "a" })];
    grand.drain();
    assert.equal(users.tryAcquire({ key: "a" }), false);
    await assert.rejects(users.acquire({ key: "a", maxWaitMs: 99 }), { retryAfterMs: 100 });
    assert.throws(() => users.reserve({ key: "a" }), RateLimitError);
    assert.deepEqual(left(), [0, 4, 4]);
    grand.resize({ limit: 10, burst: 9 });
    assert.equal(users.tryAcquire({ key: "a", weight: 4 }), true);
    assert.deepEqual(left(), [0, 0, 0]);
    await assert.rejects(users.acquire({ weight: 5 }), RangeError);
  });
});

test("RateLimiter: a key that is throttled by itself holds nobody up at the parent", async () => {
  await world(async (w) => {
    const { users } = limiters({ burst: 10 }, { limit: 1, burst: 1 });
    assert.ok(users.tryAcquire({ key: "a" }));
    const slow = users.acquire({ key: "a" }).then(() => w.now);
    await users.acquire({ key: "b" });
    assert.equal(w.now, 0);
    assert.equal(await slow, 1_000);
  });
});

test("RateLimiter: keys that wait for the parent take turns, with those who wait for it directly", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ limit: 10, burst: 1 }, { limit: 100, burst: 100 });
    parent.drain();
    const order: string[] = [];
    const call = async (name: string, wait: Promise<void>): Promise<void> => {
      await wait;
      order.push(`${name}@${w.now}`);
    };
    await Promise.all([
      call("a1", users.acquire({ key: "a" })),
      call("a2", users.acquire({ key: "a" })),
      call("direct", parent.acquire()),
      call("b1", users.acquire({ key: "b" })),
      call("b2", users.acquire({ key: "b" })),
    ]);
    assert.deepEqual(order, ["a1@100", "direct@200", "b1@300", "a2@400", "b2@500"]);
    assert.equal(w.timers.length, 0);
    assert.deepEqual([users.statistics().waiting, parent.statistics().waiting], [0, 0]);
  });
});

test("RateLimiter: who gives up while waiting for the parent makes way, there too", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ burst: 5 }, { limit: 100, burst: 100 });
    parent.drain();
    const controller = new AbortController();
    const heavy = users.acquire({ key: "a", weight: 5, signal: controller.signal });
    const behind = users.acquire({ key: "a" }).then(() => w.now);
    const other = users.acquire({ key: "b" }).then(() => w.now);
    await w.advance(50);
    controller.abort("stop");
    await assert.rejects(heavy, (error) => error === "stop");
    assert.deepEqual(await Promise.all([behind, other]), [100, 200]);
    assert.equal(users.available({ key: "a" }), 100);
  });
});

test("RateLimiter: a pause of a key takes it out of the parent's line until it is over", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ burst: 2 }, { limit: 100, burst: 100 });
    parent.drain();
    const paused = users.acquire({ key: "a", weight: 2 }).then(() => w.now);
    const other = users.acquire({ key: "b" }).then(() => w.now);
    users.pauseFor(450, { key: "a" });
    assert.deepEqual(await Promise.all([paused, other]), [450, 100]);
  });
});

test("RateLimiter: a pause of the parent is one of all below", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({}, {});
    parent.pauseFor(700);
    assert.equal(users.tryAcquire({ key: "a" }), false);
    assert.equal(users.waitMs({ key: "a" }), 700);
    await users.run(() => {}, { key: "a" });
    assert.equal(w.now, 700);
  });
});

test("RateLimiter: with a parent, maxWaitMs is kept although others may get in first there", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ burst: 1 }, { limit: 10, burst: 1 });
    assert.ok(users.tryAcquire({ key: "a" }));
    // The own limit lets it through at 100, and the parent could, too.
    const wait = users.acquire({ key: "a", maxWaitMs: 100 });
    const others = [1, 2].map(() => parent.acquire());
    await assert.rejects(wait, TimeoutError);
    assert.equal(w.now, 100);
    await Promise.all(others);
    assert.equal(w.now, 200);
  });
});

test("RateLimiter.reserve with a parent promises what can be had at once, and gives it back to both", async () => {
  await world(async () => {
    const { parent, users } = limiters({ burst: 3 }, { burst: 5 });
    const reserved = users.reserve({ key: "a", weight: 3 });
    assert.deepEqual([parent.available(), users.available({ key: "a" })], [0, 2]);
    const wait = parent.acquire();
    reserved.cancel();
    await wait;
    assert.deepEqual([parent.available(), users.available({ key: "a" })], [2, 5]);
  });
});

test("RateLimiter: closing the parent sends those away who wait for it, and refuses those below", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ burst: 1 }, {});
    parent.drain();
    const waits = ["a", "a", "b"].map((key) => users.acquire({ key }));
    parent.close();
    for (const wait of waits) await assert.rejects(wait, ClosedError);
    await assert.rejects(users.acquire({ key: "c" }), ClosedError);
    assert.equal(users.tryAcquire({ key: "c" }), false);
    assert.equal(users.closed, false);
    assert.equal(w.timers.length, 0);
  });
});

test("RateLimiter: closing the parent sends those away, too, who still wait for their own limit", async () => {
  await world(async (w) => {
    const root = new RateLimiter({ limit: 1, intervalMs: 10, name: "root" });
    const parent = new RateLimiter({ limit: 1, intervalMs: 20, parent: root });
    const kid = new RateLimiter({ limit: 1, intervalMs: 100, parent });
    await kid.acquire();
    await w.advance(50);
    const waits = [
      kid.acquire(),
      kid.run(() => "ran"),
      parent.acquire({ key: "a" }),
      kid.acquire({ key: "b" }),
    ];
    const ends = Promise.allSettled(waits);
    const reason = new Error("over");
    root.close(reason);
    const settled = await ends;
    assert.equal(w.now, 50);
    assert.deepEqual(settled.map((end) => end.status === "rejected" && end.reason), [
      reason,
      reason,
      false,
      reason,
    ]);
    assert.equal(kid.tryAcquire(), false);
    assert.equal(kid.tryAcquire({ key: "new" }), false);
    assert.equal(kid.waitMs(), Infinity);
    assert.throws(() => kid.reserve(), (error) => error === reason);
    await assert.rejects(kid.acquire(), (error) => error === reason);
    assert.deepEqual([kid.statistics().waiting, parent.statistics().waiting, w.timers.length], [0, 0, 0]);
    assert.equal(root.statistics().granted, 2);
  }, { auto: false });
});

test("RateLimiter: ten thousand keys that wait for the parent at once are let in one by one", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ limit: 1_000, burst: 1_000 }, {});
    parent.pauseFor(1_000);
    const waits: Promise<unknown>[] = [];
    for (let i = 0; i < 10_000; i++) waits.push(users.acquire({ key: `${i}` }));
    for (let i = 0; i < 1_000; i++) waits.push(users.acquire({ key: `${i}` }));
    await Promise.all(waits);
    assert.equal(w.now, 11_000);
    assert.equal(users.statistics().granted, 11_000);
  });
});

test("RateLimiter: a parent that is resized refuses what can never fit it, and nobody else", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ burst: 10 }, { burst: 10 });
    parent.drain();
    const heavy = ["a", "b"].map((key) => users.acquire({ key, weight: 8 }));
    const light = ["a", "b"].map((key) => users.acquire({ key }).then(() => w.now));
    const behind = users.acquire({ key: "a", weight: 9 });
    for (const one of [...heavy, behind]) one.catch(() => {});
    parent.resize({ burst: 5 });
    for (const one of [...heavy, behind]) await assert.rejects(one, RangeError);
    assert.deepEqual(await Promise.all(light), [600, 700]);
    await assert.rejects(users.acquire({ key: "c", weight: 6 }), RangeError);
    assert.equal(w.timers.length, 0);
  });
});

test("RateLimiter: as many keys as you like are let in by the parent at once, without a stack as deep", async () => {
  await world(async () => {
    const { parent, users } = limiters({ limit: 100_000, burst: 100_000 }, {});
    parent.pauseFor(Infinity);
    const waits: Promise<unknown>[] = [];
    for (let i = 0; i < 40_000; i++) waits.push(users.acquire({ key: `${i % 20_000}` }));
    parent.resume();
    await Promise.all(waits);
    assert.equal(parent.available(), 60_000);
  });
});

test("RateLimiter: whatever an observer does when a line joins that of the parent, everybody is served in time", async () => {
  await world(async (w) => {
    const { parent, users } = limiters({ name: "global", burst: 1 }, {});
    const failed: unknown[] = [];
    const took = parent.reserve();
    const act = (record: ObserverRecord): void => {
      if (record.kind !== "wait" || record.name !== "global") return;
      try {
        took.cancel();
      } catch (error) {
        failed.push(error);
      }
    };
    using _watching = observe({ record: act });
    const served = await Promise.all(["a", "b"].map((key) => users.acquire({ key }).then(() => w.now)));
    assert.deepEqual([failed, served], [[], [0, 100]]);
    assert.deepEqual([parent.statistics().waiting, w.timers.length], [0, 0]);
  });
});

test("RateLimiter behind a limiter of one slot serves by priority, and a turn is lost to nobody who gives up", async () => {
  await world(async (w) => {
    const rate = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    const front = new Limiter({ limit: 1 });
    const served: [string, number][] = [];
    const controller = new AbortController();
    const call = (id: string, priority: number, signal?: AbortSignal): Promise<unknown> =>
      front.run(({ signal }) => rate.acquire({ signal }), { priority, signal })
        .then(() => served.push([id, w.now]), (error) => error);
    const calls = [
      call("first", 0),
      call("gone", 0, controller.signal),
      call("bulk", 0),
      call("urgent", 5),
      call("most urgent, gone", 9, controller.signal),
    ];
    await w.advance(50);
    controller.abort("away");
    await Promise.all(calls);
    assert.deepEqual(served, [["first", 0], ["urgent", 100], ["bulk", 200]]);
    assert.deepEqual([rate.statistics().waiting, front.statistics().inUse], [0, 0]);
  }, { auto: true });
});
