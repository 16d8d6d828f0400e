import { describe, test } from "node:test";
import { abortable } from "../../src/cancel/abortable.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { assertLeavesNothing, needsGc } from "./_heap.ts";

describe("waits that were given up on one long-lived promise", () => {
  test("keep neither the signal nor its reason until that promise settles", needsGc, async () => {
    const longLived = new Promise<void>(() => {});
    const giveUp = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const controller = new AbortController();
        const waiting = abortable(longLived, controller.signal).catch(ignore);
        controller.abort(new Array(10_000).fill(i));
        await waiting;
      }
    };
    await assertLeavesNothing(() => giveUp(1_000), () => giveUp(100));
  });
});
