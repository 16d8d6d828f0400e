import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { TaskGroup } from "../../src/task/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** Has what is told of the tasks of group "g" written down. */
function listen(told: unknown[], also?: (record: ObserverRecord) => void): Disposable {
  return observe({
    record(record) {
      const { kind, structure, name, data } = record;
      if (structure !== "group" || name !== "g") return;
      told.push([kind, data]);
      also?.(record);
    },
  });
}

describe("the records of a task", () => {
  test("tell when it was spawned, when it started, and how it ended", async () => {
    await world(async () => {
      const told: unknown[] = [];
      using _watching = listen(told);
      await TaskGroup.run((group) => {
        group.spawn(() => sleep(10), { name: "a" });
        group.spawn(() => sleep(20));
      }, { name: "g", maxConcurrency: 1 });
      assert.deepEqual(told, [
        ["task.spawn", { task: "a", daemon: false }],
        ["task.spawn", { task: "g/2", daemon: false }],
        ["task.start", { task: "a", waitedMs: 0 }],
        ["task.end", { task: "a", state: "fulfilled", ageMs: 10 }],
        ["task.start", { task: "g/2", waitedMs: 10 }],
        ["task.end", { task: "g/2", state: "fulfilled", ageMs: 30 }],
      ]);
    });
  });

  test("tell of a failure first, then of the siblings that it ends", async () => {
    await world(async () => {
      const told: unknown[] = [];
      using _watching = listen(told);
      const error = new Error("one");
      const group = new TaskGroup({ name: "g" });
      group.spawn(({ signal }) => sleep(50, { signal }), { name: "sibling", daemon: true });
      group.spawn(() => sleep(5).then(() => Promise.reject(error)), { name: "failing" });
      await assert.rejects(group.join(), error);
      const reason = (told[5] as [string, { reason: DOMException }])[1].reason;
      assert.equal(reason.cause, error);
      assert.deepEqual(told, [
        ["task.spawn", { task: "sibling", daemon: true }],
        ["task.spawn", { task: "failing", daemon: false }],
        ["task.start", { task: "sibling", waitedMs: 0 }],
        ["task.start", { task: "failing", waitedMs: 0 }],
        ["task.end", { task: "failing", state: "failed", ageMs: 5, error }],
        ["task.cancel", { task: "sibling", reason }],
        ["task.end", { task: "sibling", state: "cancelled", ageMs: 5 }],
      ]);
    });
  });

  test("tell once that it was cancelled; one that never ran has no start", async () => {
    await world(async () => {
      const told: unknown[] = [];
      using _watching = listen(told);
      const group = new TaskGroup({ name: "g" });
      const task = group.spawn(() => sleep(50), { name: "a" });
      task.cancel("no need");
      task.cancel("again");
      group.cancel("all");
      group.spawn(() => sleep(50), { name: "late" });
      await group.join();
      assert.deepEqual(told, [
        ["task.spawn", { task: "a", daemon: false }],
        ["task.cancel", { task: "a", reason: "no need" }],
        ["task.end", { task: "a", state: "cancelled", ageMs: 0 }],
        ["task.spawn", { task: "late", daemon: false }],
        ["task.cancel", { task: "late", reason: "all" }],
        ["task.end", { task: "late", state: "cancelled", ageMs: 0 }],
      ]);
    });
  });

  for (const at of ["task.spawn", "task.start", "task.end", "task.cancel"]) {
    test(`an observer that cancels the group at ${at} leaves every task ended, and told of once`, async () => {
      await world(async () => {
        const told: [string, { task: string }][] = [];
        const group = new TaskGroup({ name: "g", maxConcurrency: 2 });
        using _watching = listen(told, ({ kind }) => kind === at && group.cancel("from the observer"));
        const tasks = [1, 2, 3].map((n) => group.spawn(({ signal }) => sleep(n, { signal })));
        await sleep(1);
        tasks[1]!.cancel("by itself");
        await group.join();
        assert.ok(tasks.every(({ state }) => state === "fulfilled" || state === "cancelled"));
        const { running, queued, spawned } = group.statistics();
        assert.deepEqual([running, queued, spawned], [0, 0, 3]);
        for (const kind of ["task.spawn", "task.end"]) {
          assert.deepEqual(
            told.filter(([told]) => told === kind).map(([, { task }]) => task).sort(),
            ["g/1", "g/2", "g/3"],
          );
        }
      });
    });
  }

  test("an observer that throws leaves tasks as they are, and is complained about once (OB-02)", async () => {
    await world(async () => {
      const print = mock.method(console, "error", () => {});
      try {
        using _broken = observe({
          record() {
            throw new Error("broken");
          },
        });
        const results = await TaskGroup.run(async (group) => {
          const cancelled = group.spawn(({ signal }) => sleep(50, { signal }));
          const fine = group.spawn(() => sleep(1).then(() => 7));
          await Promise.resolve();
          cancelled.cancel("no need");
          return await Promise.allSettled([fine, cancelled]);
        });
        assert.deepEqual(results, [
          { status: "fulfilled", value: 7 },
          { status: "rejected", reason: "no need" },
        ]);
        assert.equal(print.mock.callCount(), 1);
      } finally {
        print.mock.restore();
      }
    });
  });
});
