/** So many at a time, with a promise for each call. */
import assert from "node:assert/strict";
import { Limiter } from "../../../src/flow/limiter.ts";
import { AsyncSemaphore } from "../../../src/sync/async_semaphore.ts";
import { sink } from "../../_measure.ts";
import { HandSemaphore } from "../../cases/async_semaphore.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, type Row, theirs } from "../_rows.ts";
import { LIMIT, type LimitModule, type SemaModule, watched, type Work, work } from "./_limits.ts";

type Call = (fn: () => Promise<number>) => PromiseLike<number | void>;

/** Ten run at once, no more, and every caller gets its own result. */
async function checkCalls(call: (work: Work, i: number) => PromiseLike<unknown>): Promise<void> {
  const { work, most } = watched();
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => call(work, i)));
  assert.deepEqual(
    results,
    Array.from({ length: 100 }, (_, i) => 2 * i),
    "results are not those of the calls",
  );
  assert.equal(most(), LIMIT, `${most()} run at once`);
}

/** A limiter that runs functions, with one running and one waiting to be kept alive. */
async function checkLimiter(limiter: unknown, call: Call): Promise<unknown> {
  await checkCalls((work, i) => call(() => work(i)));
  const never = (): Promise<number> => new Promise<number>(() => {});
  return [limiter, ...Array.from({ length: LIMIT + 1 }, () => call(never))];
}

class HandLimiter {
  readonly #semaphore = new HandSemaphore(LIMIT);

  async run<T>(fn: () => Promise<T>): Promise<T> {
    await this.#semaphore.acquire();
    try {
      return await fn();
    } finally {
      this.#semaphore.release();
    }
  }
}

interface AsyncMutexModule {
  Semaphore: new (permits: number) => { runExclusive<T>(fn: () => Promise<T>): Promise<T> };
}
interface QueueModule {
  default: new (options: { concurrency: number }) => { add<T>(fn: () => Promise<T>): Promise<T> };
}
interface FastqModule {
  default: {
    promise(worker: Work, concurrency: number): { push(i: number): Promise<number> };
  };
}
interface CockatielModule {
  bulkhead(limit: number, queue: number): { execute<T>(fn: () => Promise<T>): Promise<T> };
}
interface BottleneckModule {
  default: new (options: { maxConcurrent: number }) => { schedule<T>(fn: () => Promise<T>): Promise<T> };
}

const calls: Row = {
  kind: "time",
  name: "limiter: a promise for each of 20,000 calls, 10 at a time",
  size: 20_000,
  rivals: [
    byHand({
      check() {
        const limiter = new HandLimiter();
        return checkLimiter(limiter, (fn) => limiter.run(fn));
      },
      async run(_, size) {
        const limiter = new HandLimiter();
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(limiter.run(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    }, "semaphore"),
    ours({
      check() {
        const limiter = new Limiter({ limit: LIMIT });
        return checkLimiter(limiter, (fn) => limiter.run(fn));
      },
      async run(_, size) {
        const limiter = new Limiter({ limit: LIMIT });
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(limiter.run(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    }),
    ours({
      check() {
        const semaphore = new AsyncSemaphore(LIMIT);
        const call = async <T>(fn: () => Promise<T>): Promise<T> => {
          using _permit = await semaphore.acquire();
          return await fn();
        };
        return checkLimiter(semaphore, call);
      },
      async run(_, size) {
        const semaphore = new AsyncSemaphore(LIMIT);
        const call = async (i: number): Promise<number> => {
          const permit = await semaphore.acquire();
          try {
            return await work(i);
          } finally {
            permit.release();
          }
        };
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(call(i));
        sink((await Promise.all(results)).length);
      },
    }, "AsyncSemaphore"),
    theirs("async-sema", ({ Sema }: SemaModule) => ({
      check() {
        const sema = new Sema(LIMIT);
        return checkLimiter(sema, async (fn) => {
          await sema.acquire();
          try {
            return await fn();
          } finally {
            sema.release();
          }
        });
      },
      async run(_, size) {
        const sema = new Sema(LIMIT);
        const call = async (i: number): Promise<number> => {
          await sema.acquire();
          try {
            return await work(i);
          } finally {
            sema.release();
          }
        };
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(call(i));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("async-mutex", ({ Semaphore }: AsyncMutexModule) => ({
      check() {
        const semaphore = new Semaphore(LIMIT);
        return checkLimiter(semaphore, (fn) => semaphore.runExclusive(fn));
      },
      async run(_, size) {
        const semaphore = new Semaphore(LIMIT);
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(semaphore.runExclusive(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("p-limit", ({ default: pLimit }: LimitModule) => ({
      check() {
        const limit = pLimit(LIMIT);
        return checkLimiter(limit, (fn) => limit(fn));
      },
      async run(_, size) {
        const limit = pLimit(LIMIT);
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(limit(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("p-queue", ({ default: PQueue }: QueueModule) => ({
      check() {
        const queue = new PQueue({ concurrency: LIMIT });
        return checkLimiter(queue, (fn) => queue.add(fn));
      },
      async run(_, size) {
        const queue = new PQueue({ concurrency: LIMIT });
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(queue.add(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("fastq", ({ default: fastq }: FastqModule) => ({
      async check() {
        let using: Work = work;
        const queue = fastq.promise((i) => using(i), LIMIT);
        await checkCalls((work, i) => (using = work, queue.push(i)));
        using = () => new Promise<number>(() => {});
        return [queue, ...Array.from({ length: LIMIT + 1 }, (_, i) => queue.push(i))];
      },
      async run(_, size) {
        const queue = fastq.promise(work, LIMIT);
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(queue.push(i));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("cockatiel", ({ bulkhead }: CockatielModule) => ({
      check() {
        const policy = bulkhead(LIMIT, Infinity);
        return checkLimiter(policy, (fn) => policy.execute(fn));
      },
      async run(_, size) {
        const policy = bulkhead(LIMIT, Infinity);
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(policy.execute(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    }), "bulkhead"),
    theirs("bottleneck", ({ default: Bottleneck }: BottleneckModule) => ({
      waits: true,
      check() {
        const limiter = new Bottleneck({ maxConcurrent: LIMIT });
        return checkLimiter(limiter, (fn) => limiter.schedule(fn));
      },
      async run(_, size) {
        const limiter = new Bottleneck({ maxConcurrent: LIMIT });
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) results.push(limiter.schedule(() => work(i)));
        sink((await Promise.all(results)).length);
      },
    })),
    theirs("effect", ({ Effect, Semaphore }: EffectModule) => ({
      check() {
        const semaphore = Semaphore.makeUnsafe(LIMIT);
        return checkLimiter(
          semaphore,
          (fn) => Effect.runPromise(semaphore.withPermits(1)(Effect.promise(fn))),
        );
      },
      async run(_, size) {
        const semaphore = Semaphore.makeUnsafe(LIMIT);
        const results: Promise<number>[] = [];
        for (let i = 0; i < size; i++) {
          results.push(Effect.runPromise(semaphore.withPermits(1)(Effect.promise(() => work(i)))));
        }
        sink((await Promise.all(results)).length);
      },
    }), "Semaphore"),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [calls];
