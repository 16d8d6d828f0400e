import assert from "node:assert/strict";
import type { Case } from "../_measure.ts";
import { AsyncResourcePool } from "../../src/resource/async_resource_pool.ts";
import { HandPool } from "./_by_hand.ts";

const TIMES = 100_000;

interface Resource {
  readonly id: number;
}

function creator(): () => Promise<Resource> {
  let id = 0;
  return () => Promise.resolve({ id: ++id });
}

async function check(): Promise<unknown> {
  const hand = new HandPool(3, creator());
  const ours = new AsyncResourcePool({ max: 3, create: creator() });
  const ways = [
    () => hand.acquire().then((value) => [value, () => hand.release(value)] as const),
    () => ours.acquire().then((lease) => [lease.value, () => lease.release()] as const),
  ];
  for (const acquire of ways) {
    const inside = new Set<Resource>();
    let [most, served] = [0, 0];
    await Promise.all(Array.from({ length: 50 }, async () => {
      const [value, release] = await acquire();
      assert.ok(!inside.has(value), "one resource, one holder");
      inside.add(value);
      most = Math.max(most, inside.size);
      await Promise.resolve();
      inside.delete(value);
      served++;
      release();
    }));
    assert.deepEqual([most, served], [3, 50]);
  }
  const leases = [await ours.acquire(), await ours.acquire(), await ours.acquire()];
  for (let i = 0; i < 3; i++) await hand.acquire();
  return [hand, ours, leases, hand.acquire(), ours.acquire({ timeoutMs: Infinity })];
}

export const cases: readonly Case[] = [
  {
    name: "pool: free, lease and give back",
    ops: TIMES,
    target: 3,
    check,
    async minimum() {
      const pool = new HandPool(4, creator());
      for (let i = 0; i < TIMES; i++) {
        const value = await pool.acquire();
        pool.release(value);
      }
    },
    async ours() {
      const pool = new AsyncResourcePool({ max: 4, create: creator() });
      for (let i = 0; i < TIMES; i++) {
        const lease = await pool.acquire();
        lease.release();
      }
      await pool.close();
    },
  },
  {
    name: "pool: 1,000 callers on 10 resources",
    ops: TIMES,
    target: 2,
    check,
    async minimum() {
      const pool = new HandPool(10, creator());
      const caller = async (): Promise<void> => {
        for (let i = 0; i < TIMES / 1_000; i++) {
          const value = await pool.acquire();
          pool.release(value);
        }
      };
      await Promise.all(Array.from({ length: 1_000 }, caller));
    },
    async ours() {
      const pool = new AsyncResourcePool({ max: 10, create: creator() });
      const caller = async (): Promise<void> => {
        for (let i = 0; i < TIMES / 1_000; i++) {
          const lease = await pool.acquire();
          lease.release();
        }
      };
      await Promise.all(Array.from({ length: 1_000 }, caller));
      await pool.close();
    },
  },
];
