import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { Channel, ChannelClosedError } from "../../src/sync/channel.ts";
import { world } from "../../src/testing/mod.ts";

describe("Channel", () => {
  test("hands values over in order, each to one receiver, at any capacity", async () => {
    for (const capacity of [0, 1, 2, 16, Infinity]) {
      await world(async () => {
        const channel = new Channel<number>({ capacity });
        const received: number[] = [];
        const receive = async (): Promise<void> => {
          for await (const value of channel) {
            received.push(value);
            await sleep(value % 3);
          }
        };
        const receivers = [receive(), receive()];
        for (let i = 0; i < 50; i++) assert.equal(await channel.send(i), true);
        channel.close();
        await Promise.all(receivers);
        assert.deepEqual(received, Array.from({ length: 50 }, (_, i) => i));
        const { sent, received: out, buffered } = channel.statistics();
        assert.deepEqual([sent, out, buffered], [50, 50, 0]);
      });
    }
  });

  test("with no capacity, a send ends when a receiver takes the value", async () => {
    await world(async (w) => {
      const channel = new Channel<string>();
      let sent = false;
      const sending = channel.send("a").then(() => sent = true);
      await w.idle();
      assert.equal(sent, false);
      assert.equal(channel.size, 0);
      assert.equal(await channel.receive(), "a");
      await sending;
      const receiving = channel.receive();
      assert.equal(channel.trySend("b"), true);
      assert.equal(channel.trySend("c"), false);
      assert.equal(await receiving, "b");
    });
  });

  test("holds senders back when full, and lets the longest waiting one in first", async () => {
    await world(async (w) => {
      const channel = new Channel<number>({ capacity: 2 });
      const done: number[] = [];
      const sends = [0, 1, 2, 3].map((i) => channel.send(i).then(() => done.push(i)));
      await w.idle();
      assert.deepEqual(done, [0, 1]);
      assert.equal(channel.trySend(9), false);
      assert.deepEqual(channel.tryReceive(), { value: 0 });
      await w.idle();
      assert.deepEqual(done, [0, 1, 2]);
      for (const value of [1, 2, 3]) assert.equal(await channel.receive(), value);
      await Promise.all(sends);
      assert.equal(channel.tryReceive(), undefined);
    });
  });

  test("carries undefined and null like any value", async () => {
    await world(async () => {
      const channel = new Channel<undefined | null>({ capacity: 1 });
      channel.trySend(undefined);
      assert.deepEqual(channel.tryReceive(), { value: undefined });
      const sends = Promise.all([channel.send(null), channel.send(undefined)]);
      assert.equal(await channel.receive(), null);
      assert.equal(await channel.receive(), undefined);
      await sends;
      const receiving = channel.receive();
      channel.trySend(undefined);
      assert.equal(await receiving, undefined);
    });
  });

  test("sliding pushes the oldest out, dropping drops the new one, neither waits", async () => {
    await world(async () => {
      const sliding = new Channel<number>({ capacity: 2, overflow: "sliding" });
      const dropping = new Channel<number>({ capacity: 2, overflow: "dropping" });
      for (let i = 0; i < 4; i++) {
        assert.equal(await sliding.send(i), true);
        assert.equal(await dropping.send(i), i < 2);
      }
      assert.equal(sliding.trySend(4), true);
      assert.equal(dropping.trySend(4), false);
      assert.deepEqual([sliding.tryReceive(), sliding.tryReceive()], [{ value: 3 }, { value: 4 }]);
      assert.deepEqual([dropping.tryReceive(), dropping.tryReceive()], [{ value: 0 }, { value: 1 }]);
      assert.deepEqual([sliding.statistics().dropped, dropping.statistics().dropped], [3, 3]);
      assert.deepEqual([sliding.statistics().sent, dropping.statistics().sent], [5, 2]);
    });
  });

  test("a send that gives up is never delivered, by abort or by limit (CH-02)", async () => {
    await world(async () => {
      const channel = new Channel<string>({ capacity: 1 });
      channel.trySend("kept");
      const controller = new AbortController();
      const aborted = assert.rejects(
        channel.send("aborted", { signal: controller.signal }),
        (error) => error === "stop",
      );
      const limited = assert.rejects(channel.send("late", { timeoutMs: 10 }), {
        name: "TimeoutError",
        message: "Cannot send to channel within 10 ms: 1 of 1 buffered, 1 sending, 0 receiving",
      });
      controller.abort("stop");
      await Promise.all([aborted, limited]);
      const last = channel.send("last");
      assert.equal(await channel.receive(), "kept");
      assert.equal(await channel.receive(), "last");
      await last;
      const { sent, received, aborted: gone, timedOut } = channel.statistics();
      assert.deepEqual([sent, received, gone, timedOut], [2, 2, 1, 1]);
    });
  });

  test("a receive that gives up takes nothing: the value goes to the next receiver (CH-02)", async () => {
    await world(async () => {
      const channel = new Channel<string>();
      const controller = new AbortController();
      const aborted = assert.rejects(
        channel.receive({ signal: controller.signal }),
        (error) => error === "stop",
      );
      const limited = assert.rejects(channel.receive({ timeoutMs: 10 }), TimeoutError);
      const next = channel.receive();
      controller.abort("stop");
      await Promise.all([aborted, limited]);
      assert.equal(await channel.send("a"), true);
      assert.equal(await next, "a");
    });
  });

  test("abort and hand-over in one turn: one outcome, and no value is lost or doubled (CH-02)", async () => {
    for (const side of ["send", "receive"] as const) {
      for (const abortFirst of [true, false]) {
        await world(async () => {
          const channel = new Channel<string>();
          const controller = new AbortController();
          const { signal } = controller;
          const blocked = side === "send" ? channel.send("a", { signal }) : channel.receive({ signal });
          const outcome = blocked.then(() => "done", () => "aborted");
          if (abortFirst) controller.abort();
          const other = side === "send" ? channel.tryReceive() : channel.trySend("a");
          if (!abortFirst) controller.abort();
          assert.equal(await outcome, abortFirst ? "aborted" : "done");
          if (side === "send") assert.deepEqual(other, abortFirst ? undefined : { value: "a" });
          else assert.equal(other, !abortFirst);
          assert.equal(channel.statistics().sent, abortFirst ? 0 : 1);
          assert.equal(channel.statistics().received, abortFirst ? 0 : 1);
        });
      }
    }
  });

  test("a hand-over from an abort listener goes past the waiters of that signal (CH-02)", async () => {
    await world(async () => {
      const channel = new Channel<string>();
      const controller = new AbortController();
      controller.signal.addEventListener("abort", () => void channel.trySend("a"), { once: true });
      const aborted = assert.rejects(channel.receive({ signal: controller.signal }));
      const next = channel.receive();
      controller.abort();
      await aborted;
      assert.equal(await next, "a");

      const other = new AbortController();
      const taken: unknown[] = [];
      other.signal.addEventListener("abort", () => taken.push(channel.tryReceive()), { once: true });
      const gone = assert.rejects(channel.send("gone", { signal: other.signal }));
      const sent = channel.send("sent");
      other.abort();
      await gone;
      assert.equal(await sent, true);
      assert.deepEqual(taken, [{ value: "sent" }]);
    });
  });

  test("a signal aborted beforehand is refused, even where nothing would wait", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 2 });
      const signal = AbortSignal.abort("no");
      channel.trySend(1);
      await assert.rejects(channel.send(2, { signal }), (error) => error === "no");
      await assert.rejects(channel.receive({ signal }), (error) => error === "no");
      assert.equal(channel.size, 1);
      assert.equal(channel.statistics().aborted, 2);
    });
  });

  test("close: senders reject, what is held can be received, then receivers reject", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1, name: "x" });
      channel.trySend(1);
      const closed = { name: "ChannelClosedError", message: 'Cannot use channel "x": it is closed' };
      const blocked = assert.rejects(channel.send(2), closed);
      channel.close();
      channel.close(new Error("again"));
      await blocked;
      assert.equal(channel.closed, true);
      await assert.rejects(channel.send(3), ChannelClosedError);
      assert.equal(channel.trySend(3), false);
      assert.equal(await channel.receive(), 1);
      await assert.rejects(channel.receive(), closed);
      assert.equal(channel.tryReceive(), undefined);
      const empty = new Channel<number>();
      const receiver = assert.rejects(empty.receive(), ChannelClosedError);
      empty.close();
      await receiver;
    });
  });

  test("close with a reason passes it on, untouched, after what is held", async () => {
    for (const reason of [new Error("source failed"), "text", null, 0]) {
      await world(async () => {
        const channel = new Channel<number>({ capacity: 2 });
        for (const value of [1, 2]) channel.trySend(value);
        const blocked = assert.rejects(channel.send(3), (error) => error === reason);
        channel.close(reason);
        await blocked;
        const received: number[] = [];
        await assert.rejects(
          (async () => {
            for await (const value of channel) received.push(value);
          })(),
          (error) => error === reason,
        );
        assert.deepEqual(received, [1, 2]);
        await assert.rejects(channel.receive(), (error) => error === reason);
      });
    }
  });

  test("iteration ends quietly at close, also while it waits", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      let ended = false;
      const iterating = (async () => {
        for await (const _ of channel) assert.fail();
        ended = true;
      })();
      await w.idle();
      assert.equal(ended, false);
      channel.close();
      await iterating;
      assert.equal(ended, true);
    });
  });

  test("leaving a loop closes nothing and loses nothing", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 4 });
      for (let i = 0; i < 4; i++) channel.trySend(i);
      for await (const value of channel) if (value === 1) break;
      assert.equal(channel.closed, false);
      assert.equal(channel.statistics().receiving, 0);
      const rest: number[] = [];
      channel.close();
      for await (const value of channel) rest.push(value);
      assert.deepEqual(rest, [2, 3]);
    });
  });

  test("values takes a signal for the iteration and a limit for each value", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      const controller = new AbortController();
      const received: number[] = [];
      const consume = async (options: { signal?: AbortSignal; timeoutMs?: number }): Promise<void> => {
        for await (const value of channel.values(options)) received.push(value);
      };
      const limited = assert.rejects(consume({ timeoutMs: 100 }), TimeoutError);
      await w.advance(99);
      await channel.send(1);
      await w.advance(99);
      await channel.send(2);
      await w.advance(100);
      await limited;
      const aborted = assert.rejects(consume({ signal: controller.signal }), (error) => error === "stop");
      await channel.send(3);
      controller.abort("stop");
      await aborted;
      assert.deepEqual(received, [1, 2, 3]);
    }, { auto: false });
  });

  test("an iterator's next calls are served in order, and return does not wait for a value", async () => {
    await world(async () => {
      const channel = new Channel<number>();
      const iterator = channel[Symbol.asyncIterator]();
      const nexts = [iterator.next(), iterator.next()];
      await channel.send(1);
      const pending = nexts[1]!;
      assert.deepEqual(await nexts[0], { value: 1, done: false });
      assert.deepEqual(await iterator.return!(), { value: undefined, done: true });
      assert.deepEqual(await iterator.next(), { value: undefined, done: true });
      // The one that was waiting has its place in the line and gets its value.
      await channel.send(2);
      assert.deepEqual(await pending, { value: 2, done: false });
      assert.equal(iterator[Symbol.asyncIterator](), iterator);
    });
  });

  test("an iterator stays at its end after a failure", async () => {
    await world(async () => {
      const channel = new Channel<number>();
      const iterator = channel.values({ timeoutMs: 5 });
      await assert.rejects(iterator.next(), TimeoutError);
      channel.close("later");
      assert.deepEqual(await iterator.next(), { value: undefined, done: true });
    });
  });

  test("wrong options are refused where they are given", async () => {
    for (const capacity of [-1, NaN, 1.5, -Infinity]) {
      assert.throws(() => new Channel({ capacity }), RangeError);
    }
    assert.throws(() => new Channel({ overflow: "sliding" }), {
      name: "RangeError",
      message: "Cannot create channel as capacity must be an integer >= 1: received 0",
    });
    assert.throws(() => new Channel({ overflow: "explode" as "block" }), RangeError);
    assert.throws(() => new Channel({ capacity: "1" as unknown as number }), TypeError);
    assert.throws(() => new Channel({ name: 1 as unknown as string }), TypeError);
    const channel = new Channel<number>({ capacity: 1 });
    await assert.rejects(channel.send(1, { timeoutMs: NaN }), RangeError);
    await assert.rejects(channel.receive({ signal: {} as AbortSignal }), TypeError);
    assert.equal(channel.size, 0);
  });
});
