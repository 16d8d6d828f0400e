/** Tasks that belong together: started and joined, alive, cancelled. */
import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { TaskGroup } from "../../../src/task/task_group.ts";
import { sink } from "../../_measure.ts";
import { HandNursery } from "../../cases/task_group.ts";
import type { EffectModule, Fiber as EffectFiber } from "../_effect.ts";
import type { EffectionModule, EffectionTask } from "../_effection.ts";
import { byHand, ours, platform, type Row, theirs } from "../_rows.ts";

async function work(): Promise<number> {
  return await 1;
}

/** What keeps those alive who wait for good. */
const waiting: ((value: number) => void)[] = [];

function never(): Promise<number> {
  return new Promise<number>((resolve) => waiting.push(resolve));
}

interface MapModule {
  default: <T, R>(
    items: Iterable<T>,
    fn: (item: T) => Promise<R>,
    options?: { concurrency: number; signal?: AbortSignal },
  ) => Promise<R[]>;
}

/** All run at once, and all results come back. */
async function checkAll(all: (work: () => Promise<number>, tasks: number) => Promise<number>): Promise<void> {
  let [running, most] = [0, 0];
  const ended = await all(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    return 1;
  }, 50);
  assert.equal(ended, 50, "it did not wait for all");
  assert.equal(most, 50, "not all run at once");
}

async function groupOf(fn: () => Promise<number>, tasks: number): Promise<number> {
  const group = new TaskGroup();
  let sum = 0;
  for (let i = 0; i < tasks; i++) group.spawn(() => fn().then((n) => sum += n));
  await group.join();
  return sum;
}

async function nurseryOf(fn: () => Promise<number>, tasks: number): Promise<number> {
  const nursery = new HandNursery();
  let sum = 0;
  for (let i = 0; i < tasks; i++) void nursery.spawn(() => fn().then((n) => sum += n));
  await nursery.join();
  return sum;
}

/** The body of a task is the same async function for all that take one. */
function joined(tasks: number): Row {
  return {
    kind: "time",
    name: `group: spawn and join ${tasks.toLocaleString("en")}`,
    size: 100_000,
    unit: Math.min(tasks, 1_000),
    rivals: [
      byHand({
        check: () => checkAll(async (fn, n) => (await Promise.all(Array.from({ length: n }, fn))).length),
        async run(_, size) {
          const each = Math.min(tasks, size);
          for (let done = 0; done < size; done += each) {
            const all: Promise<number>[] = [];
            for (let i = 0; i < each; i++) all.push(work());
            sink((await Promise.all(all)).length);
          }
        },
      }, "Promise.all"),
      platform("by hand, nursery", {
        async check() {
          await checkAll(nurseryOf);
          const nursery = new HandNursery();
          return [nursery, nursery.spawn(never)];
        },
        async run(_, size) {
          const each = Math.min(tasks, size);
          for (let done = 0; done < size; done += each) {
            const nursery = new HandNursery();
            for (let i = 0; i < each; i++) void nursery.spawn(work);
            await nursery.join();
          }
        },
      }),
      ours({
        async check() {
          await checkAll(groupOf);
          const group = new TaskGroup();
          return [group, group.spawn(never), group.join()];
        },
        async run(_, size) {
          const each = Math.min(tasks, size);
          for (let done = 0; done < size; done += each) {
            const group = new TaskGroup();
            for (let i = 0; i < each; i++) group.spawn(work);
            await group.join();
          }
        },
      }),
      theirs("p-map", ({ default: pMap }: MapModule) => ({
        check: () =>
          checkAll(async (fn, n) =>
            (await pMap(Array.from({ length: n }), fn, { concurrency: Infinity })).length
          ),
        async run(_, size) {
          const each = Math.min(tasks, size);
          const items = Array.from({ length: each }, (_, i) => i);
          for (let done = 0; done < size; done += each) {
            sink((await pMap(items, work, { concurrency: Infinity })).length);
          }
        },
      })),
      theirs("effect", ({ Effect }: EffectModule) => {
        const concurrency = "unbounded" as const;
        return {
          async check() {
            await checkAll(async (fn, n) =>
              (await Effect.runPromise(
                Effect.forEach(Array.from({ length: n }), () => Effect.promise(fn), { concurrency }),
              )).length
            );
            return Effect.runFork(Effect.forEach([1, 2], () => Effect.promise(never), { concurrency }));
          },
          async run(_, size) {
            const each = Math.min(tasks, size);
            const items = Array.from({ length: each }, (_, i) => i);
            for (let done = 0; done < size; done += each) {
              const all = Effect.forEach(items, () => Effect.promise(work), { concurrency });
              sink((await Effect.runPromise(all)).length);
            }
          },
        };
      }, "forEach"),
      theirs("effect", (module: EffectModule) => {
        const { Effect, Fiber } = module;
        const fork = (fn: () => Promise<number>, each: number) =>
          Effect.gen(function* () {
            const fibers: EffectFiber<number>[] = [];
            for (let i = 0; i < each; i++) fibers.push(yield* Effect.forkChild(Effect.promise(fn)));
            return (yield* Fiber.joinAll(fibers)).length;
          });
        return {
          async check() {
            await checkAll((fn, n) => Effect.runPromise(fork(fn, n)));
            return Effect.runFork(fork(never, 1));
          },
          async run(_, size) {
            const each = Math.min(tasks, size);
            for (let done = 0; done < size; done += each) sink(await Effect.runPromise(fork(work, each)));
          },
        };
      }, "fork"),
      theirs("effection", (module: EffectionModule) => {
        const spawning = (fn: () => Promise<number>, each: number) =>
          function* (): Generator<unknown, number, unknown> {
            const spawned: EffectionTask<number>[] = [];
            for (let i = 0; i < each; i++) {
              spawned.push(
                yield* module.spawn(function* () {
                  return yield* module.until(fn());
                }),
              );
            }
            let sum = 0;
            for (const task of spawned) sum += yield* task;
            return sum;
          };
        return {
          async check() {
            await checkAll((fn, n) => module.run(spawning(fn, n)));
            // In an array: it is a promise, and never fulfilled.
            return [module.run(spawning(never, 1))];
          },
          async run(_, size) {
            const each = Math.min(tasks, size);
            for (let done = 0; done < size; done += each) sink(await module.run(spawning(work, each)));
          },
        };
      }),
    ],
  };
}

function letGo(): void {
  waiting.length = 0;
}

/** A task that has begun and waits for a promise. */
const bytes: Row = {
  kind: "bytes",
  name: "group: bytes per live task",
  size: 20_000,
  rivals: [
    byHand({
      hold(size) {
        const tasks: Promise<number>[] = [];
        const task = async (): Promise<number> => await never();
        for (let i = 0; i < size; i++) tasks.push(task());
        return { kept: tasks, letGo };
      },
    }, "async function"),
    ours({
      hold(size) {
        const group = new TaskGroup();
        for (let i = 0; i < size; i++) group.spawn(async () => await never());
        return { kept: group, letGo };
      },
    }),
    ours({
      hold(size) {
        const group = new TaskGroup();
        for (let i = 0; i < size; i++) {
          group.spawn(async ({ signal }) => signal.aborted ? 0 : await never());
        }
        return { kept: group, letGo };
      },
    }, "signal read"),
    theirs("effect", ({ Effect }: EffectModule) => ({
      hold(size) {
        const fibers: EffectFiber<number>[] = [];
        const task = Effect.promise(async () => await never());
        for (let i = 0; i < size; i++) fibers.push(Effect.runFork(task));
        return { kept: fibers, letGo };
      },
    }), "fork"),
    theirs("effection", ({ run, spawn, suspend, until }: EffectionModule) => ({
      hold(size) {
        const parent = run(function* () {
          for (let i = 0; i < size / 10; i++) {
            // One holds a tenth: as many as all others would take minutes.
            yield* spawn(() => until(never()) as unknown as Generator<unknown, number, unknown>);
          }
          yield* suspend();
        });
        return { kept: parent, size: size / 10, letGo: () => (letGo(), parent.halt()) };
      },
    })),
  ],
};

interface Sleeper {
  readonly timer: ReturnType<typeof setTimeout>;
  reject(reason: unknown): void;
}

const HOUR_MS = 3_600_000;

/** Up to when the last one has ended. */
const cancelled: Row = {
  kind: "time",
  name: "group: cancel 100,000 sleepers",
  size: 100_000,
  rivals: [
    byHand({
      check: () => {},
      async run(timer, size) {
        const sleepers: Sleeper[] = [];
        const naps: Promise<unknown>[] = [];
        for (let i = 0; i < size; i++) {
          const nap = new Promise<void>((resolve, reject) => {
            sleepers.push({ timer: setTimeout(resolve, HOUR_MS), reject });
          });
          naps.push(nap.catch(() => sink(1)));
        }
        await Promise.resolve();
        timer.start();
        const reason = new DOMException("stop", "AbortError");
        for (const { timer, reject } of sleepers) {
          clearTimeout(timer);
          reject(reason);
        }
        await Promise.all(naps);
        timer.end();
      },
    }, "a list of timers"),
    ours({
      async check() {
        const group = new TaskGroup();
        let stopped = 0;
        for (let i = 0; i < 100; i++) {
          group.spawn(({ signal }) => sleep(HOUR_MS, { signal }).finally(() => stopped++));
        }
        await Promise.resolve();
        group.cancel();
        await group.join();
        assert.equal(stopped, 100);
        const other = new TaskGroup();
        return [other, other.spawn(({ signal }) => signal.aborted ? work() : never()), other.join()];
      },
      async run(timer, size) {
        const group = new TaskGroup();
        for (let i = 0; i < size; i++) group.spawn(({ signal }) => sleep(HOUR_MS, { signal }));
        await Promise.resolve();
        timer.start();
        group.cancel();
        await group.join();
        timer.end();
      },
    }),
    theirs("effect", ({ Effect, Fiber }: EffectModule) => ({
      async check() {
        const from = performance.now();
        await Effect.runPromise(Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(Effect.sleep(HOUR_MS), { startImmediately: true });
          yield* Fiber.interrupt(fiber);
        }));
        assert.ok(performance.now() - from < 1_000);
        return Effect.runFork(Effect.never);
      },
      async run(timer, size) {
        await Effect.runPromise(Effect.gen(function* () {
          const fibers: EffectFiber<void>[] = [];
          for (let i = 0; i < size; i++) {
            fibers.push(yield* Effect.forkChild(Effect.sleep(HOUR_MS), { startImmediately: true }));
          }
          timer.start();
          yield* Fiber.interruptAll(fibers);
          timer.end();
        }));
      },
    })),
    theirs("effection", ({ run, spawn, sleep: nap, suspend }: EffectionModule) => ({
      async check() {
        const task = run(function* () {
          yield* nap(HOUR_MS);
        });
        await task.halt();
        return [run(() => suspend() as unknown as Generator<unknown, void, unknown>)];
      },
      async run(timer, size) {
        let started!: () => void;
        const begun = new Promise<void>((resolve) => started = resolve);
        const parent = run(function* () {
          for (let i = 0; i < size; i++) {
            yield* spawn(function* () {
              yield* nap(HOUR_MS);
            });
          }
          started();
          yield* suspend();
        });
        await begun;
        // The children begin in turns of their own.
        await new Promise((resolve) => setTimeout(resolve));
        timer.start();
        await parent.halt();
        timer.end();
      },
    })),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [joined(10), joined(1_000), joined(100_000), bytes, cancelled];
