import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import {
  CircuitBreaker,
  CircuitOpenError,
  fallback,
  hedge,
  KeyedCircuitBreaker,
  policy,
  retry,
  RetryBudget,
  timeoutHandler,
} from "../../../src/flow/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

const down = new Error("down");

/** Counts what work has made, and what of it was disposed: by whoever got it, or by the library. */
function goods() {
  let [made, disposed] = [0, 0];
  return {
    make: () => {
      made++;
      return { [Symbol.dispose]: () => void disposed++ };
    },
    use: (one: Disposable) => one[Symbol.dispose](),
    /** When what was made late has gone too. */
    assertGone: async () => {
      await sleep(50);
      assert.equal(disposed, made);
    },
  };
}

export const operations: readonly Operation[] = [
  {
    name: "a circuit breaker, closed, open and half-open",
    covers: ["CircuitBreaker.run", "KeyedCircuitBreaker.run"],
    scene: () => {
      const options = { failures: 1, openMs: 4, openJitter: 0, openGrowth: 1, probes: 2 };
      const breaker = new CircuitBreaker(options);
      const hosts = new KeyedCircuitBreaker(options);
      let [probing, most] = [0, 0];
      const probe = async ({ signal }: { signal: AbortSignal }): Promise<void> => {
        most = Math.max(most, ++probing);
        await sleep(3, { signal }).finally(() => probing--);
      };
      const refusedOr = (call: Promise<unknown>) =>
        call.catch((error) => {
          if (!(error instanceof CircuitOpenError)) throw error;
        });
      return {
        act: async (signal) => {
          await breaker.run(() => sleep(2).then(() => Promise.reject(down))).catch(() => {});
          await hosts.run(() => sleep(1), { key: "a" });
          await refusedOr(breaker.run(() => assert.fail("called")));
          await sleep(4);
          await all(
            refusedOr(breaker.run(probe, { signal })),
            refusedOr(breaker.run(probe)),
            refusedOr(breaker.run(probe, { signal })),
            refusedOr(hosts.run(() => sleep(2), { key: "a", signal })),
            hosts.run(({ signal }) => sleep(2, { signal }), { key: "b", signal }),
          );
        },
        check: async () => {
          assert.ok(most <= 2);
          const { failed, running, probing: places } = breaker.statistics();
          assert.deepEqual([failed, running, places], [1, 0, 0]);
          // Given up or not, its places are free: it can still close.
          for (let i = 0; i < 3; i++) await breaker.run(() => sleep(1));
          assert.equal(breaker.state, "closed");
        },
      };
    },
  },
  {
    name: "hedges, fallbacks and limits",
    covers: ["hedge", "fallback", "Policy", "Run.run"],
    scene: () => {
      const { make, use, assertGone } = goods();
      const budget = new RetryBudget({ minPerSecond: 100 });
      const hedged = hedge({ delayMs: 2, max: 3, budget });
      const limited = timeoutHandler(6);
      return {
        act: (signal) =>
          all(
            // Deaf attempts, whose late results belong to nobody.
            hedge(({ attempt }) => sleep(8 - 2 * attempt).then(make), { delayMs: 1, max: 3, signal }).then(
              use,
            ),
            hedged.run(
              ({ attempt }) => sleep(attempt).then(() => attempt === 1 ? Promise.reject(down) : make()),
              {
                signal,
              },
            ).then(use),
            hedged.run(() => sleep(3).then(make)).then(use),
            hedge(() => sleep(4).then(make), { delayMs: 0, waitForLosers: true, signal }).then(use),
            mayBeLate(hedge(() => sleep(9).then(make), { delayMs: 3, timeoutMs: 5, signal }).then(use)),
            fallback(({ signal }) => sleep(3, { signal }).then(() => Promise.reject(down)), {
              to: [() => sleep(2).then(() => Promise.reject(down)), () => sleep(1).then(make)],
              signal,
            }).then(use),
            fallback(() => sleep(2).then(make), { to: () => sleep(1).then(make), whenResult: () => true })
              .then(use),
            mayBeLate(limited.run(() => sleep(9).then(make), { signal }).then(use)),
            limited.run(() => sleep(3).then(make)).then(use),
          ),
        check: assertGone,
      };
    },
  },
  {
    name: "several policies as one",
    covers: ["Pipeline.run", "Pipeline.outcome", "retry", "hedge", "fallback"],
    scene: () => {
      const { make, use, assertGone } = goods();
      const breaker = new CircuitBreaker({ windowSize: 10 });
      const careful = policy(
        fallback({ to: () => sleep(1).then(make) }),
        timeoutHandler(60),
        retry({ attempts: 2, baseMs: 2, waitForAttempt: true }),
        breaker,
        hedge({ delayMs: 2 }),
        timeoutHandler(20),
      );
      const work = ({ attempt }: { attempt: number }) =>
        sleep(3).then(() => attempt === 1 ? Promise.reject(down) : make());
      return {
        act: (signal) =>
          all(
            careful.run(work, { signal }).then(use),
            careful.run(work).then(use),
            careful.run(() => sleep(1).then(() => Promise.reject(down)), { signal }).then((it) => use(it)),
            careful.outcome(work, { signal }).then((ended) => {
              if (ended.status === "aborted") throw ended.reason;
              assert.equal(ended.status, "fulfilled");
              if (ended.status === "fulfilled") use(ended.value);
            }),
          ),
        check: async () => {
          await assertGone();
          assert.equal(breaker.statistics().running, 0);
        },
      };
    },
  },
];

export const still: Readonly<Record<string, string>> = {
  "CachePart.get": "a port: what a cache does that is part of a policy",
};
