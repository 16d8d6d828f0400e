import assert from "node:assert/strict";
import { test } from "node:test";
import { deadlineOf, hasDeadline, noteDeadline } from "../../src/kernel/deadlines.ts";

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

test("deadlineOf is the earliest of those noted along the way, however deep and by however many ways", () => {
  const signals = Array.from({ length: 20_000 }, () => new AbortController().signal);
  for (const [i, signal] of signals.entries()) {
    if (i === 0) noteDeadline(signal, 100);
    else if (i % 2 === 0) noteDeadline(signal, () => 200 + i, signals[i - 1]);
    else noteDeadline(signal, Infinity, [signals[i - 1]!, signals[Math.max(0, i - 2)]!]);
  }
  assert.equal(deadlineOf(signals.at(-1)), 100);
  noteDeadline(signals[10_000]!, 50);
  assert.equal(deadlineOf(signals.at(-1)), 50);
  assert.equal(deadlineOf(signals[9_999]), 100);
});

test("hasDeadline says whether a signal has to be asked at all, though its deadline may be none as yet", () => {
  const { signal } = new AbortController();
  assert.equal(hasDeadline(undefined), false);
  assert.equal(hasDeadline(signal), false);
  noteDeadline(signal, Infinity);
  assert.equal(hasDeadline(signal), true);
});
