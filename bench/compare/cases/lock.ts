/** Locks, and semaphores used as locks: free, and handed over. */
import assert from "node:assert/strict";
import { AsyncLock } from "../../../src/sync/async_lock.ts";
import { HandLock } from "../../cases/_by_hand.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";
import {
  type AsyncMutexModule,
  checkEffect,
  checkHand,
  checkLimit,
  checkLock,
  checkOurs,
  checkSema,
  checkSemaphore,
  type LimitModule,
  nothing,
  type SemaModule,
} from "./_locks.ts";

const free: Row = {
  kind: "time",
  name: "lock: free, acquire and release",
  size: 30_000,
  rivals: [
    byHand({
      check: checkHand,
      async run(_, size) {
        const lock = new HandLock();
        for (let i = 0; i < size; i++) {
          await lock.acquire();
          lock.release();
        }
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const lock = new AsyncLock();
        for (let i = 0; i < size; i++) {
          const lease = await lock.acquire();
          lease.release();
        }
      },
    }),
    ours({
      check() {
        const lock = new AsyncLock();
        const lease = lock.tryAcquire();
        assert.equal(lock.tryAcquire(), undefined);
        return [lock, lease];
      },
      run(_, size) {
        const lock = new AsyncLock();
        for (let i = 0; i < size; i++) lock.tryAcquire()!.release();
      },
    }, "tryAcquire"),
    theirs("async-mutex", ({ Mutex }: AsyncMutexModule) => ({
      check() {
        const mutex = new Mutex();
        return checkLock(mutex, () => mutex.acquire());
      },
      async run(_, size) {
        const mutex = new Mutex();
        for (let i = 0; i < size; i++) {
          const release = await mutex.acquire();
          release();
        }
      },
    }), "Mutex"),
    theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => ({
      check: () => checkSemaphore({ Semaphore }),
      async run(_, size) {
        const semaphore = new Semaphore(1);
        for (let i = 0; i < size; i++) {
          const [, release] = await semaphore.acquire();
          release();
        }
      },
    }), "Semaphore"),
    theirs("async-sema", ({ Sema }: SemaModule) => ({
      check: () => checkSema({ Sema }),
      async run(_, size) {
        const sema = new Sema(1);
        for (let i = 0; i < size; i++) {
          await sema.acquire();
          sema.release();
        }
      },
    })),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => ({
      check: () => checkLimit({ default: pLimit }),
      async run(_, size) {
        const limit = pLimit(1);
        for (let i = 0; i < size; i++) await limit(nothing);
      },
    })),
    theirs("effect", (module: EffectModule) => {
      const { Effect, Semaphore } = module;
      return {
        check: () => checkEffect(module),
        async run(_, size) {
          const semaphore = Semaphore.makeUnsafe(1);
          await Effect.runPromise(Effect.gen(function* () {
            for (let i = 0; i < size; i++) {
              yield* semaphore.take(1);
              yield* semaphore.release(1);
            }
          }));
        },
      };
    }),
  ],
};

/** All wait before the first one gets it, and each gives it to the next. */
function handedOver(among: number): Row {
  return {
    kind: "time",
    name: `lock: handed over among ${among.toLocaleString("en")}`,
    size: Math.max(among, 30_000),
    unit: Math.min(among, 1_000),
    rivals: [
      byHand({
        check: checkHand,
        async run(_, size) {
          const each = Math.min(among, size);
          for (let done = 0; done < size; done += each) {
            const lock = new HandLock();
            const use = async (): Promise<void> => {
              await lock.acquire();
              lock.release();
            };
            await lock.acquire();
            const uses: Promise<void>[] = [];
            for (let i = 0; i < each; i++) uses.push(use());
            lock.release();
            await Promise.all(uses);
          }
        },
      }),
      ours({
        check: checkOurs,
        async run(_, size) {
          const each = Math.min(among, size);
          for (let done = 0; done < size; done += each) {
            const lock = new AsyncLock();
            const use = async (): Promise<void> => {
              const lease = await lock.acquire();
              lease.release();
            };
            const first = await lock.acquire();
            const uses: Promise<void>[] = [];
            for (let i = 0; i < each; i++) uses.push(use());
            first.release();
            await Promise.all(uses);
          }
        },
      }),
      theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => ({
        check: () => checkSemaphore({ Semaphore }),
        async run(_, size) {
          const each = Math.min(among, size);
          for (let done = 0; done < size; done += each) {
            const semaphore = new Semaphore(1);
            const use = async (): Promise<void> => {
              const [, release] = await semaphore.acquire();
              release();
            };
            const [, first] = await semaphore.acquire();
            const uses: Promise<void>[] = [];
            for (let i = 0; i < each; i++) uses.push(use());
            first();
            await Promise.all(uses);
          }
        },
      }), "Semaphore"),
      theirs("async-sema", ({ Sema }: SemaModule) => ({
        check: () => checkSema({ Sema }),
        async run(_, size) {
          const each = Math.min(among, size);
          for (let done = 0; done < size; done += each) {
            const sema = new Sema(1);
            const use = async (): Promise<void> => {
              await sema.acquire();
              sema.release();
            };
            await sema.acquire();
            const uses: Promise<void>[] = [];
            for (let i = 0; i < each; i++) uses.push(use());
            sema.release();
            await Promise.all(uses);
          }
        },
      })),
      theirs("p-limit", ({ default: pLimit }: LimitModule) => ({
        check: () => checkLimit({ default: pLimit }),
        async run(_, size) {
          const each = Math.min(among, size);
          for (let done = 0; done < size; done += each) {
            const limit = pLimit(1);
            let open!: () => void;
            const first = limit(() => new Promise<void>((resolve) => open = resolve));
            const uses: Promise<void>[] = [];
            for (let i = 0; i < each; i++) uses.push(limit(nothing));
            await Promise.resolve();
            open();
            await first;
            await Promise.all(uses);
          }
        },
      })),
      theirs("effect", (module: EffectModule) => {
        const { Effect, Semaphore, Fiber } = module;
        return {
          check: () => checkEffect(module),
          async run(_, size) {
            const each = Math.min(among, size);
            for (let done = 0; done < size; done += each) {
              const semaphore = Semaphore.makeUnsafe(1);
              const use = Effect.gen(function* () {
                yield* semaphore.take(1);
                yield* semaphore.release(1);
              });
              await Effect.runPromise(Effect.gen(function* () {
                yield* semaphore.take(1);
                const fibers = [];
                for (let i = 0; i < each; i++) {
                  fibers.push(yield* Effect.forkChild(use, { startImmediately: true }));
                }
                yield* semaphore.release(1);
                yield* Fiber.joinAll(fibers);
              }));
            }
          },
        };
      }),
    ],
  };
}

/** The rows of this file. */
export const rows: readonly Row[] = [
  free,
  handedOver(1_000),
  handedOver(100_000),
];
