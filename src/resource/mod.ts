/**
 * What must be given back: stacks and groups of contexts, and resources that are shared while they are needed.
 *
 * @module
 */
export {
  AsyncContextGroup,
  type Context,
  type ContextGroupOptions,
  type ContextGroupStatistics,
  type ContextValue,
  type ContextValues,
  type Opener,
} from "./async_context_group.ts";
export { AsyncExitStack, type ExitStackOptions, type ExitStackStatistics } from "./async_exit_stack.ts";
export { AsyncResource } from "./async_resource.ts";
export type {
  AsyncResourceOptions,
  AsyncResourceStatistics,
  ResourceCloseOptions,
  ResourceCloseReport,
  ResourceLease,
} from "./resource_options.ts";
export { AsyncResourcePool } from "./async_resource_pool.ts";
export { KeyedResourcePool } from "./keyed_resource_pool.ts";
export type {
  AsyncResourcePoolOptions,
  KeyedPoolStatistics,
  KeyedResourcePoolOptions,
  PoolAcquireOptions,
  PoolBehaviour,
  PoolCloseOptions,
  PoolCloseReport,
  PoolContext,
  PoolCreateContext,
  PoolLease,
  PoolRunContext,
  PoolRunOptions,
  PoolStatistics,
} from "./pool_options.ts";
export {
  PoolClosedError,
  type PoolFacts,
  PoolFullError,
  PoolSelfDeadlockError,
  PoolTimeoutError,
} from "./pool_errors.ts";
export { ResourceClosedError, ResourceStuckError } from "./resource_errors.ts";
export { asyncContextManager, type ContextManager, type ContextManagerOptions } from "./context_manager.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
