import { LinkedList } from "../kernel/linked_list.ts";
import type { TaskNode } from "./_task_node.ts";

/** The live tasks of a group: linked, so that one that ends leaves nothing behind. */
export class TaskList extends LinkedList<TaskNode<unknown>> {
  /** Those of now, in the order in which they came: tasks end, listeners spawn and cancel, while somebody walks. */
  snapshot(): TaskNode<unknown>[] {
    const tasks: TaskNode<unknown>[] = [];
    for (let task = this.first; task !== undefined; task = task.next) tasks.push(task);
    return tasks;
  }
}
