import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { ClientThrottle, ThrottledError, TimeoutError, transformer } from "../../src/flow/mod.ts";
import { observe } from "../../src/kernel/observer.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** A backend that accepts or rejects, and counts what reaches it. */
function backend() {
  const state = { up: true, reached: 0 };
  return {
    state,
    call: () => {
      state.reached++;
      return state.up ? Promise.resolve("ok") : Promise.reject(new Error("503"));
    },
  };
}

/** Calls so often, `everyMs` apart. @returns How many were refused here. */
async function calls(throttle: ClientThrottle, call: () => Promise<unknown>, count: number, everyMs: number) {
  let throttled = 0;
  for (let i = 0; i < count; i++) {
    await throttle.run(call).catch((error) => {
      if (error instanceof ThrottledError) throttled++;
      else assert.equal(error.message, "503");
    });
    await sleep(everyMs);
  }
  return throttled;
}

describe("ClientThrottle", () => {
  test("refuses nearly all while the backend rejects all, but sends a trickle, and recovers (BH-06)", async () => {
    await world(async () => {
      const throttle = new ClientThrottle({ windowMs: 10_000, name: "search" });
      const { state, call } = backend();
      assert.equal(await calls(throttle, call, 1_000, 10), 0);
      assert.equal(throttle.probability, 0);
      state.up = false;
      await calls(throttle, call, 3_000, 10);
      assert.ok(throttle.probability > 0.99, `${throttle.probability}`);
      state.reached = 0;
      const throttled = await calls(throttle, call, 2_000, 10);
      assert.ok(throttled < 2_000 && state.reached === 2_000 - throttled);
      assert.ok(state.reached > 0 && state.reached < 60, `${state.reached}`);
      const { requests } = throttle.statistics(); // a window's worth, less what its oldest part has lost
      assert.ok(requests > 900 && requests <= 1_000, `${requests}`);
      state.up = true;
      await calls(throttle, call, 5_000, 10);
      assert.equal(throttle.probability, 0);
      state.reached = 0;
      await calls(throttle, call, 100, 10);
      assert.equal(state.reached, 100);
    });
  });

  test("its probability is max(0, (requests - k * accepts) / (requests + 1))", async () => {
    await world(async () => {
      for (const [k, accepted, rejected] of [[2, 5, 5], [2, 5, 6], [1, 9, 1], [1.5, 4, 8]] as const) {
        const throttle = new ClientThrottle({ k });
        const { state, call } = backend();
        for (let i = 0; i < accepted; i++) await throttle.run(call);
        state.up = false;
        let requests: number = accepted;
        while (state.reached < accepted + rejected) {
          await throttle.run(call).catch(() => {});
          requests++;
        }
        const expected = Math.max(0, (requests - k * accepted) / (requests + 1));
        assert.equal(throttle.probability, expected);
        const { accepts, requests: counted } = throttle.statistics();
        assert.deepEqual([accepts, counted], [accepted, requests]);
      }
    });
  });

  test("says why it refuses, starts nothing, and tells the observer", async () => {
    await world(async () => {
      const records: unknown[] = [];
      using _watching = observe({ record: ({ kind, data }) => kind === "throttle" && records.push(data) });
      const throttle = new ClientThrottle({ name: "x", windowMs: 1_000 });
      const { state, call } = backend();
      state.up = false;
      let error: unknown;
      while (!(error instanceof ThrottledError)) error = await throttle.run(call).catch((error) => error);
      const { probability } = error;
      assert.ok(probability > 0 && probability < 1);
      assert.equal(
        error.message,
        `Cannot call through throttle "x": 0 of ${
          state.reached + 1
        } calls were accepted in the last 1000 ms, ` +
          `now refused with a probability of ${probability.toFixed(3)}`,
      );
      assert.deepEqual(records, [{ probability }]);
      assert.equal(throttle.statistics().throttled, 1);
    });
  });

  test("isOverload says what was not accepted; what it throws fails no call", async () => {
    await world(async () => {
      const throttle = new ClientThrottle({ isOverload: (error) => (error as Error).message === "503" });
      const failing = (message: string) => () => Promise.reject(new Error(message));
      for (let i = 0; i < 5; i++) await assert.rejects(throttle.run(failing("404")), { message: "404" });
      assert.deepEqual([throttle.statistics().accepts, throttle.probability], [5, 0]);
      await assert.rejects(throttle.run(failing("503")), { message: "503" });
      assert.deepEqual([throttle.statistics().accepts, throttle.statistics().requests], [5, 6]);
      const broken = new ClientThrottle({
        isOverload: () => {
          throw new Error("predicate");
        },
      });
      await assert.rejects(broken.run(failing("own")), { message: "own" });
      assert.equal(broken.statistics().accepts, 0);
    });
  });

  test("an aborted call does not count, one that is too late does", async () => {
    await world(async () => {
      const throttle = new ClientThrottle();
      const controller = new AbortController();
      const call = throttle.run(() => sleep(50), { signal: controller.signal }).catch((error) => error);
      controller.abort("gone");
      assert.equal(await call, "gone");
      assert.equal(
        await throttle.run(() => 1, { signal: controller.signal }).catch((error) => error),
        "gone",
      );
      assert.deepEqual([throttle.statistics().requests, throttle.statistics().aborted], [0, 2]);
      await assert.rejects(throttle.run(() => sleep(50), { timeoutMs: 10 }), TimeoutError);
      const { requests, accepts, timedOut, running } = throttle.statistics();
      assert.deepEqual({ requests, accepts, timedOut, running }, {
        requests: 1,
        accepts: 0,
        timedOut: 1,
        running: 0,
      });
      const slow = throttle.run(() => sleep(50));
      assert.equal(throttle.statistics().running, 1);
      await slow;
      await sleep(50);
    });
  });

  test("forgets what is older than its window", async () => {
    await world(async () => {
      const throttle = new ClientThrottle({ windowMs: 1_200 });
      await sleep(50);
      await throttle.run(() => Promise.reject(new Error("503"))).catch(() => {});
      await sleep(1_100);
      assert.equal(throttle.statistics().requests, 1);
      await sleep(100);
      assert.deepEqual([throttle.statistics().requests, throttle.probability], [0, 0]);
    });
  });

  test("lets a burst of first calls through: those under way are not taken for rejected", async () => {
    await world(async () => {
      const throttle = new ClientThrottle();
      const burst = Array.from({ length: 100 }, () => throttle.run(() => sleep(10)));
      assert.equal(throttle.statistics().requests, 0);
      await Promise.all(burst);
      assert.deepEqual([throttle.statistics().requests, throttle.statistics().accepts], [100, 100]);
    });
  });

  test("is a policy, and passes on what work gives, at once or later", async () => {
    await world(async () => {
      const throttle = new ClientThrottle();
      const twice = transformer(throttle)(async (n: number) => await Promise.resolve(2 * n));
      assert.equal(await twice(4), 8);
      assert.equal(await throttle.run(() => 7, { timeoutMs: 5 }), 7);
      await assert.rejects(
        throttle.run(() => {
          throw new Error("at once");
        }),
        { message: "at once" },
      );
    });
  });

  test("does not count a call that was never made, as no time was left", async () => {
    const throttle = new ClientThrottle();
    for (let i = 0; i < 5; i++) {
      await assert.rejects(throttle.run(() => assert.fail("it was made"), { timeoutMs: 0 }), TimeoutError);
    }
    const { requests, timedOut, probability } = throttle.statistics();
    assert.deepEqual({ requests, timedOut, probability }, { requests: 0, timedOut: 5, probability: 0 });
  });

  test("refuses bad options and calls", async () => {
    assert.throws(() => new ClientThrottle({ k: 0.5 }), RangeError);
    assert.throws(() => new ClientThrottle({ k: NaN }), RangeError);
    assert.throws(() => new ClientThrottle({ windowMs: 0 }), RangeError);
    assert.throws(() => new ClientThrottle({ windowMs: Infinity, name: "x" }), {
      message: 'Cannot create throttle "x" as windowMs must be finite and above 0: received Infinity',
    });
    assert.throws(() => new ClientThrottle({ windowMs: "1" as never }), TypeError);
    assert.throws(() => new ClientThrottle({ isOverload: 1 as never }), TypeError);
    assert.throws(() => new ClientThrottle(null as never), TypeError);
    await assert.rejects(new ClientThrottle().run(undefined as never), TypeError);
    await assert.rejects(new ClientThrottle().run(() => 1, { timeoutMs: -1 }), RangeError);
  });

  test("leaves nothing behind wherever it is aborted", async () => {
    let throttle!: ClientThrottle;
    await sweep(async (signal) => {
      throttle = new ClientThrottle();
      await throttle.run(({ signal }) => sleep(5, { signal }), { signal, timeoutMs: 50 });
    }, () => {
      const { requests, accepts, aborted } = throttle.statistics();
      assert.equal(requests, accepts);
      assert.equal(requests + aborted, 1);
    });
  });
});
