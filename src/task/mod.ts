/**
 * Structured concurrency: who owns running work, what becomes of its failures, and how it ends.
 *
 * @module
 */
export { type MapOptions, mapTasks } from "./map_tasks.ts";
export { type Results, runTask, runTasks, type SettledResults } from "./run_tasks.ts";
export type { Job, Task, TaskContext, TaskState } from "./task.ts";
export type { CloseOptions, CloseReport, GroupOptions, GroupStatistics, GroupTree } from "./group_options.ts";
export { RestartLimitError } from "./restart_limit_error.ts";
export { TaskGroup } from "./task_group.ts";
export {
  type ManagedTaskOptions,
  type RestartOptions,
  TaskManager,
  type TaskManagerOptions,
  type TaskManagerStatistics,
} from "./task_manager.ts";
export type { SpawnOptions, TaskTree } from "./_task_node.ts";
export type { StartContext } from "./_handshake.ts";
export {
  ClosedError,
  findError,
  leaves,
  MisuseError,
  TaskGroupError,
  TimeoutError,
  type TimeoutErrorOptions,
} from "../kernel/errors.ts";
export type { BackoffOptions } from "../kernel/backoff.ts";
export type { WaitOptions } from "../kernel/types.ts";
