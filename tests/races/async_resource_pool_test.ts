import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import { PoolClosedError, PoolFullError, PoolTimeoutError } from "../../src/resource/mod.ts";
import type { PoolLease } from "../../src/resource/pool_options.ts";
import { world } from "../../src/testing/mod.ts";

/** What is done next, after a while. */
const step = fc.record({
  afterMs: fc.constantFrom(0, 0, 0, 1, 3, 20),
  what: fc.constantFrom(
    "acquire",
    "acquire",
    "acquire",
    "acquire",
    "acquire briefly",
    "acquire first",
    "run",
    "try",
    "release",
    "release",
    "release",
    "release",
    "discard",
    "abort",
    "abort and release",
    "break",
    "mend",
    "resize",
    "evict",
  ),
  /** Which of those there are. */
  which: fc.nat(9),
});

const settings = fc.record({
  max: fc.integer({ min: 1, max: 5 }),
  min: fc.nat(2),
  createMs: fc.constantFrom(0, 2, 9),
  /** Takes longer than allowed from time to time. */
  slow: fc.boolean(),
  destroyMs: fc.constantFrom(0, 4),
  validates: fc.boolean(),
  recycles: fc.constantFrom(false, false, true),
  maxUses: fc.constantFrom(2, Infinity),
  idleTimeoutMs: fc.constantFrom(10, 60_000),
  maxLifetimeMs: fc.constantFrom(25, Infinity),
  maxWaiters: fc.constantFrom(0, 3, Infinity),
  leasesPerResource: fc.constantFrom(1, 1, 1, 2, 3),
  leakAfterMs: fc.constantFrom(15, Infinity),
  graceMs: fc.constantFrom(0, 10, Infinity),
});

interface Thing {
  readonly id: number;
  state: "alive" | "ended";
  readonly holders: Set<object>;
}

const STEPS = 200;
const RUNS = 42;
const SEEDS = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22]; // so that there are more than 100,000 steps in all

describe("AsyncResourcePool", () => {
  const play = async (seed: number): Promise<void> => {
    let steps = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: STEPS, maxLength: STEPS }),
        settings,
        (plan, { min, max, slow, createMs, destroyMs, validates, recycles, graceMs, ...options }) =>
          world(async (w) => {
            const things: Thing[] = [];
            let [broken, attempts, looks, most] = [false, 0, 0, max];
            const look = async (thing: Thing): Promise<unknown> => {
              assert.equal(thing.state, "alive", "looks at one that has ended");
              assert.equal(thing.holders.size, 0, "looks at one in use");
              if (++looks % 3 === 0) await sleep(2);
              if (looks % 17 === 0) await sleep(100);
              if (looks % 7 === 0) throw "bad";
              return looks % 5 !== 0;
            };
            const pool = new AsyncResourcePool<Thing>({
              ...options,
              max,
              min: Math.min(min, max),
              name: "model",
              freshMs: 1,
              validateIdleMs: validates ? 12 : Infinity,
              validateTimeoutMs: 20,
              createTimeoutMs: 15,
              destroyTimeoutMs: 10,
              acquireTimeoutMs: 500,
              backoff: { baseMs: 2, maxMs: 30 },
              create: async ({ signal }) => {
                if (createMs > 0) await sleep(createMs, attempts++ % 3 === 0 ? {} : { signal });
                if (slow && attempts % 5 === 0) await sleep(30);
                if (broken) throw "down";
                const thing: Thing = { id: things.length, state: "alive", holders: new Set() };
                things.push(thing);
                return thing;
              },
              destroy: async (thing) => {
                assert.equal(thing.state, "alive", "destroyed twice");
                thing.state = "ended";
                await sleep(thing.id % 11 === 10 ? 50 : destroyMs);
                if (thing.id % 5 === 4) throw "can't";
              },
              ...(validates ? { validate: look } : {}),
              ...(recycles ? { recycle: look } : {}),
            });

            const check = (): void => {
              const now = pool.statistics();
              const { created, destroyed, idle, inUse, checking, destroying, creating, size, waiting } = now;
              const users = things.reduce((sum, { holders }) => sum + holders.size, 0);
              assert.equal(created - destroyed, idle + inUse + checking + destroying);
              assert.equal(size, idle + inUse + checking + destroying + creating);
              // Resized to less, it may have more for a while, but never gets more.
              most = Math.max(pool.max, Math.min(most, size));
              assert.ok(size <= most, `${size} of ${most}`);
              for (const count of [idle, inUse, checking, destroying, creating, waiting]) {
                assert.ok(count >= 0);
              }
              assert.equal(inUse, things.filter(({ holders }) => holders.size > 0).length);
              assert.deepEqual([now.leases, users], [held.size + running, held.size + running]);
              assert.ok(
                idle === 0 || waiting <= (creating + checking + destroying) * options.leasesPerResource,
                "somebody waits for what is idle",
              );
            };

            const held = new Set<PoolLease<Thing>>();
            let running = 0;
            let [asked, settled] = [0, 0];
            const controllers: AbortController[] = [];
            const take = (lease: PoolLease<Thing>): void => {
              const { value } = lease;
              assert.equal(value.state, "alive", "lent after its end");
              assert.ok(value.holders.size < options.leasesPerResource, "lent to too many");
              value.holders.add(lease);
              held.add(lease);
            };
            const give = (lease: PoolLease<Thing> | undefined, how: "release" | "discard"): void => {
              if (lease === undefined) return;
              held.delete(lease);
              lease.value.holders.delete(lease);
              lease[how]();
              assert.throws(() => lease.release());
              lease[Symbol.dispose]();
            };
            const nth = <V>(all: Iterable<V>, which: number): V | undefined => {
              const list = [...all];
              return list[which % Math.max(1, list.length)];
            };
            const watch = (call: Promise<unknown>, signal: AbortSignal): void => {
              asked++;
              call.then(() => settled++, (error) => {
                settled++;
                const known = [PoolTimeoutError, PoolFullError, PoolClosedError].some((E) =>
                  error instanceof E
                );
                assert.ok(known || (signal.aborted && error === "stop"), `${error}`);
              });
            };
            const acquire = (more: { timeoutMs?: number; priority?: number } = {}): void => {
              const controller = new AbortController();
              controllers.push(controller);
              const { signal } = controller;
              watch(pool.acquire({ signal, ...more }).then(granted), signal);
            };
            let closing = false;
            const granted = (lease: PoolLease<Thing>): void => {
              if (closing) lease[Symbol.dispose]();
              else take(lease);
            };

            for (const { afterMs, what, which } of plan) {
              steps++;
              if (afterMs > 0) await sleep(afterMs);
              else for (let i = 0; i < 4; i++) await undefined;
              if (what === "acquire") acquire();
              else if (what === "acquire briefly") acquire({ timeoutMs: which });
              else if (what === "acquire first") acquire({ priority: which });
              else if (what === "run") {
                const controller = new AbortController();
                const { signal } = controller;
                controllers.push(controller);
                watch(
                  pool.run(async ({ value, signal, discard }) => {
                    const me = {};
                    assert.equal(value.state, "alive");
                    assert.ok(value.holders.size < options.leasesPerResource, "lent to too many");
                    value.holders.add(me);
                    running++;
                    try {
                      await sleep(which, which % 2 === 0 ? { signal } : {});
                    } finally {
                      assert.ok(value.holders.delete(me));
                      running--;
                    }
                    if (which === 9) discard();
                  }, { signal, queueTimeoutMs: 300 }),
                  signal,
                );
              } else if (what === "try") {
                const lease = pool.tryAcquire();
                if (lease !== undefined) take(lease);
              } else if (what === "release" || what === "discard") give(nth(held, which), what);
              else if (what === "abort") nth(controllers, which)?.abort("stop");
              else if (what === "abort and release") {
                const last = controllers[controllers.length - 1];
                if (which % 2 === 0) last?.abort("stop");
                give(nth(held, which), "release");
                last?.abort("stop");
              } else if (what === "break") broken = which < 3;
              else if (what === "mend") broken = false;
              else if (what === "resize") {
                most = Math.max(most, pool.statistics().size);
                pool.resize(1 + which % 5);
              } else if (what === "evict" && which < 3) pool.evict();
              // Grants that are on their way to the model arrive; no turn passes between the last look and the check.
              for (let i = 0; i < 20 && pool.statistics().leases !== held.size + running; i++) {
                await undefined;
              }
              check();
            }

            closing = true;
            const end = pool.close({ graceMs });
            if (graceMs === Infinity) { for (const lease of [...held]) give(lease, "release"); }
            const before = w.now;
            const { stragglers } = await end;
            assert.ok(w.now - before <= Math.min(graceMs, 70) + 70, `closing took ${w.now - before}`);
            if (graceMs === Infinity) assert.deepEqual(stragglers, []);
            for (const lease of held) lease.release();
            await sleep(200);
            assert.equal(settled, asked, "a call has not settled");
            assert.deepEqual(things.filter(({ state }) => state === "alive"), []);
            const { size, waiting, created, destroyed } = pool.statistics();
            assert.deepEqual([size, waiting, created - destroyed], [0, 0, 0]);
            assert.equal(w.timers.length, 0);
          }),
      ),
      { numRuns: RUNS, seed },
    );
    assert.equal(steps, STEPS * RUNS);
  };

  for (const seed of SEEDS) {
    test(`whatever is done to it: one item, one holder; never above max; every call settles (seed ${seed})`, () =>
      play(seed));
  }
});
