/** What the tests of applications open, and how they look at failures. */
import assert from "node:assert/strict";
import { sleep } from "@uno/async/cancel";

/** Opens a resource that writes down its life. */
export function opener(log: string[], name: string, openMs = 0, closeMs = 0) {
  return async ({ signal }: { signal: AbortSignal }): Promise<AsyncDisposable> => {
    log.push(`opening ${name}`);
    if (openMs > 0) await sleep(openMs, { signal });
    log.push(`open ${name}`);
    return {
      async [Symbol.asyncDispose]() {
        if (closeMs > 0) await sleep(closeMs);
        log.push(`close ${name}`);
      },
    };
  };
}

export const never = (): Promise<never> => new Promise<never>(() => {});

export async function failure(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}
