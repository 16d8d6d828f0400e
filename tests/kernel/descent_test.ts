import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Descent } from "../../src/kernel/descent.ts";

describe("Descent", () => {
  test("goes depth first, as a recursion would", () => {
    const tree: Record<string, string[]> = { a: ["b", "c"], b: ["d"], c: [], d: [] };
    const visited: string[] = [];
    const descent = new Descent<string>((at) => {
      visited.push(at);
      for (const child of tree[at]!) descent.visit(child);
    });
    descent.visit("a");
    assert.deepEqual(visited, ["a", "b", "d", "c"]);
  });

  test("reaches all of a tree that is deeper than the stack before the visit is over, each once", () => {
    const visits = new Map<number, number>();
    const descent = new Descent<number>((at) => {
      visits.set(at, (visits.get(at) ?? 0) + 1);
      if (at < 0 || at >= 100_000) return;
      descent.visit(at + 1);
      if (at % 1_000 === 0) descent.visit(-at - 1); // A second branch, with nothing below.
    });
    const visit = (at: number): void => {
      visits.clear();
      descent.visit(at);
      assert.equal(visits.size, 100_001 + 100);
      assert.ok([...visits.values()].every((count) => count === 1));
    };
    visit(0);
    visit(0);
  });

  test("is as good as new after a visit that throws", () => {
    const visited: number[] = [];
    const descent = new Descent<number>((at) => {
      visited.push(at);
      if (at === 50) throw new Error("half-way");
      if (at < 200) descent.visit(at + 1);
    });
    assert.throws(() => descent.visit(0), { message: "half-way" });
    visited.length = 0;
    descent.visit(51);
    assert.equal(visited.at(-1), 200);
    assert.equal(visited.length, 150);
  });
});
