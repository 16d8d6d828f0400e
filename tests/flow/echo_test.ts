import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  Bulkhead,
  type CallContext,
  CircuitBreaker,
  ClientThrottle,
  Limiter,
  RateLimiter,
  retry,
  type Run,
} from "../../src/flow/mod.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { world } from "../../src/testing/mod.ts";

/** A signal that is aborted without telling: as for us when a platform runs microtasks between its listeners. */
function untold() {
  const signal = {
    aborted: false,
    reason: undefined as unknown,
    addEventListener: () => {},
    removeEventListener: () => {},
  };
  return {
    signal: signal as unknown as AbortSignal,
    abort: (reason: unknown): void => void Object.assign(signal, { aborted: true, reason }),
  };
}

const samples: unknown[] = [];
const estimator = { limit: 5, record: (sample: unknown) => void samples.push(sample) };

const policies: Record<string, () => Run<CallContext> & { statistics(): object }> = {
  "a limiter": () => new Limiter({ limit: 1 }),
  "a bulkhead that finds its limit": () => new Bulkhead({ limit: { start: () => estimator } }),
  "a rate limiter": () => new RateLimiter({ limit: 5, intervalMs: 10 }),
  "a circuit breaker": () => new CircuitBreaker({ failures: 1 }),
  "a client throttle": () => new ClientThrottle(),
  "a retry": () => retry({ attempts: 3 }),
};

describe("Work that has answered an abort before its policy was told of it", () => {
  for (const [name, make] of Object.entries(policies)) {
    for (const wrapped of [false, true]) {
      test(`in ${name}, is given up${wrapped ? ", with the reason itself" : ""}`, async () => {
        await world(async () => {
          const { signal, abort } = untold();
          const policy = make();
          const work = deferred<void>();
          const call = policy.run(() => work.promise, { signal });
          await Promise.resolve();
          const reason = new DOMException("too late for the caller", "TimeoutError");
          abort(reason);
          work.reject(wrapped ? new Error("aborted", { cause: reason }) : reason);
          assert.equal(await call.catch((error) => error), reason);
          const { aborted, failed = 0, requests = 0, abandoned = 0 } = policy.statistics() as Record<
            string,
            number
          >;
          assert.deepEqual({ aborted, failed, requests, abandoned }, {
            aborted: 1,
            failed: 0,
            requests: 0,
            abandoned: 0,
          });
          assert.deepEqual(samples, []);
        });
      });
    }
  }
});
