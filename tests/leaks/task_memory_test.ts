import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mapTasks, TaskGroup } from "../../src/task/mod.ts";
import { assertLeavesNothing, needsGc, turn, watched } from "./_heap.ts";

describe("TaskGroup: memory", () => {
  test("1,000,000 short tasks through one group leave nothing behind", needsGc, async () => {
    const group = new TaskGroup();
    let ran = 0;
    const many = async (count: number): Promise<void> => {
      for (let batch = 0; batch < count / 1_000; batch++) {
        for (let i = 0; i < 1_000; i++) group.spawn(() => void ran++);
        await undefined;
        await undefined;
      }
      await turn();
    };
    await assertLeavesNothing(() => many(1_000_000), () => many(100_000));
    assert.equal(ran, 1_100_000);
    assert.equal(group.statistics().fulfilled, 1_100_000);
    await group.join();
  });

  test("tasks that read their signals, and cancelled ones, leave nothing behind", needsGc, async () => {
    const group = new TaskGroup({ maxConcurrency: 10 });
    const many = async (): Promise<void> => {
      for (let i = 0; i < 25_000; i++) {
        await group.capacity();
        group.spawn(async ({ signal }) => {
          await undefined;
          return signal.aborted;
        });
        await group.capacity();
        group.spawn(({ task }) => task.cancel());
      }
      await turn();
    };
    await assertLeavesNothing(many);
    await group.join();
  });

  test("in a group that supervises, observed failures leave nothing behind", needsGc, async () => {
    const group = new TaskGroup({ policy: "supervise" });
    const many = async (): Promise<void> => {
      for (let i = 0; i < 20_000; i++) {
        await group.spawn(() => Promise.reject(new Error("observed"))).catch(() => {});
      }
    };
    await assertLeavesNothing(many);
    await group.join();
  });

  test("1,000 groups of 10 tasks, nested twice, under one signal: one listener at most, none at the end", async () => {
    const controller = new AbortController();
    const count = watched(controller.signal);
    let ended = 0;
    const nest = (depth: number, signal: AbortSignal): Promise<void> =>
      TaskGroup.run((group) => {
        for (let i = 0; i < 10; i++) {
          group.spawn(async ({ signal }) => {
            await undefined;
            if (depth > 0 && i === 0) await nest(depth - 1, signal);
            ended++;
          });
        }
      }, { signal });
    const all = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 1_000 }, () => nest(2, controller.signal)));
    await assertLeavesNothing(all);
    assert.equal(ended % 30_000, 0);
    assert.deepEqual(count, { now: 0, most: 1 });
  });

  test("a long mapping leaves nothing behind while it goes on", needsGc, async () => {
    const results = mapTasks(numbers(), (n) => Promise.resolve(n), { concurrency: 10 });
    const many = async (): Promise<void> => {
      for (let i = 0; i < 50_000; i++) await results.next();
    };
    await many(); // Begun, it holds what it needs until it ends.
    await assertLeavesNothing(many);
    await results.return!();
  });
});

function* numbers(): Generator<number> {
  for (let n = 0;; n++) yield n;
}
