import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { AsyncBatcher, ClosedError, QueueFullError } from "../../../src/flow/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

class Poison extends Error {}

export const operations: readonly Operation[] = [
  {
    name: "a batcher of several kinds, with equal items, weights and a poisonous one",
    covers: ["AsyncBatcher.add", "AsyncBatcher.flush"],
    scene: () => {
      let running = 0;
      const served: string[] = [];
      const batcher = new AsyncBatcher<string, string>(async (items, { signal, partition }) => {
        assert.ok(++running <= 2 && items.length <= 3);
        assert.ok(items.every((item) => item[0] === partition));
        try {
          await sleep(2, { signal });
          if (items.includes("a!")) throw new Poison();
          served.push(...items);
          return new Map(items.map((item) => [item, item.toUpperCase()]));
        } finally {
          running--;
        }
      }, {
        maxWaitMs: 2,
        quietMs: 1,
        concurrency: 2,
        maxPending: 5,
        weight: (item) => item.length,
        maxWeight: 6,
        dedupe: true,
        partition: (item) => item[0],
        bisect: true,
      });
      const add = async (item: string, signal?: AbortSignal, timeoutMs?: number): Promise<void> => {
        assert.equal(await batcher.add(item, { signal, timeoutMs }), item.toUpperCase());
      };
      const poison = batcher.add.bind(batcher, "a!");
      return {
        act: (signal) =>
          all(
            add("a1", signal),
            add("a2"),
            add("a1"),
            poison({ signal }).catch((error) => {
              if (!(error instanceof Poison)) throw error;
            }),
            add("b1", signal),
            mayBeLate(add("b2", signal, 3)),
            add("b3"),
            add("b1", signal),
            sleep(1).then(() => add("a2", signal)),
            sleep(3).then(() => add("c1")),
            batcher.flush({ signal }),
            batcher.flush(),
          ),
        check: async () => {
          await batcher.flush();
          assert.equal(running, 0);
          for (const item of ["a1", "a2", "b3", "c1"]) assert.ok(served.includes(item), item);
          const { pending, waiting, inUse, partitions } = batcher.statistics();
          assert.deepEqual([pending, waiting, inUse, partitions], [0, 0, 0, 0]);
        },
      };
    },
  },
  {
    name: "a batcher that refuses what is too much, closed for those who wait",
    covers: ["AsyncBatcher.add", "AsyncBatcher.close"],
    scene: () => {
      let running = 0;
      let [settled, refused] = [0, 0];
      const batcher = new AsyncBatcher<number, number>(async (items) => {
        running++;
        await sleep(2); // Deaf.
        running--;
        return items;
      }, { maxSize: 2, maxPending: 3, overflow: "reject" });
      const add = async (item: number, signal?: AbortSignal): Promise<void> => {
        try {
          assert.equal(await batcher.add(item, { signal }), item);
        } catch (error) {
          if (!(error instanceof ClosedError) && !(error instanceof QueueFullError)) throw error;
          refused++;
        } finally {
          settled++;
        }
      };
      return {
        act: (signal) =>
          all(
            ...[0, 1, 2, 3, 4, 5, 6].map((item) => add(item, item % 2 === 0 ? signal : undefined)),
            sleep(1).then(() => batcher.close({ pending: "reject" })),
            sleep(1).then(() => add(7)),
          ),
        check: () => {
          assert.equal(settled, 8);
          assert.ok(refused >= 2);
          const { pending, inUse, closed } = batcher.statistics();
          assert.deepEqual([pending, inUse, closed, running], [0, 0, true, 0]);
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
