/** Retrying what succeeds at once. */
import assert from "node:assert/strict";
import { retry } from "../../../src/flow/retry.ts";
import { sink } from "../../_measure.ts";
import type { EffectModule } from "../_effect.ts";
import { byHand, ours, platform, type Row, theirs } from "../_rows.ts";

const ATTEMPTS = 3;

async function work(): Promise<number> {
  await undefined;
  return 1;
}

/** What fails twice succeeds; what fails always is tried as often as it says, and its own error comes back. */
async function checkRetry(retried: (fn: () => Promise<number>) => Promise<number>): Promise<void> {
  let calls = 0;
  const third = (): Promise<number> => ++calls < 3 ? Promise.reject(new Error("no")) : Promise.resolve(calls);
  assert.equal(await retried(third), 3);
  calls = 0;
  const failure = new Error("always");
  await assert.rejects(retried(() => (calls++, Promise.reject(failure))), failure);
  assert.equal(calls, ATTEMPTS, `tried ${calls} times instead of ${ATTEMPTS}`);
}

async function byLoop<T>(fn: (context: { attempt: number }) => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await fn({ attempt });
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

interface RetryModule {
  default: <T>(
    fn: (attempt: number) => Promise<T>,
    options: { retries: number; minTimeout: number },
  ) => Promise<T>;
}
interface CockatielModule {
  handleAll: unknown;
  ConstantBackoff: new (ms: number) => unknown;
  retry(what: unknown, options: { maxAttempts: number; backoff: unknown }): {
    execute<T>(fn: () => Promise<T>): Promise<T>;
  };
}

const succeeds: Row = {
  kind: "time",
  name: "retry: succeeds at once",
  size: 30_000,
  rivals: [
    byHand({
      check: () => {},
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await work());
      },
    }, "the bare call"),
    platform("by hand, a loop", {
      check: () => checkRetry(byLoop),
      async run(_, size) {
        for (let i = 0; i < size; i++) sink(await byLoop(work));
      },
    }),
    ours({
      async check() {
        const policy = retry({ attempts: ATTEMPTS, baseMs: 1 });
        await checkRetry((fn) => policy.run(fn));
        return [policy, policy.run(() => new Promise(() => {}))];
      },
      async run(_, size) {
        const policy = retry({ attempts: ATTEMPTS });
        for (let i = 0; i < size; i++) sink(await policy.run(work));
      },
    }),
    theirs("p-retry", ({ default: pRetry }: RetryModule) => ({
      check: () => checkRetry((fn) => pRetry(fn, { retries: ATTEMPTS - 1, minTimeout: 1 })),
      async run(_, size) {
        const options = { retries: ATTEMPTS - 1, minTimeout: 1_000 };
        for (let i = 0; i < size; i++) sink(await pRetry(work, options));
      },
    })),
    theirs("cockatiel", ({ retry, handleAll, ConstantBackoff }: CockatielModule) => ({
      async check() {
        const policy = retry(handleAll, { maxAttempts: ATTEMPTS - 1, backoff: new ConstantBackoff(1) });
        await checkRetry((fn) => policy.execute(fn));
        return [policy, policy.execute(() => new Promise(() => {}))];
      },
      async run(_, size) {
        const policy = retry(handleAll, { maxAttempts: ATTEMPTS - 1, backoff: new ConstantBackoff(1_000) });
        for (let i = 0; i < size; i++) sink(await policy.execute(work));
      },
    })),
    theirs("effect", ({ Effect }: EffectModule) => {
      const attempt = (fn: () => Promise<number>) => Effect.tryPromise({ try: fn, catch: (error) => error });
      return {
        async check() {
          await checkRetry((fn) => Effect.runPromise(Effect.retry(attempt(fn), { times: ATTEMPTS - 1 })));
          return Effect.runFork(Effect.retry(Effect.never, { times: 1 }));
        },
        async run(_, size) {
          const retried = Effect.retry(attempt(work), { times: ATTEMPTS - 1 });
          for (let i = 0; i < size; i++) sink(await Effect.runPromise(retried));
        },
      };
    }),
  ],
};

/** The rows of this file. */
export const rows: readonly Row[] = [succeeds];
