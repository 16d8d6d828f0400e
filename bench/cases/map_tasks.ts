import assert from "node:assert/strict";
import { mapTasks } from "../../src/task/map_tasks.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const ITEMS = 50_000;
const items = Array.from({ length: ITEMS }, (_, i) => i);

async function work(item: number): Promise<number> {
  return await item;
}

/** As many workers as may run at once, who take the next item; the results in an array. */
async function handWorkers(concurrency: number): Promise<number[]> {
  const results = new Array<number>(ITEMS);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < ITEMS) {
      const i = next++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return results;
}

/** The same as an iterator: at most so many ahead of what was taken, in order. */
async function* handIterator(concurrency: number): AsyncGenerator<number> {
  const ahead: Promise<number>[] = [];
  let next = 0;
  let taken = 0;
  while (taken < ITEMS) {
    while (next < ITEMS && next < taken + concurrency) ahead[next % concurrency] = work(items[next++]!);
    yield await ahead[taken++ % concurrency]!;
  }
}

function mapped(concurrency: number, order: "input" | "completion"): Case {
  return {
    name: `mapTasks: ${concurrency} at a time, ${order} order (by hand: workers)`,
    ops: ITEMS,
    async check() {
      assert.deepEqual(await handWorkers(concurrency), items);
      const taken: number[] = [];
      for await (const n of mapTasks(items, work, { concurrency, order })) taken.push(n);
      assert.deepEqual(taken, items);
    },
    async minimum() {
      sink((await handWorkers(concurrency)).length);
    },
    async ours() {
      for await (const n of mapTasks(items, work, { concurrency, order })) sink(n);
    },
  };
}

export const cases: readonly Case[] = [
  mapped(10, "input"),
  mapped(10, "completion"),
  {
    name: "mapTasks: 10 at a time (by hand: iterator)",
    ops: ITEMS,
    async check() {
      const taken: number[] = [];
      for await (const n of handIterator(10)) taken.push(n);
      assert.deepEqual(taken, items);
    },
    async minimum() {
      for await (const n of handIterator(10)) sink(n);
    },
    async ours() {
      for await (const n of mapTasks(items, work, { concurrency: 10 })) sink(n);
    },
  },
];
