import { checkFunction } from "../kernel/checks.ts";
import { type GroupOptions, TaskGroup } from "./task_group.ts";
import type { Job, Task } from "./task.ts";

/** The results of a tuple of jobs. */
export type Results<J extends readonly Job<unknown>[]> = {
  -readonly [K in keyof J]: J[K] extends Job<infer T> ? T : never;
};

/**
 * Runs one job in a group of its own: with a signal, a time limit, and nothing it has spawned left behind.
 *
 * @param job Gets a context with the signal.
 * @returns What the job returns.
 * @throws What the job throws, by identity; the reason of `signal`; a `TimeoutError`.
 *
 * @example
 * ```ts
 * import { runTask } from "@uno/async/task";
 * import assert from "node:assert/strict";
 *
 * assert.equal(await runTask(() => Promise.resolve(7), { timeoutMs: 1_000 }), 7);
 * ```
 */
export async function runTask<T>(job: Job<T>, options?: GroupOptions): Promise<T> {
  const [result] = await runTasks([job], options);
  return result;
}

/**
 * Runs jobs concurrently and returns their results in the order of the jobs, typed as a tuple.
 *
 * **Failure** — the first one cancels the others, waits for them, and is thrown (several: a `TaskGroupError`). No
 * jobs: no results. **Abort** — cancels all, waits for them, and rejects with the reason.
 *
 * @param jobs Functions, not promises: what has not started can still be cancelled.
 * @param options As for a `TaskGroup`; `maxConcurrency` bounds how many run at once.
 *
 * @example
 * ```ts
 * import { runTasks } from "@uno/async/task";
 * import assert from "node:assert/strict";
 *
 * const [user, orders] = await runTasks([
 *   () => Promise.resolve({ name: "Ada" }),
 *   () => Promise.resolve([1, 2]),
 * ]);
 * assert.equal(user.name, "Ada");
 * assert.equal(orders.length, 2);
 * ```
 */
export async function runTasks<const J extends readonly Job<unknown>[]>(
  jobs: J,
  options?: GroupOptions & { until?: "all" },
): Promise<Results<J>> {
  if (!Array.isArray(jobs)) {
    throw new TypeError("Cannot run tasks as jobs must be an array of functions: received none");
  }
  jobs.forEach((job, i) => checkFunction("run tasks", `job ${i}`, job));
  const tasks = await TaskGroup.run<Task<unknown>[]>((group) => jobs.map((job) => group.spawn(job)), options);
  return await Promise.all(tasks) as Results<J>;
}
