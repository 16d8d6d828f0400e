import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { abortable, Deadline, linkSignals, sleep, timeout } from "../../src/cancel/mod.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { ClosedError, TaskGroup, TaskGroupError, TimeoutError } from "../../src/task/mod.ts";
import type { GroupTree, Job, TaskContext } from "../../src/task/mod.ts";
import { TaskList } from "../../src/task/_task_list.ts";
import { TaskNode } from "../../src/task/_task_node.ts";
import { AsyncSemaphore } from "../../src/sync/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** Nests groups in a task of `outermost`, and waits until the innermost is there. */
async function nest(outermost: TaskGroup, levels: number, innermost: Job<unknown> = forEver): Promise<void> {
  const reached = deferred<void>();
  const within = (left: number): Job<unknown> => (context) => {
    if (left > 0) return TaskGroup.run((group) => void group.spawn(within(left - 1)), context);
    reached.resolve();
    return innermost(context);
  };
  outermost.spawn(within(levels));
  await reached.promise;
}

/** Runs until it is cancelled. */
const forEver = ({ signal }: { signal: AbortSignal }): Promise<void> => sleep(Infinity, { signal });

/** Counts how often anybody looks at a task's place, as all who walk tasks or those who wait do. */
function countLooks(): Disposable & { readonly count: number } {
  const daemon = Object.getOwnPropertyDescriptor(TaskNode.prototype, "daemon")!;
  const { snapshot } = TaskList.prototype;
  let count = 0;
  Object.defineProperty(TaskNode.prototype, "daemon", {
    ...daemon,
    get(this: TaskNode<unknown>): boolean {
      count++;
      return daemon.get!.call(this);
    },
  });
  TaskList.prototype.snapshot = function (): TaskNode<unknown>[] {
    const tasks = snapshot.call(this);
    count += tasks.length;
    return tasks;
  };
  return {
    get count() {
      return count;
    },
    [Symbol.dispose](): void {
      Object.defineProperty(TaskNode.prototype, "daemon", daemon);
      TaskList.prototype.snapshot = snapshot;
    },
  };
}

describe("TaskGroup: daemons", () => {
  test("are not waited for: when all else has ended, they are cancelled one by one, in reverse", async () => {
    await world(async (w) => {
      const order: string[] = [];
      const daemon = (name: string) => async ({ signal }: { signal: AbortSignal }): Promise<void> => {
        try {
          await sleep(Infinity, { signal });
        } finally {
          order.push(`${name} cancelled at ${w.now}`);
          await sleep(10);
          order.push(`${name} ended at ${w.now}`);
        }
      };
      await TaskGroup.run((group) => {
        group.spawn(daemon("a"), { daemon: true });
        group.spawn(() => sleep(5));
        group.spawn(daemon("b"), { daemon: true });
      });
      assert.deepEqual(order, ["b cancelled at 5", "b ended at 15", "a cancelled at 15", "a ended at 25"]);
    });
  });

  test("a daemon never started before the end is not called", async () => {
    await world(async () => {
      let called = false;
      const group = new TaskGroup();
      group.spawn(() => called = true, { daemon: true });
      await group.join();
      assert.equal(called, false);
    });
  });

  test("end by an AbortError, and may end by themselves", async () => {
    await world(async () => {
      const group = new TaskGroup({ name: "g" });
      const lasting = group.spawn(forEver, { daemon: true, name: "watch" });
      const short = group.spawn(() => sleep(1).then(() => 7), { daemon: true });
      group.spawn(() => sleep(5));
      await group.join();
      assert.equal(await short, 7);
      const error = await lasting.catch((error) => error) as unknown as DOMException;
      assert.equal(error.name, "AbortError");
      assert.equal(error.message, 'Cannot go on with daemon "watch": its group has ended');
      assert.equal(lasting.state, "cancelled");
    });
  });

  test("a failing daemon fails the group: at once, and at its end", async () => {
    await world(async (w) => {
      const error = new Error("daemon");
      const soon = TaskGroup.run((group) => {
        group.spawn(() => sleep(1).then(() => Promise.reject(error)), { daemon: true });
        group.spawn(forEver);
      });
      assert.equal(await soon.catch((error) => error), error);
      assert.equal(w.now, 1);
      const order: string[] = [];
      const late = TaskGroup.run((group) => {
        group.spawn((context) => forEver(context).finally(() => order.push("first")), { daemon: true });
        group.spawn((context) => forEver(context).catch(() => Promise.reject(error)), { daemon: true });
        group.spawn(() => sleep(1));
      });
      assert.equal(await late.catch((error) => error), error);
      assert.deepEqual(order, ["first"]);
    });
  });

  test("tasks that a daemon spawns while it ends are awaited, the other daemons living on meanwhile", async () => {
    await world(async (w) => {
      const order: string[] = [];
      await TaskGroup.run((group) => {
        group.spawn((context) => forEver(context).catch(() => order.push(`service at ${w.now}`)), {
          daemon: true,
        });
        group.spawn(async (context) => {
          await forEver(context).catch(() => {});
          group.spawn(() => sleep(10).then(() => order.push(`flush at ${w.now}`)));
        }, { daemon: true });
        group.spawn(() => sleep(1));
      });
      assert.deepEqual(order, ["flush at 11", "service at 11"]);
    });
  });

  test("take no place among those of maxConcurrency", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        group.spawn(forEver, { daemon: true });
        await group.capacity();
        await group.spawn(() => sleep(1));
        assert.equal(w.now, 1);
      }, { maxConcurrency: 1 });
    });
  });

  test("on an abort end with everybody else", async () => {
    await world(async (w) => {
      const run = TaskGroup.run(async (group) => {
        group.spawn(forEver, { daemon: true });
        group.spawn((context) => forEver(context).finally(() => sleep(10)));
        await sleep(1);
        throw new Error("body");
      });
      await assert.rejects(run, /body/);
      assert.equal(w.now, 11);
    });
  });
});

describe("TaskGroup.shield", () => {
  test("is not cut short by cancelling the group, and the group waits for it", async () => {
    await world(async (w) => {
      let saved = 0;
      const group = new TaskGroup();
      group.spawn(async (context) => {
        try {
          await forEver(context);
        } finally {
          void group.shield(100, async ({ signal }) => {
            await sleep(20, { signal });
            assert.equal(signal.aborted, false);
            saved = w.now;
          });
        }
      });
      await w.advance(1);
      group.cancel();
      await group.join();
      assert.equal(saved, 21);
      assert.equal(w.now, 21);
    });
  });

  test("returns what its work returns, and throws what it throws, to its caller only", async () => {
    await world(async () => {
      const error = new Error("one");
      await TaskGroup.run(async (group) => {
        assert.equal(await group.shield(10, () => Promise.resolve(7)), 7);
        assert.equal(await group.shield(10, () => Promise.reject(error)).catch((error) => error), error);
      });
    });
  });

  test("is always bound in time", async () => {
    await world(async (w) => {
      await TaskGroup.run(async (group) => {
        await assert.rejects(group.shield(10, ({ signal }) => sleep(1_000, { signal })), TimeoutError);
        assert.equal(w.now, 10);
        await assert.rejects(group.shield(Infinity, () => Promise.resolve()), RangeError);
        await assert.rejects(group.shield(1, 1 as never), TypeError);
      });
    });
  });
});

describe("TaskGroup.close", () => {
  test("first signals stopping and takes nothing new, then aborts after the grace", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ name: "g", maxConcurrency: 2 });
      const order: string[] = [];
      group.spawn(async () => {
        await sleep(Infinity, { signal: group.stopping }).catch(() => {});
        await sleep(5);
        order.push(`willing at ${w.now}`);
      });
      const deaf = group.spawn((context) => forEver(context).finally(() => order.push(`deaf at ${w.now}`)));
      const queued = group.spawn(() => sleep(1).then(() => "ran"));
      await w.advance(1);
      const waiting = group.capacity().catch((error) => error);
      const closing = group.close({ graceMs: 50 });
      assert.equal(group.stopping.aborted, true);
      assert.equal(group.stopping.reason.name, "AbortError");
      assert.equal(group.signal.aborted, false);
      assert.throws(
        () => group.spawn(() => 1),
        /^ClosedError: Cannot spawn in task group "g": it is closing$/,
      );
      assert.ok(await waiting instanceof ClosedError);
      await assert.rejects(group.capacity(), ClosedError);
      assert.deepEqual(await closing, { stuck: [] });
      assert.deepEqual(order, ["willing at 6", "deaf at 51"]);
      assert.equal(await queued, "ran");
      assert.equal(deaf.state, "cancelled");
      assert.equal(group.closed, true);
      await group.join();
    });
  });

  test("awaited by a task of its own, with its signal: waits for all others, and the group ends after it", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ name: "g" });
      const order: string[] = [];
      group.spawn(async ({ signal }) => {
        await sleep(1);
        const closing = group.close({ signal });
        assert.deepEqual(group.tree().tasks[0]!.waitsFor, ['close task group "g"']);
        assert.deepEqual(await closing, { stuck: [] });
        assert.deepEqual(await group.close({ signal }), { stuck: [] });
        order.push(`alone at ${w.now}`);
        await sleep(5);
        order.push(`done at ${w.now}, group ${group.closed ? "closed" : "open"}`);
      });
      group.spawn(async ({ signal }) => {
        await sleep(2);
        await group.close({ signal });
        order.push(`another at ${w.now}`);
      });
      group.spawn(() => sleep(20));
      group.spawn(forEver, { daemon: true });
      await sleep(3);
      assert.deepEqual(await group.close(), { stuck: [] });
      order.push(`closed at ${w.now}`);
      assert.deepEqual(order, ["another at 20", "alone at 20", "done at 25, group open", "closed at 25"]);
      await group.join();
    });
  });

  test("awaited by a task of its own or by one within it: given up with its signal after the grace", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      const reasons: unknown[] = [];
      const close = ({ signal }: { signal: AbortSignal }): Promise<unknown> =>
        group.close({ graceMs: 10, signal, reason: "over" }).catch((error) => reasons.push(error));
      group.spawn(close);
      group.spawn(({ signal }) => TaskGroup.run((inner) => void inner.spawn(close), { signal }));
      group.spawn(forEver);
      await group.join();
      assert.equal(w.now, 10);
      assert.deepEqual(reasons, ["over", "over"]);
      assert.deepEqual(await group.close({ signal: new AbortController().signal }), { stuck: [] });
    });
  });

  test("awaited twice, by a daemon, left behind or given up by tasks of its own: waits for each that is left", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      const order: string[] = [];
      const close = ({ signal }: { signal: AbortSignal }, who: string): Promise<unknown> =>
        group.close({ signal }).then(() => order.push(`${who} at ${w.now}`));
      group.spawn((context) => Promise.all([close(context, "first"), close(context, "second")]));
      group.spawn((context) => void close(context, "left behind"));
      group.spawn((context) => close(context, "daemon"), { daemon: true });
      const givesUp = group.spawn((context) => close(context, "given up").catch(() => sleep(20)));
      group.spawn(() => sleep(10));
      await sleep(1);
      givesUp.cancel();
      await group.join();
      assert.deepEqual(order, ["first at 21", "second at 21", "left behind at 21", "daemon at 21"]);
    });
  });

  test("awaited by very many tasks of its own: costs each the same", async () => {
    const looks = async (tasks: number): Promise<number> => {
      using counting = countLooks();
      await world(() =>
        TaskGroup.run((group) => {
          for (let i = 0; i < tasks; i++) group.spawn(({ signal }) => group.close({ signal }));
        })
      );
      return counting.count;
    };
    assert.ok(await looks(400) <= 4 * await looks(100));
  });

  test("a signal gives up the wait, not the closing; one that is aborted already begins none", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      group.spawn(() => sleep(10));
      await assert.rejects(group.close({ signal: AbortSignal.abort("no") }), (error) => error === "no");
      group.spawn(() => sleep(20));
      const controller = new AbortController();
      const waits = [group.close({ signal: controller.signal }), group.close()];
      waits[0]!.catch(() => {});
      await sleep(5);
      controller.abort(null);
      await assert.rejects(waits[0]!, (error) => error === null);
      assert.throws(() => group.spawn(forEver), ClosedError);
      assert.deepEqual(await waits[1], { stuck: [] });
      assert.equal(w.now, 20);
      await assert.rejects(group.close({ signal: {} as AbortSignal }), TypeError);
    });
  });

  test("options that can't be read begin no closing", async () => {
    await world(async () => {
      const group = new TaskGroup();
      for (const key of ["graceMs", "abandonAfterMs", "reason", "signal"]) {
        const options = {
          get [key](): never {
            throw new Error("unreadable");
          },
        };
        await assert.rejects(group.close(options), { message: "unreadable" });
      }
      group.spawn(() => sleep(1));
      assert.deepEqual(await group.close(), { stuck: [] });
    });
  });

  test("is over at once when nothing runs, and leaves no timer", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      assert.deepEqual(await group.close({ graceMs: 1_000, abandonAfterMs: 1_000 }), { stuck: [] });
      assert.equal(w.now, 0);
      assert.equal(w.timers.length, 0);
    });
  });

  test("aborts with the reason it was given, untouched", async () => {
    for (const reason of ["text", null]) {
      await world(async () => {
        const group = new TaskGroup();
        const task = group.spawn(forEver);
        await group.close({ graceMs: 1, reason });
        assert.deepEqual(await task.then(null, (error) => ({ error })), { error: reason });
      });
    }
  });

  test("without options: a grace of ten seconds, and a fresh AbortError", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ name: "g" });
      const task = group.spawn(forEver);
      await group.close();
      assert.equal(w.now, 10_000);
      const error = await task.catch((error) => error) as unknown as DOMException;
      assert.equal(error.name, "AbortError");
      assert.equal(error.message, 'Cannot go on in task group "g": it is closed after 10000 ms');
    });
  });

  test("waits for tasks that do not end, until it gives them up, by name", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (record) => records.push(record) });
      const group = new TaskGroup({ name: "g" });
      const error = new Error("of an orphan");
      group.spawn(() => sleep(100).then(() => Promise.reject(error)), { name: "deaf" });
      group.spawn(forEver, { name: "willing" });
      const joined = group.join();
      assert.deepEqual(await group.close({ graceMs: 10, abandonAfterMs: 20 }), { stuck: ["deaf"] });
      assert.equal(w.now, 30);
      assert.equal(group.closed, true);
      await joined;
      await group[Symbol.asyncDispose]();
      await w.advance(100);
      const late = ["task.abandoned", "task.failure"];
      const told = records.filter(({ kind }) => late.includes(kind)).map(({ kind, data }) => ({
        kind,
        ...data,
      }));
      assert.deepEqual(told, [
        { kind: "task.abandoned", tasks: ["deaf"] },
        { kind: "task.failure", task: "deaf", error },
      ]);
    });
  });

  test("names shielded work that it gives up, too", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      const shielded = group.shield(100, () => sleep(50).then(() => `saved at ${w.now}`));
      group.spawn(() => sleep(50), { name: "deaf" });
      group.spawn(() => sleep(50), { name: "daemon", daemon: true });
      group.spawn(() => group.shield(100, () => sleep(15)), { name: "shielding" });
      const { stuck } = await group.close({ graceMs: 10, abandonAfterMs: 10 });
      assert.deepEqual(stuck, ["deaf", "daemon", "shielded work"]);
      assert.equal(w.now, 20);
      assert.equal(await shielded, "saved at 50");
      await group.join();
    });
  });

  test("leaves nobody waiting for a task that was given up", async () => {
    await world(async (w) => {
      let disposed = 0;
      const group = new TaskGroup();
      const deaf = group.spawn(() => sleep(100).then(() => ({ [Symbol.dispose]: () => void disposed++ })));
      const starting = group.start(() => sleep(100));
      const reason = new Error("time is up");
      const waiting = Promise.allSettled([deaf, starting, deaf.settled]);
      await group.close({ graceMs: 10, abandonAfterMs: 10, reason });
      assert.deepEqual(await waiting, [
        { status: "rejected", reason },
        { status: "rejected", reason },
        { status: "fulfilled", value: undefined },
      ]);
      assert.deepEqual(group.tree().tasks, []);
      await w.advance(100);
      assert.equal(disposed, 1); // what came of it all the same
    });
  });

  test("does not throw failures: join, run and disposal do", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const group = new TaskGroup();
      group.spawn((context) => forEver(context).catch(() => Promise.reject(error)));
      assert.deepEqual(await group.close({ graceMs: 1 }), { stuck: [] });
      assert.equal(await group[Symbol.asyncDispose]().catch((error) => error), error);
      assert.equal(await group.join().catch((error) => error), error);
    });
  });

  test("again: the options of the first call hold, and the result is the same", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      group.spawn(forEver);
      const reports = await Promise.all([
        group.close({ graceMs: 5 }),
        group.close({ graceMs: 1 }),
        group.close(),
      ]);
      assert.equal(w.now, 5);
      assert.equal(reports[0], reports[2]);
    });
  });

  test("refuses wrong options, and can be called again with right ones", async () => {
    await world(async () => {
      const group = new TaskGroup({ name: "g" });
      await assert.rejects(
        group.close({ graceMs: -1 }),
        /^RangeError: Cannot close task group "g" as graceMs/,
      );
      await assert.rejects(group.close({ abandonAfterMs: "1" as never }), TypeError);
      await assert.rejects(group.close(1 as never), TypeError);
      group.spawn(() => sleep(1));
      await group.close();
    });
  });

  test("while the body of run goes on: the body's value, or the abort that it heard of", async () => {
    await world(async (w) => {
      const value = await TaskGroup.run(async (group) => {
        group.spawn(forEver);
        await group.close({ graceMs: 5 });
        return w.now;
      });
      assert.equal(value, 5);
      const run = TaskGroup.run(async (group) => {
        group.spawn(forEver);
        void group.close({ graceMs: 5, reason: "closed" });
        await sleep(100, { signal: group.signal });
      });
      assert.equal(await run.catch((error) => error), "closed");
    });
  });

  test("stopping is aborted by an abort of the group too, also when first read afterwards", async () => {
    await world(async () => {
      const [early, late] = [new TaskGroup(), new TaskGroup()];
      const { stopping } = early;
      early.cancel("enough");
      late.cancel("enough");
      assert.equal(stopping.reason, "enough");
      assert.equal(late.stopping.reason, "enough");
      const closing = new TaskGroup();
      await closing.close();
      assert.equal(closing.stopping.aborted, true);
    });
  });
});

describe("TaskGroup: stuckAfterMs", () => {
  test("tells the observer which aborted tasks do not end, with age, waits, and where they were spawned", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "task.stuck" && records.push(record)),
      });
      const group = new TaskGroup({ name: "g", stuckAfterMs: 50 });
      group.spawn(forEver);
      group.spawn(() => sleep(100), { name: "deaf" });
      await w.advance(5);
      group.cancel();
      await group.join();
      assert.equal(records.length, 1);
      const [record] = records;
      assert.equal(record!.structure, "group");
      assert.equal(record!.name, "g");
      const { afterMs, tasks } = record!.data as { afterMs: number; tasks: Record<string, unknown>[] };
      assert.equal(afterMs, 50);
      assert.deepEqual(tasks.map(({ name, ageMs, state }) => ({ name, ageMs, state })), [
        { name: "deaf", ageMs: 55, state: "running" },
      ]);
      assert.match(String(tasks[0]!.spawnedAt), /task_group_end_test/);
    });
  });

  test("tells of daemons that do not end", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "task.stuck" && records.push(record)),
      });
      const group = new TaskGroup({ stuckAfterMs: 50 });
      group.spawn(forEver, { daemon: true, name: "not its turn yet" });
      group.spawn(() => sleep(100), { daemon: true, name: "deaf" });
      group.spawn(() => sleep(1));
      await group.join();
      const { tasks } = records[0]!.data as { tasks: { name: string }[] };
      assert.deepEqual(tasks.map(({ name }) => name), ["deaf"]);
    });
  });

  test("tells of each when its own time is over, however it was aborted, and of none twice", async () => {
    await world(async (w) => {
      const told: [names: string[], atMs: number][] = [];
      using _watching = observe({
        record: ({ kind, data }) => {
          const tasks = (data as { tasks?: { name: string }[] } | undefined)?.tasks ?? [];
          if (kind === "task.stuck") told.push([tasks.map(({ name }) => name), w.now]);
        },
      });
      const deafFor = (ms: number) => async ({ signal }: TaskContext): Promise<void> => {
        await sleep(1_000, { signal }).catch(() => {});
        await sleep(ms);
      };
      const group = new TaskGroup({ stuckAfterMs: 50 });
      group.spawn(deafFor(200), { daemon: true, name: "first daemon" });
      group.spawn(deafFor(80), { daemon: true, name: "second daemon" });
      const inTime = group.spawn(deafFor(1));
      const deaf = group.spawn(deafFor(500), { name: "deaf" });
      await sleep(0);
      inTime.cancel();
      await sleep(100);
      deaf.cancel();
      await group.join();
      assert.deepEqual(told, [[["deaf"], 150], [["second daemon"], 650], [["first daemon"], 730]]);
      assert.equal(w.timers.length, 0);
    });
  });

  test("tells nothing, and keeps no timer, when all end in time", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "task.stuck" && records.push(record)),
      });
      const group = new TaskGroup({ stuckAfterMs: 50 });
      group.spawn((context) => forEver(context).finally(() => sleep(49)));
      await w.advance(1);
      group.cancel();
      await group.join();
      assert.equal(w.timers.length, 0);
      assert.deepEqual(records, []);
    });
  });
});

describe("TaskGroup: maxConcurrency", () => {
  test("runs so many at once, in the order of spawning", async () => {
    await world(async () => {
      const order: number[] = [];
      let [running, most] = [0, 0];
      await TaskGroup.run((group) => {
        for (let i = 0; i < 10; i++) {
          group.spawn(async () => {
            order.push(i);
            most = Math.max(most, ++running);
            await sleep(10 - i);
            running--;
          });
        }
      }, { maxConcurrency: 3 });
      assert.equal(most, 3);
      assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });
  });

  test("higher priority first, equal ones in order", async () => {
    await world(async () => {
      const order: string[] = [];
      await TaskGroup.run((group) => {
        const add = (name: string, priority?: number): void =>
          void group.spawn(() => sleep(1).then(() => order.push(name)), { priority });
        add("running");
        add("low", -1);
        add("a");
        add("high", 5);
        add("b", 0);
        add("high too", 5);
      }, { maxConcurrency: 1 });
      assert.deepEqual(order, ["running", "high", "high too", "a", "b", "low"]);
    });
  });

  test("capacity waits until a task spawned now would run at once: back-pressure without a queue", async () => {
    await world(async (w) => {
      const queued: number[] = [];
      await TaskGroup.run(async (group) => {
        for (let i = 0; i < 6; i++) {
          await group.capacity();
          group.spawn(() => sleep(10));
          queued.push(group.statistics().queued);
        }
        assert.equal(w.now, 20);
      }, { maxConcurrency: 2 });
      assert.deepEqual(queued, [0, 0, 0, 0, 0, 0]);
    });
  });

  test("capacity lets as many through as there is room, first come, first served", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ maxConcurrency: 2 });
      for (let i = 0; i < 2; i++) group.spawn(() => sleep(10));
      const order: string[] = [];
      const producer = async (name: string): Promise<void> => {
        await group.capacity();
        order.push(`${name} at ${w.now}, ${group.statistics().queued} queued`);
        group.spawn(() => sleep(10));
      };
      await Promise.all(["a", "b", "c", "d"].map(producer));
      assert.deepEqual(order, [
        "a at 10, 0 queued",
        "b at 10, 0 queued",
        "c at 20, 0 queued",
        "d at 20, 0 queued",
      ]);
      await group.join();
    });
  });

  test("capacity can be given up: by signal, by limit, by the group", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ name: "g", maxConcurrency: 1 });
      group.spawn(forEver);
      await assert.rejects(
        group.capacity({ signal: AbortSignal.abort("early") }),
        (error) => error === "early",
      );
      const limited = await group.capacity({ timeoutMs: 5 }).catch((error) => error);
      assert.ok(limited instanceof TimeoutError);
      assert.equal(
        limited.message,
        'Cannot wait for capacity of task group "g" within 5 ms: 1 of 1 tasks running, 0 queued',
      );
      const controller = new AbortController();
      const given = group.capacity({ signal: controller.signal }).catch((error) => error);
      controller.abort("enough");
      assert.equal(await given, "enough");
      const waiting = group.capacity().catch((error) => error);
      await w.advance(1);
      group.cancel("over");
      assert.equal(await waiting, "over");
      assert.equal(await group.capacity().catch((error) => error), "over");
      await group.join();
    });
  });

  test("queued tasks are never called once the group is aborted", async () => {
    await world(async () => {
      let called = 0;
      const error = new Error("one");
      const run = TaskGroup.run((group) => {
        group.spawn(() => sleep(1).then(() => Promise.reject(error)));
        for (let i = 0; i < 5; i++) group.spawn(() => called++);
      }, { maxConcurrency: 1 });
      assert.equal(await run.catch((error) => error), error);
      assert.equal(called, 0);
    });
  });

  test("a queued task cancelled by its handle leaves the queue, a running one makes room", async () => {
    await world(async () => {
      const order: string[] = [];
      await TaskGroup.run(async (group) => {
        const first = group.spawn(forEver);
        const second = group.spawn(() => order.push("second"));
        const third = group.spawn(() => order.push("third"));
        await sleep(1);
        second.cancel();
        assert.equal(group.statistics().queued, 1);
        first.cancel();
        await third;
      }, { maxConcurrency: 1 });
      assert.deepEqual(order, ["third"]);
    });
  });

  test("an admitted task that is cancelled before it starts gives its place on", async () => {
    await world(async () => {
      await TaskGroup.run(async (group) => {
        const first = group.spawn(() => 1);
        const second = group.spawn(() => 2);
        const third = group.spawn(() => 3);
        first.cancel();
        second.cancel();
        assert.equal(await third, 3);
        assert.equal(group.statistics().running, 0);
        assert.equal(group.statistics().free, 1);
      }, { maxConcurrency: 1 });
    });
  });
});

describe("TaskGroup.tree", () => {
  test("shows live tasks, their ages and waits, and the groups nested in them", async () => {
    await world(async (w) => {
      const semaphore = new AsyncSemaphore(1, { name: "db" });
      const held = await semaphore.acquire();
      const group = new TaskGroup({ name: "outer" });
      group.spawn(async ({ signal }) => {
        await TaskGroup.run((inner) => {
          inner.spawn(({ signal }) => semaphore.acquire({ signal }).then((lease) => lease.release()), {
            name: "query",
          });
        }, { name: "inner", signal });
      }, { name: "work" });
      await w.advance(3);
      group.spawn(forEver, { daemon: true, name: "tick" });
      await w.advance(2);
      assert.deepEqual(group.tree(), {
        group: "outer",
        state: "open",
        tasks: [
          {
            name: "work",
            state: "running",
            daemon: false,
            ageMs: 5,
            waitsFor: [{
              group: "inner",
              state: "open",
              tasks: [{
                name: "query",
                state: "running",
                daemon: false,
                ageMs: 5,
                waitsFor: ['acquire semaphore "db"'],
              }],
            }],
          },
          { name: "tick", state: "running", daemon: true, ageMs: 2, waitsFor: ["sleep"] },
        ],
      });
      held.release();
      await group.join();
      assert.deepEqual(group.tree(), { group: "outer", state: "closed", tasks: [] });
    });
  });

  test("shows what is waited for within time limits and linked signals", async () => {
    await world(async () => {
      const group = new TaskGroup();
      const linked = async ({ signal }: { signal: AbortSignal }): Promise<void> => {
        using link = linkSignals(signal);
        await sleep(10, { signal: link.signal });
      };
      group.spawn(({ signal }) => timeout(100, linked, { signal, operation: "report" }));
      group.spawn(({ signal }) => abortable(sleep(10), signal));
      await sleep(1);
      assert.deepEqual(group.tree().tasks.map(({ waitsFor }) => waitsFor), [
        ["report within 100 ms", "sleep"],
        ["work without a signal"],
      ]);
      await group.join();
    });
  });

  test("shows groups that are nested deeper than the stack", async () => {
    await world(async () => {
      const outermost = new TaskGroup();
      await nest(outermost, 5_000);
      let levels = 0;
      for (let at: unknown = outermost.tree(); at !== undefined; levels++) {
        at = (at as GroupTree).tasks?.[0]?.waitsFor[0];
      }
      assert.equal(levels, 5_002, "each group, and the sleep in the innermost");
      outermost.cancel();
      await outermost.join();
    });
  });

  test("says when a group is cancelled", async () => {
    await world(async () => {
      const group = new TaskGroup();
      group.cancel();
      assert.deepEqual(group.tree(), { group: "task group", state: "cancelled", tasks: [] });
      await group.join();
    });
  });
});

describe("TaskGroup: failures at the end", () => {
  test("of daemons and tasks come together, in the order of time", async () => {
    await world(async () => {
      const [task, daemon] = [new Error("task"), new Error("daemon")];
      const run = TaskGroup.run((group) => {
        group.spawn((context) => forEver(context).catch(() => Promise.reject(daemon)), { daemon: true });
        group.spawn(() => sleep(1).then(() => Promise.reject(task)));
      }, { policy: "supervise" });
      const thrown = await run.catch((error) => error);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [task, daemon]);
    });
  });
});

describe("TaskGroup: groups nested deeper than the stack", () => {
  test("are cancelled together, from outside or by the failure of the innermost", async () => {
    await world(async () => {
      const controller = new AbortController();
      const aborted = new TaskGroup({ signal: controller.signal });
      await nest(aborted, 5_000);
      controller.abort("stop");
      await assert.rejects(aborted.join(), (error) => error === "stop");

      const failed = new TaskGroup();
      await nest(failed, 5_000, () => Promise.reject("failed"));
      await assert.rejects(failed.join(), (error) => error === "failed");
    });
  });

  test("know the deadline of the outermost", async () => {
    await world(async () => {
      const group = new TaskGroup({ timeoutMs: 1_000 });
      let remainingMs: number | undefined;
      await nest(group, 5_000, ({ signal }) => remainingMs = Deadline.of(signal).remainingMs);
      await group.join();
      assert.equal(remainingMs, 1_000);
    });
  });
});
