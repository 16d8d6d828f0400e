/**
 * Structured concurrency, cancellation that loses nothing, and fair primitives for plain async/await code.
 *
 * @module
 */
export * from "./src/cancel/mod.ts";
export * from "./src/sync/mod.ts";
export * from "./src/task/mod.ts";
export * from "./src/flow/mod.ts";
export * from "./src/resource/mod.ts";
export { observe, type Observer, type ObserverRecord } from "./src/kernel/observer.ts";
export { backoff, type BackoffOptions } from "./src/kernel/backoff.ts";
