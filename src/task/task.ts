/** Where a task is in its life. */
export type TaskState = "queued" | "running" | "fulfilled" | "failed" | "cancelled";

/**
 * A handle on running work: can be awaited, looked at and cancelled. Not awaiting it is fine: its failure then
 * belongs to its group, and never becomes an unhandled rejection.
 */
export interface Task<T> extends PromiseLike<T> {
  /** The name it was given, or one made of its group's name and a number. */
  readonly name: string;
  /** Where it is in its life; `"queued"` until its function is called. */
  readonly state: TaskState;
  /** Resolves, never rejects, when the task has ended, or was given up by `close({ abandonAfterMs })`. Reading it does not count as observing a failure. */
  readonly settled: Promise<void>;
  /**
   * Ends this task only: a queued one at once, a running one by aborting its signal. Its group does not fail for it.
   *
   * @param reason What the handle rejects with; a fresh AbortError by default.
   */
  cancel(reason?: unknown): void;
  /** Attaches a rejection handler, like `Promise.prototype.catch`: a failure then counts as observed. */
  catch<R = never>(onRejected?: ((reason: unknown) => R | PromiseLike<R>) | null): Promise<T | R>;
  /** Like `Promise.prototype.finally`. */
  finally(onFinally?: (() => void) | null): Promise<T>;
}

/** What the function of a task gets. */
export interface TaskContext {
  /** Aborted when the task, its group, or anything around it is cancelled. Made when first read. */
  readonly signal: AbortSignal;
  /** The task's name. */
  readonly name: string;
  /** The task's own handle, handy as `owner` of locks. */
  readonly task: Task<unknown>;
}

/** The function of a task. */
export type Job<T> = (context: TaskContext) => T | PromiseLike<T>;
