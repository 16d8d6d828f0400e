import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "@uno/async/cancel";
import { AsyncLock, AsyncSemaphore, Channel } from "@uno/async/sync";
import { LeakError, StuckError, sweep, SweepError, type World, world } from "@uno/async/testing";

async function sweepError(promise: Promise<unknown>): Promise<SweepError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SweepError, String(error));
    return error;
  }
  assert.fail("it did not fail");
}

describe("sweep", () => {
  test("aborts before the start, after the first stretch, and at every turn and step of time", async () => {
    const seen = new Set<string>();
    let turn = 0;
    let point = "";
    const { points, aborted } = await sweep(async (signal, w) => {
      turn = 0;
      point = signal.aborted ? "before" : "";
      signal.addEventListener("abort", () => point = `${w.now}/${turn}`);
      for (let step = 0; step < 3; step++) {
        for (turn = 1; turn <= 3; turn++) await undefined;
        await sleep(10);
      }
    }, () => void seen.add(point));
    assert.equal(points, aborted);
    for (
      const expected of [
        "",
        "before",
        "0/1",
        "0/2",
        "0/3",
        "0/4",
        "10/1",
        "10/2",
        "10/3",
        "20/1",
        "20/3",
        "20/4",
      ]
    ) {
      assert.ok(seen.has(expected), `${expected} is not in ${[...seen]}`);
    }
  });

  test("runs a scenario once more than it has points, always the same up to the point", async () => {
    let runs = 0;
    const results = [];
    for (let i = 0; i < 2; i++) {
      runs = 0;
      const result = await sweep(async (signal) => {
        runs++;
        const channel = new Channel<number>();
        await Promise.all([
          sleep(3, { signal }).then(() => channel.send(1, { signal })),
          channel.receive({ signal }),
        ]);
      }, () => {});
      assert.equal(runs, result.points + 1);
      results.push(result);
    }
    assert.deepEqual(results[0], results[1]);
  });

  test("holds for the library's own locks, semaphores, channels and limits", async () => {
    let lock: AsyncLock, semaphore: AsyncSemaphore;
    await sweep(async (signal) => {
      lock = new AsyncLock();
      semaphore = new AsyncSemaphore(2);
      const work = async (weight: number): Promise<void> => {
        using _permit = await semaphore.acquire({ signal, weight });
        using _lease = await lock.acquire({ signal, timeoutMs: 50 });
        await timeout(20, ({ signal }) => sleep(5, { signal }), { signal });
      };
      await Promise.allSettled([work(1), work(2), work(1)]);
    }, () => {
      assert.ok(semaphore.tryAcquire({ weight: 2 }), "all permits are back");
      assert.ok(lock.tryAcquire(), "the lock is free");
    });
  });

  test("names the point at which the invariant fails, and tries it alone when asked", async () => {
    let semaphore: AsyncSemaphore;
    const scenario = async (signal: AbortSignal): Promise<void> => {
      semaphore = new AsyncSemaphore(1);
      const permit = await semaphore.acquire({ signal });
      await sleep(10, { signal }); // the permit is lost here
      permit.release();
    };
    const invariant = (): void => assert.ok(semaphore.tryAcquire(), "the permit is back");
    const error = await sweepError(sweep(scenario, invariant));
    assert.equal(error.point, 1);
    assert.equal(error.atMs, 0);
    assert.match(
      error.message,
      /^Cannot abort at point 1 of \d+, at 0 ms: AssertionError: the permit is back/,
    );
    assert.ok(error.cause instanceof assert.AssertionError);
    const again = await sweepError(sweep(scenario, invariant, { point: error.point }));
    assert.equal(again.message, error.message);
    assert.deepEqual((await sweep(scenario, invariant, { point: 0 })).aborted, 1);
  });

  test("takes false from the invariant for a failure, and waits for an asynchronous one", async () => {
    await assert.rejects(sweep(() => Promise.resolve(), () => false), /Cannot hold the invariant/);
    await assert.rejects(
      sweep(() => Promise.resolve(), () => sleep(5).then(() => Promise.reject(new Error("late")))),
      { message: "late" },
    );
  });

  test("fails for what an aborted run leaves behind, or when it gets stuck", async () => {
    const leak = await sweepError(
      sweep((signal) => sleep(10, { signal }).catch(() => void sleep(1)), () => {}),
    );
    assert.ok(leak.cause instanceof LeakError);
    const stuck = await sweepError(
      sweep((signal) => sleep(10, { signal }).catch(() => new Promise(() => {})), () => {}),
    );
    assert.ok(stuck.cause instanceof StuckError);
  });

  test("lets an aborted run end well or with the abort, also wrapped, and no other way", async () => {
    const ends = (answer: (reason: unknown) => unknown): Promise<unknown> =>
      sweep(async (signal) => {
        try {
          await sleep(10, { signal });
        } catch (error) {
          await answer(error);
        }
      }, () => {});
    const rethrow = (error: unknown) => Promise.reject(error);
    await ends(() => {});
    await ends(rethrow);
    await ends((cause) => rethrow(new Error("outer", { cause: new Error("inner", { cause }) })));
    await ends((reason) => rethrow(new AggregateError([reason, new Error("wrapped", { cause: reason })])));
    const other = new Error("other");
    assert.equal((await sweepError(ends(() => rethrow(other)))).cause, other);
    await sweepError(ends((reason) => rethrow(new AggregateError([reason, other]))));
    await sweepError(ends(() => rethrow(undefined)));
  });

  test("throws what a run that is not aborted throws, itself", async () => {
    const broken = new Error("broken");
    await assert.rejects(sweep(() => Promise.reject(broken), () => {}), (error) => error === broken);
    const abort = new DOMException("somebody else's", "AbortError");
    await assert.rejects(sweep(() => Promise.reject(abort), () => {}), (error) => error === abort);
  });

  test("spreads its tries evenly over a scenario with more points than max", async () => {
    const at = new Set<number>();
    const { points, aborted } = await sweep(
      async (signal, w: World) => {
        signal.addEventListener("abort", () => at.add(w.now));
        for (let i = 0; i < 10; i++) await sleep(10);
      },
      () => {},
      { max: 21 },
    );
    assert.ok(points > 100);
    assert.equal(aborted, 21);
    assert.ok(at.size >= 9, [...at].join());
  });

  test("seeds each run alike", async () => {
    const seeds = new Set<number>();
    await sweep((_signal, w) => Promise.resolve(seeds.add(w.seed)), () => {}, { seed: 9 });
    assert.deepEqual([...seeds], [9]);
  });

  test("refuses bad arguments, and to run inside a world", async () => {
    const scenario = () => Promise.resolve();
    await assert.rejects(sweep(undefined as never, () => {}), TypeError);
    await assert.rejects(sweep(scenario, undefined as never), TypeError);
    await assert.rejects(sweep(scenario, () => {}, { max: 0 }), RangeError);
    await assert.rejects(sweep(scenario, () => {}, { point: 10_000 }), RangeError);
    await assert.rejects(sweep(scenario, () => {}, { seed: -1 }), RangeError);
    const nested = world(() => sweep(scenario, () => {}));
    await assert.rejects(nested, (error: Error) => {
      assert.match(error.message, /one is running/);
      // A world that somebody forgot to await fails all tests after it: this tells which one.
      assert.match((error.cause as Error).stack!, /sweep_test/);
      return true;
    });
  });
});
