/** Waiting for a lock, given up. */
import assert from "node:assert/strict";
import { AsyncLock } from "../../../src/sync/async_lock.ts";
import { sink } from "../../_measure.ts";
import { HandList } from "../../cases/_by_hand.ts";
import type { EffectModule, Fiber } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";
import { checkEffect, checkHandList, checkQueueAborts, nothing, type QueueModule } from "./_locks.ts";

const ABORTS = 500;

/** Each waiter has a signal of its own; some in the middle give up, one after the other. */
function abortedInTheMiddle(of: number): Row {
  const middle = (size: number): number => (size - ABORTS) >> 1;
  return {
    kind: "time",
    name: `lock: abort one in the middle of ${of.toLocaleString("en")}`,
    size: of,
    ops: () => ABORTS,
    unit: 1_000,
    rivals: [
      byHand({
        check: checkHandList,
        async run(timer, size) {
          const list = new HandList();
          const controllers: AbortController[] = [];
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) {
            const controller = new AbortController();
            controllers.push(controller);
            waits.push(list.wait(controller.signal).catch(() => sink(1)));
          }
          const from = middle(size);
          timer.start();
          for (let i = from; i < from + ABORTS; i++) controllers[i]!.abort("stop");
          timer.end();
          for (const waiter of list) waiter.resolve();
          await Promise.all(waits);
        },
      }),
      ours({
        async check() {
          const lock = new AsyncLock();
          const held = await lock.acquire();
          const controllers = Array.from({ length: 10 }, () => new AbortController());
          const waits = controllers.map(({ signal }) => lock.acquire({ signal }));
          const settled = Promise.allSettled(waits);
          for (const controller of controllers) controller.abort("stop");
          assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
          assert.equal(lock.statistics().waiting, 0);
          return [lock, held, lock.acquire({ signal: new AbortController().signal })];
        },
        async run(timer, size) {
          const lock = new AsyncLock();
          let lease = await lock.acquire();
          const controllers: AbortController[] = [];
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) {
            const controller = new AbortController();
            controllers.push(controller);
            waits.push(
              lock.acquire({ signal: controller.signal }).then((next) => {
                lease = next;
                lease.release();
              }, () => sink(1)),
            );
          }
          const from = middle(size);
          timer.start();
          for (let i = from; i < from + ABORTS; i++) controllers[i]!.abort("stop");
          timer.end();
          lease.release();
          await Promise.all(waits);
        },
      }),
      theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
        check: () => checkQueueAborts(new PQueue({ concurrency: 1 })),
        async run(timer, size) {
          const queue = new PQueue({ concurrency: 1 });
          let open!: () => void;
          const first = queue.add(() => new Promise<void>((resolve) => open = resolve));
          const controllers: AbortController[] = [];
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) {
            const controller = new AbortController();
            controllers.push(controller);
            waits.push(queue.add(nothing, { signal: controller.signal }).catch(() => sink(1)));
          }
          const from = middle(size);
          timer.start();
          for (let i = from; i < from + ABORTS; i++) controllers[i]!.abort("stop");
          timer.end();
          open();
          await first;
          await Promise.all(waits);
        },
      })),
      theirs("effect", (module: EffectModule) => {
        const { Effect, Semaphore, Fiber } = module;
        return {
          check: () => checkEffect(module),
          async run(timer, size) {
            const semaphore = Semaphore.makeUnsafe(1);
            await Effect.runPromise(Effect.gen(function* () {
              yield* semaphore.take(1);
              const fibers = [];
              for (let i = 0; i < size; i++) {
                fibers.push(yield* Effect.forkChild(semaphore.take(1), { startImmediately: true }));
              }
              const from = middle(size);
              timer.start();
              for (let i = from; i < from + ABORTS; i++) yield* Fiber.interrupt(fibers[i]!);
              timer.end();
              // The rest is interrupted with its parent, last first as that is quicker.
              fibers.length = 0;
            }));
          },
        };
      }),
    ],
  };
}

/** Up to the last one's rejection, without the waiting itself. By hand: one listener for all. */
function abortedTogether(number: number): Row {
  return {
    kind: "time",
    name: `lock: abort ${number.toLocaleString("en")} on one signal`,
    size: number,
    rivals: [
      byHand({
        check: checkHandList,
        async run(timer, size) {
          const controller = new AbortController();
          const list = new HandList();
          controller.signal.addEventListener("abort", () => {
            for (const waiter of list) waiter.reject(controller.signal.reason);
          }, { once: true });
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) waits.push(list.add().promise.catch(() => sink(1)));
          timer.start();
          controller.abort("stop");
          await Promise.all(waits);
          timer.end();
        },
      }),
      ours({
        async check() {
          const lock = new AsyncLock();
          const held = await lock.acquire();
          const controller = new AbortController();
          const { signal } = controller;
          const settled = Promise.allSettled(Array.from({ length: 100 }, () => lock.acquire({ signal })));
          controller.abort("stop");
          assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
          return [lock, held, lock.acquire({ signal: new AbortController().signal })];
        },
        async run(timer, size) {
          const controller = new AbortController();
          const { signal } = controller;
          const lock = new AsyncLock();
          const held = await lock.acquire();
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) waits.push(lock.acquire({ signal }).catch(() => sink(1)));
          timer.start();
          controller.abort("stop");
          await Promise.all(waits);
          timer.end();
          held.release();
        },
      }),
      theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
        check: () => checkQueueAborts(new PQueue({ concurrency: 1 })),
        async run(timer, size) {
          const queue = new PQueue({ concurrency: 1 });
          let open!: () => void;
          const first = queue.add(() => new Promise<void>((resolve) => open = resolve));
          const controller = new AbortController();
          const { signal } = controller;
          const waits: Promise<unknown>[] = [];
          for (let i = 0; i < size; i++) waits.push(queue.add(nothing, { signal }).catch(() => sink(1)));
          timer.start();
          controller.abort("stop");
          await Promise.all(waits);
          timer.end();
          open();
          await first;
        },
      })),
      theirs("effect", (module: EffectModule) => {
        const { Effect, Semaphore, Fiber } = module;
        return {
          check: () => checkEffect(module),
          async run(timer, size) {
            const semaphore = Semaphore.makeUnsafe(1);
            await Effect.runPromise(Effect.gen(function* () {
              yield* semaphore.take(1);
              const fibers: Fiber<number>[] = [];
              for (let i = 0; i < size; i++) {
                fibers.push(yield* Effect.forkChild(semaphore.take(1), { startImmediately: true }));
              }
              timer.start();
              yield* Fiber.interruptAll(fibers);
              timer.end();
            }));
          },
        };
      }),
    ],
  };
}

/** The rows of this file. */
export const rows: readonly Row[] = [
  abortedInTheMiddle(1_000),
  abortedInTheMiddle(100_000),
  abortedTogether(1_000),
  abortedTogether(100_000),
];
