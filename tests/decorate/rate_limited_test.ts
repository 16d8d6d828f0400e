import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { rateLimited } from "../../src/decorate/mod.ts";
import { MemoryRateStore, RateLimiter, RateLimitError, SharedRateLimiter } from "../../src/flow/mod.ts";
import { type World, world } from "../../src/testing/mod.ts";

const once = { limit: 1, intervalMs: 100 };

/** When each call was let through. */
async function times(w: World, calls: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  return await Promise.all(calls.map((call) => call().then(() => w.now)));
}

describe("rateLimited", () => {
  test("lets so many through in a time", () =>
    world(async (w) => {
      const fn = rateLimited({ limit: 2, intervalMs: 100 })(() => Promise.resolve());
      assert.deepEqual(await times(w, [fn, fn, fn, fn]), [0, 0, 50, 100]);
    }));

  test("one decorator on two functions makes two limits", () =>
    world(async (w) => {
      const limited = rateLimited(once);
      const [a, b] = [limited(() => Promise.resolve("a")), limited(() => Promise.resolve("b"))];
      assert.deepEqual(await times(w, [a, b, a, b]), [0, 0, 100, 100]);
    }));

  test("per: instance gives each object its own", () =>
    world(async (w) => {
      const method = rateLimited({ ...once, per: "instance" })(() => Promise.resolve());
      const [one, two] = [{ method }, { method }];
      assert.deepEqual(await times(w, [one, one, two].map((it) => () => it.method())), [0, 100, 0]);
    }));

  test("key: is not asked for a call that is given up before it begins, which is counted", () =>
    world(async () => {
      const key = (): never => assert.fail("asked");
      const limiters = [
        new RateLimiter(once),
        new SharedRateLimiter({ ...once, store: new MemoryRateStore() }),
      ];
      for (const limiter of limiters) {
        const fn = rateLimited(limiter, { key })((_: { signal: AbortSignal }): Promise<string> =>
          assert.fail("ran")
        );
        assert.equal(await fn({ signal: AbortSignal.abort("no") }).catch((e) => e), "no");
        assert.deepEqual([limiter.statistics().aborted, limiter.statistics().granted], [1, 0]);
      }
    }));

  test("key: each has the limit to itself", () =>
    world(async (w) => {
      for (const given of ["options", "limiter"]) {
        const key = (user: string): string => user;
        const limited = given === "options"
          ? rateLimited({ ...once, key })
          : rateLimited(new RateLimiter(once), { key });
        const fn = limited((user: string, _text: string) => Promise.resolve(user));
        const began = w.now;
        const at = await times(w, [() => fn("a", "1"), () => fn("a", "2"), () => fn("b", "1")]);
        assert.deepEqual(at.map((ms) => ms - began), [0, 100, 0]);
      }
    }));

  test("a limiter that is given is shared, also one through a store", () =>
    world(async (w) => {
      for (
        const limiter of [
          new RateLimiter(once),
          new SharedRateLimiter({ ...once, store: new MemoryRateStore() }),
        ]
      ) {
        const began = w.now;
        const [a, b] = ["a", "b"].map((id) => rateLimited(limiter)(() => Promise.resolve(id)));
        assert.deepEqual((await times(w, [a!, b!])).map((ms) => ms - began), [0, 100]);
      }
    }));

  test("each object can have a limiter of its own, and look at it", () =>
    world(async (w) => {
      const method = rateLimited((self: { limiter: RateLimiter }) => self.limiter)(() => Promise.resolve());
      const [one, two] = [0, 1].map(() => ({ limiter: new RateLimiter(once), method }));
      assert.deepEqual(await times(w, [one!, one!, two!].map((it) => () => it.method())), [0, 100, 0]);
      assert.equal(one!.limiter.statistics().granted, 2);
    }));

  test("a call that could not begin before the deadline of its signal is refused at once", () =>
    world(async (w) => {
      const fn = rateLimited(once)(async (_: { signal: AbortSignal }) => {});
      await fn({ signal: new AbortController().signal });
      const { timeout } = await import("../../src/cancel/mod.ts");
      await assert.rejects(timeout(50, ({ signal }) => fn({ signal })), RateLimitError);
      assert.equal(w.now, 0);
    }));

  test("a waiting call that is given up takes nothing", () =>
    world(async (w) => {
      const fn = rateLimited(once)(async (_?: { signal?: AbortSignal }) => {});
      await fn();
      const controller = new AbortController();
      const given = fn({ signal: controller.signal }).catch((e) => e);
      const next = fn().then(() => w.now);
      await sleep(10);
      controller.abort("enough");
      assert.equal(await given, "enough");
      assert.equal(await next, 100);
    }));

  test("bad options are refused when it is made", () => {
    for (
      const wrong of [undefined, null, {}, { ...once, limit: "1" }, { ...once, key: 1 }, {
        ...once,
        per: null,
      }]
    ) {
      assert.throws(() => rateLimited(wrong as never), TypeError, JSON.stringify(wrong));
    }
    for (const wrong of [{ ...once, limit: 0 }, { ...once, intervalMs: NaN }, { ...once, per: "object" }]) {
      assert.throws(() => rateLimited(wrong as never), RangeError, JSON.stringify(wrong));
    }
  });
});
