import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import {
  batched,
  cached,
  cancellable,
  circuitBroken,
  concurrentLimited,
  rateLimited,
} from "../../../src/decorate/mod.ts";
import { all, type Operation } from "../_scene.ts";

interface Options {
  signal?: AbortSignal | undefined;
}

export const operations: readonly Operation[] = [
  {
    name: "functions with decorators around them",
    covers: ["batched", "cached", "cancellable", "circuitBroken", "concurrentLimited", "rateLimited"],
    scene: () => {
      let [running, most] = [0, 0];
      const closing = new AbortController();
      const work = async (id: number, _: Options): Promise<number> => {
        most = Math.max(most, ++running);
        await sleep(2).finally(() => running--);
        return id;
      };
      const slots = concurrentLimited({ limit: 2 })(work);
      const turns = rateLimited({ limit: 1, intervalMs: 2 })((id: number, _: Options) => Promise.resolve(id));
      const [limited, deaf] = [
        cancellable(slots),
        cancellable({ signal: closing.signal })((id: number, _: Options) => sleep(3).then(() => id)),
      ];
      const guarded = circuitBroken({ failures: 1 })((id: number, options: Options) =>
        sleep(2, options).then(() => id)
      );
      const shared = cached()((id: number, options: Options) => sleep(3, options).then(() => ({ id })));
      const together = batched({ maxSize: 2 })(async (ids: readonly number[], options) => {
        await sleep(2, options);
        return ids;
      });
      return {
        act: async (signal) => {
          await all(
            ...[slots, turns, limited, deaf, guarded, shared, together].flatMap((fn) => [
              fn(1, { signal }),
              fn(1, {}),
              fn(2, { signal }),
            ]),
          );
        },
        check: async () => {
          await sleep(20);
          assert.ok(most <= 2);
          assert.equal(running, 0);
          assert.equal(await guarded(3, {}), 3, "who gives up says nothing about the service");
          assert.deepEqual(await Promise.all([slots(4, {}), together(5), shared(1, {})]), [4, 5, { id: 1 }]);
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
