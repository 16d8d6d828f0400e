/** Caches against models that are too simple to be wrong, and under random callers. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/mod.ts";
import { AsyncCache } from "../../src/flow/mod.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

/** What is in a cache of `max` entries: each policy as its paper tells it, by lists of keys, newest first. */
interface Model {
  has(key: number): boolean;
  /** A hit: a read, or a write of what is there. */
  hit(key: number): void;
  /** Adds what is not there, after evicting. */
  add(key: number): void;
  delete(key: number): void;
  clear(): void;
  keys(): number[];
}

function lru(max: number): Model {
  let list: number[] = [];
  return {
    has: (key) => list.includes(key),
    hit: (key) => void (list = [key, ...list.filter((other) => other !== key)]),
    add: (key) => {
      if (list.length === max) list.pop();
      list.unshift(key);
    },
    delete: (key) => void (list = list.filter((other) => other !== key)),
    clear: () => void (list = []),
    keys: () => list,
  };
}

function sieve(max: number): Model {
  let list: { key: number; visited: boolean }[] = [];
  let hand: { key: number; visited: boolean } | undefined;
  const newer = (item: typeof hand) => list[list.indexOf(item!) - 1];
  return {
    has: (key) => list.some((item) => item.key === key),
    hit: (key) => void (list.find((item) => item.key === key)!.visited = true),
    add: (key) => {
      if (list.length === max) {
        let item = hand ?? list.at(-1)!;
        while (item.visited) {
          item.visited = false;
          item = newer(item) ?? list.at(-1)!;
        }
        hand = newer(item);
        list = list.filter((other) => other !== item);
      }
      list.unshift({ key, visited: false });
    },
    delete: (key) => {
      const item = list.find((item) => item.key === key);
      if (item === hand) hand = newer(item);
      list = list.filter((other) => other !== item);
    },
    clear: () => {
      list = [];
      hand = undefined;
    },
    keys: () => list.map((item) => item.key),
  };
}

function s3Fifo(max: number): Model {
  type Item = { key: number; uses: number };
  let [small, main, ghosts]: [Item[], Item[], number[]] = [[], [], []];
  const find = (key: number) => [...small, ...main].find((item) => item.key === key);
  const evictMain = (): boolean => {
    while (main.length > 0) {
      const last = main.pop()!;
      if (last.uses === 0) return true;
      last.uses--;
      main.unshift(last);
    }
    return false;
  };
  const evictSmall = (): boolean => {
    while (small.length > 0 && small.length >= max / 10) {
      const last = small.pop()!;
      if (last.uses > 1) {
        last.uses = 0;
        main.unshift(last);
      } else {
        ghosts.unshift(last.key);
        ghosts = ghosts.slice(0, Math.ceil(max * 0.9));
        return true;
      }
    }
    return false;
  };
  return {
    has: (key) => find(key) !== undefined,
    hit: (key) => {
      const item = find(key)!;
      item.uses = Math.min(3, item.uses + 1);
    },
    add: (key) => {
      if (small.length + main.length === max) {
        while (!evictSmall() && !evictMain());
      }
      const known = ghosts.includes(key);
      ghosts = ghosts.filter((other) => other !== key);
      (known ? main : small).unshift({ key, uses: 0 });
    },
    delete: (key) => {
      small = small.filter((item) => item.key !== key);
      main = main.filter((item) => item.key !== key);
    },
    clear: () => void ([small, main, ghosts] = [[], [], []]),
    keys: () => [...small, ...main].map((item) => item.key),
  };
}

const KEYS = 40;
const key = fc.nat(KEYS - 1);
/** Some keys are asked for more often than others. */
const skewed = fc.oneof(fc.nat(6), key);

const step = fc.oneof(
  { weight: 240, arbitrary: fc.record({ do: fc.constant("read" as const), key: skewed }) },
  { weight: 240, arbitrary: fc.record({ do: fc.constant("write" as const), key: skewed }) },
  { weight: 40, arbitrary: fc.record({ do: fc.constant("delete" as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const), key }) },
);

describe("AsyncCache at random", () => {
  for (const [eviction, model] of [["lru", lru], ["sieve", sieve], ["s3-fifo", s3Fifo]] as const) {
    test(`evicts as ${eviction} does by its simplest description`, () => {
      let steps = 0;
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 25 }),
          fc.array(step, { minLength: 300, maxLength: 500, size: "max" }),
          (max, list) => {
            const cache = new AsyncCache<number, number>({ maxEntries: max, eviction });
            const expected = model(max);
            let value = 0;
            for (const { do: what, key } of list) {
              steps++;
              if (what === "read") {
                assert.equal(cache.peek(key) !== undefined, expected.has(key));
                if (expected.has(key)) expected.hit(key);
              } else if (what === "write") {
                cache.set(key, ++value);
                if (expected.has(key)) expected.hit(key);
                else expected.add(key);
                assert.equal(cache.size, expected.keys().length);
              } else if (what === "delete") {
                assert.equal(cache.delete(key), expected.has(key));
                expected.delete(key);
              } else {
                cache.clear();
                expected.clear();
              }
            }
            const there = Array.from({ length: KEYS }, (_, key) => key).filter((key) => cache.has(key));
            assert.deepEqual(there, expected.keys().toSorted((a, b) => a - b));
          },
        ),
        { seed: 101, numRuns: 150 },
      );
      assert.ok(steps > 45_000, `${steps} steps`);
    });
  }

  test("CA-12 holds its limits, its weight is the sum, and each value is disposed once, over 100,000 steps", () => {
    const weighted = fc.oneof(
      {
        weight: 80,
        arbitrary: fc.record({ do: fc.constant("set" as const), key: skewed, weight: fc.nat(12) }),
      },
      { weight: 50, arbitrary: fc.record({ do: fc.constant("get" as const), key: skewed }) },
      { weight: 20, arbitrary: fc.record({ do: fc.constant("delete" as const), key }) },
      { weight: 10, arbitrary: fc.record({ do: fc.constant("tag" as const), key: fc.nat(4) }) },
      { weight: 10, arbitrary: fc.record({ do: fc.constant("match" as const), key: fc.nat(9) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
    );
    interface Value {
      readonly weight: number;
      disposed: number;
    }
    let steps = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 0, max: 60 }),
        fc.constantFrom("sieve", "lru", "s3-fifo"),
        fc.array(weighted, { minLength: 300, maxLength: 500, size: "max" }),
        (maxEntries, maxWeight, eviction, list) => {
          const made: Value[] = [];
          const latest = new Map<number, Value>();
          const cache = new AsyncCache<number, Value>({
            maxEntries,
            maxWeight,
            eviction,
            weigh: ({ weight }) => weight,
            tags: (_, key) => [`${key % 5}`],
            dispose: (value) => void value.disposed++,
          });
          for (const one of list) {
            steps++;
            if (one.do === "set") {
              const value = { weight: one.weight, disposed: 0 };
              if (one.weight <= maxWeight) made.push(value);
              cache.set(one.key, value);
              latest.set(one.key, value);
              assert.equal(cache.peek(one.key), one.weight <= maxWeight ? value : undefined);
            } else if (one.do === "get") {
              const value = cache.peek(one.key);
              if (value !== undefined) assert.equal(value, latest.get(one.key));
            } else if (one.do === "delete") {
              cache.delete(one.key);
              assert.equal(cache.has(one.key), false);
            } else if (one.do === "tag") {
              cache.deleteTag(`${one.key}`);
              for (let k = one.key; k < KEYS; k += 5) assert.equal(cache.has(k), false);
            } else if (one.do === "match") {
              cache.deleteWhere((key) => key % 10 === one.key);
              assert.equal(cache.has(one.key), false);
            } else cache.clear();
            const { size, weight, tags } = cache.statistics();
            let [count, sum] = [0, 0];
            for (let key = 0; key < KEYS; key++) {
              if (!cache.has(key)) continue;
              count++;
              sum += latest.get(key)!.weight;
              assert.equal(latest.get(key)!.disposed, 0);
            }
            assert.deepEqual([count, sum], [size, weight]);
            assert.ok(size <= maxEntries && weight <= maxWeight && tags <= Math.min(size, 5));
            assert.equal(tags === 0, size === 0);
          }
          cache.clear();
          assert.ok(made.every(({ disposed }) => disposed === 1));
          assert.deepEqual([cache.size, cache.statistics().weight, cache.statistics().tags], [0, 0, 0]);
        },
      ),
      { seed: 103, numRuns: 280 },
    );
    assert.ok(steps > 100_000, `${steps} steps`);
  });

  test("gives out no value that has expired, loses none that has not, and has one timer at most", async () => {
    const timed = fc.record({
      key: fc.nat(8),
      do: fc.constantFrom("set", "set", "peek", "peek", "get", "delete", "wait", "wait"),
      ttlMs: fc.constantFrom(0, 1, 5, 20, Infinity),
      ms: fc.nat(12),
    });
    let steps = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(Infinity, Infinity, 7),
        fc.array(timed, { minLength: 80, maxLength: 120, size: "max" }),
        (idleMs, list) =>
          world(async (w) => {
            const cache = new AsyncCache<number, number>({ idleMs });
            const model = new Map<number, { value: number; until: number; idleUntil: number }>();
            const live = (key: number) => {
              const entry = model.get(key);
              return entry !== undefined && w.now < Math.min(entry.until, entry.idleUntil)
                ? entry
                : undefined;
            };
            let made = 0;
            const write = (key: number, ttlMs: number) =>
              model.set(key, { value: made, until: w.now + ttlMs, idleUntil: w.now + idleMs });
            for (const { do: what, key, ttlMs, ms } of list) {
              steps++;
              const entry = live(key);
              if (what === "set") {
                cache.set(key, ++made, { ttlMs });
                write(key, ttlMs);
              } else if (what === "peek") {
                assert.equal(cache.peek(key), entry?.value);
                if (entry !== undefined) entry.idleUntil = w.now + idleMs;
              } else if (what === "get") {
                const got = await cache.get(key, () => ++made, { ttlMs });
                if (entry === undefined) write(key, ttlMs);
                else {
                  assert.equal(got, entry.value);
                  entry.idleUntil = w.now + idleMs;
                }
              } else if (what === "delete") {
                assert.equal(cache.delete(key), entry !== undefined);
                model.delete(key);
              } else await w.advance(ms);
              assert.ok(w.timers.length <= 1);
              const alive = [...model.keys()].filter((key) => live(key) !== undefined);
              assert.ok(cache.size >= alive.length);
              for (const key of alive) assert.equal(cache.has(key), true);
            }
            await w.advance(20);
            assert.equal(cache.size, [...model.keys()].filter((key) => live(key) !== undefined).length);
            if (cache.size === 0) assert.equal(w.timers.length, 0);
            cache.clear();
          }, { auto: false }),
      ),
      { seed: 107, numRuns: 200 },
    );
    assert.ok(steps > 15_000, `${steps} steps`);
  });

  test("loads once for all who wait, answers each once, and never with what an invalidation has outdated", async () => {
    const caller = fc.record({
      startMs: fc.nat(60),
      key: fc.nat(2),
      kind: fc.constantFrom("get", "get", "get", "lease", "many", "set", "delete", "tag", "clear"),
      abortMs: fc.constantFrom(0, 2, 8, Infinity, Infinity),
      limitMs: fc.constantFrom(0, 5, 30, Infinity, Infinity),
      holdMs: fc.nat(10),
    });
    const life = fc.record({ loadMs: fc.nat(15), fails: fc.boolean(), deaf: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(caller, { minLength: 1, maxLength: 30, size: "max" }),
        fc.array(life, { minLength: 1, maxLength: 8, size: "max" }),
        fc.constantFrom(1, 3),
        fc.constantFrom(null, null, 10, 40),
        fc.boolean(),
        (callers, lives, maxEntries, closeMs, aborting) =>
          world(async () => {
            interface Value {
              readonly key: number;
              readonly version: number;
              uses: number;
              disposed: number;
            }
            const values: Value[] = [];
            // The version of the truth; what is loaded is what was true when its load began.
            const versions = [0, 0, 0];
            const active = new Map<string, number>();
            const failure = new Error("cannot load");
            let attempts = 0;
            // A deleted tag may be that of any value on its way, which nobody shares any more.
            let tagged = 0;
            const make = (key: number): Value => {
              const value = { key, version: versions[key]!, uses: 0, disposed: 0 };
              values.push(value);
              return value;
            };
            const load = async (key: number, { signal }: { signal: AbortSignal }): Promise<Value> => {
              const { loadMs, fails, deaf } = lives[attempts++ % lives.length]!;
              const value = make(key);
              const id = `${key}/${versions[key]}/${tagged}`;
              active.set(id, (active.get(id) ?? 0) + 1);
              let counted = true;
              const over = (): void => {
                if (counted) active.set(id, active.get(id)! - 1);
                counted = false;
              };
              signal.addEventListener("abort", over);
              assert.equal(active.get(id), 1, "two loads of one truth are wanted at once");
              try {
                await sleep(loadMs, deaf ? {} : { signal });
                if (fails) throw failure;
                return value;
              } catch (error) {
                value.disposed++; // never handed over
                throw error;
              } finally {
                over();
              }
            };
            const loadMany = (keys: readonly number[], context: { signal: AbortSignal }) =>
              Promise.all(keys.map((key) => load(key, context).catch((error) => error as Error)));
            const cache = new AsyncCache<number, Value>({
              maxEntries,
              tags: (_, key) => [`${key}`],
              dispose: (value) => {
                assert.equal(value.uses, 0, "it is in use");
                value.disposed++;
              },
              load,
              loadMany,
            });
            const closing = closeMs === null
              ? undefined
              : sleep(closeMs).then(() => cache.close({ loads: aborting ? "abort" : "wait" }));
            const outcomes = await Promise.allSettled(callers.map(async (one) => {
              await sleep(one.startMs);
              const { key } = one;
              if (one.kind === "delete" || one.kind === "tag" || one.kind === "clear") {
                if (one.kind !== "clear") versions[key]!++;
                else for (const key of versions.keys()) versions[key]!++;
                if (one.kind === "delete") cache.delete(key);
                else if (one.kind === "tag") {
                  tagged++;
                  cache.deleteTag(`${key}`);
                } else cache.clear();
                return;
              }
              if (one.kind === "set") {
                versions[key]!++;
                if (!cache.closed) cache.set(key, make(key));
                return;
              }
              const atLeast = versions[key]!;
              const controller = new AbortController();
              if (one.abortMs !== Infinity) void sleep(one.abortMs).then(() => controller.abort("stop"));
              const options = { signal: controller.signal, timeoutMs: one.limitMs };
              if (one.kind === "lease") {
                const lease = await cache.lease(key, options);
                assert.ok(lease.value.version >= atLeast);
                assert.equal(lease.value.disposed, 0);
                lease.value.uses++;
                await sleep(one.holdMs);
                assert.equal(lease.value.disposed, 0);
                lease.value.uses--;
                lease.release();
              } else if (one.kind === "many") {
                const all = [...versions];
                const results = await cache.getMany([0, 1, 2], options);
                for (const [key, result] of results.entries()) {
                  if (result.status === "fulfilled") assert.ok(result.value.version >= all[key]!);
                  else if (result.reason !== failure && result.reason?.name !== "ClosedError") {
                    throw result.reason;
                  }
                }
              } else assert.ok((await cache.get(key, options)).version >= atLeast);
            }));
            for (const outcome of outcomes) {
              if (outcome.status === "fulfilled") continue;
              const { reason } = outcome;
              const known = ["TimeoutError", "ClosedError"].includes(reason?.name);
              if (reason !== "stop" && reason !== failure && !known) throw reason;
            }
            await closing;
            await cache.close();
            const { size, tags, inUse, loading } = cache.statistics();
            assert.deepEqual([size, tags, inUse, loading], [0, 0, 0, 0]);
            for (const value of values) assert.ok(value.disposed <= 1);
            await sleep(40); // for what still wanted to abort
          }),
      ),
      { seed: 109, numRuns: 400 },
    );
  });
});

describe("AsyncCache in every order", () => {
  /** Callers of all kinds at once; afterwards nothing may be left. */
  async function crowd(signal: AbortSignal): Promise<AsyncCache<string, string>> {
    const cache = new AsyncCache<string, string>({
      ttlMs: 50,
      staleWhileRevalidateMs: 20,
      dispose: () => {},
    });
    const load = async (key: string, { signal }: { signal: AbortSignal }) => {
      await sleep(3, { signal });
      return key;
    };
    const many = async (keys: readonly string[], { signal }: { signal: AbortSignal }) => {
      await sleep(2, { signal });
      return keys;
    };
    const hold = async () => {
      using lease = await cache.lease("a", load, { signal });
      await sleep(2, { signal });
      assert.equal(lease.value, "a");
    };
    const again = async () => {
      await cache.get("a", load, { signal, timeoutMs: 100 });
      await sleep(55, { signal });
      assert.equal(await cache.get("a", load, { signal }), "a");
    };
    try {
      const settled = await Promise.allSettled([
        cache.get("a", load, { signal }),
        hold(),
        again(),
        cache.getMany(["a", "b", "c"], many, { signal }),
        cache.get("b", load, { signal, timeoutMs: 50 }),
      ]);
      for (const one of settled) if (one.status === "rejected") throw one.reason;
      return cache;
    } finally {
      await cache.close();
      const { size, loading, inUse } = cache.statistics();
      assert.deepEqual([size, loading, inUse], [0, 0, 0]);
    }
  }

  test("aborted at every turn, get, lease, getMany and close leave nothing behind", async () => {
    const { points, aborted } = await sweep((signal) => crowd(signal), () => true);
    assert.ok(points > 20 && aborted === points, `${points} points`);
  });

  test("a load ends with its last caller, whichever turn that leaves in", async () => {
    let ends = "";
    await sweep(async (signal) => {
      const cache = new AsyncCache<string, string>();
      ends = "none";
      const load = async (key: string, context: { signal: AbortSignal }) => {
        ends = "running";
        try {
          await sleep(5, { signal: context.signal });
          ends = "done";
          return key;
        } catch (error) {
          ends = "aborted";
          throw error;
        }
      };
      try {
        await Promise.all([
          cache.get("a", load, { signal }),
          cache.lease("a", load, { signal }).then((lease) => lease.release()),
          cache.getMany(["a"], () => [], { signal }),
        ]);
      } finally {
        assert.notEqual(ends, "running");
        await cache.close();
      }
    }, () => ["none", "done", "aborted"].includes(ends));
  });

  test("in whatever order things happen, loads are shared, and nothing is left", async () => {
    await explore(async () => {
      let calls = 0;
      const cache = new AsyncCache<string, number>({ maxEntries: 2, ttlMs: 5, errorTtlMs: 2 });
      const load = async (_: string, { signal }: { signal: AbortSignal }) => {
        const n = ++calls;
        await sleep(2, { signal });
        if (n % 4 === 3) throw "down";
        return n;
      };
      const use = async (i: number): Promise<void> => {
        await sleep(i % 4);
        const key = `k${i % 3}`;
        const options = i % 5 === 0 ? { timeoutMs: 1 } : {};
        if (i % 7 === 0) cache.delete(key);
        const call: Promise<unknown> = i % 2 === 0
          ? cache.get(key, load, options)
          : cache.lease(key, load, options).then(async (lease) => {
            await sleep(1);
            lease.release();
          });
        await call.catch((error) =>
          assert.ok(error === "down" || error.name === "TimeoutError", String(error))
        );
        assert.ok(cache.size <= 2);
      };
      await Promise.all(Array.from({ length: 20 }, (_, i) => use(i)));
      await cache.close();
      const { loading, inUse, size } = cache.statistics();
      assert.deepEqual([loading, inUse, size], [0, 0, 0]);
    }, { runs: 60 });
  });
});
