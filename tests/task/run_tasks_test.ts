import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Deadline, sleep } from "../../src/cancel/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import {
  type Job,
  mapTasks,
  runTask,
  runTasks,
  TaskGroup,
  TaskGroupError,
  TimeoutError,
} from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

const after = <T>(ms: number, value: T): Job<T> => ({ signal }) => sleep(ms, { signal }).then(() => value);
const failAfter = (ms: number, error: unknown): Job<never> => ({ signal }) =>
  sleep(ms, { signal }).then(() => Promise.reject(error));
/** Fails in the clean-up of its cancellation. */
const spoil = (error: unknown): Job<never> => ({ signal }) =>
  sleep(1_000_000, { signal }).then(() => Promise.reject(new Error("too long")), () => Promise.reject(error));

describe("runTask", () => {
  test("returns what the job returns; throws what it throws, by identity", async () => {
    await world(async () => {
      assert.equal(await runTask(after(5, 7)), 7);
      assert.equal(await runTask(() => 7), 7);
      for (const error of [new Error("one"), null, "text"]) {
        assert.deepEqual(await runTask(failAfter(5, error)).then(null, (error) => ({ error })), { error });
      }
    });
  });

  test("ends at its limit and with its signal, and leaves nothing behind that the job has started", async () => {
    await world(async (w) => {
      await assert.rejects(runTask(after(100, 7), { timeoutMs: 5 }), TimeoutError);
      assert.equal(w.now, 5);
      const controller = new AbortController();
      const running = runTask(after(100, 7), { signal: controller.signal }).catch((error) => error);
      await w.advance(1);
      controller.abort("enough");
      assert.equal(await running, "enough");
    });
  });

  test("refuses what is no function", async () => {
    await assert.rejects(
      runTask(Promise.resolve(1) as never),
      /^TypeError: Cannot run tasks as job 0 must be a function/,
    );
  });
});

describe("runTasks", () => {
  test("returns the results in the order of the jobs, typed as a tuple", async () => {
    await world(async (w) => {
      const [number, text, nothing] = await runTasks([after(20, 1), after(10, "text"), () => undefined]);
      const typed: [number, string, undefined] = [number, text, nothing];
      assert.deepEqual(typed, [1, "text", undefined]);
      assert.equal(w.now, 20);
      assert.deepEqual(await runTasks([]), []);
    });
  });

  test("the first failure cancels the others, waits for them, and is thrown", async () => {
    await world(async (w) => {
      const error = new Error("one");
      let ended = 0;
      const run = runTasks([
        failAfter(5, error),
        ({ signal }) => sleep(1_000, { signal }).finally(() => sleep(10)).finally(() => ended = w.now),
      ]);
      assert.equal(await run.catch((error) => error), error);
      assert.equal(ended, 15);
    });
  });

  test("several failures: a TaskGroupError in the order of time", async () => {
    await world(async () => {
      const [first, second] = [new Error("first"), new Error("second")];
      const thrown = await runTasks([spoil(second), failAfter(1, first)]).catch((error) => error);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [first, second]);
    });
  });

  test("two calls at once do not touch each other", async () => {
    await world(async () => {
      const failing = runTasks([failAfter(1, new Error("a"))], { name: "same" }).catch(() => "failed");
      assert.deepEqual(await runTasks([after(5, 7)], { name: "same" }), [7]);
      assert.equal(await failing, "failed");
    });
  });

  test("bounds how many run at once", async () => {
    await world(async (w) => {
      await runTasks([after(10, 1), after(10, 2), after(10, 3)], { maxConcurrency: 2 });
      assert.equal(w.now, 20);
    });
  });

  test("a job that cancels itself has no result: the reason is thrown", async () => {
    await world(async () => {
      const run = runTasks([({ task, signal }) => {
        task.cancel("by myself");
        return sleep(1, { signal });
      }, after(5, 1)]);
      assert.equal(await run.catch((error) => error), "by myself");
    });
  });

  test("refuses wrong jobs and options before anything is started", async () => {
    let called = false;
    const job = (): boolean => called = true;
    await assert.rejects(
      runTasks(job as never),
      /^TypeError: Cannot run tasks as jobs must be an array of functions/,
    );
    await assert.rejects(
      runTasks([job, 1 as never]),
      /^TypeError: Cannot run tasks as job 1 must be a function/,
    );
    await assert.rejects(runTasks([job], { until: "last" as never }), /^RangeError: .* until must be one of/);
    await assert.rejects(runTasks([job], 1 as never), TypeError);
    await assert.rejects(runTasks([job], { maxConcurrency: 0 }), RangeError);
    assert.equal(called, false);
  });

  test("takes the context of a task for options: its signal, its deadline", async () => {
    await world(async () => {
      const group = new TaskGroup({ timeoutMs: 50 });
      const deadlines: number[] = [];
      const job: Job<void> = async ({ signal }) => {
        deadlines.push(Deadline.of(signal).remainingMs);
        await sleep(1_000, { signal });
      };
      group.spawn((context) => runTasks([job], context));
      group.spawn((context) => runTask(job, context));
      for (const until of ["settled", "first", "firstSuccess"] as const) {
        group.spawn((context) => runTasks([job], Object.create(context, { until: { value: until } })));
      }
      group.spawn((context) => TaskGroup.run((inner) => void inner.spawn(job), context));
      group.spawn((context) =>
        mapTasks([1], (_, context) => job(context), Object.create(context, { concurrency: { value: 1 } }))
          .next()
      );
      await assert.rejects(group.join(), TimeoutError);
      assert.deepEqual(deadlines, Array(7).fill(50));
    });
  });

  test("a signal that is aborted already: its reason, and no job is called", async () => {
    await world(async () => {
      let called = false;
      for (const until of ["all", "settled", "first", "firstSuccess"] as const) {
        const run = runTasks([() => called = true], {
          signal: AbortSignal.abort(null),
          until: until as "all",
        });
        assert.deepEqual(await run.then(null, (error) => ({ error })), { error: null });
      }
      assert.equal(called, false);
    });
  });
});

describe('runTasks until "settled"', () => {
  test("all go on whatever happens, and failures are results", async () => {
    await world(async (w) => {
      const error = new Error("one");
      const [first, second, third] = await runTasks([
        failAfter(1, error),
        after(5, 7),
        ({ task, signal }) => {
          task.cancel("by myself");
          return sleep(1, { signal });
        },
      ], { until: "settled" });
      assert.deepEqual(first, { status: "rejected", reason: error });
      assert.deepEqual(second, { status: "fulfilled", value: 7 });
      assert.deepEqual(third, { status: "rejected", reason: "by myself" });
      assert.equal(w.now, 5);
    });
  });

  test("an abort rejects with the reason; a failure in the clean-up is not lost", async () => {
    await world(async (w) => {
      const error = new Error("clean-up");
      const abort = async (...jobs: Job<unknown>[]): Promise<unknown> => {
        const controller = new AbortController();
        const run = runTasks(jobs, { until: "settled", signal: controller.signal }).catch((error) => error);
        await w.advance(5);
        controller.abort("enough");
        return await run;
      };
      assert.equal(await abort(after(10, 7), failAfter(1, new Error("a result, before"))), "enough");
      const thrown = await abort(after(10, 7), spoil(error));
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [error]);
      assert.equal(thrown.cause, "enough");
    });
  });
});

describe('runTasks until "first" or "firstSuccess"', () => {
  test("the winner's value comes once the losers are cancelled and have ended", async () => {
    for (const until of ["first", "firstSuccess"] as const) {
      await world(async (w) => {
        let ended = 0;
        const value = await runTasks([
          after(5, "quick"),
          ({ signal }) => sleep(100, { signal }).finally(() => sleep(10)).finally(() => ended = w.now),
        ], { until });
        assert.equal(value, "quick");
        assert.equal(ended, 15);
        assert.equal(w.now, 15);
      });
    }
  });

  test('"first": a failure decides too, and the losers are cancelled', async () => {
    await world(async (w) => {
      for (const error of [new Error("one"), null]) {
        const run = runTasks([failAfter(5, error), after(100, 7)], { until: "first" });
        assert.deepEqual(await run.then(null, (error) => ({ error })), { error });
      }
      assert.equal(w.now, 10);
    });
  });

  test('"firstSuccess": failures are passed over; when all fail they are thrown, the first as cause', async () => {
    await world(async () => {
      const [a, b] = [new Error("a"), new Error("b")];
      assert.equal(await runTasks([failAfter(1, a), after(5, 7)], { until: "firstSuccess" }), 7);
      const thrown = await runTasks([failAfter(2, b), failAfter(1, a)], { until: "firstSuccess" })
        .catch((error) => error);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [a, b]);
      assert.equal(thrown.cause, a);
      assert.equal(thrown.message, "Cannot run tasks: all 2 failed, the first: a");
      assert.equal(await runTasks([failAfter(1, a)], { until: "firstSuccess" }).catch((error) => error), a);
    });
  });

  test("a loser's late failure goes to the observer, and does not spoil the result", async () => {
    for (const until of ["first", "firstSuccess"] as const) {
      await world(async () => {
        const records: ObserverRecord[] = [];
        using _watching = observe({
          record: (record) => void (record.kind === "task.failure" && records.push(record)),
        });
        const error = new Error("clean-up");
        assert.equal(await runTasks([after(5, 7), spoil(error)], { until, name: "race" }), 7);
        assert.deepEqual(records, [{
          kind: "task.failure",
          structure: "group",
          name: "race",
          data: { task: "race/2", error },
        }]);
      });
    }
  });

  test("an abort rejects with the reason; a failure in the clean-up is not lost", async () => {
    for (const until of ["first", "firstSuccess"] as const) {
      await world(async (w) => {
        const error = new Error("clean-up");
        const abort = async (...jobs: Job<unknown>[]): Promise<unknown> => {
          const controller = new AbortController();
          const run = runTasks(jobs, { until, signal: controller.signal }).catch((error) => error);
          await w.advance(5);
          controller.abort("enough");
          return await run;
        };
        assert.equal(await abort(after(10, 7), after(20, 8)), "enough");
        const thrown = await abort(after(10, 7), spoil(error));
        assert.ok(thrown instanceof TaskGroupError);
        assert.deepEqual(thrown.errors, [error]);
        assert.equal(thrown.cause, "enough");
      });
    }
  });

  test("the first of no jobs would never come: a RangeError", async () => {
    await assert.rejects(runTasks([], { until: "first" }), RangeError);
    await assert.rejects(runTasks([], { until: "firstSuccess" }), RangeError);
  });

  test("aborted at every moment: no orphan, nothing left", async () => {
    let running = 0;
    const job = (ms: number): Job<number> => async ({ signal }) => {
      running++;
      try {
        await sleep(ms, { signal });
        return ms;
      } finally {
        await sleep(2);
        running--;
      }
    };
    for (const until of ["all", "settled", "first", "firstSuccess"] as const) {
      await sweep(
        (signal) => runTasks([job(3), job(5), job(1)], { until: until as "all", signal, maxConcurrency: 2 }),
        () => running === 0,
      );
    }
  });
});
