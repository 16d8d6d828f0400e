import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/mod.ts";
import { retry } from "../../src/flow/retry.ts";
import { RetryBudget } from "../../src/flow/retry_budget.ts";
import { observe } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

const down = new Error("down");
const quick = { baseMs: 0, jitter: "none" } as const;

describe("RetryBudget", () => {
  test("refuses bad options", () => {
    assert.throws(() => new RetryBudget({ ratio: -1 }), RangeError);
    assert.throws(() => new RetryBudget({ ratio: Infinity }), RangeError);
    assert.throws(() => new RetryBudget({ minPerSecond: NaN }), RangeError);
    assert.throws(() => new RetryBudget({ minPerSecond: "5" as never }), TypeError);
    assert.throws(() => new RetryBudget({ ttlMs: 0 }), RangeError);
    assert.throws(() => new RetryBudget(null as never), TypeError);
    assert.throws(() => new RetryBudget({ name: 5 as never }), TypeError);
    assert.throws(() => new RetryBudget({ ratio: -1, name: "db" }), {
      message: 'Cannot create retry budget "db" as ratio must be a finite number >= 0: received -1',
    });
    assert.throws(() => retry({ budget: {} as never }), TypeError);
  });

  test("RT-10: 1,000 failing calls at once make at most 1.2 times as many attempts, and the minimum", async () => {
    await world(async (w) => {
      const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 10 });
      const policies = [retry({ ...quick, budget, attempts: 5 }), retry({ ...quick, budget, attempts: 3 })];
      let made = 0;
      const calls = Array.from({ length: 1_000 }, (_, i) =>
        policies[i % 2]!.run(() => {
          made++;
          return Promise.reject(down);
        }).catch((error) => error));
      for (const error of await Promise.all(calls)) assert.equal(error, down, "the original error");
      assert.equal(w.now, 0);
      assert.equal(made, 1_210);
      const { deposits, withdrawals, balance } = budget.statistics();
      assert.deepEqual({ deposits, withdrawals, balance }, { deposits: 1_000, withdrawals: 210, balance: 0 });
    });
  });

  test("RT-10: an empty budget gives the original error at once, and says so to the observer", async () => {
    await world(async (w) => {
      const budget = new RetryBudget({ ratio: 0, minPerSecond: 0 });
      const why: unknown[] = [];
      using _watching = observe({ record: (r) => void (r.kind === "retry.gaveUp" && why.push(r.data)) });
      await assert.rejects(
        retry(() => Promise.reject(down), { baseMs: 1_000, jitter: "none", budget }),
        (e) => e === down,
      );
      assert.equal(w.now, 0);
      assert.deepEqual(why, [{ why: "budget", attempt: 1, error: down }]);
      assert.equal(budget.statistics().refused, 1);
    });
  });

  test("a pause that is not begun for its length costs nothing", async () => {
    await world(async () => {
      const budget = new RetryBudget({ ratio: 0, minPerSecond: 1 });
      const late = retry(() => Promise.reject(down), { ...quick, baseMs: 500, timeoutMs: 100, budget });
      await assert.rejects(late, (e) => e === down);
      assert.deepEqual([budget.balance, budget.statistics().withdrawals], [1, 0]);
    });
  });

  test("what calls have paid in is there for ttlMs, and no longer", async () => {
    await world(async () => {
      const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0, ttlMs: 1_000 });
      for (let i = 0; i < 10; i++) budget.deposit();
      assert.equal(budget.balance, 5);
      await sleep(600);
      for (let i = 0; i < 4; i++) budget.deposit();
      assert.equal(budget.balance, 7);
      assert.ok(budget.tryWithdraw(), "from the oldest");
      await sleep(450);
      assert.equal(budget.balance, 2);
      await sleep(600);
      assert.equal(budget.balance, 0);
      assert.equal(budget.tryWithdraw(), false);
      await sleep(100_000);
      budget.deposit();
      budget.deposit();
      assert.equal(budget.balance, 1);
    });
  });

  test("the minimum comes back with time, and is saved up for a second", async () => {
    await world(async () => {
      const budget = new RetryBudget({ ratio: 0, minPerSecond: 4 });
      for (let i = 0; i < 4; i++) assert.ok(budget.tryWithdraw());
      assert.equal(budget.tryWithdraw(), false);
      await sleep(250);
      assert.equal(budget.balance, 1);
      assert.ok(budget.tryWithdraw());
      assert.equal(budget.tryWithdraw(), false);
      await sleep(60_000);
      assert.equal(budget.balance, 4);
      const rare = new RetryBudget({ ratio: 0, minPerSecond: 0.1 });
      assert.ok(rare.tryWithdraw());
      await sleep(9_999);
      assert.equal(rare.tryWithdraw(), false);
      await sleep(1);
      assert.ok(rare.tryWithdraw());
    });
  });

  test("agrees with a naive model, and never gives more than its bound", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constant({ do: "deposit" as const, ms: 0 }) },
      { weight: 4, arbitrary: fc.constant({ do: "withdraw" as const, ms: 0 }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(1_500) }) },
    );
    await world(async (w) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 400, size: "max" }),
          fc.integer({ min: 0, max: 10 }),
          async (steps, tenths) => {
            const ttlMs = 1_000;
            const budget = new RetryBudget({ ratio: tenths / 10, minPerSecond: 0, ttlMs });
            // Every deposit by itself, with the slice in which it was made.
            let paid: { slice: number; tenths: number }[] = [];
            const drop = () => {
              const slice = Math.floor(w.now / (ttlMs / 10));
              paid = paid.filter((one) => one.slice > slice - 10 && one.tenths > 0);
              return slice;
            };
            for (const { do: what, ms } of steps) {
              if (what === "advance") await w.advance(ms);
              else if (what === "deposit") {
                const slice = drop();
                paid.push({ slice, tenths });
                budget.deposit();
              } else {
                drop();
                const enough = paid.reduce((sum, one) => sum + one.tenths, 0) >= 10;
                for (let due = enough ? 10 : 0, i = 0; due > 0; i++) {
                  const part = Math.min(due, paid[i]!.tenths);
                  paid[i]!.tenths -= part;
                  due -= part;
                }
                assert.equal(budget.tryWithdraw(), enough);
              }
              drop();
              assert.equal(budget.balance, Math.floor(paid.reduce((sum, one) => sum + one.tenths, 0) / 10));
            }
          },
        ),
        { numRuns: 150, seed: 7 },
      );
    });
  });
});
