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

/** Tells the observer of tasks that were aborted and do not end: of each once, when it is time. */
export class StuckWatch implements Disposable {
  readonly #watched: Watched;
  /** When to tell of an aborted task that nobody was told of. */
  readonly #dueMs = new WeakMap<TaskNode<unknown>, number>();
  #timer: Disposable | undefined;
  #over = false;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  /** A running task was aborted. */
  add(task: TaskNode<unknown>): void {
    const { afterMs } = this.#watched;
    if (afterMs === Infinity || this.#over) return;
    const dueMs = clock().now() + afterMs;
    this.#dueMs.set(task, dueMs);
    this.#timer ??= this.#arm(dueMs);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#timer?.[Symbol.dispose]();
  }

  #arm(atMs: number): Disposable {
    return clock().schedule(atMs, () => this.#look(atMs), { ref: false });
  }

  #look(atMs: number): void {
    const { name, afterMs } = this.#watched;
    const stuck: TaskNode<unknown>[] = [];
    let nextMs = Infinity;
    for (const task of this.#watched.live()) {
      const dueMs = this.#dueMs.get(task);
      if (dueMs === undefined) continue;
      if (dueMs > atMs) nextMs = Math.min(nextMs, dueMs);
      else if (this.#dueMs.delete(task)) stuck.push(task);
    }
    this.#timer = nextMs === Infinity ? undefined : this.#arm(nextMs);
    if (stuck.length === 0) return;
    const tasks = stuck.map((task) => ({ ...task.tree(), spawnedAt: task.site?.stack }));
    emit("task.stuck", "group", name, { afterMs, tasks });
  }
}
