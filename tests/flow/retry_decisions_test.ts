import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { attemptErrors } from "../../src/flow/attempt_errors.ts";
import { CircuitOpenError } from "../../src/flow/circuit_open_error.ts";
import { retry } from "../../src/flow/retry.ts";
import { RetryBudget } from "../../src/flow/retry_budget.ts";
import type { RetryEvent, RetryOptions } from "../../src/flow/retry_options.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

const plain = { jitter: "none", baseMs: 100 } as const;

/** A result that counts how often it was disposed. */
function page(status: number) {
  return {
    status,
    disposed: 0,
    async [Symbol.asyncDispose]() {
      await Promise.resolve();
      this.disposed++;
    },
  };
}
type Page = ReturnType<typeof page>;
const bad = (result: unknown) => (result as Page).status >= 500;

/** What the observer is told of retries while `body` runs. */
async function told(body: () => Promise<unknown>): Promise<ObserverRecord[]> {
  const seen: ObserverRecord[] = [];
  using _watching = observe({ record: (r) => void (r.structure === "retry" && seen.push(r)) });
  await body();
  return seen;
}

function circuitOpen(retryAfterMs: number): CircuitOpenError {
  const window = { calls: 5, failures: 5, slow: 0 };
  return new CircuitOpenError("Cannot call: circuit open", { state: "open", retryAfterMs, window });
}

describe("retry.whenResult", () => {
  test("RT-14: a result that is not good enough is tried again and disposed once", async () => {
    await world(async (w) => {
      const pages = [page(500), page(503), page(200)];
      const seen: unknown[] = [];
      const result = await retry(({ attempt, lastError }) => {
        seen.push(lastError);
        return pages[attempt - 1]!;
      }, {
        ...plain,
        whenResult: bad,
        onRetry: ({ result, error }) =>
          void seen.push([(result as Page).status, (result as Page).disposed, error]),
      });
      assert.equal(result, pages[2]);
      assert.deepEqual(pages.map((p) => p.disposed), [1, 1, 0]);
      assert.deepEqual(seen, [undefined, [500, 0, undefined], undefined, [503, 0, undefined], undefined]);
      assert.equal(w.now, 300);
    });
  });

  test("with no attempt left, the last result is returned as it is", async () => {
    await world(async () => {
      const pages = [page(500), page(500)];
      const policy = retry({ ...plain, attempts: 2, whenResult: bad });
      assert.equal(await policy.run(({ attempt }) => pages[attempt - 1]!), pages[1]);
      assert.deepEqual(pages.map((p) => p.disposed), [1, 0]);
      const { calls, attempts, succeeded, running } = policy.statistics();
      assert.deepEqual({ calls, attempts, succeeded, running }, {
        calls: 1,
        attempts: 2,
        succeeded: 1,
        running: 0,
      });
    });
  });

  test("a predicate or a hook that throws ends the call, and the result is disposed once", async () => {
    await world(async (w) => {
      const bug = new Error("bug");
      const throwing = () => {
        throw bug;
      };
      for (const options of [{ whenResult: throwing }, { whenResult: bad, onRetry: throwing }]) {
        const one = page(500);
        await assert.rejects(retry(() => one, { ...plain, ...options }), (e) => e === bug);
        await w.idle();
        assert.equal(one.disposed, 1);
      }
    });
  });

  test("an abort in the pause leaves no result undisposed, and none disposed twice", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const one = page(500);
      const call = retry(() => one, { ...plain, whenResult: bad, signal: controller.signal });
      await w.advance(50);
      controller.abort("stop");
      assert.equal(await call.catch((e) => e), "stop");
      await w.idle();
      assert.equal(one.disposed, 1);
    });
  });

  test("a result that is not good enough and an abort in one turn: no hook is called, nothing is paid", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const budget = new RetryBudget();
      const one = page(500);
      const call = retry(() => one, {
        whenResult: (result) => {
          controller.abort("stop");
          return bad(result);
        },
        onRetry: () => assert.fail("called"),
        budget,
        signal: controller.signal,
      });
      assert.equal(await call.catch((error) => error), "stop");
      await w.idle();
      assert.deepEqual([one.disposed, budget.statistics().withdrawals], [1, 0]);
    });
  });

  test("a result asks for a pause like an error, and errors and results mix", async () => {
    await world(async (w) => {
      const answers = [{ status: 503, retryAfterMs: 5_000 }, new Error("x"), { status: 200 }];
      const result = await retry(({ attempt }) => {
        const answer = answers[attempt - 1]!;
        if (answer instanceof Error) throw answer;
        return answer;
      }, { ...plain, whenResult: bad });
      assert.equal(result, answers[2]);
      assert.equal(w.now, 5_200);
    });
  });
});

describe("retry.retryAfter", () => {
  const once = (failure: unknown) => {
    let calls = 0;
    return () => calls++ === 0 ? Promise.reject(failure) : Promise.resolve("done");
  };
  const after = (retryAfterMs: unknown) => Object.assign(new Error("busy"), { retryAfterMs });

  async function pauseOf(failure: unknown, options: RetryOptions): Promise<number> {
    const pauses: number[] = [];
    await retry(once(failure), {
      ...plain,
      ...options,
      onRetry: (e: RetryEvent) => void pauses.push(e.pauseMs),
    });
    return pauses[0]!;
  }

  test("floor waits at least as long, exact just as long, ignore as ever", async () => {
    await world(async () => {
      assert.equal(await pauseOf(after(30), { retryAfter: "floor" }), 100);
      assert.equal(await pauseOf(after(3_000), { retryAfter: "floor" }), 3_000);
      assert.equal(await pauseOf(after(30), { retryAfter: "exact" }), 30);
      assert.equal(await pauseOf(after(0), { retryAfter: "exact" }), 0);
      assert.equal(await pauseOf(after(-5), { retryAfter: "exact" }), 100, "no length of time");
      assert.equal(await pauseOf(after(3_000), { retryAfter: "ignore" }), 100);
    });
  });

  test("retryAfterOf reads it from whatever the failure is", async () => {
    await world(async () => {
      const retryAfterOf = (e: unknown) => (e as { wait?: number }).wait;
      assert.equal(await pauseOf({ wait: 700 }, { retryAfterOf }), 700);
      assert.equal(await pauseOf({}, { retryAfterOf }), 100);
      assert.equal(await pauseOf({ wait: NaN }, { retryAfterOf }), 100);
      const bug = new Error("bug");
      const throwing = () => {
        throw bug;
      };
      await assert.rejects(retry(once(1), { retryAfterOf: throwing }), (e) => e === bug);
    });
  });

  test("reads header fields, of the failure or of its response, in whatever form", async () => {
    await world(async () => {
      const headers = new Headers({ "Retry-After": "7" });
      assert.equal(await pauseOf({ headers }, {}), 7_000);
      assert.equal(await pauseOf({ response: { status: 503, headers } }, {}), 7_000);
      assert.equal(await pauseOf({ headers: { "retry-after": 2 } }, {}), 2_000);
      assert.equal(await pauseOf({ response: { headers: { "RETRY-AFTER": "3" } } }, {}), 3_000);
      assert.equal(await pauseOf({ retryAfterMs: 400, headers }, {}), 400, "its own number comes first");
      // Virtual time begins at the first moment of 2026.
      const date = { headers: { "retry-after": "Thu, 01 Jan 2026 00:10:00 GMT" } };
      assert.ok(await pauseOf(date, {}) > 500_000);
      for (const nothing of ["-5", "soon", "", "1.5"]) {
        assert.equal(await pauseOf({ headers: { "retry-after": nothing } }, {}), 100);
      }
      for (
        const strange of [{ headers: null }, { response: null }, { headers: 5 }, { headers: { get: 5 } }]
      ) {
        assert.equal(await pauseOf(strange, {}), 100);
      }
    });
  });

  test("an error whose getters throw asks for nothing", async () => {
    await world(async () => {
      const hostile = {
        get retryAfterMs() {
          throw new Error("no");
        },
      };
      assert.equal(await pauseOf(hostile, {}), 100);
    });
  });

  test("one that asks for more than maxRetryAfterMs is not waited for", async () => {
    await world(async (w) => {
      const busy = after(60_001);
      const seen = await told(() =>
        assert.rejects(retry(once(busy), { ...plain, maxRetryAfterMs: 60_000 }), (e) => e === busy)
      );
      assert.equal(w.now, 0);
      assert.equal((seen[0]!.data as { why: string }).why, "retryAfter");
      assert.equal(await pauseOf(after(60_000), { maxRetryAfterMs: 60_000 }), 60_000);
    });
  });
});

describe("retry and what it can't help", () => {
  test("CB-16: what an open circuit refused is not tried again", async () => {
    await world(async (w) => {
      const open = circuitOpen(2_000);
      let calls = 0;
      const seen = await told(() =>
        assert.rejects(retry(() => (calls++, Promise.reject(open)), plain), (e) => e === open)
      );
      assert.deepEqual([calls, w.now, (seen[0]!.data as { why: string }).why], [1, 0, "circuitOpen"]);
    });
  });

  test("CB-16: or it waits until the circuit lets calls try, if there is time for that", async () => {
    await world(async (w) => {
      const answers = [circuitOpen(2_000), circuitOpen(0)];
      const fn = ({ attempt }: { attempt: number }) => {
        const refusal = answers[attempt - 1];
        return refusal ? Promise.reject(refusal) : Promise.resolve(w.now);
      };
      const wait = { ...plain, circuitOpen: "wait", retryAfter: "exact" } as const;
      assert.equal(await retry(fn, wait), 2_200);
      assert.equal(await retry(fn, { ...wait, retryAfter: "ignore" }), 4_400);
      await assert.rejects(retry(fn, { ...wait, timeoutMs: 1_000 }), (e) => e === answers[0]);
      const isolated = circuitOpen(Infinity);
      await assert.rejects(retry(() => Promise.reject(isolated), wait), (e) => e === isolated);
    });
  });

  test("commit: what was done can't be done again", async () => {
    await world(async () => {
      const broken = new Error("broken off");
      for (const options of [plain, { ...plain, timeoutMs: 1_000 }, { ...plain, attemptTimeoutMs: 1_000 }]) {
        let attempts = 0;
        const call = retry((context) => {
          attempts++;
          if (context.attempt === 2) context.commit();
          return Promise.reject(broken);
        }, { ...options, attempts: 5 });
        await assert.rejects(call, (e) => e === broken);
        assert.equal(attempts, 2);
      }
    });
  });

  test("pauseMs makes the pauses; one that is no length of time fails the call", async () => {
    await world(async (w) => {
      const failures: unknown[] = [];
      const x = new Error("x");
      const call = retry(() => Promise.reject(x), {
        attempts: 3,
        pauseMs: (failure) => (failures.push(failure), failure.attempt * 7),
      });
      await assert.rejects(call, (e) => e === x);
      assert.deepEqual(failures, [
        { attempt: 1, error: x, previousMs: undefined },
        { attempt: 2, error: x, previousMs: 7 },
      ]);
      assert.equal(w.now, 21);
      await assert.rejects(retry(() => Promise.reject(x), { pauseMs: () => NaN, name: "n" }), {
        name: "RangeError",
        message: 'Cannot pause retry "n" as pauseMs must be a number of milliseconds >= 0: received NaN',
      });
    });
  });

  test("RT-02 waitForAttempt: the call rejects with the reason when the attempt has settled", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const late = page(200);
      const call = retry(async () => {
        await sleep(100); // deaf
        return late;
      }, { ...plain, signal: controller.signal, waitForAttempt: true });
      await w.advance(40);
      controller.abort("stop");
      assert.equal(await call.catch((e) => [e, w.now]).then(String), "stop,100");
      await w.idle();
      assert.equal(late.disposed, 1);
      // Attempts then don't overlap.
      let [running, most] = [0, 0];
      const slow = retry(async () => {
        most = Math.max(most, ++running);
        await sleep(300);
        running--;
      }, { ...plain, attemptTimeoutMs: 50, waitForAttempt: true });
      await assert.rejects(slow, { name: "TimeoutError" });
      assert.deepEqual([most, w.now], [1, 100 + 3 * 300 + 100 + 200]);
    });
  });

  test("refuses bad options of all kinds where it is made", () => {
    const wrong: Record<string, unknown>[] = [
      { retryAfter: "later" },
      { circuitOpen: "maybe" },
      { maxRetryAfterMs: -1 },
    ];
    for (const options of wrong) assert.throws(() => retry(options), RangeError);
    for (const what of ["whenResult", "retryAfterOf", "pauseMs", "waitForAttempt", "retryAfter", "budget"]) {
      assert.throws(() => retry({ [what]: null }), TypeError, what);
    }
  });
});

describe("attemptErrors of retry", () => {
  test("when a hook or a predicate throws, the failure that it was asked about is not lost", async () => {
    await world(async () => {
      const bug = new Error("bug");
      const thrower = (): never => {
        throw bug;
      };
      for (
        const options of [
          { when: thrower },
          { retryAfterOf: thrower },
          { pauseMs: thrower },
          { onRetry: thrower },
          { onRetry: () => sleep(5).then(thrower) },
        ]
      ) {
        const down = new Error("down");
        const error = await retry(() => Promise.reject(down), options).catch((error) => error);
        assert.equal(error, bug);
        assert.deepEqual(attemptErrors(bug), [down]);
      }
      const first = new Error("first");
      const call = retry(({ attempt }) => attempt === 1 ? Promise.reject(first) : "bad", {
        baseMs: 1,
        whenResult: thrower,
      });
      assert.equal(await call.catch((error) => error), bug);
      assert.deepEqual(attemptErrors(bug), [first]);
    });
  });

  test("knows what all attempts failed with, the last 32 of many", async () => {
    await world(async () => {
      for (const [attempts, known] of [[1, 1], [3, 3], [40, 32]] as const) {
        const errors: Error[] = [];
        const call = retry(({ attempt }) => {
          errors.push(new Error(`${attempt}`));
          throw errors.at(-1);
        }, { ...plain, attempts });
        const error = await call.catch((error) => error);
        assert.equal(error, errors.at(-1));
        assert.deepEqual(attemptErrors(error), errors.slice(-known));
      }
      assert.deepEqual(attemptErrors(new Error("another")), []);
    });
  });
});

describe("retry.statistics", () => {
  test("counts calls by how they ended, each policy its own", async () => {
    await world(async (w) => {
      const policy = retry({ ...plain, attempts: 2 });
      const other = retry();
      await policy.run(() => 1);
      await policy.run(() => Promise.reject(new Error("x"))).catch(() => {});
      await policy.run(() => sleep(1_000), { timeoutMs: 10 }).catch(() => {});
      const controller = new AbortController();
      const call = policy.run(() => sleep(1_000), { signal: controller.signal });
      assert.equal(policy.statistics().running, 1);
      controller.abort();
      await call.catch(() => {});
      await policy.run(() => 1, { signal: controller.signal }).catch(() => {});
      const expected = {
        running: 0,
        calls: 4,
        attempts: 5,
        succeeded: 1,
        failed: 1,
        aborted: 2,
        timedOut: 1,
      };
      assert.deepEqual(policy.statistics(), expected);
      assert.ok(Object.isFrozen(policy.statistics()));
      assert.equal(other.statistics().calls, 0);
      await w.advance(1_000);
    });
  });
});

describe("retry given up anywhere", () => {
  test("an abort at any point ends it with the reason, leaves nothing behind and every result disposed", async () => {
    let pages: Page[] = [];
    const budget = new RetryBudget({ minPerSecond: 1_000 });
    const { points, aborted } = await sweep(async (signal) => {
      pages = [];
      await retry(async ({ signal }) => {
        await sleep(5, { signal });
        pages.push(page(500));
        return pages.at(-1)!;
      }, {
        ...plain,
        whenResult: bad,
        budget,
        attemptTimeoutMs: 50,
        onRetry: ({ signal }) => sleep(3, { signal }),
        signal,
      }).then((last) => last[Symbol.asyncDispose]());
    }, async () => {
      await Promise.resolve();
      assert.deepEqual(pages.map((p) => p.disposed), pages.map(() => 1));
    });
    assert.ok(points > 20 && aborted > 20, `${points} points`);
  });

  test("in any order of events, calls under one policy don't mix", async () => {
    const { runs } = await explore(async () => {
      const policy = retry({ baseMs: 5, attempts: 3, attemptTimeoutMs: 20 });
      const gate = deferred<void>();
      const calls = Promise.allSettled(["a", "b", "c"].map((key) => {
        let attempts = 0;
        return policy.run(async ({ attempt, lastError, signal }) => {
          assert.equal(attempt, ++attempts);
          await sleep(3, { signal });
          if (attempt > 1) assert.equal(lastError, key);
          if (attempt === 3) return await gate.promise.then(() => key);
          throw key;
        });
      }));
      await sleep(40);
      gate.resolve();
      for (const result of await calls) {
        if (result.status === "rejected") assert.equal(result.reason.name, "TimeoutError");
      }
      assert.deepEqual(policy.statistics().running, 0);
    }, { runs: 60 });
    assert.equal(runs, 60);
  });
});
