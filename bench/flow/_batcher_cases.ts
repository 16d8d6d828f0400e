/** Batches of 100 loads: the least code that does it, with a promise for each load, and the batcher. */
import assert from "node:assert/strict";
import { AsyncBatcher } from "../../src/flow/mod.ts";

const size = 100;
export const batches = 100;
let served = 0;

async function serve(ids: readonly number[]): Promise<number[]> {
  served++;
  await undefined;
  return ids.map((id) => 2 * id);
}

class HandBatcher {
  #open: { id: number; resolve: (value: number) => void; reject: (error: unknown) => void }[] = [];

  load(id: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#open.push({ id, resolve, reject }) === 1) queueMicrotask(() => this.#dispatch());
    });
  }

  async #dispatch(): Promise<void> {
    const batch = this.#open;
    this.#open = [];
    try {
      const results = await serve(batch.map(({ id }) => id));
      if (results.length !== batch.length) throw new Error("Cannot hand out");
      batch.forEach(({ resolve }, i) => resolve(results[i]!));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

const hand = new HandBatcher();
const batcher = new AsyncBatcher(serve, { maxSize: size });

export async function handLoads(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < batches; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < size; i++) loads.push(hand.load(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

export async function batcherLoads(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < batches; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < size; i++) loads.push(batcher.add(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

for (const contestant of [handLoads, batcherLoads]) {
  served = 0;
  assert.equal(await contestant(), batches * size * (size - 1), contestant.name);
  assert.equal(served, batches);
}
