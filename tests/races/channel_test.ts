import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ignore } from "../../src/kernel/deferred.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import type { WaitOptions } from "../../src/kernel/types.ts";
import { Channel, ChannelClosedError } from "../../src/sync/channel.ts";
import { world } from "../../src/testing/mod.ts";

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("send" as const), limited: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("receive" as const), limited: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("trySend" as const, "tryReceive" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("advance" as const, "turn" as const) }) },
);

describe("Channel at random", () => {
  test("loses no value, doubles none and keeps their order, whatever happens in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 1, 3, Infinity),
        fc.array(step, { maxLength: 80, size: "max" }),
        (capacity, steps) =>
          world(async (w) => {
            const channel = new Channel<number>({ capacity });
            // The model: the values held or offered, in order, and who waits for one.
            const offered: { value: number }[] = [];
            const receivers: { id: number }[] = [];
            const giveUps: (() => void)[] = [];
            const expected: (number | "gave up" | "waiting")[] = [];
            const actual: typeof expected = [];
            const sends: Promise<unknown>[] = [];
            let next = 0;
            const match = (): void => {
              while (offered.length > 0 && receivers.length > 0) {
                expected[receivers.shift()!.id] = offered.shift()!.value;
              }
            };
            const drop = <E>(list: E[], entry: E): void => {
              const index = list.indexOf(entry);
              if (index >= 0) list.splice(index, 1);
            };
            const options = (limited: boolean, gone: () => void): WaitOptions => {
              const controller = new AbortController();
              giveUps.push(() => {
                controller.abort();
                gone();
              });
              return { signal: controller.signal, timeoutMs: limited ? 10 : Infinity };
            };
            const limits: (() => void)[] = [];
            for (const step of steps) {
              if (step.do === "send") {
                const entry = { value: next++ };
                // A value is taken in at once when somebody waits for it or there is room.
                const takenIn = receivers.length > 0 || offered.length < capacity;
                const gone = (): void => {
                  if (offered.indexOf(entry) >= capacity) drop(offered, entry);
                };
                const send = channel.send(entry.value, options(step.limited && !takenIn, gone));
                send.catch(ignore);
                sends.push(send);
                offered.push(entry);
                match();
                if (step.limited && !takenIn) limits.push(gone);
              } else if (step.do === "receive") {
                const entry = { id: expected.length };
                const gone = (): void => {
                  if (!receivers.includes(entry)) return;
                  drop(receivers, entry);
                  expected[entry.id] = "gave up";
                };
                receivers.push(entry);
                expected.push("waiting");
                actual.push("waiting");
                channel.receive(options(step.limited, gone)).then(
                  (value) => actual[entry.id] = value,
                  () => actual[entry.id] = "gave up",
                );
                match();
                if (step.limited) limits.push(gone);
              } else if (step.do === "trySend") {
                const fits = receivers.length > 0 || offered.length < capacity;
                assert.equal(channel.trySend(next), fits);
                if (fits) offered.push({ value: next++ });
                match();
              } else if (step.do === "tryReceive") {
                const box = channel.tryReceive();
                const first = receivers.length > 0 ? undefined : offered.shift();
                assert.deepEqual(box, first && { value: first.value });
              } else if (step.do === "abort" && giveUps.length > 0) {
                giveUps.splice(step.which % giveUps.length, 1)[0]!();
              } else if (step.do === "advance") {
                await w.advance(10);
                for (const gone of limits.splice(0)) gone();
              } else if (step.do === "turn") await Promise.resolve();
              const { buffered, sending, receiving } = channel.statistics();
              assert.deepEqual(
                [buffered, sending, receiving],
                [
                  Math.min(offered.length, capacity),
                  Math.max(0, offered.length - capacity),
                  receivers.length,
                ],
              );
            }
            await w.idle();
            assert.deepEqual(actual, expected);
            // What is still there comes out in order, and nothing else.
            const rest: number[] = [];
            for (let box = channel.tryReceive(); box; box = channel.tryReceive()) rest.push(box.value);
            assert.deepEqual(rest, offered.map(({ value }) => value));
            channel.close();
            await w.idle();
            for (const { id } of receivers) expected[id] = "gave up";
            assert.deepEqual(actual, expected);
            await Promise.allSettled(sends);
            const { sent, received } = channel.statistics();
            assert.equal(sent, received);
            assert.equal(w.timers.length, 0);
          }, { auto: false }),
      ),
      { seed: 31, numRuns: 200 },
    );
  });

  test("keeps each sender's order among many senders and receivers, until it is closed", async () => {
    const plan = fc.record({
      capacity: fc.constantFrom(0, 1, 4),
      senders: fc.array(fc.array(fc.nat(3), { maxLength: 10, size: "max" }), { minLength: 1, maxLength: 4 }),
      receivers: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
      closeMs: fc.constantFrom(5, 15, 1_000),
    });
    await fc.assert(
      fc.asyncProperty(plan, ({ capacity, senders, receivers, closeMs }) =>
        world(async () => {
          const channel = new Channel<[sender: number, index: number]>({ capacity });
          const taken: string[] = [];
          const received: string[] = [];
          const sending = senders.map(async (pauses, sender) => {
            try {
              for (const [index, pauseMs] of pauses.entries()) {
                await sleep(pauseMs);
                if (await channel.send([sender, index])) taken.push(`${sender}:${index}`);
              }
            } catch (error) {
              if (!(error instanceof ChannelClosedError)) throw error;
            }
          });
          const receiving = receivers.map(async (pauseMs) => {
            const last = new Map<number, number>();
            for await (const [sender, index] of channel) {
              assert.ok(index > (last.get(sender) ?? -1));
              last.set(sender, index);
              received.push(`${sender}:${index}`);
              await sleep(pauseMs);
            }
          });
          await sleep(closeMs);
          channel.close();
          await Promise.all([...sending, ...receiving]);
          assert.deepEqual(received.toSorted(), taken.toSorted());
          for (const [sender] of senders.entries()) {
            const mine = received.filter((value) => value.startsWith(`${sender}:`));
            assert.deepEqual(mine, mine.map((_, index) => `${sender}:${index}`));
          }
        })),
      { seed: 37, numRuns: 150 },
    );
  });
});
