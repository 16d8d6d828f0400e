/** How somebody asks a cache for a value. */
import { checkBoolean, checkFunction, checkOptions, checkWaitOptions } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type WriteOptions, writeOptions } from "./_cache_settings.ts";
import type { AsyncCacheGetOptions } from "./async_cache_options.ts";

/** Checked options, each read once. */
export interface Ask {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly refresh: boolean;
  readonly write: WriteOptions | undefined;
}

/** How one asks who says nothing. */
export const PLAIN: Ask = { signal: undefined, timeoutMs: undefined, refresh: false, write: undefined };

/**
 * Checks the arguments of a call.
 *
 * @param loader Who will load: the cache's own, or what was given.
 * @param load What was given: a load, or options in its place.
 */
export function checkAsk(
  doing: string,
  loader: unknown,
  load: unknown,
  options: AsyncCacheGetOptions | undefined,
): Ask {
  if (typeof load === "object" && load !== null && options === undefined) options = load;
  else if (load !== undefined) checkFunction(doing, "load", load);
  if (loader === undefined) {
    throw new TypeError(`Cannot ${doing} as load must be given, here or to the cache: received none`);
  }
  checkFunction(doing, "load", loader);
  if (options === undefined) return PLAIN;
  checkOptions(doing, options);
  const { signal, timeoutMs, refresh = false } = options;
  checkWaitOptions(doing, { signal, timeoutMs });
  checkBoolean(doing, "refresh", refresh);
  return { signal, timeoutMs, refresh, write: writeOptions(doing, options) };
}

/** When a wait ends by its own limit. */
export function endMs({ timeoutMs }: Ask): number {
  return timeoutMs === undefined || timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs;
}
