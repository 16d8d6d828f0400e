import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import {
  MisuseError,
  type StartContext,
  TaskGroup,
  TaskGroupError,
  TimeoutError,
} from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("TaskGroup.start", () => {
  test("gives what the task is ready with; the task goes on as an ordinary member", async () => {
    await world(async (w) => {
      const seen: string[] = [];
      await TaskGroup.run(async (group) => {
        const port = await group.start<number>(async ({ ready, name, task }) => {
          await sleep(5);
          ready(8080);
          await sleep(5);
          seen.push(`${name} ${task.name} ended`);
        }, { name: "server" });
        assert.equal(port, 8080);
        assert.equal(w.now, 5);
        assert.deepEqual(group.tree().tasks.map(({ name, state }) => `${name} ${state}`), ["server running"]);
      });
      assert.deepEqual(seen, ["server server ended"]);
    });
  });

  test("ready and ended in one turn is ready", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        assert.equal(await group.start<number>(({ ready }) => Promise.resolve(ready(1))), 1);
      });
    });
  });

  test("a failure before ready rejects start only", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const error = new Error("port taken");
        const failing = async (): Promise<void> => {
          await sleep(1);
          throw error;
        };
        assert.equal(await group.start(failing).catch((error) => error), error);
        const atOnce = (): never => {
          throw error;
        };
        assert.equal(await group.start(atOnce).catch((error) => error), error);
        assert.equal(group.signal.aborted, false);
      });
    });
  });

  test("a failure right after ready is the group's", async () => {
    await world(async () => {
      const error = new Error("one");
      let port: unknown;
      const run = TaskGroup.run(async (group) => {
        port = await group.start<number>(({ ready }) => {
          ready(1);
          throw error;
        });
        await sleep(100, { signal: group.signal });
      });
      assert.equal(await run.catch((error) => error), error);
      assert.equal(port, 1);
    });
  });

  test("returning without ready is a MisuseError, of start only", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const started = group.start(() => Promise.resolve(), { name: "server" });
        const error = await started.catch((error) => error) as unknown as Error;
        assert.ok(error instanceof MisuseError);
        assert.equal(
          error.message,
          'Cannot start in task group "g": task "server" ended without calling ready()',
        );
      }, { name: "g" });
    });
  });

  test("ready twice is a MisuseError, thrown at the second call", async () => {
    await world(async () => {
      const run = TaskGroup.run(async (group) => {
        await group.start<number>(({ ready }) => {
          ready(1);
          ready(2);
          return Promise.resolve();
        }, { name: "server" });
      });
      await assert.rejects(run, /^MisuseError: Cannot get ready twice: task "server" is ready$/);
    });
  });

  test("can be ready with undefined", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        assert.equal(await group.start<void>(({ ready }) => Promise.resolve(ready())), undefined);
      });
    });
  });

  test("a signal that is aborted already: its reason, and nothing is spawned", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const started = group.start(() => Promise.resolve(), { signal: AbortSignal.abort(null) });
        assert.deepEqual(await started.then(null, (error) => ({ error })), { error: null });
        assert.equal(group.statistics().spawned, 0);
      });
    });
  });

  test("given up by its signal: cancels the task, waits for it, and rejects with the reason", async () => {
    for (const reason of ["text", null, new Error("enough")]) {
      await world(async (w) => {
        await TaskGroup.run(async (group) => {
          const controller = new AbortController();
          let ended = false;
          const started = group.start(async ({ signal }) => {
            await sleep(100, { signal }).finally(() => sleep(10));
          }, { signal: controller.signal }).then(null, (error) => ({ error, ended: ended = true }));
          await w.advance(5);
          controller.abort(reason);
          assert.equal(group.tree().tasks.length, 1);
          assert.deepEqual(await started, { error: reason, ended });
          assert.equal(w.now, 15);
          assert.equal(group.tree().tasks.length, 0);
        });
      });
    }
  });

  test("given up by its limit: a TimeoutError; a limit of zero does not call the function", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        let called = 0;
        const job = ({ signal }: StartContext<void>): Promise<void> => {
          called++;
          return sleep(100, { signal });
        };
        const started = group.start(job, { timeoutMs: 5 });
        await assert.rejects(started, (error) => {
          assert.ok(error instanceof TimeoutError && error.operation === 'start in task group "g"');
          const message = 'Cannot start in task group "g" within 5 ms: the task did not call ready()';
          assert.equal(error.message, message);
          return true;
        });
        assert.equal(w.now, 5);
        await assert.rejects(group.start(job, { timeoutMs: 0 }), TimeoutError);
        assert.equal(called, 1);
      }, { name: "g" });
    });
  });

  test("given up, and its clean-up fails: a TaskGroupError whose cause is the reason, of start only", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        const error = new Error("clean-up");
        const controller = new AbortController();
        const started = group.start(
          ({ signal }) => sleep(100, { signal }).catch(() => Promise.reject(error)),
          { signal: controller.signal },
        ).catch((error) => error);
        await w.advance(1);
        controller.abort("enough");
        const thrown = await started as unknown;
        assert.ok(thrown instanceof TaskGroupError);
        assert.deepEqual(thrown.errors, [error]);
        assert.equal(thrown.cause, "enough");
        assert.equal(group.signal.aborted, false);
      });
    });
  });

  test("an abort after ready is ignored, one before it wins: in one turn, in both orders", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        for (const readyFirst of [true, false]) {
          const controller = new AbortController();
          let context: StartContext<number> | undefined;
          let aborted: boolean | undefined;
          const started = group.start<number>(async (it) => {
            context = it;
            await sleep(10);
            aborted = it.signal.aborted;
          }, { signal: controller.signal }).catch((error) => error);
          await w.idle();
          const steps = [() => context!.ready(7), () => controller.abort("enough")];
          for (const step of readyFirst ? steps : steps.reverse()) step();
          assert.equal(await started, readyFirst ? 7 : "enough");
          await w.advance(20);
          assert.equal(aborted, !readyFirst);
        }
      });
    });
  });

  test("ready in the answer to the abort is too late: rejects with the reason when the task has ended", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const error = new Error("clean-up");
      await TaskGroup.run(async (group) => {
        const started = group.start<number>(async ({ ready, signal }) => {
          await sleep(100, { signal }).catch(() => ready(7));
          throw error;
        }, { signal: controller.signal }).catch((error) => error);
        await w.advance(1);
        controller.abort("enough");
        const thrown = await started as unknown;
        assert.ok(thrown instanceof TaskGroupError);
        assert.deepEqual(thrown.errors, [error]);
        assert.equal(thrown.cause, "enough");
      });
    });
  });

  test("when the group is cancelled meanwhile: its reason; an aborted group does not call the function", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        const started = group.start(({ signal }) => sleep(100, { signal })).catch((error) => error);
        await w.advance(1);
        group.cancel("enough");
        assert.equal(await started, "enough");
        let called = false;
        const late = group.start(() => Promise.resolve(called = true)).catch((error) => error);
        assert.equal(await late, "enough");
        assert.equal(called, false);
      });
    });
  });

  test("when a sibling fails meanwhile: the sibling's failure is thrown, once", async () => {
    await world(async () => {
      const error = new Error("sibling");
      const run = TaskGroup.run(async (group) => {
        group.spawn(() => sleep(5).then(() => Promise.reject(error)));
        await group.start(({ signal }) => sleep(100, { signal }));
      });
      assert.equal(await run.catch((error) => error), error);
    });
  });

  test("keeps no listener on its signal once it is ready", async () => {
    await world(async () => {
      const controller = new AbortController();
      await TaskGroup.run(async (group) => {
        await group.start<void>(({ ready, signal }) => {
          ready();
          return sleep(5, { signal });
        }, { signal: controller.signal });
        controller.abort("too late");
      });
    });
  });

  test("refuses what is no function, and wrong options", async () => {
    const group = new TaskGroup();
    await assert.rejects(
      group.start(1 as never),
      /^TypeError: Cannot start in task group as fn must be a function/,
    );
    await assert.rejects(group.start(() => Promise.resolve(), { timeoutMs: -1 }), RangeError);
    assert.equal(group.statistics().spawned, 0);
  });

  test("aborted at every moment: no orphan, nothing left, one outcome", async () => {
    let running = 0;
    await sweep(async (signal) => {
      running = 0;
      await TaskGroup.run(async (group) => {
        const value = await group.start<number>(async ({ ready, signal }) => {
          running++;
          try {
            await sleep(5, { signal });
            ready(7);
            await sleep(5, { signal });
          } finally {
            await sleep(2);
            running--;
          }
        }, { signal });
        assert.equal(value, 7);
      });
    }, () => running === 0);
  });
});
