/** How a group is closed: in two phases, once, and for all who wait for that. */
import { deferred } from "../kernel/deferred.ts";
import { clock } from "../kernel/clock.ts";
import { ownAbort } from "../kernel/errors.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { TaskNode } from "./_task_node.ts";
import type { CloseOptions, CloseReport } from "./group_options.ts";

/** What a {@linkcode Closing} has to know of its group, and to do with it. */
export interface Closable {
  /** The group, as it stands in messages after "Cannot close". */
  readonly what: string;
  /** How many tasks and shields have to end before it can. */
  pending(): number;
  /** The live task with this signal. */
  taskWith(signal: AbortSignal): TaskNode<unknown> | undefined;
  /** Takes nothing new. */
  stop(): void;
  /** Resolves when nothing is left. */
  ended(): Promise<void>;
  abort(reason: unknown): void;
  /** Ends without the tasks that are left. @returns Their names. */
  abandon(): readonly string[];
}

export class Closing {
  readonly #group: Closable;
  readonly #report: Promise<CloseReport>;
  /** Those who wait with a signal: for the end, or for that of all but those who wait here themselves. */
  readonly #outside: WaitQueue<CloseReport>;
  readonly #inside: WaitQueue<CloseReport, TaskNode<unknown> | undefined>;
  /** How often each task waits inside, of those that the group waits for: no daemons, none that has ended. */
  readonly #waits = new Map<TaskNode<unknown>, number>();
  #over = false;

  constructor(group: Closable, options: CloseOptions) {
    this.#group = group;
    const queue = { what: `close ${group.what}`, structure: "group" };
    this.#outside = new WaitQueue(queue);
    this.#inside = new WaitQueue(queue);
    // First come, first served, and counted: walking those who wait whenever a task ends made N of them cost N².
    this.#inside.reorder({
      add: ({ data }) => this.#count(data, 1),
      remove: ({ data }) => this.#count(data, -1),
      first: () => this.#inside.oldest,
    });
    this.#report = this.#run(options);
    void this.#report.then((report) => {
      this.#over = true;
      while (this.#outside.grant(report));
      while (this.#inside.grant(report));
    });
  }

  /** Waits for the report; from `inside` only until all are waiting here who are left. */
  wait(signal: AbortSignal | undefined, inside: boolean): Promise<CloseReport> {
    if (signal === undefined || this.#over) return this.#report;
    if (!inside) return this.#outside.wait(undefined, { signal });
    const waiting = this.#inside.wait(this.#group.taskWith(signal), { signal });
    this.#look();
    return waiting;
  }

  /** A task or a shield has ended. */
  left(task: TaskNode<unknown> | undefined): void {
    if (task !== undefined) this.#waits.delete(task);
    this.#look();
  }

  /** Answers those inside once nobody else is left. */
  #look(): void {
    if (this.#inside.size === 0 || this.#group.pending() > this.#waits.size) return;
    while (this.#inside.grant({ stuck: [] }));
  }

  #count(task: TaskNode<unknown> | undefined, more: 1 | -1): void {
    if (task === undefined || task.daemon) return;
    const waits = (this.#waits.get(task) ?? 0) + more;
    if (waits > 0) this.#waits.set(task, waits);
    else this.#waits.delete(task);
  }

  async #run({ graceMs = 10_000, abandonAfterMs = Infinity, reason }: CloseOptions): Promise<CloseReport> {
    const group = this.#group;
    group.stop();
    const ended = group.ended();
    if (await within(ended, graceMs)) return { stuck: [] };
    if (reason === undefined) {
      reason = ownAbort(`Cannot go on in ${group.what}: it is closed after ${graceMs} ms`);
    }
    group.abort(reason);
    if (await within(ended, abandonAfterMs)) return { stuck: [] };
    return { stuck: group.abandon() };
  }
}

/** Whether `ended` comes within a time; the timer goes when it does. */
async function within(ended: Promise<void>, ms: number): Promise<boolean> {
  if (ms === Infinity) return await ended.then(() => true);
  const limit = deferred<boolean>();
  const timer = clock().schedule(clock().now() + ms, () => limit.resolve(false), { ref: true });
  ended.then(() => limit.resolve(true));
  try {
    return await limit.promise;
  } finally {
    timer[Symbol.dispose]();
  }
}
