import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import type { TaskNode } from "./_task_node.ts";

/** What a {@linkcode StuckWatch} has to know of its group. */
export interface Watched {
  readonly name: string | undefined;
  readonly afterMs: number;
  /** The tasks that have not ended. */
  live(): TaskNode<unknown>[];
}

/** Tells the observer, once, of tasks that were aborted and do not end. */
export class StuckWatch implements Disposable {
  readonly #watched: Watched;
  #timer: Disposable | undefined;
  #over = false;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  /** Begins to watch. Again, or after the end: does nothing. */
  begin(): void {
    const { afterMs } = this.#watched;
    if (afterMs === Infinity || this.#timer !== undefined || this.#over) return;
    this.#timer = clock().schedule(clock().now() + afterMs, () => this.#look(), { ref: false });
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    const { name, afterMs } = this.#watched;
    const tasks = this.#watched.live()
      .filter(({ abortedWith }) => abortedWith !== undefined)
      .map((task) => ({ ...task.tree(), spawnedAt: task.site?.stack }));
    if (tasks.length > 0) emit("task.stuck", "group", name, { afterMs, tasks });
  }
}
