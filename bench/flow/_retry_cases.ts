/** Retrying what succeeds at once: the bare call, a loop by hand, and the policy. */
import assert from "node:assert/strict";
import { retry } from "../../src/flow/mod.ts";

export const calls = 10_000;
let made = 0;

async function work(): Promise<number> {
  await undefined;
  return ++made;
}

async function byHand<T>(fn: (context: { attempt: number }) => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await fn({ attempt });
    } catch (error) {
      if (attempt === 3) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

const policy = retry({ attempts: 3 });

export async function bareCalls(): Promise<number> {
  made = 0;
  for (let i = 0; i < calls; i++) await work();
  return made;
}

export async function handLoops(): Promise<number> {
  made = 0;
  for (let i = 0; i < calls; i++) await byHand(work);
  return made;
}

export async function policyRuns(): Promise<number> {
  made = 0;
  for (let i = 0; i < calls; i++) await policy.run(work);
  return made;
}

export async function retryCalls(): Promise<number> {
  made = 0;
  for (let i = 0; i < calls; i++) await retry(work, { attempts: 3 });
  return made;
}

for (const contestant of [bareCalls, handLoops, policyRuns, retryCalls]) {
  assert.equal(await contestant(), calls, contestant.name);
}
let failures = 2;
assert.equal(await policy.run(({ attempt }) => failures-- > 0 ? Promise.reject(new Error("x")) : attempt), 3);
