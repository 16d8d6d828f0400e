import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { WaitQueue } from "../../src/kernel/wait_queue.ts";
import { world } from "../../src/testing/mod.ts";

describe("the limits of a WaitQueue", () => {
  test("somebody else can watch them: expire gives one up as its own limit would", async () => {
    await world(async () => {
      const queue = new WaitQueue<number, string>({ what: "get ticket", structure: "test", name: "x" });
      const waits = ["a", "b"].map((data) => queue.wait(data));
      const first = queue.oldest!;
      assert.equal(queue.expire(first, 70), true);
      assert.equal(queue.expire(first, 70), false);
      await assert.rejects(waits[0]!, (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.equal(error.message, 'Cannot get ticket "x" within 70 ms: 2 waiting');
        return true;
      });
      assert.deepEqual([queue.totals.timedOut, queue.size, queue.head()], [1, 1, "b"]);
      queue.grant(1);
      assert.equal(await waits[1], 1);
    });
  });

  test("a signal that can't be listened to: a rejection, and nobody waits", async () => {
    await world(async (w) => {
      const queue = new WaitQueue<number>({ what: "get ticket", structure: "test" });
      const error = new Error("deaf");
      const deaf = {
        aborted: false,
        addEventListener() {
          throw error;
        },
        removeEventListener() {},
      };
      const wait = queue.wait(undefined, { signal: deaf as unknown as AbortSignal, timeoutMs: 5 });
      await assert.rejects(wait, (thrown) => thrown === error);
      assert.deepEqual([queue.size, w.timers.length, queue.grant(1)], [0, 0, false]);
    });
  });

  test("a structure can have an error of its own for them", async () => {
    await world(async () => {
      class OwnError extends TimeoutError {}
      const queue = new WaitQueue<number, string>({
        what: "get ticket",
        structure: "test",
        expired: (operation, limitMs) => new OwnError(`${operation} ${limitMs}`, { operation, limitMs }),
      });
      await assert.rejects(queue.wait("a", { timeoutMs: 5 }), (error) => {
        assert.ok(error instanceof OwnError && error.message === "get ticket 5");
        return true;
      });
    });
  });
});
