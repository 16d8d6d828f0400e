/** What waiting for a lock takes. */
import { AsyncLock } from "../../../src/sync/async_lock.ts";
import { HandLock } from "../../cases/_by_hand.ts";
import type { EffectModule, Fiber } from "../_effect.ts";
import { byHand, type Held, ours, type Row, theirs } from "../_rows.ts";
import {
  type AsyncMutexModule,
  type LimitModule,
  nothing,
  type QueueModule,
  type SemaModule,
} from "./_locks.ts";

/** What waits is dropped afterwards, and collected. */
const bytes: Row = {
  kind: "bytes",
  name: "lock: bytes per waiter",
  size: 20_000,
  rivals: [
    byHand({
      async hold(size) {
        const lock = new HandLock();
        await lock.acquire();
        const waits: Promise<void>[] = [];
        for (let i = 0; i < size; i++) waits.push(lock.acquire());
        return { kept: [lock, waits] };
      },
    }),
    ours({ hold: (size) => holdOurs(size, () => undefined) }),
    ours({
      hold(size) {
        const { signal } = new AbortController();
        return holdOurs(size, () => signal);
      },
    }, "one signal"),
    ours({ hold: (size) => holdOurs(size, () => new AbortController().signal) }, "a signal each"),
    theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => ({
      async hold(size) {
        const semaphore = new Semaphore(1);
        await semaphore.acquire();
        const waits: Promise<unknown>[] = [];
        for (let i = 0; i < size; i++) waits.push(semaphore.acquire());
        return { kept: [semaphore, waits] };
      },
    }), "Semaphore"),
    theirs("async-mutex", ({ Mutex }: AsyncMutexModule) => ({
      async hold(size) {
        const mutex = new Mutex();
        await mutex.acquire();
        const waits: Promise<unknown>[] = [];
        for (let i = 0; i < size; i++) waits.push(mutex.acquire());
        return { kept: [mutex, waits] };
      },
    }), "Mutex"),
    theirs("async-sema", ({ Sema }: SemaModule) => ({
      async hold(size) {
        const sema = new Sema(1);
        await sema.acquire();
        const waits: Promise<unknown>[] = [];
        for (let i = 0; i < size; i++) waits.push(sema.acquire());
        return { kept: [sema, waits] };
      },
    })),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => ({
      hold(size) {
        const limit = pLimit(1);
        const waits: Promise<void>[] = [limit(() => new Promise<void>(nothing))];
        for (let i = 0; i < size; i++) waits.push(limit(nothing));
        return { kept: [limit, waits] };
      },
    })),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
      hold(size) {
        const queue = new PQueue({ concurrency: 1 });
        const waits = [queue.add(() => new Promise<void>(nothing))];
        for (let i = 0; i < size; i++) waits.push(queue.add(nothing));
        return { kept: [queue, waits] };
      },
    })),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
      hold(size) {
        const queue = new PQueue({ concurrency: 1 });
        const waits = [queue.add(() => new Promise<void>(nothing))];
        for (let i = 0; i < size; i++) {
          waits.push(queue.add(nothing, { signal: new AbortController().signal }));
        }
        return { kept: [queue, waits] };
      },
    }), "a signal each"),
    theirs("effect", ({ Effect, Semaphore }: EffectModule) => ({
      async hold(size) {
        const semaphore = Semaphore.makeUnsafe(1);
        await Effect.runPromise(semaphore.take(1));
        const fibers: Fiber<number>[] = [];
        const wait = semaphore.take(1);
        for (let i = 0; i < size; i++) fibers.push(Effect.runFork(wait));
        return { kept: [semaphore, fibers] };
      },
    })),
  ],
};

async function holdOurs(size: number, signal: () => AbortSignal | undefined): Promise<Held> {
  const lock = new AsyncLock();
  await lock.acquire();
  const waits: Promise<unknown>[] = [];
  for (let i = 0; i < size; i++) waits.push(lock.acquire({ signal: signal() }));
  return { kept: [lock, waits] };
}

/** The rows of this file. */
export const rows: readonly Row[] = [
  bytes,
];
