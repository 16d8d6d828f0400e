import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { Limiter, type LimiterRunOptions, MisuseError } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** A limiter whose only slot is taken, and what was begun since. */
function line(options: Partial<ConstructorParameters<typeof Limiter>[0]> = {}) {
  const limiter = new Limiter({ limit: 1, ...options });
  const lease = limiter.tryAcquire({ weight: limiter.limit })!;
  const begun: string[] = [];
  const calls: Promise<void>[] = [];
  return {
    limiter,
    lease,
    begun,
    call(id: string, options?: LimiterRunOptions): Promise<void> {
      const call = limiter.run(() => void begun.push(id), options);
      calls.push(call);
      return call;
    },
    /** Lets everybody through and says in which order. */
    async end(): Promise<string> {
      lease.release();
      await Promise.all(calls);
      return begun.join(" ");
    },
  };
}

describe("Limiter, priorities", () => {
  test("serves who has more first, and equals in the order of calls, plain calls among them (QU-04)", async () => {
    await world(async () => {
      const { call, end } = line();
      void call("plain 1");
      void call("low", { priority: -1 });
      void call("high 1", { priority: 7 });
      void call("plain 2");
      void call("zero", { priority: 0 });
      void call("high 2", { priority: 7 });
      void call("plain 3");
      assert.equal(await end(), "high 1 high 2 plain 1 plain 2 zero plain 3 low");
    });
  });

  test("setPriority moves a call that waits, and leaves one that runs or has ended alone (QU-04)", async () => {
    await world(async (w) => {
      const { limiter, call, end } = line();
      const low = call("low", { priority: 0 });
      void call("middle", { priority: 5 });
      const ended = call("ended", { priority: 9 });
      assert.equal(limiter.setPriority(low, 6), true);
      assert.equal(limiter.setPriority(ended, 9), true);
      assert.equal(await end(), "ended low middle");
      assert.equal(limiter.setPriority(ended, 1), false);
      const running = limiter.run(() => sleep(10), { priority: 1 });
      await w.idle();
      assert.equal(limiter.setPriority(running, 2), false);
      await running;
    });
  });

  test("setPriority keeps the place of arrival among equals", async () => {
    await world(async () => {
      const { limiter, call, end } = line();
      const first = call("first", { priority: 9 });
      void call("second", { priority: 1 });
      const third = call("third", { priority: 0 });
      limiter.setPriority(first, 1);
      limiter.setPriority(third, 1);
      assert.equal(await end(), "first second third");
    });
  });

  test("setPriority lets in at once who fits where the head did not", async () => {
    await world(async (w) => {
      const limiter = new Limiter({ limit: 3 });
      const lease = limiter.tryAcquire({ weight: 2 })!;
      const heavy = limiter.acquire({ weight: 3 });
      const light = limiter.acquire({ priority: 0 });
      await w.idle();
      assert.equal(limiter.statistics().inUse, 2);
      assert.equal(limiter.setPriority(light, 1), true);
      assert.equal(limiter.statistics().inUse, 3);
      lease.release();
      (await light).release();
      (await heavy).release();
    });
  });

  test("setPriority refuses what it can't know", async () => {
    await world(async () => {
      const { limiter, call, end } = line({ name: "x" });
      const plain = call("plain");
      assert.throws(() => limiter.setPriority(plain, 1), {
        name: "MisuseError",
        message:
          'Cannot set priority in limiter "x" as the call must have been made here, with a priority: it was not',
      });
      assert.throws(() => limiter.setPriority(call("zero", { priority: 0 }).then(), 1), MisuseError);
      const other = new Limiter({ limit: 1 });
      const call2 = other.run(() => 1, { priority: 1 });
      assert.throws(() => limiter.setPriority(call2, 1), MisuseError);
      assert.throws(() => limiter.setPriority(undefined as never, 1), TypeError);
      assert.throws(() => other.setPriority(call2, NaN), RangeError);
      assert.equal(other.setPriority(call2, 1), false);
      await call2;
      await end();
    });
  });

  test("setPriority says no of a call that was refused or has given up", async () => {
    await world(async () => {
      const { limiter, call, end } = line({ maxQueue: 1 });
      const controller = new AbortController();
      const gone = limiter.run(() => 1, { priority: 1, signal: controller.signal });
      const refused = limiter.run(() => 1, { priority: 1 });
      const early = limiter.run(() => 1, { priority: 1, signal: AbortSignal.abort("early") });
      controller.abort("gone");
      for (const one of [gone, refused, early]) {
        assert.equal(limiter.setPriority(one, 5), false);
        await assert.rejects(async () => await one);
      }
      void call("next");
      assert.equal(await end(), "next");
    });
  });

  test("refuses what is no priority, and queues nothing", async () => {
    const { limiter, lease } = line({ name: "x" });
    for (const priority of ["1", null, 1n]) {
      await assert.rejects(limiter.run(() => 1, { priority: priority as unknown as number }), TypeError);
    }
    await assert.rejects(limiter.run(() => 1, { priority: Infinity }), {
      name: "RangeError",
      message: 'Cannot run in limiter "x" as priority must be a finite number: received Infinity',
    });
    await assert.rejects(limiter.acquire({ priority: NaN }), RangeError);
    await assert.rejects(limiter.map([1], (x) => x, { priority: NaN }), RangeError);
    assert.throws(() => limiter.tryAcquire({ priority: NaN }), RangeError);
    assert.equal(limiter.statistics().waiting, 0);
    lease.release();
  });

  test("ageing: a wait makes up for priority", async () => {
    await world(async (w) => {
      const { call, end } = line({ ageingMs: 100 });
      void call("plain at 0");
      await w.advance(150);
      void call("plus 1 at 150", { priority: 1 });
      void call("plus 2 at 150", { priority: 2 });
      void call("plain at 150");
      await w.advance(100);
      void call("minus 1 at 250", { priority: -1 });
      // 0, 50, -50, 150, 350.
      assert.equal(
        await end(),
        "plus 2 at 150 plain at 0 plus 1 at 150 plain at 150 minus 1 at 250",
      );
    });
  });

  test("ageing: nobody is starved by a stream of urgent calls", async () => {
    for (const ageingMs of [Infinity, 20]) {
      await world(async (w) => {
        const limiter = new Limiter({ limit: 1, ageingMs });
        const lease = limiter.tryAcquire()!;
        let endedAt: number | undefined;
        const low = limiter.run(() => void (endedAt = w.now));
        const calls: Promise<void>[] = [];
        for (let i = 0; i < 50; i++) {
          calls.push(limiter.run(() => sleep(10), { priority: 5 }));
          if (i === 0) lease.release();
          await w.advance(5);
        }
        await Promise.all([low, ...calls]);
        // Those that came within 5 × 20 ms go first: 20 of them, 10 ms each. Without ageing all 50 do.
        assert.equal(endedAt, ageingMs === Infinity ? 500 : 200);
      });
    }
  });

  test("are served in the submitter's own async context", async () => {
    const storage = new AsyncLocalStorage<number>();
    const limiter = new Limiter({ limit: 1 });
    const seen = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        storage.run(i, () =>
          limiter.run(async () => {
            await Promise.resolve();
            return storage.getStore();
          }, { priority: i % 3, key: i % 2 }))),
    );
    assert.deepEqual(seen, Array.from({ length: 12 }, (_, i) => i));
  });
});

describe("Limiter, many waiters", () => {
  test("100k prioritised calls, aborted from the tail or all at once, leave at once and none starts (QU-02)", async () => {
    const count = 100_000;
    const limiter = new Limiter({ limit: 1 });
    const lease = limiter.tryAcquire()!;
    let reasons = 0;
    const wait = (signal: AbortSignal, i: number) =>
      limiter.run(() => assert.fail("ran"), { signal, priority: i % 10, key: i % 100 }).catch(() =>
        reasons++
      );
    const controllers = Array.from({ length: count }, () => new AbortController());
    const calls = controllers.map(({ signal }, i) => wait(signal, i));
    for (let i = count - 1; i >= 0; i--) {
      controllers[i]!.abort(i);
      if (i % 10_000 === 0) assert.equal(limiter.statistics().waiting, i);
    }
    const one = new AbortController();
    for (let i = 0; i < count; i++) calls.push(wait(one.signal, i));
    one.abort("all");
    assert.equal(limiter.statistics().waiting, 0);
    await Promise.all(calls);
    assert.equal(reasons, 2 * count);
    lease.release();
    assert.equal(limiter.statistics().granted, 1);
  });
});

describe("Limiter, fair share", () => {
  test("one call of a key runs within one round, though another has a thousand (QU-06)", async () => {
    await world(async () => {
      const { limiter, begun, call, end } = line();
      for (let i = 0; i < 1_000; i++) void call(`a${i}`, { key: "a" });
      void call("b", { key: "b" });
      void limiter;
      await end();
      assert.ok(begun.indexOf("b") <= 1, `${begun.indexOf("b")}`);
      assert.deepEqual(begun.filter((id) => id !== "b"), Array.from({ length: 1_000 }, (_, i) => `a${i}`));
    });
  });

  test("keys are compared as those of a Map, and calls without one share one", async () => {
    await world(async () => {
      const { call, end } = line();
      const tenant = {};
      for (const id of ["p1", "p2"]) void call(id);
      for (const id of ["t1", "t2"]) void call(id, { key: tenant });
      for (const id of ["n1", "n2"]) void call(id, { key: NaN });
      assert.equal(await end(), "p1 t1 n1 p2 t2 n2");
    });
  });

  test("heavy calls of a key cost it turns", async () => {
    await world(async () => {
      const { limiter, lease } = line({ limit: 2 });
      const order: string[] = [];
      const calls = [];
      for (let i = 0; i < 2; i++) {
        calls.push(limiter.run(() => void order.push("A"), { key: "a", weight: 2 }));
      }
      for (let i = 0; i < 4; i++) calls.push(limiter.run(() => void order.push("b"), { key: "b" }));
      lease.release();
      await Promise.all(calls);
      assert.deepEqual(order.join(""), "AbbAbb");
    });
  });

  test("within a key, priority decides; across keys it does not", async () => {
    await world(async () => {
      const { call, end } = line();
      void call("a1", { key: "a" });
      void call("b1", { key: "b", priority: 0 });
      void call("a2", { key: "a", priority: 3 });
      void call("b2", { key: "b", priority: 9 });
      assert.equal(await end(), "a2 b2 a1 b1");
    });
  });
});

describe("Limiter, weights", () => {
  test("a heavy call at the head is not overtaken by light ones, tryAcquire included", async () => {
    await world(async (w) => {
      const limiter = new Limiter({ limit: 3 });
      const [one, two] = [limiter.tryAcquire()!, limiter.tryAcquire({ weight: 2 })!];
      const begun: string[] = [];
      const heavy = limiter.run(async () => {
        begun.push("heavy");
        await sleep(10);
      }, { weight: 3 });
      const light = limiter.run(() => void begun.push("light"));
      two.release();
      await w.idle();
      assert.deepEqual(begun, []);
      assert.equal(limiter.tryAcquire(), undefined);
      assert.deepEqual([limiter.statistics().inUse, limiter.statistics().free], [1, 2]);
      one.release();
      await Promise.all([heavy, light]);
      assert.deepEqual(begun, ["heavy", "light"]);
      assert.equal(limiter.statistics().inUse, 0);
    });
  });

  test("when a heavy head gives up, those behind it that fit start in the same turn (LK-02)", async () => {
    for (const how of ["abort", "limit"] as const) {
      await world(async (w) => {
        const limiter = new Limiter({ limit: 3 });
        const lease = limiter.tryAcquire({ weight: 2 })!;
        const controller = new AbortController();
        const heavy = limiter.acquire({ weight: 3, signal: controller.signal, timeoutMs: 10 }).catch((e) =>
          e
        );
        const light = limiter.acquire();
        if (how === "abort") controller.abort("gone");
        else await w.advance(10);
        assert.equal(limiter.statistics().inUse, 3);
        (await light).release();
        await heavy;
        lease.release();
      });
    }
  });

  test("a heavy head that is aborted, but has not told us yet, holds nobody up (LK-04)", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 3 });
      const lease = limiter.tryAcquire({ weight: 2 })!;
      const controller = new AbortController();
      const newcomers: unknown[] = [];
      // Told before the limiter is, which subscribes later.
      controller.signal.addEventListener("abort", () => newcomers.push(limiter.tryAcquire()));
      const heavy = limiter.acquire({ weight: 3, signal: controller.signal });
      const light = limiter.acquire();
      controller.abort("gone");
      assert.deepEqual(newcomers, [undefined], "who waits comes before who comes");
      await assert.rejects(async () => await heavy, (error) => error === "gone");
      (await light).release();
      lease.release();
      assert.equal(limiter.statistics().inUse, 0);
    });
  });

  test("must fit the limit (LK-06)", async () => {
    const limiter = new Limiter({ limit: 3, name: "x" });
    for (const weight of [0, -1, 1.5, NaN, 4, Infinity]) {
      await assert.rejects(limiter.run(() => 1, { weight }), RangeError);
      await assert.rejects(limiter.acquire({ weight }), RangeError);
      assert.throws(() => limiter.tryAcquire({ weight }), RangeError);
    }
    await assert.rejects(limiter.run(() => 1, { weight: "2" as unknown as number }), TypeError);
    await assert.rejects(limiter.run(() => 1, { weight: 4 }), {
      message: 'Cannot run in limiter "x" as weight must fit its limit of 3: received 4',
    });
    await assert.rejects(limiter.map([1], (x) => x, { weight: 4 }), RangeError);
    assert.equal(await limiter.run(() => limiter.statistics().inUse, { weight: 3 }), 3);
  });

  test("resize sends away who waits for more than there will be, and nobody else (LK-06)", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 4, name: "x" });
      const lease = limiter.tryAcquire({ weight: 4 })!;
      const heavy = limiter.run(() => assert.fail("ran"), { weight: 3 }).catch((error) => error);
      const light = limiter.run(() => "light", { weight: 2 });
      limiter.resize(0); // a pause
      assert.equal(limiter.statistics().waiting, 2);
      limiter.resize(2);
      const error = await heavy;
      assert.ok(error instanceof RangeError);
      assert.equal(
        error.message,
        'Cannot enter limiter "x" as weight must fit its limit: it was changed to 2',
      );
      assert.deepEqual([limiter.statistics().waiting, limiter.statistics().free], [1, 0]);
      lease.release();
      assert.equal(await light, "light");
    });
  });

  test("a limit of 0 takes any, as it is a pause", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 0 });
      const call = limiter.run(() => 1, { weight: 5 });
      limiter.resize(5);
      assert.equal(await call, 1);
    });
  });

  test("a map whose items have become too heavy fails, whether or not one waited", async () => {
    await world(async () => {
      const limiter = new Limiter({ limit: 3 });
      const mapped = limiter.map([1, 2, 3], () => sleep(10), { weight: 3 });
      await sleep(5);
      limiter.resize(2);
      await assert.rejects(mapped, RangeError);
      await limiter.close();
    });
  });

  test("map takes turns, weights and priorities like calls do", async () => {
    await world(async (w) => {
      const limiter = new Limiter({ limit: 3 });
      let [running, most] = [0, 0];
      const mapped = limiter.map([1, 2, 3, 4], async (item) => {
        most = Math.max(most, ++running);
        await sleep(10);
        running--;
        return item;
      }, { weight: 2 });
      assert.deepEqual(await mapped, [1, 2, 3, 4]);
      assert.deepEqual([most, w.now], [1, 40]);
      const { call, end, begun, limiter: other } = line();
      const items = other.map(["m1", "m2"], (item) => void begun.push(item), { priority: -1 });
      for (const id of ["a", "b"]) void call(id);
      await end();
      await items;
      assert.deepEqual(begun, ["a", "b", "m1", "m2"]);
    });
  });
});
