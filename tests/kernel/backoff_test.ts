import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncCache } from "../../src/flow/async_cache.ts";
import { retry } from "../../src/flow/retry.ts";
import { backoff, type BackoffOptions } from "../../src/kernel/backoff.ts";
import { clock, replaceClock } from "../../src/kernel/clock.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";

/** Pauses after the first attempts, with chance fixed. */
function pauses(options: BackoffOptions, random: number, attempts = 5): number[] {
  using _clock = replaceClock({ ...clock(), random: () => random });
  const pause = backoff(options);
  return Array.from({ length: attempts }, (_, i) => pause(i + 1));
}

describe("backoff", () => {
  test("grows as its kind says, up to maxMs", () => {
    const options = { baseMs: 100, maxMs: 500, jitter: "none" } as const;
    assert.deepEqual(pauses({ ...options, kind: "constant" }, 0.5), [100, 100, 100, 100, 100]);
    assert.deepEqual(pauses({ ...options, kind: "linear" }, 0.5), [100, 200, 300, 400, 500]);
    assert.deepEqual(pauses({ ...options, kind: "exponential" }, 0.5), [100, 200, 400, 500, 500]);
  });

  test("scatters within the bounds of its jitter, at the cap too", () => {
    const options = { baseMs: 100, maxMs: 200 } as const;
    assert.deepEqual(pauses({ ...options, jitter: "full" }, 0), [0, 0, 0, 0, 0]);
    assert.deepEqual(pauses({ ...options, jitter: "full" }, 0.5), [50, 100, 100, 100, 100]);
    assert.deepEqual(pauses({ ...options, jitter: "equal" }, 0), [50, 100, 100, 100, 100]);
    assert.deepEqual(pauses({ ...options, jitter: "equal" }, 0.5), [75, 150, 150, 150, 150]);
  });

  test("decorrelated jitter lies between baseMs and three times the pause before", () => {
    using _clock = replaceClock({ ...clock(), random: () => 0.5 });
    const pause = backoff({ baseMs: 100, maxMs: 1_000, jitter: "decorrelated" });
    assert.equal(pause(1), 200);
    assert.equal(pause(2, 200), 350);
    assert.equal(pause(3, 10_000), 550);
    assert.equal(pause(4, 0), 100);
  });

  test("decorrelated jitter scatters at the cap too, and stays finite without one", () => {
    let random = 0;
    using _clock = replaceClock({ ...clock(), random: () => random });
    const capped = backoff({ baseMs: 100, maxMs: 1_000, jitter: "decorrelated" });
    for (random of [0, 0.25, 0.75]) assert.equal(capped(9, 1_000), 100 + random * 900);
    const endless = backoff({ baseMs: 100, maxMs: Infinity, jitter: "decorrelated" });
    for (random of [0, 0.5, 0.999]) {
      let ms: number | undefined;
      for (let attempt = 1; attempt < 2_000; attempt++) ms = endless(attempt, ms);
      assert.ok(Number.isFinite(ms));
    }
    random = 0;
    assert.equal(endless(5, Infinity), 100);
  });

  test("stays finite for any number of attempts", () => {
    for (const kind of ["constant", "linear", "exponential"] as const) {
      const pause = backoff({ kind, maxMs: Infinity, baseMs: 1, jitter: "none" });
      assert.ok(Number.isFinite(pause(1e9)));
    }
  });

  test("refuses wrong options where it is made", () => {
    assert.throws(() => backoff({ baseMs: NaN }), RangeError);
    assert.throws(() => backoff({ baseMs: -1 }), RangeError);
    // 0 times infinity is NaN: with full jitter such a pause could be one.
    assert.throws(() => backoff({ baseMs: Infinity }), RangeError);
    assert.throws(() => backoff({ baseMs: 10, maxMs: 5 }), {
      name: "RangeError",
      message: "Cannot create backoff as maxMs must be >= baseMs (10): received 5",
    });
    assert.throws(() => backoff({ maxMs: -1 }), {
      message: "Cannot create backoff as maxMs must be a number of milliseconds >= 0: received -1",
    });
    assert.equal(backoff({ maxMs: 5, jitter: "none" })(1), 5);
    assert.throws(() => backoff({ kind: "cubic" as "linear" }), RangeError);
    assert.throws(() => backoff({ jitter: 1 as unknown as "none" }), TypeError);
    assert.throws(() => backoff(null as unknown as BackoffOptions), TypeError);
  });

  test("a structure with such options says what it could not do, and where the option is", () => {
    assert.throws(() => retry({ name: "mail", baseMs: -1 }), {
      message: 'Cannot create retry "mail" as baseMs must be a number of milliseconds >= 0: received -1',
    });
    const pool = { max: 1, create: () => 1, backoff: { baseMs: 10, maxMs: 5 } };
    assert.throws(() => new AsyncResourcePool({ ...pool, name: "db" }), {
      message: 'Cannot create pool "db" as backoff.maxMs must be >= backoff.baseMs (10): received 5',
    });
    for (const wrong of [null, 5]) {
      assert.throws(() => new AsyncResourcePool({ ...pool, name: "db", backoff: wrong as never }), {
        name: "TypeError",
        message: `Cannot create pool "db" as backoff must be an object: received ${wrong}`,
      });
    }
    assert.throws(() => new AsyncResourcePool({ ...pool, name: "db", backoff: [] as never }), {
      message: 'Cannot create pool "db" as backoff must be an object of options: received an array of 0',
    });
    assert.throws(
      () => new AsyncCache({ backoff: { jitter: "some" as "none" } }),
      /^RangeError: .* as backoff\.jitter/,
    );
  });

  test("says itself what is wrong with a pause that is no number", () => {
    for (const baseMs of [Symbol("s"), 5n]) {
      assert.throws(
        () => backoff({ baseMs } as unknown as BackoffOptions),
        /^TypeError: Cannot create backoff as baseMs/,
      );
    }
  });
});
