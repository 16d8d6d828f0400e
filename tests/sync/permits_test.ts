import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Lease } from "../../src/kernel/types.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { world } from "../../src/testing/mod.ts";

describe("Permits", () => {
  test("who waits behind a heavy one that is being aborted comes in, whoever asks meanwhile (LK-02)", async () => {
    for (const ask of ["tryAcquire", "acquire"] as const) {
      await world(async (w) => {
        const semaphore = new AsyncSemaphore(4);
        const held = await semaphore.acquire({ weight: 2 });
        const controller = new AbortController();
        let asked: Lease | Promise<Lease> | undefined;
        // Asks while the abort is being told: before the semaphore hears of it.
        controller.signal.addEventListener("abort", () => asked = semaphore[ask](), { once: true });
        const heavy = semaphore.acquire({ weight: 3, signal: controller.signal });
        const light = semaphore.acquire();
        controller.abort("stop");
        await assert.rejects(heavy, (error) => error === "stop");
        await w.idle();
        const { inUse, waiting } = semaphore.statistics();
        assert.deepEqual([inUse, waiting], [4, 0]);
        (await light).release();
        (await asked)!.release();
        held.release();
        assert.equal(semaphore.statistics().inUse, 0);
      });
    }
  });
});
