import assert from "node:assert/strict";
import { sleep } from "../../src/cancel/sleep.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";

const TIMES = 10_000;

/** One timer and one listener a sleeper. */
function handSleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal.addEventListener("abort", aborted, { once: true });
  });
}

export const cases: readonly Case[] = [
  {
    name: "sleep: 10,000 aborted, a signal each",
    ops: TIMES,
    async check() {
      const controller = new AbortController();
      const nap = sleep(60_000, { signal: controller.signal });
      controller.abort("stop");
      await assert.rejects(nap, (error) => error === "stop");
      const from = performance.now();
      await sleep(20);
      assert.ok(performance.now() - from >= 18);
    },
    async minimum() {
      const naps: Promise<unknown>[] = [];
      const controllers: AbortController[] = [];
      for (let i = 0; i < TIMES; i++) {
        const controller = new AbortController();
        controllers.push(controller);
        naps.push(handSleep(60_000, controller.signal).catch(() => sink(1)));
      }
      for (const controller of controllers) controller.abort("stop");
      await Promise.all(naps);
    },
    async ours() {
      const naps: Promise<unknown>[] = [];
      const controllers: AbortController[] = [];
      for (let i = 0; i < TIMES; i++) {
        const controller = new AbortController();
        controllers.push(controller);
        naps.push(sleep(60_000, { signal: controller.signal }).catch(() => sink(1)));
      }
      for (const controller of controllers) controller.abort("stop");
      await Promise.all(naps);
    },
  },
  {
    name: "sleep: 10,000 to their end, 0 to 9 ms",
    ops: TIMES,
    check: () => {},
    async minimum() {
      const { signal } = new AbortController();
      const naps: Promise<void>[] = [];
      for (let i = 0; i < TIMES; i++) {
        naps.push(new Promise<void>((resolve) => setTimeout(resolve, i % 10)));
      }
      await Promise.all(naps);
      if (signal.aborted) sink(1);
    },
    async ours() {
      const { signal } = new AbortController();
      const naps: Promise<void>[] = [];
      for (let i = 0; i < TIMES; i++) naps.push(sleep(i % 10, { signal }));
      await Promise.all(naps);
    },
  },
];
