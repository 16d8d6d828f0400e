import assert from "node:assert/strict";
import { CircuitBreaker } from "../../src/flow/circuit_breaker.ts";
import type { CircuitBreakerOptions } from "../../src/flow/circuit_breaker_options.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 50_000;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

async function minimum(): Promise<void> {
  for (let i = 0; i < TIMES; i++) sink(await work());
}

function closed(what: string, options: CircuitBreakerOptions): Case {
  const breaker = new CircuitBreaker(options);
  return {
    name: `breaker: closed, ${what} (by hand: the bare call)`,
    ops: TIMES,
    target: 4,
    async check() {
      const other = new CircuitBreaker(options);
      for (let i = 0; i < 10; i++) await assert.rejects(other.run(() => Promise.reject(new Error("x"))));
      await assert.rejects(other.run(work), { name: "CircuitOpenError" });
      assert.equal(await breaker.run(work), 1);
    },
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await breaker.run(work));
    },
  };
}

export const cases: readonly Case[] = [
  closed("failures in a row", { failures: 10 }),
  closed("window of calls", { windowSize: 100 }),
  closed("window of time", { windowMs: 10_000 }),
  closed("window of time, slow calls", { windowMs: 10_000, slowCallMs: 1_000 }),
];
