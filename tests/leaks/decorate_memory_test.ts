import { describe, test } from "node:test";
import { batched, cached, circuitBroken, concurrentLimited, rateLimited } from "../../src/decorate/mod.ts";
import { assertLeavesNothing, needsGc } from "./_heap.ts";

/** Objects enough to show, each with all that decorators keep for an object. */
const OBJECTS = 5_000;

describe("what decorators keep for each object", () => {
  test("goes with the object", needsGc, async () => {
    const per = "instance";
    const methods = [
      cached()((id: number) => Promise.resolve({ id })),
      concurrentLimited({ limit: 1, per })((id: number) => Promise.resolve(id)),
      rateLimited({ limit: 1, intervalMs: 1, per })((id: number) => Promise.resolve(id)),
      circuitBroken({ per })((id: number) => Promise.resolve(id)),
      batched()(function (this: unknown, ids: readonly number[]) {
        return Promise.resolve(ids.map(() => this));
      }),
    ];
    await assertLeavesNothing(async () => {
      for (let i = 0; i < OBJECTS; i++) {
        const object = { i };
        for (const method of methods) await method.call(object, i);
      }
    });
  });
});
