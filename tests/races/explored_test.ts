/** Whatever order things happen in: the invariants of the lower floors, each explored. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { timeout } from "../../src/cancel/timeout.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { AsyncEvent } from "../../src/sync/async_event.ts";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import { AsyncSemaphore } from "../../src/sync/async_semaphore.ts";
import { Barrier } from "../../src/sync/barrier.ts";
import { Channel } from "../../src/sync/channel.ts";
import { Condition } from "../../src/sync/condition.ts";
import { KeyedLock } from "../../src/sync/keyed_lock.ts";
import { ReadWriteLock } from "../../src/sync/read_write_lock.ts";
import { select } from "../../src/sync/select.ts";
import { Limiter } from "../../src/flow/limiter.ts";
import { mapTasks } from "../../src/task/map_tasks.ts";
import { runTasks } from "../../src/task/run_tasks.ts";
import { TaskGroup } from "../../src/task/task_group.ts";
import { explore } from "../../src/testing/mod.ts";

const RUNS = { runs: 60 };

/** Goes in and out of something of which at most `limit` may be in at once. */
class Room {
  most = 0;
  #inside = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async visit(ms: number, signal?: AbortSignal): Promise<void> {
    assert.ok(++this.#inside <= this.#limit);
    this.most = Math.max(this.most, this.#inside);
    try {
      await sleep(ms, { signal });
    } finally {
      this.#inside--;
    }
  }
}

/** Runs tasks of which every third is cancelled after a while. */
async function crowd(size: number, job: (i: number, signal: AbortSignal) => Promise<unknown>): Promise<void> {
  await TaskGroup.run((group) => {
    for (let i = 0; i < size; i++) {
      const task = group.spawn(({ signal }) => job(i, signal));
      if (i % 3 === 2) group.spawn(() => sleep(i % 5).then(() => task.cancel()));
    }
  });
}

describe("explored", () => {
  test("AsyncLock lets one in, and is free at the end", async () => {
    await explore(async () => {
      const [lock, room] = [new AsyncLock(), new Room(1)];
      await crowd(9, async (i, signal) => {
        using _ = await lock.acquire({ signal });
        await room.visit(i % 2, signal);
      });
      assert.ok(lock.tryAcquire());
    }, RUNS);
  });

  test("AsyncSemaphore and Limiter let in as many as they may, and end with all permits", async () => {
    await explore(async () => {
      const [semaphore, room] = [new AsyncSemaphore(3), new Room(3)];
      await crowd(12, async (i, signal) => {
        using _ = await semaphore.acquire({ signal, weight: 1 + i % 3 });
        await room.visit(i % 3, signal);
      });
      assert.equal(semaphore.statistics().free, 3);
      const [limiter, hall] = [new Limiter({ limit: 2 }), new Room(2)];
      await crowd(9, (i, signal) => limiter.run(({ signal }) => hall.visit(i % 3, signal), { signal }));
      assert.equal(limiter.statistics().inUse, 0);
    }, RUNS);
  });

  test("ReadWriteLock and KeyedLock keep apart whom they must", async () => {
    await explore(async () => {
      const lock = new ReadWriteLock();
      let [reading, writing] = [0, 0];
      await crowd(9, async (i, signal) => {
        if (i % 4 === 0) {
          using _ = await lock.acquireWrite({ signal });
          assert.deepEqual([reading, ++writing], [0, 1]);
          await sleep(1);
          writing--;
        } else {
          using _ = await lock.acquireRead({ signal });
          assert.equal(writing, 0);
          reading++;
          await sleep(i % 3);
          reading--;
        }
      });
      const [keyed, rooms] = [new KeyedLock<number>(), [new Room(1), new Room(1)]];
      await crowd(9, async (i, signal) => {
        using _ = await keyed.acquire(i % 2, { signal });
        await rooms[i % 2]!.visit(1, signal);
      });
      assert.equal(keyed.statistics().keys, 0);
    }, RUNS);
  });

  test("Channel, select and the stream bridges lose, double and reorder nothing", async () => {
    await explore(async () => {
      const [a, b] = [new Channel<number>({ capacity: 1 }), new Channel<number>()];
      const got: number[] = [];
      await runTasks([
        async () => {
          for (let i = 0; i < 6; i++) await a.send(i);
          a.close();
        },
        async () => {
          await b.pipeFrom(a.readable(), { preventClose: true });
          for (let i = 6; i < 12; i++) await select([b.sending(i), b.sending(i)]);
          b.close();
        },
        async () => {
          for await (const n of b) got.push(n);
        },
      ]);
      assert.deepEqual(got, Array.from({ length: 12 }, (_, i) => i));
    }, RUNS);
  });

  test("Condition, Barrier and AsyncEvent wake whom they should", async () => {
    await explore(async () => {
      const lock = new AsyncLock();
      const [filled, items] = [new Condition(lock), [] as number[]];
      const taken: number[] = [];
      const take = async (): Promise<void> => {
        using lease = await lock.acquire();
        while (items.length === 0) await filled.wait(lease);
        taken.push(items.shift()!);
      };
      const put = async (n: number): Promise<void> => {
        using _ = await lock.acquire();
        items.push(n);
        filled.notify();
      };
      await runTasks([take, () => put(1), take, () => put(2), take, () => put(3)]);
      assert.deepEqual(taken.toSorted(), [1, 2, 3]);
      const barrier = new Barrier(3);
      let arrived = 0;
      await runTasks(Array.from({ length: 6 }, (_, i) => async () => {
        await sleep(i % 2);
        arrived++;
        await barrier.wait();
        assert.ok(arrived >= 3);
      }));
      const event = new AsyncEvent({ autoReset: true });
      await runTasks([() => event.wait(), () => event.wait(), async () => {
        while (event.statistics().waiting < 2) await sleep(1);
        event.set();
        event.set();
      }]);
      assert.equal(event.isSet, false);
    }, RUNS);
  });

  test("a limit and the end of what it limits: one of the two, and nothing left behind", async () => {
    const seen = new Set<string>();
    await explore(async () => {
      const outcome = await timeout(10, ({ signal }) => sleep(10, { signal }).then(() => "done")).catch(
        (error) => {
          assert.ok(error instanceof TimeoutError);
          return "late";
        },
      );
      seen.add(outcome);
    }, RUNS);
    assert.deepEqual([...seen].toSorted(), ["done", "late"]);
  });

  test("TaskGroup outlives no task and loses no failure; mapTasks keeps order and limit", async () => {
    await explore(async () => {
      let running = 0;
      const work = async (ms: number, signal: AbortSignal): Promise<void> => {
        running++;
        try {
          await sleep(ms, { signal });
          if (ms === 2) throw new Error("two");
        } finally {
          await sleep(1);
          running--;
        }
      };
      const group = TaskGroup.run((group) => {
        for (const ms of [1, 2, 3, 50]) group.spawn(({ signal }) => work(ms, signal));
      }, { maxConcurrency: 3 });
      group.catch(ignore);
      await assert.rejects(group, { message: "two" });
      assert.equal(running, 0);
      const [room, got] = [new Room(3), [] as number[]];
      const mapped = mapTasks([5, 1, 3, 1, 4], async (ms) => {
        await room.visit(ms);
        return ms;
      }, { concurrency: 3 });
      for await (const ms of mapped) got.push(ms);
      assert.deepEqual(got, [5, 1, 3, 1, 4]);
    }, RUNS);
  });
});
