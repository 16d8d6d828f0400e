import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WaitGraph } from "../../src/app/_wait_graph.ts";

const name = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");

const step = fc.oneof(
  fc.record({
    kind: fc.constant("add" as const),
    name,
    others: fc.array(name, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant("remove" as const), name }),
  fc.record({ kind: fc.constant("arrived" as const), name }),
);

test("WaitGraph knows who waits for whom as a list of all waits does, and closes no circle", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30, size: "max" }), (steps) => {
      const graph = new WaitGraph();
      const waits = new Map<string, Set<string>>();
      const behind = (name: string): string[] => {
        const found = new Set<string>();
        const look = (at: string): void => {
          for (const [waiter, others] of waits) {
            if (!others.has(at) || found.has(waiter)) continue;
            found.add(waiter);
            look(waiter);
          }
        };
        look(name);
        return [...found].sort();
      };
      for (const step of steps) {
        if (step.kind === "add") {
          if (waits.has(step.name)) continue;
          const circle = graph.circle(step.name, step.others);
          const expected = step.others.some((other) =>
            other === step.name || behind(step.name).includes(other)
          );
          assert.equal(circle !== undefined, expected);
          if (circle === undefined) {
            graph.add(step.name, step.others);
            waits.set(step.name, new Set(step.others));
          } else {
            // A way that is there, from the name to itself.
            assert.deepEqual([circle[0], circle.at(-1)], [step.name, step.name]);
            const would = new Map(waits).set(step.name, new Set(step.others));
            for (let i = 1; i < circle.length; i++) assert.ok(would.get(circle[i - 1]!)!.has(circle[i]!));
          }
        } else if (step.kind === "remove") {
          graph.remove(step.name);
          waits.delete(step.name);
        } else {
          const free = [...waits].filter(([, others]) => others.delete(step.name) && others.size === 0);
          for (const [name] of free) waits.delete(name);
          assert.deepEqual(graph.arrived(step.name), free.map(([name]) => name));
        }
        assert.equal(graph.size, waits.size);
        const awaited = new Set([...waits.values()].flatMap((others) => [...others]));
        assert.deepEqual(graph.awaited.toSorted(), [...awaited].sort());
        for (const name of "abcdefg") {
          assert.deepEqual(graph.behind(name).sort(), behind(name));
          const direct = [...waits].filter(([, others]) => others.has(name)).map(([waiter]) => waiter);
          assert.deepEqual(graph.waitersOf(name), direct);
        }
      }
    }),
    { seed: 11, numRuns: 1_000 },
  );
});
