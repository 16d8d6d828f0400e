import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { ClosedError, Limiter, MisuseError, QueueFullError, TimeoutError } from "../../src/flow/mod.ts";
import { census } from "../../src/kernel/census.ts";
import { deferred, ignore } from "../../src/kernel/deferred.ts";
import { deadlineOf } from "../../src/kernel/deadlines.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** Work that is ended from outside, and what was begun so far. */
function jobs() {
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const job = (id: number) => async (): Promise<number> => {
    begun.push(id);
    const end = deferred<void>();
    ends[id] = end.resolve;
    await end.promise;
    return id;
  };
  return { begun, job, end: (id: number) => ends[id]!() };
}

test("Limiter refuses bad options where it is made", () => {
  for (const limit of [-1, 1.5, NaN]) assert.throws(() => new Limiter({ limit }), RangeError);
  assert.throws(() => new Limiter({ limit: "2" as unknown as number }), TypeError);
  assert.throws(() => new Limiter(undefined as unknown as { limit: number }), TypeError);
  assert.throws(() => new Limiter({ limit: 1, maxQueue: -1 }), RangeError);
  assert.throws(() => new Limiter({ limit: -1, name: "mail" }), {
    message: 'Cannot create limiter "mail" as limit must be an integer >= 0: received -1',
  });
  assert.deepEqual(new Limiter({ limit: Infinity }).limit, Infinity);
});

test("Limiter.run runs up to the limit at once and hands slots over in the order of calls", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const { begun, job, end } = jobs();
    const calls = [0, 1, 2, 3].map((id) => limiter.run(job(id)));
    await w.idle();
    assert.deepEqual(begun, [0, 1]);
    end(1);
    await w.idle();
    assert.deepEqual(begun, [0, 1, 2]);
    end(0);
    await w.idle();
    assert.deepEqual(begun, [0, 1, 2, 3]);
    end(3), end(2);
    assert.deepEqual(await Promise.all(calls), [0, 1, 2, 3]);
    const { granted, inUse, free, waiting } = limiter.statistics();
    assert.deepEqual({ granted, inUse, free, waiting }, { granted: 4, inUse: 0, free: 2, waiting: 0 });
  });
});

test("Limiter.run: a newcomer cannot barge in when a slot is handed over", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    const { begun, job, end } = jobs();
    const first = limiter.run(job(0)).then(() => limiter.tryAcquire());
    const second = limiter.run(job(1));
    await w.idle();
    end(0);
    assert.equal(await first, undefined);
    assert.deepEqual(begun, [0, 1]);
    end(1);
    await second;
  });
});

test("Limiter.tryAcquire takes nothing from those who wait, not even from an observer of the release", async () => {
  const limiter = new Limiter({ limit: 1 });
  const lease = limiter.tryAcquire()!;
  const call = limiter.run(() => "mine");
  const taken: unknown[] = [];
  {
    using _watching = observe({
      record: ({ kind }) => {
        if (kind === "release") taken.push(limiter.tryAcquire());
      },
    });
    lease.release();
  }
  assert.equal(await call, "mine");
  assert.deepEqual(taken, [undefined]);
});

test("QU-12 Limiter.run: work that throws synchronously rejects and frees its slot", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const error = new Error("at once");
    const throwing = (): never => {
      throw error;
    };
    const signal = new AbortController().signal;
    await assert.rejects(limiter.run(throwing), (e) => e === error);
    await assert.rejects(limiter.run(throwing, { signal }), (e) => e === error);
    assert.equal(await limiter.run(() => 7), 7);
    assert.equal(limiter.statistics().inUse, 0);
  });
});

test("Limiter.run refuses what is no function", async () => {
  const limiter = new Limiter({ limit: 1, name: "x" });
  await assert.rejects(limiter.run(undefined as never), {
    name: "TypeError",
    message: 'Cannot run in limiter "x" as fn must be a function: received undefined',
  });
  await assert.rejects(limiter.run(() => 1, { timeoutMs: -1 }), RangeError);
  await assert.rejects(limiter.run(() => 1, { queueTimeoutMs: NaN }), RangeError);
  await assert.rejects(limiter.acquire({ label: 5 as unknown as string }), TypeError);
  assert.equal(limiter.statistics().inUse, 0);
});

test("Limiter.run with an aborted signal is refused first: nothing is queued, nothing runs", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1, maxQueue: 0 });
    const lease = limiter.tryAcquire()!;
    for (const reason of ["text", null, new Error("e")]) {
      const signal = AbortSignal.abort(reason);
      const why = await limiter.run(() => assert.fail("ran"), { signal }).catch((e) => e);
      assert.equal(why, signal.reason);
      assert.equal(await limiter.acquire({ signal }).catch((e) => e), signal.reason);
    }
    lease.release();
    const { aborted, refused, granted } = limiter.statistics();
    assert.deepEqual({ aborted, refused, granted }, { aborted: 6, refused: 0, granted: 1 });
  });
});

test("Limiter.run: abort while waiting leaves the queue at once; the others keep their places", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    const { begun, job, end } = jobs();
    const controller = new AbortController();
    const first = limiter.run(job(0));
    const second = limiter.run(job(1), { signal: controller.signal });
    const third = limiter.run(job(2));
    controller.abort("enough");
    assert.equal(limiter.statistics().waiting, 1);
    assert.equal(await second.catch((e) => e), "enough");
    await w.idle();
    end(0);
    await w.idle();
    assert.deepEqual(begun, [0, 2]);
    end(2);
    await Promise.all([first, third]);
  });
});

test("Limiter.run keeps the slot until work that ignores its signal has settled", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    let [running, most] = [0, 0];
    const deaf = async () => {
      most = Math.max(most, ++running);
      await sleep(100);
      running--;
    };
    const calls = [1, 2, 3].map(() => limiter.run(deaf, { timeoutMs: 30 }).catch((e) => [e.name, w.now]));
    await w.advance(40);
    assert.deepEqual(limiter.statistics().inUse, 1);
    assert.deepEqual(limiter.statistics().abandoned, 1);
    assert.equal(limiter.tryAcquire(), undefined);
    const controller = new AbortController();
    const late = limiter.run(deaf, { signal: controller.signal });
    await w.advance(70); // the fourth got the slot of the first at 100 ms
    controller.abort("gone");
    assert.equal(await late.catch((e) => e), "gone");
    assert.equal(w.now, 110);
    assert.deepEqual(limiter.statistics().inUse, 1);
    await limiter.onIdle();
    assert.equal(w.now, 200);
    assert.equal(most, 1);
    assert.deepEqual(await Promise.all(calls), [
      ["TimeoutError", 30],
      ["TimeoutError", 30],
      ["TimeoutError", 30],
    ]);
    const { timedOut, aborted, abandoned } = limiter.statistics();
    assert.deepEqual({ timedOut, aborted, abandoned }, { timedOut: 3, aborted: 1, abandoned: 0 });
  });
});

test("Limiter.run: timeoutMs bounds the whole call, queueTimeoutMs the wait for the slot", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1, name: "mail" });
    const first = limiter.run(() => sleep(50));
    const waited = limiter.run(() => sleep(80), { timeoutMs: 100 });
    await assert.rejects(limiter.run(() => assert.fail("ran"), { queueTimeoutMs: 20, timeoutMs: 90 }), {
      name: "TimeoutError",
      message: 'Cannot enter limiter "mail" within 20 ms: 1 of 1 in use, 2 waiting',
      limitMs: 20,
    });
    assert.equal(w.now, 20);
    await assert.rejects(waited, {
      name: "TimeoutError",
      message: 'Cannot finish work in limiter "mail" within 100 ms: it was still running',
      operation: 'finish work in limiter "mail"',
      limitMs: 100,
    });
    assert.equal(w.now, 100);
    await first;
    await limiter.onIdle();
    assert.equal(w.now, 130);
    // A wait within its limit does not bound what comes after it.
    assert.equal(await limiter.run(() => sleep(500).then(() => "done"), { queueTimeoutMs: 1 }), "done");
  });
});

test("Limiter.run: limits of zero", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    await assert.rejects(limiter.run(() => assert.fail("ran"), { timeoutMs: 0 }), TimeoutError);
    assert.equal(await limiter.run(() => 1, { queueTimeoutMs: 0 }), 1);
    using _lease = limiter.tryAcquire();
    await assert.rejects(limiter.run(() => assert.fail("ran"), { queueTimeoutMs: 0 }), TimeoutError);
    assert.equal(limiter.statistics().timedOut, 2);
  });
});

test("Limiter.run: work learns of the abort, its deadline, and nothing when it goes well", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const controller = new AbortController();
    const seen: unknown[] = [];
    const call = limiter.run(async ({ signal }) => {
      assert.equal(deadlineOf(signal), 100);
      seen.push(signal.aborted);
      await sleep(1_000, { signal }).catch((e) => seen.push(e));
    }, { signal: controller.signal, timeoutMs: 100 });
    controller.abort("stop");
    assert.equal(await call.catch((e) => e), "stop");
    await limiter.onIdle();
    assert.deepEqual(seen, [false, "stop"]);
    let kept: AbortSignal | undefined;
    await limiter.run(({ signal }) => void (kept = signal));
    assert.equal(kept!.aborted, false);
  });
});

test("Limiter.run: an abort between the grant and the start starts nothing and gives the slot back", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const controller = new AbortController();
    const lease = limiter.tryAcquire()!;
    const call = limiter.run(() => assert.fail("ran"), { signal: controller.signal });
    await Promise.resolve();
    lease.release();
    controller.abort("late");
    assert.equal(await call.catch((e) => e), "late");
    const { inUse, aborted } = limiter.statistics();
    assert.deepEqual({ inUse, aborted }, { inUse: 0, aborted: 1 });
  });
});

test("Limiter.run disposes a late result and reports a late failure that is no echo", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 3, name: "l" });
    const records: ObserverRecord[] = [];
    using _watching = observe({ record: (r) => void records.push(r) });
    let disposed = 0;
    const late = async () => {
      await sleep(10);
      return { [Symbol.dispose]: () => void disposed++ };
    };
    const failure = new Error("real");
    const options = { timeoutMs: 5 };
    const calls = await Promise.allSettled([
      limiter.run(late, options),
      limiter.run(() => sleep(10).then(() => Promise.reject(failure)), options),
      limiter.run(({ signal }) => sleep(100, { signal }), options),
    ]);
    assert.deepEqual(calls.map((c) => c.status), ["rejected", "rejected", "rejected"]);
    await w.advance(10);
    assert.equal(disposed, 1);
    const reported = records.filter((r) => r.kind === "late.failure");
    assert.deepEqual(reported, [
      { kind: "late.failure", structure: "limiter", name: "l", data: { error: failure } },
    ]);
  });
});

test("QU-02 Limiter: 100k queued calls aborted from the tail settle with their reasons and none starts", async () => {
  const count = 100_000;
  const before = { ...census };
  const limiter = new Limiter({ limit: 1 });
  const lease = limiter.tryAcquire()!;
  let started = 0;
  const controllers: AbortController[] = [];
  const reasons: unknown[] = new Array(count);
  const calls = Array.from({ length: count }, (_, i) => {
    const controller = new AbortController();
    controllers.push(controller);
    return limiter.run(() => started++, { signal: controller.signal }).catch((e) => reasons[i] = e);
  });
  assert.equal(limiter.statistics().waiting, count);
  for (let i = count - 1; i >= 0; i--) {
    controllers[i]!.abort(i);
    // Each leaves in the turn of its abort: nothing is left for a later sweep.
    if (i % 10_000 === 0) assert.equal(limiter.statistics().waiting, i);
  }
  await Promise.all(calls);
  assert.ok(reasons.every((reason, i) => reason === i));
  lease.release();
  assert.equal(started, 0);
  assert.equal(limiter.statistics().aborted, count);
  assert.deepEqual({ ...census }, before);
});

test("QU-02 Limiter: 100k calls on one signal put one listener on it", async () => {
  const count = 100_000;
  const limiter = new Limiter({ limit: 1 });
  const lease = limiter.tryAcquire()!;
  const controller = new AbortController();
  const { signal } = controller;
  let added = 0;
  const add = signal.addEventListener;
  signal.addEventListener = function (this: AbortSignal, ...args: Parameters<typeof add>) {
    added++;
    return add.apply(this, args);
  } as typeof add;
  const listeners = census.listeners;
  const calls = Array.from({ length: count }, () => limiter.run(() => assert.fail("ran"), { signal }));
  assert.equal(census.listeners, listeners + 1);
  const settled = Promise.allSettled(calls);
  controller.abort("all");
  assert.equal(limiter.statistics().waiting, 0);
  assert.ok((await settled).every((r) => r.status === "rejected" && r.reason === "all"));
  assert.equal(added, 1);
  assert.equal(census.listeners, listeners);
  lease.release();
});

test("Limiter.run runs queued work in its submitter's async context", async () => {
  const storage = new AsyncLocalStorage<number>();
  const limiter = new Limiter({ limit: 2 });
  const seen = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      storage.run(i, () =>
        limiter.run(async () => {
          const before = storage.getStore();
          await Promise.resolve();
          return [before, storage.getStore()];
        }, i % 2 === 0 ? undefined : { timeoutMs: 1_000 }))),
  );
  assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => [i, i]));
});

test("Limiter: maxQueue refuses what would be one too many", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1, maxQueue: 2, name: "mail" });
    const lease = limiter.tryAcquire()!;
    const waiting = [limiter.run(() => 1), limiter.acquire()] as const;
    const error = await limiter.run(() => assert.fail("ran")).catch((e) => e);
    assert.ok(error instanceof QueueFullError);
    assert.equal(
      error.message,
      'Cannot enter limiter "mail": its queue is full, 2 of 2 waiting, 1 of 1 in use',
    );
    assert.deepEqual([error.maxQueue, error.inUse, error.name], [2, 1, "QueueFullError"]);
    assert.equal(limiter.statistics().refused, 1);
    lease.release();
    assert.equal(await waiting[0], 1);
    (await waiting[1]).release();
    // maxQueue 0 means that nobody waits, not that nobody is served.
    const strict = new Limiter({ limit: 1, maxQueue: 0 });
    assert.equal(await strict.run(() => 2), 2);
  });
});

test("Limiter.acquire: leases count like work, are released once, and may be disposed late", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1, name: "x" });
    const lease = await limiter.acquire();
    const call = limiter.run(() => "ran");
    await w.idle();
    assert.deepEqual([limiter.statistics().inUse, limiter.statistics().waiting], [1, 1]);
    lease.release();
    assert.throws(() => lease.release(), MisuseError);
    lease[Symbol.dispose]();
    assert.equal(await call, "ran");
    assert.equal(limiter.statistics().inUse, 0);
    await assert.rejects(async () => {
      using _held = await limiter.acquire();
      await limiter.acquire({ timeoutMs: 5 });
    }, { message: 'Cannot enter limiter "x" within 5 ms: 1 of 1 in use, 1 waiting' });
  });
});

test("Limiter of 0 is paused and keeps its queue; resize serves it", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 0 });
    const { begun, job, end } = jobs();
    const calls = [0, 1, 2].map((id) => limiter.run(job(id)));
    await w.idle();
    assert.deepEqual(begun, []);
    assert.equal(limiter.tryAcquire(), undefined);
    limiter.resize(2);
    await w.idle();
    assert.deepEqual(begun, [0, 1]);
    limiter.resize(1);
    end(0);
    await w.idle();
    assert.deepEqual(begun, [0, 1], "less takes effect as work settles");
    assert.deepEqual([limiter.statistics().inUse, limiter.statistics().free], [1, 0]);
    end(1);
    await w.idle();
    end(2);
    await Promise.all(calls);
    assert.throws(() => limiter.resize(-1), RangeError);
  });
});

test("Limiter.pause lets nothing start until resume", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    limiter.pause();
    assert.equal(limiter.tryAcquire(), undefined);
    const call = limiter.run(() => 1);
    await assert.rejects(limiter.run(() => 2, { queueTimeoutMs: 5 }), {
      message: "Cannot enter limiter within 5 ms: 0 of 1 in use, 2 waiting, paused",
    });
    await w.idle();
    assert.deepEqual([limiter.paused, limiter.statistics().waiting], [true, 1]);
    limiter.resume();
    assert.equal(await call, 1);
  });
});

test("QU-08 Limiter.clear rejects only what is queued; onIdle resolves when the running work has ended", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 1 });
    const running = limiter.run(() => sleep(100).then(() => "ran"));
    const queued = [limiter.run(() => 1), limiter.run(() => 2)].map((p) => p.catch((e) => e));
    let idleAt: number | undefined;
    const idle = limiter.onIdle().then(() => idleAt = w.now);
    assert.equal(limiter.clear("cleared"), 2);
    assert.deepEqual(await Promise.all(queued), ["cleared", "cleared"]);
    assert.equal(idleAt, undefined);
    assert.equal(await running, "ran");
    await idle;
    assert.equal(idleAt, 100);
    await limiter.onIdle();
    const plain = limiter.run(() => sleep(1));
    const other = limiter.run(() => 1).catch((e) => e);
    limiter.clear();
    assert.equal((await other).name, "AbortError");
    await plain;
  });
});

test("Limiter.onIdle: wakes when the last waiter of a paused limiter gives up; can itself be given up", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 0 });
    const controller = new AbortController();
    const call = limiter.run(() => 1, { signal: controller.signal }).catch((e) => e);
    await Promise.resolve();
    const idle = limiter.onIdle();
    await assert.rejects(limiter.onIdle({ timeoutMs: 5 }), TimeoutError);
    controller.abort("gone");
    await idle;
    assert.equal(await call, "gone");
  });
});

test("QU-14 Limiter: await using stops the intake and waits; a second close gets the same promise", async () => {
  await world(async (w) => {
    const done: number[] = [];
    let limiter!: Limiter;
    const calls: Promise<unknown>[] = [];
    {
      await using scoped = limiter = new Limiter({ limit: 1, name: "x" });
      scoped.pause();
      for (const id of [1, 2]) calls.push(scoped.run(() => sleep(10).then(() => done.push(id))));
    }
    assert.equal(w.now, 20);
    assert.deepEqual(done, [1, 2]);
    await Promise.all(calls);
    assert.equal(limiter.close(), limiter.close());
    assert.equal(limiter.closed, true);
    for (const refused of [limiter.run(() => 1), limiter.run(() => 1, {}), limiter.acquire()]) {
      await assert.rejects(refused, {
        name: "ClosedError",
        message: 'Cannot enter limiter "x": it is closed',
      });
    }
    assert.equal(limiter.tryAcquire(), undefined);
    await assert.rejects(limiter.map([1], (x) => x), ClosedError);
    await assert.rejects(limiter.close({ pending: "drop" as "run" }), RangeError);
  });
});

test("QU-14 Limiter.close can send the waiting away and abort the running", async () => {
  await world(async (w) => {
    const limiter = new Limiter({ limit: 2 });
    const heeds = limiter.run(({ signal }) => sleep(1_000, { signal }));
    const deaf = limiter.run(async ({ signal }) => {
      await sleep(30);
      return signal.aborted;
    });
    const queued = limiter.run(() => 1).catch((e) => e);
    const outcome = heeds.catch((e) => e);
    await w.idle();
    const closing = limiter.close({ pending: "reject" });
    assert.ok(await queued instanceof ClosedError);
    assert.equal(limiter.close({ running: "abort", reason: "hurry" }), closing);
    assert.equal(await outcome, "hurry");
    assert.equal(await deaf, true, "a signal that is read after the abort is aborted");
    await closing;
    assert.equal(w.now, 30);
  });
});

test("Limiter.close never hangs: a limit of 0 sends the waiting away, also when it comes later", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 0 });
    const call = limiter.run(() => 1).catch((e) => e);
    await limiter.close();
    assert.ok(await call instanceof ClosedError);
    const other = new Limiter({ limit: 1 });
    const lease = other.tryAcquire()!;
    const waiting = other.run(() => 1).catch((e) => e);
    const closing = other.close();
    other.resize(0);
    other.pause();
    assert.equal(other.paused, false);
    assert.ok(await waiting instanceof ClosedError);
    lease.release();
    await closing;
  });
});

test("Limiter tells the observer who takes and gives back slots", async () => {
  await world(async () => {
    const records: ObserverRecord[] = [];
    using _watching = observe({ record: (r) => void records.push(r) });
    const limiter = new Limiter({ limit: 1, name: "m" });
    const lease = await limiter.acquire({ label: "report/7" });
    const call = limiter.run(ignore);
    await sleep(5);
    lease.release();
    await call;
    assert.deepEqual(records.filter(({ structure }) => structure === "limiter"), [
      { kind: "acquire", structure: "limiter", name: "m", data: { inUse: 1, waiting: 0, label: "report/7" } },
      { kind: "wait", structure: "limiter", name: "m", data: { waiting: 1 } },
      { kind: "release", structure: "limiter", name: "m", data: { inUse: 0, waiting: 1, label: "report/7" } },
      {
        kind: "grant",
        structure: "limiter",
        name: "m",
        data: { waiting: 0, outcome: "granted", waitedMs: 5 },
      },
      { kind: "acquire", structure: "limiter", name: "m", data: { inUse: 1, waiting: 0 } },
      { kind: "release", structure: "limiter", name: "m", data: { inUse: 0, waiting: 0 } },
    ]);
  });
});

test("Limiter loses no slot to an observer that aborts the waiter which is about to get it", async () => {
  await world(async () => {
    const limiter = new Limiter({ limit: 1 });
    const controller = new AbortController();
    const held = await limiter.acquire();
    using _observing = observe({
      record: ({ kind }) => kind === "acquire" && controller.abort("from the observer"),
    });
    const second = limiter.acquire({ signal: controller.signal });
    held.release();
    (await second).release(); // the abort came after the grant
    assert.deepEqual([limiter.statistics().inUse, limiter.statistics().free], [0, 1]);
  });
});

test("Limiter.close refuses null for its options", async () => {
  await using limiter = new Limiter({ limit: 1 });
  await assert.rejects(limiter.close(null as never), TypeError);
  assert.equal(limiter.closed, false);
});
