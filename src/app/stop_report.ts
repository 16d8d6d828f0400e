/** One thing that was done to stop an application, and how long it took. */
export interface StopStep {
  /** What was done, such as `stop hook "flush"` or `resource "db"`. */
  readonly name: string;
  /** How long it took, or was waited for, in milliseconds. */
  readonly ms: number;
  /** `"overdue"`: it did not end within its limit. */
  readonly outcome: "done" | "failed" | "overdue";
}

/** How an application was stopped. */
export interface StopReport {
  /** What the process exits with: 0, 1 after a failure, 130 after SIGINT, 143 after SIGTERM. */
  readonly code: number;
  /** Why it was stopped: the reason of `app.signal`. */
  readonly reason: unknown;
  /** Whether the time limit, or a second signal, ended it before everything had. */
  readonly forced: boolean;
  /** What was still running when it was given up, such as `task "poller"`. */
  readonly stragglers: readonly string[];
  /** Every failure, once, in time order: why it was stopped, and what went wrong on the way. */
  readonly errors: readonly unknown[];
  /** What took a second or longer, or longer than its limit; the slowest first. */
  readonly slow: readonly StopStep[];
  /** How long the stop took, in milliseconds. */
  readonly ms: number;
}
