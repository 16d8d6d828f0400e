import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { replaceClock } from "../../src/kernel/clock.ts";
import { observe } from "../../src/kernel/observer.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import {
  ClosedError,
  MisuseError,
  PoolClosedError,
  PoolFullError,
  PoolTimeoutError,
  TimeoutError,
} from "../../src/resource/mod.ts";
import { explore, leakGuard, sweep, world } from "../../src/testing/mod.ts";
import { failureOf, records, Store } from "./_store.ts";

describe("AsyncResourcePool", () => {
  test("a limit counts from when the caller came, however long the turn has taken before", async () => {
    let nowMs = 0;
    const timers: { atMs: number; run: () => void }[] = [];
    const clock = {
      now: () => nowMs,
      random: () => 0,
      schedule: (atMs: number, run: () => void) => {
        const timer = { atMs, run };
        timers.push(timer);
        return { [Symbol.dispose]: () => void timers.splice(timers.indexOf(timer), 1) };
      },
    };
    using _clock = replaceClock(clock);
    const pool = new AsyncResourcePool({ max: 1, acquireTimeoutMs: 100, create: () => ({}) });
    const lease = await pool.acquire();
    const first = failureOf(pool.acquire());
    nowMs = 300; // Work in one turn, which no timer gets into.
    const second = pool.acquire();
    const [due] = timers.filter(({ atMs }) => atMs <= nowMs);
    timers.splice(timers.indexOf(due!), 1);
    due!.run();
    assert.ok(await first instanceof PoolTimeoutError);
    lease.release();
    (await second).release();
    await pool.close();
  });

  test("creates when first needed, lends to one at a time, and lends again what came back last", async () => {
    await world(async () => {
      const { pool, all } = new Store();
      assert.equal(all.length, 0);
      const [a, b] = await Promise.all([pool.acquire(), pool.acquire()]);
      assert.deepEqual([a.value.id, b.value.id, a.held], [1, 2, true]);
      a.release();
      b.release();
      assert.equal(a.held, false);
      const again = await pool.acquire();
      assert.equal(again.value.id, 2);
      again.release();
      assert.deepEqual(await pool.close(), { stragglers: [], errors: [] });
      assert.deepEqual(all.map(({ destroyed }) => destroyed), [true, true]);
    });
  });

  test("statistics say for how long the longest lease has been held, since somebody waits at least", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 1 });
      const lease = await pool.acquire();
      await w.advance(10);
      const waiting = pool.acquire();
      await w.advance(50);
      assert.ok(pool.statistics().longestLeaseMs >= 50);
      lease.release();
      (await waiting).release();
      assert.equal(pool.statistics().longestLeaseMs, 0);
      await pool.close();
    }, { auto: false });
  });

  test("statistics say how many there are of each, and add up", async () => {
    await world(async () => {
      await using store = new AsyncResourcePool({ max: 3, create: () => sleep(5), name: "numbers" });
      const [one, two] = [store.acquire(), store.acquire()];
      assert.equal(store.statistics().creating, 2);
      (await one).release();
      const statistics = store.statistics();
      assert.ok(Object.isFrozen(statistics));
      assert.deepEqual(statistics, {
        max: 3,
        min: 0,
        size: 2,
        inUse: 1,
        leases: 1,
        idle: 1,
        creating: 0,
        checking: 0,
        destroying: 0,
        free: 2,
        waiting: 0,
        longestLeaseMs: 0,
        closed: false,
        granted: 2,
        aborted: 0,
        timedOut: 0,
        refused: 0,
        created: 2,
        createFailed: 0,
        destroyed: 0,
        invalid: 0,
        evicted: 0,
        leaked: 0,
      });
      (await two).release();
    });
  });

  test("hands over directly to the oldest waiter; who comes back at once goes to the end (PL-14)", async () => {
    await world(async () => {
      await using store = new Store({ max: 1 }).pool;
      const order: string[] = [];
      const use = async (name: string, again: number): Promise<void> => {
        const lease = await store.acquire();
        order.push(name);
        const next = again > 0 ? use(name, again - 1) : undefined;
        lease.release();
        if (order.length < 6) assert.equal(store.tryAcquire(), undefined);
        await next;
      };
      await Promise.all([use("a", 2), use("b", 1), use("c", 0)]);
      assert.deepEqual(order, ["a", "b", "c", "a", "b", "a"]);
    });
  });

  test("the highest priority is served first; of equal ones, who came first", async () => {
    await world(async () => {
      await using pool = new Store({ max: 1 }).pool;
      const first = await pool.acquire();
      const order: string[] = [];
      const all = ([["a"], ["b", 5], ["c", -1], ["d", 5], ["e", 7], ["f"]] as const).map(([name, priority]) =>
        pool.run(() => order.push(name), { priority })
      );
      first.release();
      await Promise.all(all);
      assert.deepEqual(order, ["e", "b", "d", "a", "f", "c"]);
    });
  });

  test("releasing twice is misuse, disposing twice nothing; a stale lease can't touch the next one (PL-06)", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1 });
      const stale = await pool.acquire();
      const waiting = pool.acquire();
      stale.release();
      const current = await waiting;
      assert.equal(current.value, stale.value);
      for (const method of ["release", "discard"] as const) {
        assert.throws(() => stale[method](), (error) => {
          assert.ok(error instanceof MisuseError);
          assert.equal(
            error.message,
            `Cannot ${method} resource of pool "orders": this lease was given back before`,
          );
          return true;
        });
      }
      stale[Symbol.dispose]();
      assert.equal(pool.tryAcquire(), undefined);
      assert.equal(current.held, true);
      current[Symbol.dispose]();
      current[Symbol.dispose]();
      assert.equal(pool.statistics().idle, 1);
      await pool.close();
    });
  });

  test("what is discarded is destroyed and replaced, and the waiter keeps its place", async () => {
    await world(async () => {
      const store = new Store({ max: 1 });
      const { pool } = store;
      const lease = await pool.acquire();
      const waiting = pool.acquire();
      lease.discard();
      assert.equal(lease.held, false);
      const next = await waiting;
      assert.deepEqual([next.value.id, store.alive], [2, [2]]);
      next.discard();
      await pool.close();
      assert.deepEqual(store.alive, []);
    });
  });

  test("a wait that reaches its limit says what it waited behind", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 2 });
      const a = await pool.acquire({ label: "report/7" });
      await sleep(100);
      const b = await pool.acquire();
      const waits = [pool.acquire({ timeoutMs: 500 }), pool.acquire({ timeoutMs: 0 }), pool.acquire()];
      const [error, now, byDefault] = await Promise.all(waits.map(failureOf));
      assert.ok(error instanceof PoolTimeoutError && error instanceof TimeoutError);
      assert.equal(
        error.message,
        'Cannot lease from pool "orders" within 500 ms: 2 of 2 in use, 2 waiting, ' +
          'longest lease 600 ms by "report/7"',
      );
      const { operation, limitMs, inUse, max, waiting, cause } = error;
      assert.deepEqual([operation, limitMs, inUse, max, waiting, cause], [
        'lease from pool "orders"',
        500,
        2,
        2,
        2,
        undefined,
      ]);
      assert.ok(now instanceof PoolTimeoutError && now.limitMs === 0);
      assert.ok(byDefault instanceof PoolTimeoutError && byDefault.limitMs === 30_000);
      assert.equal(w.now, 30_100);
      assert.equal(pool.statistics().timedOut, 3);
      a.release();
      b.release();
      await pool.close();
    });
  });

  test("those without a limit of their own share one timer, and each reaches its limit in its own time", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 1, acquireTimeoutMs: 100 });
      const held = await pool.acquire();
      const ended: string[] = [];
      const controller = new AbortController();
      const all: Promise<unknown>[] = [];
      const wait = (
        name: string,
        options?: { timeoutMs?: number; signal?: AbortSignal; priority?: number },
      ): void => {
        all.push(
          pool.acquire(options).then(
            (lease) => {
              ended.push(`${name} served@${w.now}`);
              lease.release();
            },
            (error) =>
              ended.push(`${name} ${error instanceof PoolTimeoutError ? error.limitMs : error}@${w.now}`),
          ),
        );
      };
      wait("own", { timeoutMs: 500 });
      wait("a");
      wait("b", { signal: controller.signal });
      await sleep(10);
      wait("c", { signal: controller.signal });
      wait("brief", { timeoutMs: 20 });
      wait("d");
      assert.deepEqual(w.timers.filter(({ ref }) => ref).map(({ atMs }) => atMs), [30, 100, 500]);
      await sleep(20);
      controller.abort("stop");
      await sleep(40);
      wait("e", { priority: 1 });
      await sleep(90);
      held.release();
      await Promise.all(all);
      assert.deepEqual(ended, [
        "brief 20@30",
        "b stop@30",
        "c stop@30",
        "a 100@100",
        "d 100@110",
        "e served@160",
        "own served@160",
      ]);
      assert.equal(w.timers.length, 0);
      await pool.close();
    });
  });

  test("an observer that makes others leave when one reaches its limit leaves nobody waiting for ever", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 1, acquireTimeoutMs: 100 });
      const held = await pool.acquire();
      const controllers = [1, 2, 3, 4].map(() => new AbortController());
      const waits = controllers.map(({ signal }) => failureOf(pool.acquire({ signal })));
      const late = sleep(10).then(() => failureOf(pool.acquire()));
      {
        using _observer = observe({
          record: ({ kind }) => kind === "timeout" && controllers[1]!.abort("stop"),
        });
        await sleep(150);
      }
      const [a, b, c, d] = await Promise.all(waits);
      assert.equal(b, "stop");
      for (const error of [a, c, d, await late]) assert.ok(error instanceof PoolTimeoutError);
      assert.equal(w.timers.length, 0);
      held.release();
      await pool.close();
    });
  });

  test("an abort gives up this wait only, with its reason; what was being created is there for the next", async () => {
    for (const reason of ["stop", null, new Error("own")]) {
      await world(async () => {
        const store = new Store({ max: 1, createMs: 10 });
        const { pool } = store;
        const controller = new AbortController();
        const gone = failureOf(pool.acquire({ signal: controller.signal }));
        await sleep(5);
        controller.abort(reason);
        assert.equal(await gone, reason);
        await sleep(10);
        assert.deepEqual([pool.statistics().idle, store.all.length], [1, 1]);
        const lease = pool.tryAcquire();
        assert.equal(lease?.value.id, 1);
        const second = new AbortController();
        const waits = [failureOf(pool.acquire({ signal: second.signal })), pool.acquire()] as const;
        second.abort(reason);
        lease.release();
        assert.equal(await waits[0], reason);
        (await waits[1]).release();
        assert.equal(await failureOf(pool.acquire({ signal: AbortSignal.abort(reason) })), reason);
        assert.equal(pool.statistics().aborted, 3);
        await pool.close();
      });
    }
  });

  test("maxWaiters: who would wait for others beyond that is refused at once; 0 never waits (PL-08)", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1, maxWaiters: 0 });
      const lease = await pool.acquire({ label: "x" });
      const error = await failureOf(pool.acquire());
      assert.ok(error instanceof PoolFullError);
      assert.match(
        error.message,
        /^Cannot lease from pool "orders": at most 0 may wait, 1 of 1 in use, 0 waiting, longest lease 0 ms by "x"$/,
      );
      assert.deepEqual([error.inUse, error.max, error.waiting, pool.statistics().refused], [1, 1, 0, 1]);
      lease.release();
      (await pool.acquire()).release();
      await pool.close();

      const { pool: two } = new Store({ max: 1, maxWaiters: 2, createMs: 5 });
      const waits = [two.acquire(), two.acquire(), two.acquire()];
      assert.ok(await failureOf(two.acquire()) instanceof PoolFullError);
      for (const wait of waits) (await wait).release();
      await two.close();
    });
  });

  test("tryAcquire never waits, creates nothing, and overtakes nobody", async () => {
    await world(async () => {
      const { pool, all } = new Store({ max: 1 });
      assert.equal(pool.tryAcquire(), undefined);
      assert.equal(all.length, 0);
      const lease = await pool.acquire();
      const waiting = pool.acquire();
      assert.equal(pool.tryAcquire(), undefined);
      lease.release();
      assert.equal(pool.tryAcquire(), undefined);
      (await waiting).release();
      pool.tryAcquire({ label: "x" })!.release();
      await pool.close();
      assert.equal(pool.tryAcquire(), undefined);
      assert.throws(() => pool.tryAcquire({ label: 5 as never }), TypeError);
    });
  });

  test("an idle one keeps no timer that anybody awaits, and no listener", async () => {
    await using _guard = leakGuard();
    const { pool } = new Store();
    const controller = new AbortController();
    (await pool.acquire({ signal: controller.signal, timeoutMs: 60_000 })).release();
  });

  test("wrong arguments throw from the constructor and tryAcquire, and reject elsewhere", async () => {
    const create = () => 1;
    const pool = (options: object) => () => new AsyncResourcePool({ create, max: 1, ...options } as never);
    for (const wrong of [undefined, null, 5, {}, { max: 1 }, { create }, { max: 1, create: 5 }]) {
      assert.throws(() => new AsyncResourcePool(wrong as never), TypeError);
    }
    const durations = [
      "freshMs",
      "validateIdleMs",
      "acquireTimeoutMs",
      "createTimeoutMs",
      "validateTimeoutMs",
      "destroyTimeoutMs",
      "idleTimeoutMs",
      "maxLifetimeMs",
      "leakAfterMs",
    ];
    for (const name of [...durations, "max", "min", "maxUses", "maxWaiters", "lifetimeJitter"]) {
      for (const wrong of ["5", null, {}]) {
        assert.throws(pool({ [name]: wrong }), TypeError, `${name}: ${wrong}`);
      }
      for (const wrong of [-1, NaN]) {
        assert.throws(pool({ [name]: wrong }), RangeError, `${name}: ${wrong}`);
      }
    }
    for (const name of ["max", "maxUses", "createTimeoutMs", "destroyTimeoutMs", "idleTimeoutMs"]) {
      assert.throws(pool({ [name]: 0 }), RangeError);
    }
    for (
      const options of [{ min: 2 }, { lifetimeJitter: 1.5 }, { destroyTimeoutMs: Infinity }, { max: 1.5 }]
    ) {
      assert.throws(pool(options), RangeError);
    }
    for (const name of ["destroy", "validate", "recycle", "name", "failFast", "backoff"]) {
      assert.throws(pool({ [name]: 5 }), TypeError, name);
      assert.throws(pool({ [name]: null }), TypeError, name);
    }
    assert.throws(pool({ name: "orders", max: 0 }), {
      message: 'Cannot create pool "orders" as max must be an integer >= 1: received 0',
    });
    const good = new AsyncResourcePool({ max: 1, create: () => assert.fail("it was created") });
    for (
      const wrong of [null, 5, { signal: {} }, { timeoutMs: "1" }, { label: 5 }, { owner: "me" }, {
        priority: "1",
      }]
    ) {
      await assert.rejects(good.acquire(wrong as never), TypeError);
      await assert.rejects(good.run(() => 1, wrong as never), TypeError);
    }
    for (const wrong of [{ timeoutMs: -1 }, { timeoutMs: NaN }, { priority: Infinity }, { priority: NaN }]) {
      await assert.rejects(good.acquire(wrong), RangeError);
      await assert.rejects(good.run(() => 1, wrong), RangeError);
    }
    await assert.rejects(good.run(5 as never), TypeError);
    for (const wrong of [{ graceMs: "1" }, null, 5]) {
      await assert.rejects(good.close(wrong as never), TypeError);
    }
    await assert.rejects(good.close({ graceMs: NaN }), RangeError);
    for (const wrong of [-1, 1.5, NaN]) assert.throws(() => good.resize(wrong), RangeError);
    assert.equal(good.closed, false);
    await good.close();
  });
});

describe("AsyncResourcePool.run", () => {
  test("gives the resource to fn and takes it back, however fn ends", async () => {
    await world(async () => {
      const { pool } = new Store({ max: 1 });
      assert.equal(
        await pool.run(({ value, signal }) => Promise.resolve([value.id, signal.aborted].join())),
        "1,false",
      );
      for (const failure of [null, undefined, new Error("own")]) {
        assert.equal(await failureOf(pool.run(() => Promise.reject(failure))), failure);
        assert.equal(
          await failureOf(pool.run(() => {
            throw failure;
          })),
          failure,
        );
      }
      assert.equal(pool.statistics().idle, 1);
      assert.equal(await pool.run(({ value, discard }) => (discard(), value.id)), 1);
      assert.equal(await pool.run(({ value }) => value.id), 2);
      await pool.close();
      assert.ok(await failureOf(pool.run(() => assert.fail("it ran"))) instanceof PoolClosedError);
    });
  });

  test("given up, it rejects at once; the resource is back when fn has settled", async () => {
    await world(async (w) => {
      const { pool } = new Store({ max: 1 });
      const controller = new AbortController();
      let reason: unknown;
      const gone = failureOf(pool.run(async ({ signal }) => {
        await sleep(50);
        reason = signal.reason;
      }, { signal: controller.signal }));
      await sleep(10);
      controller.abort("stop");
      assert.equal(await gone, "stop");
      assert.equal(w.now, 10);
      assert.equal(pool.statistics().inUse, 1);
      await sleep(41);
      assert.deepEqual([reason, pool.statistics().inUse], ["stop", 0]);

      const late = await failureOf(pool.run(() => sleep(50), { timeoutMs: 20 }));
      assert.ok(late instanceof TimeoutError);
      assert.equal(late.message, 'Cannot run with pool "orders" within 20 ms: it was still running');
      assert.equal(w.now, 71);
      const queued = await failureOf(pool.run(() => assert.fail("it ran"), { queueTimeoutMs: 5 }));
      assert.ok(queued instanceof PoolTimeoutError && queued.limitMs === 5);
      const whole = await failureOf(pool.run(() => assert.fail("it ran"), { timeoutMs: 5 }));
      assert.ok(whole instanceof PoolTimeoutError && whole.limitMs === 5);
      await sleep(50);
      assert.equal(pool.statistics().idle, 1);
      const before = await failureOf(pool.run(() => assert.fail("it ran"), { timeoutMs: 0 }));
      assert.ok(before instanceof TimeoutError);
      assert.equal(pool.statistics().idle, 1);
      await pool.close();
    });
  });
});

describe("AsyncResourcePool.close", () => {
  test("sends waiters away, waits for borrowers, destroys all, and creates nothing afterwards (PL-12)", async () => {
    await world(async (w) => {
      const store = new Store({ max: 2, createMs: 5, destroyMs: 5 });
      const { pool } = store;
      const a = await pool.acquire();
      const creating = failureOf(pool.acquire());
      const waiting = failureOf(pool.acquire());
      await sleep(1);
      const closing = pool.close();
      assert.equal(pool.close(), closing);
      for (const one of [creating, waiting, failureOf(pool.acquire())]) {
        const error = await one;
        assert.ok(error instanceof PoolClosedError && error instanceof ClosedError);
        assert.equal(error.message, 'Cannot lease from pool "orders": it is closed');
      }
      await sleep(100);
      a.release();
      assert.deepEqual(await closing, { stragglers: [], errors: [] });
      assert.equal(w.now, 5 + 1 + 100 + 5);
      await sleep(1_000);
      assert.deepEqual([store.all.length, store.alive], [1, []]);
      assert.equal(w.timers.length, 0);
    });
  });

  test("what an attempt makes that heeds no signal is destroyed, not lent (PL-12)", async () => {
    await world(async (w) => {
      const store = new Store({
        create: async () => {
          await sleep(50);
          const thing = { id: 1, destroyed: false };
          store.all.push(thing);
          return thing;
        },
      });
      const waiting = failureOf(store.pool.acquire());
      await sleep(10);
      await store.pool.close();
      assert.ok(await waiting instanceof PoolClosedError);
      assert.deepEqual([w.now, store.all.length, store.alive], [50, 1, []]);
    });
  });

  test("after the grace, what is still in use is destroyed under its users, by name", async () => {
    await world(async (w) => {
      const store = new Store({ max: 3 });
      const { pool } = store;
      const a = await pool.acquire({ label: "report/7" });
      const b = await pool.acquire({ owner: { name: "nightly" } });
      const c = await pool.acquire();
      const closing = pool.close({ graceMs: 50 });
      await sleep(20);
      c.release();
      assert.deepEqual(await closing, { stragglers: ["report/7", "nightly"], errors: [] });
      assert.deepEqual([w.now, store.alive, pool.statistics().size], [50, [], 0]);
      a.release();
      b.discard();
      await sleep(10);
      assert.deepEqual([pool.statistics().destroyed, w.timers.length], [3, 0]);
    });
  });

  test("an attempt to create that hangs does not hold it up beyond the grace; what it makes is destroyed", async () => {
    await world(async (w) => {
      const store = new Store({ create: () => sleep(500).then(() => ({ id: 1, destroyed: false })) });
      const destroyed = new Set<number>();
      const pool = new AsyncResourcePool({
        max: 1,
        create: () => sleep(500).then(() => 7),
        destroy: (value) => destroyed.add(value),
      });
      const waiting = failureOf(pool.acquire());
      await pool.close({ graceMs: 50 });
      assert.equal(w.now, 50);
      await waiting;
      await sleep(600);
      assert.deepEqual([...destroyed], [7]);
      await store.pool.close();
    });
  });

  test("destroying has a time of its own; what it fails with is told, and frees its place (PL-12)", async () => {
    await world(async (w) => {
      using seen = records();
      const failure = new Error("stuck");
      let hangs = true;
      const pool = new AsyncResourcePool({
        name: "orders",
        max: 1,
        create: () => ({}),
        destroy: () => hangs ? new Promise(() => {}) : Promise.reject(failure),
        destroyTimeoutMs: 30,
      });
      (await pool.acquire()).discard();
      const next = await pool.acquire();
      assert.equal(w.now, 30);
      const [first] = seen.of("destroy.failed");
      const { error } = first!.data as { error: Error };
      assert.ok(error instanceof TimeoutError);
      assert.match(
        error.message,
        /^Cannot destroy resource of pool "orders" within 30 ms: it has not ended$/,
      );
      hangs = false;
      next.discard();
      (await pool.acquire()).release();
      assert.equal(seen.of("destroy.failed").length, 2);
      assert.deepEqual(await pool.close(), { stragglers: [], errors: [failure] });
      assert.equal(pool.statistics().destroyed, 3);
    });
  });

  test("aborted at any point, everything that was created is destroyed in the end, once", async () => {
    for (const validate of [undefined, () => sleep(1)]) {
      let store: Store;
      const { points } = await sweep(async (signal) => {
        store = new Store({ max: 2, createMs: 2, destroyMs: 1, validate, freshMs: 0, maxUses: 3 });
        await using pool = store.pool;
        const use = async (ms: number): Promise<void> => {
          using lease = await pool.acquire({ signal, timeoutMs: 1_000 });
          await sleep(ms, { signal });
          assert.ok(!lease.value.destroyed);
        };
        const all = [use(2), use(5), use(1), pool.run(() => sleep(2, { signal }), { signal })];
        await Promise.allSettled(all);
        await Promise.all(all);
        await sleep(3, { signal });
        await use(1);
      }, () => {
        const { inUse, size, waiting, created, destroyed } = store.pool.statistics();
        assert.deepEqual([inUse, size, waiting, store.alive], [0, 0, 0, []]);
        assert.equal(created, destroyed);
      });
      assert.ok(points > 20);
    }
  });

  test("in any order of events, one has a resource at a time and all is destroyed in the end", async () => {
    await explore(async () => {
      const store = new Store({ max: 2, createMs: 1, validate: () => sleep(1), freshMs: 0, maxUses: 2 });
      const holders = new Set<number>();
      const user = async (waitMs: number): Promise<void> => {
        await sleep(waitMs);
        await store.pool.run(async ({ value }) => {
          assert.ok(!holders.has(value.id) && !value.destroyed);
          holders.add(value.id);
          await sleep(1);
          holders.delete(value.id);
        }, { queueTimeoutMs: 1_000 });
      };
      await Promise.all([0, 0, 0, 1, 1, 2, 3].map(user));
      assert.ok(store.alive.length <= 2);
      await store.pool.close();
      assert.deepEqual(store.alive, []);
    }, { runs: 60 });
  });
});
