/** What an application can be told, and what it tells of itself. */
import { checkDurationMs, checkFunction, checkName, checkOptions, show } from "../kernel/checks.ts";
import type { GroupTree } from "../task/group_options.ts";
import type { TaskManagerStatistics } from "../task/task_manager.ts";

/** Where an application is in its life. */
export type AppState = "new" | "starting" | "ready" | "stopping" | "stopped";

/** What probes ask an application. */
export interface AppHealth {
  /** It has been ready once. */
  readonly started: boolean;
  /** It has not ended: no reason to start it anew. */
  readonly live: boolean;
  /** It takes work. False as soon as a stop is asked for, before anything else happens. */
  readonly ready: boolean;
}

/** Options of an {@linkcode AsyncManager}. */
export interface AppOptions {
  /** Appears in messages, records and the tree. */
  name?: string | undefined;
  /** How long a stop may take altogether, in milliseconds. Default 10,000. */
  graceMs?: number | undefined;
  /** How long the start may take altogether, in milliseconds. Default `Infinity`. */
  startTimeoutMs?: number | undefined;
  /**
   * How long tasks, blocks and main may take to finish by themselves before tasks are cancelled, in milliseconds.
   * Default: half of what is left of `graceMs` then.
   */
  drainMs?: number | undefined;
  /**
   * How long to go on as before once a stop is asked for, not ready but working, so that a load balancer can notice.
   * A part of `graceMs`, in milliseconds. Default 0.
   */
  preStopMs?: number | undefined;
}

/** Options of a hook. */
export interface HookOptions {
  /** Appears in messages and the report. Default: the function's own name. */
  name?: string | undefined;
  /** Its time limit, in milliseconds. Default: none at the start, half of what is left at the stop. */
  timeoutMs?: number | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncManager}. */
export interface AppStatistics {
  /** Where it is in its life. */
  readonly state: AppState;
  /** Time since it became ready, until it stopped, in milliseconds. */
  readonly uptimeMs: number;
  /** Resources that are open. */
  readonly resources: number;
  /** Blocks that are held. */
  readonly blocks: number;
  /** Its background tasks. */
  readonly tasks: TaskManagerStatistics;
}

/** A live application as {@linkcode AsyncManager.tree} shows it. */
export interface AppTree {
  /** Its name, or `"application"`. */
  readonly application: string;
  /** Where it is in its life. */
  readonly state: AppState;
  /** The resources that are open, in the order in which they were opened. */
  readonly resources: readonly string[];
  /** The resources that are being opened, or wait for others. */
  readonly opening: readonly string[];
  /** The start hook that runs. */
  readonly hook: string | undefined;
  /** What holds up its stop. */
  readonly blocks: readonly string[];
  /** The live tasks and groups. */
  readonly tasks: GroupTree & { readonly groups: readonly GroupTree[] };
}

/** Throws unless `options` are proper {@linkcode AppOptions}. */
export function checkAppOptions(doing: string, options: AppOptions): void {
  checkOptions(doing, options);
  checkName(doing, options.name);
  const { graceMs = 10_000, startTimeoutMs = Infinity, drainMs = 0, preStopMs = 0 } = options;
  checkDurationMs(doing, "graceMs", graceMs);
  checkDurationMs(doing, "startTimeoutMs", startTimeoutMs);
  checkDurationMs(doing, "drainMs", drainMs);
  checkDurationMs(doing, "preStopMs", preStopMs);
  if (preStopMs > 0 && preStopMs >= graceMs) {
    throw new RangeError(
      `Cannot ${doing} as preStopMs must be less than graceMs (${graceMs}): received ${preStopMs}`,
    );
  }
}

/** Throws unless a resource is described properly. */
export function checkUse(name: unknown, open: unknown, options: { after?: unknown }): void {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(`Cannot open as name must be a non-empty string: received ${show(name)}`);
  }
  const doing = `open ${show(name)}`;
  checkFunction(doing, "open", open);
  checkOptions(doing, options);
  const { after = [] } = options;
  if (!Array.isArray(after) || after.some((other) => typeof other !== "string")) {
    throw new TypeError(`Cannot ${doing} as after must be an array of names: received ${show(after)}`);
  }
}

/** Throws unless a hook is given properly. */
export function checkHook(doing: string, hook: unknown, options: HookOptions): void {
  checkFunction(doing, "hook", hook);
  checkOptions(doing, options);
  checkName(doing, options.name);
  if (options.timeoutMs !== undefined) checkDurationMs(doing, "timeoutMs", options.timeoutMs);
}
