import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkpoint, sleep, timeout, TimeoutError } from "@uno/async/cancel";
import { AsyncLock, Channel } from "@uno/async/sync";
import { LeakError, MisuseError, StuckError, world } from "@uno/async/testing";
import { clock } from "../../src/kernel/clock.ts";

/** Real time and real I/O. */
function really(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

describe("world, time", () => {
  test("jumps to the next timer when nothing else can run, and gives the body's value", async () => {
    const seen: string[] = [];
    const value = await world(async (w) => {
      await Promise.all([30, 10, 20].map(async (ms) => {
        await sleep(ms);
        seen.push(`${ms}@${w.now}`);
      }));
      await sleep(0);
      return w.now;
    });
    assert.equal(value, 30);
    assert.deepEqual(seen, ["10@10", "20@20", "30@30"]);
  });

  test("does not move while microtasks are left, however many", async () => {
    await world(async (w) => {
      let over = false;
      const limit = sleep(1).then(() => over = true);
      for (let i = 0; i < 10_000; i++) await undefined;
      assert.equal(over, false);
      assert.equal(w.now, 0);
      await limit;
    });
  });

  test("passes years, and lengths beyond 2^31 ms, at their exact times", async () => {
    await world(async (w) => {
      await sleep(2 ** 31);
      assert.equal(w.now, 2 ** 31);
      await sleep(2 ** 31 - 1);
      assert.equal(w.now, 2 ** 32 - 1);
      await sleep(2 ** 45);
      assert.equal(w.now, 2 ** 32 - 1 + 2 ** 45);
    });
  });

  test("moves to background timers too", async () => {
    await world(async (w) => {
      using limit = timeout(50);
      assert.deepEqual(w.timers, [{ atMs: 50, ref: false }]);
      await assert.rejects(sleep(Infinity, { signal: limit.signal }), TimeoutError);
      assert.equal(w.now, 50);
    });
  });

  test("with auto: false moves only by advance, but runs what is due now", async () => {
    await world(async (w) => {
      const seen: number[] = [];
      const naps = [0, 1, 5].map((ms) => sleep(ms).then(() => void seen.push(ms)));
      await w.idle();
      assert.deepEqual(seen, [0]);
      await w.advance(4);
      assert.deepEqual(seen, [0, 1]);
      assert.deepEqual(w.timers, [{ atMs: 5, ref: true }]);
      await w.advance(1);
      assert.deepEqual(seen, [0, 1, 5]);
      await Promise.all(naps);
      await w.advance(100);
      assert.equal(w.now, 105);
    }, { auto: false });
  });

  test("advance runs chains of sleeps inside its window at their exact times, and lets everything come to rest", async () => {
    await world(async (w) => {
      const seen: number[] = [];
      const chain = (async () => {
        for (let i = 0; i < 10; i++) {
          await sleep(10);
          for (let hop = 0; hop < 100; hop++) await undefined;
          seen.push(w.now);
        }
      })();
      await w.advance(55);
      assert.deepEqual(seen, [10, 20, 30, 40, 50]);
      assert.equal(w.now, 55);
      await w.advance(45);
      assert.deepEqual(seen, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
      await chain;
    }, { auto: false });
  });

  test("advance called several times at once reaches each end at its time", async () => {
    await world(async (w) => {
      const seen: string[] = [];
      const ends = [30, 10, 20].map((ms) => w.advance(ms).then(() => void seen.push(`${ms}@${w.now}`)));
      await Promise.all(ends);
      assert.deepEqual(seen, ["10@10", "20@20", "30@30"]);
    }, { auto: false });
  });

  test("advance refuses what is no finite length of time", async () => {
    await world(async (w) => {
      await assert.rejects(w.advance(-1), RangeError);
      await assert.rejects(w.advance(NaN), RangeError);
      await assert.rejects(w.advance(Infinity), RangeError);
      await assert.rejects(w.advance("1" as never), TypeError);
    });
  });

  test("does not move during checkpoints, in whichever mode", async () => {
    for (const auto of [true, false]) {
      await world(async (w) => {
        const nap = sleep(1);
        for (let i = 0; i < 50; i++) await checkpoint();
        assert.equal(w.now, 0);
        await w.advance(1);
        await nap;
      }, { auto });
    }
  });

  test("idle resolves when nothing can run, without time moving", async () => {
    await world(async (w) => {
      const channel = new Channel<number>({ capacity: 1 });
      let sent = 0;
      const sending = (async () => {
        for (; sent < 3; sent++) await channel.send(sent);
      })();
      const nap = sleep(10);
      await w.idle();
      assert.equal(sent, 1);
      assert.equal(w.now, 0);
      for (let i = 0; i < 3; i++) assert.equal(await channel.receive(), i);
      await sending;
      await nap;
    });
  });
});

describe("world, real I/O", () => {
  test("waits for external work, without moving time, and runs what is due now meanwhile", async () => {
    await world(async (w) => {
      const nap = sleep(5);
      const seen: string[] = [];
      const value = await w.external((async () => {
        await really(5);
        await sleep(0);
        seen.push(`slept@${w.now}`);
        await really(5);
        return "read";
      })());
      assert.equal(value, "read");
      assert.deepEqual(seen, ["slept@0"]);
      assert.equal(w.now, 0);
      await nap;
      assert.equal(w.now, 5);
    });
  });

  test("passes a failure of external work on, and lets advance move time meanwhile", async () => {
    await world(async (w) => {
      const broken = new Error("broken");
      const reading = w.external(really(5).then(() => Promise.reject(broken)));
      reading.catch(() => {});
      await w.advance(20);
      assert.equal(w.now, 20);
      assert.equal(await failure(reading), broken);
    });
  });

  test("moves time when external work ends and others still sleep", async () => {
    await world(async (w) => {
      await Promise.all([w.external(really(2)), sleep(40), w.external(really(4))]);
      assert.equal(w.now, 40);
    });
  });
});

describe("world in bun:test", () => {
  const skip = "Bun" in globalThis ? false : "bun:test is there on Bun only";

  test("goes on while expect().rejects and expect().resolves block their caller", { skip }, async () => {
    const bunTest = "bun:test";
    const { expect } = await import(bunTest);
    await world(async (w) => {
      await expect(sleep(10, { signal: AbortSignal.abort("no") })).rejects.toBe("no");
      await expect(timeout(60_000, () => new Promise(() => {}))).rejects.toThrow("within 60000 ms");
      await w.external(really(1));
      await expect(sleep(10).then(() => w.now)).resolves.toBe(60_010);
      await expect(w.advance(5)).resolves.toBe(undefined);
    });
  });
});

describe("world, repeatability", () => {
  test("runs the same with the same seed: chance, order and time", async () => {
    const run = (seed?: number): Promise<string> =>
      world(async (w) => {
        const seen: string[] = [`seed ${w.seed}`];
        const lock = new AsyncLock();
        await Promise.all(Array.from({ length: 20 }, async (_, i) => {
          await sleep(Math.floor(clock().random() * 5));
          using held = await lock.acquire();
          await sleep(clock().random() * 10);
          seen.push(`${i}@${w.now}${held.held}`);
        }));
        return seen.join();
      }, seed === undefined ? {} : { seed });
    assert.equal(await run(), await run(1));
    assert.equal(await run(42), await run(42));
    assert.notEqual(await run(42), await run(43));
  });
});

describe("world, stuck tests", () => {
  test("fails when nothing can run, saying what waits, what was done last, and the seed", async () => {
    const error = await failure(world(async () => {
      await sleep(20);
      const lock = new AsyncLock({ name: "orders" });
      await lock.acquire();
      await lock.acquire({ signal: new AbortController().signal });
    }, { seed: 77 }));
    assert.ok(error instanceof StuckError);
    assert.equal(error.state.why, "idle");
    assert.equal(error.state.seed, 77);
    assert.equal(error.state.nowMs, 20);
    assert.equal(error.state.waiters, 1);
    assert.equal(error.state.subscriptions, 1);
    assert.match(error.message, /^Cannot finish the test: nothing can run and it is not finished, at 20 ms/);
    assert.match(error.message, /seed 77; 1 waiter, 1 subscription to abort signals, no timer/);
    assert.match(error.message, /last happened: .*wait lock "orders" \(1 waiting\)/);
  });

  test("fails when only timers are left that are never due", async () => {
    const error = await failure(world(() => sleep(Infinity)));
    assert.ok(error instanceof StuckError);
    assert.deepEqual(error.state.timers, [{ atMs: Infinity, ref: true }]);
  });

  test("fails with auto: false when only advance could help and nobody is there to call it", async () => {
    const error = await failure(world(() => sleep(5), { auto: false }));
    assert.ok(error instanceof StuckError);
    assert.match(error.message, /time moves only by advance\(\).*1 timer \(due at 5 ms\)/);
  });

  test("fails when time goes on without end", async () => {
    const heartbeat = new AbortController();
    const error = await failure(world(async () => {
      const beats = (async () => {
        while (!heartbeat.signal.aborted) await sleep(1_000);
      })();
      await new Promise(() => {});
      await beats;
    }, { maxSteps: 500 }));
    heartbeat.abort();
    assert.ok(error instanceof StuckError);
    assert.equal(error.state.why, "endless");
    assert.equal(error.state.steps, 500);
    assert.equal(error.state.nowMs, 500_000);
  });

  test("counts what waits from its own start on, not what an earlier test left", async () => {
    await failure(world(() =>
      new AsyncLock().acquire().then((lease) => {
        void lease;
        return new Channel().receive();
      })
    ));
    const error = await failure(world(() => new Promise(() => {})));
    assert.ok(error instanceof StuckError);
    assert.equal(error.state.waiters, 0);
  });
});

describe("world, its end", () => {
  test("throws the body's error itself, from an asynchronous and a synchronous body", async () => {
    const broken = new Error("broken");
    assert.equal(
      await failure(world(async () => {
        await sleep(1);
        throw broken;
      })),
      broken,
    );
    assert.equal(
      await failure(world(() => {
        throw broken;
      })),
      broken,
    );
    assert.equal(await failure(world(() => Promise.reject(undefined))), undefined);
  });

  test("throws both when the body failed and something was left behind", async () => {
    const broken = new Error("broken");
    const error = await failure(world(() => {
      void sleep(7);
      throw broken;
    }));
    assert.ok(error instanceof AggregateError);
    assert.equal(error.errors[0], broken);
    assert.ok(error.errors[1] instanceof LeakError);
    assert.equal(error.cause, broken);
    assert.match(error.message, /Error: broken; besides, .*1 timer \(due at 7 ms\)/);
  });

  test("puts the real clock back, whether the body ended, failed or got stuck", async () => {
    const real = clock();
    await world(() => assert.notEqual(clock(), real));
    assert.equal(clock(), real);
    await failure(world(() => Promise.reject(new Error("broken"))));
    assert.equal(clock(), real);
    await failure(world(() => new Promise(() => {})));
    assert.equal(clock(), real);
    await failure(world(() => void sleep(1)));
    assert.equal(clock(), real);
  });

  test("refuses a second world inside and beside it, and allows the next", async () => {
    await world(async () => {
      await assert.rejects(world(() => {}), MisuseError);
      await sleep(1);
    });
    const first = world(() => sleep(1));
    await assert.rejects(world(() => {}), MisuseError);
    await first;
    await world(() => sleep(1));
  });

  test("refuses its services when it is over, and lets go of those who still wait for them", async () => {
    const [w, pending] = await world((w) => [w, w.advance(10)] as const);
    await pending;
    await assert.rejects(w.advance(1), MisuseError);
    await assert.rejects(w.idle(), MisuseError);
    await assert.rejects(w.external(Promise.resolve()), MisuseError);
  });

  test("refuses bad arguments without starting", async () => {
    const body = () => assert.fail("it started");
    await assert.rejects(world(undefined as never), TypeError);
    await assert.rejects(world(body, { seed: -1 }), RangeError);
    await assert.rejects(world(body, { seed: "1" as never }), TypeError);
    await assert.rejects(world(body, { auto: 1 as never }), TypeError);
    await assert.rejects(world(body, { maxSteps: 0 }), RangeError);
    await assert.rejects(world(body, null as never), TypeError);
  });
});
