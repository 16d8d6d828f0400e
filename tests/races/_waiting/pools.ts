import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import { AsyncResourcePool, KeyedResourcePool } from "../../../src/resource/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

/** What a pool makes and ends. */
class Made {
  alive = 0;
  most = 0;

  async make(signal: AbortSignal): Promise<{ held: boolean }> {
    this.most = Math.max(this.most, ++this.alive);
    try {
      await sleep(2, { signal });
    } catch (error) {
      this.alive--;
      throw error;
    }
    return { held: false };
  }

  async end(): Promise<void> {
    await sleep(1);
    this.alive--;
  }
}

async function hold(value: { held: boolean }, ms: number, signal: AbortSignal | undefined): Promise<void> {
  assert.equal(value.held, false, "one holder");
  value.held = true;
  try {
    await sleep(ms, { signal });
  } finally {
    value.held = false;
  }
}

export const operations: readonly Operation[] = [
  {
    name: "a pool that creates, validates, recycles and ends what it lends, and is closed",
    covers: [
      "AsyncResourcePool.acquire",
      "AsyncResourcePool.run",
      "AsyncResourcePool.close",
      "AsyncResourcePool[Symbol.asyncDispose]",
    ],
    scene: () => {
      const made = new Made();
      const pool = new AsyncResourcePool({
        max: 2,
        freshMs: 0,
        maxUses: 3,
        create: ({ signal }) => made.make(signal),
        destroy: () => made.end(),
        validate: () => sleep(1),
        recycle: () => sleep(1),
      });
      let served = 0;
      const use = async (ms: number, signal?: AbortSignal, timeoutMs?: number): Promise<void> => {
        using lease = await pool.acquire({ signal, timeoutMs });
        await hold(lease.value, ms, signal);
      };
      return {
        act: async (signal) => {
          await using closing = pool;
          await all(
            use(3, signal),
            use(2, signal),
            mayBeLate(use(1, signal, 1)),
            use(1).then(() => served++),
            sleep(9).then(() => closing.run(({ value, signal }) => hold(value, 1, signal), { signal })),
            sleep(9).then(() => use(1)).then(() => served++),
          );
          await all(pool.close({ graceMs: 5 }), pool[Symbol.asyncDispose]());
        },
        check: () => {
          const { size, waiting, created, destroyed } = pool.statistics();
          assert.deepEqual([size, waiting, created - destroyed, made.alive, served], [0, 0, 0, 0, 2]);
          assert.ok(made.most <= 2);
        },
      };
    },
  },
  {
    name: "pools by key that share room",
    covers: [
      "KeyedResourcePool.acquire",
      "KeyedResourcePool.run",
      "KeyedResourcePool.close",
      "KeyedResourcePool[Symbol.asyncDispose]",
    ],
    scene: () => {
      const made = new Made();
      const pool = new KeyedResourcePool<string, { held: boolean }>({
        max: 2,
        create: (_key, { signal }) => made.make(signal),
        destroy: () => made.end(),
      });
      let served = 0;
      const use = async (
        key: string,
        ms: number,
        signal?: AbortSignal,
        timeoutMs?: number,
      ): Promise<void> => {
        using lease = await pool.acquire(key, { signal, timeoutMs });
        await hold(lease.value, ms, signal);
      };
      return {
        act: async (signal) => {
          await using closing = pool;
          await all(
            use("a", 3, signal),
            use("b", 2, signal),
            mayBeLate(use("c", 1, signal, 1)),
            use("a", 1).then(() => served++),
            sleep(3).then(() => closing.run("d", ({ value, signal }) => hold(value, 1, signal), { signal })),
            sleep(4).then(() => use("b", 1)).then(() => served++),
          );
          await all(pool.close({ graceMs: 5 }), pool[Symbol.asyncDispose]());
        },
        check: () => {
          const { size, waiting, keys } = pool.statistics();
          assert.deepEqual([size, waiting, keys, made.alive, served], [0, 0, 0, 0, 2]);
          assert.ok(made.most <= 2);
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
