import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { shield, timeout } from "../../src/cancel/timeout.ts";
import { census } from "../../src/kernel/census.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { MisuseError, TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { AsyncLock } from "../../src/sync/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { abortedByListening } from "../_foreign_signal.ts";

describe("timeout, as a scope", () => {
  test("aborts its signal at the limit with a TimeoutError that names operation and limit", async () => {
    await world(async (w) => {
      using limit = timeout(250, { operation: "import" });
      await assert.rejects(sleep(1_000, { signal: limit.signal }), (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.equal(error, limit.signal.reason);
        assert.equal(error.message, "Cannot finish import within 250 ms: it was still running");
        assert.deepEqual([error.operation, error.limitMs], ["import", 250]);
        return true;
      });
      assert.equal(w.now, 250);
      assert.equal(limit.remainingMs, 0);
      using own = timeout(5, { message: "Too slow" });
      await assert.rejects(sleep(10, { signal: own.signal }), { name: "TimeoutError", message: "Too slow" });
    });
  });

  test("aborts a signal that is asked for only later, too", async () => {
    await world(async (w) => {
      using limit = timeout(10);
      await w.advance(20);
      assert.ok(limit.signal.reason instanceof TimeoutError);
      assert.equal(limit.signal, limit.signal);
    });
  });

  test("disposed, it stops the clock, lets go of the outer signal, and never aborts", async () => {
    await world(async (w) => {
      const before = { ...census };
      const outer = new AbortController();
      const limit = timeout(100, { signal: outer.signal });
      const { signal } = limit;
      limit[Symbol.dispose]();
      limit[Symbol.dispose]();
      assert.equal(w.timers.length, 0);
      assert.deepEqual(census, before);
      await w.advance(1_000);
      outer.abort();
      assert.equal(signal.aborted, false);
    });
  });

  test("an outer, earlier limit wins, and the error is the outer's (TO-02)", async () => {
    await world(async (w) => {
      using outer = timeout(1_000, { operation: "outer" });
      using inner = timeout(5_000, { operation: "inner", signal: outer.signal });
      assert.equal(inner.remainingMs, 1_000);
      await assert.rejects(sleep(60_000, { signal: inner.signal }), (error) => {
        assert.ok(error instanceof TimeoutError && error.operation === "outer");
        return error === outer.signal.reason && error === inner.signal.reason;
      });
      assert.equal(w.now, 1_000);
      assert.equal(w.timers.length, 0);
    });
  });

  test("an inner, earlier limit leaves the outer alone", async () => {
    await world(async () => {
      using outer = timeout(5_000, { operation: "outer" });
      using inner = timeout(1_000, { operation: "inner", signal: outer.signal });
      await assert.rejects(sleep(60_000, { signal: inner.signal }), { operation: "inner" });
      assert.equal(outer.signal.aborted, false);
    });
  });

  test("passes the outer signal's reason on, untouched, from the start too", async () => {
    for (const reason of ["text", null, new Error("stop")]) {
      await world((w) => {
        const outer = new AbortController();
        using limit = timeout(100, { signal: outer.signal });
        outer.abort(reason);
        assert.equal(limit.signal.reason, reason);
        using late = timeout(0, { signal: outer.signal });
        assert.equal(late.signal.reason, reason);
        assert.equal(w.timers.length, 0);
      });
    }
  });

  test("is over, without a timer, when a foreign outer signal is aborted by being listened to", async () => {
    for (const says of [true, false]) {
      await world(async (w) => {
        const limit = timeout(100, { signal: abortedByListening(says) });
        assert.equal(limit.signal.reason, "foreign");
        const running = timeout(100, () => assert.fail("started"), { signal: abortedByListening(says) });
        assert.equal(w.timers.length, 0);
        await assert.rejects(running, (reason) => reason === "foreign");
      });
    }
  });

  test("0 is over at once, Infinity never and without a timer, far limits are exact (TO-04)", async () => {
    await world(async (w) => {
      using zero = timeout(0, { operation: "start" });
      assert.equal(zero.signal.reason.message, "Cannot finish start within 0 ms: no time was left to start");
      assert.equal(zero.remainingMs, 0);
      using never = timeout(Infinity);
      assert.equal(w.timers.length, 0);
      assert.equal(never.remainingMs, Infinity);
      assert.equal(never.signal.aborted, false);
      using far = timeout(2 ** 40);
      await w.advance(2 ** 40 - 1);
      assert.equal(far.signal.aborted, false);
      await w.advance(1);
      assert.equal(far.signal.aborted, true);
    });
  });

  test("an idle limit starts anew with each touch, and makes no timer of it", async () => {
    await world(async (w) => {
      using idle = timeout(100, { idle: true, operation: "download" });
      for (let i = 0; i < 50; i++) {
        await w.advance(90);
        assert.equal(w.timers.length, 1);
        idle.touch();
        idle.touch();
      }
      await w.advance(99);
      assert.equal(idle.signal.aborted, false);
      await w.advance(1);
      assert.equal(
        idle.signal.reason.message,
        "Cannot finish download within 100 ms: nothing happened for so long",
      );
      idle.touch();
      assert.equal(idle.signal.aborted, true);
      using fixed = timeout(100);
      assert.throws(() => fixed.touch(), MisuseError);
    });
  });

  test("its timer holds no process", async () => {
    await world((w) => {
      using _limit = timeout(100);
      assert.deepEqual(w.timers.map(({ ref }) => ref), [false]);
    });
  });

  test("refuses wrong limits and options where it is made (TO-04)", () => {
    for (const ms of [-1, NaN, -Infinity]) assert.throws(() => timeout(ms), RangeError);
    const wrong = [null, { signal: {} }, { operation: 5 }, { message: 5 }, {
      idle: 1,
    }] as unknown as object[];
    for (const options of wrong) assert.throws(() => timeout(1, options), TypeError);
    assert.throws(() => timeout("5" as unknown as number), TypeError);
  });
});

describe("timeout, around a function", () => {
  test("gives what the function gives, at once or later, and leaves nothing behind", async () => {
    await world(async (w) => {
      const failure = new Error("inside");
      const throwing = () => {
        throw failure;
      };
      assert.equal(await timeout(100, () => 1), 1);
      assert.equal(await timeout(100, () => sleep(50).then(() => 2)), 2);
      assert.equal(await timeout(Infinity, async () => await sleep(2 ** 40)), undefined);
      await assert.rejects(timeout(100, throwing), (error) => error === failure);
      await assert.rejects(timeout(100, () => Promise.reject(failure)), (error) => error === failure);
      assert.equal(w.timers.length, 0);
    });
  });

  test("rejects at the limit even when the work ignores its signal, and holds the process until then", async () => {
    await world(async (w) => {
      const work = deferred<void>();
      const limited = timeout(100, () => work.promise, { operation: "work" });
      assert.deepEqual(w.timers.map(({ ref }) => ref), [true]);
      await assert.rejects(limited, { name: "TimeoutError", operation: "work", limitMs: 100 });
      assert.equal(w.now, 100);
      work.resolve();
    });
  });

  test("tells a timeout of the work's own from its limit", async () => {
    await world(async () => {
      const own = new TimeoutError("Cannot a within 5 ms: b", { operation: "a", limitMs: 5 });
      await assert.rejects(timeout(100, () => Promise.reject(own)), (error) => error === own);
    });
  });

  test("the outer limit's error comes through the inner one (TO-02)", async () => {
    await world(async (w) => {
      const nested = timeout(
        1_000,
        ({ signal }) =>
          timeout(5_000, ({ signal }) => sleep(60_000, { signal }), {
            signal,
            operation: "inner",
          }),
        { operation: "outer" },
      );
      await assert.rejects(nested, { operation: "outer", limitMs: 1_000 });
      assert.equal(w.now, 1_000);
      assert.equal(w.timers.length, 0);
    });
  });

  test("0, or a signal aborted beforehand, does not start it (TO-04)", async () => {
    await world(async () => {
      let started = false;
      const start = (): void => void (started = true);
      await assert.rejects(timeout(0, start), { name: "TimeoutError", limitMs: 0 });
      const signal = AbortSignal.abort(null);
      await assert.rejects(timeout(100, start, { signal }), (error) => error === null);
      assert.equal(started, false);
    });
  });

  test("an abort rejects at once with the reason, and reaches the work's signal", async () => {
    await world(async () => {
      const outer = new AbortController();
      const seen: unknown[] = [];
      const work = deferred<void>();
      const limited = timeout(100, ({ signal }) => {
        signal.addEventListener("abort", () => seen.push(signal.reason), { once: true });
        return work.promise;
      }, { signal: outer.signal });
      outer.abort("stop");
      await assert.rejects(limited, (error) => error === "stop");
      assert.deepEqual(seen, ["stop"]);
      work.resolve();
    });
  });

  test("work that aborts its own outer signal and then returns is discarded", async () => {
    await world(async () => {
      const outer = new AbortController();
      const disposed: string[] = [];
      const limited = timeout(100, () => {
        outer.abort("stop");
        return { [Symbol.dispose]: () => void disposed.push("result") };
      }, { signal: outer.signal });
      await assert.rejects(limited, (error) => error === "stop");
      assert.deepEqual(disposed, ["result"]);
    });
  });

  test("disposes a result that comes too late, and tells the observer of a failure that does", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _observer = observe({ record: (record) => void records.push(record) });
      const disposed: string[] = [];
      const late = timeout(10, async () => {
        await sleep(20);
        return { [Symbol.asyncDispose]: () => Promise.resolve(void disposed.push("result")) };
      });
      await assert.rejects(late, TimeoutError);
      const failure = new Error("late");
      const failing = timeout(10, () => sleep(20).then(() => Promise.reject(failure)), { operation: "x" });
      await assert.rejects(failing, TimeoutError);
      const echoing = timeout(10, ({ signal }) => sleep(20, { signal }));
      await assert.rejects(echoing, TimeoutError);
      await w.advance(50);
      assert.deepEqual(disposed, ["result"]);
      assert.deepEqual(records.filter(({ kind }) => kind === "late.failure"), [
        { kind: "late.failure", structure: "timeout", name: "x", data: { error: failure } },
      ]);
    });
  });

  test("rejects wrong limits and options instead of throwing", async () => {
    for (const ms of [-1, NaN]) await assert.rejects(timeout(ms, () => {}), RangeError);
    await assert.rejects(timeout(1, () => {}, null as unknown as object), TypeError);
  });
});

describe("shield", () => {
  test("gives its work a fresh signal and what it returns", async () => {
    await world(async () => {
      assert.equal(await shield(100, ({ signal }) => Promise.resolve(signal.aborted)), false);
      const failure = new Error("inside");
      await assert.rejects(shield(100, () => Promise.reject(failure)), (error) => error === failure);
    });
  });

  test("ends at its limit, whether or not the work heeds it", async () => {
    await world(async (w) => {
      const work = deferred<void>();
      await assert.rejects(shield(100, () => work.promise), {
        name: "TimeoutError",
        message: "Cannot finish shielded work within 100 ms: it was still running",
      });
      assert.equal(w.now, 100);
      work.resolve();
    });
  });

  test("is always bound in time", async () => {
    for (const ms of [Infinity, -1, NaN]) {
      await assert.rejects(shield(ms, () => Promise.resolve()), RangeError);
    }
    await assert.rejects(shield(1, 5 as unknown as () => Promise<void>), TypeError);
  });
});

describe("timeout, of a thenable", () => {
  test("disposes a late result once, however often the thenable calls back", async () => {
    let disposed = 0;
    const result = { [Symbol.dispose]: () => void disposed++ };
    await world(async () => {
      const call = timeout(5, () => ({
        then(resolve: (value: typeof result) => void) {
          void sleep(10).then(() => [resolve(result), resolve(result)]);
        },
      } as PromiseLike<typeof result>));
      await assert.rejects(call, TimeoutError);
      await sleep(10);
    });
    assert.equal(disposed, 1);
  });

  test("limits a promise that the thenable resolves with, too", async () => {
    await world(async () => {
      const call = timeout(5, () => ({
        then: (resolve: (value: unknown) => void) => resolve(sleep(10)),
      } as PromiseLike<unknown>));
      await assert.rejects(call, TimeoutError);
      await sleep(10);
    });
  });
});

test("timeout says what its work was waiting for, however deep in it", () =>
  world(async () => {
    const lock = new AsyncLock({ name: "ledger" });
    using _lease = await lock.acquire({ label: "import" });
    const work = timeout(5, ({ signal }) =>
      timeout(60_000, ({ signal }) => lock.acquire({ signal }), { signal, operation: "inner" }), {
      operation: "booking",
    });
    await assert.rejects(work, {
      name: "TimeoutError",
      message: 'Cannot finish booking within 5 ms: it was still waiting to acquire lock "ledger": ' +
        'it is held as "import" for 5 ms, 1 waiting',
    });
  }));
