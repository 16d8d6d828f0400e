/** What is called on the way (observers, disposers, listeners of aborted loads) may come back to the cache. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncCache } from "../../src/flow/mod.ts";
import { observe } from "../../src/kernel/observer.ts";
import { sleep } from "../../src/cancel/mod.ts";
import { world } from "../../src/testing/mod.ts";

/** Does something once, in the midst of the first record of a kind. */
function at(kind: string, act: () => void): Disposable {
  let acted = false;
  return observe({
    record: (event) => {
      if (acted || event.kind !== kind) return;
      acted = true;
      act();
    },
  });
}

async function endOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.catch((error: unknown) => error);
}

describe("AsyncCache: observers that come back to it", () => {
  test("who is told of a hit may take the entry out, and its place may be another's", async () => {
    await world(async () => {
      for (const read of ["get", "peek", "getMany", "lease"] as const) {
        const gone: number[] = [];
        const cache = new AsyncCache<string, number>({ dispose: (value) => void gone.push(value) });
        cache.set("a", 1);
        using _ = at("hit", () => {
          cache.delete("a");
          cache.set("b", 2);
        });
        if (read === "get") assert.equal(await cache.get("a", () => 9), 1);
        else if (read === "peek") assert.equal(cache.peek("a"), 1);
        else if (read === "getMany") {
          const [result] = await cache.getMany(["a"], () => [9]);
          assert.deepEqual(result, { status: "fulfilled", value: 1 });
        } else {
          const lease = await cache.lease("a", () => 9);
          assert.deepEqual([lease.value, gone], [1, []]);
          lease.release();
        }
        assert.deepEqual([gone, cache.peek("b")], [[1], 2], read);
      }
    });
  });

  test("who is told of a load may delete, clear, set or close: its callers are answered all the same", async () => {
    await world(async () => {
      const acts = {
        delete: (cache) => cache.delete("a"),
        clear: (cache) => cache.clear(),
        set: (cache) => cache.set("a", 3),
        close: (cache) => void cache.close(),
      } satisfies Record<string, (cache: AsyncCache<string, number>) => void>;
      for (const [name, act] of Object.entries(acts)) {
        for (const kind of ["miss", "load", "wait"]) {
          const cache = new AsyncCache<string, number>();
          using _ = at(kind, () => act(cache));
          const signal = new AbortController().signal;
          // Set before anybody has asked, it is what they get; or else they get what they asked for.
          assert.ok([3, 9].includes(await cache.get("a", () => 9, { signal })), `${name} at ${kind}`);
          const results = await cache.getMany(["a", "b"], (keys) => keys.map(() => 9)).catch(() => []);
          assert.ok(results.every(({ status }) => status === "fulfilled"));
          await cache.close();
          assert.deepEqual(cache.statistics().loading, 0);
        }
      }
    });
  });

  test("who is told of the first of several loads may clear the cache: all are answered", async () => {
    await world(async () => {
      for (const kind of ["miss", "load", "wait"]) {
        const cache = new AsyncCache<string, number>();
        using _ = at(kind, () => cache.clear());
        const results = await cache.getMany(["a", "b"], (keys) => keys.map(() => 9));
        assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "fulfilled"]);
        await cache.close();
      }
    });
  });

  test("who is told of a load may close with abort: nothing is loaded, and who waited is refused", async () => {
    await world(async () => {
      let loads = 0;
      for (const kind of ["miss", "load"]) {
        const cache = new AsyncCache<string, number>({ load: () => ++loads });
        using _ = at(kind, () => void cache.close({ loads: "abort" }));
        assert.equal((await endOf(cache.get("a")) as Error).name, "ClosedError");
        await cache.close();
        assert.deepEqual(cache.statistics().loading, 0);
      }
      assert.equal(loads, 0);
    });
  });

  test("who is told may abort the caller: it gets its reason, and nothing is loaded for nobody", async () => {
    await world(async () => {
      let loads = 0;
      for (const kind of ["miss", "load", "wait"]) {
        for (const read of ["get", "lease", "getMany"] as const) {
          const controller = new AbortController();
          const cache = new AsyncCache<string, number>({ load: () => ++loads });
          using _ = at(kind, () => controller.abort("enough"));
          const key = read === "getMany" ? ["a", "b"] as never : "a";
          assert.equal(await endOf(cache[read](key, { signal: controller.signal })), "enough");
          await cache.close();
          assert.deepEqual([loads, cache.statistics().loading], [0, 0], `${read} at ${kind}`);
        }
      }
    });
  });

  test("who is told of a miss may abort the only other caller: the load that is joined lives on, or anew", async () => {
    await world(async () => {
      const controller = new AbortController();
      const cache = new AsyncCache<string, number>({ load: () => sleep(1).then(() => 8) });
      const other = endOf(cache.get("a", { signal: controller.signal }));
      using _ = at("miss", () => controller.abort("enough"));
      assert.deepEqual([await cache.get("a"), await other], [8, "enough"]);
      await cache.close();
    });
  });

  test("who is told of a vain refresh may take out the value, which its callers get all the same", async () => {
    await world(async (w) => {
      const cache = new AsyncCache<string, number>({
        ttlMs: 1,
        staleIfErrorMs: 1_000,
        staleWhileRevalidateMs: 50,
      });
      cache.set("a", 1);
      await w.advance(100);
      using _ = at("refresh.failed", () => {
        cache.delete("a");
        cache.set("b", 2);
      });
      assert.equal(await cache.get("a", () => Promise.reject("down")), 1);
      assert.equal(cache.peek("a"), undefined);
      // What was in vain was for "a", and not for what is in its place now.
      await w.advance(10);
      assert.equal(await cache.get("b", () => 3), 2);
      assert.equal(cache.statistics().loads, 2);
      await cache.close();
    });
  });

  test("a failure is not kept in the place of what its own judge has set", async () => {
    await world(async () => {
      const cache: AsyncCache<string, number> = new AsyncCache({
        errorTtlMs: () => {
          cache.set("a", 7);
          return 1_000;
        },
      });
      assert.equal(await endOf(cache.get("a", () => Promise.reject("down"))), "down");
      assert.equal(cache.peek("a"), 7);
      await cache.close();
    });
  });
});

describe("AsyncCache: options that come back to it", () => {
  test("what a weigher, a TTL or tags do to the cache stands: the value that they are asked about is not stored", async () => {
    await world(async () => {
      type Act = (cache: AsyncCache<string, number>) => void;
      const acts: Act[] = [
        (cache) => cache.clear(),
        (cache) => cache.delete("a"),
        (cache) => cache.set("a", 5),
        (cache) => cache.deleteTag("t"),
        (cache) => void cache.close(),
      ];
      for (const [i, act] of acts.entries()) {
        for (const which of ["weigh", "ttlMs", "tags"] as const) {
          let asked = 0;
          const ask = (): void => {
            if (asked++ === 0) act(cache);
          };
          const cache: AsyncCache<string, number> = new AsyncCache({
            weigh: () => (which === "weigh" && ask(), 1),
            ttlMs: () => (which === "ttlMs" && ask(), 100),
            tags: () => (which === "tags" && ask(), ["t"]),
          });
          assert.equal(await cache.get("a", () => 9), 9);
          assert.deepEqual([cache.peek("a"), cache.statistics().weight], i === 2 ? [5, 1] : [undefined, 0]);
          await cache.close();
          assert.deepEqual([cache.size, cache.statistics().loading], [0, 0]);
        }
      }
    });
  });

  test("nothing is in it when `set` was asking in whose midst it was closed", async () => {
    const cache: AsyncCache<string, number> = new AsyncCache({ weigh: () => (void cache.close(), 1) });
    cache.set("a", 1);
    assert.equal(cache.size, 0);
    await cache.close();
  });
});

describe("AsyncCache: listeners of aborted loads that come back to it", () => {
  /** A stale value whose refresh, when it is aborted, acts on the cache. */
  async function refreshing(
    act: (cache: AsyncCache<string, number>) => void,
  ): Promise<AsyncCache<string, number>> {
    const cache = new AsyncCache<string, number>({ ttlMs: 10, staleWhileRevalidateMs: 1_000 });
    cache.set("a", 1);
    await sleep(20);
    await cache.get("a", (_, { signal }) => {
      signal.addEventListener("abort", () => act(cache));
      return sleep(100, { signal }).then(() => 2);
    });
    return cache;
  }

  test("delete, and what is done in its midst: each entry has a place of its own", async () => {
    await world(async () => {
      const acts = [
        (cache) => cache.clear(),
        (cache) => cache.delete("a"),
        (cache) => cache.set("a", 5),
      ] satisfies ((cache: AsyncCache<string, number>) => void)[];
      for (const act of acts) {
        for (const way of ["delete", "deleteWhere", "set", "clear"] as const) {
          const cache = await refreshing(act);
          if (way === "delete") cache.delete("a");
          else if (way === "deleteWhere") cache.deleteWhere((key) => key === "a");
          else if (way === "set") cache.set("a", 6);
          else cache.clear();
          for (const [key, value] of [["b", 10], ["c", 11], ["d", 12]] as const) cache.set(key, value);
          assert.deepEqual([cache.peek("b"), cache.peek("c"), cache.peek("d")], [10, 11, 12]);
          assert.equal(cache.size, cache.has("a") ? 4 : 3);
          await cache.close();
          assert.equal(cache.size, 0);
        }
      }
    });
  });
});
