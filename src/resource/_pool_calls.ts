/** Calling what the user has given to a pool, each call within its time. */
import { timeout, type TimeoutScope } from "../cancel/timeout.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** Lets the user validate or recycle a resource. Gives what is wrong with it, if anything; never rejects. */
export async function lookAt<T>(
  settings: PoolSettings<T>,
  doing: "validate" | "recycle",
  value: T,
): Promise<{ readonly error?: unknown } | undefined> {
  let isBad = false;
  const failure = await within(settings, settings.validateTimeoutMs, doing, async (scope) => {
    isBad = await settings[doing]!(value, scope) === false;
  });
  return failure ?? (isBad ? {} : undefined);
}

/** Ends a resource. Gives what that failed with; never rejects. */
export function end<T>(
  settings: PoolSettings<T>,
  value: T,
): Promise<{ readonly error: unknown } | undefined> {
  return within(settings, settings.destroyTimeoutMs, "destroy", async (scope) => {
    await settings.destroy(value, scope);
  });
}

async function within<T>(
  { what }: PoolSettings<T>,
  ms: number,
  doing: string,
  call: (scope: TimeoutScope) => Promise<void>,
): Promise<{ readonly error: unknown } | undefined> {
  const operation = `${doing} resource of ${what}`;
  const message = `Cannot ${operation} within ${ms} ms: it has not ended`;
  try {
    await timeout(ms, call, { operation, message });
    return undefined;
  } catch (error) {
    return { error };
  }
}
