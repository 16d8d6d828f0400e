/** Observers that come back to the batcher they are told of. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncBatcher, type AsyncBatcherOptions } from "../../src/flow/mod.ts";
import { observe } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** Does something once, in the midst of the first record of a kind. */
function at(kind: string, act: () => void): Disposable {
  let acted = false;
  return observe({
    record: (event) => {
      if (acted || event.kind !== kind) return;
      acted = true;
      act();
    },
  });
}

const kinds: AsyncBatcherOptions<number>[] = [{}, { dedupe: true }, { partition: (item) => item }, {
  maxWaitMs: 5,
}];

function made(
  options: AsyncBatcherOptions<number>,
): { batcher: AsyncBatcher<number, number>; served: number[] } {
  const served: number[] = [];
  const batcher = new AsyncBatcher<number, number>((items) => {
    served.push(...items);
    return items;
  }, options);
  return { batcher, served };
}

describe("AsyncBatcher: observers that come back to it", () => {
  test("who is told of an item may abort its caller: it gets the reason, and nothing is served", async () => {
    await world(async () => {
      for (const options of kinds) {
        const { batcher, served } = made(options);
        const controller = new AbortController();
        using _ = at("add", () => controller.abort("enough"));
        const given = batcher.add(1, { signal: controller.signal });
        await assert.rejects(given, (reason) => reason === "enough");
        await batcher.close();
        assert.deepEqual([served, batcher.statistics().aborted], [[], 1]);
      }
    });
  });

  test("who is told that a caller was let in may abort it then and there", async () => {
    await world(async () => {
      for (const options of kinds) {
        const { batcher, served } = made({ ...options, maxPending: 1 });
        const controller = new AbortController();
        using _ = at("grant", () => controller.abort("enough"));
        const all = [1, 2, 3].map((item) =>
          batcher.add(item, item === 2 ? { signal: controller.signal } : {}).catch((reason: unknown) =>
            reason
          )
        );
        assert.deepEqual(await Promise.all(all), [1, "enough", 3]);
        await batcher.close();
        assert.deepEqual([served, batcher.statistics().aborted], [[1, 3], 1]);
      }
    });
  });

  test("who is told of an item may close: it settles before closing ends", async () => {
    await world(async () => {
      for (const options of kinds) {
        for (const pending of ["flush", "reject"] as const) {
          const { batcher, served } = made(options);
          let closed: Promise<void> | undefined;
          using _ = at("add", () => closed = batcher.close({ pending }));
          const order: string[] = [];
          const item = batcher.add(1).then(() => order.push("served"), ({ name }) => order.push(name));
          await Promise.all([item, closed?.then(() => order.push("closed"))]);
          assert.deepEqual(order, [pending === "flush" ? "served" : "ClosedError", "closed"]);
          assert.equal(served.length, pending === "flush" ? 1 : 0);
        }
      }
    });
  });

  test("who is told of anything once it was closed adds nothing more, and closes the same", async () => {
    await world(async () => {
      const told = [["flush", "wait"], ["flush", "grant"], ["reject", "reject"]] as const;
      for (const [pending, kind] of told) {
        const { batcher, served } = made({ maxPending: 1, maxWaitMs: 5 });
        const items = [1, 2].map((item) => batcher.add(item).catch(({ name }) => name));
        let late: Promise<unknown> | undefined;
        let again: Promise<void> | undefined;
        using _ = at(kind, () => {
          late = batcher.add(9).catch(({ name }) => name);
          again = batcher.close();
        });
        const closing = batcher.close({ pending });
        await closing;
        assert.deepEqual([again === closing, await late], [true, "ClosedError"], kind);
        assert.equal(batcher.statistics().pending, 0);
        const [given, all] = pending === "flush" ? [[1, 2], [1, 2]] : [["ClosedError", "ClosedError"], []];
        assert.deepEqual([await Promise.all(items), served], [given, all]);
      }
    });
  });
});
