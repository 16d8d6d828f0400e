import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { AsyncResourcePool, KeyedResourcePool } from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { failureOf } from "./_store.ts";

interface Line {
  readonly id: number;
  cut(): void;
}

/** Lines that can be cut, and which of them were destroyed. */
class Exchange {
  readonly lines: Line[] = [];
  readonly destroyed: number[] = [];

  readonly create = ({ gone }: { gone(): void }): Line => {
    const line = { id: this.lines.length, cut: gone };
    this.lines.push(line);
    return line;
  };

  readonly destroy = ({ id }: Line): void => void this.destroyed.push(id);
}

describe("AsyncResourcePool told that a resource is gone", () => {
  test("destroys an idle one at once, and nobody gets it", async () => {
    await world(async () => {
      const exchange = new Exchange();
      await using pool = new AsyncResourcePool({ max: 2, ...exchange });
      const [a, b] = [await pool.acquire(), await pool.acquire()];
      a.release();
      b.release();
      exchange.lines[1]!.cut();
      await sleep(1);
      const { size, idle, invalid } = pool.statistics();
      assert.deepEqual([size, idle, invalid, exchange.destroyed], [1, 1, 1, [1]]);
      const lease = await pool.acquire();
      assert.equal(lease.value.id, 0);
      lease.release();
    });
  });

  test("destroys one in use when it comes back, and makes another for who waits", async () => {
    await world(async () => {
      const exchange = new Exchange();
      await using pool = new AsyncResourcePool({ max: 1, ...exchange });
      const first = await pool.acquire();
      const waiting = pool.acquire();
      first.value.cut();
      assert.deepEqual([pool.statistics().inUse, exchange.destroyed], [1, []]);
      first.release();
      const second = await waiting;
      assert.deepEqual([second.value.id, exchange.destroyed], [1, [0]]);
      first.value.cut();
      second.release();
      assert.equal(pool.statistics().idle, 1, "the end of the first is not that of the second");
    });
  });

  test("keeps `min`, and pauses for those that are gone as soon as they are made", async () => {
    await world(async (w) => {
      const exchange = new Exchange();
      let down = false;
      await using pool = new AsyncResourcePool({
        max: 2,
        min: 1,
        backoff: { baseMs: 100, jitter: "none" },
        destroy: exchange.destroy,
        create(context) {
          const line = exchange.create(context);
          if (down) line.cut();
          return line;
        },
      });
      await sleep(1);
      down = true;
      exchange.lines[0]!.cut();
      await sleep(1);
      assert.deepEqual([exchange.lines.length, exchange.destroyed], [2, [0, 1]]);
      const failure = await failureOf(pool.acquire({ timeoutMs: 50 }));
      assert.match(String((failure as Error).cause), /it was gone when it was made/);
      down = false;
      const lease = await pool.acquire();
      assert.deepEqual([lease.value.id, w.now], [2, 101]);
      lease.release();
    });
  });

  test("does not put back one that is gone while it is recycled or validated", async () => {
    for (const doing of ["recycle", "validate"] as const) {
      await world(async () => {
        const exchange = new Exchange();
        await using pool = new AsyncResourcePool<Line>({
          max: 1,
          freshMs: 0,
          create: exchange.create,
          destroy: exchange.destroy,
          [doing]: async (line: Line) => {
            if (line.id > 0) return;
            line.cut();
            await undefined;
          },
        });
        (await pool.acquire()).release();
        await sleep(1); // It then is neither fresh nor, if it was recycled, there.
        const second = await pool.acquire();
        assert.deepEqual([second.value.id, exchange.destroyed, pool.statistics().invalid], [1, [0], 1]);
        second.release();
      });
    }
  });

  test("works by key, and gives the room to others", async () => {
    await world(async () => {
      const destroyed: string[] = [];
      const cuts = new Map<string, () => void>();
      await using pool = new KeyedResourcePool<string, string>({
        max: 1,
        create(key, { gone }) {
          cuts.set(key, gone);
          return key;
        },
        destroy: (key) => void destroyed.push(key),
      });
      (await pool.acquire("a")).release();
      cuts.get("a")!();
      cuts.get("a")!();
      const lease = await pool.acquire("b");
      assert.deepEqual([destroyed, pool.statistics().size], [["a"], 1]);
      lease.release();
    });
  });
});
