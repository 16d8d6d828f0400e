import assert from "node:assert/strict";
import { Channel } from "../../src/sync/channel.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";
import { HandChannel } from "./_by_hand.ts";

const TIMES = 50_000;
const BURST = 100_000;

interface Ends {
  send(value: number): Promise<unknown>;
  receive(): Promise<number>;
}

async function checkOrder(channel: Ends): Promise<Ends> {
  const received: number[] = [];
  const sending = (async () => {
    for (let i = 0; i < 100; i++) await channel.send(i);
  })();
  for (let i = 0; i < 100; i++) received.push(await channel.receive());
  await sending;
  assert.deepEqual(received, Array.from({ length: 100 }, (_, i) => i));
  return channel;
}

async function check(): Promise<unknown> {
  const checked: unknown[] = [];
  for (const capacity of [0, 1, 16]) {
    checked.push(await checkOrder(new HandChannel(capacity)));
    checked.push(await checkOrder(new Channel<number>({ capacity })));
  }
  for (const channel of [new HandChannel(0), new Channel<number>()]) checked.push(channel.send(1), channel);
  for (const channel of [new HandChannel(0), new Channel<number>()]) checked.push(channel.receive(), channel);
  return checked;
}

export const cases: readonly Case[] = [
  {
    name: "channel: bounded 16, one sender, one receiver",
    ops: TIMES,
    target: 1.2,
    check,
    async minimum() {
      const channel = new HandChannel(16);
      const send = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await channel.send(i);
      };
      const receive = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) sink(await channel.receive());
      };
      await Promise.all([send(), receive()]);
    },
    async ours() {
      const channel = new Channel<number>({ capacity: 16 });
      const send = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await channel.send(i);
      };
      const receive = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) sink(await channel.receive());
      };
      await Promise.all([send(), receive()]);
    },
  },
  {
    name: "channel: bounded 16, for await (by hand: receive)",
    ops: TIMES,
    check,
    async minimum() {
      const channel = new HandChannel(16);
      const send = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await channel.send(i);
      };
      const receive = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) sink(await channel.receive());
      };
      await Promise.all([send(), receive()]);
    },
    async ours() {
      const channel = new Channel<number>({ capacity: 16 });
      const send = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await channel.send(i);
        channel.close();
      };
      const receive = async (): Promise<void> => {
        for await (const value of channel) sink(value);
      };
      await Promise.all([send(), receive()]);
    },
  },
  {
    name: "channel: burst of 100,000, then received",
    ops: BURST,
    target: 1.3,
    check,
    async minimum() {
      const channel = new HandChannel(Infinity, BURST);
      for (let i = 0; i < BURST; i++) void channel.send(i);
      for (let i = 0; i < BURST; i++) sink(await channel.receive());
    },
    async ours() {
      const channel = new Channel<number>({ capacity: Infinity });
      for (let i = 0; i < BURST; i++) void channel.send(i);
      for (let i = 0; i < BURST; i++) sink(await channel.receive());
    },
  },
  {
    name: "channel: ping-pong",
    ops: TIMES,
    target: 1.3,
    check,
    async minimum() {
      const [there, back] = [new HandChannel(0), new HandChannel(0)];
      const ping = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) {
          await there.send(i);
          sink(await back.receive());
        }
      };
      const pong = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await back.send(await there.receive());
      };
      await Promise.all([ping(), pong()]);
    },
    async ours() {
      const [there, back] = [new Channel<number>(), new Channel<number>()];
      const ping = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) {
          await there.send(i);
          sink(await back.receive());
        }
      };
      const pong = async (): Promise<void> => {
        for (let i = 0; i < TIMES; i++) await back.send(await there.receive());
      };
      await Promise.all([ping(), pong()]);
    },
  },
];
