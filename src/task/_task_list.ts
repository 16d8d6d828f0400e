import type { TaskNode } from "./_task_node.ts";

/** The live tasks of a group: linked, so that one that ends leaves nothing behind. */
export class TaskList {
  #first: TaskNode<unknown> | undefined;
  #last: TaskNode<unknown> | undefined;

  /** The one that came last, or `undefined`. */
  get last(): TaskNode<unknown> | undefined {
    return this.#last;
  }

  add(task: TaskNode<unknown>): void {
    task.prev = this.#last;
    if (this.#last === undefined) this.#first = task;
    else this.#last.next = task;
    this.#last = task;
  }

  remove(task: TaskNode<unknown>): void {
    const { prev, next } = task;
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
    task.prev = task.next = undefined;
  }

  /** Those of now, in the order in which they came: tasks end, listeners spawn and cancel, while somebody walks. */
  snapshot(): TaskNode<unknown>[] {
    const tasks: TaskNode<unknown>[] = [];
    for (let task = this.#first; task !== undefined; task = task.next) tasks.push(task);
    return tasks;
  }
}
