import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import type { TaskContext } from "../../src/task/task.ts";
import {
  type Job,
  MisuseError,
  RestartLimitError,
  type RestartOptions,
  TaskGroupError,
  TaskManager,
} from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** Runs until it is cancelled. */
const forEver: Job<void> = ({ signal }) => sleep(Infinity, { signal });
const failAfter = (ms: number, error: unknown): Job<never> => async () => {
  await sleep(ms);
  throw error;
};

/** Runs `body` with a manager that is closed afterwards. */
async function managed<T>(body: (manager: TaskManager) => Promise<T>): Promise<T> {
  const manager = new TaskManager({ name: "m" });
  try {
    return await body(manager);
  } finally {
    await manager.close({ graceMs: 0 });
  }
}

describe("TaskManager.spawn", () => {
  test("gives a task of that name, with its result", async () => {
    await world(() =>
      managed(async (manager) => {
        const task = manager.spawn("a", ({ name }) => sleep(5).then(() => `result of ${name}`));
        assert.equal(task.name, "a");
        assert.equal(manager.get("a"), task);
        assert.equal(await task, "result of a");
        assert.equal(manager.get("a"), undefined);
      })
    );
  });

  test("tasks do not share a fate: a failing one ends nothing but itself", async () => {
    await world(() =>
      managed(async (manager) => {
        const error = new Error("a");
        const [a, b] = [
          manager.spawn("a", failAfter(1, error)),
          manager.spawn("b", () => sleep(5).then(() => 7)),
        ];
        assert.equal(await a.catch((error) => error), error);
        assert.equal(await b, 7);
        assert.equal(manager.spawn("a", forEver).state, "queued");
      })
    );
  });

  test("names are unique among what is alive, and free at once when a task has ended", async () => {
    await world(() =>
      managed(async (manager) => {
        const task = manager.spawn("a", () => sleep(5));
        assert.throws(
          () => manager.spawn("a", forEver),
          /^MisuseError: Cannot spawn task "a" as names must be unique: one with it is alive$/,
        );
        await task.then(() => manager.spawn("a", () => sleep(5)));
        await manager.get("a");
        const group = manager.group("a");
        assert.throws(() => manager.group("a"), MisuseError);
        await group.join().then(() => manager.group("a").join());
      })
    );
  });

  test("names are free in the very step in which a task ends, and no later end frees them again", async () => {
    await world(async () => {
      const seen: unknown[] = [];
      const manager: TaskManager = new TaskManager({
        onFailure(_error, name) {
          seen.push(manager.get(name), manager.statistics().running);
          manager.spawn(name, forEver).catch(() => {});
        },
      });
      manager.spawn("poller", failAfter(1, new Error("one")));
      await sleep(2);
      assert.deepEqual(seen, [undefined, 0]);
      assert.equal(manager.get("poller")?.state, "running");
      assert.throws(() => manager.spawn("poller", forEver), MisuseError);

      const queued = manager.spawn("queued", forEver);
      queued.cancel();
      assert.equal(manager.get("queued"), undefined);
      const next = manager.spawn("queued", forEver);
      await sleep(1);
      assert.equal(manager.get("queued"), next);
      assert.equal(manager.statistics().running, 2);
      await manager.close({ graceMs: 0 });
      assert.equal(manager.statistics().running, 0);
    });
  });

  test("refuses wrong arguments", async () => {
    await world(() =>
      managed((manager) => {
        const spawn = (...args: unknown[]) => () =>
          (manager.spawn as (...args: unknown[]) => unknown)(...args);
        const restart = (options: unknown): () => unknown => spawn("a", forEver, { restart: options });
        assert.throws(
          spawn("", forEver),
          /^TypeError: Cannot spawn task as name must be a non-empty string: received ""$/,
        );
        assert.throws(spawn(1, forEver), TypeError);
        assert.throws(spawn("a", 1), /^TypeError: Cannot spawn task "a" as fn must be a function/);
        assert.throws(restart({ when: "never" }), /^RangeError: .* restart.when must be one of/);
        assert.throws(restart({ when: "always", max: -1 }), /^RangeError: .* restart.max/);
        assert.throws(restart({ when: "always", withinMs: NaN }), /^RangeError: .* restart.withinMs/);
        assert.throws(restart({ when: "always", backoff: { baseMs: -1 } }), RangeError);
        assert.throws(
          restart({ when: "always", backoff: null }),
          /^TypeError: .* restart.backoff must be an object: received null$/,
        );
        assert.throws(() => new TaskManager({ name: 1 as never }), TypeError);
        assert.throws(() => manager.group(""), TypeError);
        assert.equal(manager.statistics().spawned, 0);
        return Promise.resolve();
      })
    );
  });
});

describe("TaskManager: restart", () => {
  const plain = { backoff: { kind: "constant", baseMs: 10, jitter: "none" } } as const;

  /** When a task ran that fails (or ends) after 1 ms each time, and how it ended. */
  const run = async (restart: RestartOptions, times: number): Promise<{ runs: number[]; end: string }> => {
    const from: number[] = [];
    return await world((w) =>
      managed(async (manager) => {
        const task = manager.spawn("a", async () => {
          from.push(w.now);
          await sleep(1);
          if (from.length <= times) throw new Error(`failure ${from.length}`);
          return `run ${from.length}`;
        }, { restart });
        let end = "goes on";
        void task.then((value) => end = value, ({ message }) => end = message);
        await w.advance(1_000);
        return { runs: from, end };
      })
    );
  };

  test("after a failure, with a pause, until it succeeds", async () => {
    assert.deepEqual(await run({ when: "failure", ...plain }, 2), { runs: [0, 11, 22], end: "run 3" });
  });

  test("at most so often within the window; then it fails for good, with the last failure", async () => {
    assert.deepEqual(await run({ when: "failure", max: 2, ...plain }, 9), {
      runs: [0, 11, 22],
      end: "failure 3",
    });
    assert.deepEqual(await run({ when: "failure", max: 0 }, 9), { runs: [0], end: "failure 1" });
    const spread = await run({ when: "failure", max: 2, withinMs: 15, ...plain }, 20);
    assert.deepEqual({ runs: spread.runs.length, end: spread.end }, { runs: 21, end: "run 21" });
  });

  test("when always: after a success too", async () => {
    const { runs, end } = await run({ when: "always", max: Infinity, ...plain }, 2);
    assert.equal(runs.length, 91);
    assert.equal(end, "goes on");
  });

  test("when always: what ends so often within the window, without a failure, fails for good and says so", async () => {
    const records: ObserverRecord[] = [];
    using _observing = observe({ record: (record) => void records.push(record) });
    assert.deepEqual(await run({ when: "always", max: 3, ...plain }, 2), {
      runs: [0, 11, 22, 33],
      end: 'Cannot restart task "a": it was restarted 3 times within 60000 ms already, and has ended again',
    });
    await run({ when: "failure", max: 1, ...plain }, 9);
    const told = records.filter(({ kind }) => kind === "task.restartLimit").map(({ data }) => {
      const { restarts, error } = data as { restarts: number; error: Error };
      return [restarts, error instanceof RestartLimitError ? "limit" : error.message];
    });
    assert.deepEqual(told, [[3, "limit"], [1, "failure 2"]]);
  });

  test("pauses grow with the restarts in the window", async () => {
    const { runs } = await run({ when: "failure", max: 3, backoff: { baseMs: 10, jitter: "none" } }, 9);
    assert.deepEqual(runs, [0, 11, 32, 73]);
  });

  test("a synchronous throw counts as a failure; the task is one task all the while", async () => {
    await world(() =>
      managed(async (manager) => {
        let runs = 0;
        const task = manager.spawn("a", () => {
          if (++runs < 3) throw new Error("not yet");
          return Promise.resolve(runs);
        }, { restart: { when: "failure", ...plain } });
        await sleep(5);
        assert.equal(manager.get("a"), task);
        assert.equal(task.state, "running");
        assert.equal(await task, 3);
        assert.deepEqual(manager.statistics(), {
          running: 0,
          groups: 0,
          spawned: 1,
          failed: 0,
          restarted: 2,
        });
      })
    );
  });

  test("the observer is told of each, with the failure", async () => {
    await world(() =>
      managed(async (manager) => {
        const records: ObserverRecord[] = [];
        using _watching = observe({
          record: (record) => void (record.kind === "task.restart" && records.push(record)),
        });
        const error = new Error("once");
        let runs = 0;
        await manager.spawn("a", () => ++runs === 1 ? Promise.reject(error) : Promise.resolve(), {
          restart: { when: "failure", ...plain },
        });
        assert.deepEqual(records, [{
          kind: "task.restart",
          structure: "task manager",
          name: "m",
          data: { task: "a", restarts: 1, pausedMs: 10, error },
        }]);
      })
    );
  });

  test("cancelled by its handle: ends, in the middle of a run and of a pause, and is not started again", async () => {
    for (const atMs of [0.5, 5]) {
      await world((w) =>
        managed(async (manager) => {
          let runs = 0;
          const task = manager.spawn("a", async ({ signal }) => {
            runs++;
            await sleep(1, { signal });
            throw new Error("again");
          }, { restart: { when: "always", ...plain } });
          await w.advance(atMs);
          task.cancel("enough");
          assert.equal(await task.catch((error) => error), "enough");
          assert.equal(task.state, "cancelled");
          assert.equal(runs, 1);
        })
      );
    }
  });

  test("closing ends a pause at once, with the last failure or result, and starts nothing again", async () => {
    for (const fails of [true, false]) {
      await world(async (w) => {
        const manager = new TaskManager();
        let runs = 0;
        const task = manager.spawn(
          "a",
          () => ++runs && fails ? Promise.reject(new Error("last")) : Promise.resolve(7),
          {
            restart: { when: "always", backoff: { baseMs: 100_000, jitter: "none" } },
          },
        );
        const end = task.then((value) => value, ({ message }) => message);
        await w.advance(10);
        await manager.close();
        assert.equal(w.now, 10);
        assert.equal(await end, fails ? "last" : 7);
        assert.equal(runs, 1);
      });
    }
  });
});

describe("TaskManager.group", () => {
  test("is a group like any, alive under its name until it ends", async () => {
    await world(() =>
      managed(async (manager) => {
        const group = manager.group("jobs", { maxConcurrency: 1 });
        const task = group.spawn(() => sleep(1).then(() => 7));
        assert.equal(manager.statistics().groups, 1);
        assert.equal(task.name, "jobs/1");
        await group.join();
        assert.equal(await task, 7);
        assert.equal(manager.statistics().groups, 0);
      })
    );
  });

  test("a failing group ends neither tasks nor other groups", async () => {
    await world(() =>
      managed(async (manager) => {
        const error = new Error("one");
        const [failing, other] = [manager.group("failing"), manager.group("other")];
        failing.spawn(failAfter(1, error));
        const [task, member] = [
          manager.spawn("a", () => sleep(5).then(() => 7)),
          other.spawn(() => sleep(5)),
        ];
        assert.equal(await failing.join().catch((error) => error), error);
        assert.equal(await task, 7);
        await other.join();
        assert.equal(member.state, "fulfilled");
      })
    );
  });

  test("ends with its own signal, and with the manager's", async () => {
    await world(async () => {
      const [own, whole] = [new AbortController(), new AbortController()];
      const manager = new TaskManager({ signal: whole.signal });
      const [a, b] = [manager.group("a", { signal: own.signal }), manager.group("b")];
      const task = manager.spawn("task", forEver);
      for (const group of [a, b]) group.spawn(forEver);
      await sleep(1);
      own.abort("own");
      assert.equal(await a.join().catch((error) => error), "own");
      assert.equal(task.state, "running");
      whole.abort("whole");
      assert.equal(await b.join().catch((error) => error), "whole");
      assert.equal(await task.catch((error) => error), "whole");
      assert.equal(manager.spawn("late", forEver).state, "cancelled");
      await manager[Symbol.asyncDispose]();
    });
  });
});

describe("TaskManager.close", () => {
  test("two phases: stopping, and nothing new; then abort after the grace", async () => {
    await world(async (w) => {
      const manager = new TaskManager({ name: "m" });
      const order: string[] = [];
      manager.spawn("willing", async () => {
        await sleep(Infinity, { signal: manager.stopping }).catch(() => {});
        order.push(`willing at ${w.now}`);
      });
      manager.spawn(
        "deaf",
        (context) => forEver(context)!.then(undefined, () => order.push(`deaf at ${w.now}`)),
      );
      const group = manager.group("jobs");
      group.spawn(() => sleep(5).then(() => order.push(`job at ${w.now}`)));
      await w.advance(1);
      const closing = manager.close({ graceMs: 50 });
      assert.throws(
        () => manager.spawn("late", forEver),
        /^ClosedError: Cannot spawn task "late": the task manager is closing$/,
      );
      assert.throws(
        () => manager.group("late"),
        /^ClosedError: Cannot open group "late": the task manager is closing$/,
      );
      assert.equal(manager.closed, false);
      assert.deepEqual(await closing, { stuck: [] });
      assert.deepEqual(order, ["willing at 1", "job at 5", "deaf at 51"]);
      assert.equal(manager.closed, true);
      assert.equal(w.timers.length, 0);
    });
  });

  test("awaited by a task of its own, with its signal: waits for all but that, and ends after it", async () => {
    await world(async (w) => {
      const manager = new TaskManager({ name: "m" });
      const order: string[] = [];
      manager.spawn("admin", async ({ signal }) => {
        await sleep(1);
        assert.deepEqual(await manager.close({ signal }), { stuck: [] });
        order.push(`alone at ${w.now}`);
        await sleep(1);
        order.push(`done at ${w.now}`);
      });
      manager.spawn("poller", forEver, { daemon: true });
      manager.spawn("work", () => sleep(5));
      manager.group("jobs").spawn(async ({ signal }) => {
        await sleep(2);
        await manager.close({ signal });
      });
      manager.group("more").spawn(() => sleep(7));
      await sleep(3);
      assert.deepEqual(await manager.close(), { stuck: [] });
      order.push(`closed at ${w.now}`);
      assert.deepEqual(order, ["alone at 7", "done at 8", "closed at 8"]);
    });
  });

  test("awaited by a daemon of its own, with its signal: that is cancelled, and all ends", async () => {
    await world(async () => {
      const manager = new TaskManager();
      const daemon = manager.spawn("poller", ({ signal }) => manager.close({ signal }), { daemon: true });
      manager.spawn("work", () => sleep(5));
      await assert.rejects(Promise.resolve(daemon), { name: "AbortError" });
      assert.deepEqual(await manager.close(), { stuck: [] });
      assert.equal(manager.closed, true);
    });
  });

  test("tells the observer of tasks that are aborted and do not end", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _watching = observe({ record: (event) => records.push(event) });
      const manager = new TaskManager({ name: "m", stuckAfterMs: 10 });
      manager.spawn("deaf", () => sleep(100));
      await manager.close({ graceMs: 1 });
      const [stuck, ...others] = records.filter(({ kind }) => kind === "task.stuck");
      assert.equal(others.length, 0);
      assert.equal(stuck!.name, "m");
      assert.deepEqual((stuck!.data as { tasks: { name: string }[] }).tasks.map(({ name }) => name), [
        "deaf",
      ]);
      assert.throws(
        () => new TaskManager({ stuckAfterMs: -1 }),
        /^RangeError: Cannot create task manager as stuckAfterMs must be a number of milliseconds >= 0: received -1$/,
      );
    });
  });

  test("names those it gives up, of tasks and groups, to every caller", async () => {
    await world(async (w) => {
      const manager = new TaskManager();
      const deaf = (): Promise<void> => sleep(1_000);
      manager.spawn("task", deaf);
      manager.group("jobs").spawn(deaf);
      await w.advance(1);
      const options = { graceMs: 10, abandonAfterMs: 10 };
      const reports = await Promise.all([manager.close(options), manager.close()]);
      for (const { stuck } of [...reports, await manager.close()]) {
        assert.deepEqual(stuck, ["task", "jobs/1"]);
      }
      assert.equal(w.now, 21);
      await w.advance(2_000);
    });
  });

  test("refuses wrong options, and can be called again with right ones", async () => {
    await world(async () => {
      const manager = new TaskManager();
      await assert.rejects(manager.close({ graceMs: -1 }), RangeError);
      manager.spawn("a", () => sleep(1));
      await manager.close();
    });
  });

  test("aborted at every moment: no orphan, nothing left", async () => {
    let running = 0;
    await sweep(async (signal) => {
      running = 0;
      await using manager = new TaskManager({ signal });
      const job: Job<void> = async ({ signal }) => {
        running++;
        try {
          await sleep(3, { signal });
        } finally {
          await sleep(1);
          running--;
        }
      };
      manager.spawn("a", job, { restart: { when: "always", max: 2, backoff: { baseMs: 1 } } });
      manager.group("b").spawn(job);
      await sleep(6, { signal });
    }, () => running === 0);
  });
});

describe("TaskManager: disposal", () => {
  test("cancels everything, waits for it, and throws the failures that nobody has observed", async () => {
    await world(async () => {
      const [seen, unseen, cleanUp] = [new Error("seen"), new Error("unseen"), new Error("clean-up")];
      const manager = new TaskManager();
      manager.spawn("seen", failAfter(1, seen)).catch(() => {});
      manager.spawn("unseen", failAfter(1, unseen));
      manager.group("jobs").spawn((context) =>
        forEver(context)!.then(undefined, () => Promise.reject(cleanUp))
      );
      await sleep(5);
      const thrown = await manager[Symbol.asyncDispose]().then(() => undefined, (error) => error);
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [unseen, cleanUp]);
      assert.equal(manager.statistics().failed, 2);
      await manager[Symbol.asyncDispose]();
    });
  });

  test("cuts the grace of a closing short, also of one that was given up", async () => {
    await world(async (w) => {
      for (const graceMs of [Infinity, 1_000]) {
        const manager = new TaskManager();
        const ended: string[] = [];
        const end = (name: string): Job<void> => (context) =>
          forEver(context)!.then(undefined, () => sleep(3)).then(() =>
            void ended.push(`${name} at ${w.now}`)
          );
        manager.spawn("server", end("server"));
        manager.group("jobs").spawn(end("job"));
        const begunMs = w.now;
        using impatient = timeout(5);
        await assert.rejects(manager.close({ graceMs, signal: impatient.signal }), { name: "TimeoutError" });
        await manager[Symbol.asyncDispose]();
        assert.deepEqual(ended, [`job at ${begunMs + 8}`, `server at ${begunMs + 8}`]);
        assert.equal(manager.closed, true);
      }
      assert.equal(w.timers.length, 0);
    });
  });

  test("one failure is thrown by identity; none after all were observed", async () => {
    await world(async () => {
      const error = new Error("one");
      const manager = new TaskManager();
      manager.spawn("a", failAfter(1, error));
      await sleep(5);
      assert.equal(await manager[Symbol.asyncDispose]().then(null, (error) => error), error);
      const quiet = new TaskManager();
      await assert.rejects(async () => await quiet.spawn("a", failAfter(1, error)));
      await quiet[Symbol.asyncDispose]();
    });
  });

  test("after close, the failures of groups that nobody joined are not lost", async () => {
    await world(async () => {
      const error = new Error("one");
      const manager = new TaskManager();
      manager.group("jobs").spawn(failAfter(1, error));
      await manager.close();
      assert.equal(await manager[Symbol.asyncDispose]().then(null, (error) => error), error);
    });
  });

  test("every failure for good is told to the observer", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "task.failure" && records.push(record)),
      });
      const error = new Error("one");
      const manager = new TaskManager({ name: "m" });
      manager.spawn("a", failAfter(1, error)).catch(() => {});
      await sleep(5);
      await manager[Symbol.asyncDispose]();
      assert.deepEqual(records, [
        { kind: "task.failure", structure: "task manager", name: "m", data: { task: "a", error } },
      ]);
    });
  });
});

describe("TaskManager.unobserved", () => {
  test("failures that were observed after a while keep no later one from being thrown", async () => {
    await world(async () => {
      const manager = new TaskManager();
      for (let i = 0; i < 150; i++) {
        const task = manager.spawn(`observed ${i}`, failAfter(0, new Error("observed")));
        await task.settled;
        await task.catch(() => {});
      }
      const error = new Error("nobody saw it");
      manager.spawn("unobserved", failAfter(0, error));
      await sleep(1);
      assert.deepEqual(manager.unobserved(), [error]);
      await assert.rejects(async () => await manager[Symbol.asyncDispose](), error);
    });
  });

  test("what onFailure throws or rejects with goes to the observer", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "hook.failed" && records.push(record)),
      });
      const refusal = new Error("of the one who is told");
      const refuse = (): never => {
        throw refusal;
      };
      for (const onFailure of [refuse, () => Promise.reject(refusal)]) {
        const manager = new TaskManager({ name: "m", onFailure });
        const error = new Error("one");
        manager.spawn("a", failAfter(1, error));
        await sleep(5);
        await assert.rejects(async () => await manager[Symbol.asyncDispose](), error);
      }
      const data = { task: "a", error: refusal };
      const record = { kind: "hook.failed", structure: "task manager", name: "m", data };
      assert.deepEqual(records, [record, record]);
    });
  });

  test("gives the failures that nobody has observed, as long as they are not thrown", async () => {
    await world(async () => {
      const manager = new TaskManager();
      const [a, b] = [new Error("a"), new Error("b")];
      const first = manager.spawn("a", failAfter(1, a));
      manager.spawn("b", failAfter(2, b));
      await sleep(3);
      assert.deepEqual(manager.unobserved(), [a, b]);
      assert.equal(await first.catch((error) => error), a);
      assert.deepEqual(manager.unobserved(), [b]);
      await assert.rejects(async () => await manager[Symbol.asyncDispose](), b);
      assert.deepEqual(manager.unobserved(), []);
    });
  });
});

describe("TaskManager.tree", () => {
  test("shows the live tasks and groups", async () => {
    await world(async (w) => {
      const manager = new TaskManager({ name: "m" });
      manager.spawn("a", forEver);
      manager.group("jobs").spawn(() => sleep(5));
      await w.advance(2);
      const task = { state: "running", daemon: false, ageMs: 2 };
      assert.deepEqual(manager.tree(), {
        group: "m",
        state: "open",
        tasks: [{ name: "a", ...task, waitsFor: ["sleep"] }],
        groups: [{ group: "jobs", state: "open", tasks: [{ name: "jobs/1", ...task, waitsFor: [] }] }],
      });
      await manager.close({ graceMs: 10 });
    });
  });

  test("a group with bad options leaves nothing behind", async () => {
    await world(async () => {
      await managed((manager) => {
        assert.throws(() => manager.group("jobs", { policy: "x" as "supervise" }), RangeError);
        assert.equal(manager.statistics().groups, 0);
        return Promise.resolve();
      });
    });
  });
});

test("TaskManager cancels daemons as soon as closing begins, and gives others the grace", async () => {
  await world(async (w) => {
    const manager = new TaskManager();
    const ended: string[] = [];
    const loop = async ({ name, signal }: TaskContext): Promise<void> => {
      try {
        await sleep(60_000, { signal });
      } finally {
        ended.push(`${name}@${w.now}`);
      }
    };
    manager.spawn("poller", loop, { daemon: true });
    manager.spawn("other", loop);
    await w.idle();
    assert.deepEqual(await manager.close({ graceMs: 100 }), { stuck: [] });
    assert.deepEqual(ended, ["poller@0", "other@100"]);
  });
});

test("TaskManager tells onFailure at once of what nobody awaits, and is not disturbed by it", async () => {
  await world(async () => {
    const told: unknown[] = [];
    const manager = new TaskManager({
      onFailure: (error, name) => {
        told.push([name, error]);
        throw new Error("of the one who is told");
      },
    });
    const error = new Error("for good");
    manager.spawn("alone", () => Promise.reject(error));
    const awaited = manager.spawn("awaited", () => Promise.reject(error));
    await assert.rejects(async () => await awaited, error);
    assert.deepEqual(told, [["alone", error]]);
    await assert.rejects(manager[Symbol.asyncDispose](), error);
  });
});
