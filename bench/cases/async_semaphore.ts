import assert from "node:assert/strict";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import type { Case } from "../_measure.ts";

const TIMES = 50_000;

/** A counting semaphore without leases, weights, signals or limits. */
export class HandSemaphore {
  #free: number;
  #first: Node | undefined;
  #last: Node | undefined;

  constructor(permits: number) {
    this.#free = permits;
  }

  acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return READY;
    }
    return new Promise<void>((resolve) => {
      const node = { resolve, next: undefined };
      if (this.#last === undefined) this.#first = node;
      else this.#last.next = node;
      this.#last = node;
    });
  }

  release(): void {
    const first = this.#first;
    if (first === undefined) {
      this.#free++;
      return;
    }
    this.#first = first.next;
    if (this.#first === undefined) this.#last = undefined;
    first.resolve();
  }
}

interface Node {
  next: Node | undefined;
  resolve(): void;
}

const READY = Promise.resolve();

async function check(): Promise<unknown> {
  const hand = new HandSemaphore(3);
  const ours = new AsyncSemaphore(3);
  const ways = [
    () => hand.acquire().then(() => () => hand.release()),
    () => ours.acquire().then((lease) => () => lease.release()),
  ];
  for (const acquire of ways) {
    let [inside, most] = [0, 0];
    await Promise.all(Array.from({ length: 50 }, async () => {
      const release = await acquire();
      most = Math.max(most, ++inside);
      await Promise.resolve();
      inside--;
      release();
    }));
    assert.equal(most, 3);
  }
  const leases = [await ours.acquire(), await ours.acquire(), await ours.acquire()];
  for (let i = 0; i < 3; i++) await hand.acquire();
  return [hand, ours, leases, hand.acquire(), ours.acquire()];
}

export const cases: readonly Case[] = [
  {
    name: "semaphore: free, acquire and release",
    ops: TIMES,
    target: 2,
    check,
    async minimum() {
      const semaphore = new HandSemaphore(4);
      for (let i = 0; i < TIMES; i++) {
        await semaphore.acquire();
        semaphore.release();
      }
    },
    async ours() {
      const semaphore = new AsyncSemaphore(4);
      for (let i = 0; i < TIMES; i++) {
        const lease = await semaphore.acquire();
        lease.release();
      }
    },
  },
  {
    name: "semaphore: 1,000 callers on 10 permits",
    ops: TIMES,
    target: 1.5,
    check,
    async minimum() {
      const semaphore = new HandSemaphore(10);
      const caller = async (): Promise<void> => {
        for (let i = 0; i < TIMES / 1_000; i++) {
          await semaphore.acquire();
          semaphore.release();
        }
      };
      await Promise.all(Array.from({ length: 1_000 }, caller));
    },
    async ours() {
      const semaphore = new AsyncSemaphore(10);
      const caller = async (): Promise<void> => {
        for (let i = 0; i < TIMES / 1_000; i++) {
          const lease = await semaphore.acquire();
          lease.release();
        }
      };
      await Promise.all(Array.from({ length: 1_000 }, caller));
    },
  },
];
