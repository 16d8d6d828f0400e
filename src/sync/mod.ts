/**
 * Coordination by waiting: locks, semaphores and channels that are fair, can be given up, and lose nothing.
 *
 * @module
 */
export { AsyncLock, type AsyncLockStatistics, LockReentryError } from "./async_lock.ts";
export {
  AsyncSemaphore,
  type AsyncSemaphoreStatistics,
  type SemaphoreAcquireOptions,
} from "./async_semaphore.ts";
export { Channel, ChannelClosedError, type ChannelOptions, type ChannelStatistics } from "./channel.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
