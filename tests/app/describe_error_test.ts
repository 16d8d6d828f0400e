import assert from "node:assert/strict";
import { test } from "node:test";
import { TaskGroupError, TimeoutError } from "@uno/async/app";
import { describeError } from "../../src/app/_describe_error.ts";

/** The lines that are no frames of a stack. */
function heads(error: unknown): string[] {
  return describeError(error).split("\n").filter((line) => !/^\s+at |@/.test(line));
}

test("describeError shows message, stack and causes", () => {
  const error = new RangeError("too far", { cause: new Error("no map", { cause: "lost" }) });
  assert.deepEqual(heads(error), ["RangeError: too far", "caused by Error: no map", "caused by lost"]);
  assert.match(describeError(error), /describe_error_test/);
});

test("describeError shows each of several failures once, without what holds them", () => {
  const [a, b] = [new Error("a"), new TypeError("b")];
  assert.deepEqual(heads(new TaskGroupError([a, b, a], "Cannot go on")), ["Error: a", "TypeError: b"]);
});

test("describeError ends where causes go in a circle, and takes anything", () => {
  const error = new Error("snake");
  error.cause = error;
  assert.deepEqual(heads(error), ["Error: snake"]);
  const [one, two] = [new Error("one"), new Error("two")];
  one.cause = two;
  two.cause = one;
  assert.deepEqual(heads(one), ["Error: one", "caused by Error: two"]);
  for (const value of ["text", 7, null, undefined]) assert.equal(describeError(value), String(value));
  assert.equal(describeError(new Error("")).split("\n")[0], "Error");
});

test("describeError shows what it can of several failures when one can't be shown", () => {
  const hidden = Object.create(null);
  assert.deepEqual(heads(new AggregateError([new Error("a"), hidden])), [
    "Error: a",
    "A failure that can't be shown: object",
  ]);
});

test("describeError leaves out the stack of a limit, which leads to its timer only", () => {
  const error = new TimeoutError("Cannot stop", { operation: "stop", limitMs: 1 });
  assert.equal(describeError(error), "TimeoutError: Cannot stop");
});
