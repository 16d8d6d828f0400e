import assert from "node:assert/strict";
import { CircuitBreaker } from "../../src/flow/circuit_breaker.ts";
import { fallback } from "../../src/flow/fallback.ts";
import { hedge } from "../../src/flow/hedge.ts";
import { policy } from "../../src/flow/pipeline.ts";
import { retry } from "../../src/flow/retry.ts";
import { timeoutHandler } from "../../src/flow/timeout_handler.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 20_000;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

async function minimum(): Promise<void> {
  for (let i = 0; i < TIMES; i++) sink(await work());
}

const three = policy(retry({ attempts: 3 }), new CircuitBreaker(), timeoutHandler(1_000));
const whole = policy(
  fallback({ to: () => 2 }),
  timeoutHandler(10_000),
  retry({ attempts: 3 }),
  new CircuitBreaker(),
  hedge({ delayMs: 1_000 }),
  timeoutHandler(1_000),
);
const hedged = hedge({ delayMs: 1_000 });

async function check(): Promise<void> {
  for (const one of [three, whole]) {
    let failures = 2;
    const answer = await one.run(({ attempt }) => failures-- > 0 ? Promise.reject(new Error("x")) : attempt);
    assert.ok(answer === 2 || answer === 3);
  }
  assert.equal(await hedged.run(work), 1);
}

export const cases: readonly Case[] = [
  {
    name: "retry + breaker + timeout (by hand: the bare call)",
    ops: TIMES,
    target: { node: 10, deno: 20, bun: 10 },
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await three.run(work));
    },
  },
  {
    name: "fallback + limit + retry + breaker + hedge + timeout",
    ops: TIMES,
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await whole.run(work));
    },
  },
  {
    name: "hedge: answered in time (by hand: the bare call)",
    ops: TIMES,
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await hedged.run(work));
    },
  },
];
