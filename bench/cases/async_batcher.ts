/** Batches of loads: the least code that does it, with a promise for each load, and the batcher. */
import assert from "node:assert/strict";
import { AsyncBatcher } from "../../src/flow/async_batcher.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const SIZE = 100;
const BATCHES = 200;
const WAITERS = 50_000;

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
const batcher = new AsyncBatcher(serve, { maxSize: SIZE });
const distinct = new AsyncBatcher(serve, { maxSize: SIZE, dedupe: true });
const timed = new AsyncBatcher(serve, { maxSize: SIZE, maxWaitMs: 1_000 });

// A loop for each, as one that is shared is compiled for none.
async function byHand(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < BATCHES; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < SIZE; i++) loads.push(hand.load(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

async function plain(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < BATCHES; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < SIZE; i++) loads.push(batcher.add(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

async function withWindow(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < BATCHES; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < SIZE; i++) loads.push(timed.add(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

async function deduped(): Promise<number> {
  let sum = 0;
  for (let b = 0; b < BATCHES; b++) {
    const loads: Promise<number>[] = [];
    for (let i = 0; i < SIZE; i++) loads.push(distinct.add(i));
    for (const value of await Promise.all(loads)) sum += value;
  }
  return sum;
}

/** Calls that wait and one that is being served: what programs always have some of. */
function kept(): unknown {
  const { signal } = new AbortController();
  let end!: (results: number[]) => void;
  const busy = new AsyncBatcher((_: readonly number[]) =>
    new Promise<number[]>((resolve) => void (end = resolve))
  );
  const waiting = new AsyncBatcher(serve, { maxWaitMs: Infinity, dedupe: true });
  const calls = [busy.add(1), waiting.add(1), waiting.add(1), waiting.add(2, { signal })];
  return [signal, busy, waiting, calls, () => end];
}

function compared(name: string, ours: () => Promise<number>, target?: number): Case {
  return {
    name,
    ops: BATCHES * SIZE,
    target,
    async check() {
      for (const contestant of [byHand, ours]) {
        served = 0;
        assert.equal(await contestant(), BATCHES * SIZE * (SIZE - 1));
        assert.equal(served, BATCHES);
      }
      return [hand, batcher, distinct, timed, kept()];
    },
    minimum: async () => sink(await byHand()),
    ours: async () => sink(await ours()),
  };
}

/** Calls that wait, each with a signal of its own, and are aborted from the last to the first. */
async function abortedFromTail(count: number, start: () => void): Promise<number> {
  const waiting = new AsyncBatcher(serve, { maxWaitMs: Infinity, maxSize: Infinity });
  const reason = new Error("enough");
  const controllers = Array.from({ length: count }, () => new AbortController());
  let gone = 0;
  const away = (error: unknown): void => void (error === reason && gone++);
  const calls = controllers.map(({ signal }, i) => waiting.add(i, { signal }).catch(away));
  start();
  for (let i = count - 1; i >= 0; i--) controllers[i]!.abort(reason);
  await Promise.all(calls);
  return gone;
}

/** What the aborting of so many signals costs by itself, each with one listener. */
async function abortedSignals(count: number, start: () => void): Promise<number> {
  const reason = new Error("enough");
  const controllers = Array.from({ length: count }, () => new AbortController());
  const calls = controllers.map(({ signal }) =>
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }))
  );
  start();
  for (let i = count - 1; i >= 0; i--) controllers[i]!.abort(reason);
  await Promise.all(calls);
  return count;
}

export const cases: readonly Case[] = [
  compared("batcher: 100 loads a batch", plain, 1.1),
  compared("batcher: 100 loads, with a window", withWindow),
  compared("batcher: 100 loads, deduped", deduped),
  {
    name: "batcher: 50,000 aborted from the tail",
    ops: WAITERS,
    target: 2,
    async check() {
      assert.equal(await abortedFromTail(1_000, () => {}), 1_000);
      return kept();
    },
    async minimum(timer) {
      sink(await abortedSignals(WAITERS, timer.start));
    },
    async ours(timer) {
      sink(await abortedFromTail(WAITERS, timer.start));
    },
  },
];
