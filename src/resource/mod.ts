/**
 * What must be given back: stacks and groups of contexts, and resources that are shared while they are needed.
 *
 * @module
 */
export {
  AsyncContextGroup,
  type Context,
  type ContextGroupOptions,
  type ContextValue,
  type ContextValues,
  type Opener,
} from "./async_context_group.ts";
export { AsyncExitStack } from "./async_exit_stack.ts";
export {
  AsyncResource,
  type AsyncResourceOptions,
  type AsyncResourceStatistics,
  type ResourceLease,
} from "./async_resource.ts";
export { asyncContextManager, type ContextManager } from "./context_manager.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
