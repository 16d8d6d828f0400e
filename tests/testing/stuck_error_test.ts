import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "@uno/async/cancel";
import { AsyncLock, Channel, select } from "@uno/async/sync";
import { TaskGroup, TaskManager } from "@uno/async/task";
import { StuckError, world } from "@uno/async/testing";

async function stuck(body: () => PromiseLike<unknown>): Promise<StuckError> {
  const error = await world(body).then(() => undefined, (error) => error);
  assert.ok(error instanceof StuckError, String(error));
  return error;
}

/** The lines below the first. */
function treeOf(error: StuckError): string[] {
  return error.message.split("\n").slice(1);
}

describe("StuckError", () => {
  test("shows the tasks of a deadlock, and what each waits for", async () => {
    const [a, b] = [new AsyncLock({ name: "a" }), new AsyncLock({ name: "b" })];
    const error = await stuck(() =>
      TaskGroup.run((group) => {
        const both = (first: AsyncLock, second: AsyncLock, name: string): void =>
          void group.spawn(async ({ signal }) => {
            using _first = await first.acquire({ signal });
            await sleep(10, { signal });
            using _second = await second.acquire({ signal });
          }, { name });
        both(a, b, "ab");
        both(b, a, "ba");
        group.spawn(() => {}, { name: "done" });
      }, { name: "main" })
    );
    assert.deepEqual(treeOf(error), [
      '  group "main", open',
      '    task "ab", running, 10 ms old, waits for: acquire lock "b"',
      '    task "ba", running, 10 ms old, waits for: acquire lock "a"',
    ]);
    assert.deepEqual(error.state.groups.map(({ group }) => group), ["main"]);
  });

  test("shows thousands of groups, side by side and nested: the first of them, and how many more", async () => {
    const within = (levels: number, signal?: AbortSignal): Promise<void> =>
      TaskGroup.run((group) =>
        void group.spawn(async ({ signal }) => {
          if (levels > 0) await within(levels - 1, signal);
          else await sleep(Infinity, { signal });
        }), { signal });
    const error = await stuck(() =>
      Promise.all([within(2_000), ...Array.from({ length: 2_000 }, () => within(0))])
    );
    const lines = treeOf(error);
    assert.equal(lines.length, 201);
    assert.match(lines.at(-1)!, /^ {2}… and \d+ more groups and tasks/);
    assert.equal(error.state.groups.length, 2_001);
  });

  test("shows a nested group within its task only, and each of several that stand alone", async () => {
    const channel = new Channel<number>({ name: "jobs" });
    const error = await stuck(async () => {
      const alone = TaskGroup.run((group) => void group.spawn(() => channel.receive()), { name: "alone" });
      const outer = TaskGroup.run((group) => {
        group.spawn(({ signal }) =>
          TaskGroup.run((inner) => {
            inner.spawn(({ signal }) => select([channel.receiving()], { signal }));
            inner.spawn(({ signal }) => sleep(Infinity, { signal }), { daemon: true, name: "clock" });
          }, { name: "inner", signal })
        );
      }, { name: "outer" });
      await Promise.all([alone, outer]);
    });
    assert.deepEqual(treeOf(error), [
      '  group "alone", open',
      '    task "alone/1", running, 0 ms old',
      '  group "outer", open',
      '    task "outer/1", running, 0 ms old',
      '      group "inner", open',
      '        task "inner/1", running, 0 ms old, waits for: select: receive from channel "jobs"',
      '        daemon "clock", running, 0 ms old, waits for: sleep',
    ]);
  });

  test("shows groups that look the same as often as there are", async () => {
    const error = await stuck(() => {
      const idle = new Promise<void>(() => {});
      const one = (signal?: AbortSignal): Promise<void> =>
        TaskGroup.run((group) => void group.spawn(() => idle), { signal });
      return Promise.all([
        one(),
        one(),
        TaskGroup.run((group) => void group.spawn(({ signal }) => one(signal)), { name: "outer" }),
        TaskGroup.run((group) => {
          group.spawn(({ signal }) =>
            TaskGroup.run((group) => void group.spawn(({ signal }) => one(signal)), { signal })
          );
        }, { name: "deep" }),
      ]);
    });
    assert.deepEqual(treeOf(error).filter((line) => line.includes("group ")), [
      '  group "task group", open',
      '  group "task group", open',
      '  group "outer", open',
      '      group "task group", open',
      '  group "deep", open',
      '      group "task group", open',
      '          group "task group", open',
    ]);
  });

  test("shows a group under a time limit, a cancelled one that goes on, and a manager's", async () => {
    const error = await stuck(async () => {
      const manager = new TaskManager();
      manager.spawn("worker", ({ signal }) => sleep(Infinity, { signal }));
      const deaf = new TaskGroup({ name: "deaf" });
      deaf.spawn(() => new Promise(() => {}), { name: "ear" });
      await sleep(5);
      deaf.cancel();
      await timeout(
        Infinity,
        ({ signal }) =>
          TaskGroup.run((group) => void group.spawn(({ signal }) => sleep(Infinity, { signal })), { signal }),
      );
    });
    const tree = treeOf(error).join("\n");
    assert.match(tree, /group "deaf", cancelled\n {4}task "ear", running, 5 ms old/);
    assert.match(tree, /"worker.*, running, 5 ms old/);
    assert.match(tree, /task "task\/1", running, 0 ms old, waits for: sleep/);
  });

  test("shows no group that has ended, and none of an earlier world", async () => {
    await stuck(() => TaskGroup.run((group) => void group.spawn(() => new Promise(() => {}))));
    const error = await stuck(async () => {
      await TaskGroup.run((group) => void group.spawn(() => {}));
      await new Promise(() => {});
    });
    assert.deepEqual(treeOf(error), []);
    assert.deepEqual(error.state.groups, []);
  });
});
