import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { Broadcast, Channel, ChannelClosedError, select } from "../../../src/sync/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

/** What is still in a channel. */
function rest(channel: Channel<number>): number[] {
  const values: number[] = [];
  for (let box = channel.tryReceive(); box; box = channel.tryReceive()) values.push(box.value);
  return values;
}

/** That nothing was lost or doubled on the way, and nobody stands in line. */
function assertWhole(channel: Channel<number>, sent: number[], received: number[]): void {
  const numbers = (a: number, b: number): number => a - b;
  assert.deepEqual([...received, ...rest(channel)].toSorted(numbers), sent.toSorted(numbers));
  const { sending, receiving } = channel.statistics();
  assert.deepEqual([sending, receiving], [0, 0]);
}

function sendingAndReceiving(capacity: number): Operation {
  return {
    name: `sending and receiving, with room for ${capacity}`,
    covers: ["Channel.send", "Channel.receive"],
    scene: () => {
      const channel = new Channel<number>({ capacity });
      const [sent, received]: number[][] = [[], []];
      const send = async (from: number, signal?: AbortSignal): Promise<void> => {
        for (let value = from; value < from + 3; value++) {
          await channel.send(value, { signal });
          sent!.push(value);
          if (value % 2) await sleep(1, { signal });
        }
      };
      const receive = async (count: number, signal?: AbortSignal): Promise<void> => {
        if (count > 1) await sleep(2 * count); // Until there is no room left.
        for (let i = 0; i < count; i++) received!.push(await channel.receive({ signal }));
      };
      // Stands in for those who gave up, until nobody waits any more.
      const help = async (): Promise<void> => {
        for (let quiet = 0, filler = 50; quiet < 4; quiet++) {
          await sleep(quiet === 0 ? 9 : 1);
          const { sending, receiving } = channel.statistics();
          if (sending > 0) received!.push(await channel.receive());
          else if (receiving > 0) await channel.send(++filler).then(() => sent!.push(filler));
          if (sending + receiving > 0) quiet = 0;
        }
      };
      return {
        // Those without a signal must come to their end even if all the others give up.
        act: (signal) =>
          all(
            receive(1, signal),
            sleep(1).then(() => send(10, signal)),
            sleep(1).then(() => send(20)),
            receive(3, signal),
            receive(2),
            mayBeLate(channel.receive({ signal, timeoutMs: 2 }).then((value) => received!.push(value))),
            mayBeLate(channel.send(30, { signal, timeoutMs: 2 }).then(() => sent!.push(30))),
            help(),
          ),
        check: () => assertWhole(channel, sent!, received!),
      };
    },
  };
}

export const operations: readonly Operation[] = [
  sendingAndReceiving(0),
  sendingAndReceiving(1),
  sendingAndReceiving(2),
  {
    name: "receiving several at once, and iterating",
    covers: ["Channel.receiveMany", "Channel.values", "Channel[Symbol.asyncIterator]"],
    scene: () => {
      const channel = new Channel<number>({ capacity: 1 });
      const [sent, received]: number[][] = [[], []];
      const produce = async (): Promise<void> => {
        for (let value = 0; value < 9; value++) {
          await channel.send(value);
          sent!.push(value);
          if (value % 3 === 0) await sleep(1);
        }
        channel.close();
      };
      return {
        act: (signal) =>
          all(
            produce(),
            (async () => {
              for await (const value of channel.values({ signal })) received!.push(value);
            })(),
            channel.receiveMany(3, { signal, withinMs: 3 }).then((values) => received!.push(...values)),
            (async () => {
              for await (const value of channel) received!.push(value);
            })(),
          ),
        check: () => assertWhole(channel, sent!, received!),
      };
    },
  },
  {
    name: "piping from a stream and an iterable, and reading as a stream",
    covers: ["Channel.pipeFrom", "Channel.readable"],
    scene: () => {
      const [first, second] = [new Channel<number>({ capacity: 1 }), new Channel<number>()];
      const received: number[] = [];
      let given = 0;
      let closed = 0;
      async function* source(): AsyncGenerator<number> {
        try {
          while (given < 5) {
            await sleep(1);
            yield given++;
          }
        } finally {
          closed++;
        }
      }
      return {
        act: async (signal) => {
          const consuming = (async () => {
            for await (const value of second) received.push(value);
          })();
          // What is not piped on is looked for where it was left.
          const piping = second.pipeFrom(first.readable(), { signal, preventClose: true });
          await all(first.pipeFrom(source(), { signal }), piping).finally(async () => {
            second.close();
            await consuming;
            await sleep(3);
          });
        },
        check: () => {
          const found = [...received, ...rest(second), ...rest(first)];
          assert.deepEqual(found.toSorted(), Array.from({ length: given }, (_, i) => i));
          assert.equal(closed, given > 0 ? 1 : closed);
          for (const { sending, receiving } of [first.statistics(), second.statistics()]) {
            assert.deepEqual([sending, receiving], [0, 0]);
          }
        },
      };
    },
  },
  {
    name: "selecting among sends and receives",
    covers: ["select"],
    scene: () => {
      const [a, b] = [new Channel<number>(), new Channel<number>({ capacity: 1 })];
      const [sent, received]: number[][] = [[], []];
      const put = async (value: number, signal?: AbortSignal): Promise<void> => {
        const cases = [a.sending(value), b.sending(value)];
        await select(cases, { signal });
        sent!.push(value);
      };
      const take = async (signal?: AbortSignal, timeoutMs?: number): Promise<void> => {
        received!.push(await select([a.receiving(), b.receiving()], { signal, timeoutMs }));
      };
      const drain = async (): Promise<void> => {
        await sleep(5);
        while (a.statistics().sending + b.statistics().sending > 0) await take();
        a.close();
        b.close();
      };
      const untilClosed = async (taking: Promise<void>): Promise<void> => {
        try {
          await taking;
        } catch (error) {
          if (!(error instanceof ChannelClosedError)) throw error;
        }
      };
      return {
        act: (signal) =>
          all(
            take(signal),
            put(1, signal),
            put(2),
            untilClosed(take()),
            mayBeLate(take(signal, 2)),
            sleep(1).then(() => put(3)),
            sleep(1, { signal }).then(() => put(4, signal)),
            sleep(2, { signal }).then(() => untilClosed(take(signal))),
            drain(),
          ),
        check: () => {
          received!.push(...rest(a));
          assertWhole(b, sent!, received!);
          const { sending, receiving } = a.statistics();
          assert.deepEqual([sending, receiving], [0, 0]);
        },
      };
    },
  },
  {
    name: "a broadcast whose slowest subscriber holds the senders up",
    covers: [
      "Broadcast.send",
      "BroadcastSubscription.receive",
      "BroadcastSubscription.values",
      "BroadcastSubscription[Symbol.asyncIterator]",
    ],
    scene: () => {
      const broadcast = new Broadcast<number>({ capacity: 1, replay: 1 });
      const sent: number[] = [];
      const [steady, gone]: number[][] = [[], []];
      const send = async (from: number, signal?: AbortSignal): Promise<void> => {
        for (let value = from; value < from + 3; value++) {
          await broadcast.send(value, { signal });
          sent.push(value);
        }
      };
      const follow = async (): Promise<void> => {
        for await (const value of broadcast.subscribe()) {
          steady!.push(value);
          await sleep(1);
        }
      };
      const leave = async (signal: AbortSignal): Promise<void> => {
        for await (const value of broadcast.subscribe().values({ signal })) {
          if (gone!.push(value) === 2) await sleep(3, { signal });
        }
      };
      const receive = async (signal: AbortSignal): Promise<void> => {
        using subscription = broadcast.subscribe();
        await subscription.receive({ signal });
      };
      const quiet = async (): Promise<void> => {
        do await sleep(3); while (broadcast.statistics().sending > 0 || broadcast.statistics().behind > 0);
        broadcast.close();
      };
      return {
        act: (signal) =>
          all(
            follow(),
            leave(signal),
            send(10, signal),
            send(20),
            receive(signal),
            mayBeLate(broadcast.send(30, { signal, timeoutMs: 2 }).then(() => sent.push(30))),
            quiet(),
          ),
        check: () => {
          const numbers = (a: number, b: number): number => a - b;
          assert.deepEqual(steady!.toSorted(numbers), sent.toSorted(numbers));
          assert.deepEqual(gone, steady!.slice(0, gone!.length), "in the same order");
          const { sending, subscribers } = broadcast.statistics();
          assert.deepEqual([sending, subscribers], [0, 0]);
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
