import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";

/** Runs all there is, in order, and tells when each timer fired. */
function runAll(time: VirtualClock): void {
  while (time.nextMs < Infinity) {
    time.moveTo(time.nextMs);
    time.runDue();
  }
}

describe("VirtualClock", () => {
  test("starts at 0 and moves only when told to, never back and never past a timer", () => {
    const time = new VirtualClock(1);
    assert.equal(time.now(), 0);
    time.moveTo(10);
    time.moveTo(5);
    assert.equal(time.now(), 10);
    time.schedule(20, () => {}, { ref: true });
    time.moveTo(30);
    assert.equal(time.now(), 20);
    time.runDue();
    time.moveTo(30);
    assert.equal(time.now(), 30);
  });

  test("runs timers by time, and those due together in the order made", () => {
    const time = new VirtualClock(1);
    const ran: string[] = [];
    for (const [name, at] of [["c", 3], ["a", 1], ["b1", 2], ["d", 2 ** 40], ["b2", 2]] as const) {
      time.schedule(at, () => ran.push(`${name}@${time.now()}`), { ref: name !== "b1" });
    }
    runAll(time);
    assert.deepEqual(ran, ["a@1", "b1@2", "b2@2", "c@3", `d@${2 ** 40}`]);
  });

  test("leaves timers made by a due timer for the next time, even overdue ones", () => {
    const time = new VirtualClock(1);
    const ran: string[] = [];
    time.moveTo(10);
    time.schedule(10, () => {
      ran.push("first");
      time.schedule(3, () => ran.push("late"), { ref: true });
    }, { ref: true });
    time.schedule(10, () => ran.push("second"), { ref: true });
    assert.equal(time.runDue(), 2);
    assert.deepEqual(ran, ["first", "second"]);
    assert.equal(time.nextMs, 10);
    assert.equal(time.runDue(), 1);
    assert.deepEqual(ran, ["first", "second", "late"]);
  });

  test("does not run a timer that was disposed, also by one due together with it", () => {
    const time = new VirtualClock(1);
    const ran: string[] = [];
    time.schedule(1, () => {
      ran.push("a");
      b[Symbol.dispose]();
      b[Symbol.dispose]();
    }, { ref: true });
    const b = time.schedule(1, () => ran.push("b"), { ref: true });
    runAll(time);
    assert.deepEqual(ran, ["a"]);
    assert.equal(time.size, 0);
  });

  test("lists the timers left, background ones and those never due included", () => {
    const time = new VirtualClock(1);
    time.schedule(Infinity, () => {}, { ref: true });
    time.schedule(Number.MAX_SAFE_INTEGER, () => {}, { ref: false });
    assert.equal(time.nextMs, Infinity);
    time.schedule(5, () => {}, { ref: false });
    assert.deepEqual(time.timers(), [
      { atMs: 5, ref: false },
      { atMs: Infinity, ref: false },
      { atMs: Infinity, ref: true },
    ]);
  });

  test("repeats its chance by seed, spread evenly from 0 up to 1", () => {
    const draw = (seed: number, count: number): number[] => {
      const time = new VirtualClock(seed);
      return Array.from({ length: count }, () => time.random());
    };
    assert.deepEqual(draw(7, 50), draw(7, 50));
    assert.notDeepEqual(draw(7, 50), draw(8, 50));
    for (const seed of [0, 1, 2 ** 32 - 1]) {
      const buckets = new Array(10).fill(0);
      for (const number of draw(seed, 10_000)) buckets[Math.floor(number * 10)]++;
      assert.equal(buckets.length, 10);
      for (const size of buckets) assert.ok(size > 850 && size < 1150, `seed ${seed}: ${buckets}`);
    }
  });

  test("refuses a seed that is no 32-bit integer", () => {
    assert.throws(() => new VirtualClock(2 ** 32), RangeError);
    assert.throws(() => new VirtualClock(1.5), RangeError);
    assert.throws(() => new VirtualClock("1" as never), TypeError);
  });
});
