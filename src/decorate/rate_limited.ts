import { RateLimiter, type RateLimiterOptions } from "../flow/rate_limiter.ts";
import type { SharedRateLimiter } from "../flow/shared_rate_limiter.ts";
import { keyFunction, type Kind, running } from "./_decorator.ts";
import type { Decorator, KeyFunction, PerOptions } from "./decorator.ts";

/** What {@linkcode rateLimited} looks at in calls. */
// deno-lint-ignore no-explicit-any
export interface RateLimitedKey<A extends any[] = any[]> {
  /** Whom a call is for: each key has the limit to itself. */
  key?: KeyFunction<A, string> | undefined;
}

/** Options of {@linkcode rateLimited}, with those of the `RateLimiter` that it makes. */
// deno-lint-ignore no-explicit-any
export interface RateLimitedOptions<A extends any[] = any[]>
  extends RateLimiterOptions, RateLimitedKey<A>, PerOptions {}

const kind: Kind<RateLimiter | SharedRateLimiter, RateLimiterOptions & PerOptions> = {
  what: "rate limiter",
  method: "run",
  per: "function",
  make: (options) => new RateLimiter(options),
};

/**
 * Makes a decorator that lets so many calls begin in a time; the rest waits its turn. Also a transformer of functions.
 *
 * The promises are those of `RateLimiter`. **Sharing** — with options, each decorated function has a limit of its own,
 * named after it; with `per: "instance"`, each object; with `key`, whatever it makes of the arguments. **Signal** — when
 * the last argument of a call is an options bag with a `signal`, it gives the call up, and the function gets the
 * limiter's own in its place; a call that could not begin before the deadline of its signal is refused at once.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { timeout } from "@uno/async/cancel";
 * import { rateLimited } from "@uno/async/decorate";
 * import { RateLimitError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * class Mail {
 *   @rateLimited({ limit: 1, intervalMs: 60_000, key: (to: string) => to })
 *   async send(to: string, options: { signal?: AbortSignal } = {}): Promise<string> {
 *     options.signal?.throwIfAborted();
 *     return await Promise.resolve(`sent to ${to}`);
 *   }
 * }
 * const mail = new Mail();
 * assert.deepEqual(await mail.send("ada"), "sent to ada");
 * assert.deepEqual(await mail.send("bob"), "sent to bob");
 * await assert.rejects(timeout(1_000, ({ signal }) => mail.send("ada", { signal })), RateLimitError);
 * ```
 */
// deno-lint-ignore no-explicit-any
export function rateLimited<A extends any[] = any[]>(options: RateLimitedOptions<A>): Decorator<A>;
/**
 * The same through a given `RateLimiter` or `SharedRateLimiter`, which is shared with whatever else goes through it, or
 * through that which each object has: `@rateLimited((self: Mail) => self.limiter)`.
 */
// deno-lint-ignore no-explicit-any
export function rateLimited<A extends any[] = any[]>(
  // deno-lint-ignore no-explicit-any
  limiter: RateLimiter | SharedRateLimiter | ((self: any) => RateLimiter | SharedRateLimiter),
  options?: RateLimitedKey<A>,
): Decorator<A>;
// deno-lint-ignore no-explicit-any
export function rateLimited<A extends any[] = any[]>(
  source:
    | RateLimiter
    | SharedRateLimiter
    // deno-lint-ignore no-explicit-any
    | ((self: any) => RateLimiter | SharedRateLimiter)
    | RateLimitedOptions<A>,
  beside?: RateLimitedKey<A>,
): Decorator<A> {
  return running(kind, source, keyFunction<A>("rate limiter", source, beside));
}
