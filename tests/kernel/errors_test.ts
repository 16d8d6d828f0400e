import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  causes,
  ClosedError,
  findError,
  isOwnAbort,
  leaves,
  MisuseError,
  ownAbort,
  TaskGroupError,
  TimeoutError,
} from "../../src/kernel/errors.ts";
import { opaqueErrors } from "../_opaque.ts";

const [a, b, c] = [new Error("a"), new Error("b"), new TypeError("c")];

/** As compiled `using` makes it where the platform has none. */
function suppressed(error: unknown, earlier: unknown): Error {
  return Object.assign(new Error(), { name: "SuppressedError", error, suppressed: earlier });
}

describe("errors", () => {
  test("carry their names, data and causes", () => {
    const error = new TimeoutError("Cannot a within 5 ms: b", { operation: "a", limitMs: 5, cause: c });
    assert.equal(String(error), "TimeoutError: Cannot a within 5 ms: b");
    assert.deepEqual([error.operation, error.limitMs, error.cause], ["a", 5, c]);
    assert.equal("cause" in new TimeoutError("x", { operation: "a", limitMs: 5 }), false);
    assert.equal(new MisuseError("x").name, "MisuseError");
    assert.equal(new ClosedError("x").name, "ClosedError");
    const group = new TaskGroupError([a, b], "x", { cause: a });
    assert.deepEqual([group.name, group.errors, group.cause], ["TaskGroupError", [a, b], a]);
    assert.ok(group instanceof AggregateError);
    // Names live on the prototype, so that they don't clutter what is printed.
    for (const error of [new MisuseError("x"), group]) assert.equal(Object.hasOwn(error, "name"), false);
  });
});

describe("leaves", () => {
  test("gives single failures in order, each once, at any depth", () => {
    assert.deepEqual(leaves(a), [a]);
    assert.deepEqual(leaves(new AggregateError([a, new TaskGroupError([b, a]), c])), [a, b, c]);
    assert.deepEqual(leaves(suppressed(b, a)), [a, b]);
    assert.deepEqual(leaves(suppressed(c, suppressed(b, a))), [a, b, c]);
    for (const value of [undefined, null, "text", 0]) assert.deepEqual(leaves(value), [value]);
  });

  test("knows the platform's SuppressedError", () => {
    const caught: unknown[] = [];
    try {
      using _thing = {
        [Symbol.dispose]() {
          throw b;
        },
      };
      throw a;
    } catch (error) {
      caught.push(error);
    }
    assert.deepEqual(leaves(caught[0]), [a, b]);
  });

  test("drops a scope's own AbortError and keeps anybody else's", () => {
    const theirs = new DOMException("theirs", "AbortError");
    const ours = ownAbort("ours", a);
    assert.deepEqual(leaves(new AggregateError([ours, a, theirs])), [a, theirs]);
    assert.deepEqual(leaves(ours), []);
  });

  test("keeps an aggregate without members, which is a failure too", () => {
    const empty = new AggregateError([]);
    assert.deepEqual(leaves(new AggregateError([empty, a])), [empty, a]);
  });

  test("ends on circles", () => {
    const circle = new AggregateError([a]);
    circle.errors.push(circle, b);
    assert.deepEqual(leaves(circle), [a, b]);
  });
});

describe("findError", () => {
  test("finds by class among members and causes, at any depth", () => {
    const deep = new AggregateError([a, new Error("outer", { cause: suppressed(b, c) })]);
    assert.equal(findError(deep, TypeError), c);
    assert.equal(findError(deep, AggregateError), deep);
    assert.equal(findError(deep, RangeError), undefined);
    assert.equal(findError("text", Error), undefined);
  });

  test("ends on circles", () => {
    const circle = new Error("x");
    circle.cause = circle;
    assert.equal(findError(circle, TypeError), undefined);
  });
});

describe("ownAbort", () => {
  test("is an AbortError with its trigger as cause, known by identity", () => {
    const error = ownAbort("ours", a);
    assert.deepEqual([error.name, error.message, error.cause], ["AbortError", "ours", a]);
    assert.equal(isOwnAbort(error), true);
    assert.equal(isOwnAbort(new DOMException("ours", "AbortError")), false);
    for (const value of [undefined, null, "text"]) assert.equal(isOwnAbort(value), false);
    assert.equal("cause" in ownAbort("ours") && ownAbort("ours").cause !== undefined, false);
  });
});

describe("causes", () => {
  test("are the error and what is behind it, in order, and end on circles", () => {
    const outer = new Error("outer", { cause: new Error("inner", { cause: "text" }) });
    assert.deepEqual([...causes(outer)], [outer, outer.cause, "text"]);
    assert.deepEqual([...causes(undefined)], [undefined]);
    const circle = new Error("x");
    circle.cause = circle;
    assert.deepEqual([...causes(circle)], [circle]);
  });
});

describe("failures that can't be looked at", () => {
  for (const [name, error] of opaqueErrors()) {
    test(`leaves, findError and causes take ${name} for a single failure`, () => {
      assert.ok(leaves(error)[0] === error);
      assert.ok(leaves(new AggregateError([a, error]))[1] === error);
      assert.equal(findError(new AggregateError([error, c]), TypeError), c);
      assert.ok(causes(error).has(error));
      assert.ok(causes(new Error("outer", { cause: error })).has(error));
    });
  }
});
