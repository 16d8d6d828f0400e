import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ClosedError, TimeoutError } from "../../src/kernel/errors.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncResource } from "../../src/resource/async_resource.ts";
import { world } from "../../src/testing/mod.ts";

const user = fc.record({
  startMs: fc.nat(200),
  holdMs: fc.nat(15),
  limitMs: fc.constantFrom(0, 5, 20, Infinity, Infinity),
  abortMs: fc.constantFrom(0, 3, 10, 25, Infinity, Infinity, Infinity),
});

/** How one opening and the closing after it go. */
const life = fc.record({
  openMs: fc.nat(12),
  closeMs: fc.nat(12),
  /** Whether it goes on opening when nobody wants it any more. */
  deaf: fc.boolean(),
  fails: fc.constantFrom("never", "never", "opening", "closing"),
});

interface Value {
  readonly id: number;
  isOpen: boolean;
}

describe("AsyncResource", () => {
  test("one is open at most, every user has an open one, and all are closed in the end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(user, { minLength: 1, maxLength: 24, size: "max" }),
        fc.array(life, { minLength: 1, maxLength: 6, size: "max" }),
        fc.constantFrom(0, 0, 0, 5, Infinity),
        fc.constantFrom(null, null, 30, 90, 130, 201),
        (users, lives, lingerMs, disposeMs) =>
          world(async (w) => {
            let [opened, closed, alive, attempts] = [0, 0, 0, 0];
            const plans = new WeakMap<Value, typeof lives[number]>();
            const resource = new AsyncResource<Value>({
              lingerMs,
              open: async ({ signal }) => {
                const plan = lives[attempts++ % lives.length]!;
                assert.equal(++alive, 1, "two are alive at once");
                try {
                  await sleep(plan.openMs, plan.deaf ? {} : { signal });
                  if (plan.fails === "opening") throw "cannot open";
                } catch (error) {
                  alive--;
                  throw error;
                }
                const value = { id: ++opened, isOpen: true };
                plans.set(value, plan);
                return value;
              },
              close: async (value) => {
                assert.equal(value.isOpen, true, "it is closed twice");
                value.isOpen = false;
                const { closeMs, fails } = plans.get(value)!;
                await sleep(closeMs);
                alive--;
                closed++;
                if (fails === "closing") throw "cannot close";
              },
            });
            const disposing = disposeMs === null
              ? undefined
              : sleep(disposeMs).then(() => resource[Symbol.asyncDispose]()).catch((error) => error);
            const watching = (async () => {
              while (w.now < 300) {
                await sleep(1);
                const { state, waiting } = resource.statistics();
                const moves = state === "opening" || state === "closing";
                assert.ok(waiting === 0 || moves, `${waiting} wait while it is ${state}`);
              }
            })();
            const outcomes = await Promise.allSettled(
              users.map(async ({ startMs, holdMs, limitMs, abortMs }) => {
                await sleep(startMs);
                const controller = new AbortController();
                if (abortMs !== Infinity) void sleep(abortMs).then(() => controller.abort("stop"));
                using lease = await resource.use({ signal: controller.signal, timeoutMs: limitMs });
                const { value } = lease;
                assert.ok(value.isOpen && lease.held);
                for (let ms = 0; ms < holdMs; ms++) {
                  await sleep(1);
                  assert.ok(value.isOpen, "it was closed under its user");
                }
              }),
            );
            const ended = { granted: 0, aborted: 0, timedOut: 0 };
            for (const outcome of outcomes) {
              if (outcome.status === "fulfilled") ended.granted++;
              else if (outcome.reason === "stop") ended.aborted++;
              else if (outcome.reason instanceof TimeoutError) ended.timedOut++;
              else if (outcome.reason !== "cannot open" && !(outcome.reason instanceof ClosedError)) {
                throw outcome.reason;
              }
            }
            const failure = await (disposing ?? resource[Symbol.asyncDispose]().catch((error) => error));
            assert.ok(failure === undefined || failure === "cannot close", String(failure));
            assert.deepEqual([closed, alive], [opened, 0]);
            const { state, inUse, waiting, granted, aborted, timedOut, opened: counted } = resource
              .statistics();
            assert.deepEqual([state, inUse, waiting, counted], ["disposed", 0, 0, opened]);
            assert.deepEqual({ granted, aborted, timedOut }, ended);
            await watching;
          }),
      ),
      { seed: 43, numRuns: 250 },
    );
  });
});
