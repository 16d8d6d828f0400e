import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { Condition } from "../../src/sync/condition.ts";
import { world } from "../../src/testing/mod.ts";

const consumer = fc.record({
  startMs: fc.nat(20),
  workMs: fc.nat(5),
  limitMs: fc.constantFrom(0, 5, 30, Infinity),
  abortMs: fc.constantFrom(0, 3, 10, 30, Infinity),
});

const producer = fc.record({
  startMs: fc.nat(30),
  items: fc.integer({ min: 1, max: 3 }),
  holdMs: fc.nat(5),
  /** Whether it notifies after it has given the lock back. */
  outside: fc.boolean(),
});

describe("Condition", () => {
  test("the lock is never held twice, and no item lies there while somebody waits for one", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(consumer, { minLength: 1, maxLength: 12, size: "max" }),
        fc.array(producer, { maxLength: 6, size: "max" }),
        (consumers, producers) =>
          world(async (w) => {
            const lock = new AsyncLock();
            const changed = new Condition(lock);
            let items = 0;
            let inside = 0;
            const locked = async (work: () => Promise<void>): Promise<void> => {
              assert.equal(++inside, 1, "the lock is held twice");
              await work();
              inside--;
            };
            const consume = async ({ startMs, workMs, limitMs, abortMs }: typeof consumers[number]) => {
              await sleep(startMs);
              const controller = new AbortController();
              if (abortMs !== Infinity) void sleep(abortMs).then(() => controller.abort("stop"));
              using lease = await lock.acquire();
              await locked(() => sleep(workMs));
              while (items === 0) {
                try {
                  await changed.wait(lease, { signal: controller.signal, timeoutMs: limitMs });
                } finally {
                  // However the wait ends: the lock is held, and by nobody else.
                  assert.ok(lease.held && lock.held);
                  await locked(() => sleep(workMs));
                }
              }
              items--;
            };
            const produce = async ({ startMs, items: made, holdMs, outside }: typeof producers[number]) => {
              await sleep(startMs);
              {
                using _lease = await lock.acquire();
                await locked(() => sleep(holdMs));
                items += made;
                if (!outside) changed.notify(made);
              }
              if (outside) changed.notify(made);
            };
            const consuming = Promise.allSettled(consumers.map(consume));
            await Promise.all(producers.map(produce));
            await w.advance(500);
            const { waiting } = changed.statistics();
            assert.ok(items === 0 || waiting === 0, `${items} items, ${waiting} waiting`);
            // Those without a limit are sent home.
            items += 100;
            changed.notifyAll();
            let served = 0;
            for (const outcome of await consuming) {
              if (outcome.status === "fulfilled") served++;
              else if (!(outcome.reason instanceof TimeoutError) && outcome.reason !== "stop") {
                throw outcome.reason;
              }
            }
            const total = producers.reduce((sum, { items }) => sum + items, 100);
            assert.equal(items, total - served);
            assert.equal(lock.held, false);
            assert.equal(changed.statistics().waiting, 0);
            await w.advance(50);
          }),
      ),
      { seed: 41, numRuns: 150 },
    );
  });
});
