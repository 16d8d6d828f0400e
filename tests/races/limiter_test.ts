import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/sleep.ts";
import { deferred, ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import type { Lease } from "../../src/kernel/types.ts";
import { Limiter, type LimiterOptions, QueueFullError } from "../../src/flow/mod.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

const priority = fc.option(fc.integer({ min: -2, max: 2 }), { nil: undefined });
const weight = fc.integer({ min: 1, max: 3 });
const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constantFrom("acquire" as const, "run" as const),
        weight,
        priority,
        limitMs: fc.constantFrom(Infinity, Infinity, 0, 3, 7),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("try" as const), weight }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("move" as const),
        which: fc.nat(),
        to: fc.integer({ min: -2, max: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("resize" as const), to: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("pause" as const, "resume" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(5) }) },
  ),
  { size: "max", minLength: 200, maxLength: 500 },
);
type Step = typeof steps extends fc.Arbitrary<(infer S)[]> ? S : never;

type Outcome = "waits" | "held" | "refused" | "dropped" | "aborted" | "late" | "too heavy";

interface Call {
  readonly id: number;
  readonly kind: "acquire" | "run";
  readonly weight: number;
  readonly sinceMs: number;
  readonly until: number;
  priority: number;
}

/** What a limiter should do, said as plainly as it can be. */
class Model {
  readonly options: Required<Pick<LimiterOptions, "limit" | "maxQueue" | "overflow" | "ageingMs">>;
  limit: number;
  paused = false;
  nowMs = 0;
  readonly line: Call[] = [];
  readonly held = new Map<number, Call>();
  readonly outcomes = new Map<number, Outcome>();

  constructor(options: Model["options"]) {
    this.options = options;
    this.limit = options.limit;
  }

  get inUse(): number {
    return [...this.held.values()].reduce((sum, { weight }) => sum + weight, 0);
  }

  rank({ priority, sinceMs }: Call): number {
    return this.options.ageingMs === Infinity ? -priority : sinceMs - priority * this.options.ageingMs;
  }

  /** Who waits, in the order of turns; those outside of a full line, which blocks, are not in it. */
  ranked(): Call[] {
    const { overflow, maxQueue } = this.options;
    const inside = overflow === "block" ? this.inside(maxQueue) : this.line;
    return inside.toSorted((a, b) =>
      this.rank(a) - this.rank(b) || this.line.indexOf(a) - this.line.indexOf(b)
    );
  }

  /** Kept by itself: who was inside stays so. */
  readonly #inside = new Set<Call>();
  inside(maxQueue: number): Call[] {
    for (const call of this.#inside) if (!this.line.includes(call)) this.#inside.delete(call);
    for (const call of this.line) {
      if (this.#inside.size < Math.max(1, maxQueue)) this.#inside.add(call);
    }
    return this.line.filter((call) => this.#inside.has(call));
  }

  serve(): void {
    for (;;) {
      const [next] = this.ranked();
      if (next === undefined || this.paused || this.inUse + next.weight > this.limit) return;
      this.line.splice(this.line.indexOf(next), 1);
      this.hold(next);
    }
  }

  hold(call: Call): void {
    this.held.set(call.id, call);
    this.outcomes.set(call.id, "held");
  }

  leave(call: Call, outcome: Outcome): void {
    this.line.splice(this.line.indexOf(call), 1);
    this.outcomes.set(call.id, outcome);
  }

  come(call: Call): void {
    if (call.weight > this.limit && this.limit > 0) return void this.outcomes.set(call.id, "too heavy");
    if (call.until === this.nowMs && call.kind === "run") return void this.outcomes.set(call.id, "late");
    if (this.line.length === 0 && !this.paused && this.inUse + call.weight <= this.limit) {
      return this.hold(call);
    }
    const { maxQueue, overflow } = this.options;
    if (this.line.length >= maxQueue && overflow !== "block") {
      const victim = call.until === this.nowMs
        ? undefined // It would not wait, and so takes nobody's place.
        : overflow === "dropOldest"
        ? this.line[0]
        : overflow === "dropLowest"
        ? this.ranked().at(-1)
        : undefined;
      if (victim === undefined || (overflow === "dropLowest" && this.rank(victim) <= this.rank(call))) {
        return void this.outcomes.set(call.id, "refused");
      }
      this.leave(victim, "dropped");
    }
    this.line.push(call);
    this.outcomes.set(call.id, "waits");
    // Its priority may have brought it before one who is too heavy, or one who was is gone.
    this.serve();
  }

  resize(limit: number): void {
    this.limit = limit;
    if (limit > 0) {
      for (const call of [...this.line]) {
        if (call.weight > limit) this.leave(call, "too heavy");
      }
    }
    this.serve();
  }

  advance(ms: number): void {
    const until = this.nowMs + ms;
    for (;;) {
      const due = this.line.filter((call) =>
        call.until <= until
      ).toSorted((a, b) => a.until - b.until || a.id - b.id)[0];
      if (due === undefined) {
        break;
      }
      this.leave(due, "late");
      this.serve();
    }
    this.nowMs = until;
  }
}

/** Plays steps with a limiter and with the model, and compares after each. */
async function play(options: Model["options"], todo: readonly Step[]): Promise<number> {
  let count = 0;
  await world(async (w) => {
    const limiter = new Limiter(options);
    const model = new Model(options);
    const outcomes = new Map<number, Outcome>();
    const controllers = new Map<number, AbortController>();
    const promises = new Map<number, Promise<unknown>>();
    const ends = new Map<number, () => void>();
    const rejected = (id: number) => (error: unknown): void => {
      const before = outcomes.get(id);
      assert.ok(before === "waits" || before === "held", `settled twice: ${id} was ${before}`);
      if (error instanceof QueueFullError) {
        outcomes.set(id, error.message.startsWith("Cannot stay") ? "dropped" : "refused");
      } else if (error instanceof RangeError) outcomes.set(id, "too heavy");
      else if (error instanceof TimeoutError) outcomes.set(id, "late");
      else if (error === id || error === "over") outcomes.set(id, "aborted");
      else throw error;
    };
    const granted = (id: number, end: () => void): void => {
      assert.equal(outcomes.get(id), "waits", `granted after it was over: ${id}`);
      outcomes.set(id, "held");
      ends.set(id, end);
    };
    const pick = <T>(from: readonly T[], which: number): T | undefined =>
      from[which % Math.max(1, from.length)];
    const running = new Set<number>();
    for (const [id, step] of todo.entries()) {
      count++;
      if (step.do === "acquire" || step.do === "run") {
        const controller = new AbortController();
        const { weight, priority, limitMs } = step;
        controllers.set(id, controller);
        outcomes.set(id, "waits");
        const waiting = { signal: controller.signal, weight, priority };
        if (step.do === "acquire") {
          const lease = limiter.acquire({ ...waiting, timeoutMs: limitMs });
          promises.set(id, lease);
          lease.then((lease: Lease) => granted(id, () => lease.release()), rejected(id));
        } else {
          const end = deferred<void>();
          const call = limiter.run(() => {
            granted(id, end.resolve);
            running.add(id);
            return end.promise;
          }, { ...waiting, ...(limitMs === 0 ? { timeoutMs: 0 } : { queueTimeoutMs: limitMs }) });
          promises.set(id, call);
          call.then(ignore, rejected(id));
        }
        model.come({
          id,
          kind: step.do,
          weight,
          sinceMs: model.nowMs,
          until: model.nowMs + limitMs,
          priority: priority ?? 0,
        });
      } else if (step.do === "try") {
        const fits = model.line.length === 0 && !model.paused && model.inUse + step.weight <= model.limit;
        if (step.weight > model.limit && model.limit > 0) {
          assert.throws(() => limiter.tryAcquire({ weight: step.weight }), RangeError);
        } else {
          const lease = limiter.tryAcquire({ weight: step.weight });
          assert.equal(lease !== undefined, fits);
          lease?.release();
        }
      } else if (step.do === "release") {
        const one = pick([...model.held.values()], step.which);
        if (one !== undefined) {
          ends.get(one.id)!();
          model.held.delete(one.id);
          if (running.delete(one.id)) await turns(); // given back when the work has settled, a few turns later
          model.serve();
        }
      } else if (step.do === "abort") {
        const calls = [...model.line, ...model.held.values()].filter(({ id }) => controllers.has(id));
        const one = pick(calls, step.which);
        if (one !== undefined) {
          controllers.get(one.id)!.abort(one.id);
          controllers.delete(one.id);
          if (model.line.includes(one)) {
            model.leave(one, "aborted");
            model.serve();
          } else if (one.kind === "run") model.outcomes.set(one.id, "aborted"); // and it still holds
        }
      } else if (step.do === "move") {
        const calls = [...model.line, ...model.held.values()];
        const one = pick(calls, step.which);
        if (one !== undefined) {
          const { priority } = todo[one.id] as Step & { priority?: number };
          if (priority === undefined) {
            assert.throws(() => limiter.setPriority(promises.get(one.id)!, step.to));
          } else {
            const waits = model.line.includes(one);
            assert.equal(limiter.setPriority(promises.get(one.id)!, step.to), waits);
            if (waits) {
              one.priority = step.to;
              model.serve();
            }
          }
        }
      } else if (step.do === "resize") {
        limiter.resize(step.to);
        model.resize(step.to);
      } else if (step.do === "pause") {
        limiter.pause();
        model.paused = true;
      } else if (step.do === "resume") {
        limiter.resume();
        model.paused = false;
        model.serve();
      } else if (step.do === "advance") {
        await w.advance(step.ms);
        model.advance(step.ms);
      }
      const { inUse, waiting, limit } = limiter.statistics();
      assert.deepEqual(
        [inUse, waiting, limit],
        [model.inUse, model.line.length, model.limit],
        `after ${step.do}`,
      );
      await turns();
      for (const [id, outcome] of model.outcomes) {
        assert.equal(outcomes.get(id), outcome, `call ${id} after step ${step.do} ${count}`);
        if (outcome !== "waits" && outcome !== "held") model.outcomes.delete(id);
      }
    }
    limiter.clear("over");
    const over = [...model.line];
    for (const { id } of over) await assert.rejects(async () => await promises.get(id));
    for (const one of model.held.values()) ends.get(one.id)!();
    await limiter.onIdle();
  }, { auto: false });
  return count;
}

async function turns(): Promise<void> {
  for (let i = 0; i < 8; i++) await undefined;
}

const configurations: readonly [string, Partial<Model["options"]>][] = [
  ["no bound", {}],
  ["ageing", { ageingMs: 4 }],
  ["a bound that refuses", { maxQueue: 3 }],
  ["a bound that drops the oldest", { maxQueue: 3, overflow: "dropOldest" }],
  ["a bound that drops the lowest", { maxQueue: 3, overflow: "dropLowest" }],
  ["a bound that drops the lowest, with ageing", { maxQueue: 4, overflow: "dropLowest", ageingMs: 3 }],
  ["a bound that blocks", { maxQueue: 2, overflow: "block" }],
];

describe("Limiter, against a model", () => {
  let total = 0;
  for (const [name, options] of configurations) {
    test(`does what it should with ${name}: slots are conserved, every call settles once`, async () => {
      const all = {
        limit: 3,
        maxQueue: Infinity,
        overflow: "reject" as const,
        ageingMs: Infinity,
        ...options,
      };
      await fc.assert(
        fc.asyncProperty(steps, async (todo) => {
          total += await play(all, todo);
        }),
        { seed: 20, numRuns: 50, endOnFailure: true },
      );
    });
  }
  test("took 100,000 steps", () => assert.ok(total >= 100_000, `${total}`));
});

describe("Limiter, with keys at random", () => {
  test("slots are conserved, keys are served alike, every call settles once", async () => {
    const call = fc.record({
      key: fc.nat(3),
      weight,
      priority: fc.integer({ min: -1, max: 1 }),
      afterMs: fc.nat(3),
      ms: fc.nat(5),
      abortMs: fc.option(fc.nat(20)),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(call, { size: "max", minLength: 50, maxLength: 300 }), async (calls) => {
        await world(async () => {
          const limiter = new Limiter({ limit: 4 });
          let inUse = 0;
          let settled = 0;
          const waiting = new Map<number, Set<number>>();
          const passed = new Map<number, number>();
          const run = async ({ key, weight, priority, ms, abortMs }: typeof calls[number], id: number) => {
            const controller = new AbortController();
            const timer = abortMs === null ? undefined : sleep(abortMs).then(() => controller.abort());
            const line = waiting.get(key) ?? new Set();
            waiting.set(key, line.add(id));
            if (line.size === 1) passed.set(key, 0);
            try {
              await limiter.run(async () => {
                inUse += weight;
                assert.ok(inUse <= 4, `${inUse}`);
                line.delete(id);
                passed.set(key, 0);
                for (const [other, ids] of waiting) {
                  if (other === key || ids.size === 0) continue;
                  passed.set(other, passed.get(other)! + weight);
                  // In its turn each of 3 others spends what the heaviest costs, and saved less than that before; twice,
                  // when a call has come meanwhile that is heavier than any before it.
                  assert.ok(passed.get(other)! <= 2 * 3 * 5, `key ${other} was passed over`);
                }
                await sleep(ms);
                inUse -= weight;
              }, { key, weight, priority, signal: controller.signal });
            } catch (error) {
              if (!controller.signal.aborted) throw error;
            } finally {
              line.delete(id);
              settled++;
            }
            await timer;
          };
          const all: Promise<void>[] = [];
          for (const [id, one] of calls.entries()) {
            if (one.afterMs > 2) await sleep(1);
            all.push(run(one, id));
          }
          await Promise.all(all);
          await limiter.onIdle();
          assert.equal(settled, calls.length);
          assert.deepEqual([limiter.statistics().inUse, limiter.statistics().waiting], [0, 0]);
        });
      }),
      { seed: 7, numRuns: 60, endOnFailure: true },
    );
  });
});

describe("Limiter, in whatever order and wherever it is aborted", () => {
  const scenarios: readonly [string, LimiterOptions][] = [
    ["plain", { limit: 2 }],
    ["with ageing", { limit: 2, ageingMs: 5 }],
    ["that drops", { limit: 2, maxQueue: 2, overflow: "dropLowest" }],
    ["that blocks", { limit: 2, maxQueue: 1, overflow: "block" }],
    ["that lets go of the late", { limit: 2, releaseOnTimeout: true }],
  ];
  const scene = async (limiter: Limiter, signal?: AbortSignal): Promise<void> => {
    const tolerant = (one: Promise<unknown>) =>
      one.catch((error) => {
        if (!(error instanceof QueueFullError) && !(error instanceof TimeoutError)) throw error;
      });
    const moved = limiter.run(() => sleep(2), { signal, priority: -1 });
    const settled = await Promise.allSettled([
      tolerant(limiter.run(({ signal }) => sleep(3, { signal }), { signal, key: "a", weight: 2 })),
      tolerant(moved),
      tolerant(limiter.run(() => sleep(9), { signal, timeoutMs: 4, priority: 2 })),
      tolerant(limiter.acquire({ signal, key: "b" }).then((lease) => sleep(1).then(() => lease.release()))),
      tolerant(limiter.map([2, 1], (ms) => sleep(ms), { signal, priority: 1 })),
      limiter.onSizeLessThan(2, { signal }),
      limiter.onEmpty({ signal }),
      sleep(1).then(() => limiter.setPriority(moved, 5)),
    ]);
    for (const one of settled) if (one.status === "rejected") throw one.reason;
  };
  const quiet = async (limiter: Limiter): Promise<void> => {
    await limiter.onIdle();
    await sleep(10);
    const { inUse, waiting, abandoned, blocked } = limiter.statistics();
    assert.deepEqual([inUse, waiting, abandoned, blocked], [0, 0, 0, 0]);
  };
  for (const [name, options] of scenarios) {
    test(`${name}: loses no slot, wherever it is aborted`, async () => {
      let limiter!: Limiter;
      const { points } = await sweep(
        (signal) => scene(limiter = new Limiter(options), signal),
        () => quiet(limiter),
      );
      assert.ok(points > 10);
    });
    test(`${name}: ends well in every order`, async () => {
      await explore(async () => {
        const limiter = new Limiter(options);
        await scene(limiter);
        await quiet(limiter);
      }, { runs: 50 });
    });
  }
});
