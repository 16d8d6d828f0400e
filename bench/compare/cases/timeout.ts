/** A limit in time that is not reached. */
import assert from "node:assert/strict";
import { timeout } from "../../../src/cancel/timeout.ts";
import { sink } from "../../_measure.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, platform, type Row, theirs } from "../_rows.ts";

const LIMIT_MS = 3_600_000;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

type Limited = (ms: number, fn: () => Promise<number>) => Promise<number>;

async function checkLimit(limited: Limited): Promise<void> {
  assert.equal(await limited(LIMIT_MS, work), 1);
  const from = performance.now();
  await assert.rejects(limited(20, () => new Promise(() => {})), "it waits on");
  assert.ok(performance.now() - from < 2_000);
}

/** A timer for each call, and an answer at the limit. */
function byTimer<T>(ms: number, fn: () => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("Too late")), ms);
    fn().then((value) => {
      clearTimeout(timer);
      resolve(value);
    }, (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

interface CockatielModule {
  timeout(ms: number, strategy: string): {
    execute<T>(fn: (context: { signal: AbortSignal }) => Promise<T>): Promise<T>;
  };
}
interface OpossumModule {
  default: new <T>(fn: () => Promise<T>, options: { timeout: number; errorThresholdPercentage?: number }) => {
    fire(): Promise<T>;
    shutdown(): void;
  };
}

const notReached: Row = {
  kind: "time",
  name: "timeout: not reached",
  size: 20_000,
  rivals: [
    byHand({
      check: () => {},
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await work());
      },
    }, "no limit"),
    platform("by hand, setTimeout", {
      check: () => checkLimit(byTimer),
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await byTimer(LIMIT_MS, work));
      },
    }),
    ours({
      async check() {
        await checkLimit((ms, fn) => timeout(ms, fn));
        return [timeout(Infinity), timeout(LIMIT_MS, () => new Promise(() => {}))];
      },
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await timeout(LIMIT_MS, work));
      },
    }),
    theirs("cockatiel", ({ timeout }: CockatielModule) => ({
      async check() {
        await checkLimit((ms, fn) => timeout(ms, "aggressive").execute(fn));
        const policy = timeout(LIMIT_MS, "aggressive");
        return [policy, policy.execute(() => new Promise(() => {}))];
      },
      async run(_, size) {
        const policy = timeout(LIMIT_MS, "aggressive");
        for (let i = 0; i < size; i++) sink(await policy.execute(work));
      },
    })),
    theirs("opossum", ({ default: CircuitBreaker }: OpossumModule) => ({
      async check() {
        await checkLimit(async (ms, fn) => {
          const breaker = new CircuitBreaker(fn, { timeout: ms });
          try {
            return await breaker.fire();
          } finally {
            breaker.shutdown();
          }
        });
        return new CircuitBreaker(work, { timeout: LIMIT_MS });
      },
      async run(_, size) {
        const breaker = new CircuitBreaker(work, { timeout: LIMIT_MS });
        for (let i = 0; i < size; i++) sink(await breaker.fire());
        breaker.shutdown();
      },
    }), "with its breaker"),
    theirs("effect", ({ Effect }: EffectModule) => ({
      async check() {
        await checkLimit((ms, fn) => Effect.runPromise(Effect.timeout(Effect.promise(fn), ms)));
        return Effect.runFork(Effect.timeout(Effect.never, LIMIT_MS));
      },
      async run(_, size) {
        const limited = Effect.timeout(Effect.promise(work), LIMIT_MS);
        for (let i = 0; i < size; i++) sink(await Effect.runPromise(limited));
      },
    })),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [notReached];
