import assert from "node:assert/strict";
import { describe, test } from "node:test";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { census } from "../../src/kernel/census.ts";
import { mapTasks, TaskGroup } from "../../src/task/mod.ts";

const MIB = 2 ** 20;

/** Collects garbage, where the runtime lets one ask for it. */
const collect: (() => void) | undefined = (() => {
  const { Bun, gc } = globalThis as { Bun?: { gc(now: boolean): void }; gc?: () => void };
  if (Bun !== undefined) return () => Bun.gc(true);
  if (gc !== undefined) return gc;
  setFlagsFromString("--expose-gc");
  return runInNewContext("globalThis.gc");
})();
const needsGc = collect === undefined
  ? { skip: "garbage collection can't be asked for: run with --expose-gc" }
  : {};

async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect!();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return process.memoryUsage().heapUsed;
}

/** How much more is on the heap after `work`, which is done once before to fill what is filled only once. */
async function retained(work: () => Promise<unknown>): Promise<number> {
  await work();
  const before = await heapUsed();
  await work();
  return await heapUsed() - before;
}

/** Counts the listeners on a signal, and fails on a warning that there are too many. */
function watched(signal: AbortSignal): { now: number; most: number } {
  const count = { now: 0, most: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    count.most = Math.max(count.most, ++count.now);
    addEventListener.apply(signal, args as never);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    count.now--;
    removeEventListener.apply(signal, args as never);
  };
  return count;
}

/** A turn of the event loop, which all runtimes take only when no microtask is left. */
const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));

describe("TaskGroup: memory", () => {
  test("1,000,000 short tasks through one group leave nothing behind", needsGc, async () => {
    const group = new TaskGroup();
    let ran = 0;
    const many = async (): Promise<void> => {
      for (let batch = 0; batch < 500; batch++) {
        for (let i = 0; i < 1_000; i++) group.spawn(() => void ran++);
        await undefined;
        await undefined;
      }
      await turn();
    };
    const bytes = await retained(many);
    assert.equal(ran, 1_000_000);
    assert.ok(bytes < MIB, `${bytes} bytes are left`);
    assert.equal(group.statistics().fulfilled, 1_000_000);
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
    const bytes = await retained(many);
    assert.ok(bytes < MIB, `${bytes} bytes are left`);
    await group.join();
  });

  test("in a group that supervises, observed failures leave nothing behind", needsGc, async () => {
    const group = new TaskGroup({ policy: "supervise" });
    const many = async (): Promise<void> => {
      for (let i = 0; i < 20_000; i++) {
        await group.spawn(() => Promise.reject(new Error("observed"))).catch(() => {});
      }
    };
    const bytes = await retained(many);
    assert.ok(bytes < MIB, `${bytes} bytes are left`);
    await group.join();
  });

  test("1,000 groups of 10 tasks, nested twice, under one signal: one listener at most, none at the end", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error): void => void warnings.push(warning);
    process.on("warning", warn);
    const controller = new AbortController();
    const count = watched(controller.signal);
    const before = { ...census };
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
    if (collect === undefined) await all();
    else {
      const bytes = await retained(all);
      assert.ok(bytes < MIB, `${bytes} bytes are left`);
    }
    await turn();
    process.off("warning", warn);
    assert.equal(ended % 30_000, 0);
    assert.deepEqual(count, { now: 0, most: 1 });
    assert.deepEqual({ ...census }, before);
    assert.deepEqual(warnings, []);
  });

  test("a long mapping leaves nothing behind while it goes on", needsGc, async () => {
    const results = mapTasks(numbers(), (n) => Promise.resolve(n), { concurrency: 10 });
    const many = async (): Promise<void> => {
      for (let i = 0; i < 100_000; i++) await results.next();
    };
    const bytes = await retained(many);
    assert.ok(bytes < MIB, `${bytes} bytes are left`);
    await results.return!();
  });
});

function* numbers(): Generator<number> {
  for (let n = 0;; n++) yield n;
}
