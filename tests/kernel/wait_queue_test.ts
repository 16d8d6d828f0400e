import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { census } from "../../src/kernel/census.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { WaitQueue, type WaitQueueOptions } from "../../src/kernel/wait_queue.ts";
import { world } from "../../src/testing/mod.ts";

function queue<D = string>(options: Partial<WaitQueueOptions> = {}): WaitQueue<number, D> {
  return new WaitQueue({ what: "get ticket", structure: "test", ...options });
}

/** How each of these promises has settled so far, in the words of the test. */
function watch(promises: readonly Promise<unknown>[]): string[] {
  const outcomes = promises.map(() => "waiting");
  promises.forEach((promise, i) =>
    promise.then((value) => outcomes[i] = `got ${value}`, (error) => outcomes[i] = `lost ${error}`)
  );
  return outcomes;
}

describe("WaitQueue", () => {
  test("grants first come, first served, one grant a waiter", async () => {
    await world(async (w) => {
      const waiting = queue();
      const outcomes = watch(["a", "b", "c"].map((data) => waiting.wait(data)));
      assert.equal(waiting.size, 3);
      assert.equal(waiting.head(), "a");
      assert.equal(waiting.grant(1), true);
      assert.equal(waiting.head(), "b");
      assert.equal(waiting.grant(2), true);
      assert.equal(waiting.grant(3), true);
      assert.equal(waiting.grant(4), false);
      assert.equal(waiting.head(), undefined);
      await w.idle();
      assert.deepEqual(outcomes, ["got 1", "got 2", "got 3"]);
      assert.deepEqual(waiting.totals, { granted: 3, aborted: 0, timedOut: 0 });
    });
  });

  test("lets one go before another who came earlier, wherever they stand, and the rest keep their places", async () => {
    await world(() => {
      for (
        const [one, before, order] of [[3, 0, "dabc"], [2, 1, "acbd"], [3, 2, "abdc"], [
          1,
          1,
          "abcd",
        ]] as const
      ) {
        const waiting = queue();
        const joined: Parameters<typeof waiting.advance>[0][] = [];
        for (const data of "abcd") {
          waiting.wait(data, undefined, (waiter) => joined.push(waiter)).catch(ignore);
        }
        waiting.advance(joined[one]!, joined[before]!);
        let served = "";
        for (let waiter = waiting.oldest; waiter !== undefined; waiter = waiter.next) served += waiter.data;
        assert.equal(served, order);
        assert.deepEqual([waiting.newest?.data, waiting.size], [order[3], 4]);
        assert.equal(waiting.settleAll("over"), 4);
        waiting.advance(joined[3]!, joined[0]!);
        assert.equal(waiting.oldest, undefined);
      }
    });
  });

  test("resumes waiters in the order of their grants", async () => {
    const waiting = queue<number>();
    const order: number[] = [];
    const waits = Array.from({ length: 5 }, async (_, i) => order.push(await waiting.wait(i)));
    for (let i = 0; i < 5; i++) waiting.grant(i);
    await Promise.all(waits);
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  });

  test("an aborted waiter leaves at once, with the reason untouched, and the rest keep their places", async () => {
    for (const reason of ["text", null, 0, new Error("stop")]) {
      await world(async (w) => {
        const waiting = queue();
        const controller = new AbortController();
        const outcomes = watch([waiting.wait("a"), waiting.wait("c")]);
        const middle = waiting.wait("b", { signal: controller.signal });
        const last = watch([waiting.wait("d")]);
        controller.abort(reason);
        assert.equal(waiting.size, 3);
        await assert.rejects(middle, (error) => error === reason);
        for (const value of [1, 2, 3]) waiting.grant(value);
        await w.idle();
        assert.deepEqual([...outcomes, ...last], ["got 1", "got 2", "got 3"]);
      });
    }
  });

  test("refuses a signal that is aborted beforehand, and counts it, and does nothing else", async () => {
    await world(async () => {
      const waiting = queue();
      const before = { ...census };
      await assert.rejects(waiting.wait("a", { signal: AbortSignal.abort("no") }), (error) => error === "no");
      assert.equal(waiting.size, 0);
      assert.deepEqual(waiting.totals, { granted: 0, aborted: 1, timedOut: 0 });
      assert.deepEqual(census, before);
    });
  });

  test("an abort after the grant, in the same turn, is ignored (LK-04)", async () => {
    await world(async () => {
      const waiting = queue();
      const controller = new AbortController();
      const wait = waiting.wait("a", { signal: controller.signal });
      waiting.grant(1);
      controller.abort(new Error("too late"));
      assert.equal(await wait, 1);
      assert.deepEqual(waiting.totals, { granted: 1, aborted: 0, timedOut: 0 });
    });
  });

  test("a grant after the abort, in the same turn, goes to the next waiter (LK-04)", async () => {
    await world(async () => {
      const waiting = queue();
      const controller = new AbortController();
      const aborted = waiting.wait("a", { signal: controller.signal });
      const next = waiting.wait("b");
      controller.abort("first");
      assert.equal(waiting.grant(1), true);
      await assert.rejects(aborted, (error) => error === "first");
      assert.equal(await next, 1);
    });
  });

  test("a grant from an abort listener that runs before ours goes past the aborted waiter (LK-04)", async () => {
    await world(async () => {
      const waiting = queue();
      const controller = new AbortController();
      // Registered before the queue listens, so that it runs first.
      controller.signal.addEventListener("abort", () => assert.equal(waiting.grant(1), true), { once: true });
      const first = waiting.wait("a", { signal: controller.signal });
      const second = waiting.wait("b", { signal: controller.signal });
      const third = waiting.wait("c");
      controller.abort("stop");
      await assert.rejects(first, (error) => error === "stop");
      await assert.rejects(second, (error) => error === "stop");
      assert.equal(await third, 1);
      assert.deepEqual(waiting.totals, { granted: 1, aborted: 2, timedOut: 0 });
    });
  });

  test("a limit rejects with a TimeoutError that says what was waited behind", async () => {
    await world(async (w) => {
      const waiting: WaitQueue<number, string> = queue({
        name: "x",
        behind: (): string => `${waiting.size} in line`,
      });
      const wait = waiting.wait("a", { timeoutMs: 250 });
      const other = watch([waiting.wait("b")]);
      await assert.rejects(wait, (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.equal(error.message, 'Cannot get ticket "x" within 250 ms: 2 in line');
        assert.deepEqual([error.operation, error.limitMs], ['get ticket "x"', 250]);
        return true;
      });
      assert.equal(w.now, 250);
      assert.equal(waiting.head(), "b");
      waiting.grant(1);
      await w.idle();
      assert.deepEqual(other, ["got 1"]);
      assert.deepEqual(waiting.totals, { granted: 1, aborted: 0, timedOut: 1 });
    });
  });

  test("a limit of 0 lets grants of this turn through, Infinity makes no timer, a grant clears it (LK-12)", async () => {
    await world(async (w) => {
      const waiting = queue();
      const zero = waiting.wait("a", { timeoutMs: 0 });
      waiting.grant(1);
      assert.equal(await zero, 1);
      assert.equal(w.timers.length, 0);
      const late = waiting.wait("b", { timeoutMs: 0 });
      await assert.rejects(late, TimeoutError);
      assert.equal(w.now, 0);
      const none = waiting.wait("c", { timeoutMs: Infinity });
      assert.equal(w.timers.length, 0);
      const far = waiting.wait("d", { timeoutMs: 2 ** 40 });
      assert.equal(w.timers.length, 1);
      waiting.grant(2);
      waiting.grant(3);
      assert.equal(w.timers.length, 0);
      assert.deepEqual(await Promise.all([none, far]), [2, 3]);
    });
  });

  test("whichever of abort and limit comes first ends the wait, and takes the other away", async () => {
    await world(async (w) => {
      const waiting = queue();
      const controller = new AbortController();
      const before = { ...census };
      const limited = waiting.wait("a", { signal: controller.signal, timeoutMs: 10 });
      await assert.rejects(limited, TimeoutError);
      assert.deepEqual(census, before);
      const aborted = waiting.wait("b", { signal: controller.signal, timeoutMs: 10 });
      controller.abort("stop");
      assert.equal(w.timers.length, 0);
      await assert.rejects(aborted, (error) => error === "stop");
    });
  });

  test("calls onLeave in the same turn, once per waiter that gives up", async () => {
    await world(async () => {
      let left = 0;
      const waiting = queue({ onLeave: () => left++ });
      const controller = new AbortController();
      const aborted = waiting.wait("a", { signal: controller.signal });
      const limited = waiting.wait("b", { timeoutMs: 5 });
      const granted = waiting.wait("c");
      controller.abort("stop");
      assert.equal(left, 1);
      await assert.rejects(aborted);
      await assert.rejects(limited, TimeoutError);
      assert.equal(left, 2);
      waiting.grant(1);
      assert.equal(await granted, 1);
      assert.equal(left, 2);
    });
  });

  test("sends away everybody, or those that match, in order", async () => {
    await world(async (w) => {
      const waiting = queue<number>();
      const outcomes = watch([1, 5, 2, 6].map((data) => waiting.wait(data, { timeoutMs: 1_000 })));
      assert.equal(waiting.rejectWhere((data) => data > 4, "too big"), 2);
      assert.equal(waiting.size, 2);
      assert.equal(w.timers.length, 2);
      assert.equal(waiting.settleAll("closed"), 2);
      assert.equal(waiting.settleAll("closed"), 0);
      await w.idle();
      assert.deepEqual(outcomes, ["lost closed", "lost too big", "lost closed", "lost too big"]);
      assert.equal(w.timers.length, 0);
    });
  });

  test("rejects wrong options instead of throwing, and queues nothing", async () => {
    await world(async () => {
      const waiting = queue();
      const wrong = [null, { signal: 5 }, { timeoutMs: "5" }] as unknown as { timeoutMs: number }[];
      for (const options of wrong) await assert.rejects(waiting.wait("a", options), TypeError);
      for (const timeoutMs of [-1, NaN]) {
        await assert.rejects(waiting.wait("a", { timeoutMs }), {
          name: "RangeError",
          message:
            `Cannot get ticket as timeoutMs must be a number of milliseconds >= 0: received ${timeoutMs}`,
        });
      }
      assert.equal(waiting.size, 0);
    });
  });

  test("listens once to a signal on which 100,000 wait, and to none afterwards", async () => {
    await world(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const counts = { added: 0, removed: 0 };
      const add = signal.addEventListener.bind(signal) as (...args: unknown[]) => void;
      const remove = signal.removeEventListener.bind(signal) as (...args: unknown[]) => void;
      signal.addEventListener = (...args: unknown[]) => (counts.added++, add(...args));
      signal.removeEventListener = (...args: unknown[]) => (counts.removed++, remove(...args));
      const [one, other] = [queue(), queue()];
      const waits = Array.from({ length: 100_000 }, (_, i) => (i % 2 ? one : other).wait("a", { signal }));
      assert.deepEqual(counts, { added: 1, removed: 0 });
      // Handled before they are rejected: Deno's list of rejections that nobody handles yet is quadratic.
      const settled = Promise.allSettled(waits);
      controller.abort("all");
      assert.equal(one.size + other.size, 0);
      assert.deepEqual(counts, { added: 1, removed: 1 });
      const outcomes = await settled;
      assert.ok(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason === "all"));
    });
  });

  test("settles every waiter exactly once, in order, whatever happens in whatever order", async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), limit: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("grant" as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), (steps) =>
        world(async (w) => {
          let left = 0;
          const waiting = queue<number>({ onLeave: () => left++ });
          // The model: who waits, in order, and until when.
          const line: { id: number; until: number; controller: AbortController }[] = [];
          const expected: string[] = [];
          const waits: Promise<unknown>[] = [];
          let granted = 0;
          for (const step of steps) {
            if (step.do === "wait") {
              const controller = new AbortController();
              const timeoutMs = step.limit === 0 ? Infinity : step.limit * 10;
              const wait = waiting.wait(waits.length, { signal: controller.signal, timeoutMs });
              wait.catch(ignore);
              waits.push(wait);
              line.push({ id: expected.length, until: w.now + timeoutMs, controller });
              expected.push("waiting");
            } else if (step.do === "grant") {
              const first = line.shift();
              assert.equal(waiting.grant(granted), first !== undefined);
              if (first !== undefined) expected[first.id] = `got ${granted++}`;
            } else if (step.do === "abort" && line.length > 0) {
              const [gone] = line.splice(step.which % line.length, 1);
              gone!.controller.abort(`abort ${gone!.id}`);
              expected[gone!.id] = `lost abort ${gone!.id}`;
            } else if (step.do === "advance") {
              await w.advance(step.ms);
              for (const late of line.filter(({ until }) => until <= w.now)) {
                line.splice(line.indexOf(late), 1);
                expected[late.id] = "timed out";
              }
            } else if (step.do === "turn") await Promise.resolve();
            assert.equal(waiting.size, line.length);
            assert.equal(waiting.head(), line[0]?.id);
          }
          waiting.settleAll("closed");
          for (const { id } of line) expected[id] = "lost closed";
          const outcomes = (await Promise.allSettled(waits)).map((outcome) =>
            outcome.status === "fulfilled"
              ? `got ${outcome.value}`
              : outcome.reason instanceof TimeoutError
              ? "timed out"
              : `lost ${outcome.reason}`
          );
          assert.deepEqual(outcomes, expected);
          assert.equal(waiting.totals.granted, granted);
          assert.equal(left, waiting.totals.aborted + waiting.totals.timedOut);
          assert.equal(w.timers.length, 0);
        }, { auto: false })),
      { seed: 11, numRuns: 150 },
    );
  });
});
