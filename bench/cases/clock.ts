import assert from "node:assert/strict";
import { clock } from "../../src/kernel/clock.ts";
import type { Case } from "../_measure.ts";

const TIMES = 10_000;
const idle = (): void => {};

export const cases: readonly Case[] = [
  {
    name: "clock: a timer set and dropped, one by one",
    ops: TIMES,
    check() {
      let ran = false;
      const timer = clock().schedule(clock().now(), () => void (ran = true), { ref: true });
      timer[Symbol.dispose]();
      assert.equal(ran, false);
      return clock().schedule(clock().now() + 600_000, idle, { ref: false });
    },
    minimum() {
      for (let i = 0; i < TIMES; i++) clearTimeout(setTimeout(idle, 1_000));
    },
    ours() {
      const time = clock();
      for (let i = 0; i < TIMES; i++) {
        time.schedule(time.now() + 1_000, idle, { ref: true })[Symbol.dispose]();
      }
    },
  },
  {
    name: "clock: 10,000 timers alive, dropped in order",
    ops: TIMES,
    check: () => clock().schedule(clock().now() + 600_000, idle, { ref: false }),
    minimum() {
      const timers: ReturnType<typeof setTimeout>[] = [];
      for (let i = 0; i < TIMES; i++) timers.push(setTimeout(idle, 1_000 + i % 7));
      for (const timer of timers) clearTimeout(timer);
    },
    ours() {
      const time = clock();
      const timers: Disposable[] = [];
      for (let i = 0; i < TIMES; i++) {
        timers.push(time.schedule(time.now() + 1_000 + i % 7, idle, { ref: true }));
      }
      for (const timer of timers) timer[Symbol.dispose]();
    },
  },
];
