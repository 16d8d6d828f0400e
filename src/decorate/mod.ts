/**
 * Decorators of methods that are transformers of functions too.
 *
 * What `@retry(options)` does to a method, `retry(options)(fn)` does to a function. The result keeps the signature.
 *
 * @module
 */
export { asTask } from "./as_task.ts";
export {
  type Batched,
  batched,
  type BatchedCallOptions,
  type BatchedOptions,
  type ForOne,
} from "./batched.ts";
export { cached, type CachedKey, type CachedOptions } from "./cached.ts";
export { cancellable, type CancellableOptions } from "./cancellable.ts";
export {
  circuitBroken,
  type CircuitBrokenKey,
  type CircuitBrokenOptions,
  type KeyedCircuitBrokenOptions,
} from "./circuit_broken.ts";
export {
  concurrentLimited,
  type ConcurrentLimitedKey,
  type ConcurrentLimitedOptions,
} from "./concurrent_limited.ts";
export type { Decorator, KeyFunction, Per, PerOptions } from "./decorator.ts";
export { rateLimited, type RateLimitedKey, type RateLimitedOptions } from "./rate_limited.ts";
export { retry } from "./retry.ts";
export { timeoutHandler } from "./timeout_handler.ts";
export { transactional } from "./transactional.ts";
