/** The time limit of a whole group. */
import { clock } from "../kernel/clock.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { heldUp } from "../kernel/signals.ts";
import type { TaskNode } from "./_task_node.ts";

/** When a group has to be over, and its timer. */
export class GroupLimit implements Disposable {
  /** By the library's clock; `Infinity` without a limit. */
  readonly atMs: number;
  readonly #limitMs: number;
  #timer: Disposable | undefined;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.atMs = limitMs === Infinity ? Infinity : clock().now() + limitMs;
  }

  /** Sets the timer, or sets it anew. One that somebody awaits (`ref`) keeps the process alive. */
  arm(ref: boolean, expired: () => void): void {
    if (this.atMs === Infinity) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = clock().schedule(this.atMs, expired, { ref });
  }

  /** What the group ends with at its limit, by what was still running then. */
  error(operation: string, live: readonly TaskNode<unknown>[]): TimeoutError {
    const limitMs = this.#limitMs;
    const more = live.length > 5 ? ` and ${live.length - 5} more` : "";
    const still = live.length === 0
      ? "its body was still running"
      : `still running: ${live.slice(0, 5).map(nameAndWait).join(", ")}${more}`;
    return new TimeoutError(`Cannot finish ${operation} within ${limitMs} ms: ${still}`, {
      operation,
      limitMs,
    });
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}

/** `"import"`, or `"import" (waiting to acquire lock "files": …)`. */
function nameAndWait({ name, signal }: TaskNode<unknown>): string {
  const waits = heldUp(signal);
  return waits === undefined ? JSON.stringify(name) : `${JSON.stringify(name)} (waiting to ${waits})`;
}
