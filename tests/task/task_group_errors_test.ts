import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, TimeoutError } from "../../src/cancel/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { leaves, TaskGroup, TaskGroupError } from "../../src/task/mod.ts";
import type { GroupOptions, TaskContext } from "../../src/task/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { opaqueErrors } from "../_opaque.ts";

type Step = (context: TaskContext) => unknown;

/** Fails after a time, whatever happens. */
const failAt = (ms: number, error: unknown): Step => async () => {
  await sleep(ms);
  throw error;
};

/** Sleeps until it is cancelled; fails in its clean-up, which takes a time. */
const failInCleanUp = (ms: number, error: unknown): Step => async ({ signal }) => {
  try {
    await sleep(1_000_000, { signal });
  } catch {
    await sleep(ms);
    throw error;
  }
};

/** What a group of these tasks throws, boxed; `undefined` when nothing. */
async function thrownBy(
  steps: readonly Step[],
  options: GroupOptions = {},
  body: (group: TaskGroup) => unknown = () => {},
): Promise<{ error: unknown } | undefined> {
  return await TaskGroup.run(async (group) => {
    for (const step of steps) group.spawn(step);
    await body(group);
  }, options).then(() => undefined, (error) => ({ error }));
}

describe("TaskGroup: what it throws", () => {
  test("one failure: by identity, whatever was thrown, and not changed", async () => {
    for (
      const error of [Object.freeze(new Error("one")), "text", null, undefined, 0, NaN, Object.create(null)]
    ) {
      await world(async () => assert.deepEqual(await thrownBy([failAt(1, error)]), { error }));
      await world(async () => assert.ok(Object.is((await thrownBy([failAt(1, error)]))!.error, error)));
    }
  });

  test("a synchronous throw is an ordinary failure", async () => {
    await world(async () => {
      const error = new Error("at once");
      const thrown = await thrownBy([() => {
        throw error;
      }]);
      assert.equal(thrown?.error, error);
    });
  });

  test("several: a TaskGroupError in the order of time, its cause the first", async () => {
    await world(async () => {
      const [first, second, third] = [new Error("first"), new Error("second"), new Error("third")];
      const thrown = await thrownBy([failInCleanUp(20, third), failInCleanUp(10, second), failAt(5, first)], {
        name: "g",
      });
      const error = thrown?.error;
      assert.ok(error instanceof TaskGroupError && error instanceof AggregateError);
      assert.deepEqual(error.errors, [first, second, third]);
      assert.equal(error.cause, first);
      assert.equal(error.name, "TaskGroupError");
      assert.equal(error.message, 'Cannot finish task group "g": 3 failures, the first: first');
    });
  });

  test("several that say nothing of themselves make a TaskGroupError as well", async () => {
    await world(async () => {
      const errors = [Object.create(null), Symbol("s"), null];
      const thrown = await thrownBy(
        errors.map((error, i) => i === 0 ? failAt(1, error) : failInCleanUp(i, error)),
      );
      assert.ok(thrown?.error instanceof TaskGroupError);
      assert.deepEqual(thrown.error.errors, errors);
    });
  });

  test("one error object thrown by several tasks is one failure", async () => {
    await world(async () => {
      const error = new Error("shared");
      assert.equal((await thrownBy([failAt(1, error), failInCleanUp(1, error)]))?.error, error);
    });
  });

  test("a failure in the clean-up of a cancelled task is a failure", async () => {
    await world(async () => {
      const [first, second] = [new Error("first"), new Error("clean-up")];
      const thrown = await thrownBy([failAt(1, first), failInCleanUp(0, second)]);
      assert.ok(thrown?.error instanceof TaskGroupError);
      assert.deepEqual(thrown.error.errors, [first, second]);
    });
  });

  test("a failure of the body cancels the tasks, waits for them, and is thrown", async () => {
    await world(async (w) => {
      const error = new Error("body");
      const states: string[] = [];
      const thrown = await thrownBy(
        [
          async ({ signal, task }) => {
            await sleep(100, { signal }).catch(() => {});
            await sleep(10);
            states.push(task.state);
          },
        ],
        {},
        async () => {
          await sleep(5);
          throw error;
        },
      );
      assert.equal(thrown?.error, error);
      assert.deepEqual(states, ["running"]);
      assert.equal(w.now, 15);
    });
  });

  test("a body that lets a task's failure pass throws it once, by identity", async () => {
    await world(async () => {
      const error = new Error("one");
      const thrown = await thrownBy([], {}, async (group) => await group.spawn(failAt(1, error)));
      assert.equal(thrown?.error, error);
    });
  });

  test("a body error whose cause chain holds a task's error replaces it", async () => {
    await world(async () => {
      const error = new Error("one");
      const meant = new Error("outer", { cause: new Error("inner", { cause: error }) });
      const thrown = await thrownBy([], {}, async (group) => {
        await group.spawn(failAt(1, error)).catch(() => {
          throw meant;
        });
      });
      assert.equal(thrown?.error, meant);
    });
  });

  test("a body error that holds several tasks' errors as causes replaces them all, at the place of the first", async () => {
    await world(async () => {
      const first = new Error("first");
      const second = new Error("second", { cause: first });
      const third = new Error("third");
      const meant = new Error("meant", { cause: second });
      const replaced = await thrownBy(
        [failAt(1, first), failInCleanUp(1, second)],
        {},
        async () => {
          await sleep(10);
          throw meant;
        },
      );
      assert.equal(replaced?.error, meant);
      const thrown = await thrownBy(
        [failAt(1, first), failInCleanUp(1, second), failInCleanUp(2, third), failInCleanUp(20, meant)],
        {},
        async () => {
          await sleep(10);
          throw meant;
        },
      );
      assert.deepEqual((thrown?.error as TaskGroupError).errors, [meant, third]);
    });
  });

  test("a body error with a cause of its own stands beside a task's failure", async () => {
    await world(async () => {
      const [child, own] = [new Error("child"), new Error("own", { cause: new Error("else") })];
      const thrown = await thrownBy([failAt(1, child)], {}, async () => {
        await sleep(5);
        throw own;
      });
      assert.deepEqual((thrown?.error as TaskGroupError).errors, [child, own]);
    });
  });

  test("a cause chain that bites its tail does not hang", async () => {
    await world(async () => {
      const a: Error & { cause?: unknown } = new Error("a");
      a.cause = new Error("b", { cause: a });
      assert.equal((await thrownBy([], {}, () => Promise.reject(a)))?.error, a);
    });
  });

  test("fail-fast aborts even when the body catches the task's failure", async () => {
    await world(async () => {
      const error = new Error("one");
      const thrown = await thrownBy([], {}, async (group) => {
        await group.spawn(failAt(1, error)).catch(() => {});
        assert.equal(group.signal.aborted, true);
      });
      assert.equal(thrown?.error, error);
    });
  });

  test("on the await-using door, a body that waited on the signal makes a SuppressedError that leaves flattens", async () => {
    await world(async () => {
      const error = new Error("one");
      const block = async (): Promise<void> => {
        await using group = new TaskGroup();
        group.spawn(failAt(1, error));
        await sleep(1_000, { signal: group.signal });
        await group.join();
      };
      const thrown = await block().catch((error) => error);
      assert.equal(thrown.name, "SuppressedError");
      assert.equal(thrown.error, error);
      assert.deepEqual(leaves(thrown), [error]);
    });
  });
});

describe("TaskGroup: shapes on demand", () => {
  test('errors: "all" throws a TaskGroupError of one as well', async () => {
    await world(async () => {
      const error = new Error("one");
      const thrown = await thrownBy([failAt(1, error)], { errors: "all" });
      assert.ok(thrown?.error instanceof TaskGroupError);
      assert.deepEqual(thrown.error.errors, [error]);
      assert.equal(thrown.error.cause, error);
      assert.equal(thrown.error.message, "Cannot finish task group: 1 failure: one");
      assert.equal(await thrownBy([() => 1], { errors: "all" }), undefined);
    });
  });

  test('errors: "first" throws the first, tells the observer of the others, and leaves them on their handles', async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (record) => records.push(record) });
      const [first, second] = [new Error("first"), new Error("second")];
      const group = new TaskGroup({ name: "g", errors: "first" });
      group.spawn(failAt(1, first));
      const other = group.spawn(failInCleanUp(1, second));
      assert.equal(await group.join().catch((error) => error), first);
      assert.equal(await group.join().catch((error) => error), first);
      assert.deepEqual(records.filter(({ kind }) => kind === "task.failure"), [
        { kind: "task.failure", structure: "group", name: "g", data: { error: second } },
      ]);
      assert.equal(await other.catch((error) => error), second);
    });
  });

  test("an abort from outside without failures is the reason in every mode", async () => {
    for (const errors of ["auto", "first", "all"] as const) {
      await world(async () => {
        const controller = new AbortController();
        const thrown = await thrownBy([({ signal }) => sleep(100, { signal })], {
          errors,
          signal: controller.signal,
        }, async () => {
          await sleep(1);
          controller.abort("outside");
        });
        assert.deepEqual(thrown, { error: "outside" });
      });
    }
  });
});

describe("TaskGroup: failures and an abort from outside", () => {
  const abortAt = async (ms: number, steps: readonly Step[]): Promise<unknown> => {
    const controller = new AbortController();
    const thrown = await thrownBy(steps, { signal: controller.signal }, async () => {
      await sleep(ms);
      controller.abort("outside");
    });
    return thrown?.error;
  };

  test("one before the abort: thrown by identity", async () => {
    await world(async () => {
      const error = new Error("before");
      assert.equal(await abortAt(10, [failAt(1, error), () => sleep(20)]), error);
    });
  });

  test("one after the abort: a TaskGroupError whose cause is the reason", async () => {
    await world(async () => {
      const error = new Error("after");
      const thrown = await abortAt(10, [failInCleanUp(1, error)]);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [error]);
      assert.equal(thrown.cause, "outside");
    });
  });

  test("before and after: one TaskGroupError in the order of time, its cause the first failure", async () => {
    await world(async () => {
      const [before, after] = [new Error("before"), new Error("after")];
      const thrown = await abortAt(10, [failAt(1, before), failInCleanUp(20, after)]);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [before, after]);
      assert.equal(thrown.cause, before);
    });
  });

  test("the limit of the group is such an abort", async () => {
    await world(async () => {
      const error = new Error("after");
      const thrown = await thrownBy([failInCleanUp(1, error)], { timeoutMs: 10 });
      assert.ok(thrown?.error instanceof TaskGroupError);
      assert.deepEqual(thrown.error.errors, [error]);
      assert.ok(thrown.error.cause instanceof TimeoutError);
    });
  });
});

describe("TaskGroup: echo or failure", () => {
  /** What a task whose group was cancelled with `reason` ends as, when it then throws what `make` makes. */
  const endAs = async (reason: unknown, make: (reason: unknown) => unknown): Promise<string> => {
    const group = new TaskGroup();
    const task = group.spawn(({ signal }) =>
      sleep(1_000, { signal }).catch(() => {
        throw make(signal.reason);
      })
    );
    await sleep(1);
    group.cancel(reason);
    await group.join().catch(() => {});
    return task.state;
  };

  test("the reason, an error with it as cause, and any AbortError are echoes once the task is aborted", async () => {
    await world(async () => {
      for (
        const reason of [
          "text",
          null,
          0,
          new Error("enough"),
          new TimeoutError("t", { operation: "o", limitMs: 1 }),
        ]
      ) {
        assert.equal(await endAs(reason, (reason) => reason), "cancelled");
        assert.equal(await endAs(reason, (reason) => new Error("wrapped", { cause: reason })), "cancelled");
        assert.equal(await endAs(reason, () => new DOMException("gone", "AbortError")), "cancelled");
      }
    });
  });

  test("anything else is a failure: a TimeoutError, an error without cause, an equal object", async () => {
    await world(async () => {
      const timedOut = new TimeoutError("t", { operation: "o", limitMs: 1 });
      assert.equal(await endAs(new Error("enough"), () => timedOut), "failed");
      assert.equal(
        await endAs(
          "enough",
          (reason) => new TimeoutError("t", { operation: "o", limitMs: 1, cause: reason }),
        ),
        "failed",
      );
      assert.equal(await endAs("enough", () => new DOMException("slow", "TimeoutError")), "failed");
      assert.equal(await endAs("enough", () => new Error("own")), "failed");
      assert.equal(await endAs("enough", () => undefined), "failed");
      assert.equal(await endAs("enough", () => "other"), "failed");
      assert.equal(await endAs({ a: 1 }, () => ({ a: 1 })), "failed");
    });
  });

  test("an AbortError of somebody else, when the task is not aborted, is a failure", async () => {
    await world(async () => {
      const foreign = new DOMException("somebody else's", "AbortError");
      const thrown = await thrownBy([failAt(1, foreign)]);
      assert.equal(thrown?.error, foreign);
      assert.deepEqual(leaves(thrown?.error), [foreign]);
    });
  });

  test("an AbortError of somebody else, thrown by the body of a group that is not aborted, is a failure", async () => {
    await world(async () => {
      const foreign = new DOMException("somebody else's", "AbortError");
      assert.equal((await thrownBy([], {}, () => Promise.reject(foreign)))?.error, foreign);
    });
  });

  test("a nested group hands the reason up untouched, at any depth", async () => {
    for (const reason of ["text", null, new Error("stop")]) {
      await world(async () => {
        const controller = new AbortController();
        const nest = (depth: number, signal: AbortSignal): Promise<unknown> =>
          TaskGroup.run((group) => {
            group.spawn((context) => depth === 0 ? sleep(100, context) : nest(depth - 1, context.signal));
          }, { signal });
        const nested = nest(3, controller.signal).then(() => "well", (error) => ({ error }));
        await sleep(1);
        controller.abort(reason);
        assert.deepEqual(await nested, { error: reason });
      });
    }
  });

  test("a nested group's TaskGroupError, whose cause is the outer reason, is no echo of it", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const controller = new AbortController();
      const nest = (depth: number, signal: AbortSignal): Promise<unknown> =>
        TaskGroup.run((group) => {
          group.spawn((context) =>
            depth === 0 ? failInCleanUp(1, error)(context) : nest(depth - 1, context.signal)
          );
        }, { signal });
      const nested = nest(2, controller.signal).catch((error) => error);
      await sleep(1);
      controller.abort("outside");
      const thrown = await nested;
      assert.ok(thrown instanceof TaskGroupError);
      assert.equal(thrown.cause, "outside");
      assert.deepEqual(leaves(thrown), [error]);
    });
  });

  test("a nested group's clean-up failure survives the failure of its uncle", async () => {
    await world(async () => {
      const [uncle, nephew] = [new Error("uncle"), new Error("nephew")];
      const thrown = await thrownBy([
        failAt(5, uncle),
        ({ signal }) =>
          TaskGroup.run((group) => {
            group.spawn(failInCleanUp(1, nephew));
          }, { signal }),
      ]);
      assert.deepEqual(leaves(thrown?.error), [uncle, nephew]);
    });
  });
});

describe("TaskGroup: supervise", () => {
  test("siblings survive a failure, and an unobserved one is thrown in the end", async () => {
    await world(async (w) => {
      const error = new Error("one");
      const group = new TaskGroup({ policy: "supervise" });
      group.spawn(failAt(1, error));
      const sibling = group.spawn(() => sleep(10).then(() => "done"));
      assert.equal(await group.join().catch((error) => error), error);
      assert.equal(await sibling, "done");
      assert.equal(w.now, 10);
    });
  });

  test("a failure observed on its handle is not thrown; looking at state and settled is not observing", async () => {
    await world(async () => {
      const [awaited, caught, looked] = [new Error("awaited"), new Error("caught"), new Error("looked")];
      const thrown = await thrownBy([], { policy: "supervise" }, async (group) => {
        const first = group.spawn(failAt(1, awaited));
        group.spawn(failAt(1, caught)).catch(() => {});
        const third = group.spawn(failAt(1, looked));
        await assert.rejects(async () => await first, awaited);
        await third.settled;
        assert.equal(third.state, "failed");
      });
      assert.equal(thrown?.error, looked);
    });
  });

  test("a failure of the body cancels the tasks", async () => {
    await world(async (w) => {
      const error = new Error("body");
      const thrown = await thrownBy(
        [({ signal }) => sleep(100, { signal })],
        { policy: "supervise" },
        async () => {
          await sleep(1);
          throw error;
        },
      );
      assert.equal(thrown?.error, error);
      assert.equal(w.now, 1);
    });
  });

  test("several unobserved: a TaskGroupError", async () => {
    await world(async () => {
      const [first, second] = [new Error("first"), new Error("second")];
      const thrown = await thrownBy([failAt(2, second), failAt(1, first)], { policy: "supervise" });
      assert.deepEqual((thrown?.error as TaskGroupError).errors, [first, second]);
    });
  });
});

describe("TaskGroup: failures that can't be looked at", () => {
  for (const [name, opaque] of opaqueErrors()) {
    test(`${name}: no task is left running, and the very thing is thrown, alone or among others`, async () => {
      await world(async () => {
        let ended = 0;
        const cleansUp: Step = async ({ signal }) => {
          await sleep(100, { signal }).catch(() => {});
          await sleep(10);
          ended++;
        };
        const body = async (): Promise<never> => {
          await sleep(1);
          throw opaque;
        };
        assert.ok((await thrownBy([cleansUp], {}, body))?.error === opaque);
        assert.equal(ended, 1);
        assert.ok((await thrownBy([cleansUp, failAt(1, opaque)]))?.error === opaque);
        assert.equal(ended, 2);
        const second = new Error("second");
        const several = (await thrownBy([failAt(1, opaque), failInCleanUp(1, second)]))?.error;
        assert.ok(several instanceof TaskGroupError);
        assert.ok(several.errors[0] === opaque && several.errors[1] === second && several.cause === opaque);
      });
    });
  }
});
