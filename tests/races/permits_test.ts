import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import type { Lease } from "../../src/kernel/types.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { world } from "../../src/testing/mod.ts";

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      weight: fc.integer({ min: 1, max: 3 }),
      limit: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("try" as const), weight: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("resize" as const), to: fc.integer({ min: 3, max: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(25) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
);

interface Waiting {
  readonly id: number;
  readonly weight: number;
  readonly until: number;
  readonly controller: AbortController;
}

/** What a semaphore should do: strict first come, first served, and every permit accounted for. */
class Model {
  readonly line: Waiting[] = [];
  readonly holding = new Map<number, number>();
  readonly outcomes: string[] = [];
  capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get inUse(): number {
    return [...this.holding.values()].reduce((sum, weight) => sum + weight, 0);
  }

  fits(weight: number): boolean {
    return this.line.length === 0 && this.inUse + weight <= this.capacity;
  }

  /** Grants from the head as long as it fits. */
  settle(): void {
    while (this.line.length > 0 && this.inUse + this.line[0]!.weight <= this.capacity) {
      const { id, weight } = this.line.shift()!;
      this.holding.set(id, weight);
      this.outcomes[id] = "granted";
    }
  }

  leave(id: number, outcome: string): void {
    this.line.splice(this.line.findIndex((waiting) => waiting.id === id), 1);
    this.outcomes[id] = outcome;
    this.settle();
  }
}

describe("AsyncSemaphore at random", () => {
  test("keeps every permit and every place in the line, whatever happens in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 5 }),
        fc.array(step, { maxLength: 80, size: "max" }),
        (capacity, steps) =>
          world(async (w) => {
            const semaphore = new AsyncSemaphore(capacity);
            const model = new Model(capacity);
            const leases = new Map<number, Lease>();
            const order: number[] = [];
            const waits: Promise<unknown>[] = [];
            const acquired = (id: number, lease: Lease): void => {
              leases.set(id, lease);
              order.push(id);
            };
            for (const step of steps) {
              const id = model.outcomes.length;
              if (step.do === "acquire") {
                const timeoutMs = step.limit === 0 ? Infinity : step.limit * 10;
                const controller = new AbortController();
                const { weight } = step;
                const wait = semaphore.acquire({ weight, timeoutMs, signal: controller.signal })
                  .then((lease) => acquired(id, lease));
                wait.catch(ignore);
                waits.push(wait);
                model.line.push({ id, weight, until: w.now + timeoutMs, controller });
                model.outcomes.push("waiting");
                model.settle();
              } else if (step.do === "try") {
                const lease = semaphore.tryAcquire({ weight: step.weight });
                assert.equal(lease !== undefined, model.fits(step.weight));
                if (lease !== undefined) {
                  leases.set(id, lease);
                  model.holding.set(id, step.weight);
                  model.outcomes.push("tried");
                  waits.push(Promise.resolve());
                }
              } else if (step.do === "release" && leases.size > 0) {
                const [id, lease] = [...leases][step.which % leases.size]!;
                leases.delete(id);
                model.holding.delete(id);
                lease.release();
                lease[Symbol.dispose]();
                model.settle();
              } else if (step.do === "abort" && model.line.length > 0) {
                const { id, controller } = model.line[step.which % model.line.length]!;
                controller.abort();
                model.leave(id, "aborted");
              } else if (step.do === "resize") {
                semaphore.resize(step.to);
                model.capacity = step.to;
                model.settle();
              } else if (step.do === "advance") {
                await w.advance(step.ms);
                const late = model.line.filter(({ until }) => until <= w.now).sort((a, b) =>
                  a.until - b.until
                );
                for (const waiting of late) {
                  // Granted meanwhile by the one before it that gave up?
                  if (model.line.includes(waiting)) model.leave(waiting.id, "timed out");
                }
              } else if (step.do === "turn") await Promise.resolve();
              const { inUse, waiting } = semaphore.statistics();
              assert.deepEqual([inUse, waiting], [model.inUse, model.line.length]);
            }
            // Give everything back, and see that everybody is served and nothing is lost.
            await w.idle();
            for (let round = 0; model.line.length > 0 || leases.size > 0; round++) {
              assert.ok(round < 200);
              for (const [id, lease] of [...leases]) {
                leases.delete(id);
                model.holding.delete(id);
                lease.release();
              }
              model.settle();
              await w.idle();
            }
            const outcomes = (await Promise.allSettled(waits)).map((outcome, id) =>
              outcome.status === "fulfilled"
                ? model.outcomes[id] === "tried" ? "tried" : "granted"
                : outcome.reason instanceof TimeoutError
                ? "timed out"
                : "aborted"
            );
            assert.deepEqual(outcomes, model.outcomes);
            assert.deepEqual(order, order.toSorted((a, b) => a - b), "granted in the order of asking");
            const { inUse, free, granted, aborted, timedOut } = semaphore.statistics();
            assert.deepEqual([inUse, free], [0, model.capacity]);
            const count = (...words: string[]): number =>
              outcomes.filter((word) => words.includes(word)).length;
            assert.deepEqual(
              [granted, aborted, timedOut],
              [count("granted", "tried"), count("aborted"), count("timed out")],
            );
            assert.equal(w.timers.length, 0);
          }, { auto: false }),
      ),
      { seed: 23, numRuns: 150 },
    );
  });
});

describe("AsyncLock at random", () => {
  test("never holds two, loses nobody, and ends free, under random holders that give up at random", async () => {
    const holder = fc.record({
      startMs: fc.nat(20),
      holdMs: fc.nat(10),
      limitMs: fc.constantFrom(0, 5, 20, Infinity),
      abortMs: fc.constantFrom(0, 3, 10, 25, Infinity),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(holder, { minLength: 1, maxLength: 12, size: "max" }),
        (holders) =>
          world(async (w) => {
            const lock = new AsyncLock();
            let inside = 0;
            let held = 0;
            const outcomes = await Promise.allSettled(
              holders.map(async ({ startMs, holdMs, limitMs, abortMs }) => {
                await w.advance(startMs);
                const controller = new AbortController();
                if (abortMs !== Infinity) void w.advance(abortMs).then(() => controller.abort("stop"));
                using lease = await lock.acquire({ signal: controller.signal, timeoutMs: limitMs });
                assert.equal(++inside, 1);
                assert.equal(lease.held, true);
                held++;
                await w.advance(holdMs);
                inside--;
              }),
            );
            for (const outcome of outcomes) {
              if (outcome.status === "fulfilled") continue;
              assert.ok(
                outcome.reason === "stop" || outcome.reason instanceof TimeoutError,
                String(outcome.reason),
              );
            }
            assert.equal(held, outcomes.filter(({ status }) => status === "fulfilled").length);
            const { held: stillHeld, waiting, granted, aborted, timedOut } = lock.statistics();
            assert.deepEqual([stillHeld, waiting, granted], [false, 0, held]);
            assert.equal(aborted + timedOut, holders.length - held);
            await w.advance(100);
          }, { auto: false }),
      ),
      { seed: 29, numRuns: 150 },
    );
  });
});
