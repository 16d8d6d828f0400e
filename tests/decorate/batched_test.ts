import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { batched } from "../../src/decorate/mod.ts";
import { BatchShapeError } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { contextOf, noMethods } from "./_work.ts";

describe("batched", () => {
  test("calls with one item that come together are served together", async () => {
    const batches: (readonly number[])[] = [];
    const double = batched()(async function double(ns: readonly number[]) {
      batches.push(ns);
      return await Promise.resolve(ns.map((n) => 2 * n));
    });
    assert.deepEqual(await Promise.all([1, 2, 3].map((n) => double(n))), [2, 4, 6]);
    assert.equal(await double(4), 8);
    assert.deepEqual(batches, [[1, 2, 3], [4]]);
    assert.equal(double.name, "double");
  });

  test("a function may have a name that is no string, which names nothing", async () => {
    const fn = (ns: readonly number[]): Promise<number[]> => Promise.resolve(ns.map((n) => 2 * n));
    assert.equal(await batched()(Object.defineProperty(fn, "name", { value: 5 }))(2), 4);
  });

  test("an error in the place of a result fails that item only", async () => {
    const error = new RangeError("no 2");
    const fn = batched()((ns: readonly number[]) => Promise.resolve(ns.map((n) => n === 2 ? error : `${n}`)));
    const [one, two]: [string, unknown] = await Promise.all([fn(1), fn(2).catch((e) => e)]);
    assert.deepEqual([one, two], ["1", error]);
  });

  test("what is thrown goes to all of the batch; a result of the wrong shape is an error that names the function", async () => {
    const error = new Error("down");
    const down = batched()((_: readonly number[]): Promise<never[]> => Promise.reject(error));
    assert.deepEqual(await Promise.all([down(1), down(2)].map((call) => call.catch((e) => e))), [
      error,
      error,
    ]);
    const wrong = batched()(async function load(_: readonly number[]) {
      return await Promise.resolve(["only one"]);
    });
    const failed = await Promise.all([wrong(1), wrong(2)].map((call) => call.catch((e) => e)));
    for (const failure of failed) {
      assert.ok(failure instanceof BatchShapeError);
      assert.match(failure.message, /batcher "load"/);
    }
  });

  test("objects don't get into each other's batches, and this is kept", async () => {
    const method = batched()(function (this: { name: string }, ns: readonly number[]) {
      return Promise.resolve(ns.map((n) => this.name + n + "/" + ns.length));
    });
    const [a, b] = [{ name: "a", method }, { name: "b", method }];
    assert.deepEqual(await Promise.all([a.method(1), b.method(1), a.method(2)]), ["a1/2", "b1/1", "a2/2"]);
  });

  test("one decorator on two functions makes two batchers", async () => {
    const together = batched();
    const [a, b] = ["a", "b"].map((name) =>
      together((ns: readonly number[]) => Promise.resolve(ns.map((n) => name + n + "/" + ns.length)))
    );
    assert.deepEqual(await Promise.all([a!(1), b!(1)]), ["a1/1", "b1/1"]);
  });

  test("options of the batcher count: the size, the window", () =>
    world(async (w) => {
      const sizes: number[] = [];
      const fn = batched({ maxSize: 2, maxWaitMs: 50 })((ns: readonly number[]) => {
        sizes.push(ns.length);
        return Promise.resolve(ns.map(() => w.now));
      });
      const calls = [fn(1)];
      await sleep(20);
      calls.push(fn(2), fn(3));
      assert.deepEqual(await Promise.all(calls), [20, 20, 70]);
      assert.deepEqual(sizes, [2, 1]);
    }));

  test("a signal after the item gives that call up; the function's own, when all have gone", () =>
    world(async () => {
      let given: AbortSignal | undefined;
      let items: readonly number[] = [];
      const fn = batched()(async (ns: readonly number[], { signal }) => {
        [given, items] = [signal, ns];
        await sleep(100, { signal });
        return ns;
      });
      const [a, b, c] = [0, 1, 2].map(() => new AbortController());
      const early = fn(1, { signal: a!.signal }).catch((e) => e);
      const calls = [fn(2, { signal: b!.signal }), fn(3, { signal: c!.signal })].map((call) =>
        call.catch((e) => e)
      );
      a!.abort("early");
      assert.equal(await early, "early");
      await sleep(10);
      assert.deepEqual(items, [2, 3]);
      b!.abort("enough");
      assert.equal(await calls[0], "enough");
      assert.equal(given!.aborted, false);
      c!.abort(null);
      assert.equal(await calls[1], null);
      assert.equal(given!.aborted, true);
      await sleep(1_000);
    }));

  test("goes with map: an index is no options bag", async () => {
    const fn = batched()((ns: readonly number[]) => Promise.resolve(ns));
    assert.deepEqual(await Promise.all([1, 2].map(fn as (n: number) => Promise<number>)), [1, 2]);
  });

  test("refuses what is no method and no function, and bad options when it is made", () => {
    for (const [kind, value] of noMethods) {
      assert.throws(() => batched()(value as never, contextOf(kind)), {
        message: `Cannot decorate as it must be a method: received "${kind}"`,
      });
    }
    assert.throws(() => batched()(5 as never), TypeError);
    for (const wrong of [null, 5, { maxSize: "1" }]) assert.throws(() => batched(wrong as never), TypeError);
    for (const wrong of [{ maxSize: 0 }, { maxWaitMs: NaN }]) assert.throws(() => batched(wrong), RangeError);
    assert.throws(
      () => (batched as (...args: unknown[]) => unknown)(() => Promise.resolve([]), contextOf("method")),
      {
        name: "TypeError",
        message: "Cannot decorate as batched must be called first: received the method itself",
      },
    );
    assert.throws(() => batched((() => Promise.resolve([])) as never), {
      name: "TypeError",
      message: /^Cannot create batcher as options must be an object: received a function$/,
    });
  });
});
