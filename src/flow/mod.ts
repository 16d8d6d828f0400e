/**
 * How much at once, how often again, how many together: limits, retries and batches.
 *
 * @module
 */
export type { AdaptiveLimit, LimitEstimator, LimitSample } from "./adaptive_limit.ts";
export { aimd, type AimdOptions, type LimitRange } from "./aimd.ts";
export { AsyncBatcher } from "./async_batcher.ts";
export type {
  AsyncBatcherCloseOptions,
  AsyncBatcherOptions,
  AsyncBatcherStatistics,
  BatchContext,
  BatchFunction,
  BatchResults,
  SettledBatchFunction,
} from "./async_batcher_options.ts";
export { AsyncCache } from "./async_cache.ts";
export type {
  AsyncCacheCloseOptions,
  AsyncCacheGetOptions,
  AsyncCacheOptions,
  AsyncCacheSetOptions,
  AsyncCacheStatistics,
  CacheBulk,
  CacheLease,
  CacheLoad,
  CacheLoadMany,
  CacheRemoval,
} from "./async_cache_options.ts";
export { BatchMissingError } from "./batch_missing_error.ts";
export { BatchShapeError } from "./batch_shape_error.ts";
export {
  Bulkhead,
  type BulkheadOptions,
  type BulkheadRunOptions,
  type BulkheadStatistics,
} from "./bulkhead.ts";
export { BulkheadFullError } from "./bulkhead_full_error.ts";
export { CircuitBreaker } from "./circuit_breaker.ts";
export type {
  CircuitBreakerOptions,
  CircuitBreakerStatistics,
  CircuitState,
  CircuitTrigger,
  SavedCircuit,
} from "./circuit_breaker_options.ts";
export {
  KeyedCircuitBreaker,
  type KeyedCircuitBreakerOptions,
  type KeyedCircuitBreakerStatistics,
} from "./keyed_circuit_breaker.ts";
export { attemptErrors } from "./attempt_errors.ts";
export { CycleError } from "./cycle_error.ts";
export { hedge } from "./hedge.ts";
export type { HedgeAttempt, HedgeOptions, HedgePolicy, HedgeStatistics } from "./hedge_options.ts";
export {
  type Alternative,
  fallback,
  type FallbackContext,
  type FallbackOptions,
  type FallbackPolicy,
  type FallbackStatistics,
} from "./fallback.ts";
export type { Outcome } from "./outcome.ts";
export {
  type CachePart,
  type PartStatistics,
  type Pipeline,
  type PipelineCallOptions,
  type PipelineRunOptions,
  policy,
  type PolicyBy,
  type PolicyContext,
  type PolicyPart,
} from "./pipeline.ts";
export {
  timeoutHandler,
  type TimeoutHandlerOptions,
  type TimeoutHandlerStatistics,
  type TimeoutPolicy,
} from "./timeout_handler.ts";
export { CircuitOpenError, type CircuitOpenErrorOptions, type CircuitWindow } from "./circuit_open_error.ts";
export { gradient2, type Gradient2Options } from "./gradient2.ts";
export { Limiter } from "./limiter.ts";
export type {
  CodelOptions,
  LimiterCloseOptions,
  LimiterMapOptions,
  LimiterOptions,
  LimiterRunOptions,
  LimiterStatistics,
  LimiterTurnOptions,
} from "./limiter_options.ts";
export { OverloadError } from "./overload_error.ts";
export { type AsyncMethod, type CallContext, type Policy, type Run, transformer } from "./policy.ts";
export { QueueFullError } from "./queue_full_error.ts";
export { RateLimitError, type RateLimitErrorOptions } from "./rate_limit_error.ts";
export { RateLimiter, type RateLimiterOptions } from "./rate_limiter.ts";
export type {
  RateLimiterAcquireOptions,
  RateLimiterAdaptiveOptions,
  RateLimiterAlgorithm,
  RateLimiterReservation,
  RateLimiterReserveOptions,
  RateLimiterRunOptions,
  RateLimiterStatistics,
  RateLimiterTakeOptions,
  RateLimitHeaders,
  RateLimitResponse,
} from "./rate_limiter_options.ts";
export { MemoryRateStore, type RateStore, type RateStoreRequest } from "./rate_store.ts";
export {
  SharedRateLimiter,
  type SharedRateLimiterOptions,
  type SharedRateLimiterStatistics,
} from "./shared_rate_limiter.ts";
export { parseRetryAfter, retryAfterOf } from "./retry_after.ts";
export { retry } from "./retry.ts";
export { RetryBudget, type RetryBudgetOptions, type RetryBudgetStatistics } from "./retry_budget.ts";
export type {
  Attempt,
  RetryEvent,
  RetryFailure,
  RetryOptions,
  RetryPolicy,
  RetryStatistics,
} from "./retry_options.ts";
export {
  ClientThrottle,
  type ClientThrottleOptions,
  type ClientThrottleStatistics,
} from "./client_throttle.ts";
export { ThrottledError } from "./throttled_error.ts";
export type { BackoffOptions } from "../kernel/backoff.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
