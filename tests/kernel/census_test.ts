import assert from "node:assert/strict";
import { test } from "node:test";
import { census } from "../../src/kernel/census.ts";
import { WaitQueue } from "../../src/kernel/wait_queue.ts";

test("census counts what waits and listens, and comes back to where it was", async () => {
  const before = { ...census };
  const queue = new WaitQueue<number>({ what: "wait", structure: "test" });
  const { signal } = new AbortController();
  const waits = [queue.wait(undefined, { signal }), queue.wait(undefined, { signal }), queue.wait(undefined)];
  assert.deepEqual(census, {
    waiters: before.waiters + 3,
    subscriptions: before.subscriptions + 2,
    listeners: before.listeners + 1,
  });
  for (const value of [1, 2, 3]) queue.grant(value);
  assert.deepEqual(census, before);
  assert.deepEqual(await Promise.all(waits), [1, 2, 3]);
});
