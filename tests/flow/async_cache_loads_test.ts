import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { Deadline, linkSignals, sleep } from "../../src/cancel/mod.ts";
import { AsyncCache, BatchShapeError, ClosedError, CycleError, TimeoutError } from "../../src/flow/mod.ts";
import { census } from "../../src/kernel/census.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

/** A loader that takes 10 ms, heeds its signal, and remembers its calls. */
function slow(ms = 10) {
  const calls: { key: string; signal: AbortSignal }[] = [];
  const load = async (key: string, { signal }: { signal: AbortSignal }): Promise<string> => {
    calls.push({ key, signal });
    const n = calls.length;
    await sleep(ms, { signal });
    return `${key}${n}`;
  };
  return { calls, load };
}

/** The reason of a rejection. */
const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => assert.fail("it did not reject"), (error) => error);

describe("AsyncCache: loads", () => {
  test("CA-01 100 callers at once share one load", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const { calls, load } = slow();
      const all = await Promise.all(Array.from({ length: 100 }, () => cache.get("a", load)));
      assert.deepEqual([new Set(all), calls.length], [new Set(["a1"]), 1]);
      assert.equal(cache.peek("a"), "a1");
    });
  });

  test("different keys are loaded side by side, and hits do not wait for loads", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, string>();
      const { load } = slow();
      cache.set("there", "x");
      const loads = ["a", "b", "c", "d", "e"].map((key) => cache.get(key, load));
      assert.equal(await cache.get("there", load), "x");
      assert.equal(w.now, 0);
      await Promise.all(loads);
      assert.equal(w.now, 10);
    });
  });

  test("CA-02 one of three gives up: it rejects with its reason, the others get the value", async () => {
    for (const reason of ["stop", null, new Error("enough")]) {
      await world(async () => {
        const cache = new AsyncCache<string, string>();
        const { calls, load } = slow();
        const controller = new AbortController();
        const first = reasonOf(cache.get("a", load, { signal: controller.signal }));
        const others = [cache.get("a", load, { timeoutMs: 100 }), cache.get("a", load)];
        await sleep(5);
        controller.abort(reason);
        assert.equal(await first, reason);
        assert.deepEqual(await Promise.all(others), ["a1", "a1"]);
        assert.deepEqual([calls.length, calls[0]!.signal.aborted], [1, false]);
        assert.equal(cache.statistics().aborted, 1);
      });
    }
  });

  test("CA-03 all give up: the load is aborted at once, and who asks then gets a new one", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const { calls, load } = slow();
      const controller = new AbortController();
      const options = { signal: controller.signal };
      const gone = [cache.get("a", load, options), cache.get("a", load, options)].map(reasonOf);
      await sleep(5);
      controller.abort("stop");
      assert.equal(calls[0]!.signal.aborted, true);
      assert.deepEqual((calls[0]!.signal.reason as Error).name, "AbortError");
      const next = cache.get("a", load); // in the very turn of the abort
      assert.deepEqual(await Promise.all(gone), ["stop", "stop"]);
      assert.equal(await next, "a2");
      assert.deepEqual([cache.peek("a"), cache.statistics().loading], ["a2", 0]);
    });
  });

  test("CA-03 what a load brings that was given up is not stored, its failure is told unless an echo", async () => {
    await world(async () => {
      const records: ObserverRecord[] = [];
      using _ = observe({ record: (event) => void records.push(event) });
      const cache = new AsyncCache<string, string>();
      const late = async (fail?: unknown): Promise<string> => {
        await sleep(10);
        if (fail !== undefined) throw fail;
        return "late";
      };
      const give = (load: () => Promise<string>) => reasonOf(cache.get("a", load, { timeoutMs: 5 }));
      const error = await give(() => late());
      assert.ok(error instanceof TimeoutError);
      assert.equal(
        error.message,
        'Cannot get "a" from cache within 5 ms: it is still being loaded',
      );
      await give(() => late(new Error("broken")));
      await give(() => late(new DOMException("stopped", "AbortError")));
      await sleep(10);
      assert.deepEqual([cache.size, cache.statistics().timedOut], [0, 3]);
      const told = records.filter(({ kind }) => kind === "late.failure");
      assert.equal(told.length, 1);
    });
  });

  test("CA-04 an aborted signal is refused, on a miss without a load, and on a hit", async () => {
    const cache = new AsyncCache<string, number>();
    cache.set("hit", 1);
    const signal = AbortSignal.abort("before");
    let loads = 0;
    for (const key of ["hit", "miss"]) {
      assert.equal(await reasonOf(cache.get(key, () => ++loads, { signal })), "before");
      assert.equal(await reasonOf(cache.lease(key, () => ++loads, { signal })), "before");
      assert.equal(await reasonOf(cache.getMany([key], () => [++loads], { signal })), "before");
    }
    const { aborted, hits, misses } = cache.statistics();
    assert.deepEqual([loads, aborted, hits, misses], [0, 6, 0, 0]);
  });

  test("CA-05 a failure goes to those who waited, by identity, and is not kept", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const error = new Error("down");
      let calls = 0;
      const load = async (): Promise<string> => {
        calls++;
        await sleep(10);
        throw error;
      };
      const reasons = await Promise.all([
        reasonOf(cache.get("a", load)),
        reasonOf(cache.get("a", load, { timeoutMs: 50 })),
        reasonOf(cache.lease("a", load)),
      ]);
      for (const reason of reasons) assert.equal(reason, error);
      assert.deepEqual([calls, cache.size, cache.statistics().failed], [1, 0, 1]);
      assert.equal(await cache.get("a", () => "up again"), "up again");
    });
  });

  test("CA-13 a load may return a plain value, throw at once, or return any thenable", async () => {
    const cache = new AsyncCache<string, number>();
    assert.equal(await cache.get("plain", () => 1), 1);
    const error = new Error("at once");
    const throwing = (): number => {
      throw error;
    };
    assert.equal(await reasonOf(cache.get("throws", throwing)), error);
    const twice = {
      then(resolve: (n: number) => void, reject: (e: unknown) => void) {
        resolve(2);
        resolve(3);
        reject(error);
      },
    };
    assert.equal(await cache.get("thenable", () => twice as PromiseLike<number>), 2);
    const broken = Object.defineProperty({}, "then", {
      get() {
        throw error;
      },
    });
    assert.equal(await reasonOf(cache.get("broken", () => broken as never)), error);
    assert.deepEqual([cache.size, cache.statistics().loading], [2, 0]);
  });

  test("CA-14 a load that asks for its own key is refused, before its first await and by its signal", async () => {
    await world(async () => {
      const cache: AsyncCache<string, string> = new AsyncCache({ name: "c" });
      const direct = (key: string): Promise<string> => cache.get(key, direct);
      const error = await reasonOf(cache.get("a", direct));
      assert.ok(error instanceof CycleError);
      assert.equal(error.key, "a");
      assert.equal(
        error.message,
        'Cannot get "a" from cache "c": its own load waits for this very value',
      );
      const later = async (key: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        await sleep(1);
        return await cache.get(key, later, { signal });
      };
      assert.ok(await reasonOf(cache.get("a", later)) instanceof CycleError);
      const many = async (_: readonly string[], { signal }: { signal: AbortSignal }) => {
        await sleep(1);
        const [b] = await cache.getMany(["b"], many, { signal });
        return [b!.status === "rejected" ? b!.reason as Error : "got it"] as (string | Error)[];
      };
      const [result] = await cache.getMany(["b"], many);
      assert.ok(result?.status === "rejected" && result.reason instanceof CycleError);
    });
  });

  test("CA-14 a cycle over several keys and caches is refused, and what merely shares a load is not", async () => {
    await world(async () => {
      const [left, right] = [new AsyncCache<string, string>(), new AsyncCache<string, string>()];
      const a = async (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        await sleep(1);
        return `a${await right.get("b", b, { signal })}`;
      };
      const b = async (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        await sleep(1);
        return `b${await left.get("a", a, { signal })}`;
      };
      assert.ok(await reasonOf(left.get("a", a)) instanceof CycleError);
      const shared = async (): Promise<string> => {
        await sleep(5);
        return "c";
      };
      const user = async (_: string, { signal }: { signal: AbortSignal }): Promise<string> =>
        `u${await left.get("c", shared, { signal })}`;
      assert.deepEqual(await Promise.all([left.get("x", user), left.get("y", user)]), ["uc", "uc"]);
      // Whoever has stopped waiting for another does not stand in its way.
      const impatient = async (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        await reasonOf(left.get("q", patient, { signal, timeoutMs: 5 }));
        await sleep(20);
        return "p";
      };
      const patient = async (_: string, { signal }: { signal: AbortSignal }): Promise<string> => {
        await sleep(10);
        return `q${await left.get("p", impatient, { signal })}`;
      };
      const q = left.get("q", patient);
      assert.deepEqual(await Promise.all([left.get("p", impatient), q]), ["p", "qp"]);
    });
  });

  test("a load may use the cache for its own key while there is a value", async () => {
    const cache = new AsyncCache<string, number>();
    cache.set("n", 1);
    const next = async (key: string): Promise<number> => 1 + await cache.get(key, next);
    assert.equal(await cache.get("n", next, { refresh: true }), 2);
    assert.equal(cache.peek("n"), 2);
  });

  test("the load runs at once, in the async context of the first caller", async () => {
    await world(async () => {
      const context = new AsyncLocalStorage<string>();
      const cache = new AsyncCache<string, string | undefined>();
      const load = async () => {
        await sleep(1);
        return context.getStore();
      };
      const [first, second] = [
        context.run("first", () => cache.get("a", load)),
        context.run("second", () => cache.get("a", load)),
      ];
      assert.deepEqual(await Promise.all([first, second]), ["first", "first"]);
    });
  });

  test("the deadline of a load is that of the caller who waits longest", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>();
      let remaining = (): number => NaN;
      const load = async (_: string, { signal }: { signal: AbortSignal }) => {
        remaining = () => Deadline.of(signal).remainingMs;
        await sleep(50);
        return 1;
      };
      const short = cache.get("a", load, { timeoutMs: 60 });
      assert.equal(remaining(), 60);
      const controller = new AbortController();
      const long = reasonOf(cache.get("a", load, { timeoutMs: 90, signal: controller.signal }));
      assert.equal(remaining(), 90);
      controller.abort("no longer");
      await long;
      assert.equal(remaining(), 60);
      const forever = cache.get("a", load);
      assert.equal(remaining(), Infinity);
      await Promise.all([short, forever]);
    });
  });

  test("an abort in the turn in which the load ends: the first of the two holds, and nothing is lost", async () => {
    await world(async () => {
      for (const abortFirst of [true, false]) {
        const cache = new AsyncCache<string, number>();
        const controller = new AbortController();
        let finish!: (n: number) => void;
        const load = () => new Promise<number>((resolve) => finish = resolve);
        const call = cache.get("a", load, { signal: controller.signal });
        const outcome = call.then((value) => value, (reason) => reason);
        if (abortFirst) {
          controller.abort("stop");
          finish(1);
        } else {
          finish(1);
          // As soon as it is in, the caller has been answered.
          while (!cache.has("a")) await Promise.resolve();
          controller.abort("stop");
        }
        assert.equal(await outcome, abortFirst ? "stop" : 1);
        await sleep(1);
        assert.equal(cache.size, abortFirst ? 0 : 1);
      }
    });
  });

  test("a loader that aborts its own only caller, clears or closes the cache does no harm", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, number>();
      const controller = new AbortController();
      const aborting = () => {
        controller.abort("from inside");
        return 1;
      };
      assert.equal(await reasonOf(cache.get("a", aborting, { signal: controller.signal })), "from inside");
      const clearing = () => {
        cache.clear();
        return 2;
      };
      assert.equal(await cache.get("a", clearing), 2);
      assert.equal(cache.size, 0);
      let closing: Promise<void> | undefined;
      const close = () => {
        closing = cache.close();
        return 3;
      };
      assert.equal(await cache.get("a", close), 3);
      await closing;
      assert.deepEqual([cache.size, cache.statistics().loading], [0, 0]);
    });
  });

  test("refresh loads in spite of a fresh value, which stays when that fails, and joins a load under way", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const { calls, load } = slow();
      cache.set("a", "old");
      const fresh = cache.get("a", load, { refresh: true });
      assert.equal(await cache.get("a", load), "old");
      assert.deepEqual(await Promise.all([fresh, cache.get("a", load, { refresh: true })]), ["a1", "a1"]);
      assert.deepEqual([calls.length, cache.peek("a")], [1, "a1"]);
      const error = new Error("down");
      const failing = () => Promise.reject(error);
      assert.equal(await reasonOf(cache.get("a", failing, { refresh: true })), error);
      assert.equal(cache.peek("a"), "a1");
    });
  });

  test("foreign signals see one listener for many callers, and none afterwards", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const { load } = slow();
      const controller = new AbortController();
      const before = { ...census };
      const calls = Array.from(
        { length: 50 },
        (_, i) => cache.get(`k${i % 5}`, load, { signal: controller.signal }),
      );
      assert.equal(census.listeners - before.listeners, 1);
      await Promise.all(calls);
      assert.deepEqual({ ...census }, before);
    });
  });
});

describe("AsyncCache: invalidation", () => {
  test("CA-08 what happens during a load beats it: set stands, deleted and cleared stay so", async () => {
    const ways: [string, (cache: AsyncCache<string, string>) => unknown, string | undefined][] = [
      ["set", (cache) => cache.set("a", "newer"), "newer"],
      ["delete", (cache) => cache.delete("a"), undefined],
      ["deleteWhere", (cache) => cache.deleteWhere((key) => key === "a"), undefined],
      ["clear", (cache) => cache.clear(), undefined],
      ["deleteTag, declared", (cache) => cache.deleteTag("declared"), undefined],
      ["deleteTag, of the value", (cache) => cache.deleteTag("of a1"), undefined],
      ["deleteTag, another", (cache) => cache.deleteTag("another"), "a1"],
      ["delete of another", (cache) => cache.delete("b"), "a1"],
    ];
    for (const [name, happens, left] of ways) {
      await world(async () => {
        const cache = new AsyncCache<string, string>({ tags: (value) => [`of ${value}`] });
        const { load } = slow();
        const waiting = cache.get("a", load, { tags: ["declared"] });
        await sleep(5);
        happens(cache);
        assert.equal(await waiting, "a1", name);
        assert.equal(cache.peek("a"), left, name);
        cache.clear();
      });
    }
  });

  test("who asks after an invalidation is not answered by the older load", async () => {
    const ways: ((cache: AsyncCache<string, string>) => unknown)[] = [
      (cache) => cache.delete("a"),
      (cache) => cache.clear(),
      (cache) => cache.deleteTag("whatever it may carry"),
    ];
    for (const happens of ways) {
      await world(async () => {
        const cache = new AsyncCache<string, string>({ tags: () => [] });
        const { load } = slow();
        const before = cache.get("a", load);
        await sleep(5);
        happens(cache);
        const after = cache.get("a", load);
        assert.deepEqual(await Promise.all([before, after]), ["a1", "a2"]);
        assert.equal(cache.peek("a"), "a2");
      });
    }
  });

  test("the older load may end last: it does not replace what the newer one brought", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const old = cache.get("a", () => sleep(20).then(() => "old"));
      cache.delete("a");
      assert.equal(await cache.get("a", () => sleep(5).then(() => "new")), "new");
      assert.equal(await old, "old");
      assert.equal(cache.peek("a"), "new");
    });
  });

  test("CA-11 clear() during three loads: each is answered, nothing is stored, nothing is left", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, string>({ ttlMs: 1_000 });
      const { load } = slow();
      const loads = ["a", "b", "c"].map((key) => cache.get(key, load));
      await sleep(5);
      cache.clear();
      assert.equal(cache.statistics().loading, 3);
      assert.deepEqual(await Promise.all(loads), ["a1", "b2", "c3"]);
      const { size, loading, tags } = cache.statistics();
      assert.deepEqual([size, loading, tags, w.timers.length], [0, 0, 0, 0]);
    });
  });

  test("a background refresh is aborted when its entry is deleted, as nobody waits for it", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>({ ttlMs: 10, staleWhileRevalidateMs: 100 });
      const { calls, load } = slow();
      cache.set("a", "old");
      await sleep(20);
      assert.equal(await cache.get("a", load), "old");
      cache.delete("a");
      assert.equal(calls[0]!.signal.aborted, true);
      await sleep(20);
      assert.equal(cache.size, 0);
    });
  });

  test("CA-09 close waits for loads that somebody waits for, and stores nothing more", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, string>();
      const { calls, load } = slow();
      const waiting = cache.get("a", load);
      const closing = cache.close();
      await assert.rejects(cache.get("a", load), ClosedError);
      await closing;
      assert.equal(w.now, 10);
      assert.equal(await waiting, "a1");
      assert.deepEqual([calls.length, cache.size], [1, 0]);
    });
  });

  test("CA-09 close with abort rejects those who wait, aborts the loads, and waits until they have ended", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, string>();
      let signal!: AbortSignal;
      const stubborn = async (_: string, context: { signal: AbortSignal }) => {
        signal = context.signal;
        await sleep(30);
        return "late";
      };
      const waiting = [
        cache.get("a", stubborn),
        cache.get("a", stubborn, { timeoutMs: 100 }),
        cache.lease("a", stubborn),
        cache.getMany(["a"], () => []),
      ].map((call) => call.catch((error) => error));
      await sleep(5);
      const first = cache.close();
      const closing = cache.close({ loads: "abort" });
      const outcomes = await Promise.all(waiting);
      for (const outcome of outcomes.slice(0, 3)) assert.ok(outcome instanceof ClosedError);
      const [many] = outcomes[3] as PromiseSettledResult<string>[];
      assert.ok(many?.status === "rejected" && many.reason instanceof ClosedError);
      assert.deepEqual([w.now, signal.aborted], [5, true]);
      await Promise.all([first, closing]);
      assert.deepEqual([w.now, cache.statistics().loading], [30, 0]);
    });
  });

  test("close can be waited for with a limit, which gives up the wait and not the closing", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const waiting = cache.get("a", () => sleep(50).then(() => "x"));
      const error = await reasonOf(cache.close({ timeoutMs: 10 }));
      assert.ok(error instanceof TimeoutError);
      assert.equal(
        error.message,
        "Cannot close cache within 10 ms: 1 loads under way, 0 leases out, 0 disposals under way",
      );
      assert.equal(cache.closed, true);
      await waiting;
      await cache.close();
    });
  });
});

describe("AsyncCache.getMany", () => {
  test("CA-18 loads together what is neither there nor under way; each key has its own result", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      const { load } = slow();
      cache.set("hit", "here");
      const flying = cache.get("flying", load);
      const asked: (readonly string[])[] = [];
      const results = await cache.getMany(["m1", "hit", "flying", "bad", "m1", "m2"], async (keys) => {
        asked.push(keys);
        await sleep(5);
        return keys.map((key) => key === "bad" ? new RangeError("bad") : `${key}!`);
      });
      assert.deepEqual(asked, [["m1", "bad", "m2"]]);
      assert.deepEqual(
        results.map((result) => result.status === "fulfilled" ? result.value : result.reason),
        ["m1!", "here", "flying1", new RangeError("bad"), "m1!", "m2!"],
      );
      assert.deepEqual([cache.peek("m1"), cache.has("bad"), await flying], ["m1!", false, "flying1"]);
    });
  });

  test("of hits alone it calls nobody; of no keys neither", async () => {
    const cache = new AsyncCache<number, string>();
    cache.set(1, "one");
    const load = () => assert.fail("called");
    assert.deepEqual(await cache.getMany([1, 1], load), [
      { status: "fulfilled", value: "one" },
      { status: "fulfilled", value: "one" },
    ]);
    assert.deepEqual(await cache.getMany([], load), []);
  });

  test("a single get joins a bulk load, and the bulk goes on as long as somebody wants a part of it", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>();
      let signal!: AbortSignal;
      const bulk = async (keys: readonly string[], context: { signal: AbortSignal }) => {
        signal = context.signal;
        await sleep(10, { signal });
        return keys.map((key) => `${key}!`);
      };
      const controller = new AbortController();
      const many = reasonOf(cache.getMany(["a", "b"], bulk, { signal: controller.signal }));
      const single = cache.get("a", () => "own");
      await sleep(5);
      controller.abort("enough");
      assert.equal(await many, "enough");
      assert.equal(signal.aborted, false);
      assert.deepEqual([await single, cache.peek("b")], ["a!", "b!"]);
      const alone = reasonOf(cache.getMany(["c", "d"], bulk, { timeoutMs: 5 }));
      const error = await alone;
      assert.ok(error instanceof TimeoutError);
      assert.equal(
        error.message,
        "Cannot get 2 values from cache within 5 ms: 2 of them are being loaded",
      );
      assert.equal(signal.aborted, true);
      assert.equal(cache.statistics().timedOut + cache.statistics().aborted, 2);
      await sleep(20);
      assert.deepEqual([cache.has("c"), cache.statistics().loading], [false, 0]);
    });
  });

  test("a bulk load may give a Map; a key without a value fails alone, a wrong shape fails all", async () => {
    const cache = new AsyncCache<string, number | undefined>();
    const results = await cache.getMany(
      ["a", "b", "u"],
      () => new Map<string, number | undefined>([["a", 1], ["u", undefined]]),
    );
    assert.deepEqual([results[0], results[2]], [
      { status: "fulfilled", value: 1 },
      { status: "fulfilled", value: undefined },
    ]);
    assert.ok(results[1]?.status === "rejected" && results[1].reason instanceof BatchShapeError);
    for (const shape of [[1], [1, 2, 3], undefined, null, "ab", { length: 2 }]) {
      const results = await cache.getMany(["x", "y"], () => shape as never);
      for (const result of results) {
        assert.ok(result.status === "rejected" && result.reason instanceof BatchShapeError);
      }
    }
    const error = new Error("all");
    const failed = await cache.getMany(["x", "y"], () => Promise.reject(error));
    assert.deepEqual(failed.map((result) => result.status === "rejected" && result.reason), [error, error]);
    assert.equal(cache.statistics().loading, 0);
  });

  test("without a bulk load the default load serves each key; either may be set once for all", async () => {
    const single = new AsyncCache({ load: (key: string) => key.length });
    assert.deepEqual(
      (await single.getMany(["a", "bb"])).map((one) => one.status === "fulfilled" && one.value),
      [
        1,
        2,
      ],
    );
    const bulk = new AsyncCache<string, number>({ loadMany: (keys) => keys.map((key) => key.length) });
    assert.deepEqual(await bulk.getMany(["ccc"], { timeoutMs: 5 }), [{ status: "fulfilled", value: 3 }]);
    await assert.rejects(bulk.get("a"), TypeError);
    await assert.rejects(new AsyncCache().getMany(["a"]), TypeError);
  });

  test("stale values are given at once, and loaded anew with the rest", async () => {
    await world(async () => {
      const cache = new AsyncCache<string, string>({ ttlMs: 10, staleWhileRevalidateMs: 100 });
      cache.set("old", "stale");
      await sleep(20);
      const asked: (readonly string[])[] = [];
      const load = async (keys: readonly string[]) => {
        asked.push(keys);
        await sleep(1);
        return keys.map((key) => `${key}!`);
      };
      const results = await cache.getMany(["new", "old"], load);
      assert.deepEqual(results.map((one) => one.status === "fulfilled" && one.value), ["new!", "stale"]);
      assert.deepEqual([asked, cache.peek("old")], [[["new", "old"]], "old!"]);
      await cache.close();
    });
  });

  test("signals linked from elsewhere work as any, and 100,000 keys in one call are no matter", async () => {
    await world(async () => {
      const cache = new AsyncCache<number, number>();
      using linked = linkSignals(new AbortController().signal);
      const keys = Array.from({ length: 100_000 }, (_, i) => i);
      let deadline = 0;
      const load = (keys: readonly number[], { signal }: { signal: AbortSignal }) => {
        deadline = Deadline.of(signal).remainingMs;
        return keys.map((key) => 2 * key);
      };
      const results = await cache.getMany(keys, load, { signal: linked.signal, timeoutMs: 1_000 });
      assert.equal(results.length, 100_000);
      assert.deepEqual([results[99_999], cache.size, deadline], [
        { status: "fulfilled", value: 199_998 },
        100_000,
        1_000,
      ]);
    });
  });
});
