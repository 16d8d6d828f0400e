import assert from "node:assert/strict";
import { test } from "node:test";
import { deadlineOf, noteDeadline } from "../../src/kernel/deadlines.ts";

test("deadlineOf reads what was noted for a signal, anew each time", () => {
  const { signal } = new AbortController();
  assert.equal(deadlineOf(signal), Infinity);
  assert.equal(deadlineOf(undefined), Infinity);
  let at = 0;
  noteDeadline(signal, () => at);
  assert.equal(deadlineOf(signal), 0);
  at = 5;
  assert.equal(deadlineOf(signal), 5);
});
