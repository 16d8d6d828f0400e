import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { ignore } from "../../../src/kernel/deferred.ts";
import { ClosedError } from "../../../src/kernel/errors.ts";
import { mapTasks, runTask, runTasks, TaskGroup, TaskManager } from "../../../src/task/mod.ts";
import { all, mayBeLate, type Operation, type Scene } from "../_scene.ts";

/** Work of which there is none left at the end, also where it takes its time to end. */
class Work {
  running = 0;
  started = 0;
  ended = 0;

  readonly job = (ms: number) => async ({ signal }: { signal: AbortSignal }): Promise<number> => {
    this.running++;
    this.started++;
    try {
      await sleep(ms, { signal });
    } finally {
      await sleep(1);
      this.running--;
      this.ended++;
    }
    return ms;
  };

  readonly check = (): void => {
    assert.equal(this.running, 0, "no task outlives what owns it");
    assert.equal(this.ended, this.started);
  };
}

/** A scene in which all the work there is must be over when `act` is. */
function working(act: (signal: AbortSignal, work: Work) => Promise<unknown>): () => Scene {
  return () => {
    const work = new Work();
    return {
      act: async (signal) => {
        try {
          await act(signal, work);
        } finally {
          work.check();
        }
      },
      check: work.check,
    };
  };
}

export const operations: readonly Operation[] = [
  {
    name: "a group that is run, with tasks, a daemon and a group inside",
    covers: ["TaskGroup.run", "TaskGroup.join", "TaskGroup.capacity", "Task.then"],
    scene: working((signal, { job }) =>
      TaskGroup.run(async (group) => {
        group.spawn(job(50), { daemon: true });
        const first = group.spawn(job(2));
        await group.capacity({ signal: group.signal });
        group.spawn(({ signal }) =>
          TaskGroup.run((inner) => {
            inner.spawn(job(3));
            inner.spawn(job(1));
          }, { signal })
        );
        assert.equal(await first, 2);
        group.spawn(job(1));
        await group.capacity();
      }, { signal, maxConcurrency: 2, timeoutMs: 100 })
    ),
  },
  {
    name: "a group that is disposed, with a task that gets ready and shielded clean-up",
    covers: ["TaskGroup.start", "TaskGroup.shield", "TaskGroup.join", "TaskGroup[Symbol.asyncDispose]"],
    scene: working(async (signal, work) => {
      let shielded = 0;
      {
        await using group = new TaskGroup({ signal });
        const port = await group.start<number>(async ({ ready, signal }) => {
          await sleep(2, { signal });
          ready(80);
          try {
            await work.job(3)({ signal });
          } finally {
            await group.shield(20, async ({ signal }) => {
              await sleep(2, { signal });
              shielded++;
            });
          }
        }, { signal, timeoutMs: 10 });
        assert.equal(port, 80);
        await group.join();
        assert.equal(shielded, 1);
      }
      {
        // Left without a join: its task is cancelled, and awaited.
        await using group = new TaskGroup({ signal });
        group.spawn(work.job(30));
        await sleep(2, { signal });
      }
    }),
  },
  {
    name: "a wait for readiness that is given up, in a group that goes on",
    covers: ["TaskGroup.start", "TaskGroup.close", "TaskGroup.settled", "Task.settled"],
    scene: working((signal, { job }) =>
      TaskGroup.run(async (group) => {
        const other = group.spawn(job(4));
        await all(
          group.start<void>(async ({ ready, signal }) => {
            await job(3)({ signal });
            ready();
            await job(2)({ signal });
          }, { signal }),
          mayBeLate(group.start(({ signal }) => job(9)({ signal }), { timeoutMs: 2, signal })),
          other.settled,
        ).finally(async () => {
          assert.equal(await other, 4, "is nobody else's business");
          group.spawn(job(9)).catch(ignore);
          const [report] = await Promise.all([group.close({ graceMs: 1 }), group.settled]);
          assert.deepEqual(report, { stuck: [] });
        });
      })
    ),
  },
  {
    name: "a closing that tasks of its own wait for, by their signals, and others",
    covers: ["TaskManager.close"],
    scene: working(async (signal, { job }) => {
      const manager = new TaskManager();
      const ended: string[] = [];
      const admin = (name: string): void => {
        manager.spawn(name, async (context) => {
          await job(2)(context);
          assert.deepEqual(await manager.close({ signal: context.signal }), { stuck: [] });
          ended.push(name);
        });
      };
      admin("a");
      admin("b");
      manager.spawn("work", job(4)).catch(ignore);
      manager.group("jobs").spawn(job(5)).catch(ignore);
      await all(
        sleep(1).then(() => manager.close({ signal })),
        sleep(3, { signal }).then(() => manager.close({ signal, graceMs: 0 })),
      ).finally(async () => {
        assert.deepEqual(await manager.close(), { stuck: [] });
        assert.deepEqual(ended.toSorted(), ["a", "b"]);
      });
    }),
  },
  {
    name: "a manager with restarts, groups and a close with a grace",
    covers: ["TaskManager.close", "TaskManager[Symbol.asyncDispose]"],
    scene: working(async (signal, { job }) => {
      let runs = 0;
      {
        await using manager = new TaskManager({ signal });
        manager.spawn("daemon", job(100), { daemon: true }).catch(ignore);
        const poller = manager.spawn("poller", async (context) => {
          await job(1)(context);
          if (++runs < 3) throw new Error("again");
        }, { restart: { when: "failure", backoff: { baseMs: 2, jitter: "none" } } });
        // Aborted beforehand, the group is over at once.
        const group = manager.group("group");
        if (!group.closed) group.spawn(job(3));
        await all(
          poller,
          group.join(),
          sleep(2).then(() => manager.close({ graceMs: 2 })),
        ).catch((error) => {
          if (!(error instanceof Error) || error.message !== "again") throw error;
        });
        assert.ok(manager.closed);
      }
      {
        await using manager = new TaskManager({ signal });
        manager.spawn("cancelled", job(30)).catch(ignore);
        await sleep(2, { signal });
      }
    }),
  },
  {
    name: "jobs that are run until all have ended, and one",
    covers: ["runTasks", "runTask", "Task.catch", "Task.finally"],
    scene: working((signal, { job }) =>
      all(
        runTasks([job(1), job(3), job(2)], { signal, maxConcurrency: 2 }).then((results) =>
          assert.deepEqual(results, [1, 3, 2])
        ),
        runTasks([job(2), () => Promise.reject(new Error("one"))], { until: "settled", signal }),
        runTask(job(2)).then((result) => assert.equal(result, 2)),
        mayBeLate(runTask(job(9), { signal, timeoutMs: 3 })),
        TaskGroup.run((group) =>
          group.spawn(job(1)).finally(() => {}).catch((error) => {
            throw error;
          }), { signal }),
      )
    ),
  },
  {
    name: "jobs that are run until the first ends, or succeeds",
    covers: ["runTasks"],
    scene: working((signal, { job }) =>
      all(
        runTasks([job(3), job(1), job(30)], { until: "first", signal }).then((it) => assert.equal(it, 1)),
        runTasks([() => Promise.reject(new Error("no")), job(2), job(30)], { until: "firstSuccess", signal })
          .then((it) => assert.equal(it, 2)),
      )
    ),
  },
  ...(["input", "completion"] as const).map((order): Operation => ({
    name: `a mapping in the order of ${order}`,
    covers: ["mapTasks"],
    scene: () => {
      const work = new Work();
      let [opened, closed, pulled, taken] = [0, 0, 0, 0];
      async function* source(): AsyncGenerator<number> {
        opened++;
        try {
          for (const ms of [3, 1, 2, 1]) {
            await sleep(1);
            pulled++;
            assert.ok(pulled - taken <= 3, "no further ahead than that");
            yield ms;
          }
        } finally {
          closed++;
        }
      }
      return {
        act: async (signal) => {
          const results: number[] = [];
          const mapping = mapTasks(source(), (ms, context) => work.job(ms)(context), {
            concurrency: 2,
            order,
            signal,
          });
          for await (const ms of mapping) {
            results.push(ms);
            taken++;
            await sleep(1);
          }
          assert.deepEqual(
            order === "input" ? results : results.toSorted(),
            order === "input" ? [3, 1, 2, 1] : [1, 1, 2, 3],
          );
        },
        check: async () => {
          await sleep(2); // A source in the middle of a pull is not waited for.
          work.check();
          assert.equal(closed, opened);
        },
      };
    },
  })),
  {
    name: "tasks that are cancelled one by one, and spawning while the group ends",
    covers: ["TaskGroup.run", "Task.then"],
    scene: working((signal, { job }) =>
      TaskGroup.run(async (group) => {
        const tasks = [4, 3, 2].map((ms) => group.spawn(job(ms)));
        signal.addEventListener("abort", () => tasks[1]!.cancel("by itself"), { once: true });
        const late = group.spawn(async ({ signal }) => {
          try {
            await sleep(3, { signal });
          } finally {
            // A group that is ending still takes in what its own tasks ask for, cancelled if it is.
            try {
              group.spawn(job(1)).catch(ignore);
            } catch (error) {
              assert.ok(error instanceof ClosedError);
            }
          }
        });
        await Promise.allSettled([tasks[1], late]);
      }, { signal })
    ),
  },
];

export const still: Record<string, string> = {
  "TaskManager.group": "opens a group and returns it at once; what waits is the group",
};
