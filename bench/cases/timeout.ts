import assert from "node:assert/strict";
import { timeout } from "../../src/cancel/timeout.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 50_000;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

export const cases: readonly Case[] = [
  {
    name: "timeout: not reached (by hand: the bare call)",
    ops: TIMES,
    target: { node: 8, deno: 16, bun: 8 },
    async check() {
      assert.equal(await timeout(1_000, work), 1);
      await assert.rejects(timeout(1, () => new Promise(() => {})), { name: "TimeoutError" });
      return timeout(Infinity);
    },
    async minimum() {
      for (let i = 0; i < TIMES; i++) sink(await work());
    },
    async ours() {
      for (let i = 0; i < TIMES; i++) sink(await timeout(1_000, work));
    },
  },
  {
    name: "timeout: not reached, signal read, 1,000 at once",
    ops: TIMES,
    check: () => {},
    async minimum() {
      for (let i = 0; i < TIMES; i += 1_000) {
        await Promise.all(Array.from({ length: 1_000 }, async () => sink(await work())));
      }
    },
    async ours() {
      for (let i = 0; i < TIMES; i += 1_000) {
        await Promise.all(Array.from({ length: 1_000 }, async () =>
          sink(
            await timeout(1_000, ({ signal }) => {
              if (signal.aborted) sink(1);
              return work();
            }),
          )));
      }
    },
  },
];
