import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { fallback, hedge, retry } from "../../src/flow/mod.ts";
import { AsyncLock } from "../../src/sync/mod.ts";
import * as checks from "../../src/kernel/checks.ts";
import { opaqueErrors } from "../_opaque.ts";

/** Asserts class and message of what a check throws. */
function refuses(check: () => void, name: string, message: string): void {
  assert.throws(check, { name, message });
}

test("checkRecord refuses what would pass for an object and has nothing of its own", () => {
  class Mine {}
  for (const value of [{}, { a: 1 }, Object.create(null), new Mine()]) {
    checks.checkRecord("make x", "parts", value);
  }
  const signal = new AbortController().signal;
  for (
    const value of [undefined, null, 5, "a", () => {}, [], new Map(), new Set(), Promise.resolve(), signal]
  ) {
    assert.throws(() => checks.checkRecord("make x", "parts", value), {
      name: "TypeError",
      message: /^Cannot make x as parts must be an object: received/,
    });
  }
});

test("show puts any value in a few words, and never throws", () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const hostile = {
    toString() {
      throw new Error("no");
    },
  };
  const cases: [unknown, string][] = [
    [undefined, "undefined"],
    [null, "null"],
    [NaN, "NaN"],
    [-0, "0"],
    ["a", '"a"'],
    ["x".repeat(61), `"${"x".repeat(57)}..."`],
    [5n, "5n"],
    [Symbol("s"), "Symbol(s)"],
    [() => {}, "a function"],
    [[1, 2], "an array of 2"],
    [Promise.resolve(), "an instance of Promise"],
    [new AbortController(), "an instance of AbortController"],
    [{ constructor: 5 }, "an object"],
    [hostile, "an object"],
    [Object.create(null), "an object"],
    [revoked.proxy, "an object"],
  ];
  for (const [value, text] of cases) assert.equal(checks.show(value), text);
});

test("showError gives an error's message, and anything else in a few words", () => {
  assert.equal(checks.showError(new TypeError("no")), "no");
  assert.equal(checks.showError("no"), '"no"');
  for (const [, error] of opaqueErrors()) assert.equal(typeof checks.showError(error), "string");
});

test("subject names a structure if it has a name", () => {
  assert.equal(checks.subject("lock", undefined), "lock");
  assert.equal(checks.subject("lock", ""), 'lock ""');
  assert.equal(checks.subject("lock", 'a"b'), 'lock "a\\"b"');
});

test("options: not what other libraries take in their place, which would be taken for none", async () => {
  const { signal } = new AbortController();
  const promise = Promise.resolve();
  for (const value of [signal, promise, [], null, 5]) {
    assert.throws(() => checks.checkOptions("sleep", value), TypeError);
    assert.throws(() => timeout(5, value as never), TypeError);
    await assert.rejects(sleep(5, value as never), TypeError);
    await assert.rejects(new AsyncLock().acquire(value as never), TypeError);
  }
  refuses(
    () => checks.checkOptions("sleep", signal),
    "TypeError",
    "Cannot sleep as options must be an object of options: received an instance of AbortSignal",
  );
  checks.checkOptions("sleep", Object.create({ signal }));
});

test("options that stand alone, for a policy: what follows them is refused, not dropped", () => {
  const work = () => Promise.resolve();
  assert.throws(() => retry({ attempts: 2 } as never, work as never), TypeError);
  assert.throws(() => hedge({ delayMs: 5 } as never, work as never), TypeError);
  assert.throws(() => fallback({ to: [work] } as never, work as never), TypeError);
  assert.throws(() => timeout(5, {} as never, work as never), {
    name: "TypeError",
    message: "Cannot create timeout as fn must come before the options: received a function after them",
  });
});

describe("checks", () => {
  test("integers: kind is a TypeError, value a RangeError, both with rule and value", () => {
    const check = (value: unknown, max?: number): void =>
      checks.checkInteger("make x", "size", value, 1, max);
    for (const value of [1, 2, Number.MAX_SAFE_INTEGER]) check(value);
    check(3, 3);
    for (const value of ["1", 1n, null, undefined, {}]) assert.throws(() => check(value), TypeError);
    for (const value of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) assert.throws(() => check(value), RangeError);
    refuses(() => check(0), "RangeError", "Cannot make x as size must be an integer >= 1: received 0");
    refuses(
      () => check(4, 3),
      "RangeError",
      "Cannot make x as size must be an integer from 1 to 3: received 4",
    );
    refuses(() => check("1"), "TypeError", 'Cannot make x as size must be an integer >= 1: received "1"');
  });

  test("finite numbers: no NaN, no Infinity, and none below the least", () => {
    for (const value of [0, -1.5, 1e300]) checks.checkFinite("make x", "factor", value);
    for (const value of ["1", 1n, null]) {
      assert.throws(() => checks.checkFinite("make x", "factor", value), TypeError);
    }
    for (const value of [NaN, Infinity, -Infinity]) {
      assert.throws(() => checks.checkFinite("make x", "factor", value), RangeError);
    }
    refuses(
      () => checks.checkFinite("make x", "factor", 0.5, 1),
      "RangeError",
      "Cannot make x as factor must be a finite number >= 1: received 0.5",
    );
  });

  test("counts may be infinite", () => {
    checks.checkCount("make x", "size", Infinity, 0);
    checks.checkCount("make x", "size", 0, 0);
    assert.throws(() => checks.checkCount("make x", "size", -Infinity, 0), RangeError);
    assert.throws(() => checks.checkCount("make x", "size", 0.5, 0), RangeError);
  });

  test("durations are numbers of milliseconds from 0 to infinity (TO-04)", () => {
    for (const value of [0, -0, 0.5, 2 ** 40, Infinity]) checks.checkDurationMs("wait", "ms", value);
    for (const value of [-1, -Infinity, NaN]) {
      assert.throws(() => checks.checkDurationMs("wait", "ms", value), RangeError);
    }
    for (const value of ["5", 5n, null, undefined, new Date(0)]) {
      assert.throws(() => checks.checkDurationMs("wait", "ms", value), TypeError);
    }
  });

  test("choices are one of their words", () => {
    checks.checkChoice("make x", "kind", "a", ["a", "b"]);
    refuses(
      () => checks.checkChoice("make x", "kind", "c", ["a", "b"]),
      "RangeError",
      'Cannot make x as kind must be one of "a", "b": received "c"',
    );
    assert.throws(() => checks.checkChoice("make x", "kind", undefined, ["a"]), TypeError);
  });

  test("functions, names, booleans and options", () => {
    checks.checkFunction("run", "fn", () => {});
    assert.throws(() => checks.checkFunction("run", "fn", {}), TypeError);
    for (const value of [undefined, "", "x"]) checks.checkName("make x", value);
    assert.throws(() => checks.checkName("make x", null), TypeError);
    for (const value of [undefined, true, false]) checks.checkBoolean("make x", "flag", value);
    assert.throws(() => checks.checkBoolean("make x", "flag", 0), TypeError);
    for (const value of [undefined, {}]) checks.checkOptions("make x", value);
    for (const value of [null, 5, "text", () => {}]) {
      assert.throws(() => checks.checkOptions("make x", value), TypeError);
    }
  });

  test("signals are told by their shape, as another realm's are signals too", () => {
    checks.checkSignal("wait", undefined);
    checks.checkSignal("wait", new AbortController().signal);
    const half = { aborted: false, addEventListener() {} };
    assert.throws(
      () => checks.checkSignal("wait", half),
      /^TypeError: Cannot wait as signal must be an AbortSignal: received an object$/,
    );
    checks.checkSignal("wait", AbortSignal.abort());
    for (const value of [null, {}, new AbortController(), "signal", new EventTarget()]) {
      assert.throws(() => checks.checkSignal("wait", value), TypeError);
    }
  });

  test("wait options are checked as a whole", () => {
    checks.checkWaitOptions("wait", undefined);
    checks.checkWaitOptions("wait", { signal: undefined, timeoutMs: undefined });
    for (const value of [null, 5, { signal: 5 }, { timeoutMs: "5" }]) {
      assert.throws(() => checks.checkWaitOptions("wait", value as object), TypeError);
    }
    assert.throws(() => checks.checkWaitOptions("wait", { timeoutMs: -1 }), RangeError);
  });
});
