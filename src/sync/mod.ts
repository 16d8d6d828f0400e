/**
 * Coordination by waiting: locks, semaphores and channels that are fair, can be given up, and lose nothing.
 *
 * @module
 */
export { AsyncEvent, type AsyncEventStatistics } from "./async_event.ts";
export { AsyncLock, type AsyncLockStatistics, LockReentryError } from "./async_lock.ts";
export {
  AsyncSemaphore,
  type AsyncSemaphoreStatistics,
  type SemaphoreAcquireOptions,
} from "./async_semaphore.ts";
export { Barrier, type BarrierStatistics, BrokenBarrierError } from "./barrier.ts";
export {
  Broadcast,
  type BroadcastOptions,
  type BroadcastStatistics,
  type BroadcastSubscription,
  LaggedError,
} from "./broadcast.ts";
export { Channel, ChannelClosedError, type ChannelOptions, type ChannelStatistics } from "./channel.ts";
export { Condition, type ConditionStatistics } from "./condition.ts";
export { KeyedLock, type KeyedLockStatistics } from "./keyed_lock.ts";
export { ReadWriteLock, type ReadWriteLockStatistics, type WriteLease } from "./read_write_lock.ts";
export { select, type SelectCase, type SelectOptions, type SelectResult, trySelect } from "./select.ts";
export type { PipeOptions } from "./_channel_streams.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, Lease, WaitOptions } from "../kernel/types.ts";
