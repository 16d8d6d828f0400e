import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ignore } from "../../src/kernel/deferred.ts";
import { Channel } from "../../src/sync/channel.ts";
import { world } from "../../src/testing/mod.ts";

const weigh = (text: string): number => text.length;

describe("Channel with weights", () => {
  test("holds what fits by weight, not by number", async () => {
    await world(async (w) => {
      const channel = new Channel<string>({ capacity: 6, weigh });
      assert.equal(channel.trySend("four"), true);
      assert.equal(channel.trySend("3.."), false);
      assert.equal(channel.trySend("2."), true);
      assert.equal(channel.trySend(""), true, "what weighs nothing fits");
      assert.equal(channel.statistics().weight, 6);
      const sending = channel.send("abc");
      await w.idle();
      assert.equal(channel.statistics().sending, 1);
      assert.equal(await channel.receive(), "four");
      await sending;
      const { weight, buffered } = channel.statistics();
      assert.deepEqual({ weight, buffered }, { weight: 5, buffered: 3 });
    });
  });

  test("a value heavier than the capacity passes when the channel is empty", async () => {
    await world(async (w) => {
      const channel = new Channel<string>({ capacity: 2, weigh });
      assert.equal(await channel.send("much too long"), true);
      let second = false;
      const sending = channel.send("longer still").then(() => second = true);
      await w.idle();
      assert.equal(second, false);
      assert.equal(await channel.receive(), "much too long");
      await sending;
      assert.equal(await channel.receive(), "longer still");
      assert.equal(channel.statistics().weight, 0);
    });
  });

  test("a light value does not pass by a heavy one that waits", async () => {
    await world(async () => {
      const channel = new Channel<string>({ capacity: 4, weigh });
      channel.trySend("abc");
      const heavy = channel.send("heavy");
      assert.equal(channel.trySend("x"), false);
      const light = channel.send("y");
      const got = [await channel.receive(), await channel.receive(), await channel.receive()];
      assert.deepEqual(got, ["abc", "heavy", "y"]);
      await Promise.all([heavy, light]);
    });
  });

  test("when the heavy one gives up, those behind it come in at once", async () => {
    await world(async (w) => {
      const channel = new Channel<string>({ capacity: 4, weigh });
      channel.trySend("abc");
      const controller = new AbortController();
      const heavy = channel.send("heavy", { signal: controller.signal });
      const light = channel.send("x");
      controller.abort("stop");
      assert.equal(channel.statistics().sending, 0);
      await assert.rejects(heavy, (error) => error === "stop");
      assert.equal(await light, true);
      channel.tryReceive();
      const limited = channel.send("heavy", { timeoutMs: 10 });
      const behind = channel.send("y");
      await assert.rejects(limited, { name: "TimeoutError" });
      assert.equal(await behind, true);
      assert.equal(w.now, 10);
      assert.equal(channel.statistics().weight, 2);
    });
  });

  test("one that is aborted, but has not been told yet, holds up nobody who comes meanwhile", async () => {
    await world(async () => {
      const channel = new Channel<string>({ capacity: 4, weigh });
      channel.trySend("abc");
      const controller = new AbortController();
      controller.signal.addEventListener("abort", () => assert.equal(channel.trySend("x"), true));
      const heavy = channel.send("heavy", { signal: controller.signal });
      controller.abort("stop");
      await assert.rejects(heavy, (error) => error === "stop");
      assert.equal(channel.statistics().weight, 4);
    });
  });

  test("sliding pushes out as many as it takes", async () => {
    await world(() => {
      const channel = new Channel<string>({ capacity: 5, weigh, overflow: "sliding" });
      for (const text of ["aa", "bb", "c"]) assert.equal(channel.trySend(text), true);
      assert.equal(channel.trySend("ddd"), true);
      const { dropped, buffered, weight } = channel.statistics();
      assert.deepEqual({ dropped, buffered, weight }, { dropped: 2, buffered: 2, weight: 4 });
      assert.equal(channel.trySend("far too long"), true);
      assert.deepEqual([channel.tryReceive(), channel.tryReceive()], [{ value: "far too long" }, undefined]);
    });
  });

  test("weighs each value once, so that one that changes meanwhile does no harm", async () => {
    await world(async () => {
      let weighed = 0;
      const channel = new Channel<number[]>({ capacity: 3, weigh: (list) => (weighed++, list.length) });
      const list = [1, 2];
      await channel.send(list);
      const waiting = channel.send([3, 4]);
      list.push(3, 4, 5);
      await channel.receive();
      await waiting;
      await channel.receive();
      assert.equal(channel.statistics().weight, 0);
      assert.equal(weighed, 2);
      assert.equal(channel.trySend([1, 2, 3]), true);
    });
  });

  test("leaves nothing of fractions", async () => {
    await world(() => {
      const channel = new Channel<number>({ capacity: 1, weigh: (n) => n });
      for (let i = 0; i < 9; i++) assert.equal(channel.trySend(0.1), true);
      for (let i = 0; i < 9; i++) channel.tryReceive();
      assert.equal(channel.statistics().weight, 0);
      assert.equal(channel.trySend(1), true);
    });
  });

  test("refuses a weight that is none, and takes nothing in", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1, weigh: (n) => n, name: "mail" });
      for (const bad of [-1, NaN, Infinity]) {
        const message =
          `Cannot send to channel "mail" as weigh must give a finite number >= 0: received ${bad}`;
        await assert.rejects(channel.send(bad), { name: "RangeError", message });
        assert.throws(() => channel.trySend(bad), { name: "RangeError", message });
        assert.throws(() => channel.sending(bad), { name: "RangeError", message });
      }
      assert.equal(channel.statistics().sent, 0);
      assert.throws(() => new Channel({ weigh: 1 as never }), TypeError);
    });
  });

  test("refuses a weight that is no number, whichever way it is sent", async () => {
    await world(async () => {
      for (const bad of ["5", 5n, null, undefined, true, {}, Symbol("5")]) {
        const channel = new Channel<number>({ capacity: 1, weigh: () => bad as number });
        await assert.rejects(channel.send(1), TypeError);
        assert.throws(() => channel.trySend(1), TypeError);
        assert.throws(() => channel.sending(1), TypeError);
        const { buffered, weight, sent } = channel.statistics();
        assert.deepEqual({ buffered, weight, sent }, { buffered: 0, weight: 0, sent: 0 });
      }
    });
  });

  test("never holds more than it may but for one heavy value, and forgets no weight, at random", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("send" as const), weight: fc.nat(6) }),
      fc.record({
        do: fc.constantFrom("receive" as const, "abort" as const, "trySend" as const),
        weight: fc.nat(6),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 5 }),
        fc.array(step, { maxLength: 60, size: "max" }),
        (capacity, steps) =>
          world(() => {
            const channel = new Channel<{ weight: number }>({ capacity, weigh: ({ weight }) => weight });
            // The model: held, and in line.
            const held: number[] = [];
            let line: { weight: number; abort: () => void }[] = [];
            const total = (): number => held.reduce((sum, weight) => sum + weight, 0);
            const fits = (weight: number): boolean =>
              held.length === 0 ? capacity > 0 : total() + weight <= capacity;
            const admit = (): void => {
              while (line.length > 0 && fits(line[0]!.weight)) held.push(line.shift()!.weight);
            };
            for (const { do: what, weight } of steps) {
              if (what === "send") {
                const controller = new AbortController();
                channel.send({ weight }, { signal: controller.signal }).catch(ignore);
                line.push({ weight, abort: () => controller.abort() });
                admit();
              } else if (what === "trySend") {
                const room = line.length === 0 && fits(weight);
                assert.equal(channel.trySend({ weight }), room);
                if (room) held.push(weight);
              } else if (what === "receive") {
                const expected = held.length > 0 ? held.shift() : line.shift()?.weight;
                admit();
                assert.equal(channel.tryReceive()?.value.weight, expected);
              } else if (line.length > 0) {
                const gone = line[weight % line.length]!;
                line = line.filter((it) => it !== gone);
                gone.abort();
                admit();
              }
              const { weight: now, buffered, sending } = channel.statistics();
              assert.deepEqual([now, buffered, sending], [total(), held.length, line.length]);
              assert.ok(now <= capacity || buffered === 1);
            }
            channel.close();
            for (let box = channel.tryReceive(); box; box = channel.tryReceive()) held.shift();
            assert.equal(held.length, 0);
            assert.equal(channel.statistics().weight, 0);
          }),
      ),
      { seed: 41, numRuns: 300 },
    );
  });
});
