import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Deadline } from "../../src/cancel/deadline.ts";
import { timeout } from "../../src/cancel/timeout.ts";
import { world } from "../../src/testing/mod.ts";

describe("Deadline", () => {
  test("counts down to 0 and stays there", async () => {
    await world(async (w) => {
      const deadline = Deadline.in(100);
      assert.deepEqual([deadline.remainingMs, deadline.expired], [100, false]);
      await w.advance(99);
      assert.deepEqual([deadline.remainingMs, deadline.expired], [1, false]);
      await w.advance(1);
      assert.deepEqual([deadline.remainingMs, deadline.expired], [0, true]);
      await w.advance(1_000);
      assert.deepEqual([deadline.remainingMs, deadline.expired], [0, true]);
      assert.deepEqual([Deadline.in(0).expired, Deadline.in(Infinity).remainingMs], [true, Infinity]);
    });
  });

  test("of a signal is the earliest of the chain of limits it came through", async () => {
    await world(async (w) => {
      assert.equal(Deadline.of(undefined).remainingMs, Infinity);
      assert.equal(Deadline.of(new AbortController().signal).expired, false);
      using outer = timeout(1_000);
      using middle = timeout(5_000, { signal: outer.signal });
      using inner = timeout(300, { signal: middle.signal });
      const remaining = (): number[] =>
        [outer, middle, inner].map(({ signal }) => Deadline.of(signal).remainingMs);
      assert.deepEqual(remaining(), [1_000, 1_000, 300]);
      await w.advance(200);
      assert.deepEqual(remaining(), [800, 800, 100]);
      assert.deepEqual([outer, middle, inner].map(({ remainingMs }) => remainingMs), [800, 800, 100]);
    });
  });

  test("of a scope that was disposed is only what lies outside it", async () => {
    await world(() => {
      using outer = timeout(1_000);
      const inner = timeout(300, { signal: outer.signal });
      const { signal } = inner;
      inner[Symbol.dispose]();
      assert.equal(Deadline.of(signal).remainingMs, 1_000);
      assert.equal(inner.remainingMs, 1_000);
    });
  });

  test("moves with an idle limit that is touched", async () => {
    await world(async (w) => {
      using idle = timeout(100, { idle: true });
      await w.advance(60);
      assert.equal(Deadline.of(idle.signal).remainingMs, 40);
      idle.touch();
      assert.equal(Deadline.of(idle.signal).remainingMs, 100);
    });
  });

  test("refuses wrong lengths and signals", () => {
    for (const ms of [-1, NaN]) assert.throws(() => Deadline.in(ms), RangeError);
    assert.throws(() => Deadline.in("5" as unknown as number), TypeError);
    assert.throws(() => Deadline.of(null as unknown as AbortSignal), TypeError);
  });
});
