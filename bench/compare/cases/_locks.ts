/** What the rows on locks have in common: the members of other libraries that they use, and the checks. */
import assert from "node:assert/strict";
import { AsyncLock } from "../../../src/sync/async_lock.ts";
import { HandList, HandLock } from "../../cases/_by_hand.ts";
import type { EffectModule } from "../_effect.ts";

/** `async-mutex`. */
export interface AsyncMutexModule {
  Mutex: new () => { acquire(): Promise<() => void> };
  Semaphore: new (permits: number) => { acquire(): Promise<[number, () => void]> };
}

/** `async-sema`. */
export interface SemaModule {
  Sema: new (permits: number) => { acquire(): Promise<unknown>; release(): void };
}

/** A function that runs others, so many at a time. */
export type Limit = <T>(fn: () => T | PromiseLike<T>) => Promise<T>;

/** `p-limit`. */
export interface LimitModule {
  default: (limit: number) => Limit;
}

/** `p-queue`. */
export interface QueueModule {
  default: new (options: { concurrency: number }) => {
    readonly size: number;
    add<T>(fn: () => T | PromiseLike<T>, options?: { signal?: AbortSignal }): Promise<T>;
  };
}

/** Waits, and gives what releases. */
export type Acquire = () => Promise<() => void>;

/** What it returns has one who holds the lock and one who waits. */
export async function checkLock(lock: unknown, acquire: Acquire): Promise<unknown> {
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
export function holding(run: (fn: () => Promise<void>) => unknown): Acquire {
  return () =>
    new Promise((acquired) => void run(() => new Promise<void>((release) => acquired(() => release()))));
}

/** The same of effect's semaphore. */
export async function checkEffect({ Effect, Semaphore, Fiber }: EffectModule): Promise<unknown> {
  const semaphore = Semaphore.makeUnsafe(1);
  const run = (fn: () => Promise<void>) => Effect.runPromise(semaphore.withPermits(1)(Effect.promise(fn)));
  const forked = Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(semaphore.take(1), { startImmediately: true });
    yield* Fiber.joinAll([fiber]);
  });
  return [await checkLock(semaphore, holding(run)), Effect.runFork(forked)];
}

/** Does nothing. */
export function nothing(): void {}

/** The same of ours. */
export async function checkOurs(): Promise<unknown> {
  const lock = new AsyncLock();
  // The lease goes with the function that releases it.
  return await checkLock(lock, () => lock.acquire().then((lease) => () => lease.release()));
}

/** The same of the minimum. */
export function checkHand(): Promise<unknown> {
  const lock = new HandLock();
  return checkLock(lock, () => lock.acquire().then(() => () => lock.release()));
}

/** `async-sema`. */
export function checkSema({ Sema }: SemaModule): Promise<unknown> {
  const sema = new Sema(1);
  return checkLock(sema, () => sema.acquire().then(() => () => sema.release()));
}

/** `async-mutex`. */
export function checkSemaphore({ Semaphore }: Pick<AsyncMutexModule, "Semaphore">): Promise<unknown> {
  const semaphore = new Semaphore(1);
  return checkLock(semaphore, () => semaphore.acquire().then(([, release]) => release));
}

/** `p-limit`. */
export function checkLimit({ default: pLimit }: LimitModule): Promise<unknown> {
  const limit = pLimit(1);
  return checkLock(limit, holding((fn) => limit(fn)));
}

/** Those who give up are rejected, and gone. */
export async function checkHandList(): Promise<unknown> {
  const list = new HandList();
  const controllers = Array.from({ length: 10 }, () => new AbortController());
  const settled = Promise.allSettled(controllers.map(({ signal }) => list.wait(signal)));
  for (const controller of controllers) controller.abort("stop");
  assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
  assert.equal([...list].length, 0);
  return [list, list.wait(new AbortController().signal)];
}

/** `p-queue`. */
export async function checkQueueAborts(queue: InstanceType<QueueModule["default"]>): Promise<unknown> {
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
