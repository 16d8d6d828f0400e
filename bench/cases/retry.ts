import assert from "node:assert/strict";
import { retry } from "../../src/flow/retry.ts";
import { RetryBudget } from "../../src/flow/retry_budget.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 50_000;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

const policy = retry({ attempts: 3 });
const budgeted = retry({ attempts: 3, budget: new RetryBudget() });

async function check(): Promise<void> {
  let failures = 2;
  const answer = await retry(({ attempt }) => failures-- > 0 ? Promise.reject(new Error("x")) : attempt, {
    baseMs: 0,
  });
  assert.equal(answer, 3);
  assert.equal(await policy.run(work), 1);
}

async function minimum(): Promise<void> {
  for (let i = 0; i < TIMES; i++) sink(await work());
}

export const cases: readonly Case[] = [
  {
    name: "retry: succeeds at once (by hand: the bare call)",
    ops: TIMES,
    target: 4,
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await policy.run(work));
    },
  },
  {
    name: "retry: succeeds at once, made for one call (by hand: the bare call)",
    ops: TIMES,
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await retry(work, { attempts: 3 }));
    },
  },
  {
    name: "retry: succeeds at once, with a budget (by hand: the bare call)",
    ops: TIMES,
    check,
    minimum,
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await budgeted.run(work));
    },
  },
];
