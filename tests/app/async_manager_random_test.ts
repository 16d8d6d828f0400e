import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AsyncManager } from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";

/** A resource by its place in the order of dependency; it comes after some of those before. */
const resource = fc.record({
  /** How far back those are that it comes after. */
  after: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
  /** Where it is registered. */
  turn: fc.nat(1_000),
  openMs: fc.nat(12),
  closeMs: fc.nat(6),
  /** Whether it goes on opening when the start is given up. */
  deaf: fc.boolean(),
  fails: fc.constantFrom("never", "never", "never", "never", "opening", "closing"),
});

test("AsyncManager: whatever comes after what, fails or is stopped: in order, all or none, and all closed", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(resource, { minLength: 1, maxLength: 16, size: "max" }),
      fc.constantFrom(0, 0, 7, 40),
      fc.constantFrom(Infinity, Infinity, 0, 5, 15, 60),
      (resources, startMs, stopMs) =>
        world(async () => {
          const app = new AsyncManager({ graceMs: 60_000 });
          const open = new Set<number>();
          const after = resources.map(({ after }, i) => after.map((back) => i - back).filter((j) => j >= 0));
          const register = async (i: number): Promise<void> => {
            const { openMs, closeMs, deaf, fails } = resources[i]!;
            await app.use(`${i}`, async ({ signal }) => {
              for (const before of after[i]!) assert.ok(open.has(before), `${i} opens before ${before}`);
              await sleep(openMs, deaf ? {} : { signal });
              if (fails === "opening") throw `cannot open ${i}`;
              open.add(i);
              return {
                async [Symbol.asyncDispose]() {
                  await sleep(closeMs);
                  for (const other of open) {
                    assert.ok(!after[other]!.includes(i), `${i} is closed under ${other}`);
                  }
                  assert.ok(open.delete(i), `${i} is closed twice`);
                  if (fails === "closing") throw `cannot close ${i}`;
                },
              };
            }, { after: after[i]!.map(String) });
          };
          const order = resources.map(({ turn }, i) => ({ turn, i })).sort((a, b) => a.turn - b.turn);
          const uses = Promise.allSettled(order.map(({ i }) => register(i)));
          if (startMs > 0) await sleep(startMs);
          const starting = app.start().then(() => "ready", (error) => error);
          if (stopMs !== Infinity) {
            await sleep(stopMs);
            void app.stop("stopped");
          }
          const outcome = await starting;
          if (outcome === "ready" && stopMs === Infinity) assert.equal(open.size, resources.length);
          if (resources.every(({ fails }) => fails !== "opening")) {
            assert.equal(outcome, stopMs === Infinity || outcome === "ready" ? "ready" : "stopped");
          } else assert.notEqual(outcome, "ready");
          const { errors, stragglers } = await app.stop("stopped");
          assert.deepEqual([open.size, stragglers], [0, []]);
          for (const error of errors) assert.match(String(error), /^cannot (open|close) \d+$/);
          await uses; // Every one of them has settled.
        }),
    ),
    { seed: 5, numRuns: 300 },
  );
});
