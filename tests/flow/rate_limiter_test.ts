import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import {
  ClosedError,
  QueueFullError,
  RateLimiter,
  type RateLimiterAlgorithm,
  type RateLimiterOptions,
  RateLimitError,
  retry,
  TimeoutError,
  transformer,
} from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

const STRICT = ["gcra", "tokenBucket", "slidingLog", "slidingCounter"] as const;
const ALL: readonly RateLimiterAlgorithm[] = [...STRICT, "fixedWindow"];

function take(limiter: RateLimiter, times: number): number {
  let granted = 0;
  for (let i = 0; i < times; i++) if (limiter.tryAcquire()) granted++;
  return granted;
}

test("RateLimiter refuses bad options where it is made", () => {
  const good = { limit: 1, intervalMs: 1_000 };
  const bad: [object | undefined | null, typeof TypeError | typeof RangeError][] = [
    [undefined, TypeError],
    [null, TypeError],
    [{ intervalMs: 1 }, TypeError],
    [{ ...good, limit: "5" }, TypeError],
    ...[0, -1, 1.5, NaN, Infinity].map((limit) =>
      [{ ...good, limit }, RangeError] as [object, typeof RangeError]
    ),
    ...[0, -1, NaN, Infinity].map((intervalMs) =>
      [{ ...good, intervalMs }, RangeError] as [object, typeof RangeError]
    ),
    [{ ...good, intervalMs: "1s" }, TypeError],
    [{ ...good, burst: 0 }, RangeError],
    [{ ...good, algorithm: "leaky" }, RangeError],
    [{ ...good, algorithm: "fixedWindow", burst: 2 }, RangeError],
    [{ ...good, algorithm: "slidingLog", adaptive: true }, RangeError],
    [{ ...good, parent: {} }, TypeError],
    [{ ...good, maxKeys: 0 }, RangeError],
    [{ ...good, maxQueue: -1 }, RangeError],
    [{ ...good, name: 5 }, TypeError],
    [{ ...good, adaptive: { decrease: 1 } }, RangeError],
    [{ ...good, adaptive: { minLimit: 0 } }, RangeError],
  ];
  for (const [options, Class] of bad) {
    assert.throws(() => new RateLimiter(options as RateLimiterOptions), Class, JSON.stringify(options));
  }
  assert.throws(() => new RateLimiter({ ...good, limit: 0, name: "mail" }), {
    message: 'Cannot create rate limiter "mail" as limit must be an integer >= 1: received 0',
  });
});

test("RL-06 RateLimiter: a wrong weight, or one above the burst, is refused and never waits", async () => {
  const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 3, name: "x" });
  for (const weight of [0, -1, NaN, 1.5, 4]) {
    await assert.rejects(limiter.acquire({ weight }), RangeError);
    await assert.rejects(limiter.run(() => 1, { weight }), RangeError);
    assert.throws(() => limiter.tryAcquire({ weight }), RangeError);
    assert.throws(() => limiter.reserve({ weight }), RangeError);
  }
  await assert.rejects(limiter.acquire({ weight: 4 }), {
    message: 'Cannot acquire from rate limiter "x" as weight must be at most its burst of 3: received 4',
  });
  const wrong = ["5", null, {}] as unknown as number[];
  for (const value of wrong) {
    await assert.rejects(limiter.acquire({ weight: value }), TypeError);
    await assert.rejects(limiter.acquire({ maxWaitMs: value }), TypeError);
    await assert.rejects(limiter.acquire({ timeoutMs: value }), TypeError);
  }
  await assert.rejects(limiter.acquire({ key: 5 as unknown as string }), TypeError);
  await assert.rejects(limiter.acquire(null as never), TypeError);
  await assert.rejects(limiter.acquire({ signal: {} as AbortSignal }), TypeError);
  await assert.rejects(limiter.run(undefined as never), TypeError);
  const thrower = {
    get weight(): number {
      throw new Error("mine");
    },
  };
  await assert.rejects(limiter.acquire(thrower), { message: "mine" });
  assert.equal(limiter.available(), 3);
  assert.equal(limiter.statistics().waiting, 0);
});

test("RateLimiter.tryAcquire: a burst at once, then evenly, to the moment", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 3 });
    assert.equal(take(limiter, 5), 3);
    await w.advance(99);
    assert.equal(take(limiter, 1), 0);
    await w.advance(1);
    assert.equal(take(limiter, 2), 1);
    await w.advance(10_000);
    assert.equal(take(limiter, 5), 3);
    const { granted, refused, available } = limiter.statistics();
    assert.deepEqual({ granted, refused, available }, { granted: 7, refused: 6, available: 0 });
  });
});

test("RateLimiter has a burst of its limit unless told otherwise", async () => {
  await world(() => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    assert.equal(take(limiter, 20), 10);
    assert.equal(limiter.waitMs({ weight: 5 }), 500);
  });
});

test("RateLimiter gives all of its burst, whatever the fractions", async () => {
  await world(async (w) => {
    for (const [limit, intervalMs] of [[10, 7], [3, 1_000], [7, 0.1], [1_000, 1 / 3], [49, 1.1]] as const) {
      const limiter = new RateLimiter({ limit, intervalMs });
      await w.advance(0.3);
      assert.equal(take(limiter, limit + 1), limit, `${limit} per ${intervalMs}`);
      for (let i = 0; i < 20; i++) {
        // As long as it says, and not a moment less.
        await w.advance(limiter.waitMs());
        assert.equal(take(limiter, 2), 1, `${limit} per ${intervalMs}, ${i}`);
      }
    }
  });
});

test("RL-02 RateLimiter: what was taken at the end of a window is not had again at the start of the next", async () => {
  for (const algorithm of ALL) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 100, intervalMs: 1_000, algorithm });
      await w.advance(990);
      assert.equal(take(limiter, 100), 100, algorithm);
      await w.advance(10);
      // A fixed window lets twice the limit through around its end; of the others, GCRA has made up for one by now.
      const again = { gcra: 1, tokenBucket: 1, slidingLog: 0, slidingCounter: 0, fixedWindow: 100 };
      assert.equal(take(limiter, 200), again[algorithm], algorithm);
    });
  }
});

test("RateLimiter with slidingLog: never more than the limit in any stretch of an interval", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 3, intervalMs: 100, algorithm: "slidingLog" });
    const at: number[] = [];
    const call = async (): Promise<void> => {
      await limiter.acquire();
      at.push(w.now);
    };
    await w.advance(10);
    await Promise.all([call(), call(), sleep(50).then(call), call(), call(), sleep(60).then(call)]);
    for (const from of at) assert.ok(at.filter((one) => one >= from && one < from + 100).length <= 3);
    assert.deepEqual(at, [10, 10, 10, 110, 110, 110]);
  });
});

test("RateLimiter with slidingCounter blends what was counted in the window before", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, algorithm: "slidingCounter" });
    assert.equal(take(limiter, 20), 10);
    assert.equal(limiter.waitMs(), 1_100);
    await w.advance(1_500);
    assert.equal(limiter.available(), 5);
    assert.equal(take(limiter, 20), 5);
    await w.advance(1_500);
    assert.equal(take(limiter, 20), 10);
  });
});

test("RateLimiter: a window begins when it begins, also where a quotient of floats falls short of it", async () => {
  const odd: [number, number][] = [];
  for (let i = 1; odd.length < 20; i++) {
    const [intervalMs, times] = [Math.PI * i, 100_000 + i];
    if (Math.floor(times * intervalMs / intervalMs) < times) odd.push([intervalMs, times]);
  }
  for (const [intervalMs, times] of odd) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs, algorithm: "fixedWindow" });
      await w.advance((times - 0.5) * intervalMs);
      assert.ok(limiter.tryAcquire());
      await limiter.acquire();
      assert.equal(w.now, times * intervalMs);
      assert.equal(limiter.tryAcquire(), false, "that was in the new window");
      await w.advance(0.9 * intervalMs);
      assert.equal(limiter.tryAcquire(), false, "which has just begun");
    });
  }
});

test("RateLimiter.acquire serves in the order of calls, one by one, with one timer and none when idle", async () => {
  for (const algorithm of ALL) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 100, algorithm });
      const served: string[] = [];
      const calls = ["a", "b", "c"].map(async (name) => {
        await limiter.acquire();
        served.push(`${name}@${w.now}`);
      });
      await w.advance(0);
      assert.equal(w.timers.length, 1);
      assert.equal(limiter.statistics().waiting, 2);
      await Promise.all(calls);
      const at = algorithm === "slidingCounter" ? [0, 200, 400] : [0, 100, 200];
      assert.deepEqual(served, ["a", "b", "c"].map((name, i) => `${name}@${at[i]}`), algorithm);
      assert.equal(w.timers.length, 0);
    });
  }
});

test("RateLimiter holds for callers that come together (as many run as may)", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    const at = await Promise.all(Array.from({ length: 6 }, () => limiter.run(() => w.now)));
    assert.deepEqual(at, [0, 100, 200, 300, 400, 500]);
  });
});

test("RateLimiter.run holds nothing while the work runs", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 5, intervalMs: 1_000 });
    const begun: number[] = [];
    await Promise.all([1, 2, 3].map(() =>
      limiter.run(async ({ signal }) => {
        begun.push(w.now);
        await sleep(200, { signal });
      })
    ));
    assert.deepEqual(begun, [0, 0, 0]);
    assert.equal(w.now, 200);
  });
});

test("RateLimiter: a light call never overtakes a heavy one that waits", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 4 });
    assert.ok(limiter.tryAcquire({ weight: 3 }));
    const heavy = limiter.acquire({ weight: 4 }).then(() => `heavy@${w.now}`);
    const light = limiter.acquire().then(() => `light@${w.now}`);
    assert.equal(limiter.tryAcquire(), false, "one is there, but others wait");
    assert.deepEqual(await Promise.all([heavy, light]), ["heavy@300", "light@400"]);
  });
});

test("RL-04 RateLimiter: who gives up moves those behind by exactly its cost, and the timer with them", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 5 });
    assert.ok(limiter.tryAcquire({ weight: 5 }));
    const controller = new AbortController();
    const first = limiter.acquire({ weight: 3, signal: controller.signal });
    const second = limiter.acquire({ weight: 2 }).then(() => w.now);
    const third = limiter.acquire().then(() => w.now);
    assert.deepEqual(w.timers.map(({ atMs }) => atMs), [300]);
    await w.advance(50);
    controller.abort("stop");
    await assert.rejects(first, (error) => error === "stop");
    assert.deepEqual(w.timers.map(({ atMs }) => atMs), [200]);
    assert.deepEqual(await Promise.all([second, third]), [200, 300]);
    const { granted, aborted, waiting } = limiter.statistics();
    assert.deepEqual({ granted, aborted, waiting }, { granted: 3, aborted: 1, waiting: 0 });
  });
});

test("RateLimiter: a heavy head that gives up lets those in who fit, in the same turn", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 5 });
    assert.ok(limiter.tryAcquire({ weight: 3 }));
    const controller = new AbortController();
    const heavy = limiter.acquire({ weight: 5, signal: controller.signal });
    const light = limiter.acquire({ weight: 2 }).then(() => w.now);
    let asked = true;
    controller.signal.addEventListener("abort", () => asked = limiter.tryAcquire());
    controller.abort(null);
    await assert.rejects(heavy, (error) => error === null);
    assert.equal(await light, 0);
    assert.equal(asked, false, "nobody barges in while the abort is being told");
  });
});

test("RateLimiter: an abort in the turn of the grant: whoever was first wins, and nothing is lost", async () => {
  for (const abortFirst of [true, false]) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 100 });
      assert.ok(limiter.tryAcquire());
      const controller = new AbortController();
      const nap = w.advance(100).then(() => controller.abort("late"));
      const wait = limiter.acquire({ signal: controller.signal });
      if (abortFirst) controller.abort("early");
      const outcome = await wait.then(() => "granted", (reason) => reason);
      await nap;
      assert.equal(outcome, abortFirst ? "early" : "granted");
      assert.equal(limiter.tryAcquire(), abortFirst);
    });
  }
});

test("RateLimiter with an aborted signal is refused first: nothing is taken, nothing runs", async () => {
  await world(async () => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100 });
    for (const reason of ["text", null, new Error("e")]) {
      const signal = AbortSignal.abort(reason ?? undefined);
      await assert.rejects(limiter.acquire({ signal }), (error) => error === signal.reason);
      await assert.rejects(limiter.run(() => assert.fail(), { signal }), (error) => error === signal.reason);
    }
    const { aborted, granted, available } = limiter.statistics();
    assert.deepEqual({ aborted, granted, available }, { aborted: 6, granted: 0, available: 1 });
  });
});

test("RL-08 RateLimiter: what would take longer than maxWaitMs is refused at once and takes nothing", async () => {
  for (const [algorithm, taken] of [["gcra", 3], ["slidingLog", 2], ["fixedWindow", 2]] as const) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 2, intervalMs: 150, algorithm, name: "mail" });
      take(limiter, 2);
      const wanted = taken === 3 ? 2 : 1;
      const error = await limiter.acquire({ maxWaitMs: 100, weight: wanted }).catch((error) => error);
      assert.ok(error instanceof RateLimitError);
      assert.deepEqual([error.name, error.retryAfterMs, error.weight], ["RateLimitError", 150, wanted]);
      assert.equal(
        error.message,
        'Cannot acquire from rate limiter "mail" within 100 ms: next free in 150 ms',
      );
      assert.equal(w.now, 0);
      assert.equal(w.timers.length, 0);
      await limiter.acquire({ maxWaitMs: 150, weight: wanted });
      assert.equal(w.now, 150);
      assert.equal(limiter.statistics().refused, 1);
    });
  }
});

test("RateLimiter: maxWaitMs counts those who wait already, and 0 means not at all", async () => {
  for (const algorithm of ["gcra", "slidingLog", "fixedWindow"] as const) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 100, algorithm });
      await limiter.acquire({ maxWaitMs: 0 });
      const waits = [1, 2, 3].map(() => limiter.acquire().then(() => w.now));
      await assert.rejects(limiter.acquire({ maxWaitMs: 399 }), { retryAfterMs: 400 });
      await assert.rejects(limiter.acquire({ maxWaitMs: 0 }), RateLimitError);
      assert.equal(limiter.waitMs(), 400);
      waits.push(limiter.acquire({ maxWaitMs: 400 }).then(() => w.now));
      assert.deepEqual(await Promise.all(waits), [100, 200, 300, 400]);
    });
  }
});

test("RateLimiter never waits past the deadline of its signal: it refuses at once and takes nothing", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000 });
    assert.ok(limiter.tryAcquire());
    using limit = timeout(300);
    const error = await limiter.acquire({ signal: limit.signal }).catch((error) => error);
    assert.ok(error instanceof RateLimitError);
    assert.equal(
      error.message,
      "Cannot acquire from rate limiter before the deadline in 300 ms: next free in 1000 ms",
    );
    await assert.rejects(limiter.run(() => 1, { signal: limit.signal }), RateLimitError);
    assert.equal(w.now, 0);
    using long = timeout(2_000);
    await limiter.acquire({ signal: long.signal });
    assert.equal(w.now, 1_000);
  });
});

test("RateLimiter: timeoutMs gives up with a TimeoutError that says what was waited behind", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000, name: "mail" });
    assert.ok(limiter.tryAcquire());
    const error = await limiter.acquire({ timeoutMs: 100 }).catch((error) => error);
    assert.ok(error instanceof TimeoutError);
    assert.equal(
      error.message,
      'Cannot acquire from rate limiter "mail" within 100 ms: next free in 900 ms, 1 waiting',
    );
    assert.equal(w.now, 100);
    assert.equal(limiter.statistics().timedOut, 1);
    await assert.rejects(limiter.run(() => 1, { queueTimeoutMs: 50 }), TimeoutError);
    await limiter.acquire({ timeoutMs: 5_000 });
    assert.equal(w.now, 1_000);
  });
});

test("RateLimiter: a turn that comes at the very moment of the limit is granted", async () => {
  for (const algorithm of ALL) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 100, algorithm });
      const parent = new RateLimiter({ limit: 1, intervalMs: 100, algorithm });
      const child = new RateLimiter({ limit: 5, intervalMs: 100, parent });
      limiter.drain();
      parent.drain();
      const timeoutMs = limiter.waitMs();
      const waits = [
        limiter.acquire({ timeoutMs }),
        child.acquire({ timeoutMs, key: "a" }),
        child.run(() => {}, { queueTimeoutMs: 3 * timeoutMs, key: "b" }),
      ];
      await Promise.all(waits);
      assert.ok(w.now <= 400);
    });
  }
});

test("RateLimiter.run: timeoutMs bounds the whole call", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100 });
    const stopped: unknown[] = [];
    const work = ({ signal }: { signal: AbortSignal }) =>
      sleep(1_000, { signal }).catch((reason) => stopped.push(reason));
    assert.ok(limiter.tryAcquire());
    const error = await limiter.run(work, { timeoutMs: 150 }).catch((error) => error);
    assert.ok(error instanceof TimeoutError);
    assert.equal(w.now, 150);
    await w.idle();
    assert.deepEqual(stopped, [error]);
  });
});

test("RateLimiter.run gives back what it took when it is given up before the work has begun", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000 });
    const controller = new AbortController();
    const run = limiter.run(() => assert.fail(), { signal: controller.signal });
    controller.abort("stop");
    await assert.rejects(run, (error) => error === "stop");
    assert.equal(limiter.available(), 1);
    // And so when it had to wait, and somebody waits behind it.
    assert.ok(limiter.tryAcquire());
    const other = new AbortController();
    const second = limiter.run(() => assert.fail(), { signal: other.signal });
    second.catch(() => {});
    const third = limiter.acquire().then(() => w.now);
    using _watching = observe({
      record: ({ kind }) => {
        if (kind === "grant") queueMicrotask(() => other.abort("stop"));
      },
    });
    await assert.rejects(second, (error) => error === "stop");
    assert.equal(await third, 1_000);
  });
});

test("RateLimiter.reserve tells how long to wait, and takes a place in the line", async () => {
  for (const algorithm of ["gcra", "slidingLog", "fixedWindow"] as const) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 1, intervalMs: 100, algorithm });
      const now = limiter.reserve();
      const later = limiter.reserve();
      const wait = limiter.acquire().then(() => w.now);
      const last = limiter.reserve();
      assert.deepEqual([now.waitMs, later.waitMs, last.waitMs], [0, 100, 300]);
      assert.equal(limiter.waitMs(), 400);
      assert.throws(() => limiter.reserve({ maxWaitMs: 399 }), { name: "RateLimitError", retryAfterMs: 400 });
      assert.equal(await wait, 200);
      await w.advance(200);
      assert.equal(limiter.tryAcquire(), true);
    });
  }
});

test("RateLimiter.reserve: who cancels gives it back, once, and those behind come earlier", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 5 });
    const five = limiter.reserve({ weight: 5 });
    const three = limiter.reserve({ weight: 3 });
    const wait = limiter.acquire().then(() => w.now);
    assert.equal(three.waitMs, 300);
    assert.deepEqual(w.timers.map(({ atMs }) => atMs), [300]);
    three.cancel();
    three.cancel();
    assert.deepEqual(w.timers.map(({ atMs }) => atMs), [100]);
    five.cancel();
    assert.equal(await wait, 0);
    five.cancel();
    assert.equal(limiter.available(), 4);
  });
});

test("RateLimiter.reserve: what is given back after others have taken never lets more through than the rule", async () => {
  for (const algorithm of ["gcra", "slidingLog", "fixedWindow", "slidingCounter"] as const) {
    await world(async (w) => {
      const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, algorithm });
      const early = limiter.reserve();
      await w.advance(2_500);
      assert.ok(limiter.tryAcquire());
      early.cancel(); // Time has made up for it long since.
      assert.equal(take(limiter, 20), 9, algorithm);
    });
    await world(() => {
      const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, algorithm });
      const [a, b] = [limiter.reserve({ weight: 4 }), limiter.reserve({ weight: 3 })];
      assert.ok(limiter.tryAcquire());
      b.cancel();
      a.cancel();
      assert.equal(take(limiter, 20), 9, algorithm);
    });
  }
});

test("RateLimiter.reserve is as if it had never been when cancelled: also where a bucket was full in between", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    const [a, b] = [limiter.reserve(), limiter.reserve()];
    a.cancel();
    await w.advance(100);
    assert.ok(limiter.tryAcquire());
    await w.advance(50);
    b.cancel();
    // One was taken 50 ms ago: half of it has been made up for.
    assert.equal(limiter.waitMs({ weight: 10 }), 50);
  });
});

test("RateLimiter.reserve is as if it had never been when cancelled: also where others have taken since", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 2, intervalMs: 1_000 });
    const [a] = [limiter.reserve(), limiter.reserve()];
    await w.advance(600);
    assert.ok(limiter.tryAcquire());
    assert.equal(limiter.available(), 0);
    a.cancel();
    assert.equal(limiter.available(), 1);
    assert.equal(limiter.waitMs(), 0);
  });
});

test("RateLimiter.available is what tryAcquire would let in: nothing while others wait for the same", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 5, intervalMs: 1_000 });
    limiter.tryAcquire({ weight: 3 });
    const heavy = limiter.acquire({ weight: 5 });
    assert.equal(limiter.tryAcquire(), false);
    assert.deepEqual([limiter.available(), limiter.statistics().available], [0, 0]);
    assert.equal(limiter.available({ key: "a" }), 5);
    await heavy;
    await w.advance(200);
    assert.equal(limiter.available(), 1);
  });
});

test("RateLimiter.available is nothing when it or a parent is closed", () => {
  const top = new RateLimiter({ limit: 5, intervalMs: 1_000 });
  const parent = new RateLimiter({ limit: 5, intervalMs: 1_000, parent: top });
  const limiter = new RateLimiter({ limit: 5, intervalMs: 1_000, parent });
  assert.equal(limiter.available(), 5);
  top.close();
  assert.equal(limiter.waitMs(), Infinity);
  assert.deepEqual([limiter.available(), limiter.available({ key: "a" })], [0, 0]);
});

test("RateLimiter.penalize and drain take what is not there; whoever comes waits until it is made up for", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    limiter.penalize(15);
    assert.equal(limiter.available(), 0);
    await limiter.acquire();
    assert.equal(w.now, 600);
    await w.advance(5_000);
    limiter.drain();
    assert.equal(limiter.waitMs(), 100);
    assert.throws(() => limiter.penalize(0), RangeError);
    for (const algorithm of ["slidingLog", "slidingCounter", "fixedWindow"] as const) {
      const other = new RateLimiter({ limit: 10, intervalMs: 1_000, algorithm });
      other.penalize(15);
      assert.equal(other.available(), 0);
      assert.ok(other.waitMs() > 0 && other.waitMs() < 2_000);
      other.drain();
    }
  });
});

test("RateLimiter: a penalty while others wait refuses those whose maxWaitMs it breaks, and no one else", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    limiter.drain();
    const patient = limiter.acquire().then(() => w.now);
    const pressed = limiter.acquire({ maxWaitMs: 250 });
    const last = limiter.acquire({ maxWaitMs: 500 }).then(() => w.now);
    limiter.penalize(2);
    const error = await pressed.catch((error) => error);
    assert.equal(
      error.message,
      "Cannot acquire from rate limiter in time any more: next free in 400 ms, 3 waiting",
    );
    assert.ok(error instanceof RateLimitError);
    assert.equal(w.now, 0);
    assert.deepEqual(await Promise.all([patient, last]), [300, 400]);
  });
});

test("RateLimiter.heed takes header fields as clients for Node have them, and as maps have", () => {
  const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
  assert.equal(limiter.heed({ status: 429, headers: { "Retry-After": "3", "set-cookie": ["a"] } }), 3_000);
  assert.equal(
    limiter.heed({ status: 429, headers: { "ratelimit-remaining": 0, "ratelimit-reset": 4 } }),
    4_000,
  );
  assert.equal(limiter.heed({ headers: new Map([["retry-after", "1"]]) }), 1_000);
  assert.equal(limiter.heed({ headers: {} }), 0);
  assert.throws(() => limiter.heed({ headers: "retry-after: 1" as never }), {
    message: 'Cannot heed a response in rate limiter as headers must be an object: received "retry-after: 1"',
  });
});

test("RL-12 RateLimiter.pauseFor: all wait so long; a later, shorter one and a success change nothing", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    const headers = new Headers({ "Retry-After": "2" });
    assert.equal(limiter.heed({ status: 429, headers }), 2_000);
    const waits = [1, 2].map(() => limiter.acquire().then(() => w.now));
    await w.advance(500);
    assert.equal(limiter.heed({ status: 429, headers: new Headers({ "Retry-After": "1" }) }), 1_000);
    limiter.heed({ status: 200, headers: new Headers() });
    assert.equal(limiter.statistics().pausedMs, 1_500);
    assert.equal(limiter.tryAcquire(), false);
    await assert.rejects(limiter.acquire({ maxWaitMs: 1_000 }), { retryAfterMs: 1_700 });
    assert.deepEqual(await Promise.all(waits), [2_000, 2_100]);
  });
});

test("RateLimiter: a pause while others wait moves their timer, and its end by hand serves them at once", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    limiter.drain();
    const wait = limiter.acquire().then(() => w.now);
    limiter.pauseFor(5_000);
    assert.deepEqual(w.timers.map(({ atMs }) => atMs), [5_000]);
    limiter.pauseFor(Infinity);
    assert.equal(w.timers.length, 0);
    assert.equal(limiter.waitMs(), Infinity);
    await assert.rejects(limiter.acquire({ maxWaitMs: 1e9 }), { message: /: it is paused, 1 waiting$/ });
    await w.advance(700);
    limiter.resume();
    assert.equal(await wait, 700);
    assert.equal(limiter.statistics().pausedMs, 0);
  });
});

test("RateLimiter.pauseUntil takes a moment by the wall clock; one that has passed changes nothing", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    const startMs = Date.UTC(2026, 0, 1);
    limiter.pauseUntil(new Date(startMs - 5_000));
    limiter.pauseUntil(startMs);
    assert.ok(limiter.tryAcquire());
    limiter.pauseUntil(new Date(startMs + 3_000));
    await limiter.acquire();
    assert.equal(w.now, 3_000);
    assert.throws(() => limiter.pauseUntil(new Date(NaN)), RangeError);
    assert.throws(() => limiter.pauseUntil("tomorrow" as never), TypeError);
    for (const wrong of [{}, { getTime: 5 }, null, undefined]) {
      assert.throws(() => limiter.pauseUntil(wrong as never), {
        name: "TypeError",
        message: /^Cannot pause rate limiter as moment must be a Date or a number: received /,
      });
    }
    assert.throws(() => limiter.pauseFor(-1), RangeError);
    assert.throws(() => limiter.heed(undefined as never), TypeError);
    assert.throws(() => limiter.heed({} as never), TypeError);
  });
});

test("RateLimiter.resize serves those who wait by the new limit, and refuses what can't fit any more", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    limiter.drain();
    const heavy = limiter.acquire({ weight: 8 });
    const light = limiter.acquire().then(() => w.now);
    heavy.catch(() => {});
    limiter.resize({ limit: 5 });
    await assert.rejects(heavy, RangeError);
    assert.equal(limiter.statistics().burst, 5);
    assert.equal(await light, 1_200, "five more than fit were taken before: they count on");
    limiter.resize({ limit: 1_000 });
    const next = limiter.acquire().then(() => w.now);
    assert.equal(await next, 1_200);
    for (const bad of [{ limit: 0 }, { burst: NaN }]) assert.throws(() => limiter.resize(bad), RangeError);
    assert.throws(() => limiter.resize(undefined as never), TypeError);
  });
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 1_000, burst: 2 });
    limiter.drain();
    const waits = [1, 2].map(() => limiter.acquire().then(() => w.now));
    await w.advance(500);
    limiter.resize({ limit: 10 }); // Half of one is there; the other half takes 50 ms now.
    assert.deepEqual(await Promise.all(waits), [550, 650]);
    assert.equal(limiter.statistics().burst, 2);
  });
});

test("RL-14 RateLimiter: a window of 30 days works", async () => {
  await world(async (w) => {
    const day = 86_400_000;
    for (const algorithm of ALL) {
      const from = w.now;
      const limiter = new RateLimiter({ limit: 1, intervalMs: 30 * day, algorithm });
      await limiter.acquire();
      assert.equal(limiter.tryAcquire(), false);
      await limiter.acquire();
      const waited = w.now - from;
      assert.ok(waited > 29 * day && waited <= 60 * day, `${algorithm}: ${waited / day} days`);
      if (algorithm !== "slidingCounter" && algorithm !== "fixedWindow") assert.equal(waited, 30 * day);
    }
  });
});

test("RateLimiter: maxQueue bounds those who wait", async () => {
  await world(async (w) => {
    const records: ObserverRecord[] = [];
    using _watching = observe({ record: (record) => record.kind === "refuse" && records.push(record) });
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100, maxQueue: 1, name: "mail" });
    await limiter.acquire();
    const wait = limiter.acquire();
    const error = await limiter.acquire({ key: "a" }).then(() => limiter.acquire({ key: "a" })).catch((e) =>
      e
    );
    assert.ok(error instanceof QueueFullError);
    assert.equal(
      error.message,
      'Cannot acquire from rate limiter "mail": its queue is full, 1 of 1 waiting',
    );
    await assert.rejects(limiter.acquire(), QueueFullError);
    assert.equal(limiter.statistics().refused, 2);
    assert.deepEqual(records.map(({ name, data }) => [name, data]), [
      ["mail", { key: "a", weight: 1, waiting: 1 }],
      ["mail", { weight: 1, waiting: 1 }],
    ]);
    await wait;
    assert.equal(w.now, 100);
  });
});

test("RateLimiter.close sends all who wait away and refuses what comes", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100, name: "mail" });
    await limiter.acquire();
    const waits = [
      limiter.acquire(),
      limiter.acquire({ key: "a" }).then(() => limiter.acquire({ key: "a" })),
    ];
    await w.advance(0);
    limiter.close();
    limiter.close("again");
    for (const wait of waits) {
      await assert.rejects(wait, (error: Error) =>
        error instanceof ClosedError &&
        error.message === 'Cannot acquire from rate limiter "mail": it is closed');
    }
    assert.equal(limiter.closed, true);
    assert.equal(limiter.tryAcquire(), false);
    assert.equal(limiter.waitMs(), Infinity);
    await assert.rejects(limiter.acquire(), ClosedError);
    assert.throws(() => limiter.reserve(), ClosedError);
    const other = new RateLimiter({ limit: 1, intervalMs: 100 });
    other.close(null);
    await assert.rejects(other.run(() => 1), (error) => error === null);
  });
});

test("RateLimiter with adaptive goes slower when the server refuses, once for all, and back step by step", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 100, intervalMs: 1_000, burst: 1, adaptive: { minLimit: 30 } });
    const told: unknown[] = [];
    using _watching = observe({
      record: ({ kind, data }) => {
        if (kind === "adapt") told.push((data as { limit: number }).limit);
      },
    });
    const headers = new Headers();
    const say = (status: number): void => void limiter.heed({ status, headers });
    say(200);
    for (let i = 0; i < 20; i++) say(429); // One burst of refusals.
    say(200);
    assert.equal(limiter.statistics().limit, 50);
    assert.ok(limiter.tryAcquire());
    assert.equal(limiter.waitMs(), 20);
    await w.advance(1_000);
    say(429);
    assert.equal(limiter.statistics().limit, 30);
    for (let second = 0; second < 10; second++) {
      await w.advance(1_000);
      say(204);
    }
    assert.deepEqual(told, [50, 30, 40, 50, 60, 70, 80, 90, 100]);
    limiter.resize({ limit: 200 });
    assert.equal(limiter.statistics().limit, 200);
  });
});

test("RateLimitError tells retry how long to wait", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 5_000 });
    limiter.drain();
    await retry(() => limiter.acquire({ maxWaitMs: 0 }), { attempts: 2, baseMs: 1 });
    assert.equal(w.now, 5_000);
  });
});

test("RateLimiter is a policy: it transforms functions", async () => {
  await world(async (w) => {
    const limited = transformer(new RateLimiter({ limit: 1, intervalMs: 100 }));
    const double = limited(async function double(n: number, _options?: { signal?: AbortSignal }) {
      return await Promise.resolve(2 * n);
    });
    assert.deepEqual(await Promise.all([1, 2, 3].map((n) => double(n))), [2, 4, 6]);
    assert.equal(w.now, 200);
    const controller = new AbortController();
    const call = double(4, { signal: controller.signal });
    controller.abort("stop");
    await assert.rejects(call, (error) => error === "stop");
  });
});

test("RateLimiter tells observers what it does", async () => {
  await world(async () => {
    const limiter = new RateLimiter({ limit: 1, intervalMs: 100, name: "mail" });
    const told: unknown[] = [];
    using _watching = observe({
      record: ({ kind, structure, name, data }) =>
        told.push([kind, structure, name, ...(kind === "wait" || kind === "grant" ? [] : [data])]),
    });
    await limiter.acquire({ key: "a" });
    await assert.rejects(limiter.acquire({ key: "a", maxWaitMs: 5 }), {
      key: "a",
      message: 'Cannot acquire from rate limiter "mail" for key "a" within 5 ms: next free in 100 ms',
    });
    await limiter.acquire({ key: "a" });
    limiter.pauseFor(5);
    const what = ["rate limiter", "mail"];
    assert.deepEqual(told, [
      ["acquire", ...what, { key: "a", weight: 1 }],
      ["refuse", ...what, { key: "a", weight: 1, retryAfterMs: 100 }],
      ["wait", ...what],
      ["grant", ...what],
      ["acquire", ...what, { key: "a", weight: 1 }],
      ["pause", ...what, { ms: 5 }],
    ]);
  });
});

test("RateLimiter: an observer that asks in the middle of a grant takes nothing from those who wait", async () => {
  await world(async (w) => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000, burst: 1 });
    limiter.drain();
    const waits = [1, 2].map(() => limiter.acquire().then(() => w.now));
    const taken: boolean[] = [];
    using _watching = observe({
      record: ({ kind }) => {
        if (kind === "grant") taken.push(limiter.tryAcquire());
      },
    });
    assert.deepEqual(await Promise.all(waits), [100, 200]);
    assert.deepEqual(taken, [false, false]);
  });
});

test("RateLimiter: what doesn't fit a long log is refused without a look at all of it", async () => {
  await world(async (w) => {
    const count = 30_000;
    const limiter = new RateLimiter({ limit: count, intervalMs: 1_000, algorithm: "slidingLog" });
    for (let i = 0; i < count; i++) limiter.reserve();
    for (let i = 0; i < count; i++) assert.equal(limiter.tryAcquire({ weight: count / 2 }), false);
    await w.advance(1_000);
    assert.equal(limiter.tryAcquire({ weight: count }), true);
    assert.equal(limiter.tryAcquire(), false);
  }, { auto: false });
});

test("available is nothing while it is paused, and once it is closed", async () => {
  await world(async () => {
    const limiter = new RateLimiter({ limit: 10, intervalMs: 1_000 });
    limiter.pauseFor(500);
    assert.deepEqual([limiter.available(), limiter.available({ key: "a" })], [0, 0]);
    assert.equal(limiter.statistics().available, 0);
    await sleep(500);
    assert.equal(limiter.available(), 10);
    limiter.close();
    assert.equal(limiter.available(), 0);
  });
});
