import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Clock, clock, replaceClock } from "../../src/kernel/clock.ts";
import { turnNow } from "../../src/kernel/turn_now.ts";

/** A clock that is one millisecond further each time it is read. */
function counting(fromMs: number): Clock {
  return { ...clock(), now: () => fromMs++ };
}

describe("turnNow", () => {
  test("reads the clock once a turn of the microtask queue", async () => {
    using _counting = replaceClock(counting(5));
    assert.deepEqual([turnNow(), turnNow()], [5, 5]);
    await Promise.resolve();
    assert.deepEqual([turnNow(), turnNow()], [6, 6]);
  });

  test("reads a clock that is put in force in the middle of a turn", () => {
    using _one = replaceClock(counting(5));
    assert.equal(turnNow(), 5);
    using _other = replaceClock(counting(100));
    assert.equal(turnNow(), 100);
  });
});
