import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { LinkedList } from "../../src/kernel/linked_list.ts";

class Node {
  prev: Node | undefined;
  next: Node | undefined;
}

function forward(list: LinkedList<Node>): Node[] {
  const nodes: Node[] = [];
  for (let node = list.first; node !== undefined; node = node.next) nodes.push(node);
  return nodes;
}

function backward(list: LinkedList<Node>): Node[] {
  const nodes: Node[] = [];
  for (let node = list.last; node !== undefined; node = node.prev) nodes.push(node);
  return nodes;
}

describe("LinkedList", () => {
  test("holds what an array would, in both directions, whatever is taken out", () => {
    fc.assert(fc.property(fc.array(fc.nat(20), { maxLength: 60 }), (steps) => {
      const list = new LinkedList<Node>();
      const model: Node[] = [];
      for (const step of steps) {
        const [node] = step < model.length ? model.splice(step, 1) : [];
        if (node !== undefined) {
          list.remove(node);
          assert.deepEqual([node.prev, node.next], [undefined, undefined]);
        } else {
          const added = new Node();
          model.push(added);
          list.add(added);
        }
        assert.equal(list.size, model.length);
        assert.ok(forward(list).every((node, i) => node === model[i]));
        assert.ok(backward(list).every((node, i) => node === model[model.length - 1 - i]));
        assert.deepEqual([forward(list).length, backward(list).length], [model.length, model.length]);
      }
    }));
  });

  test("takes one in again that was taken out, at the end", () => {
    const list = new LinkedList<Node>();
    const [a, b] = [new Node(), new Node()];
    list.add(a);
    list.add(b);
    list.remove(a);
    list.add(a);
    assert.ok(list.first === b && list.last === a && b.next === a);
  });
});
