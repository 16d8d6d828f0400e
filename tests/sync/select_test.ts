import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { census } from "../../src/kernel/census.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe } from "../../src/kernel/observer.ts";
import { Channel, ChannelClosedError, type ChannelStatistics } from "../../src/sync/channel.ts";
import { select, type SelectCase, trySelect } from "../../src/sync/select.ts";
import { world } from "../../src/testing/mod.ts";

/** Nobody waits at any of these channels. */
function assertNobody(...channels: { statistics(): ChannelStatistics }[]): void {
  for (const channel of channels) {
    const { sending, receiving } = channel.statistics();
    assert.deepEqual({ sending, receiving }, { sending: 0, receiving: 0 });
  }
}

function full<T>(...values: T[]): Channel<T> {
  const channel = new Channel<T>({ capacity: values.length });
  for (const value of values) assert.ok(channel.trySend(value));
  return channel;
}

describe("select", () => {
  test("does the one that is possible, and touches no other", async () => {
    await world(async () => {
      const empty = new Channel<string>({ capacity: 1 });
      const ready = full(7);
      const stuck = full("x");
      for (let i = 0; i < 20; i++) {
        const got = await select([
          empty.receiving(),
          ready.receiving((n) => n * 2),
          stuck.sending("y", () => "sent"),
        ]);
        assert.equal(got, 14);
        assert.deepEqual([empty.size, ready.size, stuck.size], [0, 0, 1]);
        ready.trySend(7);
      }
      assertNobody(empty, ready, stuck);
    });
  });

  test("waits for the first that becomes possible, then is gone from all others in the same step", async () => {
    await world(async () => {
      const [a, b] = [new Channel<string>(), new Channel<string>()];
      const c = full("old");
      const selecting = select([
        a.receiving((v) => `a ${v}`),
        b.receiving((v) => `b ${v}`),
        c.sending("new", () => "c"),
      ]);
      assert.deepEqual([a, b].map((it) => it.statistics().receiving), [1, 1]);
      assert.equal(c.statistics().sending, 1);
      assert.equal(b.trySend("1"), true);
      assert.equal(a.trySend("2"), false, "nobody receives from it any more");
      assert.deepEqual(c.tryReceive(), { value: "old" });
      assert.deepEqual(c.tryReceive(), undefined, "nothing was sent to it");
      assertNobody(a, b, c);
      assert.equal(await selecting, "b 1");
    });
  });

  test("a send that waited is taken in by a receiver; the receives beside it take nothing", async () => {
    await world(async () => {
      const [out, into] = [new Channel<number>(), new Channel<number>()];
      const selecting = select([out.sending(5, () => "sent"), into.receiving((n) => `got ${n}`)]);
      assert.equal(await out.receive(), 5);
      assert.equal(into.trySend(1), false);
      assert.equal(await selecting, "sent");
      assertNobody(out, into);
    });
  });

  test("two selects meet: one sends what the other receives", async () => {
    await world(async () => {
      const [a, b] = [new Channel<number>(), new Channel<number>()];
      const first = select([a.sending(1, () => "sent 1"), b.receiving((n) => `got ${n}`)]);
      const second = select([a.receiving((n) => `got ${n}`), b.receiving((n) => `got ${n}`)]);
      assert.deepEqual(await Promise.all([first, second]), ["sent 1", "got 1"]);
      assertNobody(a, b);
    });
  });

  test("can wait on both sides of one channel, without meeting itself", async () => {
    await world(async (w) => {
      const channel = new Channel<string>();
      const both = (who: string): Promise<string> =>
        select([
          channel.sending(`from ${who}`, () => `${who} sent`),
          channel.receiving((v) => `${who} got ${v}`),
        ]);
      const [one, two, three] = [both("one"), both("two"), both("three")];
      await w.idle();
      assert.deepEqual(channel.statistics().sending, 1);
      assert.deepEqual(channel.statistics().receiving, 1);
      assert.equal(await channel.receive(), "from three");
      assert.equal(await three, "three sent");
      const pair = [await one, await two];
      assert.ok(
        [["one sent", "two got from one"], ["one got from two", "two sent"]].some((it) =>
          `${it}` === `${pair}`
        ),
        `${pair}`,
      );
      const four = both("four");
      await channel.send("hello");
      assert.equal(await four, "four got hello");
      assertNobody(channel);
    });
  });

  test("can list a channel twice: one of the two is done, and closing it rejects once", async () => {
    await world(async () => {
      const before = census.waiters;
      const channel = new Channel<number>();
      const others = [channel.receive(), channel.receive()];
      others.forEach((it) => it.catch(ignore));
      const selecting = select([channel.receiving((n) => `a${n}`), channel.receiving((n) => `b${n}`)]);
      const last = channel.receive();
      last.catch(ignore);
      assert.equal(channel.statistics().receiving, 5);
      channel.close("over");
      assertNobody(channel);
      for (const it of [...others, selecting, last]) await assert.rejects(it, (error) => error === "over");
      assert.equal(census.waiters, before);
    });
  });

  test("keeps its place in each line: first come, first served", async () => {
    await world(async () => {
      const channel = new Channel<number>();
      const got: string[] = [];
      const all = [
        channel.receive().then((n) => got.push(`plain ${n}`)),
        select([channel.receiving()]).then((n) => got.push(`select ${n}`)),
        channel.receive().then((n) => got.push(`last ${n}`)),
      ];
      for (const n of [1, 2, 3]) channel.trySend(n);
      await Promise.all(all);
      assert.deepEqual(got.toSorted(), ["last 3", "plain 1", "select 2"]);
    });
  });

  test("draws fairly among those that are possible, whatever stands between them", async () => {
    await world(() => {
      const never = new Channel<string>();
      const counts = new Map<string, number>();
      for (let i = 0; i < 6_000; i++) {
        const cases: SelectCase<string>[] = [full("a").receiving(), full("b").receiving()];
        for (let j = 0; j < 3; j++) cases.push(never.receiving());
        cases.push(full("c").receiving());
        const { value } = trySelect(cases)!;
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
      for (const letter of "abc") {
        const share = counts.get(letter)!;
        assert.ok(share > 1_850 && share < 2_150, `${letter}: ${share} of 6000`);
      }
    }, { seed: 5 });
  });

  test("starves nobody in a loop, and repeats its draws with the seed", async () => {
    const run = (seed: number): Promise<string> =>
      world(async () => {
        const [a, b] = [
          new Channel<string>({ capacity: Infinity }),
          new Channel<string>({ capacity: Infinity }),
        ];
        for (let i = 0; i < 50; i++) a.trySend("a"), b.trySend("b");
        let drawn = "";
        for (let i = 0; i < 40; i++) drawn += await select([a.receiving(), b.receiving()]);
        return drawn;
      }, { seed });
    const drawn = await run(3);
    assert.equal(drawn, await run(3));
    assert.notEqual(drawn, await run(4));
    assert.match(drawn, /a.*b.*a|b.*a.*b/);
  });

  test("in listed order, the first that is possible is the one", async () => {
    await world(async () => {
      const [high, low] = [new Channel<number>({ capacity: 9 }), new Channel<number>({ capacity: 9 })];
      for (let i = 0; i < 5; i++) high.trySend(i), low.trySend(10 + i);
      const got: number[] = [];
      for (let i = 0; i < 10; i++) {
        got.push(await select([high.receiving(), low.receiving()], { order: "listed" }));
      }
      assert.deepEqual(got, [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
    });
  });

  test("given up, it has done nothing, and waits nowhere", async () => {
    await world(async () => {
      const [a, b] = [new Channel<number>(), full(1)];
      const cases = [a.receiving(), b.sending(2)];
      const controller = new AbortController();
      const selecting = select(cases, { signal: controller.signal });
      controller.abort("enough");
      assertNobody(a, b);
      await assert.rejects(selecting, (error) => error === "enough");
      await assert.rejects(select(cases, { timeoutMs: 30 }), (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.equal(
          error.message,
          "Cannot select within 30 ms: none of 2 cases could be done: receive from channel, send to channel",
        );
        return true;
      });
      assertNobody(a, b);
      assert.deepEqual([b.tryReceive(), b.tryReceive()], [{ value: 1 }, undefined]);
    });
  });

  test("refuses an aborted signal before it does anything", async () => {
    await world(async () => {
      const channel = full(1);
      const signal = AbortSignal.abort("no");
      await assert.rejects(select([channel.receiving()], { signal }), (error) => error === "no");
      assert.equal(channel.size, 1);
    });
  });

  test("an abort before the grant wins, one after it is ignored", async () => {
    await world(async () => {
      for (const abortFirst of [true, false]) {
        const channel = new Channel<string>({ capacity: 1 });
        const controller = new AbortController();
        const selecting = select([channel.receiving()], { signal: controller.signal });
        if (abortFirst) controller.abort("stop");
        channel.trySend("value");
        controller.abort("stop");
        if (abortFirst) {
          await assert.rejects(selecting, (error) => error === "stop");
          assert.deepEqual(channel.tryReceive(), { value: "value" });
        } else assert.equal(await selecting, "value");
      }
    });
  });

  test("one whose signal is aborted but has not told it yet is passed by, and gone from every line", async () => {
    await world(async () => {
      const [a, b] = [new Channel<string>({ capacity: 1 }), new Channel<string>()];
      const controller = new AbortController();
      const { signal } = controller;
      // Heard first, as it was there first.
      signal.addEventListener("abort", () => assert.equal(a.trySend("value"), true));
      const selecting = select([a.receiving(), b.receiving()], { signal });
      controller.abort("stop");
      await assert.rejects(selecting, (error) => error === "stop");
      assert.deepEqual(a.tryReceive(), { value: "value" });
      assertNobody(a, b);
    });
  });

  test("a closed channel rejects it, closed before or meanwhile; what it holds can still be had", async () => {
    await world(async () => {
      const open = new Channel<number>();
      const closing = full(1);
      closing.close();
      assert.equal(await select([open.receiving(), closing.receiving()]), 1);
      await assert.rejects(select([open.receiving(), closing.receiving()]), ChannelClosedError);
      await assert.rejects(select([open.receiving(), closing.sending(2)]), ChannelClosedError);
      const later = new Channel<number>();
      const selecting = select([open.receiving(), later.sending(1), later.receiving()]);
      later.close(new Error("broken"));
      await assert.rejects(selecting, { message: "broken" });
      assertNobody(open, later);
      assert.throws(() => trySelect([later.receiving()]), { message: "broken" });
    });
  });

  test("a handler that throws rejects it; its value was taken", async () => {
    await world(async () => {
      const channel = full(1);
      const throwing = (): never => {
        throw new Error("handler");
      };
      await assert.rejects(select([channel.receiving(throwing)]), { message: "handler" });
      assert.equal(channel.size, 0);
      const waiting = select([channel.receiving(throwing)]);
      assert.equal(channel.trySend(2), true, "the sender is not hurt");
      await assert.rejects(waiting, { message: "handler" });
      assertNobody(channel);
    });
  });

  test("awaits what a handler gives", async () => {
    await world(async () => {
      const got = await select([
        full(4).receiving(async (n) => {
          await sleep(10);
          return n + 1;
        }),
      ]);
      assert.equal(got, 5);
    });
  });

  test("a send to a sliding or dropping channel is always possible, as it is outside of a select", async () => {
    await world(async () => {
      const sliding = new Channel<number>({ capacity: 1, overflow: "sliding" });
      const dropping = new Channel<number>({ capacity: 1, overflow: "dropping" });
      for (const channel of [sliding, dropping]) {
        assert.equal(await select([channel.sending(1, (taken) => taken)]), true);
        assert.equal(await select([channel.sending(2, (taken) => taken)]), channel === sliding);
        assert.equal(channel.statistics().dropped, 1);
        assertNobody(channel);
      }
      assert.deepEqual([sliding.tryReceive(), dropping.tryReceive()], [{ value: 2 }, { value: 1 }]);
    });
  });

  test("cases can be used again and again", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 1 });
      const [send, receive] = [channel.sending(1, () => "sent"), channel.receiving(() => "got")];
      for (let i = 0; i < 4; i++) {
        assert.equal(await select([send, receive], { order: "listed" }), i % 2 === 0 ? "sent" : "got");
      }
    });
  });

  test("a select that leaves a line lets those behind it in, and they find it in no other line", async () => {
    await world(async () => {
      const weigh = (n: number): number => n;
      const a = new Channel<number>({ capacity: 10, weigh });
      const b = new Channel<number>({ capacity: 10, weigh });
      a.trySend(8);
      b.trySend(9);
      const gate = new Channel<string>();
      const heavy = select([
        gate.receiving(),
        a.sending(9, () => "a"),
        b.sending(9, () => "b"),
        b.sending(2, () => "b again"),
      ]);
      const light = select([a.sending(1, () => "light a"), b.sending(1, () => "light b")]);
      assert.deepEqual([a.statistics().sending, b.statistics().sending], [2, 3]);
      gate.trySend("open");
      assert.deepEqual([await heavy, await light], ["open", "light a"]);
      assert.deepEqual([a.statistics().weight, b.statistics().weight], [9, 9]);
      assertNobody(a, b);
    });
  });

  test("is not granted a place of its own that comes to the head because it leaves another", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 10, weigh: (n) => n });
      const gate = new Channel<string>();
      channel.trySend(5);
      const ahead = new AbortController();
      const first = channel.send(8, { signal: ahead.signal });
      const selecting = select([
        channel.sending(9, () => "nine"),
        channel.sending(2, () => "two"),
        gate.receiving(),
      ]);
      ahead.abort("stop");
      await assert.rejects(first, (error) => error === "stop");
      gate.trySend("open");
      assert.equal(await selecting, "open");
      assert.deepEqual([channel.tryReceive(), channel.tryReceive()], [{ value: 5 }, undefined]);
    });
  });

  test("taken in, it is ahead of those whom its leaving lets in", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 10, weigh: (n) => n });
      channel.trySend(9);
      const selecting = select([channel.sending(3), channel.sending(8)], { order: "listed" });
      const behind = channel.send(4);
      assert.deepEqual(await channel.receiveMany(9), [9, 3, 4]);
      await Promise.all([selecting, behind]);
    });
  });

  test("sent away by the end of a channel, it lets nobody in there", async () => {
    await world(async () => {
      const channel = new Channel<number>({ capacity: 10, weigh: (n) => n });
      channel.trySend(5);
      const selecting = select([channel.sending(9), channel.sending(8)]);
      const behind = channel.send(2);
      channel.close();
      await assert.rejects(selecting, ChannelClosedError);
      await assert.rejects(behind, ChannelClosedError);
      assert.equal(channel.size, 1);
    });
  });

  test("leaves no place when an observer of its waits makes a choice possible", async () => {
    for (const told of ["a", "b"]) {
      for (const sent of ["a", "b"]) {
        await world(async () => {
          const channels = { a: new Channel<string>({ name: "a" }), b: new Channel<string>({ name: "b" }) };
          const watching = observe({
            record: ({ kind, name }) => {
              if (kind === "wait" && name === told) channels[sent as "a" | "b"].trySend(sent);
            },
          });
          const controller = new AbortController();
          const { signal } = controller;
          const cases = [channels.a.receiving(), channels.b.receiving()];
          const selected = select(cases, { signal, timeoutMs: 100 });
          watching[Symbol.dispose]();
          assert.equal(await selected, sent);
          assertNobody(...Object.values(channels));
          assert.equal(channels.a.trySend("lost"), false);
          assert.equal(channels.b.trySend("lost"), false);
        });
      }
    }
  });

  test("does one, whatever an observer does when it is told of that", async () => {
    for (const told of ["wait a", "wait b", "wait c", "grant a", "leave b", "leave c"]) {
      await world(async () => {
        const [a, b, c] = ["a", "b", "c"].map((name) => new Channel<string>({ name })) as [
          Channel<string>,
          Channel<string>,
          Channel<string>,
        ];
        let others: unknown[] | undefined;
        using _acting = observe({
          record: ({ kind, name }) => {
            if (`${kind} ${name}` === told) others ??= [a.trySend("A"), b.trySend("B"), c.tryReceive()];
          },
        });
        const selected = select([
          a.receiving((v) => `received ${v}`),
          b.receiving((v) => `received ${v}`),
          c.sending("C", () => "sent C"),
        ]);
        const first = a.trySend("A");
        assert.equal(await selected, "received A");
        const begun = told.startsWith("wait");
        assert.deepEqual([first, others], [!begun, [begun, false, undefined]], told);
        assertNobody(a, b, c);
      });
    }
  });

  test("given up, it does nothing, whatever an observer does when it is told of that", async () => {
    for (const how of ["limit", "abort", "close"]) {
      await world(async (w) => {
        const [a, b] = [new Channel<string>({ name: "a" }), new Channel<string>({ name: "b" })];
        const controller = new AbortController();
        const selected = select([a.receiving(), b.receiving()], { timeoutMs: 5, signal: controller.signal });
        selected.catch(ignore);
        const sent: boolean[] = [];
        using _acting = observe({ record: () => void sent.push(a.trySend("A"), b.trySend("B")) });
        if (how === "limit") await w.advance(5);
        else if (how === "abort") controller.abort("away");
        else a.close("closed");
        assert.deepEqual(sent, [false, false, false, false], how);
        await assert.rejects(selected, (error) => how === "limit" ? error instanceof TimeoutError : true);
        assertNobody(a, b);
      });
    }
  });

  test("misses nothing that an observer sends while it looks at its choices", async () => {
    await world(async () => {
      const [a, b] = [new Channel<string>({ name: "a", capacity: 1 }), new Channel<string>({ name: "b" })];
      const controller = new AbortController();
      let watching: Disposable | undefined;
      // Told before the channel is, so that it finds out when somebody looks.
      controller.signal.addEventListener("abort", () => {
        watching = observe({ record: ({ kind }) => void (kind === "abort" && a.trySend("A")) });
        looking = select([a.receiving(), b.receiving()], { order: "listed" });
      });
      let looking: Promise<string> | undefined;
      const sending = b.send("B", { signal: controller.signal });
      controller.abort("away");
      await assert.rejects(sending, (reason) => reason === "away");
      assert.equal(await looking, "A");
      watching![Symbol.dispose]();
      assertNobody(a, b);
    });
  });

  test("leaves no waiter, subscription or listener behind in a million rounds", async () => {
    const before = { ...census };
    const [a, b] = [new Channel<number>(), new Channel<number>()];
    const { signal } = new AbortController();
    const cases = [a.receiving(), b.receiving()];
    let sum = 0;
    for (let i = 0; i < 1_000_000; i++) {
      const selecting = select(cases, { signal });
      (i % 2 === 0 ? a : b).trySend(1);
      sum += await selecting;
      if (i % 100_000 === 0) assert.deepEqual(census, before);
    }
    assert.equal(sum, 1_000_000);
    assert.deepEqual(census, before);
    assertNobody(a, b);
  });

  test("refuses wrong arguments", async () => {
    const channel = full(1);
    const wrong = <E extends Error>(cases: unknown, type: new () => E, options?: unknown): Promise<void> =>
      assert.rejects(select(cases as SelectCase<unknown>[], options as object), type);
    await wrong([], RangeError);
    await wrong("no", TypeError);
    await wrong([channel], TypeError);
    await wrong([channel.receiving()], RangeError, { order: "first" });
    await wrong([channel.receiving()], RangeError, { timeoutMs: -1 });
    assert.throws(() => channel.receiving(1 as never), TypeError);
    assert.throws(() => channel.sending(1, 1 as never), TypeError);
    assert.equal(channel.size, 1);
  });
});

describe("trySelect", () => {
  test("does one that needs no waiting, or nothing", async () => {
    await world(() => {
      const [a, b] = [new Channel<number>({ capacity: 1 }), full(1)];
      const cases = [a.receiving((n) => `got ${n}`), b.sending(2, () => "sent")];
      assert.equal(trySelect(cases), undefined);
      assertNobody(a, b);
      a.trySend(3);
      assert.deepEqual(trySelect(cases), { value: "got 3" });
      b.tryReceive();
      assert.deepEqual(trySelect(cases), { value: "sent" });
      assert.deepEqual(trySelect([full(undefined).receiving()]), { value: undefined });
    });
  });

  test("takes from, and gives to, those who wait", async () => {
    await world(async () => {
      const channel = new Channel<number>();
      const receiving = channel.receive();
      assert.deepEqual(trySelect([channel.sending(1, () => "sent")]), { value: "sent" });
      assert.equal(await receiving, 1);
      const sending = channel.send(2);
      assert.deepEqual(trySelect([channel.receiving()]), { value: 2 });
      await sending;
    });
  });
});
