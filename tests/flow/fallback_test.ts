import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { attemptErrors } from "../../src/flow/attempt_errors.ts";
import { fallback, type FallbackContext, type FallbackOptions } from "../../src/flow/fallback.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { sweep, world } from "../../src/testing/mod.ts";

const errors = [new Error("primary"), new Error("first"), new Error("second")] as const;

describe("fallback", () => {
  test("refuses bad options where it is made, and rejects in the form that runs", async () => {
    const wrong: unknown[] = [undefined, null, 5, {}, { to: 5 }, { to: [5] }, { to: () => 1, when: 1 }, {
      to: () => 1,
      whenResult: true,
    }, { to: () => 1, name: 5 }];
    for (const options of wrong) assert.throws(() => fallback(options as FallbackOptions), TypeError);
    assert.throws(() => fallback({ to: [], name: "x" }), {
      name: "RangeError",
      message: 'Cannot create fallback "x" as to must be at least one function: received an array of 0',
    });
    await assert.rejects(fallback(() => assert.fail("ran"), {} as never), TypeError);
    await assert.rejects(fallback({ to: () => 1 }).run(undefined as never), TypeError);
    await assert.rejects(fallback({ to: () => 1 }).run(() => 1, { timeoutMs: -1 }), RangeError);
  });

  test("leaves alone what succeeds", async () => {
    const policy = fallback({ to: () => assert.fail("called") });
    assert.equal(await policy.run(() => 5), 5);
    assert.equal(await policy.run(async () => await Promise.resolve(undefined)), undefined);
  });

  test("FB-04: alternatives are tried in order, each once, and get what has failed", async () => {
    const seen: unknown[] = [];
    const to = (result: unknown) => ({ attempt, error, errors, signal }: FallbackContext) => {
      seen.push([attempt, error, [...errors], signal.aborted]);
      if (result instanceof Error) throw result;
      return result;
    };
    const call = fallback(() => Promise.reject(errors[0]), {
      to: [to(errors[1]), to("second"), () => assert.fail("called")],
    });
    assert.equal(await call, "second");
    assert.deepEqual(seen, [
      [1, errors[0], [errors[0]], false],
      [2, errors[1], [errors[0], errors[1]], false],
    ]);
  });

  test("when all fail, the last error is thrown, itself; the others are known of it", async () => {
    const to = [() => Promise.reject(errors[1]), () => Promise.reject(errors[2])];
    const error = await fallback(() => Promise.reject(errors[0]), { to }).catch((error) => error);
    assert.equal(error, errors[2]);
    assert.deepEqual(attemptErrors(error), errors);
    for (const thrown of ["text", null, undefined]) {
      const call = fallback(() => Promise.reject(1), { to: () => Promise.reject(thrown) });
      assert.equal(await call.then(() => assert.fail(), (error) => error), thrown);
    }
  });

  test("when a predicate throws, the failure that it was asked about is not lost", async () => {
    const bug = new Error("bug");
    const when = (): never => {
      throw bug;
    };
    const call = fallback(() => Promise.reject(errors[0]), { to: () => assert.fail("ran"), when });
    assert.equal(await call.catch((error) => error), bug);
    assert.deepEqual(attemptErrors(bug), [errors[0]]);
  });

  test("when says which errors are made good, also of alternatives", async () => {
    const when = (error: unknown) => error !== errors[1];
    const to = [() => Promise.reject(errors[1]), () => assert.fail("called")];
    await assert.rejects(fallback(() => Promise.reject(errors[0]), { to, when }), (e) => e === errors[1]);
    await assert.rejects(fallback(() => Promise.reject(errors[1]), { to, when }), (e) => e === errors[1]);
    const bug = new Error("bug");
    const throwing = () => {
      throw bug;
    };
    await assert.rejects(fallback(() => Promise.reject(1), { to, when: throwing }), (e) => e === bug);
  });

  test("whenResult says which results are; they are disposed, the last one is returned as it is", async () => {
    await world(async (w) => {
      let disposed = 0;
      const page = (status: number) => ({ status, [Symbol.dispose]: () => void disposed++ });
      const whenResult = (result: { status: number }) => result.status >= 500;
      const call = fallback(() => page(500), {
        to: [({ error, attempt }) => page(500 + attempt + (error === undefined ? 0 : 100)), () => page(503)],
        whenResult,
      });
      assert.equal((await call).status, 503);
      await w.idle();
      assert.equal(disposed, 2);
      const bug = new Error("bug");
      const throwing = fallback(() => page(1), {
        to: () => page(2),
        whenResult: () => {
          throw bug;
        },
      });
      await assert.rejects(throwing, (error) => error === bug);
      await w.idle();
      assert.equal(disposed, 3);
    });
  });

  test("FB-02: the caller's abort is not made good, whenever it comes", async () => {
    await world(async (w) => {
      const never = () => assert.fail("called");
      for (const reason of ["stop", null, new Error("mine")]) {
        const controller = new AbortController();
        const call = fallback(({ signal }) => sleep(100, { signal }), {
          to: never,
          signal: controller.signal,
        });
        await w.advance(10);
        controller.abort(reason);
        assert.equal(await call.then(() => assert.fail(), (error) => error), reason);
      }
      const signal = AbortSignal.abort("before");
      assert.equal(await fallback(never, { to: never, signal }).catch((error) => error), "before");
      // In an alternative; and the next one is not tried.
      const controller = new AbortController();
      const call = fallback(() => Promise.reject(errors[0]), {
        to: [({ signal }) => sleep(100, { signal }), never],
        signal: controller.signal,
      });
      await w.advance(10);
      controller.abort("stop");
      assert.equal(await call.catch((error) => error), "stop");
      // The work fails of its own in the turn of the abort: the failure is told.
      const seen: ObserverRecord[] = [];
      using _watching = observe({ record: (record) => void seen.push(record) });
      const other = new AbortController();
      const last = fallback(() => {
        other.abort("mine");
        throw errors[0];
      }, { to: never, signal: other.signal });
      assert.equal(await last.catch((error) => error), "mine");
      assert.deepEqual(seen.map((r) => [r.kind, (r.data as { error: unknown }).error]), [
        ["late.failure", errors[0]],
      ]);
    });
  });

  test("a deadline further out is not made good, one further in is; timeoutMs bounds the whole", async () => {
    await world(async (w) => {
      const slow = () => sleep(1_000).then(() => "slow");
      const outer = timeout(50, ({ signal }) => fallback(slow, { to: () => assert.fail("called"), signal }));
      await assert.rejects(outer, TimeoutError);
      const inner = fallback(() => timeout(50, slow), { to: ({ error }) => (error as TimeoutError).limitMs });
      assert.equal(await inner, 50);
      const whole = fallback(() => Promise.reject(1), { to: slow, timeoutMs: 30, name: "n" });
      await assert.rejects(whole, {
        message: 'Cannot finish fallback "n" within 30 ms: it was still running',
      });
      await assert.rejects(fallback(slow, { to: () => assert.fail("called"), timeoutMs: 0 }), TimeoutError);
      await w.advance(1_000);
    });
  });

  test("as a policy it transforms functions; statistics and the observer tell how calls ended", async () => {
    await world(async (w) => {
      const seen: ObserverRecord[] = [];
      using _watching = observe({ record: (r) => void (r.structure === "fallback" && seen.push(r)) });
      const policy = fallback({
        to: ({ error }) => `instead of ${error}`,
        when: (e) => e !== "fatal",
        name: "n",
      });
      const load = policy(async function load(fails?: unknown) {
        if (fails !== undefined) throw fails;
        return await Promise.resolve("loaded");
      });
      assert.deepEqual([await load(), await load("x"), load.name], ["loaded", "instead of x", "load"]);
      await load("fatal").catch(() => {});
      await policy.run(() => sleep(100), { timeoutMs: 10 }).catch(() => {});
      const controller = new AbortController();
      const call = policy.run(() => sleep(100), { signal: controller.signal });
      assert.equal(policy.statistics().running, 1);
      controller.abort();
      await call.catch(() => {});
      assert.deepEqual(policy.statistics(), {
        running: 0,
        calls: 5,
        succeeded: 1,
        recovered: 1,
        failed: 1,
        aborted: 1,
        timedOut: 1,
      });
      assert.deepEqual(seen, [
        { kind: "fallback", structure: "fallback", name: "n", data: { attempt: 1, error: "x" } },
      ]);
      await w.advance(100);
    });
  });

  test("an abort at any point ends it with the reason and leaves nothing behind", async () => {
    const { points } = await sweep(async (signal) => {
      await fallback(async ({ signal }) => {
        await sleep(5, { signal });
        throw errors[0];
      }, { to: [({ signal }) => sleep(5, { signal }).then(() => Promise.reject(1)), () => "last"], signal });
    }, () => true);
    assert.ok(points > 8, `${points}`);
  });
});
