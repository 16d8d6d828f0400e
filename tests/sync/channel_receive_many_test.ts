import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { Channel, ChannelClosedError } from "../../src/sync/channel.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("Channel.receiveMany", () => {
  test("takes what is there, at most as many as asked for", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 9 });
      for (let i = 0; i < 5; i++) channel.trySend(i);
      assert.deepEqual(await channel.receiveMany(3), [0, 1, 2]);
      assert.deepEqual(await channel.receiveMany(3), [3, 4]);
      const later = channel.receiveMany(3);
      channel.trySend(5);
      channel.trySend(6);
      assert.deepEqual(await later, [5, 6]);
    });
  });

  test("takes from senders who wait, in order", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1 });
      const sends = [0, 1, 2, 3].map((n) => channel.send(n));
      assert.deepEqual(await channel.receiveMany(Infinity), [0, 1, 2, 3]);
      await Promise.all(sends);
    });
  });

  test("waits for more for a time that begins with the first", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      const sending = (async () => {
        for (let i = 0; i < 4; i++) {
          await sleep(40);
          await channel.send(i);
        }
      })();
      assert.deepEqual(await channel.receiveMany(10, { withinMs: 100 }), [0, 1, 2]);
      assert.equal(w.now, 140);
      assert.deepEqual(await channel.receiveMany(1, { withinMs: Infinity }), [3], "full, it does not wait");
      assert.equal(w.now, 160);
      await sending;
    });
  });

  test("ends with what it has when the channel is closed, and rejects when it has nothing", async () => {
    await world(async () => {
      for (const reason of [undefined, new Error("broken")]) {
        const channel = new Channel<number>();
        const many = channel.receiveMany(3, { withinMs: Infinity });
        await channel.send(1);
        channel.close(reason);
        assert.deepEqual(await many, [1]);
        await assert.rejects(channel.receiveMany(3), reason ?? ChannelClosedError);
      }
    });
  });

  test("timeoutMs and signal bound the wait for the first; then signal ends that for more, losing nothing", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      await assert.rejects(channel.receiveMany(2, { timeoutMs: 20 }), { name: "TimeoutError" });
      const controller = new AbortController();
      const { signal } = controller;
      const many = channel.receiveMany(3, { timeoutMs: 20, withinMs: 1_000, signal });
      await channel.send(1);
      await sleep(50);
      controller.abort("enough");
      assert.deepEqual(await many, [1]);
      assert.equal(w.now, 70);
      await assert.rejects(channel.receiveMany(3, { signal }), (error) => error === "enough");
    });
  });

  test("aborted at any moment, it loses no value and doubles none", async () => {
    let received: number[] = [];
    let channel: Channel<number>;
    await sweep(
      async (signal) => {
        received = [];
        channel = new Channel<number>({ capacity: 1 });
        const sending = (async () => {
          for (let i = 0; i < 6; i++) {
            await sleep(1);
            if (i % 2 === 0) await channel.send(i);
            else channel.trySend(i) || await channel.send(i);
          }
        })();
        try {
          while (received.length < 6) {
            received.push(...await channel.receiveMany(2, { withinMs: 1, signal }));
          }
        } finally {
          while (received.length < 6) received.push(await channel.receive());
          await sending;
        }
      },
      () =>
        assert.deepEqual(
          received,
          [0, 1, 2, 3, 4, 5],
        ),
    );
  });

  test("refuses wrong arguments", async () => {
    const channel = new Channel<number>({ name: "mail" });
    await assert.rejects(channel.receiveMany(0), {
      name: "RangeError",
      message: 'Cannot receive from channel "mail" as max must be an integer >= 1: received 0',
    });
    await assert.rejects(channel.receiveMany(1, { withinMs: -1 }), RangeError);
    await assert.rejects(channel.receiveMany(1, { withinMs: "1" as never }), TypeError);
    await assert.rejects(channel.receiveMany(1, 5 as never), TypeError);
  });
});
