import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/mod.ts";
import { cached } from "../../src/decorate/mod.ts";
import { AsyncCache } from "../../src/flow/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** A function that counts its calls and gives a new object each time. */
function counting() {
  const calls: unknown[][] = [];
  const load = (...args: unknown[]): Promise<{ args: unknown[] }> => {
    calls.push(args);
    return Promise.resolve({ args });
  };
  return { calls, load };
}

describe("cached", () => {
  test("arguments that make no key are refused, with the name of what was called", async () => {
    const fn = cached()(async function find(_: object) {
      return await Promise.resolve(1);
    });
    await assert.rejects(fn([]), {
      name: "TypeError",
      message:
        'Cannot make a key of the arguments of "find" as args[0] must be primitive, or key be given: ' +
        "received an array of 0",
    });
  });

  test("calls with equal arguments are made once, at the same time and later", async () => {
    const { calls, load } = counting();
    const fn = cached()(load);
    const [one, same] = await Promise.all([fn("a", 1), fn("a", 1)]);
    assert.equal(one, same);
    assert.equal(await fn("a", 1), one);
    assert.notEqual(await fn("a", 2), one);
    assert.deepEqual(calls, [["a", 1], ["a", 2]]);
  });

  test("the default key tells all primitive arguments apart, and their order and number", async () => {
    const { calls, load } = counting();
    const fn = cached()(load);
    const different: unknown[][] = [
      [],
      [null],
      [0],
      [1],
      [1n],
      ["1"],
      ["1n"],
      [true],
      ["true"],
      ["null"],
      ["undefined"],
      [""],
      ["", ""],
      [undefined, ""],
      [NaN],
      [Infinity],
      ["a", "b"],
      ["b", "a"],
      ["a,b"],
      ['a","b'],
      ['"a","b"'],
      [1, 2],
      [12],
      ["1,2"],
      ["\ud800"],
      ["\udbff"],
    ];
    for (const args of different) await fn(...args);
    for (const args of different) await fn(...args);
    assert.deepEqual(calls, different);
  });

  test("what is left out at the end does not count, nor does a signal in an options bag", async () => {
    const { calls, load } = counting();
    const fn = cached()(load);
    const { signal } = new AbortController();
    const same = [[1], [1, undefined], [1, {}], [1, { signal }], [1, { signal: undefined }], [1, undefined, {
      signal,
    }]];
    const values = await Promise.all(same.map((args) => fn(...args)));
    assert.equal(new Set(values).size, 1);
    assert.equal(calls.length, 1);
  });

  test("a call whose arguments make no key rejects and is not made", async () => {
    class Context {
      readonly signal = new AbortController().signal;
    }
    const { calls, load } = counting();
    const fn = cached()(load);
    for (
      const wrong of [
        [1],
        new Date(0),
        Symbol("x"),
        () => 1,
        { deep: true },
        { signal: "red" },
        { [Symbol("tenant")]: "a" },
        { signal: undefined, [Symbol("tenant")]: "a" },
        Object.defineProperty({}, "tenant", { value: "a" }),
        new Context(),
      ]
    ) {
      await assert.rejects(fn("a", wrong), {
        name: "TypeError",
        message:
          /^Cannot make a key of the arguments of "load" as args\[1\] must be primitive, or key be given: received /,
      });
    }
    assert.deepEqual(calls, []);
  });

  test("key: says what the value depends on, and knows this", async () => {
    const { calls, load } = counting();
    const key = function (this: { lang: string }, user: { id: number }): string {
      return this.lang + user.id;
    };
    const fn = cached({ key, per: "function" })(load);
    const [en, also, de] = ["en", "en", "de"].map((lang) => ({ lang, fn }));
    const one = await en!.fn({ id: 1, name: "Ada" });
    assert.equal(await also!.fn({ id: 1, name: "Lovelace" }), one);
    assert.notEqual(await de!.fn({ id: 1 }), one);
    assert.equal(calls.length, 2);
    const error = new Error("no key");
    const keyless = cached({
      key: () => {
        throw error;
      },
    })(load);
    assert.equal(await keyless().catch((e) => e), error);
  });

  test("each object has a cache of its own; with per: function all share one", async () => {
    class Repository {
      readonly #name: string;
      constructor(name: string) {
        this.#name = name;
      }
      async load(id: number): Promise<string> {
        return await Promise.resolve(this.#name + id);
      }
    }
    for (const [per, expected] of [[undefined, "b1"], ["instance", "b1"], ["function", "a1"]] as const) {
      const load = cached({ per })(Repository.prototype.load);
      const [a, b] = [new Repository("a"), new Repository("b")];
      assert.deepEqual([await load.call(a, 1), await load.call(b, 1)], ["a1", expected]);
    }
  });

  test("calls on no object share a cache", async () => {
    const { calls, load } = counting();
    const fn = cached()(load);
    assert.equal(await fn(), await fn.call(null as never));
    assert.equal(calls.length, 1);
  });

  test("one decorator on two functions makes two caches", async () => {
    const once = cached();
    const [a, b] = [once(() => Promise.resolve("a")), once(() => Promise.resolve("b"))];
    assert.deepEqual([await a(), await b(), await a()], ["a", "b", "a"]);
  });

  test("a cache that is given can be looked at, and deleted from", async () => {
    const { calls, load } = counting();
    const cache = new AsyncCache<number, { args: unknown[] }>();
    const fn = cached(cache, { key: (id: number) => id })(load);
    const one = await fn(1);
    assert.equal(cache.peek(1), one);
    cache.delete(1);
    assert.notEqual(await fn(1), one);
    assert.equal(cache.statistics().loads, 2);
    assert.equal(calls.length, 2);
  });

  test("each object can have a cache of its own, and one without is told so", async () => {
    const { load } = counting();
    const method = cached((self: { cache: AsyncCache<unknown, unknown> }) => self.cache, {
      key: (id: number) => id,
    })(
      load,
    );
    const [one, two] = [0, 1].map(() => ({ cache: new AsyncCache<unknown, unknown>(), method }));
    await one!.method(1);
    await one!.method(1);
    await two!.method(1);
    assert.deepEqual([one, two].map((it) => it!.cache.statistics().loads), [1, 1]);
    assert.equal(one!.cache.statistics().hits, 1);
    await assert.rejects(method.call({}, 1), {
      name: "TypeError",
      message: /its cache must have get: received undefined$/,
    });
  });

  test("options of the cache count: a TTL, failures that are kept", () =>
    world(async () => {
      let calls = 0;
      const fn = cached({ ttlMs: 100, errorTtlMs: 50 })((fails: boolean): Promise<number> => {
        calls++;
        return fails ? Promise.reject(new Error(`failed ${calls}`)) : Promise.resolve(calls);
      });
      assert.deepEqual([await fn(false), await fn(false)], [1, 1]);
      await sleep(101);
      assert.equal(await fn(false), 2);
      for (let i = 0; i < 2; i++) await assert.rejects(fn(true), { message: "failed 3" });
      await sleep(51);
      await assert.rejects(fn(true), { message: "failed 4" });
      await sleep(1_000); // Until all has expired, and no timer is left.
    }));

  test("a shared call lives as long as somebody wants it", () =>
    world(async () => {
      let given: AbortSignal | undefined;
      const fn = cached()(async (_id: number, options: { signal: AbortSignal }): Promise<string> => {
        given = options.signal;
        await sleep(100, options);
        return "done";
      });
      const [a, b] = [new AbortController(), new AbortController()];
      const first = fn(1, { signal: a.signal }).catch((e) => e);
      const second = fn(1, { signal: b.signal });
      a.abort("enough");
      assert.equal(await first, "enough");
      assert.equal(given!.aborted, false);
      assert.equal(await second, "done");
      const last = fn(2, { signal: b.signal }).catch((e) => e);
      b.abort("no more");
      assert.equal(await last, "no more");
      assert.equal(given!.aborted, true);
    }));

  test("a call that is given up before it begins is counted, and no key is asked for it", async () => {
    const cache = new AsyncCache<string, string>();
    const fn = cached(cache, { key: () => assert.fail("asked") })((
      _: { signal: AbortSignal },
    ): Promise<string> => assert.fail("called"));
    assert.equal(await fn({ signal: AbortSignal.abort("no") }).catch((e) => e), "no");
    const { aborted, hits, misses } = cache.statistics();
    assert.deepEqual([aborted, hits, misses], [1, 0, 0]);
  });

  test("bad options are refused when it is made", () => {
    const cache = new AsyncCache();
    for (const wrong of [null, 5, { ttlMs: "1" }, { key: "id" }, { per: 5 }]) {
      assert.throws(() => cached(wrong as never), TypeError, JSON.stringify(wrong));
    }
    for (const wrong of [{ ttlMs: -1 }, { maxEntries: NaN }, { per: "object" }]) {
      assert.throws(() => cached(wrong as never), RangeError, JSON.stringify(wrong));
    }
    for (const given of [cache, () => cache]) {
      assert.throws(() => cached(given, undefined as never), {
        name: "TypeError",
        message: "Cannot create cached as key must be given with a cache of one's own: received undefined",
      });
      assert.throws(() => cached(given, {} as never), TypeError);
    }
  });
});
