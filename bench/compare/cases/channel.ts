/** Values handed from one to another: piled up, one by one, with little room. */
import assert from "node:assert/strict";
import { Channel } from "../../../src/sync/channel.ts";
import { sink } from "../../_measure.ts";
import { HandChannel } from "../../cases/_by_hand.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, platform, type Row, theirs } from "../_rows.ts";

interface Pushable {
  push(value: number): unknown;
  end(): unknown;
  next(): Promise<{ value: number; done?: boolean }>;
  [Symbol.asyncIterator](): AsyncIterator<number>;
}
interface PushableModule {
  pushable(options: { objectMode: true }): Pushable;
}

interface Ends {
  send(value: number): unknown;
  receive(): Promise<number>;
}

async function checkOrder({ send, receive }: Ends): Promise<void> {
  const received: number[] = [];
  const sending = (async () => {
    for (let i = 0; i < 100; i++) await send(i);
  })();
  for (let i = 0; i < 100; i++) received.push(await receive());
  await sending;
  assert.deepEqual(received, Array.from({ length: 100 }, (_, i) => i), "values are lost or out of order");
}

function unbounded(): {
  controller: ReadableStreamDefaultController<number>;
  stream: ReadableStream<number>;
} {
  let controller!: ReadableStreamDefaultController<number>;
  const stream = new ReadableStream<number>({ start: (given) => void (controller = given) });
  return { controller, stream };
}

/** Each kind, with values in it, someone who waits for one, and someone who waits for room. */
async function checkHand(): Promise<unknown> {
  const kept: unknown[] = [];
  for (const capacity of [0, 16]) {
    const channel = new HandChannel(capacity);
    await checkOrder({ send: (value) => channel.send(value), receive: () => channel.receive() });
    const empty = new HandChannel(capacity);
    kept.push(channel, channel.send(1), empty, empty.receive());
  }
  return kept;
}

async function checkOurs(): Promise<unknown> {
  const kept: unknown[] = [];
  for (const capacity of [0, 16, Infinity]) {
    const channel = new Channel<number>({ capacity });
    await checkOrder({ send: (value) => channel.send(value), receive: () => channel.receive() });
    const empty = new Channel<number>({ capacity });
    kept.push(channel, channel.send(1), empty, empty.receive());
  }
  return kept;
}

async function checkPushable(pushable: PushableModule["pushable"]): Promise<unknown> {
  const channel = pushable({ objectMode: true });
  await checkOrder({
    send: (value) => channel.push(value),
    receive: async () => (await channel.next()).value,
  });
  const full = pushable({ objectMode: true }).push(1);
  return [channel, channel.next(), full];
}

async function checkStream(): Promise<unknown> {
  const { controller, stream } = unbounded();
  const reader = stream.getReader();
  await checkOrder({
    send: (value) => controller.enqueue(value),
    receive: async () => (await reader.read()).value!,
  });
  return [reader, reader.read()];
}

async function checkEffect({ Effect, Queue }: EffectModule): Promise<unknown> {
  const kept: unknown[] = [];
  for (const make of [() => Queue.unbounded<number>(), () => Queue.bounded<number>(16)]) {
    const queue = await Effect.runPromise(make());
    await checkOrder({
      send: (value) => Effect.runPromise(Queue.offer(queue, value)),
      receive: () => Effect.runPromise(Queue.take(queue)),
    });
    kept.push(queue, Effect.runFork(Queue.take(queue)));
  }
  return kept;
}

const burst: Row = {
  kind: "time",
  name: "channel: burst of 100,000, then received",
  size: 100_000,
  rivals: [
    byHand({
      check: checkHand,
      async run(_, size) {
        const channel = new HandChannel(Infinity, size);
        for (let i = 0; i < size; i++) void channel.send(i);
        for (let i = 0; i < size; i++) sink(await channel.receive());
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const channel = new Channel<number>({ capacity: Infinity });
        for (let i = 0; i < size; i++) void channel.send(i);
        for (let i = 0; i < size; i++) sink(await channel.receive());
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const channel = new Channel<number>({ capacity: Infinity });
        for (let i = 0; i < size; i++) channel.trySend(i);
        channel.close();
        for await (const value of channel) sink(value);
      },
    }, "trySend and for await"),
    theirs("it-pushable", ({ pushable }: PushableModule) => ({
      check: () => checkPushable(pushable),
      async run(_, size) {
        const channel = pushable({ objectMode: true });
        for (let i = 0; i < size; i++) channel.push(i);
        for (let i = 0; i < size; i++) sink((await channel.next()).value);
      },
    })),
    theirs("it-pushable", ({ pushable }: PushableModule) => ({
      check: () => checkPushable(pushable),
      async run(_, size) {
        const channel = pushable({ objectMode: true });
        for (let i = 0; i < size; i++) channel.push(i);
        channel.end();
        for await (const value of channel) sink(value);
      },
    }), "for await"),
    platform("ReadableStream", {
      check: checkStream,
      async run(_, size) {
        const { controller, stream } = unbounded();
        for (let i = 0; i < size; i++) controller.enqueue(i);
        const reader = stream.getReader();
        for (let i = 0; i < size; i++) sink((await reader.read()).value!);
      },
    }),
    theirs("effect", (module: EffectModule) => ({
      check: () => checkEffect(module),
      async run(_, size) {
        const { Effect, Queue } = module;
        await Effect.runPromise(Effect.gen(function* () {
          const queue = yield* Queue.unbounded<number>();
          for (let i = 0; i < size; i++) yield* Queue.offer(queue, i);
          for (let i = 0; i < size; i++) sink(yield* Queue.take(queue));
        }));
      },
    })),
  ],
};

const pingPong: Row = {
  kind: "time",
  name: "channel: ping-pong",
  size: 30_000,
  rivals: [
    byHand({
      check: checkHand,
      async run(_, size) {
        const [there, back] = [new HandChannel(0), new HandChannel(0)];
        const ping = async (): Promise<void> => {
          for (let i = 0; i < size; i++) {
            await there.send(i);
            sink(await back.receive());
          }
        };
        const pong = async (): Promise<void> => {
          for (let i = 0; i < size; i++) await back.send(await there.receive());
        };
        await Promise.all([ping(), pong()]);
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const [there, back] = [new Channel<number>(), new Channel<number>()];
        const ping = async (): Promise<void> => {
          for (let i = 0; i < size; i++) {
            await there.send(i);
            sink(await back.receive());
          }
        };
        const pong = async (): Promise<void> => {
          for (let i = 0; i < size; i++) await back.send(await there.receive());
        };
        await Promise.all([ping(), pong()]);
      },
    }),
    theirs("it-pushable", ({ pushable }: PushableModule) => ({
      check: () => checkPushable(pushable),
      async run(_, size) {
        const [there, back] = [pushable({ objectMode: true }), pushable({ objectMode: true })];
        const ping = async (): Promise<void> => {
          for (let i = 0; i < size; i++) {
            there.push(i);
            sink((await back.next()).value);
          }
        };
        const pong = async (): Promise<void> => {
          for (let i = 0; i < size; i++) back.push((await there.next()).value);
        };
        await Promise.all([ping(), pong()]);
      },
    })),
    platform("ReadableStream", {
      check: checkStream,
      async run(_, size) {
        const [there, back] = [unbounded(), unbounded()];
        const [thereReader, backReader] = [there.stream.getReader(), back.stream.getReader()];
        const ping = async (): Promise<void> => {
          for (let i = 0; i < size; i++) {
            there.controller.enqueue(i);
            sink((await backReader.read()).value!);
          }
        };
        const pong = async (): Promise<void> => {
          for (let i = 0; i < size; i++) back.controller.enqueue((await thereReader.read()).value!);
        };
        await Promise.all([ping(), pong()]);
      },
    }),
    theirs("effect", (module: EffectModule) => ({
      check: () => checkEffect(module),
      async run(_, size) {
        const { Effect, Queue } = module;
        await Effect.runPromise(Effect.gen(function* () {
          const there = yield* Queue.unbounded<number>();
          const back = yield* Queue.unbounded<number>();
          yield* Effect.forkChild(Effect.gen(function* () {
            for (let i = 0; i < size; i++) yield* Queue.offer(back, yield* Queue.take(there));
          }));
          for (let i = 0; i < size; i++) {
            yield* Queue.offer(there, i);
            sink(yield* Queue.take(back));
          }
        }));
      },
    })),
  ],
};

const bounded: Row = {
  kind: "time",
  name: "channel: room for 16, one sender, one receiver",
  size: 50_000,
  rivals: [
    byHand({
      check: checkHand,
      async run(_, size) {
        const channel = new HandChannel(16);
        const send = async (): Promise<void> => {
          for (let i = 0; i < size; i++) await channel.send(i);
        };
        const receive = async (): Promise<void> => {
          for (let i = 0; i < size; i++) sink(await channel.receive());
        };
        await Promise.all([send(), receive()]);
      },
    }),
    ours({
      check: checkOurs,
      async run(_, size) {
        const channel = new Channel<number>({ capacity: 16 });
        const send = async (): Promise<void> => {
          for (let i = 0; i < size; i++) await channel.send(i);
        };
        const receive = async (): Promise<void> => {
          for (let i = 0; i < size; i++) sink(await channel.receive());
        };
        await Promise.all([send(), receive()]);
      },
    }),
    platform("ReadableStream, pull", {
      check: checkStream,
      async run(_, size) {
        let i = 0;
        const stream = new ReadableStream<number>({
          pull(controller) {
            if (i < size) controller.enqueue(i++);
            else controller.close();
          },
        }, { highWaterMark: 16 });
        for await (const value of stream) sink(value);
      },
    }),
    platform("TransformStream", {
      check: checkStream,
      async run(_, size) {
        const { readable, writable } = new TransformStream<number, number>({}, { highWaterMark: 16 });
        const send = async (): Promise<void> => {
          const writer = writable.getWriter();
          for (let i = 0; i < size; i++) {
            await writer.ready;
            void writer.write(i);
          }
          await writer.close();
        };
        const receive = async (): Promise<void> => {
          for await (const value of readable) sink(value);
        };
        await Promise.all([send(), receive()]);
      },
    }),
    theirs("effect", (module: EffectModule) => ({
      check: () => checkEffect(module),
      async run(_, size) {
        const { Effect, Queue } = module;
        await Effect.runPromise(Effect.gen(function* () {
          const queue = yield* Queue.bounded<number>(16);
          yield* Effect.forkChild(Effect.gen(function* () {
            for (let i = 0; i < size; i++) yield* Queue.offer(queue, i);
          }));
          for (let i = 0; i < size; i++) sink(yield* Queue.take(queue));
        }));
      },
    })),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [burst, pingPong, bounded];
