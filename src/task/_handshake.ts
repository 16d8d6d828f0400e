/** The ready handshake of `group.start`. */
import { deferred } from "../kernel/deferred.ts";
import { MisuseError, TaskGroupError } from "../kernel/errors.ts";
import { timeout } from "../cancel/timeout.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { TaskNode } from "./_task_node.ts";
import type { Job, TaskContext } from "./task.ts";

/** What the function of a started task gets. */
export interface StartContext<T> extends TaskContext {
  /**
   * Tells the caller of `start` that the task is ready; from then on it is an ordinary member of the group.
   *
   * @throws {MisuseError} When called twice.
   */
  ready(value: T): void;
}

export async function handshake<T>(
  doing: string,
  spawn: (job: Job<unknown>) => TaskNode<unknown>,
  fn: (context: StartContext<T>) => PromiseLike<unknown>,
  options: WaitOptions | undefined,
): Promise<T> {
  const settled = deferred<T>();
  let ready = false;
  let task: TaskNode<unknown> | undefined;
  let failure: { readonly error: unknown } | undefined;

  const start = (waiting: AbortSignal): Promise<T> => {
    task = spawn((context) =>
      fn({
        name: context.name,
        task: context.task,
        get signal() {
          return context.signal;
        },
        ready(value) {
          if (ready) {
            throw new MisuseError(`Cannot get ready twice: task ${JSON.stringify(context.name)} is ready`);
          }
          if (waiting.aborted) return; // too late: the caller has given up, and the task is about to hear of it
          ready = true;
          task!.intercept = undefined;
          settled.resolve(value);
        },
      })
    );
    // The failure of a task that is not ready yet belongs to the caller of start(), not to the group.
    task.intercept = (error) => failure = { error };
    void task.settled.then(() => settled.resolve(undefined as T));
    return settled.promise;
  };

  try {
    const limitMs = options?.timeoutMs ?? Infinity;
    await timeout(limitMs, ({ signal }) => start(signal), {
      signal: options?.signal,
      operation: doing,
      message: `Cannot ${doing} within ${limitMs} ms: the task did not call ready()`,
    });
  } catch (reason) {
    if (task === undefined) throw reason;
    if (ready) return await settled.promise;
    task.abort(reason);
    await task.settled;
    if (failure === undefined) throw reason;
    throw new TaskGroupError([failure.error], `Cannot ${doing}: its clean-up failed after it was given up`, {
      cause: reason,
    });
  }
  if (ready) return await settled.promise;
  if (failure !== undefined) throw failure.error;
  if (task!.state === "cancelled") throw task!.error;
  throw new MisuseError(`Cannot ${doing}: task ${JSON.stringify(task!.name)} ended without calling ready()`);
}
