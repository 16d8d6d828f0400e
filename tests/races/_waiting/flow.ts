import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import {
  aimd,
  AsyncBatcher,
  Bulkhead,
  type CallContext,
  ClientThrottle,
  Limiter,
  retry,
  transformer,
} from "../../../src/flow/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

/** Work of which at most so many may run at once. */
function counted(limit: number) {
  let running = 0;
  return {
    job: (ms: number) => async ({ signal }: CallContext): Promise<number> => {
      assert.ok(++running <= limit);
      try {
        await sleep(ms, { signal });
      } finally {
        await sleep(1); // A slot is taken until its work has settled, whoever has given up.
        running--;
      }
      return ms;
    },
    assertOver: () => assert.equal(running, 0),
  };
}

export const operations: readonly Operation[] = [
  {
    name: "a limiter, by calls and by leases",
    covers: [
      "Limiter.run",
      "Limiter.acquire",
      "Limiter.onIdle",
      "Limiter.onEmpty",
      "Limiter.onSizeLessThan",
    ],
    scene: () => {
      const limiter = new Limiter({ limit: 2 });
      const { job, assertOver } = counted(2);
      let served = 0;
      const lease = async (signal?: AbortSignal): Promise<void> => {
        using _ = await limiter.acquire({ signal });
        await job(2)({ signal: signal ?? new AbortController().signal });
      };
      return {
        act: (signal) =>
          all(
            limiter.run(job(3), { signal }),
            limiter.run(job(2)).then(() => served++),
            lease(signal),
            mayBeLate(limiter.run(job(9), { signal, timeoutMs: 4 })),
            mayBeLate(limiter.run(job(1), { signal, queueTimeoutMs: 1 })),
            lease().then(() => served++),
            limiter.onIdle({ signal }),
            limiter.onIdle(),
            limiter.onEmpty({ signal }),
            limiter.onEmpty(),
            limiter.onSizeLessThan(2, { signal }),
            limiter.onSizeLessThan(2),
          ),
        check: async () => {
          await limiter.onIdle();
          assertOver();
          const { inUse, waiting, abandoned, free } = limiter.statistics();
          assert.deepEqual([inUse, waiting, abandoned, free, served], [0, 0, 0, 2, 2]);
        },
      };
    },
  },
  {
    name: "mapping through a limiter that others use",
    covers: ["Limiter.map"],
    scene: () => {
      const limiter = new Limiter({ limit: 2 });
      const { job, assertOver } = counted(2);
      let [opened, closed] = [0, 0];
      async function* source(): AsyncGenerator<number> {
        opened++;
        try {
          for (const ms of [2, 1, 3, 1]) {
            await sleep(1);
            yield ms;
          }
        } finally {
          closed++;
        }
      }
      return {
        act: (signal) =>
          all(
            limiter.map(source(), (ms, context) => job(ms)(context), { signal }).then((results) =>
              assert.deepEqual(results, [2, 1, 3, 1])
            ),
            limiter.run(job(2)),
            limiter.map([1, 2], (ms, context) => job(ms)(context), { concurrency: 1 }),
          ),
        check: async () => {
          await limiter.onIdle();
          await sleep(2); // A source in the middle of a pull is not waited for.
          assertOver();
          assert.equal(closed, opened);
          assert.equal(limiter.statistics().inUse, 0);
        },
      };
    },
  },
  {
    name: "a limiter that is closed while calls run and wait",
    covers: ["Limiter.close", "Limiter[Symbol.asyncDispose]"],
    scene: () => {
      const limiter = new Limiter({ limit: 1 });
      const { job, assertOver } = counted(1);
      return {
        act: async (signal) => {
          await using closing = limiter;
          const accepted = all(
            limiter.run(job(2), { signal }),
            limiter.run(job(2)),
            limiter.run(job(1), { signal }),
          );
          await all(
            accepted,
            sleep(1).then(() => closing.close()),
            sleep(1).then(() => closing[Symbol.asyncDispose]()),
          );
        },
        check: () => {
          assertOver();
          const { inUse, waiting, closed } = limiter.statistics();
          assert.deepEqual([inUse, waiting, closed], [0, 0, true]);
        },
      };
    },
  },
  {
    name: "a bulkhead, and a throttle before it",
    covers: [
      "Bulkhead.run",
      "Bulkhead.onIdle",
      "Bulkhead.close",
      "Bulkhead[Symbol.asyncDispose]",
      "ClientThrottle.run",
    ],
    scene: () => {
      const bulkhead = new Bulkhead({ limit: aimd({ initial: 2 }), maxQueue: 9, reserved: { vital: 0.5 } });
      const throttle = new ClientThrottle();
      const { job, assertOver } = counted(9);
      const call = (ms: number, signal?: AbortSignal, key?: string): Promise<number> =>
        throttle.run(({ signal }) => bulkhead.run(job(ms), { signal, key }), { signal, timeoutMs: 50 });
      return {
        act: async (signal) => {
          await using closing = bulkhead;
          await all(
            call(2, signal),
            call(2),
            call(1, signal, "vital"),
            mayBeLate(bulkhead.run(job(5), { signal, timeoutMs: 3, priority: 1 })),
            bulkhead.run(job(1)),
            bulkhead.onIdle({ signal }),
            bulkhead.onIdle(),
            sleep(1).then(() => closing.close()),
            sleep(1).then(() => closing[Symbol.asyncDispose]()),
          );
        },
        check: async () => {
          await sleep(2);
          assertOver();
          const { inUse, waiting, abandoned } = bulkhead.statistics();
          assert.deepEqual([inUse, waiting, abandoned], [0, 0, 0]);
          assert.equal(throttle.statistics().throttled, 0);
        },
      };
    },
  },
  {
    name: "trying again, and a function that does",
    covers: ["retry", "Policy", "Run.run"],
    scene: () => {
      const { job, assertOver } = counted(9);
      const options = { attempts: 3, baseMs: 2, jitter: "none" } as const;
      const attempt = async ({ signal, attempt }: CallContext & { attempt: number }): Promise<number> => {
        await job(1)({ signal });
        if (attempt < 3) throw new Error("again");
        return attempt;
      };
      let calls = 0;
      const often = retry(options)(async ({ signal }: { signal?: AbortSignal }) => {
        await sleep(1, { signal });
        if (++calls % 3 > 0) throw new Error("again");
      });
      return {
        act: (signal) =>
          all(
            retry(attempt, { ...options, onRetry: () => sleep(1), signal }).then((it) => assert.equal(it, 3)),
            mayBeLate(retry(({ signal }) => job(9)({ signal }), { ...options, signal, attemptTimeoutMs: 2 })),
            mayBeLate(
              retry(attempt, { ...options, signal, timeoutMs: 5 }).catch((error) => {
                if (!(error instanceof Error) || error.message !== "again") throw error;
              }),
            ),
            retry(attempt, options),
            often({ signal }),
            retry(options).run(attempt, { signal }),
            transformer(new Limiter({ limit: 1 }))(({ signal }: CallContext) => sleep(2, { signal }))({
              signal,
            }),
          ),
        check: async () => {
          await sleep(2);
          assertOver();
        },
      };
    },
  },
  {
    name: "a batcher with a window, back-pressure, a flush and a close",
    covers: [
      "AsyncBatcher.add",
      "AsyncBatcher.flush",
      "AsyncBatcher.close",
      "AsyncBatcher[Symbol.asyncDispose]",
    ],
    scene: () => {
      let running = 0;
      const served: number[] = [];
      const batcher = new AsyncBatcher<number, number>(async (items, { signal }) => {
        assert.equal(++running, 1);
        try {
          await sleep(2, { signal });
          served.push(...items);
          return items.map((item) => item * 10);
        } finally {
          running--;
        }
      }, { maxSize: 2, maxWaitMs: 1, maxPending: 2 });
      const add = async (item: number, signal?: AbortSignal): Promise<void> => {
        assert.equal(await batcher.add(item, { signal }), item * 10);
      };
      return {
        act: async (signal) => {
          await using closing = batcher;
          await all(
            add(1, signal),
            add(2),
            add(3, signal),
            add(4),
            add(5, signal),
            mayBeLate(batcher.add(6, { signal, timeoutMs: 2 })),
            batcher.flush({ signal }),
            sleep(2).then(() => batcher.flush()),
            sleep(4).then(() => closing.close()),
            sleep(4).then(() => closing[Symbol.asyncDispose]()),
          );
        },
        check: () => {
          assert.equal(running, 0);
          assert.equal(new Set(served).size, served.length, "each once");
          assert.ok(served.includes(2) && served.includes(4), "those who did not give up are served");
          const { pending, waiting, inUse } = batcher.statistics();
          assert.deepEqual([pending, waiting, inUse], [0, 0, 0]);
        },
      };
    },
  },
];

export const still: Record<string, string> = {};
