/** What callers of pools ask for: checked, and run. */
import { timeout } from "../cancel/timeout.ts";
import {
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkName,
  checkObject,
  checkOptions,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import type { Request } from "./_pool_line.ts";
import type { PoolAcquireOptions, PoolLease, PoolRunContext, PoolRunOptions } from "./pool_options.ts";

/** The request of a caller; `from` is the function it has called, if it is noted where it comes from. */
export function requestOf(
  what: string,
  from: object | undefined,
  options: PoolAcquireOptions | undefined,
  order: number,
): Request {
  const doing = `lease from ${what}`;
  checkOptions(doing, options);
  const { owner, label, priority } = options ?? {};
  checkName(doing, label, "label");
  checkObject(doing, "owner", owner);
  if (priority !== undefined) checkFinite(doing, "priority", priority);
  return {
    rank: priority === undefined ? 0 : -priority,
    weight: 1,
    hold: owner === undefined && label === undefined ? undefined : { owner, label },
    site: from && siteAbove(from),
    order,
  };
}

/** Where a function was called, without its own frames and those below it where the engine can leave them out. */
function siteAbove(from: object): Error {
  const site = new Error();
  (Error as { captureStackTrace?: (site: Error, above: object) => void }).captureStackTrace?.(site, from);
  return site;
}

/** Runs `fn` with a lease, which is given back when `fn` has settled, whatever became of its caller. */
export async function runLeased<T, R>(
  what: string,
  { acquireTimeoutMs }: { readonly acquireTimeoutMs: number },
  fn: (context: PoolRunContext<T>) => R | PromiseLike<R>,
  options: PoolRunOptions,
  acquire: (options: PoolAcquireOptions) => Promise<PoolLease<T>>,
): Promise<R> {
  const doing = `run with ${what}`;
  checkFunction(doing, "fn", fn);
  checkOptions(doing, options);
  const { timeoutMs = Infinity, queueTimeoutMs, ...hold } = options;
  checkDurationMs(doing, "timeoutMs", timeoutMs);
  if (queueTimeoutMs !== undefined) checkDurationMs(doing, "queueTimeoutMs", queueTimeoutMs);
  const atMs = timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs;
  const plain = timeoutMs === Infinity && queueTimeoutMs === undefined;
  const waitMs = plain ? undefined : Math.min(timeoutMs, queueTimeoutMs ?? acquireTimeoutMs);
  const lease = await acquire({ ...hold, timeoutMs: waitMs });
  let [begun, doubted] = [false, false];
  const giveBack = (): void => doubted ? lease.discard() : lease.release();
  const work = async (scope: { readonly signal: AbortSignal }): Promise<R> => {
    begun = true;
    try {
      return await fn({
        value: lease.value,
        get signal() {
          return scope.signal;
        },
        discard: () => void (doubted = true),
      });
    } finally {
      giveBack();
    }
  };
  const leftMs = atMs === Infinity ? Infinity : Math.max(0, atMs - clock().now());
  const message = `Cannot ${doing} within ${timeoutMs} ms: it was still running`;
  try {
    return await timeout(leftMs, work, { signal: options.signal, operation: doing, message });
  } finally {
    if (!begun) giveBack();
  }
}
