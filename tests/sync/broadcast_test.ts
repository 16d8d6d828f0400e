import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { observe } from "../../src/kernel/observer.ts";
import {
  Broadcast,
  type BroadcastOptions,
  type BroadcastSubscription,
  Channel,
  ClosedError,
  LaggedError,
  select,
  TimeoutError,
} from "../../src/sync/mod.ts";
import { Listener } from "../../src/sync/_broadcast_subscription.ts";
import { world } from "../../src/testing/mod.ts";

/** What can be received without waiting. */
function unread<T>(subscription: BroadcastSubscription<T>): T[] {
  const values: T[] = [];
  for (let box = subscription.tryReceive(); box; box = subscription.tryReceive()) values.push(box.value);
  return values;
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

describe("Broadcast", () => {
  test("gives each value to every subscriber, in order, from when it subscribed", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number | undefined>();
      await broadcast.send(0);
      const early = broadcast.subscribe();
      const waiting = [early.receive(), early.receive()];
      await broadcast.send(undefined);
      const late = broadcast.subscribe();
      await broadcast.send(2);
      broadcast.close();
      assert.deepEqual(await Promise.all(waiting), [undefined, 2]);
      assert.deepEqual([late.unread, await collect(late), await collect(early)], [1, [2], []]);
    });
  });

  test("lets in whatever waits to be sent, undefined too", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number | undefined>({ capacity: 1 });
      using subscription = broadcast.subscribe();
      await broadcast.send(1);
      const sending = broadcast.send(undefined, { timeoutMs: 5 });
      assert.equal(await subscription.receive(), 1);
      await sending;
      assert.deepEqual(subscription.tryReceive(), { value: undefined });
    });
  });

  test("a late subscriber gets the latest values first, as many as are replayed (CH-08)", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 3, replay: 2 });
      assert.deepEqual(unread(broadcast.subscribe()), []);
      for (let i = 1; i <= 2; i++) await broadcast.send(i);
      assert.deepEqual(unread(broadcast.subscribe()), [1, 2]);
      await broadcast.send(3);
      assert.deepEqual(unread(broadcast.subscribe()), [2, 3]);
      broadcast.close();
      assert.throws(() => broadcast.subscribe(), /^ClosedError: Cannot use broadcast: it is closed$/);
    });
  });

  test('"block": the slowest holds the senders up, who are served in order (CH-08)', async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 1, name: "b" });
      const [slow, quick] = [broadcast.subscribe(), broadcast.subscribe()];
      assert.equal(broadcast.trySend(1), true);
      assert.equal(broadcast.trySend(2), false);
      const done: number[] = [];
      const sends = [2, 3].map((value) => broadcast.send(value).then(() => done.push(value)));
      assert.deepEqual(unread(quick), [1]);
      await sleep(1);
      assert.deepEqual([done, quick.unread], [[], 0], "nobody gets it before all can");
      const { behind, sending, sent } = broadcast.statistics();
      assert.deepEqual([behind, sending, sent], [1, 2, 1]);
      await assert.rejects(broadcast.send(9, { timeoutMs: 1 }), {
        name: "TimeoutError",
        message: 'Cannot send to broadcast "b" within 1 ms: 1 of 2 subscribers have no room, 3 sending',
      });
      assert.equal(await slow.receive(), 1);
      await sleep(1);
      assert.deepEqual([done, unread(quick)], [[2], [2]]);
      slow[Symbol.dispose]();
      await Promise.all(sends);
      assert.deepEqual([done, unread(quick), broadcast.statistics().subscribers], [[2, 3], [3], 1]);
    });
  });

  test('"sliding": a slow one misses the oldest values and knows how many (CH-08)', async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 2, overflow: "sliding" });
      const [slow, quick] = [broadcast.subscribe(), broadcast.subscribe()];
      const seen: number[] = [];
      for (let i = 1; i <= 5; i++) {
        await broadcast.send(i);
        seen.push(...unread(quick));
      }
      assert.deepEqual([seen, quick.missed], [[1, 2, 3, 4, 5], 0]);
      assert.deepEqual([unread(slow), slow.missed, broadcast.statistics().missed], [[4, 5], 3, 3]);
    });
  });

  test('"disconnect": a slow one is cut off, and told after what it has unread (CH-08)', async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 2, overflow: "disconnect", name: "b" });
      const [slow, quick] = [broadcast.subscribe(), broadcast.subscribe()];
      const loop = collect(quick);
      for (let i = 1; i <= 4; i++) {
        await broadcast.send(i);
        await sleep(1);
      }
      const { subscribers, disconnected } = broadcast.statistics();
      assert.deepEqual([subscribers, disconnected], [1, 1]);
      broadcast.close();
      assert.deepEqual(await loop, [1, 2, 3, 4]);
      assert.deepEqual([await slow.receive(), await slow.receive()], [1, 2]);
      const lagged = {
        name: "LaggedError",
        message: 'Cannot keep up with broadcast "b": its subscriber has 2 values unread',
      };
      await assert.rejects(slow.receive(), lagged);
      await assert.rejects(
        collect(slow),
        (error) => error instanceof LaggedError && error instanceof ClosedError,
      );
    });
  });

  test("leaving a loop, or giving it up, ends the subscription and frees what it held (CH-08)", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 1 });
      for (const how of ["break", "throw", "abort", "limit"]) {
        const controller = new AbortController();
        const options = how === "limit" ? { timeoutMs: 2 } : { signal: controller.signal };
        const loop = (async () => {
          for await (const _ of broadcast.subscribe().values(options)) {
            if (how === "break") break;
            if (how === "throw") throw new Error("throw");
            if (how === "abort") queueMicrotask(() => controller.abort("abort"));
          }
        })().catch((error) => error?.message ?? error);
        await broadcast.send(1);
        const sends = Promise.all([2, 3].map((value) => broadcast.send(value)));
        await loop;
        await sends;
        assert.equal(broadcast.statistics().subscribers, 0, how);
      }
    });
  });

  test("a send that gives up is delivered to nobody; a receive that gives up takes nothing", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 1 });
      const [a, b] = [broadcast.subscribe(), broadcast.subscribe()];
      const controller = new AbortController();
      const receive = a.receive({ signal: controller.signal });
      controller.abort("gone");
      await assert.rejects(receive, (error) => error === "gone");
      await broadcast.send(1);
      const again = new AbortController();
      const send = broadcast.send(2, { signal: again.signal });
      const next = broadcast.send(3);
      again.abort("gone");
      await assert.rejects(send, (error) => error === "gone");
      assert.deepEqual([unread(a), unread(b)], [[1], [1, 3]]);
      await next;
      assert.deepEqual([unread(a), unread(b)], [[3], []]);
      await assert.rejects(broadcast.send(4, { signal: again.signal }), (error) => error === "gone");
      await assert.rejects(a.receive({ timeoutMs: 1 }), TimeoutError);
      assert.deepEqual(broadcast.statistics().aborted, 2);
    });
  });

  test("abort and room in one turn, both orders: one outcome", async () => {
    await world(async () => {
      for (const abortFirst of [true, false]) {
        const broadcast = new Broadcast<number>({ capacity: 1 });
        const subscription = broadcast.subscribe();
        await broadcast.send(1);
        const controller = new AbortController();
        const outcome = broadcast.send(2, { signal: controller.signal }).then(() => "sent", () => "aborted");
        if (abortFirst) controller.abort();
        subscription.tryReceive();
        controller.abort();
        assert.equal(await outcome, abortFirst ? "aborted" : "sent");
        assert.deepEqual(unread(subscription), abortFirst ? [] : [2]);
      }
    });
  });

  test("close sends away who waits; with a reason everybody is told, after what is unread", async () => {
    await world(async () => {
      for (const reason of [undefined, "failed", null]) {
        const broadcast = new Broadcast<number>({ capacity: 1, replay: 1 });
        const [behind, waiting, looping] = [1, 2, 3].map(() => broadcast.subscribe()) as [
          BroadcastSubscription<number>,
          BroadcastSubscription<number>,
          BroadcastSubscription<number>,
        ];
        const loop = collect(looping);
        await broadcast.send(1);
        assert.equal(await waiting.receive(), 1);
        const parties = [waiting.receive(), broadcast.send(2)];
        broadcast.close(reason);
        broadcast.close("again");
        const told = (error: unknown): boolean =>
          reason === undefined ? error instanceof ClosedError : error === reason;
        for (const party of [...parties, broadcast.send(3)]) await assert.rejects(party, told);
        if (reason === undefined) assert.deepEqual(await loop, [1]);
        else await assert.rejects(loop, told);
        assert.equal(broadcast.trySend(3), false);
        assert.equal(await behind.receive(), 1);
        await assert.rejects(behind.receive(), told);
      }
    });
  });

  test("disposing twice, or after the end, does nothing; who waits is sent away", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ name: "b" });
      const subscription = broadcast.subscribe();
      const [receive, loop] = [subscription.receive(), collect(subscription)];
      subscription[Symbol.dispose]();
      subscription[Symbol.dispose]();
      await assert.rejects(receive, {
        name: "ClosedError",
        message: 'Cannot receive from broadcast "b": the subscription was disposed of',
      });
      assert.deepEqual(await loop, []);
      await broadcast.send(1);
      assert.equal(subscription.tryReceive(), undefined);
      broadcast.close();
      subscription[Symbol.dispose]();
    });
  });

  test("can be selected from, and leaves the line when another is chosen", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 1 });
      const channel = new Channel<string>();
      const subscription = broadcast.subscribe();
      const cases = [subscription.receiving((n) => `number ${n}`), channel.receiving()] as const;
      const first = select(cases);
      await broadcast.send(1);
      assert.equal(await first, "number 1");
      const second = select(cases);
      await channel.send("word");
      assert.equal(await second, "word");
      await broadcast.send(2);
      assert.equal(await select([subscription.receiving()]), 2);
      broadcast.close("over");
      await assert.rejects(select([subscription.receiving()]), (error) => error === "over");
    });
  });

  test("an observer that sends when it is told breaks no order", async () => {
    for (const overflow of ["block", "sliding", "disconnect"] as const) {
      await world(async () => {
        const broadcast = new Broadcast<number>({ capacity: 1, overflow });
        const seen = [1, 2, 3].map(() => [] as number[]);
        const loops = seen.map(async (values) => {
          try {
            for await (const value of broadcast.subscribe()) values.push(value);
          } catch (error) {
            assert.ok(overflow === "disconnect" && error instanceof LaggedError);
          }
        });
        let next = 1;
        const observer = observe({
          record: ({ kind, structure }) => {
            if (structure === "broadcast" && kind === "grant" && next < 8) void broadcast.send(next++);
          },
        });
        await broadcast.send(0);
        for (let i = 0; i < 20; i++) await sleep(1);
        observer[Symbol.dispose]();
        broadcast.close();
        await Promise.all(loops);
        const { sent } = broadcast.statistics();
        assert.ok(sent > 3);
        for (const values of seen) {
          assert.deepEqual(values, [...new Set(values)].sort(), "in order, and each once");
          if (overflow === "block") assert.equal(values.length, sent, "and all of them");
        }
      });
    }
  });

  test("all who subscribe get a value, or nobody, if an observer closes it when it is told", async () => {
    for (const waiting of [false, true]) {
      await world(async () => {
        const broadcast = new Broadcast<number>({ capacity: 1 });
        const subscriptions = [1, 2, 3].map(() => broadcast.subscribe());
        if (waiting) await broadcast.send(0);
        const sending = waiting ? broadcast.send(1) : undefined;
        if (waiting) assert.deepEqual(subscriptions.slice(1).map(unread), [[0], [0]]);
        const receiving = subscriptions.slice(1).map((subscription) => subscription.receive());
        using _closing = observe({ record: ({ kind }) => void (kind === "grant" && broadcast.close()) });
        if (waiting) assert.deepEqual(subscriptions[0]!.tryReceive(), { value: 0 });
        else assert.equal(broadcast.trySend(1), true);
        await sending;
        assert.equal(broadcast.closed, true);
        assert.deepEqual(await Promise.all(receiving), [1, 1]);
        assert.deepEqual(await collect(subscriptions[0]!), [1]);
      });
    }
  });

  test('"block": the longer the list of subscribers, the longer takes a send, but not a receive', async (t) => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ capacity: 1 });
      const subscriptions = Array.from({ length: 100 }, () => broadcast.subscribe());
      let looks = 0;
      const { get } = Object.getOwnPropertyDescriptor(Listener.prototype, "unread")!;
      t.mock.getter(Listener.prototype, "unread", function (this: Listener<number>): number {
        looks++;
        return get!.call(this);
      });
      await broadcast.send(0);
      const sending = [1, 2, 3].map((value) => broadcast.send(value));
      const late = [1, 2, 3].map((timeoutMs) => broadcast.send(-1, { timeoutMs }));
      await Promise.all(
        late.map((sending) => assert.rejects(sending, /: 100 of 100 subscribers have no room/)),
      );
      for (let value = 0; value < 4; value++) {
        for (const subscription of subscriptions) assert.deepEqual(subscription.tryReceive(), { value });
      }
      await Promise.all(sending);
      assert.ok(looks <= 800, `looked ${looks} times at a subscriber`);
    });
  });

  test("its statistics stand any number of subscribers", () => {
    const broadcast = new Broadcast<number>();
    for (let i = 0; i < 200_000; i++) broadcast.subscribe();
    assert.equal(broadcast.trySend(1), true);
    const { subscribers, behind } = broadcast.statistics();
    assert.deepEqual([subscribers, behind], [200_000, 1]);
  });

  test("a thousand subscribers come and gone leave nothing", async () => {
    await world(async () => {
      const broadcast = new Broadcast<number>({ replay: 1 });
      for (let round = 0; round < 3; round++) {
        const subscriptions = Array.from({ length: 1_000 }, () => broadcast.subscribe());
        const receives = subscriptions.map((subscription) => subscription.receive());
        await broadcast.send(round);
        assert.deepEqual(new Set(await Promise.all(receives)), new Set([round === 0 ? 0 : round - 1]));
        for (const subscription of subscriptions) subscription[Symbol.dispose]();
      }
      assert.deepEqual(broadcast.statistics(), {
        capacity: 16,
        subscribers: 0,
        behind: 0,
        sending: 0,
        closed: false,
        sent: 3,
        missed: 0,
        disconnected: 0,
        aborted: 0,
        timedOut: 0,
      });
    });
  });

  test("refuses wrong options", async () => {
    const wrong: [unknown, RegExp][] = [
      [null, /^TypeError: Cannot create broadcast as options must be an object: received null$/],
      [
        { capacity: 0 },
        /^RangeError: Cannot create broadcast as capacity must be an integer >= 1: received 0$/,
      ],
      [{ capacity: Infinity }, /^RangeError: /],
      [{ capacity: "1" }, /^TypeError: /],
      [{ capacity: 2, replay: 3 }, /as replay must be an integer from 0 to 2: received 3$/],
      [{ replay: NaN }, /^RangeError: /],
      [{ overflow: "dropping" }, /must be one of "block", "sliding", "disconnect": received "dropping"$/],
      [{ name: 1 }, /^TypeError: /],
    ];
    for (const [options, message] of wrong) {
      assert.throws(() => new Broadcast(options as BroadcastOptions), message);
    }
    const broadcast = new Broadcast<number>();
    await assert.rejects(broadcast.send(1, { timeoutMs: -1 }), RangeError);
    await assert.rejects(broadcast.subscribe().receive({ signal: 1 as unknown as AbortSignal }), TypeError);
    assert.throws(() => broadcast.subscribe().receiving(1 as unknown as () => void), TypeError);
    assert.equal(broadcast.statistics().sent, 0);
  });
});
