import assert from "node:assert/strict";
import { AsyncLock } from "../../src/sync/async_lock.ts";
import type { Case } from "../_measure.ts";
import { sink } from "../_measure.ts";
import { HandList, HandLock } from "./_by_hand.ts";

const TIMES = 50_000;

async function checkExclusion(acquire: () => Promise<() => void>): Promise<void> {
  let inside = 0;
  const order: number[] = [];
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const release = await acquire();
    assert.equal(++inside, 1);
    order.push(i);
    await Promise.resolve();
    inside--;
    release();
  }));
  assert.deepEqual(order, order.toSorted((a, b) => a - b));
}

async function check(): Promise<unknown> {
  const [hand, ours] = [new HandLock(), new AsyncLock()];
  await checkExclusion(() => hand.acquire().then(() => () => hand.release()));
  await checkExclusion(() => ours.acquire().then((lease) => () => lease.release()));
  const list = new HandList();
  list.add();
  await hand.acquire();
  return [hand, hand.acquire(), list, ours, await ours.acquire(), ours.acquire()];
}

function handedOver(among: number, target: number): Case {
  return {
    name: `lock: handed over among ${among.toLocaleString("en")}`,
    ops: Math.max(among, TIMES),
    target,
    check,
    async minimum() {
      for (let done = 0; done < TIMES; done += among) {
        const lock = new HandLock();
        const use = async (): Promise<void> => {
          await lock.acquire();
          lock.release();
        };
        await lock.acquire();
        const uses: Promise<void>[] = [];
        for (let i = 0; i < among; i++) uses.push(use());
        lock.release();
        await Promise.all(uses);
      }
    },
    async ours() {
      for (let done = 0; done < TIMES; done += among) {
        const lock = new AsyncLock();
        const use = async (): Promise<void> => {
          const lease = await lock.acquire();
          lease.release();
        };
        const first = await lock.acquire();
        const uses: Promise<void>[] = [];
        for (let i = 0; i < among; i++) uses.push(use());
        first.release();
        await Promise.all(uses);
      }
    },
  };
}

const ABORTS = 1_000;

function abortedInTheMiddle(of: number): Case {
  return {
    name: `lock: abort in the middle of ${of.toLocaleString("en")}`,
    ops: ABORTS,
    target: 2,
    async check() {
      const lock = new AsyncLock();
      using _held = await lock.acquire();
      const controllers = Array.from({ length: 10 }, () => new AbortController());
      const waits = controllers.map(({ signal }) => lock.acquire({ signal }));
      const settled = Promise.allSettled(waits);
      for (const controller of controllers) controller.abort("stop");
      assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
      assert.equal(lock.statistics().waiting, 0);
      return await check();
    },
    async minimum(timer) {
      const list = new HandList();
      const controllers: AbortController[] = [];
      const waits: Promise<unknown>[] = [];
      for (let i = 0; i < of; i++) {
        const controller = new AbortController();
        controllers.push(controller);
        waits.push(list.wait(controller.signal).catch(() => sink(1)));
      }
      const from = (of - ABORTS) >> 1;
      timer.start();
      for (let i = from; i < from + ABORTS; i++) controllers[i]!.abort("stop");
      timer.end();
      for (const waiter of list) waiter.resolve();
      await Promise.all(waits);
    },
    async ours(timer) {
      const lock = new AsyncLock();
      let lease = await lock.acquire();
      const controllers: AbortController[] = [];
      const waits: Promise<unknown>[] = [];
      for (let i = 0; i < of; i++) {
        const controller = new AbortController();
        controllers.push(controller);
        waits.push(
          lock.acquire({ signal: controller.signal }).then((next) => {
            lease = next;
            lease.release();
          }, () => sink(1)),
        );
      }
      const from = (of - ABORTS) >> 1;
      timer.start();
      for (let i = from; i < from + ABORTS; i++) controllers[i]!.abort("stop");
      timer.end();
      lease.release();
      await Promise.all(waits);
    },
  };
}

/** By hand: one listener for all, as somebody would who knew that a listener each is quadratic. */
function abortedTogether(number: number): Case {
  return {
    name: `lock: abort ${number.toLocaleString("en")} on one signal`,
    ops: number,
    targetNs: 2_000,
    async check() {
      const lock = new AsyncLock();
      using _held = await lock.acquire();
      const controller = new AbortController();
      const { signal } = controller;
      const settled = Promise.allSettled(Array.from({ length: 100 }, () => lock.acquire({ signal })));
      controller.abort("stop");
      assert.ok((await settled).every((one) => one.status === "rejected" && one.reason === "stop"));
      return await check();
    },
    async minimum(timer) {
      const controller = new AbortController();
      const list = new HandList();
      controller.signal.addEventListener("abort", () => {
        for (const waiter of list) waiter.reject(controller.signal.reason);
      }, { once: true });
      const waits: Promise<unknown>[] = [];
      for (let i = 0; i < number; i++) waits.push(list.add().promise.catch(() => sink(1)));
      timer.start();
      controller.abort("stop");
      timer.end();
      await Promise.all(waits);
    },
    async ours(timer) {
      const controller = new AbortController();
      const { signal } = controller;
      const lock = new AsyncLock();
      using _held = await lock.acquire();
      const waits: Promise<unknown>[] = [];
      for (let i = 0; i < number; i++) waits.push(lock.acquire({ signal }).catch(() => sink(1)));
      timer.start();
      controller.abort("stop");
      timer.end();
      await Promise.all(waits);
    },
  };
}

export const cases: readonly Case[] = [
  {
    name: "lock: free, acquire and release",
    ops: TIMES,
    target: 2,
    check,
    async minimum() {
      const lock = new HandLock();
      for (let i = 0; i < TIMES; i++) {
        await lock.acquire();
        lock.release();
      }
    },
    async ours() {
      const lock = new AsyncLock();
      for (let i = 0; i < TIMES; i++) {
        const lease = await lock.acquire();
        lease.release();
      }
    },
  },
  {
    name: "lock: free, tryAcquire (by hand: awaited)",
    ops: TIMES,
    target: 0.5,
    check,
    async minimum() {
      const lock = new HandLock();
      for (let i = 0; i < TIMES; i++) {
        await lock.acquire();
        lock.release();
      }
    },
    ours() {
      const lock = new AsyncLock();
      for (let i = 0; i < TIMES; i++) {
        const lease = lock.tryAcquire()!;
        lease.release();
      }
    },
  },
  handedOver(1_000, 1.5),
  handedOver(100_000, 1.3),
  abortedInTheMiddle(1_000),
  abortedInTheMiddle(100_000),
  abortedTogether(1_000),
  abortedTogether(100_000),
];
