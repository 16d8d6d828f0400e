/**
 * Applications: start, run, stop. Signals, exit codes, and a report of how it ended.
 *
 * @module
 */
export { type AsTask, asTask } from "./as_task.ts";
export type { AppHealth, AppOptions, AppState, AppStatistics, AppTree, HookOptions } from "./app_options.ts";
export { AsyncManager } from "./async_manager.ts";
export type { Hook } from "./_start_hooks.ts";
export type { Host, SignalName, StopSignal } from "./host.ts";
export {
  registerSignalHandlers,
  type SignalContext,
  type SignalHandlerOptions,
  type SignalHandlers,
} from "./register_signal_handlers.ts";
export { runApplication, type RunApplicationOptions } from "./run_application.ts";
export { SignalReceived } from "./signal_received.ts";
export type { StopReport, StopStep } from "./stop_report.ts";
export {
  ClosedError,
  findError,
  leaves,
  MisuseError,
  TaskGroupError,
  TimeoutError,
} from "../kernel/errors.ts";
