import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import {
  type AdaptiveLimit,
  Bulkhead,
  BulkheadFullError,
  type BulkheadOptions,
  ClosedError,
  type LimitSample,
  MisuseError,
  OverloadError,
  QueueFullError,
  TimeoutError,
  transformer,
} from "../../src/flow/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

/** A limit that says what it is told to, and keeps what it was given. */
function told(...limits: number[]) {
  const samples: LimitSample[] = [];
  const limit: AdaptiveLimit = {
    start: () => ({
      get limit() {
        return limits[Math.min(samples.length, limits.length - 1)]!;
      },
      record: (sample) => void samples.push(sample),
    }),
  };
  return { limit, samples };
}

describe("Bulkhead", () => {
  test("runs so many, lets so many wait, and refuses the rest before anything is started", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 2, maxQueue: 1, name: "search" });
      let [running, most] = [0, 0];
      const work = async () => {
        most = Math.max(most, ++running);
        await sleep(10);
        running--;
      };
      const calls = [1, 2, 3].map(() => bulkhead.run(work));
      const error = await bulkhead.run(() => assert.fail("ran")).catch((error) => error);
      assert.ok(error instanceof BulkheadFullError && error instanceof QueueFullError);
      assert.equal(error.name, "BulkheadFullError");
      assert.equal(
        error.message,
        'Cannot enter bulkhead "search": its queue is full, 1 of 1 waiting, 2 of 2 in use',
      );
      assert.deepEqual([error.inUse, error.maxQueue, w.now], [2, 1, 0]);
      await Promise.all(calls);
      assert.deepEqual([most, w.now], [2, 20]);
      const { granted, refused, inUse, waiting, limit, free } = bulkhead.statistics();
      assert.deepEqual({ granted, refused, inUse, waiting, limit, free }, {
        granted: 3,
        refused: 1,
        inUse: 0,
        waiting: 0,
        limit: 2,
        free: 2,
      });
      assert.ok(Object.isFrozen(bulkhead.statistics()));
    });
  });

  test("lets nobody wait by default", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 1 });
      const first = bulkhead.run(() => sleep(10));
      await assert.rejects(bulkhead.run(() => 1), BulkheadFullError);
      await first;
      assert.equal(await bulkhead.run(() => 1), 1);
    });
  });

  test("never refuses whom it has let in to wait, nor lets a newcomer overtake", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 1 });
      const order: string[] = [];
      const first = bulkhead.run(() => sleep(10)).then(() =>
        // In the very turn in which the place comes free.
        bulkhead.run(() => void order.push("barger")).catch((error) => order.push(error.name))
      );
      const second = bulkhead.run(() => void order.push("second"));
      await Promise.all([first, second]);
      assert.equal(order[0], "second");
    });
  });

  test("maxWaitMs bounds the wait, not the work", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 5, maxWaitMs: 20, name: "x" });
      const first = bulkhead.run(() => sleep(100));
      await assert.rejects(bulkhead.run(() => 1), {
        name: "TimeoutError",
        message: 'Cannot enter bulkhead "x" within 20 ms: 1 of 1 in use, 1 waiting',
        limitMs: 20,
      });
      assert.equal(w.now, 20);
      await assert.rejects(bulkhead.run(() => 1, { timeoutMs: 5 }), TimeoutError);
      assert.equal(w.now, 25);
      await first;
      assert.equal(bulkhead.statistics().timedOut, 2);
    });
  });

  test("an abort in the queue frees the place in the same turn (BH-02)", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 1 });
      const first = bulkhead.run(() => sleep(10));
      const controller = new AbortController();
      const second = bulkhead.run(() => assert.fail("ran"), { signal: controller.signal });
      await assert.rejects(bulkhead.run(() => 1), BulkheadFullError);
      controller.abort("gone");
      const third = bulkhead.run(() => 3);
      assert.equal(await second.catch((error) => error), "gone");
      assert.equal(await third, 3);
      await first;
    });
  });

  test("an aborted call is refused first, and counts as nothing else", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 1 });
      const first = bulkhead.run(() => sleep(10));
      for (const reason of ["text", null]) {
        const signal = AbortSignal.abort(reason);
        assert.equal(await bulkhead.run(() => assert.fail("ran"), { signal }).catch((e) => e), signal.reason);
      }
      const { aborted, refused } = bulkhead.statistics();
      assert.deepEqual({ aborted, refused }, { aborted: 2, refused: 0 });
      await first;
    });
  });

  test("a place stays taken until work that ignores its signal has settled", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 1 });
      await assert.rejects(bulkhead.run(() => sleep(100), { timeoutMs: 10 }), TimeoutError);
      assert.equal(w.now, 10);
      await assert.rejects(bulkhead.run(() => 1), BulkheadFullError);
      assert.equal(bulkhead.statistics().abandoned, 1);
      await bulkhead.onIdle();
      assert.equal(w.now, 100);
    });
  });

  test("what throws at once rejects and frees its place", async () => {
    await world(async () => {
      for (const limit of [1, told(1).limit]) {
        const bulkhead = new Bulkhead({ limit });
        const error = new Error("at once");
        const throwing = (): never => {
          throw error;
        };
        await assert.rejects(bulkhead.run(throwing), (e) => e === error);
        assert.equal(await bulkhead.run(() => 7), 7);
        await assert.rejects(bulkhead.run(undefined as never), TypeError);
        await assert.rejects(bulkhead.run(() => 1, null as never), TypeError);
        await assert.rejects(bulkhead.run(() => 1, { timeoutMs: -1 }), RangeError);
        assert.equal(bulkhead.statistics().inUse, 0);
      }
    });
  });

  test("dropLowest: what matters pushes out what doesn't", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 2, overflow: "dropLowest" });
      const outcomes: string[] = [];
      const call = (id: string, priority: number) =>
        bulkhead.run(() => sleep(10), { priority }).then(
          () => outcomes.push(`${id} ran`),
          (error) => outcomes.push(`${id} ${error.name}`),
        );
      const calls = [
        call("first", 0),
        call("batch", -1),
        call("normal", 0),
        call("vital", 9),
        call("late", -1),
      ];
      await Promise.all(calls);
      assert.deepEqual(outcomes, [
        "batch BulkheadFullError",
        "late BulkheadFullError",
        "first ran",
        "vital ran",
        "normal ran",
      ]);
      assert.equal(w.now, 30);
      assert.equal(bulkhead.statistics().dropped, 1);
    });
  });

  test("reserved keeps places for a key, and takes none from the others", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 10, reserved: { vital: 0.3, audit: 0.1 } });
      const running = (key?: string) => bulkhead.run(() => sleep(10), { key });
      const others = [1, 2, 3, 4, 5, 6].map(() => running());
      await assert.rejects(running(), BulkheadFullError);
      await assert.rejects(running("else"), BulkheadFullError);
      const vital = [1, 2, 3].map(() => running("vital"));
      await assert.rejects(running("vital"), BulkheadFullError);
      const audit = running("audit");
      await Promise.all([...others, ...vital, audit]);
      // What is not reserved is for all.
      const more = Array.from({ length: 9 }, () => running("vital"));
      await assert.rejects(running("vital"), BulkheadFullError);
      await running("audit");
      await Promise.all(more);
      assert.equal(w.now, 20);
    });
  });

  test("reserved: those that wait for other places hold nobody up", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 2, maxQueue: 10, reserved: { vital: 0.5 } });
      const order: string[] = [];
      const call = (id: string, key?: string) =>
        bulkhead.run(async () => {
          order.push(id);
          await sleep(10);
        }, { key });
      await Promise.all([
        call("a"),
        call("b"),
        call("c"),
        call("v1", "vital"),
        call("v2", "vital"),
        call("v3", "vital"),
      ]);
      assert.deepEqual(order.slice(0, 2), ["a", "v1"]);
      assert.deepEqual(order.toSorted(), ["a", "b", "c", "v1", "v2", "v3"]);
      assert.ok(order.indexOf("v2") < order.indexOf("c"), `${order}`);
      assert.equal(bulkhead.statistics().inUse, 0);
    });
  });

  test("codel empties a line that stands", async () => {
    await world(async () => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 100, codel: { targetMs: 5, intervalMs: 20 } });
      const calls = Array.from({ length: 30 }, () => bulkhead.run(() => sleep(10)));
      const settled = await Promise.allSettled(calls);
      const dropped = settled.filter((one) => one.status === "rejected");
      assert.ok(dropped.length > 3);
      assert.ok(dropped.every(({ reason }) => reason instanceof OverloadError));
      assert.equal(bulkhead.statistics().dropped, dropped.length);
    });
  });

  test("is a policy: functions and methods run in it", async () => {
    await world(async () => {
      const search = transformer(new Bulkhead({ limit: 1 }))(async (text: string) => {
        await sleep(5);
        return text.toUpperCase();
      });
      const first = search("a");
      await assert.rejects(search("b"), BulkheadFullError);
      assert.equal(await first, "A");
    });
  });

  test("runs work in its caller's async context", async () => {
    const storage = new AsyncLocalStorage<number>();
    for (const limit of [2, told(2).limit]) {
      const bulkhead = new Bulkhead({ limit, maxQueue: 20 });
      const seen = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          storage.run(i, () =>
            bulkhead.run(async () => {
              await Promise.resolve();
              return storage.getStore();
            }, i % 2 ? { priority: 1 } : undefined))),
      );
      assert.deepEqual(seen, Array.from({ length: 10 }, (_, i) => i));
    }
  });

  test("close stops the intake and waits, or sends away and aborts", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 5, name: "x" });
      const first = bulkhead.run(({ signal }) => sleep(100, { signal })).catch((error) => error);
      const second = bulkhead.run(() => 2).catch((error) => error);
      const closing = bulkhead.close();
      assert.equal(bulkhead.closed, true);
      await assert.rejects(bulkhead.run(() => 3), {
        name: "ClosedError",
        message: 'Cannot enter bulkhead "x": it is closed',
      });
      assert.equal(bulkhead.close({ running: "abort", reason: "hurry" }), closing);
      assert.equal(await first, "hurry");
      assert.ok(await second instanceof ClosedError);
      await closing;
      assert.equal(w.now, 0);
      await using patient = new Bulkhead({ limit: 1 });
      void patient.run(() => sleep(5));
    });
  });

  test("refuses bad options where it is made", () => {
    const bad: [Partial<BulkheadOptions>, typeof TypeError | typeof RangeError][] = [
      [{ limit: 0 }, RangeError],
      [{ limit: "2" as never }, TypeError],
      [{ limit: null as never }, TypeError],
      [{ limit: {} as never }, TypeError],
      [{ limit: { start: () => ({}) } as never }, TypeError],
      [{ limit: told(NaN).limit }, RangeError],
      [{ limit: told(0).limit }, RangeError],
      [{ maxQueue: -1 }, RangeError],
      [{ maxWaitMs: NaN }, RangeError],
      [{ overflow: "block" as never }, RangeError],
      [{ reserved: { a: 0.7, b: 0.4 } }, RangeError],
      [{ reserved: { a: -0.1 } }, RangeError],
      [{ reserved: { a: "1" as never } }, TypeError],
      [{ reserved: new Map([["a", 0.5]]) as never }, TypeError],
      [{ reserved: [0.5] as never }, TypeError],
      [{ reserved: null as never }, TypeError],
      [{ isOverload: 1 as never }, TypeError],
      [{ name: 5 as never }, TypeError],
    ];
    for (const [options, Class] of bad) assert.throws(() => new Bulkhead({ limit: 1, ...options }), Class);
    assert.throws(() => new Bulkhead(undefined as never), TypeError);
    assert.throws(() => new Bulkhead({ limit: 1, name: "x", reserved: new Map([["a", 0.5]]) as never }), {
      message: 'Cannot create bulkhead "x" as reserved must be an object: received an instance of Map',
    });
    assert.throws(() => new Bulkhead({ limit: 1, name: "x", reserved: { a: 1, b: 1 } }), {
      message: 'Cannot create bulkhead "x" as parts in reserved must be 1 in sum at most: received 2',
    });
    assert.doesNotThrow(() => new Bulkhead({ limit: 1, reserved: { a: 0.7, b: 0.2, c: 0.1 } }));
  });

  test("resize changes how many run at once", async () => {
    await world(async (w) => {
      const bulkhead = new Bulkhead({ limit: 1, maxQueue: 5 });
      const calls = [1, 2, 3].map(() => bulkhead.run(() => sleep(10)));
      bulkhead.resize(3);
      assert.equal(bulkhead.statistics().inUse, 3);
      await Promise.all(calls);
      assert.equal(w.now, 10);
      assert.throws(() => bulkhead.resize(0), RangeError);
      assert.throws(() => new Bulkhead({ limit: told(5).limit, name: "x" }).resize(2), {
        name: "MisuseError",
        message: 'Cannot resize bulkhead "x": it finds its limit by itself',
      });
      assert.throws(() => new Bulkhead({ limit: told(5).limit }).resize(2), MisuseError);
    });
  });
});

describe("Bulkhead that finds its limit", () => {
  test("gives samples of what ended, failed of load, or was late; and none of the rest", async () => {
    await world(async (w) => {
      const { limit, samples } = told(9);
      const bulkhead = new Bulkhead({ limit });
      await w.advance(100);
      const controller = new AbortController();
      const failing = (error: unknown) => () => sleep(5).then(() => Promise.reject(error));
      await Promise.allSettled([
        bulkhead.run(() => sleep(30)),
        bulkhead.run(() => "at once"),
        bulkhead.run(failing(new TypeError("a mistake"))),
        bulkhead.run(failing(Object.assign(new Error("busy"), { retryAfterMs: 10 }))),
        bulkhead.run(() => sleep(50), { timeoutMs: 20 }),
        bulkhead.run(({ signal }) => sleep(50, { signal }), { signal: controller.signal }),
        bulkhead.run(() => sleep(60), { signal: controller.signal }),
        sleep(10).then(() => controller.abort()),
      ]);
      await bulkhead.onIdle();
      assert.deepEqual(
        samples.map(({ runMs, inFlight, overloaded }) => [runMs, inFlight, overloaded]),
        [[0, 2, false], [5, 4, true], [20, 5, true], [30, 1, false]],
      );
      assert.deepEqual([samples[0]!.startedMs, samples[3]!.endedMs], [100, 130]);
    });
  });

  test("takes over what is found, lets in at once who then fits, and tells the observer", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (record) => void records.push(record) });
      const { limit } = told(1, 3.7, 2);
      const bulkhead = new Bulkhead({ limit, maxQueue: 9, name: "x" });
      const calls = [10, 10, 20, 20].map((ms) => bulkhead.run(() => sleep(ms)));
      await w.advance(10);
      assert.deepEqual([bulkhead.limit, bulkhead.statistics().inUse], [3, 3]);
      await w.advance(10);
      assert.deepEqual([bulkhead.limit, bulkhead.statistics().inUse], [2, 2]);
      await Promise.all(calls);
      assert.deepEqual(records.filter(({ kind }) => kind === "limit").map(({ data }) => data), [
        { limit: 3, before: 1 },
        { limit: 2, before: 3 },
      ]);
    });
  });

  test("what an estimator or a predicate throws fails no call", async () => {
    await world(async () => {
      const failures: unknown[] = [];
      using _watching = observe({
        record: ({ kind, data }) => kind === "limit.failed" && failures.push(data),
      });
      const error = new Error("estimator");
      const limit = {
        start: () => ({
          limit: 2,
          record: () => {
            throw error;
          },
        }),
      };
      const bulkhead = new Bulkhead({
        limit,
        isOverload: () => {
          throw error;
        },
      });
      assert.equal(await bulkhead.run(() => 1), 1);
      await assert.rejects(bulkhead.run(() => Promise.reject(new Error("own"))), { message: "own" });
      assert.deepEqual(failures, [{ error }, { error }]);
      assert.equal(bulkhead.limit, 2);
      const strange = new Bulkhead({ limit: told(4, NaN, -3, 0).limit });
      for (let i = 0; i < 3; i++) await strange.run(() => 1);
      assert.equal(strange.limit, 4);
    });
  });
});

describe("Bulkhead, in whatever order", () => {
  const scene = (bulkhead: () => Bulkhead) => async (signal?: AbortSignal) => {
    const inner = bulkhead();
    const work = ({ signal }: { signal: AbortSignal }) => sleep(3, { signal });
    const calls = [0, 1, 2, 3].map((priority) =>
      inner.run(
        work,
        priority % 2 ? { signal, priority, key: priority > 2 ? "vital" : undefined } : { signal },
      )
    );
    calls.push(
      inner.run(() => sleep(5), { signal, timeoutMs: 4 }).catch((error) => {
        if (!(error instanceof TimeoutError)) throw error;
      }),
    );
    const settled = await Promise.allSettled(calls);
    for (const one of settled) if (one.status === "rejected") throw one.reason;
  };
  const kinds: [string, () => Bulkhead][] = [
    ["plain", () => new Bulkhead({ limit: 1, maxQueue: 9 })],
    ["with places reserved", () => new Bulkhead({ limit: 2, maxQueue: 9, reserved: { vital: 0.5 } })],
    ["adaptive", () => new Bulkhead({ limit: told(1, 2, 1).limit, maxQueue: 9, maxWaitMs: 50 })],
  ];
  for (const [name, make] of kinds) {
    test(`${name}: no place is lost, wherever it is aborted`, async () => {
      let bulkhead!: Bulkhead;
      const { points } = await sweep(scene(() => bulkhead = make()), async () => {
        await bulkhead.onIdle();
        const { inUse, waiting, abandoned } = bulkhead.statistics();
        assert.deepEqual([inUse, waiting, abandoned], [0, 0, 0]);
      });
      assert.ok(points > 5);
    });

    test(`${name}: ends well in every order`, async () => {
      await explore(async () => {
        let bulkhead!: Bulkhead;
        await scene(() => bulkhead = make())();
        await bulkhead.onIdle();
        assert.equal(bulkhead.statistics().inUse, 0);
      }, { runs: 50 });
    });
  }
});
