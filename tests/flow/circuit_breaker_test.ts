import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { CircuitBreaker } from "../../src/flow/circuit_breaker.ts";
import type { CircuitBreakerOptions, SavedCircuit } from "../../src/flow/circuit_breaker_options.ts";
import { CircuitOpenError } from "../../src/flow/circuit_open_error.ts";
import { retry } from "../../src/flow/retry.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { explore, leakGuard, sweep, world } from "../../src/testing/mod.ts";

const down = new Error("down");
const fail = (breaker: CircuitBreaker) => breaker.run(() => Promise.reject(down)).catch((error) => error);
const pass = (breaker: CircuitBreaker) => breaker.run(() => Promise.resolve("fine"));
const refused = (breaker: CircuitBreaker) =>
  breaker.run(() => assert.fail("called")).then(() => assert.fail("let through"), (error) => {
    assert.ok(error instanceof CircuitOpenError, String(error));
    return error;
  });

/** One that opens for exactly 1,000 ms. */
function breakerOf(options: CircuitBreakerOptions = {}): CircuitBreaker {
  return new CircuitBreaker({ openMs: 1_000, openJitter: 0, ...options });
}

async function opened(options: CircuitBreakerOptions = {}): Promise<CircuitBreaker> {
  const breaker = breakerOf({ failures: 1, ...options });
  await fail(breaker);
  assert.equal(breaker.state, "open");
  return breaker;
}

describe("CircuitBreaker options", () => {
  test("are refused where it is created when they can't be right", () => {
    const wrong: CircuitBreakerOptions[] = [
      { windowMs: 0 },
      { windowSize: 0 },
      { failures: 0 },
      { failures: 1.5 },
      { failureRate: 0 },
      { failureRate: 1.01 },
      { slowRate: NaN },
      { minimumCalls: 0 },
      { windowSize: 5, minimumCalls: 6 },
      { openMs: 0 },
      { openMs: Infinity },
      { openMs: 10, maxOpenMs: 9 },
      { openGrowth: 0.5 },
      { openJitter: 2 },
      { probes: 0 },
      { probeLeaseMs: 0 },
      { slowCallMs: -1 },
    ];
    for (const options of wrong) {
      assert.throws(() => new CircuitBreaker(options), RangeError, JSON.stringify(options));
    }
    for (const options of [null, 5, { name: 1 }, { when: true }, { ignore: null }, { windowMs: "1" }]) {
      assert.throws(() => new CircuitBreaker(options as never), TypeError);
    }
    assert.throws(() => new CircuitBreaker({ windowMs: 1, failures: 1, name: "x" }), {
      name: "TypeError",
      message:
        'Cannot create circuit breaker "x" as it must have one kind of window: received windowMs and failures',
    });
    assert.throws(() => new CircuitBreaker({ failures: 2, minimumCalls: 3 }), TypeError);
  });

  test("by default want ten calls before half of them failing opens it", async () => {
    await world(async () => {
      const breaker = new CircuitBreaker();
      for (let i = 0; i < 5; i++) await pass(breaker);
      for (let i = 0; i < 4; i++) await fail(breaker);
      assert.equal(breaker.state, "closed");
      await fail(breaker);
      assert.equal(breaker.state, "open");
    });
  });

  test("of run are refused too, before anything is counted", async () => {
    const breaker = breakerOf();
    await assert.rejects(breaker.run(5 as never), TypeError);
    await assert.rejects(breaker.run(5 as never, {}), TypeError);
    await assert.rejects(breaker.run(() => 1, { timeoutMs: -1 }), RangeError);
    await assert.rejects(breaker.run(() => 1, { signal: {} as never }), TypeError);
    assert.deepEqual([breaker.statistics().running, breaker.statistics().succeeded], [0, 0]);
  });
});

describe("CircuitBreaker, closed", () => {
  test("CB-06: opens exactly at its threshold, and not before it has seen enough", async () => {
    await world(async () => {
      const all = breakerOf({ windowSize: 20, minimumCalls: 10, failureRate: 0.5 });
      for (let i = 0; i < 9; i++) await fail(all);
      assert.equal(all.state, "closed");
      await fail(all);
      assert.equal(all.state, "open");
      const half = breakerOf({ windowSize: 10, failureRate: 0.5 });
      for (let i = 0; i < 4; i++) await fail(half);
      for (let i = 0; i < 6; i++) await pass(half);
      assert.equal(half.state, "closed");
      await pass(half); // pushes out a failure
      await fail(half);
      await fail(half);
      await fail(half);
      assert.equal(half.state, "closed", "4 of 10");
      for (const outcome of [fail, fail]) await outcome(half);
      assert.equal(half.state, "open", "5 of 10");
    });
  });

  test("counts failures in a row: a success begins anew", async () => {
    const breaker = breakerOf({ failures: 3 });
    for (const call of [fail, fail, pass, fail, fail]) await call(breaker);
    assert.equal(breaker.state, "closed");
    await fail(breaker);
    assert.equal(breaker.state, "open");
  });

  test("forgets with time: failures of an hour ago don't open it", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ windowMs: 10_000, minimumCalls: 2, failureRate: 0.5 });
      await fail(breaker);
      await w.advance(3_600_000);
      await pass(breaker);
      await pass(breaker);
      await fail(breaker);
      assert.equal(breaker.state, "closed");
      assert.equal(breaker.statistics().calls, 3);
      await w.advance(10_000);
      assert.equal(breaker.statistics().calls, 0);
    });
  });

  test("opens for slow calls, which succeed all the same", async () => {
    await world(async () => {
      const breaker = breakerOf({
        windowSize: 4,
        minimumCalls: 4,
        slowCallMs: 100,
        slowRate: 0.5,
        name: "db",
      });
      for (const ms of [100, 101, 5]) assert.equal(await breaker.run(() => sleep(ms).then(() => ms)), ms);
      assert.equal(breaker.state, "closed");
      await breaker.run(() => sleep(500));
      const { message, window } = await refused(breaker);
      assert.equal(
        message,
        'Cannot call "db": circuit open for another 1000 ms after 2 of 4 calls took longer than 100 ms',
      );
      assert.deepEqual(window, { calls: 4, failures: 0, slow: 2 });
      const row = breakerOf({ failures: 2, slowCallMs: 100 });
      for (let i = 0; i < 2; i++) await row.run(() => sleep(101));
      assert.match((await refused(row)).message, /after 2 calls in a row took longer than 100 ms$/);
    });
  });

  test("takes a result for a failure, and returns it all the same", async () => {
    const breaker = breakerOf({
      failures: 2,
      whenResult: (result) => (result as { status: number }).status >= 500,
    });
    for (const status of [500, 503]) assert.deepEqual(await breaker.run(() => ({ status })), { status });
    assert.equal(breaker.state, "open");
    assert.equal(breaker.statistics().failed, 2);
  });

  test("an error that when says no to is an answer; an ignored one is nothing", async () => {
    const breaker = breakerOf({
      failures: 2,
      when: (error) => error !== "404",
      ignore: (error) => error === "bad request",
    });
    const reject = (error: unknown) => breaker.run(() => Promise.reject(error)).catch(() => {});
    await reject("500");
    await reject("bad request");
    assert.equal(breaker.statistics().failures, 1, "still in a row");
    await reject("404");
    assert.equal(breaker.statistics().failures, 0);
    const { succeeded, failed, ignored, running } = breaker.statistics();
    assert.deepEqual({ succeeded, failed, ignored, running }, {
      succeeded: 1,
      failed: 1,
      ignored: 1,
      running: 0,
    });
  });

  test("a predicate that throws ends the call, uncounted", async () => {
    const bug = new Error("bug");
    const throwing = () => {
      throw bug;
    };
    for (const what of ["when", "ignore", "whenResult"]) {
      const breaker = breakerOf({ failures: 1, [what]: throwing });
      const call = what === "whenResult" ? pass(breaker) : breaker.run(() => Promise.reject(down));
      await assert.rejects(call, (error) => error === bug);
      const { state, calls, running } = breaker.statistics();
      assert.deepEqual({ state, calls, running }, { state: "closed", calls: 0, running: 0 });
    }
  });

  test("a call that throws at once has failed; errors come through as they are", async () => {
    const breaker = breakerOf({ failures: 3 });
    for (const thrown of [down, "text", null]) {
      const call = breaker.run(() => {
        throw thrown;
      });
      assert.equal(await call.then(() => assert.fail(), (error) => error), thrown);
    }
    assert.equal(breaker.state, "open");
  });
});

describe("CircuitBreaker, open", () => {
  test("says on the error for how long, and why; rejections are not counted", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ name: "billing", openMs: 2_400, windowSize: 20, minimumCalls: 20 });
      for (let i = 0; i < 8; i++) await pass(breaker);
      for (let i = 0; i < 12; i++) await fail(breaker);
      const error = await refused(breaker);
      assert.equal(
        error.message,
        'Cannot call "billing": circuit open for another 2400 ms after 12 of 20 calls failed',
      );
      assert.equal(error.name, "CircuitOpenError");
      assert.deepEqual([error.state, error.retryAfterMs, error.cause], ["open", 2_400, down]);
      assert.deepEqual(error.window, { calls: 20, failures: 12, slow: 0 });
      await w.advance(2_399.5);
      assert.equal((await refused(breaker)).retryAfterMs, 1, "rounded up");
      const { calls, refused: total } = breaker.statistics();
      assert.deepEqual([calls, total], [0, 2]);
      assert.match(
        (await refused(await opened())).message,
        /^Cannot call: circuit open .* after 1 call failed$/,
      );
    });
  });

  test("CB-08: stays open longer each time in a row, up to its cap, and begins anew after closing", async () => {
    await world(async (w) => {
      const breaker = await opened({ maxOpenMs: 3_000 });
      for (const openMs of [1_000, 2_000, 3_000, 3_000]) {
        assert.equal((await refused(breaker)).retryAfterMs, openMs);
        await w.advance(openMs);
        assert.equal(breaker.state, "halfOpen");
        await fail(breaker);
      }
      assert.match((await refused(breaker)).message, /after 1 of 1 probes failed$/);
      await w.advance(3_000);
      await pass(breaker);
      assert.equal(breaker.state, "closed");
      await fail(breaker);
      assert.equal((await refused(breaker)).retryAfterMs, 1_000);
    });
  });

  test("CB-08: chance shortens the open time by the given share at most, also at the cap", async () => {
    await world(async (w) => {
      const times: number[] = [];
      const breaker = breakerOf({ failures: 1, openMs: 1_000, openGrowth: 1, openJitter: 0.5 });
      for (let i = 0; i < 200; i++) {
        await fail(breaker);
        times.push((await refused(breaker)).retryAfterMs);
        await w.advance(times.at(-1)!);
      }
      assert.ok(times.every((ms) => ms >= 500 && ms <= 1_000));
      assert.ok(times.some((ms) => ms < 600) && times.some((ms) => ms > 900));
    });
  });

  test("CB-08: stays open as long as the service asks for, up to its cap", async () => {
    await world(async () => {
      const asking = (retryAfterMs: number, options: CircuitBreakerOptions) => {
        const breaker = breakerOf({ failures: 2, ...options });
        const busy = Object.assign(new Error("busy"), { retryAfterMs });
        return breaker.run(() => Promise.reject(busy)).catch(() => fail(breaker)).then(() => breaker);
      };
      // Not the failure that opened it but the one before said so.
      assert.equal((await refused(await asking(60_000, {}))).retryAfterMs, 60_000);
      assert.equal((await refused(await asking(500, {}))).retryAfterMs, 1_000);
      assert.equal((await refused(await asking(60_000, { maxOpenMs: 9_000 }))).retryAfterMs, 9_000);
      const again = await asking(60_000, {});
      again.reset();
      for (let i = 0; i < 2; i++) await fail(again);
      assert.equal((await refused(again)).retryAfterMs, 1_000, "it had been asked before it was closed");
      const bare = breakerOf({ failures: 1, whenResult: () => true });
      await bare.run(() => ({ status: 503, retryAfterMs: 7_000 }));
      assert.equal((await refused(bare)).retryAfterMs, 7_000, "on a result");
    });
  });
});

describe("CircuitBreaker, half-open", () => {
  test("lets exactly its probes through, and closes when all have ended well", async () => {
    await world(async (w) => {
      const breaker = await opened({ probes: 3 });
      await w.advance(1_000);
      const gates = [deferred(), deferred(), deferred()];
      const probes = gates.map((gate) => breaker.run(() => gate.promise));
      const error = await refused(breaker);
      assert.equal(error.message, "Cannot call: circuit half-open, 3 of 3 probes under way");
      assert.deepEqual([error.state, error.retryAfterMs], ["halfOpen", 0]);
      for (const gate of gates) {
        assert.equal(breaker.state, "halfOpen");
        gate.resolve(1);
        await w.idle();
        if (gate !== gates[2]) await refused(breaker);
      }
      await Promise.all(probes);
      assert.equal(breaker.state, "closed");
    });
  });

  test("opens again as soon as too many probes have failed", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ windowSize: 4, minimumCalls: 4, failureRate: 0.5, probes: 4 });
      for (let i = 0; i < 4; i++) await fail(breaker);
      await w.advance(1_000);
      for (const call of [fail, pass]) await call(breaker);
      assert.equal(breaker.state, "halfOpen");
      await fail(breaker);
      assert.equal(breaker.state, "open");
      assert.deepEqual((await refused(breaker)).window, { calls: 3, failures: 2, slow: 0 });
      assert.equal((await refused(breaker)).retryAfterMs, 2_000);
    });
  });

  test("CB-02: outcomes of calls from before a change of state count for nothing", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ failures: 1, probes: 1, probeLeaseMs: 10_000 });
      const [late, fine] = [deferred<string>(), deferred<string>()];
      const closedEra = [breaker.run(() => late.promise), breaker.run(() => fine.promise)];
      closedEra[0]!.catch(() => {});
      await fail(breaker);
      await w.advance(1_000);
      const probe = deferred<string>();
      const probing = breaker.run(() => probe.promise);
      late.reject(down);
      fine.resolve("late");
      await w.idle();
      assert.equal(breaker.state, "halfOpen", "neither opened nor closed");
      assert.deepEqual([breaker.statistics().probing, breaker.statistics().stale], [1, 2]);
      // The probe of one half-open stretch ends in the next.
      await w.advance(10_000);
      await fail(breaker);
      await w.advance(2_000);
      const second = deferred<string>();
      const again = breaker.run(() => second.promise);
      probe.resolve("old");
      assert.equal(await probing, "old");
      assert.deepEqual([breaker.state, breaker.statistics().probing], ["halfOpen", 1]);
      second.resolve("new");
      await again;
      assert.equal(breaker.state, "closed");
    });
  });

  test("CB-04: a probe that hangs loses its place at the end of its lease, its late result is ignored", async () => {
    await world(async (w) => {
      const breaker = await opened({ probeLeaseMs: 500 });
      await w.advance(1_000);
      const gate = deferred<string>();
      const hanging = breaker.run(() => gate.promise);
      await w.advance(499);
      await refused(breaker);
      await w.advance(1);
      const second = deferred<string>();
      const reclaimed = breaker.run(() => second.promise);
      await refused(breaker);
      gate.reject(down);
      await assert.rejects(hanging, (error) => error === down);
      assert.equal(breaker.state, "halfOpen");
      second.resolve("back");
      await reclaimed;
      assert.equal(breaker.state, "closed");
    });
  });

  test("an aborted or ignored probe counts for nothing and frees its place at once", async () => {
    await world(async (w) => {
      const breaker = await opened({ ignore: (error) => error === "ignored" });
      await w.advance(1_000);
      const controller = new AbortController();
      const probe = breaker.run(() => new Promise(() => {}), { signal: controller.signal });
      await refused(breaker);
      controller.abort("gone");
      assert.equal(await probe.catch((error) => error), "gone");
      assert.deepEqual([breaker.state, breaker.statistics().probing], ["halfOpen", 0]);
      await breaker.run(() => Promise.reject("ignored")).catch(() => {});
      assert.deepEqual([breaker.state, breaker.statistics().probing], ["halfOpen", 0]);
      await pass(breaker);
      assert.equal(breaker.state, "closed");
    });
  });
});

describe("CircuitBreaker and those who give up", () => {
  test("a signal that is aborted already is refused first", async () => {
    const breaker = await opened();
    const signal = AbortSignal.abort("before");
    assert.equal(await breaker.run(() => 1, { signal }).catch((error) => error), "before");
    assert.deepEqual([breaker.statistics().aborted, breaker.statistics().refused], [1, 0]);
  });

  test("aborts are neutral, whatever the work makes of them; a failure before the abort counts", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ failures: 1 });
      for (const reason of ["text", null, new Error("mine")]) {
        const controller = new AbortController();
        const call = breaker.run(async ({ signal }) => {
          await sleep(100, { signal });
        }, { signal: controller.signal });
        await w.advance(10);
        controller.abort(reason);
        assert.equal(await call.then(() => assert.fail(), (error) => error), reason);
      }
      const { state, aborted, failed, running } = breaker.statistics();
      assert.deepEqual({ state, aborted, failed, running }, {
        state: "closed",
        aborted: 3,
        failed: 0,
        running: 0,
      });
      const controller = new AbortController();
      const call = breaker.run(() => {
        queueMicrotask(() => controller.abort());
        throw down;
      }, { signal: controller.signal });
      await assert.rejects(call, (error) => error === down);
      assert.equal(breaker.state, "open");
    });
  });

  test("work that hears of the abort before the breaker does is no failure", async () => {
    const controller = new AbortController();
    const breaker = breakerOf({ failures: 1 });
    const call = breaker.run(() => {
      controller.abort("mine");
      throw controller.signal.reason;
    }, { signal: controller.signal });
    assert.equal(await call.catch((error) => error), "mine");
    assert.deepEqual([breaker.state, breaker.statistics().aborted], ["closed", 1]);
  });

  test("neither is work that has answered the abort before the breaker was told of it", async () => {
    // As of a platform that runs microtasks between the listeners of a signal.
    const signal = {
      aborted: false,
      reason: undefined as unknown,
      addEventListener: () => {},
      removeEventListener: () => {},
    };
    const work = deferred();
    const breaker = breakerOf({ failures: 1 });
    const call = breaker.run(() => work.promise, { signal: signal as unknown as AbortSignal });
    Object.assign(signal, { aborted: true, reason: "mine" });
    work.reject("mine");
    assert.equal(await call.catch((error) => error), "mine");
    const { state, aborted, failed, running } = breaker.statistics();
    assert.deepEqual({ state, aborted, failed, running }, {
      state: "closed",
      aborted: 1,
      failed: 0,
      running: 0,
    });
  });

  test("a deadline further out is somebody's giving up, its own limit is a failure", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ failures: 1, name: "db" });
      const outer = timeout(50, ({ signal }) => breaker.run(() => sleep(1_000), { signal }));
      await assert.rejects(outer, TimeoutError);
      assert.deepEqual([breaker.state, breaker.statistics().aborted], ["closed", 1]);
      await assert.rejects(breaker.run(() => assert.fail("called"), { timeoutMs: 0 }), TimeoutError);
      assert.equal(breaker.state, "closed", "no time to start is not the service's fault");
      await assert.rejects(breaker.run(() => sleep(1_000), { timeoutMs: 20 }), {
        name: "TimeoutError",
        message: 'Cannot call through circuit breaker "db" within 20 ms: it was still running',
      });
      assert.equal(breaker.state, "open");
      await w.advance(1_000);
      assert.equal(breaker.statistics().stale, 0, "counted once");
    });
  });

  test("CB-12: calls share nothing, the end of one is not told to the other", async () => {
    await world(async (w) => {
      const breaker = breakerOf();
      const signals: AbortSignal[] = [];
      const call = (timeoutMs: number) =>
        breaker.run(async ({ signal }) => {
          signals.push(signal);
          await sleep(100);
          return timeoutMs;
        }, { timeoutMs });
      const [short, long] = [call(50), call(500)];
      await assert.rejects(short, TimeoutError);
      assert.equal(await long, 500);
      assert.deepEqual(signals.map((signal) => signal.aborted), [true, false]);
      await w.idle();
    });
  });

  test("an abort at any point is neutral and leaves nothing behind", async () => {
    let breaker: CircuitBreaker;
    const { points } = await sweep(async (signal) => {
      breaker = breakerOf({ failures: 1, openMs: 10 });
      await fail(breaker);
      await sleep(10, { signal });
      await breaker.run(({ signal }) => sleep(5, { signal }), { signal });
    }, () => {
      const { probing, running, failed, state } = breaker.statistics();
      assert.deepEqual({ probing, running, failed }, { probing: 0, running: 0, failed: 1 });
      assert.notEqual(state, "isolated");
    });
    assert.ok(points > 8, `${points}`);
  });

  test("in any order of events, no more than its probes get through a half-open circuit", async () => {
    await explore(async () => {
      const breaker = breakerOf({ failures: 1, probes: 2, openMs: 10 });
      await fail(breaker);
      await sleep(10);
      let [running, most, refusals] = [0, 0, 0];
      const calls = Array.from({ length: 12 }, async (_, i) => {
        await sleep(i % 3);
        await breaker.run(async () => {
          if (breaker.state === "halfOpen") most = Math.max(most, ++running);
          await sleep(5);
          running--;
        }).catch((error) => {
          assert.ok(error instanceof CircuitOpenError);
          refusals++;
        });
      });
      await Promise.all(calls);
      assert.ok(most <= 2 && refusals >= 9, `${most} ${refusals}`);
    }, { runs: 60 });
  });
});

describe("CircuitBreaker by hand", () => {
  test("isolate refuses all, forceOpen for a time, forceClosed and reset close", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ failures: 1, name: "db" });
      breaker.isolate();
      const error = await refused(breaker);
      assert.equal(error.message, 'Cannot call "db": circuit isolated by hand');
      assert.deepEqual([error.state, error.retryAfterMs], ["isolated", Infinity]);
      await w.advance(1_000_000);
      await refused(breaker);
      breaker.reset();
      await pass(breaker);
      breaker.forceOpen(50);
      assert.equal(
        (await refused(breaker)).message,
        'Cannot call "db": circuit open for another 50 ms, opened by hand',
      );
      await w.advance(50);
      assert.equal(breaker.state, "halfOpen");
      breaker.forceOpen();
      assert.equal((await refused(breaker)).retryAfterMs, 1_000);
      breaker.forceClosed();
      await pass(breaker);
      assert.throws(() => breaker.forceOpen(-1), RangeError);
      assert.throws(() => breaker.forceOpen("5" as never), TypeError);
    });
  });

  test("disabled it lets all through and counts none, metrics only it counts and never opens", async () => {
    const breaker = breakerOf({ failures: 2 });
    breaker.disable();
    for (let i = 0; i < 5; i++) await fail(breaker);
    assert.deepEqual([breaker.state, breaker.statistics().calls, breaker.statistics().stale], [
      "disabled",
      0,
      0,
    ]);
    breaker.metricsOnly();
    for (let i = 0; i < 5; i++) await fail(breaker);
    assert.deepEqual([breaker.state, breaker.statistics().failures], ["metricsOnly", 5]);
    breaker.reset();
    assert.deepEqual([breaker.state, breaker.statistics().failures], ["closed", 0]);
  });

  test("CB-14: restored from a saved open state, it lets calls try when it would have", async () => {
    let saved: string;
    await world(async (w) => {
      const breaker = await opened({ name: "db" });
      await w.advance(100);
      saved = JSON.stringify(breaker.save());
      // As in another process, 400 ms later.
      await w.advance(400);
      const other = breakerOf({ failures: 1, name: "db" });
      other.restore(JSON.parse(saved));
      const error = await refused(other);
      assert.equal(
        error.message,
        'Cannot call "db": circuit open for another 500 ms after 1 call failed',
      );
      await w.advance(500);
      assert.equal(other.state, "halfOpen");
      await fail(other);
      assert.equal((await refused(other)).retryAfterMs, 2_000, "its second opening in a row");
      // Too late, and by a clock that was set back for years.
      const late = breakerOf();
      late.restore(JSON.parse(saved));
      assert.equal(late.state, "halfOpen");
      const far = breakerOf({ maxOpenMs: 9_000 });
      far.restore({ ...JSON.parse(saved), openUntil: 1e15 });
      assert.equal((await refused(far)).retryAfterMs, 9_000);
    });
  });

  test("opened by hand for good, it can be saved as text and restored like any other", async () => {
    await world(async (w) => {
      const breaker = breakerOf({ maxOpenMs: 60_000 });
      breaker.forceOpen(Infinity);
      assert.equal(breaker.statistics().retryAfterMs, Infinity);
      const again = breakerOf({ maxOpenMs: 60_000 });
      again.restore(JSON.parse(JSON.stringify(breaker.save())));
      assert.deepEqual([again.state, again.statistics().retryAfterMs], ["open", 60_000]);
      await w.advance(60_000);
      assert.deepEqual([again.state, breaker.state], ["halfOpen", "open"]);
    });
  });

  test("saves every state, and refuses what is none", async () => {
    const breaker = breakerOf();
    for (const state of ["isolated", "disabled", "metricsOnly", "closed"] as const) {
      breaker.restore({ state, openings: 0 });
      assert.equal(breaker.state, state);
      assert.deepEqual(JSON.parse(JSON.stringify(breaker.save())), { state, openings: 0 });
    }
    const wrong: unknown[] = [
      null,
      "open",
      {},
      { state: "halfOpen", openings: 0 },
      { state: "open", openings: -1 },
      { state: "open", openings: 1, openUntil: "soon" },
      { state: "open", openings: 1, openUntil: NaN },
      { state: "open", openings: 1, window: {} },
      { state: "open", openings: 1, trigger: "me" },
    ];
    for (const saved of wrong) {
      assert.throws(() => breaker.restore(saved as SavedCircuit), { name: /TypeError|RangeError/ });
    }
    assert.equal(breaker.state, "closed");
    await pass(breaker);
  });
});

describe("CircuitBreaker among others", () => {
  test("CB-10: holds no timer, in whatever state", async () => {
    await world(async (w) => {
      const breaker = await opened({ slowCallMs: 100 });
      assert.equal(w.timers.length, 0);
      await refused(breaker);
      breaker.forceClosed();
      const gate = deferred();
      const call = breaker.run(() => gate.promise);
      assert.equal(w.timers.length, 0);
      gate.resolve(1);
      await call;
    });
  });

  test("CB-16: a retry around it stops at once, or waits until it lets calls try", async () => {
    await world(async (w) => {
      const breaker = await opened();
      let calls = 0;
      const fn = () => breaker.run(() => (calls++, Promise.resolve("back")));
      await assert.rejects(retry(fn, { attempts: 5 }), CircuitOpenError);
      assert.deepEqual([calls, w.now], [0, 0]);
      assert.equal(await retry(fn, { circuitOpen: "wait", baseMs: 1 }), "back");
      assert.deepEqual([calls, w.now], [1, 1_000]);
    });
  });

  test("tells the observer of every change of state, and of every refusal", async () => {
    await world(async (w) => {
      const seen: ObserverRecord[] = [];
      using _watching = observe({ record: (r) => void (r.structure === "circuit breaker" && seen.push(r)) });
      const breaker = await opened({ name: "db" });
      await refused(breaker);
      await w.advance(1_000);
      await pass(breaker);
      breaker.isolate();
      assert.deepEqual(seen.map((record) => [record.kind, record.name]), [
        ["breaker.open", "db"],
        ["breaker.refused", "db"],
        ["breaker.halfOpen", "db"],
        ["breaker.closed", "db"],
        ["breaker.isolated", "db"],
      ]);
      assert.deepEqual(seen[0]!.data, {
        from: "closed",
        openMs: 1_000,
        trigger: "failures",
        window: { calls: 1, failures: 1, slow: 0 },
        error: down,
      });
    });
  });

  test("leaves nothing behind, whatever becomes of a late result", async () => {
    const guard = leakGuard();
    await world(async (w) => {
      const breaker = breakerOf();
      let disposed = 0;
      const call = breaker.run(async () => {
        await sleep(50);
        return { [Symbol.dispose]: () => void disposed++ };
      }, { timeoutMs: 10 });
      await assert.rejects(call, TimeoutError);
      await w.advance(100);
      assert.equal(disposed, 1);
    });
    await guard.check();
  });

  test("an observer that changes its state as it begins to try is obeyed", async () => {
    await world(async (w) => {
      const breaker = await opened();
      await w.advance(1_000);
      using _acting = observe({ record: ({ kind }) => kind === "breaker.halfOpen" && breaker.isolate() });
      assert.equal((await refused(breaker)).state, "isolated");
      assert.deepEqual([breaker.state, breaker.statistics().probing], ["isolated", 0]);
    });
  });

  test("its statistics are a frozen snapshot", async () => {
    await world(async () => {
      const breaker = breakerOf({ windowSize: 10 });
      await pass(breaker);
      await fail(breaker);
      const statistics = breaker.statistics();
      assert.ok(Object.isFrozen(statistics));
      assert.deepEqual(statistics, {
        state: "closed",
        retryAfterMs: 0,
        calls: 2,
        failures: 1,
        slow: 0,
        failureRate: 0.5,
        slowRate: 0,
        running: 0,
        probing: 0,
        openings: 0,
        opened: 0,
        succeeded: 1,
        failed: 1,
        ignored: 0,
        aborted: 0,
        refused: 0,
        stale: 0,
      });
    });
  });
});
