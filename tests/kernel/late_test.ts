import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { discard } from "../../src/kernel/late.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";

describe("discard", () => {
  test("disposes what can be disposed, the asynchronous way first", () => {
    const calls: string[] = [];
    const sync = { [Symbol.dispose]: () => void calls.push("sync") };
    discard(sync, "test");
    discard({
      [Symbol.dispose]: () => void calls.push("wrong"),
      [Symbol.asyncDispose]: () => Promise.resolve(void calls.push("async")),
    }, "test");
    discard(Object.assign(() => {}, { [Symbol.dispose]: () => void calls.push("of a function") }), "test");
    for (const value of [undefined, null, 7, "text", {}, () => {}]) discard(value, "test");
    assert.deepEqual(calls, ["sync", "async", "of a function"]);
  });

  test("tells the observer of a failure, and nobody else", async () => {
    const records: ObserverRecord[] = [];
    using _observer = observe({ record: (record) => void records.push(record) });
    const error = new Error("stuck");
    discard(
      {
        [Symbol.dispose]: () => {
          throw error;
        },
      },
      "pool",
      "a",
    );
    discard({ [Symbol.asyncDispose]: () => Promise.reject(error) }, "pool", "a");
    for (let i = 0; i < 5; i++) await Promise.resolve();
    const record = { kind: "dispose.failed", structure: "pool", name: "a", data: { error } };
    assert.deepEqual(records, [record, record]);
  });
});
