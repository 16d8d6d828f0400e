import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import {
  emit,
  observe,
  observed,
  type Observer,
  type ObserverRecord,
  oneStep,
} from "../../src/kernel/observer.ts";

describe("observe", () => {
  test("tells every observer, in order, until it is disposed", () => {
    const told: [string, ObserverRecord][] = [];
    assert.equal(observed(), false);
    const a = observe({ record: (event) => void told.push(["a", event]) });
    {
      using _b = observe({ record: (event) => void told.push(["b", event]) });
      assert.equal(observed(), true);
      emit("wait", "lock", "x", { waiting: 1 });
    }
    emit("wait", "lock", undefined);
    a[Symbol.dispose]();
    emit("wait", "lock", undefined);
    assert.equal(observed(), false);
    const first = { kind: "wait", structure: "lock", name: "x", data: { waiting: 1 } };
    assert.deepEqual(told, [["a", first], ["b", first], ["a", { kind: "wait", structure: "lock" }]]);
  });

  test("an observer added twice is told twice, and taken away once at a time", () => {
    let told = 0;
    const observer = { record: () => void told++ };
    const first = observe(observer);
    using _second = observe(observer);
    emit("a", "b", undefined);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    emit("a", "b", undefined);
    assert.equal(told, 3);
  });

  test("one that throws disturbs neither the caller nor the others, and complains once", () => {
    const print = mock.method(console, "error", () => {});
    let told = 0;
    const error = new Error("broken");
    using _broken = observe({
      record() {
        throw error;
      },
    });
    using _whole = observe({ record: () => void told++ });
    try {
      for (let i = 0; i < 3; i++) emit("a", "b", undefined);
      assert.equal(told, 3);
      assert.equal(print.mock.callCount(), 1);
      assert.equal(print.mock.calls[0]!.arguments.at(-1), error);
    } finally {
      print.mock.restore();
    }
  });

  test("one that rejects does no more harm than one that throws", async () => {
    const complaint = mock.method(console, "error", () => {});
    try {
      const error = new Error("no");
      using _broken = observe({ record: () => Promise.reject(error) });
      emit("a", "b", undefined);
      emit("a", "b", undefined);
      await new Promise((resolve) => setTimeout(resolve, 0));
      assert.equal(complaint.mock.callCount(), 1);
      assert.equal(complaint.mock.calls[0]!.arguments[1], error);
    } finally {
      complaint.mock.restore();
    }
  });

  test("refuses what cannot record", () => {
    for (const value of [undefined, null, {}, { record: 1 }]) {
      assert.throws(() => observe(value as unknown as Observer), TypeError);
    }
  });
});

describe("oneStep", () => {
  test("tells observers what happened in it when it is done, in order, however it ends", () => {
    const log: string[] = [];
    using _watching = observe({
      record: ({ kind }) => {
        log.push(kind);
        if (kind === "inner") emit("of the observer", "a", undefined);
      },
    });
    const result = oneStep(() => {
      emit("outer", "a", undefined);
      oneStep(() => emit("inner", "a", undefined));
      log.push("done");
      return 1;
    });
    assert.equal(result, 1);
    assert.throws(() =>
      oneStep(() => {
        emit("failing", "a", undefined);
        throw new Error("no");
      }), { message: "no" });
    emit("after", "a", undefined);
    assert.deepEqual(log, ["done", "outer", "inner", "of the observer", "failing", "after"]);
  });

  test("is only a call while nobody observes", () => {
    assert.equal(oneStep(() => 2), 2);
  });
});
