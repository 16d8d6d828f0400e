import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Heap, type HeapItem } from "../../src/kernel/heap.ts";

interface Item extends HeapItem {
  key: number;
  order: number;
}

function heap(): Heap<Item> {
  return new Heap((a, b) => a.key < b.key || (a.key === b.key && a.order < b.order));
}

describe("Heap", () => {
  test("gives the smallest first, whatever was taken out of its middle", () => {
    const step = fc.record({
      key: fc.integer({ min: 0, max: 20 }),
      remove: fc.option(fc.nat(), { freq: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const items = heap();
        const model: Item[] = [];
        steps.forEach(({ key, remove }, order) => {
          const item = { key, order, heapIndex: -1 };
          items.push(item);
          model.push(item);
          if (remove === null) return;
          const [victim] = model.splice(remove % model.length, 1);
          assert.equal(items.remove(victim!), true);
          assert.equal(items.remove(victim!), false);
          assert.equal(victim!.heapIndex, -1);
        });
        assert.deepEqual(new Set(items.values()), new Set(model));
        model.sort((a, b) => a.key - b.key || a.order - b.order);
        for (const item of model) {
          assert.equal(items.peek(), item);
          assert.equal(items.pop(), item);
        }
        assert.equal(items.size, 0);
        assert.equal(items.pop(), undefined);
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  test("does not take out an item of another heap", () => {
    const [ours, theirs] = [heap(), heap()];
    const item = { key: 1, order: 0, heapIndex: -1 };
    theirs.push(item);
    ours.push({ key: 2, order: 0, heapIndex: -1 });
    assert.equal(ours.remove(item), false);
    assert.deepEqual([ours.size, theirs.size], [1, 1]);
  });
});
