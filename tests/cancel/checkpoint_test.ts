import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkpoint } from "../../src/cancel/checkpoint.ts";
import { leakGuard, sweep, world } from "../../src/testing/mod.ts";

/** The runtimes have it; their types are not all loaded. */
const { setImmediate } = globalThis as unknown as { setImmediate(run: () => void): void };

describe("checkpoint", () => {
  test("lets a turn of the event loop go by, which an await does not", async () => {
    await using _guard = leakGuard();
    let turned = false;
    setImmediate(() => turned = true);
    for (let i = 0; i < 100; i++) await undefined;
    assert.equal(turned, false);
    await checkpoint();
    assert.equal(turned, true);
  });

  test("takes no virtual time, and lets others run", async () => {
    await world(async (w) => {
      const log: string[] = [];
      await Promise.all(["a", "b"].map(async (who) => {
        for (let i = 0; i < 3; i++) {
          log.push(who + i);
          await checkpoint();
        }
      }));
      assert.deepEqual(log, ["a0", "b0", "a1", "b1", "a2", "b2"]);
      assert.equal(w.now, 0);
    });
  });

  test("refuses a signal that is aborted beforehand, with its reason, before the turn", async () => {
    await world(async () => {
      for (const reason of [null, "text", 0, new Error("own")]) {
        let turned = false;
        const other = checkpoint().then(() => turned = true);
        await assert.rejects(
          checkpoint({ signal: AbortSignal.abort(reason) }),
          (error) => error === reason && !turned,
        );
        await other;
      }
    });
  });

  test("an abort during the turn rejects with its reason", async () => {
    await world(async () => {
      const controller = new AbortController();
      const pass = checkpoint({ signal: controller.signal });
      controller.abort(null);
      await assert.rejects(pass, (error) => error === null);
    });
  });

  test("stops a computation at any point", async () => {
    let rounds = 0;
    let ended = false;
    const { points } = await sweep(async (signal) => {
      rounds = 0;
      ended = false;
      for (; rounds < 4; rounds++) await checkpoint({ signal });
      ended = true;
    }, () => assert.equal(ended, rounds === 4));
    assert.ok(points > 4);
  });

  test("wrong options reject", async () => {
    for (const options of [null, 5, { signal: {} }, { signal: null }]) {
      await assert.rejects(checkpoint(options as object), TypeError);
    }
    await assert.rejects(checkpoint({ signal: "no" as unknown as AbortSignal }), {
      message: 'Cannot pass checkpoint as signal must be an AbortSignal: received "no"',
    });
  });
});
