import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { inOrderOf } from "../../src/database/_uno_match.ts";

type Row = Record<string, unknown>;

describe("inOrderOf: which returned row is whose", () => {
  // A column holds values of one kind.
  const textArb = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("1", "1.0", null));
  const rowsArb = fc.array(fc.record({ a: textArb, b: fc.integer({ min: 0, max: 2 }), c: fc.boolean() }), {
    size: "max",
    maxLength: 30,
  });

  it("gives each its own, in whatever order they come back", () => {
    fc.assert(
      fc.property(rowsArb, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (given, random) => {
        const returned = given.map((row, i) => ({ id: i, ...row }))
          .map((row) => [random.next().value as number, row] as const)
          .sort(([x], [y]) => x - y).map(([, row]) => row);
        const found = inOrderOf(given, returned, ["a", "b", "c"])!;
        assert.equal(new Set(found.map((row) => (row as Row).id)).size, given.length, "each once");
        for (const [i, row] of found.entries()) {
          const { id: _, ...rest } = row as Row;
          assert.deepEqual(rest, { ...given[i] });
        }
      }),
    );
  });

  it("knows values again that the driver gives in another way", () => {
    const given = [{
      n: 5,
      big: 7n,
      yes: true,
      at: new Date(5),
      data: { x: 1, y: [2] },
      bytes: new Uint8Array([1]),
    }, {
      n: 6.5,
      big: 8n,
      yes: false,
      at: new Date(6),
      data: { y: [3], x: 1 },
      bytes: new Uint8Array([2]),
    }];
    const back = [
      { n: "6.50", big: "8", yes: 0, at: new Date(6), data: { x: 1, y: [3] }, bytes: new Uint8Array([2]) },
      { n: "5.00", big: "7", yes: 1, at: new Date(5), data: { x: 1, y: [2] }, bytes: new Uint8Array([1]) },
    ];
    for (const column of Object.keys(given[0]!)) {
      assert.deepEqual(inOrderOf(given, back, [column]), [back[1], back[0]], column);
    }
  });

  it("leaves out of account what the database has rewritten, and says when nothing is left", () => {
    const given = [{ name: "A", n: 1 }, { name: "B", n: 2 }];
    const back = [{ name: "b", n: 2 }, { name: "a", n: 1 }];
    assert.deepEqual(inOrderOf(given, back, ["name", "n"]), [back[1], back[0]]);
    assert.equal(inOrderOf(given, back, ["name"]), undefined);
    assert.equal(inOrderOf(given, back, []), undefined);
    assert.equal(inOrderOf(given, back.slice(1), ["n"]), undefined);
    assert.deepEqual(
      inOrderOf(given.slice(1), back.slice(0, 1), ["name"]),
      back.slice(0, 1),
      "one is enough",
    );
  });
});
