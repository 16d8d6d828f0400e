import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { abortable } from "../../src/cancel/abortable.ts";
import { linkSignals } from "../../src/cancel/link_signals.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { timeout } from "../../src/cancel/timeout.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { Channel } from "../../src/sync/channel.ts";
import { sweep } from "../../src/testing/mod.ts";

describe("aborted at every turn", () => {
  test("a lock is free afterwards, and nobody was in it with another", async () => {
    let lock: AsyncLock;
    let inside = 0;
    const { points } = await sweep(async (signal) => {
      lock = new AsyncLock();
      inside = 0;
      const use = async (): Promise<void> => {
        using _lease = await lock.acquire({ signal, timeoutMs: 1_000 });
        assert.equal(++inside, 1);
        try {
          await sleep(5, { signal });
        } finally {
          inside--;
        }
      };
      const settled = await Promise.allSettled([use(), use(), use()]);
      for (const one of settled) if (one.status === "rejected") throw one.reason;
    }, () => {
      const { held, waiting } = lock.statistics();
      assert.deepEqual([held, waiting, inside], [false, 0, 0]);
    });
    assert.ok(points > 5);
  });

  test("a semaphore has all its permits afterwards, whatever their weights were", async () => {
    let semaphore: AsyncSemaphore;
    const { points } = await sweep(async (signal) => {
      semaphore = new AsyncSemaphore(3);
      const use = (weight: number): Promise<void> =>
        semaphore.run(() => sleep(weight, { signal }), { weight, signal });
      const settled = await Promise.allSettled([2, 3, 1, 1, 2].map(use));
      for (const one of settled) if (one.status === "rejected") throw one.reason;
    }, () => {
      const { inUse, free, waiting } = semaphore.statistics();
      assert.deepEqual([inUse, free, waiting], [0, 3, 0]);
    });
    assert.ok(points > 5);
  });

  test("a channel has lost nothing that it took in, and doubled nothing", async () => {
    for (const capacity of [0, 1, 2]) {
      let channel: Channel<number>;
      let sent: number[] = [];
      let received: number[] = [];
      const { points } = await sweep(async (signal) => {
        channel = new Channel({ capacity });
        [sent, received] = [[], []];
        const send = async (from: number): Promise<void> => {
          for (let value = from; value < from + 4; value++) {
            await channel.send(value, { signal });
            sent.push(value);
            if (value % 2) await sleep(1, { signal });
          }
        };
        const receive = async (): Promise<void> => {
          for (let i = 0; i < 4; i++) received.push(await channel.receive({ signal }));
        };
        const settled = await Promise.allSettled([send(10), send(20), receive(), receive()]);
        for (const one of settled) if (one.status === "rejected") throw one.reason;
      }, () => {
        const rest: number[] = [];
        for (let box = channel.tryReceive(); box; box = channel.tryReceive()) rest.push(box.value);
        assert.deepEqual([...received, ...rest].toSorted(), sent.toSorted());
        const { sending, receiving } = channel.statistics();
        assert.deepEqual([sending, receiving], [0, 0]);
      });
      assert.ok(points > 5);
    }
  });

  test("timeouts, links and waits for foreign work end with the abort, and leave nothing", async () => {
    const { points } = await sweep(async (signal) => {
      await timeout(100, async ({ signal }) => {
        using linked = linkSignals(signal, new AbortController().signal);
        await abortable(sleep(3, { signal: linked.signal }), linked.signal);
        using limit = timeout(50, { signal: linked.signal, idle: true });
        await sleep(3, { signal: limit.signal });
        limit.touch();
      }, { signal });
    }, () => true);
    assert.ok(points > 5);
  });
});
