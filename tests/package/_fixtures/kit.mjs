// Tests of somebody who has the package installed, for any test runner: run in each of them by runners_test.ts.
import assert from "node:assert/strict";
import process from "node:process";
import { runApplication } from "@uno/async/app";
import { sleep, timeout } from "@uno/async/cancel";
import { AsyncLock, AsyncSemaphore } from "@uno/async/sync";
import { runTasks } from "@uno/async/task";
import {
  explore,
  ExploreError,
  FakeHost,
  leakGuard,
  StuckError,
  sweep,
  SweepError,
  world,
} from "@uno/async/testing";

/** Registers tests by the runner's own `test`: those that pass, or those of which each has to fail. */
export function kit(test) {
  for (const [name, fn] of Object.entries(process.env.KIT === "failing" ? failing : passing)) test(name, fn);
}

let desks;

/** Sleeps with a permit, and may give it back however that ends. */
const work = (careful) => async (signal) => {
  desks = new AsyncSemaphore(1);
  const permit = await desks.acquire({ signal });
  try {
    await sleep(10, { signal });
  } catch (error) {
    if (careful) permit.release();
    throw error;
  }
  permit.release();
};

const back = () => assert.ok(desks.tryAcquire(), "the permit is back");

/** One warms the cache, the other relies on its being warm. */
const morning = (careful) => async () => {
  let cache;
  await runTasks([
    async () => {
      await sleep(1_000);
      cache = "warm";
    },
    async () => {
      await sleep(careful ? 1_001 : 1_000);
      assert.equal(cache, "warm");
    },
  ]);
};

const deadlock = async () => {
  const lock = new AsyncLock({ name: "orders" });
  await lock.acquire();
  await lock.acquire();
};

const passing = {
  "world: time moves by itself": () =>
    world(async (w) => {
      await assert.rejects(timeout(60_000, ({ signal }) => sleep(Infinity, { signal })), /within 60000 ms/);
      assert.equal(w.now, 60_000);
    }),
  "world: time moves by hand": () =>
    world(async (w) => {
      const nap = sleep(100);
      await w.advance(99);
      assert.equal(w.timers.length, 1);
      await w.advance(1);
      await nap;
    }, { auto: false }),
  "world: real I/O": () =>
    world(async (w) => {
      await w.external(new Promise((resolve) => void setTimeout(resolve, 5)));
      assert.equal(w.now, 0);
    }),
  "world: sees a test that can never end": () => assert.rejects(world(deadlock), StuckError),
  "world: one after the other": async () => {
    for (let i = 0; i < 3; i++) await world(() => sleep(10));
  },
  "sweep": async () => {
    const { points, aborted } = await sweep(work(true), back);
    assert.ok(points > 3);
    assert.equal(aborted, points);
  },
  "sweep: finds the point": () => assert.rejects(sweep(work(false), back), SweepError),
  "explore": async () => {
    assert.deepEqual(await explore(morning(true), { runs: 20 }), { runs: 20 });
  },
  "explore: finds the order, and repeats it": async () => {
    const error = await explore(morning(false)).catch((error) => error);
    assert.ok(error instanceof ExploreError);
    await assert.rejects(explore(morning(false), { seed: error.seed }), ExploreError);
  },
  "leakGuard": async () => {
    const guard = leakGuard();
    const lock = new AsyncLock();
    (await lock.acquire()).release();
    await guard.check();
  },
  "FakeHost": () =>
    world(async () => {
      const host = new FakeHost();
      const running = runApplication((app) => app.stopRequested(), { host });
      await host.heard("SIGTERM");
      host.send("SIGTERM");
      assert.equal((await running).code, 143);
    }),
};

const failing = {
  "stuck": () => world(deadlock),
  "left": () =>
    world(() => {
      sleep(10);
    }),
  "swept": () => sweep(work(false), back),
  "explored": () => explore(morning(false)),
  "guarded": async () => {
    const guard = leakGuard();
    const lock = new AsyncLock();
    await lock.acquire();
    lock.acquire();
    await guard.check();
  },
};
