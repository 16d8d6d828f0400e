import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Deque } from "../../src/kernel/deque.ts";

const operation = fc.oneof(
  { weight: 6, arbitrary: fc.constant("push" as const) },
  { weight: 2, arbitrary: fc.constant("unshift" as const) },
  { weight: 5, arbitrary: fc.constant("shift" as const) },
  { weight: 1, arbitrary: fc.constantFrom("drain" as const, "fill" as const) },
);

describe("Deque", () => {
  test("behaves like an array under any mix of pushes, unshifts and shifts", () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300, size: "max" }), (operations) => {
        const deque = new Deque<number | undefined>();
        const model: (number | undefined)[] = [];
        let next = 0;
        const push = (): void => {
          const value = next++ % 7 === 0 ? undefined : next;
          deque.push(value);
          model.push(value);
        };
        for (const name of operations) {
          if (name === "push") push();
          else if (name === "fill") { for (let i = 0; i < 100; i++) push(); }
          else if (name === "unshift") {
            deque.unshift(next);
            model.unshift(next++);
          } else {
            for (let i = name === "drain" ? 90 : 1; i > 0; i--) assert.equal(deque.shift(), model.shift());
          }
          assert.equal(deque.size, model.length);
          assert.equal(deque.peek(), model[0]);
        }
        assert.deepEqual([...deque], model);
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  test("is empty after clear, and goes on", () => {
    const deque = new Deque<string>();
    for (let i = 0; i < 40; i++) deque.push("old");
    deque.clear();
    assert.equal(deque.size, 0);
    assert.equal(deque.shift(), undefined);
    deque.push("new");
    assert.deepEqual([...deque], ["new"]);
  });
});
