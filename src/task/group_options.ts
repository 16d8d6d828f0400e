/** What a task group is told and what it tells: options, reports, snapshots. */
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkDurationMs,
  checkName,
  checkOptions,
  checkSignal,
  checkWaitOptions,
  show,
} from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { ErrorMode } from "./_failures.ts";
import type { SpawnOptions, TaskTree } from "./_task_node.ts";

/** Options of a {@linkcode TaskGroup}. */
export interface GroupOptions extends WaitOptions {
  /** Appears in messages, records and the tree. */
  name?: string | undefined;
  /** Whether a task's failure ends its siblings (`"failFast"`, the default) or they survive it (`"supervise"`). */
  policy?: "failFast" | "supervise" | undefined;
  /**
   * The shape of what is thrown: one failure as it is, several as a `TaskGroupError` (`"auto"`, the default); always
   * the first, the others going to the observer (`"first"`); always a `TaskGroupError` (`"all"`).
   */
  errors?: "auto" | "first" | "all" | undefined;
  /** How many tasks run at once; further ones are queued. Daemons don't count. Default `Infinity`. */
  maxConcurrency?: number | undefined;
  /** After so long in vain, the observer is told which aborted tasks do not end (`task.stuck`). */
  stuckAfterMs?: number | undefined;
}

/** Options of {@linkcode TaskGroup.close}. */
export interface CloseOptions {
  /** How long tasks may take to finish by themselves before they are aborted, in milliseconds. Default 10,000. */
  graceMs?: number | undefined;
  /** How long to wait for aborted tasks, and for shields, before they are given up, in milliseconds. Default `Infinity`: never. */
  abandonAfterMs?: number | undefined;
  /** What tasks are aborted with after the grace; a fresh AbortError by default. */
  reason?: unknown | undefined;
  /** Gives up this wait, not the closing. A task that closes what it belongs to must pass its own. */
  signal?: AbortSignal | undefined;
}

/** What {@linkcode TaskGroup.close} came to. */
export interface CloseReport {
  /** What was given up and may still be running: tasks by name, then `"shielded work"` for each shield. */
  readonly stuck: readonly string[];
}

/** A live group as {@linkcode TaskGroup.tree} shows it. */
export interface GroupTree {
  /** The group's name. */
  readonly group: string;
  /** Where it is in its life. */
  readonly state: "open" | "cancelled" | "closed";
  /** Its live tasks, in the order in which they were spawned. */
  readonly tasks: readonly TaskTree[];
}

/** Among the options of a group that is a part of something else: what messages call it. @internal */
export const KIND: unique symbol = Symbol("kind");

/** Options with a {@linkcode KIND}. @internal */
export interface KindOfGroup {
  readonly [KIND]?: string;
}

/** What an operator wants to know of a {@linkcode TaskGroup}. */
export interface GroupStatistics {
  /** Tasks that run, or will in this turn; daemons included. */
  readonly running: number;
  /** Tasks that wait for a place among the `maxConcurrency`. */
  readonly queued: number;
  /** Places that are free; `Infinity` without `maxConcurrency`. */
  readonly free: number;
  /** Callers that wait for {@linkcode TaskGroup.capacity}. */
  readonly waiting: number;
  /** Tasks spawned so far. */
  readonly spawned: number;
  /** Tasks that have succeeded so far. */
  readonly fulfilled: number;
  /** Tasks that have failed so far. */
  readonly failed: number;
  /** Tasks that were cancelled so far. */
  readonly cancelled: number;
}

/**
 * Checks options and copies them. By name, as a spread leaves out what is inherited, and people pass on the context of a
 * task, whose `signal` is a getter of its class.
 */
export function readGroupOptions(options: GroupOptions, doing = "create task group"): GroupOptions {
  checkOptions(doing, options);
  const { name, policy, errors, maxConcurrency, stuckAfterMs, signal, timeoutMs } = options;
  checkWaitOptions(doing, { signal, timeoutMs });
  checkName(doing, name);
  if (policy !== undefined) checkChoice(doing, "policy", policy, ["failFast", "supervise"]);
  if (errors !== undefined) {
    checkChoice(doing, "errors", errors, ["auto", "first", "all"] satisfies ErrorMode[]);
  }
  if (maxConcurrency !== undefined) checkCount(doing, "maxConcurrency", maxConcurrency, 1);
  if (stuckAfterMs !== undefined) checkDurationMs(doing, "stuckAfterMs", stuckAfterMs);
  return { name, policy, errors, maxConcurrency, stuckAfterMs, signal, timeoutMs } as GroupOptions;
}

/** Checks options and copies them: callers reuse and change theirs. */
export function readSpawnOptions(doing: string, options: SpawnOptions): SpawnOptions {
  checkOptions(doing, options);
  const { name, daemon, priority } = options;
  checkName(doing, name);
  checkBoolean(doing, "daemon", daemon);
  if (priority !== undefined && !Number.isFinite(priority)) {
    const Class = typeof priority === "number" ? RangeError : TypeError;
    throw new Class(`Cannot ${doing} as priority must be a finite number: received ${show(priority)}`);
  }
  return { name, daemon, priority } as SpawnOptions;
}

/** Checks options and copies them. */
export function readCloseOptions(doing: string, options: CloseOptions): CloseOptions {
  checkOptions(doing, options);
  const { graceMs, abandonAfterMs, reason, signal } = options;
  checkSignal(doing, signal);
  if (graceMs !== undefined) checkDurationMs(doing, "graceMs", graceMs);
  if (abandonAfterMs !== undefined) checkDurationMs(doing, "abandonAfterMs", abandonAfterMs);
  return { graceMs, abandonAfterMs, reason, signal } as CloseOptions;
}
