import assert from "node:assert/strict";
import { abortable, checkpoint, linkSignals, shield, sleep, timeout } from "../../../src/cancel/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

export const operations: readonly Operation[] = [
  {
    name: "sleeping and checkpoints",
    covers: ["sleep", "checkpoint"],
    scene: () => {
      const woken: string[] = [];
      return {
        act: (signal) =>
          all(
            sleep(5, { signal }).then(() => woken.push("signal")),
            sleep(5).then(() => woken.push("none")),
            checkpoint({ signal }).then(() => checkpoint({ signal })),
          ),
        check: () => assert.ok(woken.includes("none")),
      };
    },
  },
  {
    name: "foreign work under a signal",
    covers: ["abortable", "linkSignals"],
    scene: () => {
      let done = false;
      return {
        act: async (signal) => {
          const other = new AbortController();
          using linked = linkSignals(signal, other.signal, undefined);
          const work = sleep(4).then(() => done = true);
          await all(work, abortable(work, linked.signal), abortable(sleep(3), signal));
        },
        check: () => assert.ok(done),
      };
    },
  },
  {
    name: "time limits, nested, fixed and idle",
    covers: ["timeout"],
    scene: () => {
      let [made, closed] = [0, 0];
      const disposable: AsyncDisposable = {
        [Symbol.asyncDispose]: () => sleep(1).then(() => void closed++),
      };
      return {
        act: (signal) =>
          all(
            timeout(100, async ({ signal }) => {
              using idle = timeout(4, { signal, idle: true });
              for (let i = 0; i < 3; i++) {
                await sleep(3, { signal: idle.signal });
                idle.touch();
              }
            }, { signal }),
            mayBeLate(timeout(2, ({ signal }) => sleep(50, { signal }), { signal })),
            // Ignores its signal: what it comes to nevertheless is disposed.
            timeout(20, async () => {
              await sleep(6);
              made++;
              return disposable;
            }, { signal }).then(async (it) => await it[Symbol.asyncDispose]()),
            sleep(10),
          ),
        check: () => assert.equal(closed, made, "what came too late was disposed"),
      };
    },
  },
  {
    name: "shielded clean-up",
    covers: ["shield"],
    scene: () => {
      let cleaned = 0;
      return {
        act: async (signal) => {
          try {
            await sleep(3, { signal });
          } finally {
            await shield(50, ({ signal }) => sleep(2, { signal }));
            cleaned++;
          }
        },
        check: () => assert.equal(cleaned, 1),
      };
    },
  },
];

export const still: Record<string, string> = {
  "Deadline.of": "looks at what is known about a signal, and returns at once",
};
