/** Circuit breakers that are closed, alone and together with a retry and a limit in time. */
import assert from "node:assert/strict";
import { timeout } from "../../../src/cancel/timeout.ts";
import { CircuitBreaker } from "../../../src/flow/circuit_breaker.ts";
import { retry } from "../../../src/flow/retry.ts";
import { sink } from "../../_measure.ts";
import { byHand, ours, platform, type Row, theirs } from "../_rows.ts";

const THRESHOLD = 5;
const ATTEMPTS = 3;
const LIMIT_MS = 3_600_000;

type Call = () => Promise<number>;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

function never(): Promise<number> {
  return new Promise<number>(() => {});
}

/** After enough failures nothing is called any more. */
async function checkBreaker(run: (fn: Call) => Promise<number>): Promise<void> {
  assert.equal(await run(work), 1);
  for (let i = 0; i < 3 * THRESHOLD; i++) {
    await run(() => Promise.reject(new Error("down"))).catch(() => {});
  }
  let called = false;
  await assert.rejects(run(() => (called = true, work())), "it lets calls through");
  assert.ok(!called, "it lets calls through");
}

class HandBreaker {
  #failures = 0;
  #openUntil = 0;

  async run<T>(fn: () => Promise<T>): Promise<T> {
    if (this.#openUntil > 0 && performance.now() < this.#openUntil) throw new Error("Open");
    try {
      const value = await fn();
      this.#failures = 0;
      return value;
    } catch (error) {
      if (++this.#failures >= THRESHOLD) this.#openUntil = performance.now() + 10_000;
      throw error;
    }
  }
}

interface Policy {
  execute<T>(fn: () => Promise<T>): Promise<T>;
}
interface CockatielModule {
  handleAll: unknown;
  ConsecutiveBreaker: new (threshold: number) => unknown;
  ConstantBackoff: new (ms: number) => unknown;
  circuitBreaker(what: unknown, options: { halfOpenAfter: number; breaker: unknown }): Policy;
  retry(what: unknown, options: { maxAttempts: number; backoff: unknown }): Policy;
  timeout(ms: number, strategy: string): Policy;
  wrap(...policies: Policy[]): Policy;
}
interface OpossumModule {
  default: new (
    fn: (call: Call) => Promise<number>,
    options: { timeout: number | false; volumeThreshold: number },
  ) => {
    fire(call: Call): Promise<number>;
    shutdown(): void;
  };
}
interface RetryModule {
  default: <T>(fn: () => Promise<T>, options: { retries: number; minTimeout: number }) => Promise<T>;
}

const closed: Row = {
  kind: "time",
  name: "breaker: closed",
  size: 30_000,
  rivals: [
    byHand({
      check: () => {},
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await work());
      },
    }, "the bare call"),
    platform("by hand, failures in a row", {
      async check() {
        const breaker = new HandBreaker();
        await checkBreaker((fn) => breaker.run(fn));
        return breaker;
      },
      async run(_, size) {
        const breaker = new HandBreaker();
        for (let i = 0; i < size; i++) sink(await breaker.run(work));
      },
    }),
    ours({
      async check() {
        const breaker = new CircuitBreaker({ failures: THRESHOLD });
        await checkBreaker((fn) => breaker.run(fn));
        const other = new CircuitBreaker({ failures: THRESHOLD });
        return [other, other.run(never)];
      },
      async run(_, size) {
        const breaker = new CircuitBreaker({ failures: THRESHOLD });
        for (let i = 0; i < size; i++) sink(await breaker.run(work));
      },
    }, "failures in a row"),
    ours({
      async check() {
        const breaker = new CircuitBreaker({ failureRate: 0.5, minimumCalls: THRESHOLD });
        await checkBreaker((fn) => breaker.run(fn));
        const other = new CircuitBreaker({ failureRate: 0.5 });
        return [other, other.run(never)];
      },
      async run(_, size) {
        const breaker = new CircuitBreaker({ failureRate: 0.5 });
        for (let i = 0; i < size; i++) sink(await breaker.run(work));
      },
    }, "by rate"),
    theirs("cockatiel", ({ circuitBreaker, handleAll, ConsecutiveBreaker }: CockatielModule) => {
      const make = () =>
        circuitBreaker(handleAll, { halfOpenAfter: 10_000, breaker: new ConsecutiveBreaker(THRESHOLD) });
      return {
        async check() {
          const breaker = make();
          await checkBreaker((fn) => breaker.execute(fn));
          const other = make();
          return [other, other.execute(never)];
        },
        async run(_, size) {
          const breaker = make();
          for (let i = 0; i < size; i++) sink(await breaker.execute(work));
        },
      };
    }, "failures in a row"),
    theirs("opossum", ({ default: Breaker }: OpossumModule) => ({
      async check() {
        const breaker = new Breaker((call) => call(), { timeout: false, volumeThreshold: THRESHOLD });
        await checkBreaker((fn) => breaker.fire(fn));
        breaker.shutdown();
        return new Breaker((call) => call(), { timeout: false, volumeThreshold: THRESHOLD });
      },
      async run(_, size) {
        const breaker = new Breaker((call) => call(), { timeout: false, volumeThreshold: THRESHOLD });
        for (let i = 0; i < size; i++) sink(await breaker.fire(work));
        breaker.shutdown();
      },
    }), "by rate"),
  ],
};

/** What fails once is tried again; what fails always opens the circuit; what hangs is answered. */
async function checkTogether(make: (limitMs: number) => (fn: Call) => Promise<number>): Promise<void> {
  let calls = 0;
  const once = (): Promise<number> => calls++ === 0 ? Promise.reject(new Error("down")) : work();
  assert.equal(await make(LIMIT_MS)(once), 1, "it does not try again");
  await checkBreaker(make(LIMIT_MS));
  await assert.rejects(make(20)(never), "it waits on");
}

const together: Row = {
  kind: "time",
  name: "retry, breaker and timeout together, all well",
  size: 15_000,
  rivals: [
    byHand({
      check: () => {},
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await work());
      },
    }, "the bare call"),
    ours({
      async check() {
        await checkTogether(inThree);
        return [retry(), new CircuitBreaker(), inThree(LIMIT_MS)(never)];
      },
      async run(_, size) {
        const call = inThree(LIMIT_MS);
        for (let i = 0; i < size; i++) sink(await call(work));
      },
    }),
    theirs("cockatiel", (module: CockatielModule) => {
      const { wrap, retry, circuitBreaker, timeout, handleAll } = module;
      const make = (limitMs: number) => {
        const all = wrap(
          retry(handleAll, { maxAttempts: ATTEMPTS - 1, backoff: new module.ConstantBackoff(1) }),
          circuitBreaker(handleAll, {
            halfOpenAfter: 10_000,
            breaker: new module.ConsecutiveBreaker(THRESHOLD),
          }),
          timeout(limitMs, "aggressive"),
        );
        return (fn: Call) => all.execute(fn);
      };
      return {
        async check() {
          await checkTogether(make);
          return [make(LIMIT_MS)(never)];
        },
        async run(_, size) {
          const call = make(LIMIT_MS);
          for (let i = 0; i < size; i++) sink(await call(work));
        },
      };
    }),
    theirs("opossum", async ({ default: Breaker }: OpossumModule) => {
      const { peer } = await import("../_peers.ts");
      const { default: pRetry } = await peer<RetryModule>("p-retry");
      const breakers: { shutdown(): void }[] = [];
      const make = (limitMs: number) => {
        const breaker = new Breaker((call) => call(), { timeout: limitMs, volumeThreshold: THRESHOLD });
        breakers.push(breaker);
        return (fn: Call) => pRetry(() => breaker.fire(fn), { retries: ATTEMPTS - 1, minTimeout: 1 });
      };
      return {
        async check() {
          await checkTogether(make);
          return [make(LIMIT_MS)(never)];
        },
        async run(_, size) {
          const call = make(LIMIT_MS);
          for (let i = 0; i < size; i++) sink(await call(work));
          // The others are kept alive.
          breakers.pop()?.shutdown();
        },
      };
    }, "with p-retry"),
  ],
};

function inThree(limitMs: number): (fn: Call) => Promise<number> {
  const again = retry({ attempts: ATTEMPTS, baseMs: 1 });
  const breaker = new CircuitBreaker({ failures: THRESHOLD });
  return (fn) => again.run(() => breaker.run(() => timeout(limitMs, fn)));
}

/** The rows of this file. */
export const rows: readonly Row[] = [closed, together];
