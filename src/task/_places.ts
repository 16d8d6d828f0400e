/** Who among the tasks of a group may run: at most so many at once, the others in order of priority. */
import { Heap } from "../kernel/heap.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { TaskNode } from "./_task_node.ts";

function before(a: TaskNode<unknown>, b: TaskNode<unknown>): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.order < b.order);
}

export class Places {
  readonly #limit: number;
  readonly #what: string;
  readonly #queued: Heap<TaskNode<unknown>> | undefined;
  #taken = 0;
  #capacity: WaitQueue<void, true> | undefined;
  /** Whether one who waited for capacity was let through in this turn. */
  #letting = false;

  constructor(limit: number, what: string) {
    this.#limit = limit;
    if (limit !== Infinity) this.#queued = new Heap(before);
    this.#what = what;
  }

  /** How many tasks have no place yet. */
  get queued(): number {
    return this.#queued?.size ?? 0;
  }

  get free(): number {
    return this.#limit - this.#taken;
  }

  /** How many callers wait for capacity. */
  get waiting(): number {
    return this.#capacity?.size ?? 0;
  }

  /** Starts a task, or queues it. */
  enter(task: TaskNode<unknown>): void {
    if (this.#taken < this.#limit) {
      this.#taken++;
      task.admitted = true;
      task.launch();
    } else {
      this.#queued!.push(task);
      task.enqueue();
    }
  }

  /** A task has ended, whether it had a place, was queued, or neither. */
  leave(task: TaskNode<unknown>): void {
    if (task.admitted) this.#taken--;
    else this.#queued?.remove(task);
    this.#admit();
  }

  /** Waits until a task that enters would start at once. `refused`: the group's own refusal, after the options'. */
  capacity(options: WaitOptions | undefined, refused: () => Promise<never> | undefined): Promise<void> {
    this.#capacity ??= new WaitQueue({
      what: `wait for capacity of ${this.#what}`,
      structure: "group",
      behind: () => `${this.#taken} of ${this.#limit} tasks running, ${this.queued} queued`,
    });
    const refusal = this.#capacity.refusal(options) ?? refused();
    if (refusal !== undefined) return refusal;
    return this.#hasRoom() ? Promise.resolve() : this.#capacity.wait(true, options);
  }

  /** Sends those away who wait for capacity; an error is only made when there are any. */
  refuse(reason: () => unknown): void {
    if (this.waiting > 0) this.#capacity!.settleAll(reason());
  }

  #admit(): void {
    while (this.#taken < this.#limit) {
      const next = this.#queued?.pop();
      if (next === undefined) break;
      this.#taken++;
      next.admitted = true;
      next.admit();
    }
    if (this.#capacity === undefined || this.#letting || !this.#hasRoom()) return;
    if (!this.#capacity.grant(undefined)) return;
    // One at a time: whoever was let through has spawned when the next is considered.
    this.#letting = true;
    Promise.resolve().then(() => {
      this.#letting = false;
      this.#admit();
    });
  }

  #hasRoom(): boolean {
    return this.#taken < this.#limit && this.queued === 0;
  }
}
