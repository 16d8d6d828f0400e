/** A limiter and the least code that does the same job. */
import assert from "node:assert/strict";
import { Limiter } from "../../src/flow/mod.ts";

/** Slots, a FIFO queue, nothing else. */
class HandSemaphore {
  #free: number;
  #first: Node | undefined;
  #last: Node | undefined;

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(fn: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#enqueue({ resolve, next: undefined }));
    try {
      return await fn();
    } finally {
      const first = this.#first;
      if (first === undefined) this.#free++;
      else {
        this.#first = first.next;
        if (this.#first === undefined) this.#last = undefined;
        first.resolve();
      }
    }
  }

  #enqueue(node: Node): void {
    if (this.#last === undefined) this.#first = node;
    else this.#last.next = node;
    this.#last = node;
  }
}

interface Node {
  resolve: () => void;
  next: Node | undefined;
}

export const tasks = 10_000;
const limit = 10;
let running = 0;
export let most = 0;
const items = Array.from({ length: tasks }, (_, i) => i);

async function work(i: number): Promise<number> {
  if (++running > most) most = running;
  await undefined;
  running--;
  return i;
}

export async function handCalls(): Promise<number> {
  const hand = new HandSemaphore(limit);
  const results = await Promise.all(items.map((i) => hand.run(() => work(i))));
  return results.length;
}

export async function limiterCalls(): Promise<number> {
  const limiter = new Limiter({ limit });
  const results = await Promise.all(items.map((i) => limiter.run(() => work(i))));
  return results.length;
}

export async function handWorkers(): Promise<number> {
  const results: number[] = new Array(tasks);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < tasks) {
      const i = next++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results.length;
}

export async function limiterMap(): Promise<number> {
  const results = await new Limiter({ limit }).map(items, work);
  return results.length;
}

for (const contestant of [handCalls, limiterCalls, handWorkers, limiterMap]) {
  most = 0;
  assert.equal(await contestant(), tasks);
  assert.equal(most, limit, contestant.name);
}
