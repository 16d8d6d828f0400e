import type { WaitOptions } from "../kernel/types.ts";
import type { CodelOptions } from "./_codel.ts";

export type { CodelOptions } from "./_codel.ts";

/** Options of a {@linkcode Limiter}. */
export interface LimiterOptions {
  /** How much may run at once: an integer of 0 (nothing, for now) or more, or `Infinity`. */
  limit: number;
  /** How many may wait. Default `Infinity`. */
  maxQueue?: number | undefined;
  /**
   * What becomes of a call when `maxQueue` calls wait already: `"reject"`, the default, refuses it; `"dropOldest"` sends
   * away who has waited longest; `"dropLowest"` sends away who would be served last, if that comes after the new call;
   * `"block"` refuses nobody and lets those who are too many wait outside, first come, first served, where priorities
   * and keys do not count yet. Refused or sent away: `QueueFullError`.
   */
  overflow?: "reject" | "dropOldest" | "dropLowest" | "block" | undefined;
  /**
   * How long a wait makes up for one of priority, in milliseconds: a call is then overtaken only by those that come
   * within so long times the difference. Default `Infinity`: those with more priority always go first.
   */
  ageingMs?: number | undefined;
  /** Sends calls away from the head of a line that stands, with an `OverloadError`. Default: none are. */
  codel?: CodelOptions | undefined;
  /** Whether work that reaches its time limit stops to count, though it still runs. Default `false`. */
  releaseOnTimeout?: boolean | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** What a call may say of its turn. */
export interface LimiterTurnOptions {
  /** How many slots it takes, from 1 to the limit. Default 1. */
  weight?: number | undefined;
  /** Who has more goes first, among those of one key. Default 0; whoever says so can be moved by `setPriority`. */
  priority?: number | undefined;
  /**
   * Whom it is for, such as a tenant; compared as `Map` keys are. Those who wait with different keys take turns (deficit
   * round robin over weights), so that a key with many calls does not hold up the others. Calls without one share one.
   */
  key?: unknown | undefined;
}

/** Options of {@linkcode Limiter.run}. */
export interface LimiterRunOptions extends WaitOptions, LimiterTurnOptions {
  /** Gives up after so many milliseconds of waiting for a slot; 0 runs only if a slot is free now, and sends nobody away. */
  queueTimeoutMs?: number | undefined;
  /**
   * The least the work takes, in milliseconds. The call fails as soon as less is left, of `timeoutMs` or of a deadline
   * that the library knows of `signal` (see `Deadline.of`): at once, or while it waits. Default 0.
   */
  needsMs?: number | undefined;
}

/** Options of {@linkcode Limiter.map}. */
export interface LimiterMapOptions extends LimiterTurnOptions {
  /** Gives the whole up. */
  signal?: AbortSignal | undefined;
  /** How many of these items may run at once, below the limit. Default `Infinity`. */
  concurrency?: number | undefined;
  /** How results are ordered: as the items, the default, or as they ended. */
  order?: "input" | "completion" | undefined;
}

/** Options of {@linkcode Limiter.close}. */
export interface LimiterCloseOptions {
  /** What becomes of those who wait. Default `"run"`, or `"reject"` when the running ones are aborted. */
  pending?: "run" | "reject" | undefined;
  /** Whether running work is waited for (`"wait"`, the default) or has its signal aborted first. */
  running?: "wait" | "abort" | undefined;
  /** What waiting calls reject with and running work is aborted with, instead of an error made for it. */
  reason?: unknown | undefined;
}

/** What an operator wants to know of a {@linkcode Limiter}. */
export interface LimiterStatistics {
  /** How much may run at once. */
  readonly limit: number;
  /** Slots taken: work that has not settled yet, and leases that are held. */
  readonly inUse: number;
  /** Slots that are free. */
  readonly free: number;
  /** Calls that wait for a slot. */
  readonly waiting: number;
  /** How many of them wait outside of a full line. */
  readonly blocked: number;
  /** Work that still runs although its caller was answered. */
  readonly abandoned: number;
  /** Whether it is paused. */
  readonly paused: boolean;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Calls that got their slot so far; how those end may be counted below besides. */
  readonly granted: number;
  /** Calls given up by a signal, waiting or running. */
  readonly aborted: number;
  /** Calls that reached their limit, waiting or running, or were refused as it was too late for them. */
  readonly timedOut: number;
  /** Calls refused because the queue was full. */
  readonly refused: number;
  /** Calls that waited and were sent away, for others or because the line stood. */
  readonly dropped: number;
}
