import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { KeyedLock } from "../../src/sync/keyed_lock.ts";
import { world } from "../../src/testing/mod.ts";

const user = fc.record({
  key: fc.integer({ min: 0, max: 3 }),
  startMs: fc.nat(20),
  holdMs: fc.nat(10),
  limitMs: fc.constantFrom(0, 5, 20, Infinity),
  abortMs: fc.constantFrom(0, 3, 10, 25, Infinity),
  tries: fc.boolean(),
});

describe("KeyedLock at random", () => {
  test("never holds a key twice, serves each key in order, and ends without an entry", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(user, { minLength: 1, maxLength: 30, size: "max" }),
        (users) =>
          world(async (w) => {
            const locks = new KeyedLock<number>();
            const inside = new Set<number>();
            const asked: number[] = [];
            const came: number[] = [];
            const outcomes = await Promise.allSettled(
              users.map(async ({ key, startMs, holdMs, limitMs, abortMs, tries }, id) => {
                await sleep(startMs);
                const controller = new AbortController();
                if (abortMs !== Infinity) void sleep(abortMs).then(() => controller.abort("stop"));
                const free = !locks.isHeld(key);
                if (!tries) asked.push(id);
                using lease = tries
                  ? locks.tryAcquire(key)
                  : await locks.acquire(key, { signal: controller.signal, timeoutMs: limitMs });
                if (tries) assert.equal(lease !== undefined, free);
                if (lease === undefined) throw "busy";
                if (!tries) came.push(id);
                assert.ok(!inside.has(key), "the key is held twice");
                assert.ok(locks.isHeld(key));
                inside.add(key);
                await sleep(holdMs);
                inside.delete(key);
              }),
            );
            const ended: Record<string, number> = { fulfilled: 0, busy: 0, stop: 0, timeout: 0 };
            for (const outcome of outcomes) {
              if (outcome.status === "fulfilled") ended.fulfilled!++;
              else if (outcome.reason instanceof TimeoutError) ended.timeout!++;
              else if (outcome.reason === "busy" || outcome.reason === "stop") ended[outcome.reason]!++;
              else throw outcome.reason;
            }
            for (let key = 0; key <= 3; key++) {
              const ofKey = (id: number): boolean => users[id]!.key === key;
              const served = came.filter(ofKey);
              assert.deepEqual(served, asked.filter((id) => ofKey(id) && served.includes(id)));
            }
            const { fulfilled, stop, timeout } = ended;
            assert.deepEqual(locks.statistics(), {
              keys: 0,
              waiting: 0,
              granted: fulfilled,
              aborted: stop,
              timedOut: timeout,
            });
            await w.advance(50);
          }),
      ),
      { seed: 37, numRuns: 150 },
    );
  });
});
