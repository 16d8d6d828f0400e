import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  RateLimiter,
  type RateLimiterAlgorithm,
  type RateLimiterReservation,
  RateLimitError,
  TimeoutError,
} from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

const BURST = 5;
const LIMIT = 10;
const INTERVAL = 1_000;
const KEYS = ["a", "b"] as const;

const key = fc.constantFrom(...KEYS);
const weight = fc.integer({ min: 1, max: BURST });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      key,
      weight,
      maxWaitMs: fc.constantFrom(Infinity, Infinity, 0, 100, 370, 900),
      run: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("try" as const), key, weight }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("reserve" as const), key, weight }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 400 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("pause" as const), key: fc.option(key), ms: fc.nat(700) }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Something that was let through: from when on it counts, and how much. */
interface Grant {
  readonly atMs: number;
  readonly weight: number;
  cancelled: boolean;
}

interface Caller {
  readonly id: number;
  readonly key: string;
  readonly askedMs: number;
  readonly maxWaitMs: number;
  readonly controller: AbortController;
  settled: boolean;
}

/** In any stretch at most the burst, and what comes in during it. */
function assertWithinRule(grants: readonly Grant[], burst: number): void {
  const counted = grants.filter(({ cancelled }) => !cancelled).sort((a, b) => a.atMs - b.atMs);
  // The stretch from any grant to any later one, in one pass: what it exceeds the rate by is what a bucket would lack.
  let lacking = 0;
  let atMs = 0;
  for (const grant of counted) {
    lacking = Math.max(0, lacking - (grant.atMs - atMs) * LIMIT / INTERVAL) + grant.weight;
    atMs = grant.atMs;
    assert.ok(lacking <= burst + 1e-6, `${lacking - burst} too much at ${atMs} ms`);
  }
}

async function play(steps: readonly Step[], parentBurst: number | undefined): Promise<void> {
  await world(async (w) => {
    const parent = parentBurst === undefined
      ? undefined
      : new RateLimiter({ limit: LIMIT, intervalMs: INTERVAL, burst: parentBurst });
    const limiter = new RateLimiter({ limit: LIMIT, intervalMs: INTERVAL, burst: BURST, parent });
    const grants: Record<string, Grant[]> = { a: [], b: [] };
    const served: Record<string, number[]> = { a: [], b: [] };
    const callers: Caller[] = [];
    const reservations: { held: RateLimiterReservation; grant: Grant }[] = [];
    const waits: Promise<unknown>[] = [];
    const failures: unknown[] = [];
    let aborted = 0;
    const grant = (key: string, atMs: number, weight: number): Grant => {
      const one = { atMs, weight, cancelled: false };
      grants[key]!.push(one);
      return one;
    };
    for (const step of steps) {
      if (step.do === "acquire") {
        const { key, weight, maxWaitMs } = step;
        const caller: Caller = {
          id: callers.length,
          key,
          askedMs: w.now,
          maxWaitMs,
          controller: new AbortController(),
          settled: false,
        };
        callers.push(caller);
        const options = { key, weight, maxWaitMs, signal: caller.controller.signal };
        const foreseen = limiter.waitMs({ key, weight });
        const letIn = (): void => {
          served[key]!.push(caller.id);
          grant(key, w.now, weight);
          assert.ok(w.now - caller.askedMs <= maxWaitMs + 1e-6, "served within maxWaitMs");
        };
        const wait = step.run ? limiter.run(letIn, options) : limiter.acquire(options).then(letIn);
        const refused = (error: unknown): void => {
          if (error === "stop") return void aborted++;
          if (parent !== undefined && error instanceof TimeoutError) return;
          if (!(error instanceof RateLimitError)) throw error;
          if (error.message.includes("any more")) return; // Of those who wait: there was a pause.
          assert.equal(w.now, caller.askedMs, "refused at once");
          assert.ok(error.retryAfterMs > maxWaitMs, "refused without need");
          if (parent === undefined) assert.ok(Math.abs(error.retryAfterMs - foreseen) < 1e-6);
        };
        const failed = (error: unknown): void => void failures.push(error);
        waits.push(wait.catch(refused).catch(failed).finally(() => caller.settled = true));
      } else if (step.do === "try") {
        if (limiter.tryAcquire(step)) grant(step.key, w.now, step.weight);
      } else if (step.do === "abort") {
        const waiting = callers.filter(({ settled }) => !settled);
        waiting[step.which % waiting.length]?.controller.abort("stop");
      } else if (step.do === "reserve" && parent === undefined) {
        const held = limiter.reserve(step);
        reservations.push({ held, grant: grant(step.key, w.now + held.waitMs, step.weight) });
      } else if (step.do === "cancel" && reservations.length > 0) {
        const { held, grant } = reservations[step.which % reservations.length]!;
        held.cancel();
        grant.cancelled = true;
      } else if (step.do === "advance") await w.advance(step.ms);
      else if (step.do === "turn") await Promise.resolve();
      else if (step.do === "pause") {
        limiter.pauseFor(step.ms, { key: step.key ?? undefined });
      }
    }
    await w.advance(3_600_000);
    await Promise.all(waits);
    for (const failure of failures) throw failure;
    assert.ok(callers.every(({ settled }) => settled));
    for (const key of KEYS) {
      assertWithinRule(grants[key]!, BURST);
      assert.deepEqual(served[key], served[key]!.toSorted((a, b) => a - b), "in the order of asking");
      assert.equal(limiter.available({ key }), BURST);
    }
    if (parent !== undefined) {
      assertWithinRule([...grants.a!, ...grants.b!], parentBurst!);
      assert.equal(parent.statistics().waiting, 0);
    }
    const statistics = limiter.statistics();
    assert.equal(statistics.waiting, 0);
    assert.equal(statistics.aborted, aborted);
    assert.equal(w.timers.length, 0);
  }, { auto: false });
}

describe("RateLimiter at random", () => {
  test("lets through at most the burst and what comes in, in any stretch, whatever happens", async () => {
    let steps = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 700, size: "max" }), async (list) => {
        steps += list.length;
        await play(list, undefined);
      }),
      { seed: 11, numRuns: 250 },
    );
    assert.ok(steps >= 70_000, `${steps} steps`);
  });

  test("and so with a parent, for both of them", async () => {
    let steps = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 500, size: "max" }),
        fc.integer({ min: BURST, max: BURST + 2 }),
        async (list, burst) => {
          steps += list.length;
          await play(list, burst);
        },
      ),
      { seed: 12, numRuns: 150 },
    );
    assert.ok(steps >= 30_000, `${steps} steps`);
  });

  test("serves nobody later than need be: what was foreseen comes true when nobody interferes", async () => {
    const call = fc.record({ atMs: fc.nat(300), weight });
    await fc.assert(
      fc.asyncProperty(
        fc.array(call, { maxLength: 60, size: "max" }),
        fc.constantFrom<RateLimiterAlgorithm>("gcra", "slidingLog", "slidingCounter", "fixedWindow"),
        (calls, algorithm) =>
          world(async (w) => {
            const limiter = new RateLimiter({ limit: BURST, intervalMs: 100, algorithm });
            const waits: Promise<void>[] = [];
            for (const { atMs, weight } of calls.toSorted((a, b) => a.atMs - b.atMs)) {
              await w.advance(Math.max(0, atMs - w.now));
              const due = w.now + limiter.waitMs({ weight });
              waits.push(
                limiter.acquire({ weight }).then(() => {
                  assert.ok(Math.abs(w.now - due) < 1e-6, `due at ${due}, served at ${w.now}`);
                }),
              );
            }
            await w.advance(100_000);
            await Promise.all(waits);
          }, { auto: false }),
      ),
      { seed: 13, numRuns: 200 },
    );
  });

  test("counts as each algorithm says, over any stretch of an interval", async () => {
    const move = fc.record({ advanceMs: fc.nat(60), weight });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 200, size: "max" }), (moves) =>
        world(async (w) => {
          const rule = { limit: BURST, intervalMs: 100 };
          const log = new RateLimiter({ ...rule, algorithm: "slidingLog" });
          const fixed = new RateLimiter({ ...rule, algorithm: "fixedWindow" });
          const [logged, counted]: [Grant[], Grant[]] = [[], []];
          const sum = (grants: Grant[], from: number, until: number) =>
            grants.reduce((sum, { atMs, weight }) => atMs > from && atMs <= until ? sum + weight : sum, 0);
          for (const { advanceMs, weight } of moves) {
            await w.advance(advanceMs);
            const now = w.now;
            const fits = sum(logged, now - 100, now) + weight <= BURST;
            assert.equal(log.tryAcquire({ weight }), fits);
            if (fits) logged.push({ atMs: now, weight, cancelled: false });
            const start = Math.floor(now / 100) * 100;
            const room = sum(counted, start - 0.001, start + 99.999) + weight <= BURST;
            assert.equal(fixed.tryAcquire({ weight }), room);
            if (room) counted.push({ atMs: now, weight, cancelled: false });
          }
        }, { auto: false })),
      { seed: 14, numRuns: 100 },
    );
  });

  test("foresees the same with a parent whether or not it has looked ahead before", async () => {
    const move = fc.record({
      what: fc.constantFrom("acquire" as const, "acquire" as const, "abort" as const, "advance" as const),
      key,
      weight,
      which: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(move, { maxLength: 150, size: "max" }),
        fc.constantFrom<RateLimiterAlgorithm>("slidingLog", "slidingCounter", "fixedWindow"),
        (moves, algorithm) =>
          world(async (w) => {
            const top = new RateLimiter({ limit: BURST, intervalMs: 150, algorithm });
            const parent = new RateLimiter({ limit: BURST, intervalMs: 100, algorithm, parent: top });
            const limiter = new RateLimiter({ limit: BURST, intervalMs: 20, parent });
            const controllers: AbortController[] = [];
            for (const { what, key, weight, which } of moves) {
              if (what === "advance") await w.advance(which % 50);
              else if (what === "abort") controllers[which % controllers.length]?.abort();
              else {
                const controller = new AbortController();
                controllers.push(controller);
                limiter.acquire({ key, weight, signal: controller.signal }).catch(() => {});
              }
              const seen = limiter.waitMs({ key, weight });
              // Whatever has been looked at is forgotten by that.
              for (const one of [top, parent]) one.resume();
              assert.equal(limiter.waitMs({ key, weight }), seen);
            }
            limiter.close();
          }, { auto: false }),
      ),
      { seed: 17, numRuns: 150 },
    );
  });

  test("a sliding log counts all that was not given back, to the moment, and foresees when more can be had", async () => {
    const move = fc.record({
      advanceMs: fc.nat(20),
      weight,
      reserve: fc.boolean(),
      cancel: fc.option(fc.nat()),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 200, size: "max" }), (moves) =>
        world(async (w) => {
          const limiter = new RateLimiter({ limit: 20, intervalMs: 100, algorithm: "slidingLog" });
          let grants: Grant[] = [];
          const held: { reservation: RateLimiterReservation; grant: Grant }[] = [];
          const used = (now: number) =>
            grants.reduce((sum, { atMs, weight }) => atMs > now - 100 && atMs <= now ? sum + weight : sum, 0);
          for (const { advanceMs, weight, reserve, cancel } of moves) {
            await w.advance(advanceMs);
            const now = w.now;
            const grant: Grant = { atMs: now, weight, cancelled: false };
            const fits = used(now) + weight <= 20;
            if (!reserve) assert.equal(limiter.tryAcquire({ weight }), fits);
            else if (fits) held.push({ reservation: limiter.reserve({ weight, maxWaitMs: 0 }), grant });
            if (fits) grants.push(grant);
            if (cancel !== null && held.length > 0) {
              const { reservation, grant } = held[cancel % held.length]!;
              reservation.cancel();
              grants = grants.filter((other) => other !== grant);
            }
            assert.equal(limiter.available(), 20 - used(now));
            const until = [now, ...grants.map(({ atMs }) => atMs + 100)].filter((ms) => ms >= now);
            const freeMs = Math.min(...until.filter((ms) => used(ms) + weight <= 20));
            assert.equal(limiter.waitMs({ weight }), freeMs - now);
          }
        }, { auto: false })),
      { seed: 16, numRuns: 100 },
    );
  });

  test("gives back as if it had never been taken: counts like one that counts again all that was not", async () => {
    const MANY = 200;
    const move = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant("reserve" as const), weight }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("try" as const), weight }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("run" as const), weight, abort: fc.boolean() }),
      },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("penalize" as const), weight }) },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constant("resize" as const),
          limit: weight,
          burst: fc.oneof(weight, fc.constant(MANY)),
        }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 40 }) }),
      },
    );
    let [given, mattered] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 300, size: "max" }), (moves) =>
        world(async (w) => {
          // Time in parts: each unit of weight takes as many as there are milliseconds in an interval.
          let [limit, burst, now] = [3, MANY, 0];
          const limiter = new RateLimiter({ limit, intervalMs: 10, burst });
          let taken: { readonly at: number; readonly weight: number; final: boolean }[] = [];
          const held: { reservation: RateLimiterReservation; one: (typeof taken)[number] }[] = [];
          const mark = () => taken.reduce((mark, one) => Math.max(mark, one.at) + one.weight * 10, -Infinity);
          const take = (weight: number) => {
            // What was taken longer ago than it takes to fill the bucket stays taken, while that is not full.
            for (const one of taken) one.final ||= mark() > now && one.at <= now - burst * 10;
            const one = { at: now, weight, final: false };
            taken.push(one);
            return one;
          };
          const isFree = (weight: number) => Math.max(mark(), now) + weight * 10 <= now + burst * 10;
          for (const step of moves) {
            const { weight } = { weight: 1, ...step };
            if (step.do === "advance") {
              await w.advance(step.ms);
              now += step.ms * limit;
            } else if (step.do === "resize") {
              ({ limit, burst } = step);
              limiter.resize(step);
            } else if (step.do === "penalize") {
              limiter.penalize(weight);
              take(weight);
            } else if (step.do === "cancel") {
              const [one] = held.splice(step.which % Math.max(1, held.length), 1);
              one?.reservation.cancel();
              if (one === undefined || one.one.final) continue;
              const before = mark();
              taken = taken.filter((other) => other !== one.one);
              given++;
              if (mark() < before && before > now) mattered++;
            } else if (weight > burst) continue;
            else if (step.do === "try") {
              assert.equal(limiter.tryAcquire({ weight }), isFree(weight));
              if (isFree(weight)) take(weight);
            } else if (step.do === "reserve" && isFree(weight)) {
              const reservation = limiter.reserve({ weight, maxWaitMs: 0 });
              held.push({ reservation, one: take(weight) });
            } else if (step.do === "run" && isFree(weight)) {
              const controller = new AbortController();
              const run = limiter.run(() => {}, { weight, signal: controller.signal });
              if (step.abort) controller.abort();
              await run.catch(() => {});
              const one = take(weight);
              if (step.abort) taken = taken.filter((other) => other !== one);
            }
            const room = Math.max(0, burst - Math.max(0, mark() - now) / 10);
            assert.equal(limiter.available(), Math.floor(room + 1e-9));
            const waitMs = Math.max(0, Math.max(0, mark() - now) + 10 - burst * 10) / limit;
            assert.ok(Math.abs(limiter.waitMs() - waitMs) < 1e-6, `${limiter.waitMs()} for ${waitMs}`);
          }
        }, { auto: false })),
      { seed: 15, numRuns: 500 },
    );
    assert.ok(given >= 2_000 && mattered >= 1_000, `${given} given back, of which ${mattered} mattered`);
  });
});
