import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import type { Lease, WaitOptions } from "../../../src/kernel/types.ts";
import {
  AsyncEvent,
  AsyncLock,
  AsyncSemaphore,
  Barrier,
  Channel,
  Condition,
  KeyedLock,
  ReadWriteLock,
} from "../../../src/sync/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

export const operations: readonly Operation[] = [
  {
    name: "a lock",
    covers: ["AsyncLock.acquire", "AsyncLock.run"],
    scene: () => {
      const lock = new AsyncLock();
      let [inside, served] = [0, 0];
      const visit = async (signal?: AbortSignal): Promise<void> => {
        assert.equal(++inside, 1, "alone in it");
        try {
          await sleep(2, { signal });
        } finally {
          inside--;
        }
      };
      const acquire = async (options?: WaitOptions): Promise<void> => {
        using lease = await lock.acquire(options);
        await visit(options?.signal);
        lease.release();
      };
      const run = (signal?: AbortSignal): Promise<void> => lock.run(() => visit(signal), { signal });
      return {
        act: (signal) =>
          all(
            acquire({ signal }),
            acquire().then(() => served++),
            run(signal),
            mayBeLate(acquire({ signal, timeoutMs: 3 })),
            run().then(() => served++),
          ),
        check: () => {
          const { held, waiting } = lock.statistics();
          assert.deepEqual([held, waiting, inside, served], [false, 0, 0, 2]);
          assert.ok(lock.tryAcquire());
        },
      };
    },
  },
  {
    name: "a semaphore with weights, resized while callers wait",
    covers: ["AsyncSemaphore.acquire", "AsyncSemaphore.run"],
    scene: () => {
      const semaphore = new AsyncSemaphore(3);
      let [inside, capacity, served] = [0, 3, 0];
      const visit = async (weight: number, signal?: AbortSignal): Promise<void> => {
        inside += weight;
        assert.ok(inside <= capacity);
        try {
          await sleep(weight, { signal });
        } finally {
          inside -= weight;
        }
      };
      const run = (weight: number, signal?: AbortSignal): Promise<void> =>
        semaphore.run(() => visit(weight, signal), { weight, signal });
      const acquire = async (weight: number, options: WaitOptions): Promise<void> => {
        using _ = await semaphore.acquire({ weight, ...options });
        await visit(weight, options.signal);
      };
      return {
        act: (signal) =>
          all(
            run(2, signal),
            acquire(3, { signal }),
            run(1).then(() => served++),
            mayBeLate(acquire(2, { signal, timeoutMs: 4 })),
            acquire(2, {}).then(() => served++),
            sleep(3).then(() => semaphore.resize(capacity = 4)),
          ),
        check: () => {
          const { inUse, free, waiting } = semaphore.statistics();
          assert.deepEqual([inUse, free, waiting, served], [0, 4, 0, 2]);
        },
      };
    },
  },
  {
    name: "a semaphore that is closed while callers wait",
    covers: ["AsyncSemaphore.acquire"],
    scene: () => {
      const semaphore = new AsyncSemaphore(1);
      const outcomes: unknown[] = [];
      const use = async (signal?: AbortSignal): Promise<void> => {
        using _ = await semaphore.acquire({ signal });
        await sleep(2, { signal });
      };
      const note = (waiting: Promise<void>): Promise<unknown> =>
        waiting.then(() => outcomes.push("served"), (error) => outcomes.push(error));
      return {
        act: (signal) =>
          all(use(signal), note(use()), note(use()), sleep(3).then(() => semaphore.close("closed"))),
        check: () => {
          assert.equal(outcomes.length, 2);
          assert.ok(
            outcomes.every((outcome) => outcome === "served" || outcome === "closed"),
            String(outcomes),
          );
          const { inUse, free, waiting } = semaphore.statistics();
          assert.deepEqual([inUse, free, waiting], [0, 1, 0]);
        },
      };
    },
  },
  {
    name: "those behind somebody who gives up, with what is free in use by others until they are served",
    covers: [
      "AsyncSemaphore.acquire",
      "ReadWriteLock.acquireRead",
      "ReadWriteLock.acquireWrite",
      "Channel.send",
    ],
    scene: () => {
      const [semaphore, lock] = [new AsyncSemaphore(3), new ReadWriteLock()];
      const channel = new Channel<number>({ capacity: 3, weigh: (value) => value });
      let served = 0;
      const behind = async (waiting: Promise<unknown>, done: AsyncEvent): Promise<void> => {
        const lease = await waiting;
        if (typeof lease === "object") (lease as Lease).release();
        served++;
        done.set();
      };
      return {
        act: async (signal) => {
          const giveUp = { signal, timeoutMs: 4 };
          const [one, two, three] = [new AsyncEvent(), new AsyncEvent(), new AsyncEvent()];
          const held = [await semaphore.acquire({ weight: 2 }), await lock.acquireRead()];
          await channel.send(2);
          const parties = all(
            mayBeLate(semaphore.acquire({ weight: 3, ...giveUp })),
            mayBeLate(lock.acquireWrite(giveUp)),
            mayBeLate(channel.send(3, giveUp)),
            behind(semaphore.acquire({ weight: 1 }), one),
            behind(lock.acquireRead(), two),
            behind(channel.send(1), three),
          );
          await all(one.wait(), two.wait(), three.wait());
          for (const lease of held) lease.release();
          await parties;
        },
        check: () => {
          assert.deepEqual([served, semaphore.statistics().free], [3, 3]);
          assert.deepEqual([lock.statistics().readers, lock.statistics().waitingWriters], [0, 0]);
          assert.deepEqual([channel.size, channel.statistics().weight], [2, 3]);
        },
      };
    },
  },
  {
    name: "events with manual and with auto reset",
    covers: ["AsyncEvent.wait"],
    scene: () => {
      const [manual, auto] = [new AsyncEvent(), new AsyncEvent({ autoReset: true })];
      let through = 0;
      const pass = (options?: WaitOptions): Promise<unknown> => auto.wait(options).then(() => through++);
      return {
        act: async (signal) => {
          const parties = all(
            manual.wait({ signal }),
            manual.wait(),
            pass({ signal }),
            mayBeLate(pass({ signal, timeoutMs: 2 })),
            pass(),
          );
          parties.catch(() => {});
          await sleep(1);
          manual.set();
          auto.set();
          await sleep(2);
          while (auto.statistics().waiting > 0) auto.set();
          await parties;
        },
        check: () => {
          assert.deepEqual([manual.statistics().waiting, auto.statistics().waiting], [0, 0]);
          // A setting that found nobody is still there; one that let somebody through is used up.
          assert.equal(auto.statistics().granted, through);
          assert.ok(manual.isSet);
        },
      };
    },
  },
  {
    name: "a read-write lock, downgrades included",
    covers: [
      "ReadWriteLock.acquireRead",
      "ReadWriteLock.acquireWrite",
      "ReadWriteLock.runRead",
      "ReadWriteLock.runWrite",
    ],
    scene: () => {
      const lock = new ReadWriteLock();
      let [reading, writing, served] = [0, 0, 0];
      const read = async (signal?: AbortSignal): Promise<void> => {
        assert.equal(writing, 0);
        reading++;
        try {
          await sleep(2, { signal });
        } finally {
          reading--;
        }
      };
      const write = async (signal?: AbortSignal): Promise<void> => {
        assert.deepEqual([reading, ++writing], [0, 1]);
        try {
          await sleep(2, { signal });
        } finally {
          writing--;
        }
      };
      const downgrading = async (signal?: AbortSignal): Promise<void> => {
        using lease = await lock.acquireWrite({ signal });
        await write(signal);
        using _ = lease.downgrade();
        await read(signal);
      };
      const reader = async (signal?: AbortSignal): Promise<void> => {
        using _ = await lock.acquireRead({ signal });
        await read(signal);
      };
      return {
        act: (signal) =>
          all(
            lock.runRead(() => read(signal), { signal }),
            downgrading(signal),
            reader(signal),
            reader().then(() => served++),
            mayBeLate(lock.runWrite(() => write(), { signal, timeoutMs: 3 })),
            lock.runWrite(() => write(signal), { signal }),
            downgrading().then(() => served++),
          ),
        check: () => {
          const { readers, writing, waitingReaders, waitingWriters } = lock.statistics();
          assert.deepEqual([readers, writing, waitingReaders, waitingWriters, served], [0, false, 0, 0, 2]);
        },
      };
    },
  },
  {
    name: "a keyed lock",
    covers: ["KeyedLock.acquire", "KeyedLock.run"],
    scene: () => {
      const locks = new KeyedLock<string>();
      const inside = { a: 0, b: 0 };
      let served = 0;
      const visit = async (key: "a" | "b", signal?: AbortSignal): Promise<void> => {
        assert.equal(++inside[key], 1);
        try {
          await sleep(2, { signal });
        } finally {
          inside[key]--;
        }
      };
      const use = async (key: "a" | "b", options: WaitOptions = {}): Promise<void> => {
        using _ = await locks.acquire(key, options);
        await visit(key, options.signal);
      };
      return {
        act: (signal) =>
          all(
            use("a", { signal }),
            use("a").then(() => served++),
            locks.run("a", () => visit("a", signal), { signal }),
            locks.run("b", () => visit("b")).then(() => served++),
            mayBeLate(use("b", { signal, timeoutMs: 1 })),
          ),
        check: () => {
          const { keys, waiting } = locks.statistics();
          assert.deepEqual([keys, waiting, served], [0, 0, 2]);
        },
      };
    },
  },
  {
    name: "a condition of a lock",
    covers: ["Condition.wait"],
    scene: () => {
      const lock = new AsyncLock();
      const filled = new Condition(lock);
      const items: number[] = [];
      const taken: number[] = [];
      const take = async (options?: WaitOptions): Promise<void> => {
        using lease = await lock.acquire();
        try {
          while (items.length === 0) await filled.wait(lease, options);
          taken.push(items.shift()!);
        } finally {
          assert.ok(lease.held, "held again, however the wait ended");
        }
      };
      const put = async (item: number): Promise<void> => {
        using _ = await lock.acquire();
        items.push(item);
        await sleep(1);
        // All: one who gives up having been notified would keep it from the others.
        filled.notifyAll();
      };
      return {
        act: (signal) =>
          all(
            take({ signal }),
            take(),
            mayBeLate(take({ signal, timeoutMs: 1 })),
            put(1),
            sleep(2).then(() => put(2)),
            sleep(2).then(() => put(3)),
          ),
        check: () => {
          const { held, waiting } = lock.statistics();
          assert.deepEqual([held, waiting, filled.statistics().waiting], [false, 0, 0]);
          assert.deepEqual([...taken, ...items].toSorted(), [1, 2, 3]);
          assert.ok(taken.length >= 1);
        },
      };
    },
  },
  {
    name: "a barrier",
    covers: ["Barrier.wait"],
    scene: () => {
      const barrier = new Barrier(3);
      let waiting = true;
      const places: number[] = [];
      const arrive = (options?: WaitOptions): Promise<unknown> =>
        barrier.wait(options).then((place) => places.push(place));
      return {
        act: async (signal) => {
          const parties = all(
            arrive({ signal }),
            arrive(),
            mayBeLate(arrive({ signal, timeoutMs: 2 })),
            sleep(1, { signal }).then(() => arrive({ signal })),
            sleep(1).then(() => arrive()),
          );
          parties.catch(() => {}).finally(() => waiting = false);
          // Whoever gave up is not counted: as many come after them as the round lacks.
          await sleep(3);
          while (waiting) {
            if (barrier.statistics().waiting > 0) void arrive();
            await sleep(1);
          }
          await parties;
        },
        check: () => {
          const { waiting, rounds, granted } = barrier.statistics();
          assert.deepEqual([waiting, granted, places.length], [0, rounds * 3, rounds * 3]);
          for (let place = 0; place < 3; place++) {
            assert.equal(places.filter((it) => it === place).length, rounds, "each place once a round");
          }
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
