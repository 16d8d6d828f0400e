import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { observe } from "../../src/kernel/observer.ts";
import { Barrier, BrokenBarrierError } from "../../src/sync/barrier.ts";
import { TimeoutError } from "../../src/sync/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

describe("Barrier", () => {
  test("releases all together when the last has come, in the order of arrival, round after round", async () => {
    await world(async (w) => {
      const barrier = new Barrier(3);
      const order: [number, number][] = [];
      const arrive = (who: number) => barrier.wait().then((place) => order.push([who, place]));
      const waits = [arrive(0), arrive(1)];
      await w.idle();
      assert.deepEqual(order, []);
      assert.equal(barrier.statistics().waiting, 2);
      waits.push(arrive(2));
      await Promise.all(waits);
      assert.deepEqual(order, [[0, 0], [1, 1], [2, 2]]);
      // Two rounds at once: the fourth to come belongs to the next one, whatever has been resumed by then.
      const places = await Promise.all(Array.from({ length: 6 }, () => barrier.wait()));
      assert.deepEqual(places, [0, 1, 2, 0, 1, 2]);
      assert.equal(barrier.statistics().rounds, 3);
    });
  });

  test("keeps generations apart: a party that runs ahead waits for the others in the next round", async () => {
    await world(async () => {
      const barrier = new Barrier(3);
      const seen: number[][] = [[], [], []];
      await Promise.all(seen.map(async (rounds, who) => {
        for (let round = 0; round < 5; round++) {
          await sleep((who * 7 + round * 3) % 11);
          rounds.push(round);
          await barrier.wait();
          for (const others of seen) assert.ok(others.length >= round + 1, "nobody is a round behind");
        }
      }));
      assert.equal(barrier.statistics().rounds, 5);
    });
  });

  test("one party is enough when there is only one", async () => {
    const barrier = new Barrier(1);
    assert.equal(await barrier.wait(), 0);
    assert.equal(await barrier.wait({ timeoutMs: 0 }), 0);
    assert.equal(barrier.statistics().rounds, 2);
  });

  test("a party that gives up is uncounted, and the others wait for a full count (LK-14)", async () => {
    for (const reason of ["stop", null, new Error("own")]) {
      await world(async (w) => {
        const barrier = new Barrier(3);
        const controller = new AbortController();
        const first = barrier.wait();
        const second = barrier.wait({ signal: controller.signal });
        controller.abort(reason);
        await assert.rejects(second, (error) => error === reason);
        const third = barrier.wait();
        await w.idle();
        assert.equal(barrier.statistics().waiting, 2);
        assert.equal(barrier.broken, false);
        assert.equal(await barrier.wait(), 2);
        assert.deepEqual(await Promise.all([first, third]), [0, 1]);
      });
    }
  });

  test("a party whose signal is aborted when the last one comes does not count, wherever it stands (LK-14)", async () => {
    for (const position of [0, 1]) {
      await world(async (w) => {
        const barrier = new Barrier(3);
        const controller = new AbortController();
        let last: Promise<number> | undefined;
        // Comes while the abort is being told: before the barrier hears of it.
        controller.signal.addEventListener("abort", () => last = barrier.wait(), { once: true });
        const waits = [0, 1].map((i) => barrier.wait(i === position ? { signal: controller.signal } : {}));
        controller.abort("stop");
        await assert.rejects(waits[position]!, (error) => error === "stop");
        await w.idle();
        const { waiting, rounds } = barrier.statistics();
        assert.deepEqual([waiting, rounds], [2, 0]);
        assert.equal(await barrier.wait(), 2);
        assert.deepEqual(await Promise.all([waits[1 - position], last]), [0, 1]);
      });
    }
  });

  test("an abort after the release, in the same turn, is too late", async () => {
    await world(async () => {
      const barrier = new Barrier(2);
      const controller = new AbortController();
      const first = barrier.wait({ signal: controller.signal });
      const second = barrier.wait();
      controller.abort("too late");
      assert.deepEqual(await Promise.all([first, second]), [0, 1]);
    });
  });

  test("a signal aborted beforehand does not count as an arrival, nor touch a broken barrier", async () => {
    const barrier = new Barrier(1);
    const signal = AbortSignal.abort(null);
    await assert.rejects(barrier.wait({ signal }), (error) => error === null);
    barrier.break();
    await assert.rejects(barrier.wait({ signal }), (error) => error === null);
    const { rounds, aborted, granted } = barrier.statistics();
    assert.deepEqual([rounds, aborted, granted], [0, 2, 0]);
  });

  test("a limit uncounts too, and says how many have come (LK-12)", async () => {
    await world(async (w) => {
      const barrier = new Barrier(3, { name: "start" });
      const first = barrier.wait();
      await assert.rejects(barrier.wait({ timeoutMs: 20 }), {
        name: "TimeoutError",
        message: 'Cannot pass barrier "start" within 20 ms: 2 of 3 parties have come',
        operation: 'pass barrier "start"',
        limitMs: 20,
      });
      await assert.rejects(barrier.wait({ timeoutMs: 0 }), TimeoutError);
      const more = [barrier.wait({ timeoutMs: 1_000 }), barrier.wait({ timeoutMs: 0 })];
      assert.deepEqual(await Promise.all([first, ...more]), [0, 1, 2]);
      assert.equal(w.timers.length, 0);
      assert.deepEqual(barrier.statistics(), {
        parties: 3,
        waiting: 0,
        rounds: 1,
        broken: false,
        granted: 3,
        aborted: 0,
        timedOut: 2,
      });
      assert.ok(Object.isFrozen(barrier.statistics()));
    });
  });

  test("break sends everybody away, and whoever comes, until reset (LK-14)", async () => {
    await world(async () => {
      const barrier = new Barrier(3, { name: "start" });
      const waits = [barrier.wait(), barrier.wait()];
      barrier.break();
      barrier.break("again");
      assert.equal(barrier.broken, true);
      for (const wait of [...waits, barrier.wait()]) {
        await assert.rejects(wait, (error) => {
          assert.ok(error instanceof BrokenBarrierError);
          assert.equal(error.name, "BrokenBarrierError");
          assert.equal(error.message, 'Cannot pass barrier "start": it was broken');
          return true;
        });
      }
      barrier.reset();
      assert.equal(barrier.broken, false);
      assert.deepEqual(await Promise.all([barrier.wait(), barrier.wait(), barrier.wait()]), [0, 1, 2]);
    });
  });

  test("break passes any reason on untouched", async () => {
    for (const reason of [null, "text", 0, new Error("own")]) {
      const barrier = new Barrier(2);
      const wait = barrier.wait();
      barrier.break(reason);
      await assert.rejects(wait, (error) => error === reason);
      await assert.rejects(barrier.wait(), (error) => error === reason);
    }
  });

  test("reset in the middle of a round breaks it for those who wait, and starts a new one", async () => {
    await world(async () => {
      const barrier = new Barrier(2);
      barrier.reset();
      const old = barrier.wait();
      barrier.reset();
      const fresh = [barrier.wait(), barrier.wait()];
      await assert.rejects(old, BrokenBarrierError);
      assert.deepEqual(await Promise.all(fresh), [0, 1]);
      assert.equal(barrier.broken, false);
    });
  });

  test("an observer that arrives while a round is released belongs to the next one", async () => {
    await world(async () => {
      const barrier = new Barrier(3);
      let extra: Promise<number> | undefined;
      {
        using _observer = observe({
          record({ kind }) {
            if (kind === "grant") extra ??= barrier.wait();
          },
        });
        assert.deepEqual(await Promise.all([barrier.wait(), barrier.wait(), barrier.wait()]), [0, 1, 2]);
      }
      assert.equal(barrier.statistics().waiting, 1);
      assert.deepEqual(await Promise.all([extra, barrier.wait(), barrier.wait()]), [0, 1, 2]);
    });
  });

  test("aborted at any point, a round is complete or waits for a full count", async () => {
    let barrier: Barrier;
    let passed: number;
    await sweep(async (signal) => {
      barrier = new Barrier(3);
      passed = 0;
      const pass = async (afterMs: number): Promise<void> => {
        await sleep(afterMs);
        await barrier.wait({ signal });
        passed++;
      };
      const all = [pass(0), pass(0), pass(5)];
      await Promise.allSettled(all);
      await Promise.all(all);
    }, async () => {
      const { waiting, rounds } = barrier.statistics();
      assert.deepEqual([waiting, passed], [0, rounds * 3]);
      await Promise.all([barrier.wait(), barrier.wait(), barrier.wait()]);
    });
  });

  test("wrong arguments throw from the constructor and reject from wait", async () => {
    for (const parties of [0, -1, 1.5, NaN, Infinity]) {
      assert.throws(() => new Barrier(parties), RangeError);
    }
    for (const parties of ["3", undefined, null]) {
      assert.throws(() => new Barrier(parties as unknown as number), TypeError);
    }
    assert.throws(() => new Barrier(0, { name: "start" }), {
      message: 'Cannot create barrier "start" as parties must be an integer >= 1: received 0',
    });
    for (const options of [null, 5, { name: 5 }]) {
      assert.throws(() => new Barrier(2, options as object), TypeError);
    }
    const barrier = new Barrier(2);
    for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }]) {
      await assert.rejects(barrier.wait(options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(barrier.wait({ timeoutMs }), RangeError);
    assert.equal(barrier.statistics().waiting, 0);
    barrier.wait().catch(ignore);
    barrier.break();
  });
});
