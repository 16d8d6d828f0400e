/** Locks, and semaphores used as locks: free, handed over, given up, weighed. */
import assert from "node:assert/strict";
import { AsyncLock } from "../../../src/sync/async_lock.ts";
import { sink } from "../../_measure.ts";
import { HandList, HandLock } from "../../cases/_by_hand.ts";
import type { EffectModule, Fiber } from "../_effect.ts";
import { byHand, type Held, ours, type Row, theirs } from "../_rows.ts";

interface AsyncMutexModule {
  Mutex: new () => { acquire(): Promise<() => void> };
  Semaphore: new (permits: number) => { acquire(): Promise<[number, () => void]> };
}
interface SemaModule {
  Sema: new (permits: number) => { acquire(): Promise<unknown>; release(): void };
}
type Limit = <T>(fn: () => T | PromiseLike<T>) => Promise<T>;
interface LimitModule {
  default: (limit: number) => Limit;
}
interface QueueModule {
  default: new (options: { concurrency: number }) => {
    readonly size: number;
    add<T>(fn: () => T | PromiseLike<T>, options?: { signal?: AbortSignal }): Promise<T>;
  };
}

type Acquire = () => Promise<() => void>;

/** What it returns has one who holds the lock and one who waits. */
async function checkLock(lock: unknown, acquire: Acquire): Promise<unknown> {
  let inside = 0;
  const order: number[] = [];
  await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const release = await acquire();
    assert.equal(++inside, 1, "two are inside at once");
    order.push(i);
    await Promise.resolve();
    inside--;
    release();
  }));
  assert.deepEqual(order, order.toSorted((a, b) => a - b), "it is not first come, first served");
  return [lock, await acquire(), acquire()];
}

/** A lock out of something that runs a function: its release ends the function. */
function holding(run: (fn: () => Promise<void>) => unknown): Acquire {
  return () =>
    new Promise((acquired) => void run(() => new Promise<void>((release) => acquired(() => release()))));
}

async function checkEffect({ Effect, Semaphore, Fiber }: EffectModule): Promise<unknown> {
  const semaphore = Semaphore.makeUnsafe(1);
  const run = (fn: () => Promise<void>) => Effect.runPromise(semaphore.withPermits(1)(Effect.promise(fn)));
  const forked = Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(semaphore.take(1), { startImmediately: true });
    yield* Fiber.joinAll([fiber]);
  });
  return [await checkLock(semaphore, holding(run)), Effect.runFork(forked)];
}

function nothing(): void {}

async function checkOurs(): Promise<unknown> {
  const lock = new AsyncLock();
  // The lease goes with the function that releases it.
  return await checkLock(lock, () => lock.acquire().then((lease) => () => lease.release()));
}

function checkHand(): Promise<unknown> {
  const lock = new HandLock();
  return checkLock(lock, () => lock.acquire().then(() => () => lock.release()));
}

function checkSema({ Sema }: SemaModule): Promise<unknown> {
  const sema = new Sema(1);
  return checkLock(sema, () => sema.acquire().then(() => () => sema.release()));
}

function checkSemaphore({ Semaphore }: Pick<AsyncMutexModule, "Semaphore">): Promise<unknown> {
  const semaphore = new Semaphore(1);
  return checkLock(semaphore, () => semaphore.acquire().then(([, release]) => release));
}

function checkLimit({ default: pLimit }: LimitModule): Promise<unknown> {
  const limit = pLimit(1);
  return checkLock(limit, holding((fn) => limit(fn)));
}

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

const ABORTS = 200;

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

async function checkHandList(): Promise<unknown> {
  const list = new HandList();
  const controllers = Array.from({ length: 10 }, () => new AbortController());
  const settled = Promise.allSettled(controllers.map(({ signal }) => list.wait(signal)));
  for (const controller of controllers) controller.abort("stop");
  assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
  assert.equal([...list].length, 0);
  return [list, list.wait(new AbortController().signal)];
}

async function checkQueueAborts(queue: InstanceType<QueueModule["default"]>): Promise<unknown> {
  let open!: () => void;
  const first = queue.add(() => new Promise<void>((resolve) => open = resolve));
  const controllers = Array.from({ length: 10 }, () => new AbortController());
  const settled = Promise.allSettled(controllers.map(({ signal }) => queue.add(nothing, { signal })));
  for (const controller of controllers) controller.abort(new Error("stop"));
  assert.ok((await settled).every((one) => one.status === "rejected"), "an aborted call was not rejected");
  assert.equal(queue.size, 0, "an aborted call stays queued");
  open();
  await first;
  const { signal } = new AbortController();
  return [queue, queue.add(() => new Promise(nothing)), queue.add(nothing, { signal })];
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
  free,
  handedOver(1_000),
  handedOver(100_000),
  abortedInTheMiddle(1_000),
  abortedInTheMiddle(100_000),
  abortedTogether(1_000),
  abortedTogether(100_000),
  bytes,
];
