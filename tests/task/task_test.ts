import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { type TaskContext, TaskGroup } from "../../src/task/mod.ts";
import { world } from "../../src/testing/mod.ts";

describe("Task", () => {
  test("can be awaited, again and again, for its result", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const task = group.spawn(() => sleep(5).then(() => 7));
        assert.deepEqual(await Promise.all([task, task, task.then((n) => n + 1)]), [7, 7, 8]);
        assert.equal(await task, 7);
        assert.equal(await task.finally(() => {}), 7);
      });
    });
  });

  test("gives results that are no promises, thenables, and undefined", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        assert.equal(await group.spawn(() => undefined), undefined);
        assert.equal(await group.spawn(() => 7), 7);
        assert.equal(
          await group.spawn(() => ({
            then: (resolve: (n: number) => void) => resolve(7),
          } as PromiseLike<number>)),
          7,
        );
        class Sub<T> extends Promise<T> {}
        assert.equal(await group.spawn(() => Sub.resolve(7)), 7);
      });
    });
  });

  test("is named as asked, or after its group and its number", async () => {
    await world(async () => {
      await TaskGroup.run((group) => {
        assert.equal(group.spawn(() => 1, { name: "mine" }).name, "mine");
        assert.equal(group.spawn(({ name }) => assert.equal(name, "orders/2")).name, "orders/2");
      }, { name: "orders" });
      await TaskGroup.run((group) => void assert.equal(group.spawn(() => 1).name, "task/1"));
    });
  });

  test("keeps to the options it was spawned with", async () => {
    await world(async () => {
      await TaskGroup.run((group) => {
        const options = { name: "a" };
        const task = group.spawn(() => 1, options);
        options.name = "b";
        assert.equal(task.name, "a");
      });
    });
  });

  test("goes from queued over running to how it ended", async () => {
    await world(async () => {
      const group = new TaskGroup({ policy: "supervise" });
      const tasks = [
        group.spawn(() => sleep(5)),
        group.spawn(() => sleep(5).then(() => Promise.reject(new Error("one")))),
        group.spawn(({ signal }) => sleep(5, { signal })),
      ];
      const states = (): string[] => tasks.map(({ state }) => state);
      assert.deepEqual(states(), ["queued", "queued", "queued"]);
      await sleep(1);
      assert.deepEqual(states(), ["running", "running", "running"]);
      tasks[2]!.cancel();
      await group.join().catch(() => {});
      assert.deepEqual(states(), ["fulfilled", "failed", "cancelled"]);
    });
  });

  test("a failure of a handle nobody awaits is no unhandled rejection", async () => {
    await world(async () => {
      const group = new TaskGroup({ policy: "supervise" });
      group.spawn(() => Promise.reject(new Error("one")));
      group.spawn(() => {
        throw new Error("two");
      });
      const cancelled = group.spawn(({ signal }) => sleep(100, { signal }));
      await sleep(1);
      cancelled.cancel();
      await sleep(1);
      await assert.rejects(group.join());
    });
  });

  test("settled resolves, never rejects, and is there after the end too", async () => {
    await world(async () => {
      const group = new TaskGroup();
      const task = group.spawn(() => Promise.reject(new Error("one")));
      await task.settled;
      await task.settled;
      assert.equal(task.state, "failed");
      await assert.rejects(group.join());
    });
  });

  test("then without a rejection handler passes a failure on to who handles it", async () => {
    await world(async () => {
      const error = new Error("one");
      const group = new TaskGroup();
      const task = group.spawn(() => Promise.reject(error));
      assert.equal(await task.then(() => "no").then(null, (error) => error), error);
      assert.equal(await task.finally(() => {}).catch((error) => error), error);
      assert.equal(await group.join().catch((error) => error), error);
    });
  });
});

describe("Task.cancel", () => {
  test("ends this task only: its group does not fail, its siblings go on", async () => {
    await world(async (w) => {
      const value = await TaskGroup.run(async (group) => {
        const task = group.spawn(({ signal }) => sleep(1_000, { signal }));
        const sibling = group.spawn(() => sleep(10).then(() => "done"));
        await sleep(1);
        task.cancel("enough");
        task.cancel("again: does nothing");
        assert.equal(await task.catch((error) => error), "enough");
        assert.equal(task.state, "cancelled");
        assert.equal(group.signal.aborted, false);
        return await sibling;
      });
      assert.equal(value, "done");
      assert.equal(w.now, 10);
    });
  });

  test("hands the reason on untouched: to the signal and to who awaits", async () => {
    for (const reason of ["text", null, 0, new Error("enough")]) {
      await world(async () => {
        await TaskGroup.run(async (group) => {
          let seen: unknown = "nothing";
          const task = group.spawn(({ signal }) =>
            sleep(1_000, { signal }).finally(() => seen = signal.reason)
          );
          await sleep(1);
          task.cancel(reason);
          assert.deepEqual(await task.then(null, (error) => ({ error })), { error: reason });
          assert.equal(seen, reason);
        });
      });
    }
  });

  test("before the start: the function is never called", async () => {
    await world(async () => {
      let called = false;
      await TaskGroup.run(async (group) => {
        const task = group.spawn(() => called = true);
        task.cancel();
        assert.equal(task.state, "cancelled");
        const error = await task.catch((error) => error) as unknown as DOMException;
        assert.equal(error.name, "AbortError");
        assert.equal(error.message, 'Cannot go on with task "task/1": it was cancelled');
      });
      assert.equal(called, false);
    });
  });

  test("a task that ignores it is fulfilled as if nothing had been", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const task = group.spawn(() => sleep(5).then(() => 7));
        await sleep(1);
        task.cancel();
        assert.equal(task.state, "running");
        assert.equal(await task, 7);
        task.cancel("too late");
        assert.equal(task.state, "fulfilled");
      });
    });
  });

  test("a failure in its clean-up is the group's, like any", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const run = TaskGroup.run(async (group) => {
        const task = group.spawn(({ signal }) => sleep(100, { signal }).catch(() => Promise.reject(error)));
        await sleep(1);
        task.cancel();
      });
      assert.equal(await run.catch((error) => error), error);
    });
  });

  test("by itself, from inside", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const task = group.spawn(({ task, signal }) => {
          task.cancel("by myself");
          return sleep(100, { signal });
        });
        assert.equal(await task.catch((error) => error), "by myself");
      });
    });
  });
});

describe("TaskContext", () => {
  test("has the task's handle and name, and one signal", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        let seen: TaskContext | undefined;
        const task = group.spawn((context) => {
          seen = context;
          assert.equal(context.signal, context.signal);
        }, { name: "a" });
        await task;
        assert.equal(seen!.name, "a");
        assert.equal(seen!.task, task);
      });
    });
  });

  test("the signal is made when it is first read: not by spawning, running and ending", async () => {
    const { AbortController: Original } = globalThis;
    let made = 0;
    await world(async () => {
      globalThis.AbortController = class extends Original {
        constructor() {
          super();
          made++;
        }
      };
      try {
        await TaskGroup.run(async (group) => {
          for (let i = 0; i < 10; i++) group.spawn(() => sleep(1));
          await sleep(5);
          assert.equal(made, 0);
          await group.spawn(({ signal }) => void signal);
          assert.equal(made, 1);
        });
      } finally {
        globalThis.AbortController = Original;
      }
    });
  });

  test("a signal first read after the abort is aborted already, with the reason", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const task = group.spawn(async (context) => {
          await sleep(5);
          assert.equal(context.signal.aborted, true);
          assert.equal(context.signal.reason, "enough");
        });
        await sleep(1);
        task.cancel("enough");
        await task;
      });
    });
  });
});
