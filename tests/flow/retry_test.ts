import assert from "node:assert/strict";
import { test } from "node:test";
import { linkSignals, sleep, timeout } from "../../src/cancel/mod.ts";
import { retry } from "../../src/flow/retry.ts";
import type { Attempt, RetryEvent } from "../../src/flow/retry_options.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { deadlineOf } from "../../src/kernel/deadlines.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** Fails so many times with errors of its own, then succeeds. */
function flaky(failures: number) {
  const errors: Error[] = [];
  const fn = async (): Promise<string> => {
    await Promise.resolve();
    if (errors.length < failures) {
      errors.push(new Error(`failure ${errors.length + 1}`));
      throw errors.at(-1);
    }
    return "done";
  };
  return { fn, errors };
}

/** What the observer is told while `body` runs. */
async function records(body: () => Promise<unknown>): Promise<ObserverRecord[]> {
  const seen: ObserverRecord[] = [];
  using _watching = observe({ record: (r) => void (r.structure === "retry" && seen.push(r)) });
  await body();
  return seen;
}

const plain = { jitter: "none", baseMs: 100 } as const;

test("retry refuses bad options where it is made, and rejects in the form that runs", async () => {
  for (const attempts of [0, -1, 1.5, NaN]) assert.throws(() => retry({ attempts }), RangeError);
  assert.throws(() => retry({ attempts: "3" as unknown as number }), TypeError);
  assert.throws(() => retry({ baseMs: -1 }), RangeError);
  assert.throws(() => retry({ maxElapsedMs: NaN }), RangeError);
  assert.throws(() => retry({ attemptTimeoutMs: -1 }), RangeError);
  assert.throws(() => retry({ when: Error as never, onRetry: {} as never }), TypeError);
  assert.throws(() => retry(5 as never), TypeError);
  assert.throws(() => retry({ attempts: 0, name: "x" }), {
    message: 'Cannot create retry "x" as attempts must be an integer >= 1: received 0',
  });
  await assert.rejects(retry(() => assert.fail("ran"), { attempts: 0 }), RangeError);
  await assert.rejects(retry(() => assert.fail("ran"), { timeoutMs: -1 }), RangeError);
  await assert.rejects(retry().run(undefined as never), TypeError);
});

test("retry gives the first success, with pauses that grow", async () => {
  await world(async (w) => {
    const { fn, errors } = flaky(3);
    assert.equal(await retry(fn, { ...plain, attempts: 4 }), "done");
    assert.equal(errors.length, 3);
    assert.equal(w.now, 100 + 200 + 400);
    assert.equal(await retry(() => 5), 5, "a plain value will do");
  });
});

test("RT-04 retry: with no attempt left the last error is thrown, itself", async () => {
  await world(async () => {
    const { fn, errors } = flaky(9);
    await assert.rejects(retry(fn, plain), (e) => e === errors[2]);
    assert.equal(errors.length, 3, "three attempts by default");
    for (const thrown of ["text", null, undefined]) {
      const call = retry(() => Promise.reject(thrown), { ...plain, attempts: 2 });
      assert.equal(await call.catch((e) => ({ e })).then((r) => (r as { e: unknown }).e), thrown);
    }
    const told = await records(() => retry(flaky(9).fn, { ...plain, name: "n" }).catch(() => {}));
    assert.deepEqual(told.map((r) => [r.kind, r.name, (r.data as { why?: string }).why]), [
      ["retry", "n", undefined],
      ["retry", "n", undefined],
      ["retry.gaveUp", "n", "attempts"],
    ]);
  });
});

test("retry: an attempt is told its number, the time elapsed and the last error", async () => {
  await world(async () => {
    const seen: unknown[] = [];
    const errors = [new Error("a"), new Error("b")];
    await retry(async (context: Attempt) => {
      seen.push([context.attempt, context.elapsedMs, context.lastError, context.signal.aborted]);
      await sleep(5);
      if (errors[context.attempt - 1]) throw errors[context.attempt - 1];
    }, plain);
    assert.deepEqual(seen, [[1, 0, undefined, false], [2, 105, errors[0], false], [
      3,
      310,
      errors[1],
      false,
    ]]);
  });
});

test("retry: work that throws synchronously is an attempt like any other", async () => {
  await world(async () => {
    let calls = 0;
    const throwing = (): string => {
      if (++calls % 2 === 1) throw new Error("at once");
      return "done";
    };
    assert.equal(await retry(throwing, plain), "done");
    assert.equal(await retry(throwing, { ...plain, timeoutMs: 1_000 }), "done");
  });
});

test("retry.when: an error that is not to be retried is thrown at once; what it throws surfaces", async () => {
  await world(async (w) => {
    const fatal = new TypeError("fatal");
    let calls = 0;
    const fn = () => {
      calls++;
      return Promise.reject(fatal);
    };
    await assert.rejects(retry(fn, { when: (e) => !(e instanceof TypeError) }), (e) => e === fatal);
    assert.deepEqual([calls, w.now], [1, 0]);
    const bug = new Error("bug in when");
    const when = () => {
      throw bug;
    };
    await assert.rejects(retry(fn, { when }), (e) => e === bug);
  });
});

test("RT-02 retry: abort during an attempt rejects at once, the attempt's late failure is not unhandled", async () => {
  await world(async (w) => {
    const controller = new AbortController();
    const late = new Error("late");
    const seen: unknown[] = [];
    const told = await records(async () => {
      const call = retry(async ({ signal }) => {
        signal.addEventListener("abort", () => seen.push(signal.reason));
        await sleep(100); // deaf
        throw late;
      }, { ...plain, signal: controller.signal, name: "n" });
      await w.advance(40);
      controller.abort("stop");
      assert.equal(await call.catch((e) => e), "stop");
      assert.equal(w.now, 40);
      assert.deepEqual(seen, ["stop"]);
      await w.advance(1_000);
    });
    assert.deepEqual(told, [{ kind: "late.failure", structure: "retry", name: "n", data: { error: late } }]);
  });
});

test("retry: an echo of the abort is nobody's failure, and a late result is disposed", async () => {
  await world(async (w) => {
    let disposed = 0;
    const told = await records(async () => {
      const first = retry(({ signal }) => sleep(100, { signal }), { timeoutMs: 10 });
      const second = retry(async () => {
        await sleep(100);
        return { [Symbol.asyncDispose]: () => Promise.resolve(void disposed++) };
      }, { timeoutMs: 10 });
      await assert.rejects(first, TimeoutError);
      await assert.rejects(second, TimeoutError);
      await w.advance(100);
    });
    assert.deepEqual([told, disposed], [[], 1]);
  });
});

test("retry: abort during a pause ends it and leaves no timer", async () => {
  await world(async (w) => {
    const controller = new AbortController();
    const { fn, errors } = flaky(9);
    const call = retry(fn, { ...plain, signal: controller.signal });
    await w.advance(50);
    assert.equal(w.timers.length, 1);
    controller.abort(null);
    assert.equal(w.timers.length, 0);
    assert.equal(await call.catch((e) => [e]).then((e) => (e as unknown[])[0]), null);
    assert.equal(errors.length, 1);
  });
});

test("retry: an aborted signal is refused first, cancellation is never retried", async () => {
  await world(async () => {
    const signal = AbortSignal.abort("before");
    assert.equal(await retry(() => assert.fail("ran"), { signal }).catch((e) => e), "before");
    // The attempt itself aborts the call, and fails with something of its own in the same turn.
    const controller = new AbortController();
    let calls = 0;
    const own = new Error("own");
    const told = await records(async () => {
      const call = retry(() => {
        calls++;
        controller.abort("mine");
        return Promise.reject(own);
      }, { ...plain, signal: controller.signal });
      assert.equal(await call.catch((e) => e), "mine");
    });
    assert.deepEqual([calls, told.map((r) => r.kind)], [1, ["late.failure"]]);
    // Somebody else's AbortError is a failure like any other.
    let others = 0;
    const foreign = new DOMException("not yours", "AbortError");
    const failing = retry(() => (others++, Promise.reject(foreign)), plain);
    await assert.rejects(failing, (e) => e === foreign);
    assert.equal(others, 3);
  });
});

test("RT-16 retry: a result that comes in the turn of the abort, but before it, counts", async () => {
  await world(async () => {
    const controller = new AbortController();
    const ready = deferred<string>();
    const call = retry(() => ready.promise, { signal: controller.signal });
    const aborted = ready.promise.then(() => controller.abort("too late"));
    ready.resolve("result");
    assert.equal(await call, "result");
    await aborted;
    const other = new AbortController();
    const never = deferred<string>();
    const lost = retry(() => never.promise, { signal: other.signal });
    other.abort("first");
    never.resolve("result");
    assert.equal(await lost.catch((e) => e), "first");
  });
});

test("RT-06 retry: pauses at the cap still scatter, none is longer", async () => {
  for (const [jitter, least] of [["full", 0], ["equal", 200], ["decorrelated", 100]] as const) {
    await world(async (w) => {
      const pauses: number[] = [];
      const options = {
        attempts: 10_000,
        baseMs: 100,
        maxMs: 400,
        jitter,
        onRetry: (e: RetryEvent) => void pauses.push(e.pauseMs),
      };
      await retry(() => Promise.reject(new Error("x")), options).catch(() => {});
      const capped = pauses.slice(3);
      assert.ok(capped.every((ms) => ms >= least && ms <= 400));
      assert.ok(capped.some((ms) => ms < least + 50) && capped.some((ms) => ms > 350));
      // No two callers in a hundred come back in the same moment.
      assert.ok(new Set(capped).size > 0.99 * capped.length, jitter);
      assert.ok(w.now > 0);
    });
  }
});

test("RT-08 retry: a pause that would go past the deadline is not begun", async () => {
  await world(async (w) => {
    const errors: Error[] = [];
    const fn = async () => {
      await sleep(500);
      errors.push(new Error("slow"));
      throw errors.at(-1);
    };
    const slow = { jitter: "none", kind: "constant", baseMs: 900 } as const;
    const told = await records(() =>
      assert.rejects(retry(fn, { ...slow, timeoutMs: 1_000 }), (e) => e === errors[0])
    );
    assert.equal(w.now, 500);
    assert.deepEqual(told.map((r) => [r.kind, r.data]), [
      ["retry.gaveUp", { why: "deadline", attempt: 1, error: errors[0], pauseMs: 900 }],
    ]);
    await assert.rejects(retry(fn, { ...slow, maxElapsedMs: 1_000 }), (e) => e === errors[1]);
    assert.equal(w.now, 1_000);
    // The deadline of whoever called, through a chain of signals.
    using outer = timeout(1_000);
    using linked = linkSignals(outer.signal, new AbortController().signal);
    await assert.rejects(retry(fn, { ...slow, signal: linked.signal }), (e) => e === errors[2]);
    assert.equal(w.now, 1_500);
  });
});

test("retry: maxElapsedMs lets an attempt finish that began in time", async () => {
  await world(async (w) => {
    let calls = 0;
    const fn = async () => {
      await sleep(400);
      if (++calls < 3) throw new Error("again");
      return calls;
    };
    assert.equal(await retry(fn, { ...plain, kind: "constant", maxElapsedMs: 1_000 }), 3);
    assert.equal(w.now, 1_400);
  });
});

test("retry: timeoutMs ends the whole call, naming it and what failed last", async () => {
  await world(async (w) => {
    const first = new Error("first");
    const call = retry(async ({ attempt, signal }) => {
      assert.equal(deadlineOf(signal), 300);
      if (attempt === 1) throw first;
      await sleep(1_000);
    }, { ...plain, timeoutMs: 300, name: "billing" });
    const error = await call.catch((e) => e);
    assert.ok(error instanceof TimeoutError);
    assert.equal(
      error.message,
      'Cannot finish retry "billing" within 300 ms: it was busy with attempt 2 of 3',
    );
    assert.deepEqual([error.operation, error.limitMs, w.now], ['finish retry "billing"', 300, 300]);
    assert.equal(error.cause, first);
    await assert.rejects(retry(() => assert.fail("ran"), { timeoutMs: 0 }), TimeoutError);
    await w.advance(1_000);
  });
});

test("retry: an attempt that reaches its own limit has failed and is followed by the next", async () => {
  await world(async (w) => {
    const seen: unknown[] = [];
    const result = await retry(async ({ attempt, lastError, signal }) => {
      if (attempt < 3) await sleep(1_000, { signal }).finally(() => seen.push([w.now, signal.aborted]));
      return lastError;
    }, { ...plain, kind: "constant", attemptTimeoutMs: 50 });
    assert.deepEqual(seen, [[50, true], [200, true]]);
    assert.ok(result instanceof TimeoutError);
    assert.equal(result.message, "Cannot finish attempt 2 of retry within 50 ms: it was still running");
    assert.equal(w.now, 300);
    // A TimeoutError of the whole call is not a failed attempt.
    let calls = 0;
    const whole = retry(() => (calls++, sleep(100)), { ...plain, attemptTimeoutMs: 80, timeoutMs: 60 });
    await assert.rejects(whole, { limitMs: 60 });
    assert.equal(calls, 1);
    await w.advance(100);
  });
});

test("retry: retryAfterMs of the error is the least the pause will be", async () => {
  await world(async (w) => {
    const after = (retryAfterMs: unknown) => Object.assign(new Error("busy"), { retryAfterMs });
    const once = (error: Error) => {
      let calls = 0;
      return () => calls++ === 0 ? Promise.reject(error) : Promise.resolve(w.now);
    };
    assert.equal(await retry(once(after(50_000)), { ...plain, maxMs: 200 }), 50_000);
    for (const none of [0, -5, NaN, "7"]) {
      const start = w.now;
      assert.equal(await retry(once(after(none)), plain), start + 100, "does not shorten the pause");
    }
    for (const tooLong of [5_000, Infinity]) {
      const busy = after(tooLong);
      await assert.rejects(retry(once(busy), { ...plain, timeoutMs: 1_000 }), (e) => e === busy);
    }
    const never = after(Infinity);
    await assert.rejects(retry(once(never), plain), (e) => e === never);
  });
});

test("RT-12 retry.onRetry is awaited before the pause, may fail the call, and can be aborted", async () => {
  await world(async (w) => {
    const events: unknown[] = [];
    const { fn, errors } = flaky(1);
    await retry(fn, {
      ...plain,
      onRetry: async ({ attempt, error, pauseMs, elapsedMs, signal }) => {
        await sleep(30, { signal });
        events.push([attempt, error, pauseMs, elapsedMs]);
      },
    });
    assert.deepEqual(events, [[1, errors[0], 100, 0]]);
    assert.equal(w.now, 130);
    const bug = new Error("bug in hook");
    for (
      const onRetry of [() => Promise.reject(bug), () => {
        throw bug;
      }]
    ) await assert.rejects(retry(flaky(1).fn, { ...plain, onRetry }), (e) => e === bug);
    const controller = new AbortController();
    const call = retry(flaky(1).fn, { ...plain, onRetry: () => sleep(500), signal: controller.signal });
    await w.advance(10);
    controller.abort("stop");
    assert.equal(await call.catch((e) => e), "stop");
    assert.equal(w.now, 140);
    // It takes its time from the call's.
    const slow = flaky(1);
    const late = retry(slow.fn, { ...plain, onRetry: () => sleep(70), timeoutMs: 150 });
    await assert.rejects(late, (e) => e === slow.errors[0]);
    assert.equal(w.now, 210);
    await w.advance(500);
  });
});

test("retry: concurrent calls of one policy share nothing, decorrelated pauses neither", async () => {
  await world(async () => {
    const pauses = new Map<string, number[]>();
    const policy = (key: string) => ({
      jitter: "decorrelated" as const,
      attempts: 20,
      baseMs: 100,
      maxMs: 100_000,
      onRetry: ({ pauseMs }: RetryEvent) => void pauses.set(key, [...pauses.get(key) ?? [], pauseMs]),
    });
    const shared = retry({ ...policy("shared"), onRetry: undefined, attempts: 3, baseMs: 100 });
    const results = await Promise.all(["a", "b", "c"].map((key) => {
      let calls = 0;
      return shared.run(({ attempt }) => {
        assert.equal(attempt, ++calls);
        return calls < 3 ? Promise.reject(new Error(key)) : Promise.resolve(key);
      });
    }));
    assert.deepEqual(results, ["a", "b", "c"]);
    await retry(() => Promise.reject(new Error("x")), policy("one")).catch(() => {});
    const [first, ...rest] = pauses.get("one")!;
    // Each pause is at most three times the one before of the same call; the first at most three times the base.
    assert.ok(first! >= 100 && first! <= 300);
    rest.reduce((previous, ms) => (assert.ok(ms >= 100 && ms <= previous * 3), ms), first!);
    assert.ok(rest.some((ms) => ms > 300), "they grow from one to the next");
  });
});

test("retry as a policy: transforms a function, whose options bag gets the attempt's signal", async () => {
  await world(async (w) => {
    const signals: AbortSignal[] = [];
    const load = retry({ ...plain, attemptTimeoutMs: 50 })(
      async function load(id: number, options: { signal?: AbortSignal }) {
        signals.push(options.signal!);
        if (signals.length < 3) await sleep(1_000, options);
        return await Promise.resolve(id);
      },
    );
    const controller = new AbortController();
    assert.equal(await load(7, { signal: controller.signal }), 7);
    assert.deepEqual([load.name, load.length], ["load", 2]);
    assert.equal(new Set(signals).size, 3);
    assert.deepEqual(signals.map((s) => s.aborted), [true, true, false]);
    assert.ok(!signals.includes(controller.signal));
    assert.equal(w.now, 50 + 100 + 50 + 200);
  });
});

test("retry tries again after a failure with nothing in it", async () => {
  await world(async () => {
    for (const options of [{}, { signal: new AbortController().signal }, { timeoutMs: 60_000 }]) {
      let calls = 0;
      const call = retry(() => {
        calls++;
        return Promise.reject(undefined);
      }, options);
      await assert.rejects(call, (error) => error === undefined);
      assert.equal(calls, 3);
    }
  });
});

test("retry refuses null for the options of its pauses, as for all others", () => {
  for (const name of ["kind", "baseMs", "maxMs", "jitter"]) {
    assert.throws(() => retry({ [name]: null }), TypeError);
  }
});
