import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe } from "../../src/kernel/observer.ts";
import { runTasks } from "../../src/task/run_tasks.ts";
import type { Job } from "../../src/task/task.ts";
import { TaskGroupError, TimeoutError } from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

function after<T>(ms: number, value: T): Job<T> {
  return ({ signal }) => sleep(ms, { signal }).then(() => value);
}

function failAfter(ms: number, error: unknown): Job<never> {
  return async ({ signal }) => {
    await sleep(ms, { signal });
    throw error;
  };
}

const RACES = ["first", "firstSuccess"] as const;

describe('runTasks until "first" or "firstSuccess"', () => {
  test("falsy values and failures decide like any other", async () => {
    await world(async () => {
      for (const it of [undefined, null, 0, "", false]) {
        for (const until of RACES) {
          assert.equal(await runTasks([after(1, it), after(5, "late")], { until }), it);
          assert.equal(await failureOf(runTasks([failAfter(1, it)], { until })), it);
        }
        assert.equal(await failureOf(runTasks([failAfter(1, it), after(5, 7)], { until: "first" })), it);
        assert.equal(await runTasks([failAfter(1, it), after(5, 7)], { until: "firstSuccess" }), 7);
      }
    });
  });

  test("a job that throws or returns at once is as good as one that takes its time; ties go to the earlier", async () => {
    await world(async (w) => {
      const failure = new Error("at once");
      const throwing = () => {
        throw failure;
      };
      assert.equal(await runTasks([() => 1, () => 2], { until: "first" }), 1);
      assert.equal(await failureOf(runTasks([throwing, () => 2], { until: "first" })), failure);
      assert.equal(await runTasks([throwing, () => 2], { until: "firstSuccess" }), 2);
      for (const until of RACES) assert.equal(await runTasks([after(5, "a"), after(5, "b")], { until }), "a");
      assert.equal(w.now, 10);
    });
  });

  test("jobs that are still queued when it is decided are never called", async () => {
    await world(async (w) => {
      for (const until of RACES) {
        const called: number[] = [];
        const job = (i: number): Job<number> => async () => {
          called.push(i);
          await sleep(5);
          return i;
        };
        assert.equal(await runTasks([job(0), job(1), job(2), job(3)], { until, maxConcurrency: 2 }), 0);
        assert.deepEqual(called.slice(0, 2), [0, 1]);
        assert.ok(called.length <= 2, `called: ${called}`);
      }
      assert.equal(w.now, 10);
    });
  });

  test("with maxConcurrency 1 the jobs of firstSuccess are tried one after another", async () => {
    await world(async (w) => {
      const jobs = [failAfter(5, "a"), failAfter(5, "b"), after(5, "c"), after(5, "d")];
      assert.equal(await runTasks(jobs, { until: "firstSuccess", maxConcurrency: 1 }), "c");
      assert.equal(w.now, 15);
    });
  });

  test("the shape of a failure is the one asked for, with everybody's failure in it once", async () => {
    await world(async () => {
      const told: unknown[] = [];
      using _observer = observe({
        record({ kind, data }) {
          if (kind === "task.failure") told.push((data as { error: unknown }).error);
        },
      });
      const [a, b] = [new Error("a"), new Error("b")];
      const all = [failAfter(1, a), failAfter(2, b)];
      const shaped = (until: "first" | "firstSuccess", errors: "auto" | "first" | "all", jobs = all) =>
        failureOf(runTasks(jobs, { until, errors }));

      assert.equal(await shaped("first", "auto"), a);
      assert.equal(await shaped("first", "first"), a);
      assert.equal(await shaped("firstSuccess", "first"), a);
      assert.deepEqual(told, [b], "what is not thrown is told");
      for (
        const [until, errors, jobs, expected] of [
          ["firstSuccess", "auto", all, [a, b]],
          ["firstSuccess", "all", all, [a, b]],
          ["firstSuccess", "all", [failAfter(1, a)], [a]],
          ["first", "all", all, [a]],
        ] as const
      ) {
        const thrown = await shaped(until, errors, [...jobs]);
        assert.ok(thrown instanceof TaskGroupError, `${until} ${errors}`);
        assert.deepEqual([thrown.errors, thrown.cause], [expected, a]);
      }
      assert.deepEqual(told, [b]);
    });
  });

  test("a limit names the group, and ends the losers and the race", async () => {
    await world(async (w) => {
      for (const until of RACES) {
        const failure = await failureOf(
          runTasks([after(100, 1), after(200, 2)], { until, timeoutMs: 5, name: "replicas" }),
        );
        assert.ok(failure instanceof TimeoutError);
        assert.match(failure.message, /task group "replicas" within 5 ms/);
      }
      assert.equal(w.now, 10);
      const called = await failureOf(
        runTasks([() => assert.fail("it ran")], { until: "first", timeoutMs: 0 }),
      );
      assert.ok(called instanceof TimeoutError);
    });
  });

  test("failures from before an abort, which decided nothing, do not hide its reason", async () => {
    await world(async () => {
      for (const reason of ["enough", null, new Error("own")]) {
        const controller = new AbortController();
        const run = failureOf(
          runTasks([failAfter(1, new Error("one")), after(100, 2)], {
            until: "firstSuccess",
            signal: controller.signal,
          }),
        );
        await sleep(5);
        controller.abort(reason);
        assert.equal(await run, reason);
      }
    });
  });

  test("an abort while the losers end: its reason, as nothing was returned yet", async () => {
    await world(async () => {
      for (const until of RACES) {
        const controller = new AbortController();
        const slow: Job<number> = async ({ signal }) => {
          await sleep(50, { signal }).catch(() => sleep(10));
          return 2;
        };
        const run = failureOf(runTasks([after(5, 1), slow], { until, signal: controller.signal }));
        await sleep(10);
        controller.abort("enough");
        assert.equal(await run, "enough");
      }
    });
  });
});

describe('runTasks until "first" or "firstSuccess", aborted', () => {
  for (const until of RACES) {
    test(`${until}: at any moment, what a job came to is either returned or disposed`, async () => {
      let [made, disposed, returned] = [0, 0, 0];
      const connection = (): Disposable => {
        made++;
        return { [Symbol.dispose]: () => void disposed++ };
      };
      const connect = (ms: number): Job<Disposable> => async ({ signal }) => {
        await sleep(ms, { signal });
        return connection();
      };
      // Its clean-up holds the result of the other up.
      const slowToEnd: Job<Disposable> = async ({ signal }) => {
        await sleep(100, { signal }).catch(() => {});
        await sleep(10);
        return connection();
      };
      await sweep(async (signal) => {
        [made, disposed, returned] = [0, 0, 0];
        await runTasks([connect(5), slowToEnd, connect(5)], { until, signal });
        returned++;
      }, () => assert.equal(returned + disposed, made));
    });
  }
});

describe('runTasks until "settled"', () => {
  test("no jobs: nothing; falsy failures are results like any other", async () => {
    assert.deepEqual(await runTasks([], { until: "settled" }), []);
    const results = await runTasks([
      () => Promise.reject(null),
      () => Promise.reject(undefined),
      () => {
        throw 0;
      },
    ], { until: "settled" });
    assert.deepEqual(results.map((result) => "reason" in result && result.reason), [null, undefined, 0]);
  });

  test("its results do not depend on the shape of failures asked for", async () => {
    await world(async () => {
      for (const errors of ["auto", "first", "all"] as const) {
        const results = await runTasks([failAfter(2, "b"), failAfter(1, "a"), after(3, 7)], {
          until: "settled",
          errors,
        });
        assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected", "fulfilled"]);
      }
    });
  });
});

test("runTasks disposes what losers come to all the same", async () => {
  await world(async () => {
    const closed: string[] = [];
    const connect = (host: string, ms: number) => async () => {
      await sleep(ms);
      return { host, [Symbol.dispose]: () => void closed.push(host) };
    };
    const won = await runTasks([connect("near", 10), connect("far", 20)], { until: "firstSuccess" });
    assert.equal(won.host, "near");
    await Promise.resolve();
    assert.deepEqual(closed, ["far"]);
  });
});
