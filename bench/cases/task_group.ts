import assert from "node:assert/strict";
import { sleep } from "../../src/cancel/sleep.ts";
import { TaskGroup } from "../../src/task/task_group.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TASKS = 100_000;

/** Runs tasks, waits for them, cancels them together at the first failure; a promise is the handle. */
export class HandNursery {
  readonly #controller = new AbortController();
  #pending = 0;
  #failure: { readonly error: unknown } | undefined;
  #settle: (() => void) | undefined;

  spawn<T>(fn: (context: { signal: AbortSignal }) => Promise<T>): Promise<T> {
    this.#pending++;
    const task = Promise.resolve({ signal: this.#controller.signal }).then(fn);
    task.then(() => this.#end(), (error) => {
      this.#failure ??= { error };
      this.#controller.abort(error);
      this.#end();
    });
    return task;
  }

  #end(): void {
    if (--this.#pending === 0) this.#settle?.();
  }

  async join(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#settle = resolve);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

async function work(): Promise<number> {
  return await 1;
}

async function check(): Promise<void> {
  const nursery = new HandNursery();
  let ended = 0;
  for (let i = 0; i < 10; i++) nursery.spawn(() => sleep(1).then(() => ended++));
  await nursery.join();
  assert.equal(ended, 10);
  const error = new Error("one");
  for (const group of [new HandNursery(), new TaskGroup()]) {
    const stopped: unknown[] = [];
    group.spawn(({ signal }) => sleep(60_000, { signal }).catch((reason) => stopped.push(reason)));
    const failing = group.spawn(() => sleep(1).then(() => Promise.reject(error)));
    await assert.rejects(async () => await failing, error);
    await assert.rejects(group.join(), error);
    assert.equal(stopped.length, 1);
  }
  assert.equal(
    await TaskGroup.run(async (group) => {
      const tasks = Array.from({ length: 10 }, () => group.spawn(work));
      return (await Promise.all(tasks)).reduce((sum, n) => sum + n, 0);
    }),
    10,
  );
}

async function ours(tasks: number): Promise<void> {
  for (let done = 0; done < TASKS; done += tasks) {
    const group = new TaskGroup();
    for (let i = 0; i < tasks; i++) group.spawn(work);
    await group.join();
  }
}

function besidePromiseAll(tasks: number): Case {
  return {
    name: `group: spawn + join ${tasks.toLocaleString("en")} (by hand: Promise.all)`,
    ops: TASKS,
    target: 5,
    check,
    async minimum() {
      for (let done = 0; done < TASKS; done += tasks) {
        const all: Promise<number>[] = [];
        for (let i = 0; i < tasks; i++) all.push(work());
        await Promise.all(all);
      }
    },
    ours: () => ours(tasks),
  };
}

function besideNursery(tasks: number): Case {
  return {
    name: `group: spawn + join ${tasks.toLocaleString("en")} (by hand: nursery)`,
    ops: TASKS,
    target: 3.5,
    check,
    async minimum() {
      for (let done = 0; done < TASKS; done += tasks) {
        const nursery = new HandNursery();
        for (let i = 0; i < tasks; i++) void nursery.spawn(work);
        await nursery.join();
      }
    },
    ours: () => ours(tasks),
  };
}

/** By hand: one reason for all, and a list of what to reject. */
const cancelled: Case = {
  name: `group: cancel ${TASKS.toLocaleString("en")} sleepers`,
  ops: TASKS,
  target: 2,
  async check() {
    const group = new TaskGroup();
    const tasks = Array.from({ length: 100 }, () => group.spawn(({ signal }) => sleep(60_000, { signal })));
    await Promise.resolve();
    group.cancel("stop");
    await group.join();
    assert.ok(tasks.every(({ state }) => state === "cancelled"));
    await check();
  },
  async minimum(timer) {
    const sleepers: { timer: ReturnType<typeof setTimeout>; reject: (reason: unknown) => void }[] = [];
    const naps: Promise<unknown>[] = [];
    for (let i = 0; i < TASKS; i++) {
      const nap = new Promise<void>((resolve, reject) => {
        sleepers.push({ timer: setTimeout(resolve, 60_000), reject });
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
  async ours(timer) {
    const group = new TaskGroup();
    for (let i = 0; i < TASKS; i++) group.spawn(({ signal }) => sleep(60_000, { signal }));
    await Promise.resolve();
    timer.start();
    group.cancel();
    await group.join();
    timer.end();
  },
};

export const cases: readonly Case[] = [
  ...[10, 1_000, TASKS].flatMap((tasks) => [besidePromiseAll(tasks), besideNursery(tasks)]),
  cancelled,
];
