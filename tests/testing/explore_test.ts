import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep } from "@uno/async/cancel";
import { AsyncLock, Channel } from "@uno/async/sync";
import { runTasks, TaskGroup } from "@uno/async/task";
import { explore, ExploreError, type ExploreOptions, LeakError, StuckError, world } from "@uno/async/testing";

/** How many different orders `scenario`, which gives the order it saw, is run in. */
async function orders(scenario: () => Promise<string>, options: ExploreOptions = {}): Promise<string[]> {
  const seen = new Set<string>();
  await explore(async () => void seen.add(await scenario()), { runs: 100, ...options });
  return [...seen].toSorted();
}

/** Three tasks that start, and that is all. */
async function starts(): Promise<string> {
  let seen = "";
  await TaskGroup.run((group) => {
    for (const name of "abc") group.spawn(() => seen += name);
  });
  return seen;
}

/** Three sleeps of the same length. */
async function naps(): Promise<string> {
  let seen = "";
  await Promise.all([..."abc"].map((name) => sleep(10).then(() => seen += name)));
  return seen;
}

/** One waits for each of two locks that are released one after the other. */
async function waits(): Promise<string> {
  let seen = "";
  const locks = [new AsyncLock(), new AsyncLock()];
  const leases = locks.map((lock) => lock.tryAcquire()!);
  const waiting = locks.map(async (lock, i) => {
    using _ = await lock.acquire();
    seen += "ab"[i];
  });
  for (const lease of leases) lease.release();
  await Promise.all(waiting);
  return seen;
}

/** Whoever of two wakes first must be the one that was there first. */
async function racy(): Promise<void> {
  let ready = false;
  await runTasks([async () => {
    await sleep(10);
    ready = true;
  }, async () => {
    await sleep(10);
    assert.ok(ready, "not ready");
  }]);
}

async function failing(scenario: () => Promise<unknown>, options?: ExploreOptions): Promise<ExploreError> {
  const error = await explore(scenario, options).then(() => undefined, (error) => error);
  assert.ok(error instanceof ExploreError, String(error));
  return error;
}

describe("explore", () => {
  test("lets tasks start, timers fire and waits end in every order", async () => {
    const all = ["abc", "acb", "bac", "bca", "cab", "cba"];
    assert.deepEqual(await orders(starts), all);
    assert.deepEqual(await orders(naps), all);
    assert.deepEqual(await orders(waits), ["ab", "ba"]);
  });

  test("leaves alone what is not to vary", async () => {
    assert.deepEqual(await orders(starts, { vary: ["timers", "waits"] }), ["abc"]);
    assert.deepEqual(await orders(naps, { vary: ["starts", "waits"] }), ["abc"]);
    assert.deepEqual(await orders(waits, { vary: ["starts", "timers"] }), ["ab"]);
    assert.deepEqual(await orders(starts, { vary: [] }), ["abc"]);
  });

  test("lets what a timer woke run before or after the next timer that is due", async () => {
    const seen = await orders(async () => {
      let log = "";
      const go = async (name: string): Promise<void> => {
        await sleep(5);
        log += name;
        for (let i = 0; i < 3; i++) await undefined;
        log += name.toUpperCase();
      };
      await Promise.all([go("a"), go("b")]);
      return log;
    });
    assert.deepEqual(seen, ["aAbB", "abAB", "baBA", "bBaA"].toSorted());
  });

  test("keeps the order of those who wait in one line", async () => {
    const lines = await orders(async () => {
      let log = "";
      const channel = new Channel<number>();
      const lock = new AsyncLock();
      const held = lock.tryAcquire()!;
      const receiving = [..."abcd"].map((name) => channel.receive().then((n) => log += `${name}${n}`));
      const locking = [..."ABC"].map(async (name) => {
        using _ = await lock.acquire();
        log += name;
      });
      held.release();
      for (let i = 0; i < 4; i++) channel.trySend(i);
      await Promise.all([...receiving, ...locking]);
      return log;
    });
    assert.ok(lines.length > 3);
    for (const line of lines) {
      assert.equal(line.replace(/[A-Z]/g, ""), "a0b1c2d3");
      assert.equal(line.replace(/[a-z]\d/g, ""), "ABC");
    }
  });

  test("time passes in every order as it does in any", async () => {
    await explore(async (w) => {
      const before: number[] = [];
      await Promise.all([30, 10, 20, 10].map(async (ms) => {
        await sleep(ms);
        assert.equal(w.now, ms);
        before.push(ms);
      }));
      assert.deepEqual(before, [10, 10, 20, 30]);
    });
  });

  test("finds a race, names the seed, and runs that order again by it, as often as asked", async () => {
    const error = await failing(racy);
    assert.match(
      error.message,
      new RegExp(
        `^Cannot pass in the order of seed ${error.seed}: AssertionError: not ready; ` +
          `explore\\(scenario, \\{ seed: ${error.seed} \\}\\) runs it again$`,
      ),
    );
    assert.ok(error.cause instanceof assert.AssertionError);
    for (let i = 0; i < 3; i++) {
      const again = await failing(racy, { seed: error.seed });
      assert.equal(again.message, error.message);
    }
    // In the usual order it never shows.
    for (let i = 0; i < 20; i++) await world(racy, { seed: i });
  });

  test("names the other options that the order depends on", async () => {
    const error = await failing(racy, { max: 3, vary: ["timers"], runs: 50 });
    assert.ok(error.message.includes(`explore(scenario, { seed: ${error.seed}, max: 3, vary: ["timers"] })`));
  });

  test("a seed gives the same order each time, whatever ran before", async () => {
    const scenario = async (): Promise<string> => (await starts()) + (await naps()) + (await waits());
    for (const seed of [0, 7, 2 ** 32 - 1]) {
      assert.equal((await orders(scenario, { seed })).length, 1);
      assert.deepEqual(await orders(scenario, { seed }), await orders(scenario, { seed }));
    }
    assert.ok((await orders(scenario)).length > 30);
  });

  test("passes what is right in every order, and says how many there were", async () => {
    const right = async (): Promise<void> => {
      let balance = 0;
      const turn = new AsyncLock();
      await runTasks(Array.from({ length: 5 }, () => async () => {
        using _ = await turn.acquire();
        const read = balance;
        await sleep(1);
        balance = read + 1;
      }));
      assert.equal(balance, 5);
    };
    assert.deepEqual(await explore(right), { runs: 100 });
    assert.deepEqual(await explore(right, { seed: 9 }), { runs: 1 });
  });

  test("finds an order in which a scenario gets stuck, or leaves something behind", async () => {
    const missed = await failing(async () => {
      // Only who is there already gets it.
      const late = new Channel<string>();
      await runTasks([() => late.receive(), () => {
        late.trySend("now or never");
      }]);
    });
    assert.ok(missed.cause instanceof StuckError);
    const leaky = await failing(async () => {
      let started = false;
      await runTasks([() => void (started = true), () => {
        if (!started) void sleep(1_000);
      }]);
    });
    assert.ok(leaky.cause instanceof LeakError);
  });

  test("a cancelled task that has not started is not called in any order", async () => {
    await explore(async () => {
      await TaskGroup.run((group) => {
        const task = group.spawn(() => assert.fail("called"));
        task.cancel();
        task.catch(() => {});
      });
    });
  });

  test("keeps the async context of whoever spawned or waited", async () => {
    const who = new AsyncLocalStorage<string>();
    await explore(async () => {
      const lock = new AsyncLock();
      const held = lock.tryAcquire()!;
      await TaskGroup.run((group) => {
        for (const name of "ab") {
          who.run(name, () =>
            group.spawn(async () => {
              assert.equal(who.getStore(), name);
              using _ = await lock.acquire();
              assert.equal(who.getStore(), name);
            }));
        }
        group.spawn(() => held.release());
      });
    }, { runs: 30 });
  });

  test("puts everything back in place afterwards", async () => {
    await failing(racy);
    assert.equal(await world(starts), "abc");
    assert.equal(await starts(), "abc");
  });

  test("refuses wrong options", async () => {
    const wrong = (options: object, type: new () => Error): Promise<void> =>
      assert.rejects(explore(() => {}, options as ExploreOptions), type);
    await wrong({ runs: 0 }, RangeError);
    await wrong({ seed: -1 }, RangeError);
    await wrong({ max: 0 }, RangeError);
    await wrong({ vary: "starts" }, TypeError);
    await wrong({ vary: ["orders"] }, RangeError);
    await assert.rejects(explore(undefined as never), TypeError);
  });
});
