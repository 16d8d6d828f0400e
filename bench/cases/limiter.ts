import assert from "node:assert/strict";
import { Limiter } from "../../src/flow/limiter.ts";
import type { Case, Contestant } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TASKS = 20_000;
const LIMIT = 10;
const WAITERS = 50_000;
const items = Array.from({ length: TASKS }, (_, i) => i);

/** Slots and a FIFO queue, nothing else. */
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
  readonly resolve: () => void;
  next: Node | undefined;
}

let running = 0;
let most = 0;

async function work(i: number): Promise<number> {
  if (++running > most) most = running;
  await undefined;
  running--;
  return i;
}

async function handCalls(): Promise<number[]> {
  const hand = new HandSemaphore(LIMIT);
  return await Promise.all(items.map((i) => hand.run(() => work(i))));
}

async function handWorkers(): Promise<number[]> {
  const results = new Array<number>(TASKS);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < TASKS) {
      const i = next++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: LIMIT }, worker));
  return results;
}

async function calls(): Promise<number[]> {
  const limiter = new Limiter({ limit: LIMIT });
  return await Promise.all(items.map((i) => limiter.run(() => work(i))));
}

async function prioritised(): Promise<number[]> {
  const limiter = new Limiter({ limit: LIMIT });
  return await Promise.all(items.map((i) => limiter.run(() => work(i), { priority: i % 7 })));
}

async function byKey(): Promise<number[]> {
  const limiter = new Limiter({ limit: LIMIT });
  return await Promise.all(items.map((i) => limiter.run(() => work(i), { key: i % 100 })));
}

async function mapped(): Promise<number[]> {
  return await new Limiter({ limit: LIMIT }).map(items, work);
}

/** The two ways in turn, each giving all results with no more at once than may be. */
function compared(
  name: string,
  minimum: () => Promise<number[]>,
  ours: () => Promise<number[]>,
  target?: number,
): Case {
  const timed = (way: () => Promise<number[]>): Contestant => async () => sink((await way()).length);
  return {
    name,
    ops: TASKS,
    target,
    async check() {
      for (const way of [minimum, ours]) {
        most = 0;
        assert.deepEqual(await way(), items);
        assert.equal(most, LIMIT);
      }
      return [new Limiter({ limit: LIMIT }), new HandSemaphore(LIMIT)];
    },
    minimum: timed(minimum),
    ours: timed(ours),
  };
}

/** Calls that wait, each with a signal of its own, and are aborted from the last to the first. */
async function abortedFromTail(
  count: number,
  options: { priority?: number },
  start: () => void,
): Promise<number> {
  const limiter = new Limiter({ limit: 1 });
  const lease = limiter.tryAcquire()!;
  const reason = new Error("enough");
  const controllers = Array.from({ length: count }, () => new AbortController());
  let gone = 0;
  const away = (error: unknown): void => void (error === reason && gone++);
  const waiting = controllers.map(({ signal }) =>
    limiter.run(work as never, { signal, ...options }).catch(away)
  );
  start();
  for (let i = count - 1; i >= 0; i--) controllers[i]!.abort(reason);
  await Promise.all(waiting);
  lease.release();
  return gone;
}

/** What the aborting of so many signals costs by itself, each with one listener. */
async function abortedSignals(count: number, start: () => void): Promise<number> {
  const reason = new Error("enough");
  const controllers = Array.from({ length: count }, () => new AbortController());
  const waiting = controllers.map(({ signal }) =>
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }))
  );
  start();
  for (let i = count - 1; i >= 0; i--) controllers[i]!.abort(reason);
  await Promise.all(waiting);
  return count;
}

function aborted(name: string, options: { priority?: number }): Case {
  return {
    name,
    ops: WAITERS,
    target: 2,
    async check() {
      assert.equal(await abortedFromTail(1_000, options, () => {}), 1_000);
    },
    async minimum(timer) {
      sink(await abortedSignals(WAITERS, timer.start));
    },
    async ours(timer) {
      sink(await abortedFromTail(WAITERS, options, timer.start));
    },
  };
}

export const cases: readonly Case[] = [
  compared("limiter: a promise a call (by hand: semaphore)", handCalls, calls, 1.2),
  compared("limiter: map (by hand: workers)", handWorkers, mapped, 3),
  compared("limiter: with priorities (by hand: without)", handCalls, prioritised),
  compared("limiter: 100 keys in turns (by hand: without)", handCalls, byKey),
  aborted("limiter: 50,000 aborted from the tail", {}),
  aborted("limiter: 50,000 of a priority aborted", { priority: 1 }),
];
