import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import type { Lease } from "../../src/kernel/types.ts";
import { ReadWriteLock, type WriteLease } from "../../src/sync/read_write_lock.ts";
import { world } from "../../src/testing/mod.ts";

const step = fc.oneof(
  {
    weight: 7,
    arbitrary: fc.record({ do: fc.constant("acquire" as const), writes: fc.boolean(), limit: fc.nat(3) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("try" as const), writes: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("downgrade" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(25) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
);

type Prefer = "fifo" | "read" | "write";

interface Waiting {
  readonly id: number;
  readonly writes: boolean;
  readonly until: number;
  readonly controller: AbortController;
}

/** What a read-write lock should do, in the plainest words: one line of all who wait. */
class Model {
  readonly line: Waiting[] = [];
  /** Who is in, and whether to write. */
  readonly inside = new Map<number, boolean>();
  readonly outcomes: string[] = [];
  readonly order: number[] = [];
  readonly #prefer: Prefer;

  constructor(prefer: Prefer) {
    this.#prefer = prefer;
  }

  get writing(): boolean {
    return [...this.inside.values()].includes(true);
  }

  /** Whether somebody who comes now gets in at once. */
  open(writes: boolean): boolean {
    const barred = this.#prefer === "fifo"
      ? this.line.length > 0
      : this.#prefer === "read"
      ? writes && this.line.length > 0
      : this.line.some((waiting) => waiting.writes || !writes);
    return !barred && this.#fits(writes);
  }

  /** Lets in whom it may. */
  settle(): void {
    for (let next = this.#next(); next !== undefined && this.#fits(next.writes); next = this.#next()) {
      this.line.splice(this.line.indexOf(next), 1);
      this.inside.set(next.id, next.writes);
      this.outcomes[next.id] = "granted";
      this.order.push(next.id);
    }
  }

  leave(waiting: Waiting, outcome: string): void {
    this.line.splice(this.line.indexOf(waiting), 1);
    this.outcomes[waiting.id] = outcome;
    this.settle();
  }

  #next(): Waiting | undefined {
    const preferred = this.#prefer === "fifo"
      ? undefined
      : this.line.find(({ writes }) => writes === (this.#prefer === "write"));
    return preferred ?? this.line[0];
  }

  #fits(writes: boolean): boolean {
    return writes ? this.inside.size === 0 : !this.writing;
  }
}

describe("ReadWriteLock at random", () => {
  for (const prefer of ["fifo", "read", "write"] as const) {
    test(`${prefer}: nobody is in with a writer, and everybody comes in by the rule`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), (steps) =>
          world(async (w) => {
            const lock = new ReadWriteLock({ prefer });
            const model = new Model(prefer);
            const leases = new Map<number, Lease>();
            const order: number[] = [];
            const waits: Promise<unknown>[] = [];
            const release = (id: number): void => {
              const lease = leases.get(id)!;
              leases.delete(id);
              model.inside.delete(id);
              lease.release();
              lease[Symbol.dispose]();
              model.settle();
            };
            for (const step of steps) {
              const id = model.outcomes.length;
              if (step.do === "acquire") {
                const timeoutMs = step.limit === 0 ? Infinity : step.limit * 10;
                const controller = new AbortController();
                const options = { timeoutMs, signal: controller.signal };
                const { writes } = step;
                const wait: Promise<void> = (writes ? lock.acquireWrite(options) : lock.acquireRead(options))
                  .then((lease) => {
                    leases.set(id, lease);
                    order.push(id);
                  });
                wait.catch(ignore);
                waits.push(wait);
                const waiting = { id, writes, until: w.now + timeoutMs, controller };
                model.outcomes.push("waiting");
                if (model.open(writes)) {
                  model.inside.set(id, writes);
                  model.outcomes[id] = "granted";
                  model.order.push(id);
                } else model.line.push(waiting);
              } else if (step.do === "try") {
                const lease = step.writes ? lock.tryAcquireWrite() : lock.tryAcquireRead();
                assert.equal(lease !== undefined, model.open(step.writes));
                if (lease !== undefined) {
                  leases.set(id, lease);
                  model.inside.set(id, step.writes);
                  model.outcomes.push("tried");
                  waits.push(Promise.resolve());
                }
              } else if (step.do === "release" && leases.size > 0) {
                release([...leases.keys()][step.which % leases.size]!);
              } else if (step.do === "downgrade") {
                const writer = [...leases].find(([id]) => model.inside.get(id));
                if (writer !== undefined) {
                  const [id, lease] = writer;
                  leases.set(id, (lease as WriteLease).downgrade());
                  lease[Symbol.dispose]();
                  model.inside.set(id, false);
                  model.settle();
                }
              } else if (step.do === "abort" && model.line.length > 0) {
                const waiting = model.line[step.which % model.line.length]!;
                waiting.controller.abort();
                model.leave(waiting, "aborted");
              } else if (step.do === "advance") {
                await w.advance(step.ms);
                const late = model.line.filter(({ until }) => until <= w.now);
                for (const waiting of late.sort((a, b) => a.until - b.until || a.id - b.id)) {
                  // Let in meanwhile by the one before it that gave up?
                  if (model.line.includes(waiting)) model.leave(waiting, "timed out");
                }
              } else if (step.do === "turn") await Promise.resolve();
              const { readers, writing, waitingReaders, waitingWriters } = lock.statistics();
              assert.deepEqual(
                [readers, writing, waitingReaders + waitingWriters],
                [model.writing ? 0 : model.inside.size, model.writing, model.line.length],
              );
              assert.ok(!writing || readers === 0);
            }
            await w.idle();
            for (let round = 0; model.line.length > 0 || leases.size > 0; round++) {
              assert.ok(round < 200);
              for (const id of [...leases.keys()]) release(id);
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
            assert.deepEqual(order, model.order);
            const { aborted, timedOut } = lock.statistics();
            const count = (word: string): number => outcomes.filter((outcome) => outcome === word).length;
            assert.deepEqual([aborted, timedOut], [count("aborted"), count("timed out")]);
            lock.tryAcquireWrite()!.release();
            assert.equal(w.timers.length, 0);
          }, { auto: false })),
        { seed: 31, numRuns: 100 },
      );
    });
  }
});
