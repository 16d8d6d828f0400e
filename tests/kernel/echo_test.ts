import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isEcho } from "../../src/kernel/echo.ts";
import { TaskGroupError, TimeoutError } from "../../src/kernel/errors.ts";

describe("isEcho", () => {
  const reason = new Error("stop");

  test("is the reason itself, of whatever kind", () => {
    for (const reason of [new Error("stop"), "stop", null, undefined, 0, NaN]) {
      assert.equal(isEcho(reason, { reason }), true);
    }
    assert.equal(isEcho("other", { reason: "stop" }), false);
    assert.equal(isEcho(null, { reason: undefined }), false);
  });

  test("is an error caused by the reason, and any AbortError", () => {
    assert.equal(isEcho(new Error("wrapped", { cause: reason }), { reason }), true);
    assert.equal(isEcho(new DOMException("aborted", "AbortError"), { reason }), true);
    assert.equal(isEcho(Object.assign(new Error("aborted"), { name: "AbortError" }), { reason }), true);
  });

  test("is no other error, and none that merely lacks a cause", () => {
    assert.equal(isEcho(new Error("stop"), { reason }), false);
    assert.equal(isEcho(new Error("other", { cause: new Error("stop") }), { reason }), false);
    assert.equal(isEcho(new Error("no cause"), { reason: undefined }), false);
  });

  test("is never a TimeoutError that is not the reason, even one caused by it", () => {
    const late = new TimeoutError("Cannot a within 1 ms: b", { operation: "a", limitMs: 1, cause: reason });
    assert.equal(isEcho(late, { reason }), false);
    assert.equal(isEcho(late, { reason: late }), true);
    assert.equal(isEcho(new DOMException("late", "TimeoutError"), { reason }), false);
  });

  test("is never an error that holds failures, even when the reason is what set them off", () => {
    const failures = new TaskGroupError([new Error("in clean-up")], "x", { cause: reason });
    assert.equal(isEcho(failures, { reason }), false);
    assert.equal(isEcho(failures, { reason: failures }), true);
  });

  test("is never an error that can't be looked at, and asking does not throw", () => {
    const hidden = Object.defineProperty({}, "name", {
      get() {
        throw new Error("from the getter");
      },
    });
    assert.equal(isEcho(hidden, { reason }), false);
    assert.equal(isEcho(hidden, { reason: hidden }), true);
  });
});
