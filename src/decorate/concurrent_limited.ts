import type { Bulkhead } from "../flow/bulkhead.ts";
import { Limiter } from "../flow/limiter.ts";
import type { LimiterOptions } from "../flow/limiter_options.ts";
import { keyFunction, type Kind, running } from "./_decorator.ts";
import type { Decorator, KeyFunction, PerOptions } from "./decorator.ts";

/** What {@linkcode concurrentLimited} looks at in calls. */
// deno-lint-ignore no-explicit-any
export interface ConcurrentLimitedKey<A extends any[] = any[]> {
  /** Whom a call is for: those who wait with different keys take turns. */
  key?: KeyFunction<A, unknown> | undefined;
}

/** Options of {@linkcode concurrentLimited}, with those of the `Limiter` that it makes. */
// deno-lint-ignore no-explicit-any
export interface ConcurrentLimitedOptions<A extends any[] = any[]>
  extends LimiterOptions, ConcurrentLimitedKey<A>, PerOptions {}

const kind: Kind<Limiter | Bulkhead, LimiterOptions & PerOptions> = {
  what: "limiter",
  method: "run",
  per: "function",
  make: (options) => new Limiter(options),
};

/**
 * Makes a decorator that lets so many calls run at a time; the rest waits its turn. Also a transformer of functions.
 *
 * The promises are those of `Limiter`. **Sharing** — with options, each decorated function has a limiter of its own,
 * named after it; with `per: "instance"`, each object. **Signal** — when the last argument of a call is an options bag
 * with a `signal`, it gives the call up, and the function gets the limiter's own in its place.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { concurrentLimited } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * let [running, most] = [0, 0];
 * class Mail {
 *   @concurrentLimited({ limit: 2, per: "instance" })
 *   async send(to: string): Promise<string> {
 *     most = Math.max(most, ++running);
 *     await Promise.resolve();
 *     running--;
 *     return `sent to ${to}`;
 *   }
 * }
 * const mail = new Mail();
 * const sent = await Promise.all(["ada", "bob", "cleo"].map((to) => mail.send(to)));
 * assert.deepEqual([sent.at(-1), most], ["sent to cleo", 2]);
 * ```
 */
// deno-lint-ignore no-explicit-any
export function concurrentLimited<A extends any[] = any[]>(
  options: ConcurrentLimitedOptions<A>,
): Decorator<A>;
/**
 * The same through a given `Limiter` or `Bulkhead`, which is shared with whatever else goes through it, or through that
 * which each object has: `@concurrentLimited((self: Mail) => self.limiter)`.
 */
// deno-lint-ignore no-explicit-any
export function concurrentLimited<A extends any[] = any[]>(
  // deno-lint-ignore no-explicit-any
  limiter: Limiter | Bulkhead | ((self: any) => Limiter | Bulkhead),
  options?: ConcurrentLimitedKey<A>,
): Decorator<A>;
// deno-lint-ignore no-explicit-any
export function concurrentLimited<A extends any[] = any[]>(
  // deno-lint-ignore no-explicit-any
  source: Limiter | Bulkhead | ((self: any) => Limiter | Bulkhead) | ConcurrentLimitedOptions<A>,
  beside?: ConcurrentLimitedKey<A>,
): Decorator<A> {
  return running(kind, source, keyFunction<A>("limiter", source, beside));
}
