import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkMessages } from "../../scripts/checks/messages.ts";
import { describeFinding, readSources } from "../../scripts/checks/sources.ts";

/** The messages found at fault in a source. */
function find(source: string): string[] {
  return checkMessages(new Map([["src/a.ts", source]])).map(describeFinding);
}

describe("checkMessages", () => {
  test("finds nothing in the sources of the library", async () => {
    assert.deepEqual(checkMessages(await readSources()).map(describeFinding), []);
  });

  test("lets messages in the house style pass", () => {
    assert.deepEqual(find('throw new Error("Cannot open door: it is locked");'), []);
    assert.deepEqual(find("throw new RangeError(`Cannot open ${door}: ${why}`);"), []);
    assert.deepEqual(
      find("throw new TypeError(`Cannot open ${door} as it must be a door: received ${show(door)}`);"),
      [],
    );
    assert.deepEqual(find("throw error; throw new Error(message, { cause }); throw new Error();"), []);
  });

  test("finds another beginning, with file and line", () => {
    assert.deepEqual(find('\nthrow new Error("Door is locked");'), [
      'src/a.ts:2: an error message begins with "Cannot ": "Door is locked"',
    ]);
    assert.equal(find("throw new Error(`Failed to open ${door}`);").length, 1);
    assert.equal(find('const e = new pool.PoolError("cannot lease");').length, 1);
    assert.equal(find('new DOMException("aborted", "AbortError");').length, 1);
  });

  test("finds a full stop at the end", () => {
    assert.deepEqual(find('throw new Error("Cannot open door: it is locked.");'), [
      'src/a.ts:1: an error message ends without a full stop: "Cannot open door: it is locked."',
    ]);
    assert.equal(find("throw new Error(`Cannot open ${door}.`);").length, 1);
  });

  test("looks into sums, conditions and constants", () => {
    assert.equal(find('throw new Error("Failed " + why);').length, 1);
    assert.equal(find('throw new Error("Cannot open: " + why + ".");').length, 1);
    assert.equal(find('throw new Error(a ? "Cannot a" : "b");').length, 1);
    assert.equal(find("const message = `oops ${a}`; throw new Error(message);").length, 1);
    assert.deepEqual(find('throw new Error("Cannot open: " + why);'), []);
  });

  test("looks at what a class of errors hands to its base, and past the errors an aggregate holds", () => {
    assert.equal(find('class DoorError extends Error { constructor() { super("door"); } }').length, 1);
    assert.equal(find('throw new AggregateError(errors, "several");').length, 1);
    assert.deepEqual(find('class Door extends Opening { constructor() { super("door"); } }'), []);
  });

  test("finds a thrown value that is no error", () => {
    assert.deepEqual(find('throw "door";'), ['src/a.ts:1: only errors are thrown: "door"']);
  });
});
