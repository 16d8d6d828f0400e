import { show } from "../kernel/checks.ts";
import { CircuitBreaker } from "../flow/circuit_breaker.ts";
import type { CircuitBreakerOptions } from "../flow/circuit_breaker_options.ts";
import { KeyedCircuitBreaker, type KeyedCircuitBreakerOptions } from "../flow/keyed_circuit_breaker.ts";
import { keyFunction, type Kind, running } from "./_decorator.ts";
import type { Decorator, KeyFunction, PerOptions } from "./decorator.ts";

/** What {@linkcode circuitBroken} looks at in calls. */
// deno-lint-ignore no-explicit-any
export interface CircuitBrokenKey<A extends any[] = any[]> {
  /** What a call is to, such as a host: each key has a breaker to itself. */
  key: KeyFunction<A, string>;
}

/** Options of {@linkcode circuitBroken}, with those of the `CircuitBreaker` that it makes. */
export interface CircuitBrokenOptions extends CircuitBreakerOptions, PerOptions {}

/** Options of {@linkcode circuitBroken} with a `key`, with those of the `KeyedCircuitBreaker` that it makes. */
// deno-lint-ignore no-explicit-any
export interface KeyedCircuitBrokenOptions<A extends any[] = any[]>
  extends KeyedCircuitBreakerOptions, CircuitBrokenKey<A>, PerOptions {}

type Breaker = CircuitBreaker | KeyedCircuitBreaker;

const plain: Kind<Breaker, KeyedCircuitBreakerOptions & PerOptions> = {
  what: "circuit breaker",
  method: "run",
  per: "function",
  make: (options) => new CircuitBreaker(options),
};

const keyed: typeof plain = { ...plain, keyed: true, make: (options) => new KeyedCircuitBreaker(options) };

/**
 * Makes a decorator that refuses calls while what they call fails. Also a transformer of functions.
 *
 * The promises are those of `CircuitBreaker`. **Sharing** — with options, each decorated function has a breaker of its
 * own, named after it; with `per: "instance"`, each object; with `key`, whatever it makes of the arguments. **Signal** —
 * when the last argument of a call is an options bag with a `signal`, it gives the call up, which counts nothing, and the
 * function gets the breaker's own in its place. **Time** — calls that hang are failures only with a limit inside: put
 * `@timeoutHandler` below it.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { circuitBroken } from "@uno/async/decorate";
 * import { CircuitOpenError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * class Billing {
 *   @circuitBroken({ failures: 2 })
 *   charge(cents: number): Promise<number> {
 *     return Promise.reject(new Error(`connection refused for ${cents}`));
 *   }
 * }
 * const billing = new Billing();
 * for (const cents of [1, 2]) await assert.rejects(billing.charge(cents), { message: `connection refused for ${cents}` });
 * const refusal = await billing.charge(3).catch((error) => error);
 * assert.ok(refusal instanceof CircuitOpenError);
 * assert.match(refusal.message, /^Cannot call "charge": circuit open/);
 * ```
 */
export function circuitBroken(options?: CircuitBrokenOptions): Decorator;
/** The same with a breaker for each key. */
// deno-lint-ignore no-explicit-any
export function circuitBroken<A extends any[]>(options: KeyedCircuitBrokenOptions<A>): Decorator<A>;
/**
 * The same through a given `CircuitBreaker`, which is shared with whatever else goes through it, or through that which
 * each object has: `@circuitBroken((self: Billing) => self.breaker)`.
 */
// deno-lint-ignore no-explicit-any
export function circuitBroken(breaker: CircuitBreaker | ((self: any) => CircuitBreaker)): Decorator;
/** The same through a given `KeyedCircuitBreaker`, or through that which each object has. */
// deno-lint-ignore no-explicit-any
export function circuitBroken<A extends any[]>(
  // deno-lint-ignore no-explicit-any
  breaker: KeyedCircuitBreaker | ((self: any) => KeyedCircuitBreaker),
  options: CircuitBrokenKey<A>,
): Decorator<A>;
// deno-lint-ignore no-explicit-any
export function circuitBroken<A extends any[]>(
  // deno-lint-ignore no-explicit-any
  source: Breaker | ((self: any) => Breaker) | CircuitBrokenOptions | KeyedCircuitBrokenOptions<A> = {},
  beside?: CircuitBrokenKey<A>,
): Decorator<A> {
  const key = keyFunction<A>("circuit breaker", source, beside);
  if (key === undefined && source instanceof KeyedCircuitBreaker) {
    throw new TypeError(
      `Cannot create circuit broken as key must be given with a keyed breaker: received ${show(key)}`,
    );
  }
  return running(key === undefined ? plain : keyed, source, key);
}
