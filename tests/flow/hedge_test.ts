import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { Quantile } from "../../src/flow/_quantile.ts";
import { attemptErrors } from "../../src/flow/attempt_errors.ts";
import { hedge } from "../../src/flow/hedge.ts";
import type { HedgeAttempt, HedgeOptions } from "../../src/flow/hedge_options.ts";
import { retry } from "../../src/flow/retry.ts";
import { RetryBudget } from "../../src/flow/retry_budget.ts";
import { deadlineOf } from "../../src/kernel/deadlines.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

/** Attempts that take so long each, and then give their number or fail with an error that names it. */
function attempts(...plan: (number | { fails: number })[]) {
  const begun: number[] = [];
  const signals: AbortSignal[] = [];
  const errors = plan.map((_, i) => new Error(`attempt ${i + 1}`));
  const fn = async ({ attempt, signal, elapsedMs }: HedgeAttempt): Promise<number> => {
    begun.push(elapsedMs);
    signals.push(signal);
    const one = plan[attempt - 1]!;
    await sleep(typeof one === "number" ? one : one.fails, { signal });
    if (typeof one === "number") return attempt;
    throw errors[attempt - 1];
  };
  return { fn, begun, signals, errors };
}

async function records(body: () => Promise<unknown>): Promise<ObserverRecord[]> {
  const seen: ObserverRecord[] = [];
  using _watching = observe({ record: (r) => void (r.structure === "hedge" && seen.push(r)) });
  await body();
  return seen;
}

describe("hedge", () => {
  test("begins no more attempts when one fails that asks for a pause; those that run go on", async () => {
    await world(async (w) => {
      const busy = Object.assign(new Error("429"), { retryAfterMs: 1_000 });
      let begun = 0;
      const fail = async (): Promise<number> => {
        begun++;
        return await Promise.reject(busy);
      };
      await assert.rejects(hedge(fail, { delayMs: 10, max: 3 }), (error) => error === busy);
      assert.deepEqual([begun, w.now], [1, 0]);
      begun = 0;
      const second = async ({ attempt }: HedgeAttempt): Promise<number> => {
        begun++;
        await sleep(attempt === 1 ? 15 : 30);
        if (attempt === 1) throw busy;
        return attempt;
      };
      assert.equal(await hedge(second, { delayMs: 10, max: 3 }), 2);
      assert.deepEqual([begun, w.now], [2, 40]);
    });
  });

  test("refuses bad options where it is made, and rejects in the form that runs", async () => {
    const wrong: HedgeOptions[] = [
      { delayMs: -1 },
      { delayMs: NaN },
      { delayMs: 1, max: 0 },
      { delayMs: 1, max: 1.5 },
      { quantile: 0 },
      { quantile: 1 },
      { quantile: NaN },
    ];
    for (const options of wrong) assert.throws(() => hedge(options), RangeError, JSON.stringify(options));
    const kinds: unknown[] = [
      undefined,
      null,
      {},
      { delayMs: "1" },
      { delayMs: 1, fatal: true },
      { delayMs: 1, mayHedge: 1 },
      { delayMs: 1, budget: {} },
      { delayMs: 1, waitForLosers: 1 },
      { quantile: "0.9" },
    ];
    for (const options of kinds) assert.throws(() => hedge(options as never), TypeError);
    await assert.rejects(hedge(() => 1, undefined as never), TypeError);
    await assert.rejects(hedge(() => assert.fail("ran"), { delayMs: 1, max: 0 }), RangeError);
    assert.throws(() => hedge({} as never), {
      name: "TypeError",
      message: "Cannot create hedge as delayMs or quantile must be given: received none",
    });
    await assert.rejects(hedge(() => assert.fail("ran"), { quantile: 0.9 }), {
      message: "Cannot create hedge as quantile must be an option of a policy, hedge(options), " +
        "which learns from its calls: received 0.9 for a single call",
    });
    await assert.rejects(hedge({ delayMs: 1 }).run(undefined as never), TypeError);
    await assert.rejects(hedge({ delayMs: 1 }).run(() => 1, { timeoutMs: -1 }), RangeError);
  });

  test("leaves an attempt alone that answers in time", async () => {
    await world(async (w) => {
      const { fn, begun, signals } = attempts(99);
      assert.equal(await hedge(fn, { delayMs: 100 }), 1);
      assert.deepEqual([begun, signals[0]!.aborted, w.timers.length], [[0], false, 0]);
      assert.equal(await hedge(() => 5, { delayMs: 100 }), 5, "a plain value will do");
    });
  });

  test("begins the next attempt after the delay; the first answer wins and stops the others", async () => {
    await world(async (w) => {
      const { fn, begun, signals } = attempts(1_000, 1_000, 30);
      const told = await records(async () => {
        assert.equal(await hedge(fn, { delayMs: 100, max: 3 }), 3);
        await w.idle();
      });
      assert.deepEqual(
        told.map((r) => r.kind),
        ["hedge", "hedge"],
        "nothing of those that heed their signal",
      );
      assert.equal(w.now, 230);
      assert.deepEqual(begun, [0, 100, 200]);
      assert.deepEqual(signals.map((signal) => signal.aborted), [true, true, false]);
      assert.equal(signals[0]!.reason.message, "Cannot go on with an attempt of hedge: attempt 3 has won");
      assert.equal(signals[0]!.reason.name, "AbortError");
    });
  });

  test("HG-10: the attempts at most count the primary one", async () => {
    await world(async () => {
      const { fn, begun } = attempts(500, 500, 500);
      await hedge(fn, { delayMs: 10 });
      assert.equal(begun.length, 2, "two by default");
      const alone = attempts(500);
      assert.equal(await hedge(alone.fn, { delayMs: 0, max: 1 }), 1);
      assert.equal(alone.begun.length, 1);
    });
  });

  test("delay 0 begins all at once, Infinity only when one has failed", async () => {
    await world(async (w) => {
      const parallel = attempts(50, 40, 30, 60);
      assert.equal(await hedge(parallel.fn, { delayMs: 0, max: 4 }), 3);
      assert.deepEqual([parallel.begun, w.now], [[0, 0, 0, 0], 30]);
      const serial = attempts({ fails: 500 }, { fails: 10 }, 5);
      assert.equal(await hedge(serial.fn, { delayMs: Infinity, max: 3 }), 3);
      assert.deepEqual(serial.begun, [0, 500, 510]);
    });
  });

  test("a failure begins the next attempt at once, and the delay counts anew from there", async () => {
    await world(async (w) => {
      const { fn, begun } = attempts({ fails: 20 }, 1_000, 1);
      assert.equal(await hedge(fn, { delayMs: 100, max: 3 }), 3);
      assert.deepEqual([begun, w.now], [[0, 20, 120], 121]);
    });
  });

  test("the delay may be a function of the attempt", async () => {
    await world(async () => {
      const { fn, begun } = attempts(1_000, 1_000, 1_000);
      await hedge(fn, { delayMs: (attempt) => attempt * 10, max: 3 });
      assert.deepEqual(begun, [0, 20, 50]);
      const bug = new Error("bug");
      for (
        const delayMs of [() => NaN, () => {
          throw bug;
        }]
      ) {
        const deaf = hedge(() => sleep(5), { delayMs });
        await assert.rejects(deaf, (error) => error === bug || error instanceof RangeError);
      }
      await sleep(10);
    });
  });

  test("HG-02: a loser's late result is disposed once, its late failure told unless it is an echo", async () => {
    await world(async (w) => {
      let disposed = 0;
      const late = new Error("late");
      const told = await records(async () => {
        const answer = await hedge(async ({ attempt }) => {
          if (attempt === 3) return "won";
          await sleep(500); // deaf
          if (attempt === 2) throw late;
          return { [Symbol.asyncDispose]: () => Promise.resolve(void disposed++) };
        }, { delayMs: 10, max: 3, name: "n" });
        assert.equal(answer, "won");
        assert.equal(w.now, 20);
        await w.advance(1_000);
      });
      assert.equal(disposed, 1);
      assert.deepEqual(told.map((r) => [r.kind, r.name, r.data]), [
        ["hedge", "n", { attempt: 2, elapsedMs: 10 }],
        ["hedge", "n", { attempt: 3, elapsedMs: 20 }],
        ["late.failure", "n", { error: late }],
      ]);
    });
  });

  test("HG-04: when all fail, the primary's error is thrown, itself; the others are known of it", async () => {
    await world(async () => {
      const { fn, errors } = attempts({ fails: 50 }, { fails: 10 }, { fails: 5 });
      const told = await records(async () => {
        const error = await hedge(fn, { delayMs: 5, max: 3 }).catch((error) => error);
        assert.equal(error, errors[0]);
        assert.deepEqual(attemptErrors(error), errors);
      });
      assert.deepEqual(told.at(-1), { kind: "hedge.failed", structure: "hedge", data: { errors } });
      for (const thrown of ["text", null, undefined]) {
        const call = hedge(({ attempt }) => Promise.reject(attempt === 1 ? thrown : 5), { delayMs: 0 });
        assert.equal(await call.then(() => assert.fail(), (error) => error), thrown);
        assert.deepEqual(attemptErrors(thrown), []);
      }
    });
  });

  test("HG-06: a fatal error stops all and is thrown", async () => {
    await world(async (w) => {
      const { fn, errors, signals } = attempts(1_000, { fails: 10 }, 1_000);
      const call = hedge(fn, { delayMs: 5, max: 3, fatal: (error) => error === errors[1] });
      await assert.rejects(call, (error) => error === errors[1]);
      assert.equal(w.now, 15);
      assert.deepEqual(signals.map((signal) => signal.aborted), [true, false, true]);
      assert.equal(signals[0]!.reason.cause, errors[1]);
      const bug = new Error("bug");
      const throwing = () => {
        throw bug;
      };
      await assert.rejects(
        hedge(attempts({ fails: 1 }).fn, { delayMs: 50, fatal: throwing }),
        (e) => e === bug,
      );
    });
  });

  test("HG-08: an abort stops all attempts, rejects with the reason, and begins none", async () => {
    await world(async (w) => {
      for (const reason of ["stop", null, new Error("mine")]) {
        const controller = new AbortController();
        const { fn, begun, signals } = attempts(1_000, 1_000, 1_000);
        const call = hedge(fn, { delayMs: 10, max: 3, signal: controller.signal });
        await w.advance(15);
        controller.abort(reason);
        assert.equal(w.timers.length, 0);
        assert.equal(await call.then(() => assert.fail(), (error) => error), reason);
        await w.advance(1_000);
        assert.equal(begun.length, 2);
        assert.deepEqual(signals.map((signal) => signal.reason), [reason, reason]);
      }
      const signal = AbortSignal.abort("before");
      assert.equal(await hedge(() => assert.fail("ran"), { delayMs: 0, signal }).catch((e) => e), "before");
      // The work itself aborts the call while it starts.
      const controller = new AbortController();
      let starts = 0;
      const call = hedge(() => {
        starts++;
        controller.abort("mine");
      }, { delayMs: 0, max: 5, signal: controller.signal });
      assert.equal(await call.catch((error) => error), "mine");
      assert.equal(starts, 1);
    });
  });

  test("HG-08: a call that one of its own hooks, or an observer, gives up begins no attempt any more", async () => {
    let controller = new AbortController();
    const abort = (): void => controller.abort("hook");
    const cases: [string, HedgeOptions, ("hedge" | "hedge.failed")?][] = [
      ["delayMs", { delayMs: () => (abort(), 5) }],
      ["delayMs, at once", { delayMs: () => (abort(), 0) }],
      ["fatal", { delayMs: 1_000, fatal: () => (abort(), false) }],
      ["fatal, yes", { delayMs: 1_000, fatal: () => (abort(), true) }],
      ["mayHedge", { delayMs: 5, mayHedge: () => (abort(), true) }],
      ["mayHedge, after a failure", { delayMs: 1_000, mayHedge: () => (abort(), true) }],
      ["mayHedge, no", { delayMs: 5, mayHedge: () => (abort(), false) }],
      ["an observer", { delayMs: 5 }, "hedge"],
    ];
    for (const [name, options, kind] of cases) {
      for (const waitForLosers of [false, true]) {
        await world(async (w) => {
          controller = new AbortController();
          using _acting = observe({ record: (record) => record.kind === kind && abort() });
          let starts = 0;
          const policy = hedge({ max: 3, waitForLosers, ...options });
          const call = policy.run(async ({ signal }) => {
            starts++;
            await sleep(10, { signal });
            throw new Error("down");
          }, { signal: controller.signal });
          assert.equal(await call.catch((error) => error), "hook", name);
          assert.deepEqual([w.timers.length, starts], [0, 1], name);
          const { running, aborted, failed, hedges } = policy.statistics();
          assert.deepEqual({ running, aborted, failed, hedges }, {
            running: 0,
            aborted: 1,
            failed: 0,
            hedges: 0,
          });
        });
      }
    }
  });

  test("an observer that gives a call up as it fails changes nothing any more", async () => {
    await world(async () => {
      const controller = new AbortController();
      using _acting = observe({
        record: ({ kind }) => kind === "hedge.failed" && controller.abort("observer"),
      });
      const down = new Error("down");
      const policy = hedge({ delayMs: 0, max: 2 });
      const call = policy.run(() => Promise.reject(down), { signal: controller.signal });
      assert.equal(await call.catch((error) => error), down);
      const { running, aborted, failed } = policy.statistics();
      assert.deepEqual({ running, aborted, failed }, { running: 0, aborted: 0, failed: 1 });
    });
  });

  test("HG-12: work that throws at once is an attempt that has failed", async () => {
    await world(async (w) => {
      const thrown = new Error("at once");
      const throwing = ({ attempt }: HedgeAttempt) => {
        if (attempt < 3) throw thrown;
        return "third";
      };
      assert.equal(await hedge(throwing, { delayMs: 1_000, max: 3 }), "third");
      assert.equal(w.now, 0);
      await assert.rejects(hedge(throwing, { delayMs: 1_000, max: 2 }), (error) => error === thrown);
    });
  });

  test("HG-14: no timer is left by an attempt that was not needed", async () => {
    await world(async (w) => {
      const call = hedge(() => sleep(5), { delayMs: 1_000, timeoutMs: 5_000 });
      assert.equal(w.timers.length, 3);
      await call;
      assert.equal(w.timers.length, 0);
    });
  });

  test("the winner's signal stays as it is after the call, whatever becomes of the caller's", async () => {
    await world(async () => {
      const controller = new AbortController();
      const { fn, signals } = attempts(500, 5);
      await hedge(fn, { delayMs: 10, signal: controller.signal, timeoutMs: 1_000 });
      controller.abort();
      await sleep(2_000);
      assert.deepEqual(signals.map((signal) => signal.aborted), [true, false]);
    });
  });

  test("timeoutMs bounds the whole of it, and attempts know of it", async () => {
    await world(async (w) => {
      const { fn, signals, errors } = attempts({ fails: 20 }, 1_000, 1_000);
      const error = await hedge(fn, { delayMs: 50, max: 3, timeoutMs: 100, name: "n" }).catch((e) => e);
      assert.ok(error instanceof TimeoutError);
      assert.equal(
        error.message,
        'Cannot finish hedge "n" within 100 ms: 2 of 3 attempts were still running',
      );
      assert.deepEqual([error.cause, w.now], [errors[0], 100]);
      assert.deepEqual(signals.map((signal) => deadlineOf(signal)), [100, 100, 100]);
      assert.equal(signals[1]!.reason, error);
      await assert.rejects(hedge(() => assert.fail("ran"), { delayMs: 1, timeoutMs: 0 }), TimeoutError);
      const outer = timeout(50, ({ signal }) => hedge(attempts(500, 500).fn, { delayMs: 10, signal }));
      await assert.rejects(outer, { name: "TimeoutError", limitMs: 50 });
    });
  });

  test("waitForLosers: answers when all attempts have settled", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const deaf = (ms: number) => ({ attempt }: HedgeAttempt) =>
        sleep(attempt === 1 ? ms : 10).then(() => attempt);
      const options = { delayMs: 10, waitForLosers: true };
      assert.equal(await hedge(deaf(300), options), 2);
      assert.equal(w.now, 300);
      const call = hedge(deaf(300), { ...options, delayMs: 100, signal: controller.signal });
      await w.advance(50);
      controller.abort("stop");
      assert.equal(await call.catch((error) => error), "stop");
      assert.equal(w.now, 600);
    });
  });

  test("a budget that is empty leaves the primary attempt alone", async () => {
    await world(async (w) => {
      const budget = new RetryBudget({ ratio: 0, minPerSecond: 1 });
      const policy = hedge({ delayMs: 10, max: 3, budget });
      const first = attempts(100, 100);
      assert.equal(await policy.run(first.fn), 1);
      assert.equal(first.begun.length, 2, "one was there");
      const second = attempts({ fails: 100 }, 1);
      await assert.rejects(policy.run(second.fn), (error) => error === second.errors[0]);
      assert.deepEqual([second.begun.length, w.now], [1, 200]);
      assert.equal(policy.statistics().refused, 3);
      // The same money as a retry's.
      let calls = 0;
      await retry(() => (calls++, Promise.reject(new Error("x"))), { baseMs: 0, budget }).catch(() => {});
      assert.equal(calls, 1);
    });
  });

  test("mayHedge is asked before each attempt but the primary one", async () => {
    await world(async () => {
      let near = true;
      const policy = hedge({ delayMs: 10, max: 3, mayHedge: () => !near });
      const first = attempts(100, 1);
      assert.equal(await policy.run(first.fn), 1);
      near = false;
      assert.equal(await policy.run(attempts(100, 1).fn), 2);
      const bug = new Error("bug");
      const throwing = hedge({
        delayMs: 10,
        mayHedge: () => {
          throw bug;
        },
      });
      await assert.rejects(throwing.run(attempts(100).fn), (error) => error === bug);
      await assert.rejects(throwing.run(attempts({ fails: 1 }).fn), (error) => error === bug);
    });
  });

  test("learns how long calls take, and waits as long as the given share of them", async () => {
    await world(async () => {
      const policy = hedge({ quantile: 0.9, max: 2 });
      assert.equal(policy.statistics().delayMs, Infinity);
      for (let i = 1; i <= 100; i++) await policy.run(() => sleep(i));
      const { delayMs, hedges } = policy.statistics();
      assert.ok(delayMs! >= 90 && delayMs! <= 95, `${delayMs}`);
      assert.ok(hedges > 0, "it has begun to use it on the way");
      // Losers and calls out of time count as long ones: with half of them slow, it does not come down.
      const fast = hedge({ quantile: 0.9, delayMs: 5 });
      for (let i = 0; i < 200; i++) {
        await fast.run(({ attempt, signal }) => sleep(attempt === 1 && i % 2 ? 10_000 : 10, { signal }));
      }
      assert.ok(fast.statistics().delayMs! > 10, `${fast.statistics().delayMs}`);
      const late = hedge({ quantile: 0.5, delayMs: 5 });
      for (let i = 0; i < 30; i++) {
        await late.run(({ signal }) => sleep(10_000, { signal }), { timeoutMs: 400 }).catch(() => {});
      }
      assert.ok(late.statistics().delayMs! >= 400, `${late.statistics().delayMs}`);
    });
  });

  test("as a policy it transforms functions, each attempt with its own signal", async () => {
    await world(async () => {
      const signals: AbortSignal[] = [];
      const read = hedge({ delayMs: 10 })(
        async function read(key: string, { signal }: { signal?: AbortSignal }) {
          signals.push(signal!);
          await sleep(signals.length === 1 ? 100 : 5, { signal });
          return key;
        },
      );
      assert.equal(await read("a", { signal: new AbortController().signal }), "a");
      assert.deepEqual([read.name, signals.map((signal) => signal.aborted)], ["read", [true, false]]);
    });
  });

  test("counts calls by how they ended", async () => {
    await world(async (w) => {
      const policy = hedge({ delayMs: 10 });
      await policy.run(attempts(5).fn);
      await policy.run(attempts(50, 5).fn);
      await policy.run(attempts({ fails: 1 }, { fails: 1 }).fn).catch(() => {});
      await policy.run(attempts(50, 50).fn, { timeoutMs: 5 }).catch(() => {});
      const controller = new AbortController();
      const call = policy.run(attempts(50, 50).fn, { signal: controller.signal });
      assert.equal(policy.statistics().running, 1);
      controller.abort();
      await call.catch(() => {});
      assert.deepEqual(policy.statistics(), {
        running: 0,
        calls: 5,
        hedges: 2,
        hedgeWins: 1,
        refused: 0,
        succeeded: 2,
        failed: 1,
        aborted: 1,
        timedOut: 1,
        delayMs: 10,
      });
      assert.ok(Object.isFrozen(policy.statistics()));
      await w.idle();
    });
  });

  test("an abort at any point ends all attempts and leaves nothing behind", async () => {
    let [made, disposed] = [0, 0];
    const { points } = await sweep(async (signal) => {
      [made, disposed] = [0, 0];
      const result = await hedge(async ({ attempt }) => {
        await sleep(30 - attempt); // deaf
        if (attempt === 1) throw new Error("x");
        made++;
        return { [Symbol.dispose]: () => void disposed++ };
      }, { delayMs: 5, max: 4, signal, waitForLosers: true });
      result[Symbol.dispose]();
    }, () => assert.equal(disposed, made));
    assert.ok(points > 10, `${points}`);
  });

  test("in any order of events there is one winner, and every other result is disposed", async () => {
    await explore(async (w) => {
      const made: number[] = [];
      const disposed: number[] = [];
      const winner = await hedge(async ({ attempt }) => {
        await sleep(20);
        made.push(attempt);
        return { attempt, [Symbol.dispose]: () => void disposed.push(attempt) };
      }, { delayMs: 0, max: 4 });
      await w.advance(50);
      assert.deepEqual([...disposed, winner.attempt].sort(), [1, 2, 3, 4]);
      assert.equal(winner.attempt, made[0]);
    }, { runs: 60 });
  });
});

describe("Quantile", () => {
  test("is right to 5 %, above, for any durations", () => {
    for (const share of [0.5, 0.9, 0.99]) {
      const quantile = new Quantile(share);
      const added: number[] = [];
      let seed = 1;
      for (let i = 0; i < 400; i++) {
        seed = seed * 16_807 % 2_147_483_647;
        added.push(0.2 * 1.02 ** (seed % 700));
        quantile.add(added.at(-1)!);
      }
      const exact = added.toSorted((a, b) => a - b)[Math.ceil(400 * share) - 1]!;
      assert.ok(
        quantile.value >= exact * 0.999 && quantile.value <= exact * 1.05,
        `${quantile.value} ${exact}`,
      );
    }
  });

  test("forgets what is older than its window, and takes 0, Infinity and none", () => {
    const quantile = new Quantile(0.9);
    assert.ok(Number.isNaN(quantile.value));
    for (let i = 0; i < 700; i++) quantile.add(1_000);
    assert.ok(quantile.value >= 1_000);
    for (let i = 0; i < 1_000; i++) quantile.add(1);
    assert.ok(quantile.value < 1.1, `${quantile.value}`);
    assert.ok(quantile.count <= 1_000);
    for (let i = 0; i < 1_000; i++) quantile.add(i % 2 ? 0 : Infinity);
    assert.ok(quantile.value > 1e6);
  });
});
