import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { TaskGroup } from "../../src/task/task_group.ts";
import { Channel, ChannelClosedError } from "../../src/sync/channel.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** A stream that gives these values, each a millisecond after it was asked for, and counts what it gave. */
function streamOf(
  values: readonly number[],
  { delayMs = 1, highWaterMark = 0 } = {},
): ReadableStream<number> {
  let next = 0;
  return new ReadableStream<number>({
    async pull(controller) {
      if (delayMs > 0) await sleep(delayMs);
      if (next < values.length) controller.enqueue(values[next++]!);
      else controller.close();
    },
  }, { highWaterMark });
}

async function restOf(stream: ReadableStream<number>): Promise<number[]> {
  const rest: number[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return rest;
    rest.push(value);
  }
}

function drain(channel: Channel<number>): number[] {
  const values: number[] = [];
  for (let box = channel.tryReceive(); box; box = channel.tryReceive()) values.push(box.value);
  return values;
}

const six = [0, 1, 2, 3, 4, 5];

describe("Channel.pipeFrom", () => {
  test("sends all that a stream, an iterable or an async iterable gives, then closes", async () => {
    const sources = [
      () => streamOf(six),
      () => streamOf(six, { highWaterMark: 3 }),
      () => six,
      () => new Set(six),
      async function* () {
        for (const n of six) yield await sleep(1).then(() => n);
      },
    ];
    for (const source of sources) {
      await world(async () => {
        const channel = new Channel<number>({ capacity: 2 });
        const from = source();
        const piping = channel.pipeFrom(from);
        const got: number[] = [];
        for await (const n of channel) got.push(n);
        await piping;
        assert.deepEqual(got, six);
        assert.equal(channel.closed, true);
        if (from instanceof ReadableStream) assert.equal(from.locked, false);
      });
    }
  });

  test("asks for the next value when the one before was taken in", async () => {
    await world(async (w) => {
      let asked = 0;
      const channel = new Channel<number>({ capacity: 2 });
      const piping = channel.pipeFrom((function* () {
        for (;;) yield asked++;
      })());
      piping.catch(ignore);
      await w.idle();
      assert.equal(asked, 3);
      channel.tryReceive();
      await w.idle();
      assert.equal(asked, 4);
      channel.close();
      await assert.rejects(piping, ChannelClosedError);
    });
  });

  test("passes a failure of the source on to the receivers, and throws it", async () => {
    await world(async () => {
      const broken = new Error("broken");
      const sources = [
        // deno-lint-ignore require-yield
        async function* (): AsyncGenerator<number> {
          throw broken;
        },
        () => new ReadableStream<number>({ pull: () => Promise.reject(broken) }),
        () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(broken) }) }),
      ];
      for (const source of sources) {
        const channel = new Channel<number>();
        const receiving = assert.rejects(channel.receive(), (error) => error === broken);
        await assert.rejects(channel.pipeFrom(source()), (error) => error === broken);
        await receiving;
        const open = new Channel<number>({ capacity: 1 });
        await assert.rejects(open.pipeFrom(source(), { preventClose: true }), (error) => error === broken);
        assert.equal(open.closed, false);
      }
    });
  });

  test("passes on a failure that is undefined, too: its end is not taken for a quiet one", async () => {
    await world(async () => {
      const channel = new Channel<number>();
      const failing = new ReadableStream<number>({ start: (controller) => controller.error() });
      assert.ok(await channel.pipeFrom(failing).then(() => false, (error) => error === undefined));
      const message = "Cannot receive from channel: its source failed with undefined";
      await assert.rejects(channel.receive(), { message });
      await assert.rejects(channel.values().next(), { message });
    });
  });

  test("a failure of the source in the turn of the abort is not lost", async () => {
    await world(async () => {
      const broken = new Error("broken");
      const controller = new AbortController();
      const channel = new Channel<number>();
      const piping = channel.pipeFrom({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            queueMicrotask(() => queueMicrotask(() => controller.abort("stop")));
            return Promise.reject(broken);
          },
        }),
      }, { signal: controller.signal });
      await assert.rejects(piping, (error) => error === broken);
      await assert.rejects(channel.receive(), (error) => error === broken);
    });
  });

  test("preventClose leaves the channel open at the end", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 9 });
      await channel.pipeFrom([1, 2], { preventClose: true });
      await channel.pipeFrom([3]);
      assert.deepEqual(await channel.receiveMany(9), [1, 2, 3]);
      assert.equal(channel.closed, true);
    });
  });

  test("aborted at any turn, it loses nothing of a stream: all is received, in the channel, or left to read", async () => {
    for (const capacity of [0, 1, 3]) {
      for (const options of [{ delayMs: 0 }, { delayMs: 1 }, { delayMs: 1, highWaterMark: 2 }]) {
        let all: number[] = [];
        const { points } = await sweep(async (signal) => {
          const stream = streamOf(six, options);
          const channel = new Channel<number>({ capacity });
          const received: number[] = [];
          const receiving = (async () => {
            await sleep(2);
            for await (const n of channel) received.push(n);
          })();
          try {
            await channel.pipeFrom(stream, { signal });
          } finally {
            assert.equal(stream.locked, false);
            const rest = await restOf(stream);
            channel.close();
            await receiving;
            all = [...received, ...rest];
          }
        }, () => assert.deepEqual(all, six));
        assert.ok(points > 20);
      }
    }
  });

  test("aborted at any turn, it loses nothing that an iterator has given, and closes it once", async () => {
    for (const capacity of [0, 1, 3]) {
      let given: number[] = [];
      let got: number[] = [];
      let closed = 0;
      await sweep(async (signal) => {
        [given, got, closed] = [[], [], 0];
        const channel = new Channel<number>({ capacity });
        async function* source(): AsyncGenerator<number> {
          try {
            for (const n of six) {
              await sleep(1);
              given.push(n);
              yield n;
            }
          } finally {
            closed++;
          }
        }
        const receiving = (async () => {
          for (let i = 0; i < 3; i++) got.push(await channel.receive());
        })();
        receiving.catch(ignore);
        try {
          const piping = channel.pipeFrom(source(), { signal, preventClose: true });
          await Promise.all([
            piping,
            (async () => {
              await receiving;
              await sleep(1);
              while (got.length < 6) got.push(await channel.receive({ signal }));
            })(),
          ]);
        } finally {
          await sleep(10); // what was asked for comes when it comes
          got.push(...drain(channel));
          channel.close();
          await receiving.catch(ignore);
        }
      }, () => {
        assert.deepEqual(got, given);
        assert.ok(closed === 1 || given.length === 0);
      });
    }
  });

  test("a value of the source that came in the turn of the abort goes in", async () => {
    for (const turns of [0, 1, 2, 3, 4]) {
      await world(async () => {
        const stream = new ReadableStream<number>({
          start(controller) {
            for (const n of six) controller.enqueue(n);
            controller.close();
          },
        });
        const channel = new Channel<number>({ capacity: 3 });
        const controller = new AbortController();
        const piping = channel.pipeFrom(stream, { signal: controller.signal });
        for (let i = 0; i < turns; i++) await undefined;
        controller.abort("stop");
        await assert.rejects(piping, (error) => error === "stop");
        assert.deepEqual([...drain(channel), ...await restOf(stream)], six);
      });
    }
  });

  test("when the channel is closed under it, it rejects as send does, and closes an iterator first", async () => {
    await world(async (w) => {
      let closed = false;
      const channel = new Channel<number>();
      const piping = channel.pipeFrom((async function* () {
        try {
          yield 1;
        } finally {
          await sleep(5);
          closed = true;
        }
      })());
      await w.idle();
      channel.close(new Error("gone"));
      await assert.rejects(piping, { message: "gone" });
      assert.equal(closed, true);
      const stream = streamOf(six);
      await assert.rejects(channel.pipeFrom(stream), { message: "gone" });
      assert.equal(stream.locked, false);
    });
  });

  test("aborted between two values, it asks the source for no more", async () => {
    await world(async () => {
      let asked = 0;
      const controller = new AbortController();
      const weigh = (): number => (controller.abort("stop"), 1);
      const channel = new Channel<number>({ capacity: 9, weigh });
      const piping = channel.pipeFrom(
        (function* () {
          for (;;) yield asked++;
        })(),
        { signal: controller.signal },
      );
      await assert.rejects(piping, (error) => error === "stop");
      assert.deepEqual([asked, channel.size], [1, 1]);
    });
  });

  test("timeoutMs bounds each wait for room", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1 });
      const stream = streamOf(six, { delayMs: 50 });
      await assert.rejects(channel.pipeFrom(stream, { timeoutMs: 20 }), { name: "TimeoutError" });
      assert.deepEqual([...drain(channel), ...await restOf(stream)], six);
    });
  });

  test("refuses wrong arguments, and touches no source then", async () => {
    const channel = new Channel<number>();
    await assert.rejects(channel.pipeFrom(5 as never), {
      name: "TypeError",
      message: "Cannot pipe into channel as source must be a stream or iterable: received 5",
    });
    const stream = streamOf(six);
    await assert.rejects(channel.pipeFrom(stream, { preventClose: 1 as never }), TypeError);
    await assert.rejects(channel.pipeFrom(stream, { timeoutMs: -1 }), RangeError);
    await assert.rejects(
      channel.pipeFrom(stream, { signal: AbortSignal.abort("no") }),
      (error) => error === "no",
    );
    assert.equal(stream.locked, false);
  });
});

describe("Channel.readable", () => {
  test("gives the values, and ends with the channel", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1 });
      const reading = restOf(channel.readable());
      for (const n of six) await channel.send(n);
      channel.close();
      assert.deepEqual(await reading, six);
      const failing = new Channel<number>();
      const failed = restOf(failing.readable());
      failing.close(new Error("broken"));
      await assert.rejects(failed, { message: "broken" });
      await assert.rejects(restOf(failing.readable()), { message: "broken" });
    });
  });

  test("fetches nothing ahead", async () => {
    await world(async (w) => {
      const channel = new Channel<number>({ capacity: 9 });
      for (const n of six) channel.trySend(n);
      const reader = channel.readable().getReader();
      await w.idle();
      assert.equal(channel.size, 6);
      assert.deepEqual(await reader.read(), { done: false, value: 0 });
      await w.idle();
      assert.equal(channel.size, 5);
      await reader.cancel();
      assert.deepEqual(drain(channel), [1, 2, 3, 4, 5]);
    });
  });

  test("cancelled while it waits, it is out of the line at once, and leaves the channel open", async () => {
    await world(async (w) => {
      const channel = new Channel<number>({ capacity: 1 });
      const reader = channel.readable().getReader();
      const reading = reader.read();
      await w.idle();
      assert.equal(channel.statistics().receiving, 1);
      const cancelling = reader.cancel("enough");
      assert.equal(channel.statistics().receiving, 0);
      assert.deepEqual(await reading, { done: true, value: undefined });
      await cancelling;
      assert.equal(channel.closed, false);
      assert.equal(await channel.send(1), true);
      assert.equal(await channel.receive(), 1);
    });
  });

  test("cancelled at any turn, it loses and reorders nothing", async () => {
    for (const capacity of [0, 1, 3]) {
      for (let turns = 0; turns < 40; turns++) {
        await world(async () => {
          const channel = new Channel<number>({ capacity });
          const sending = (async () => {
            for (const n of six) await channel.send(n);
          })();
          const reader = channel.readable().getReader();
          const read: number[] = [];
          const reading = (async () => {
            for (let next = await reader.read(); !next.done; next = await reader.read()) {
              read.push(next.value);
            }
          })();
          for (let i = 0; i < turns; i++) await undefined;
          const cancelling = reader.cancel();
          const rest: number[] = drain(channel);
          await cancelling;
          await reading;
          while (read.length + rest.length < six.length) rest.push(await channel.receive());
          await sending;
          assert.deepEqual([...read, ...rest], six, `after ${turns} turns`);
        });
      }
    }
  });

  test("a value for a reader that has gone goes to the next in the channel", async () => {
    await world(async (w) => {
      const channel = new Channel<number>({ capacity: 2 });
      const stream = channel.readable();
      const reader = stream.getReader();
      const reading = assert.rejects(reader.read(), TypeError);
      await w.idle();
      reader.releaseLock();
      await reading;
      const next = channel.receive();
      channel.trySend(1);
      assert.equal(await next, 1);
      const second = stream.getReader();
      const read = second.read();
      channel.trySend(2);
      assert.deepEqual(await read, { done: false, value: 2 });
      const pending = assert.rejects(second.read(), TypeError);
      await w.idle();
      second.releaseLock();
      await pending;
      channel.trySend(3);
      channel.trySend(4);
      await stream.cancel();
      assert.deepEqual(drain(channel), [3, 4]);
      const { sent, received, weight } = channel.statistics();
      assert.deepEqual([sent, received, weight], [4, 4, 0]);
    });
  });

  test("a read that was given up with its reader is no read of the next reader", async () => {
    const ways: Record<string, (stream: ReadableStream<number>) => () => Promise<unknown>> = {
      "a reader": (stream) => {
        const reader = stream.getReader();
        return () => reader.cancel();
      },
      "an iteration": (stream) => {
        const values = stream[Symbol.asyncIterator]();
        return () => values.return!();
      },
      "a pipe that may not write": (stream) => {
        const controller = new AbortController();
        const busy = new WritableStream<number>({}, { highWaterMark: 0 });
        const piping = stream.pipeTo(busy, { signal: controller.signal });
        return () => {
          controller.abort("enough");
          return assert.rejects(piping);
        };
      },
    };
    for (const [name, lock] of Object.entries(ways)) {
      await world(async (w) => {
        const channel = new Channel<number>();
        const stream = channel.readable();
        const first = stream.getReader();
        const reading = assert.rejects(first.read(), TypeError);
        await w.idle();
        first.releaseLock();
        await reading;
        const cancel = lock(stream);
        assert.equal(channel.trySend(0), false, name);
        const sending = channel.send(1);
        await w.idle();
        await cancel();
        assert.deepEqual(drain(channel), [1], name);
        await sending;
      });
    }
  });

  test("a read that was given up with its reader does not keep the next from reading", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      const stream = channel.readable();
      const first = stream.getReader();
      const reading = assert.rejects(Promise.all([first.read(), first.read()]), TypeError);
      await w.idle();
      first.releaseLock();
      await reading;
      const second = stream.getReader();
      assert.throws(() => stream.getReader(), TypeError);
      const reads = [second.read(), second.read()];
      await w.idle();
      assert.equal(channel.trySend(1), true);
      await channel.send(2);
      assert.deepEqual((await Promise.all(reads)).map(({ value }) => value), [1, 2]);
      channel.close();
      assert.equal((await second.read()).done, true);
    });
  });

  test("takes its values in turn with other receivers", async () => {
    await world(async (w) => {
      const channel = new Channel<number>();
      const first = channel.receive();
      const reader = channel.readable().getReader();
      const second = reader.read();
      await w.idle();
      const third = channel.receive();
      for (const n of [1, 2, 3]) channel.trySend(n);
      assert.deepEqual([await first, (await second).value, await third], [1, 2, 3]);
    });
  });

  test("from channel to channel through streams, everything arrives", async () => {
    await world(async () => {
      const [from, to] = [new Channel<number>({ capacity: 2 }), new Channel<number>({ capacity: 1 })];
      const sending = from.pipeFrom(six);
      const piping = to.pipeFrom(from.readable());
      const got: number[] = [];
      for await (const n of to) got.push(n);
      await Promise.all([sending, piping]);
      assert.deepEqual(got, six);
    });
  });
});

test("several sources merge in one channel; when one throws, the others are returned once, awaited (CH-10)", async () => {
  await world(async () => {
    const log: string[] = [];
    const failure = new Error("source b");
    async function* source(name: string, ms: number, count: number): AsyncGenerator<string> {
      try {
        for (let i = 0; i < count; i++) {
          await sleep(ms);
          yield `${name}${i}`;
        }
        throw failure;
      } finally {
        await sleep(1);
        log.push(`${name} left`);
      }
    }
    const channel = new Channel<string>();
    const merging = TaskGroup.run((group) => {
      for (const from of [source("a", 2, 100), source("b", 3, 2), source("c", 5, 100)]) {
        group.spawn(({ signal }) => channel.pipeFrom(from, { signal, preventClose: true }));
      }
    }).finally(() => channel.close());
    const got: string[] = [];
    await Promise.all([
      assert.rejects(merging, (error) => error === failure),
      (async () => {
        for await (const value of channel) got.push(value);
      })(),
    ]);
    // The two that were asked for their next value had one more to give, and lose nothing either.
    await sleep(10);
    assert.deepEqual(got.slice(0, 5), ["a0", "b0", "a1", "c0", "b1"]);
    assert.deepEqual(log.toSorted(), ["a left", "b left", "c left"]);
    const { sending, receiving } = channel.statistics();
    assert.deepEqual([sending, receiving], [0, 0]);
  });
});

test("Channel.pipeFrom leaves no unhandled rejection when what comes late can't be weighed or is no answer", async () => {
  for (const answer of [{ done: false, value: NaN }, undefined]) {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1, weigh: (value) => value });
      const controller = new AbortController();
      const source = {
        [Symbol.asyncIterator]: () => ({
          next: () => sleep(10).then(() => answer as IteratorResult<number>),
        }),
      };
      const piping = channel.pipeFrom(source, { signal: controller.signal });
      await sleep(5);
      controller.abort("stop");
      await assert.rejects(piping, (error) => error === "stop");
      await sleep(10);
      assert.equal(channel.size, 0);
    });
  }
});
