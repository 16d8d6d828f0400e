import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { runApplication } from "../../src/app/mod.ts";
import { sleep } from "../../src/cancel/mod.ts";
import {
  AsyncContextGroup,
  asyncContextManager,
  AsyncExitStack,
  AsyncResource,
} from "../../src/resource/mod.ts";
import { explore, FakeHost, sweep, world } from "../../src/testing/mod.ts";
import { assertLeavesNothing, needsGc, watched } from "./_heap.ts";

const closing = (): Disposable => ({ [Symbol.dispose]() {} });

describe("applications and resources under one signal that lives on", () => {
  test(
    "1,000 applications, one after the other and side by side, leave nothing behind",
    needsGc,
    async () => {
      const host = new FakeHost();
      const controller = new AbortController();
      const count = watched(controller.signal);
      const run = (): Promise<unknown> =>
        runApplication(async (app) => {
          await app.use("db", closing);
          app.onStart(() => {});
          app.onStop(() => {});
          app.tasks.spawn("task", ({ signal }) => sleep(0, { signal }));
          app.block("request")[Symbol.dispose]();
          await app.start();
        }, { host, signal: controller.signal });
      const all = async (): Promise<void> => {
        for (let i = 0; i < 500; i++) await run();
        await Promise.all(Array.from({ length: 500 }, run));
      };
      await assertLeavesNothing(all);
      assert.deepEqual(count, { now: 0, most: 1 });
      assert.deepEqual([host.listening, host.keptAlive, host.printed], [[], false, []]);
    },
  );

  test("10,000 stacks, groups, managers and uses of one resource leave nothing behind", needsGc, async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const count = watched(signal);
    const resource = new AsyncResource({ open: closing });
    const group = new AsyncContextGroup({ a: closing, b: closing }, { parallel: true });
    const manager = asyncContextManager(async function* () {
      yield await Promise.resolve(1);
    });
    const all = async (): Promise<void> => {
      for (let i = 0; i < 2_500; i++) {
        await resource.run(() => {}, { signal });
        await group.run(() => {}, { signal });
        await manager().run(() => {}, { signal });
        await AsyncExitStack.run((stack) => void stack.enter(closing()));
      }
    };
    await assertLeavesNothing(all);
    assert.deepEqual(count, { now: 0, most: 1 });
    await resource.close();
  });
});

describe("the testing kit", () => {
  test("worlds, sweeps and explorations leave nothing behind", needsGc, async () => {
    const all = async (): Promise<void> => {
      for (let i = 0; i < 300; i++) await world(() => sleep(1_000));
      for (let i = 0; i < 5; i++) await sweep((signal) => sleep(10, { signal }), () => {});
      await explore(() => sleep(10));
    };
    await assertLeavesNothing(all);
  });
});
