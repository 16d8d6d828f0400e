import { abortable } from "../cancel/abortable.ts";
import { checkChoice, checkFunction, checkOptions, show, showError } from "../kernel/checks.ts";
import { deferred, ignore } from "../kernel/deferred.ts";
import { TaskGroupError } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import type { ErrorMode } from "./_failures.ts";
import type { TaskNode } from "./_task_node.ts";
import { type GroupOptions, readGroupOptions } from "./group_options.ts";
import type { Job, Task } from "./task.ts";
import { TaskGroup } from "./task_group.ts";

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

/** What `until: "settled"` gives for a tuple of jobs. */
export type SettledResults<J extends readonly Job<unknown>[]> = {
  -readonly [K in keyof J]: J[K] extends Job<infer T> ? PromiseSettledResult<T> : never;
};

/**
 * Runs jobs concurrently and returns their results in the order of the jobs, typed as a tuple.
 *
 * **Until** — `"all"` (the default): the first failure cancels the others, waits for them, and is thrown (several: a
 * `TaskGroupError`). `"settled"`: all go on whatever happens, and failures are results. `"firstSuccess"`: the first
 * that fulfils gives the result; when none does, all failures are thrown, the first of them as `cause`. `"first"`: the
 * first that settles decides, be it by failing. Losers of the last two are cancelled, if still queued never called,
 * and have ended before this returns: what they come to is disposed, what they fail with goes to the observer.
 * **Abort** — cancels all, waits
 * for them, and rejects with the reason.
 *
 * @param jobs Functions, not promises: what has not started can still be cancelled.
 * @param options As for a `TaskGroup`; `maxConcurrency` bounds how many run at once.
 * @throws {RangeError} When the first of no jobs is asked for: it would never come.
 *
 * @example
 * ```ts
 * import { runTasks, sleep } from "@uno/async";
 * import assert from "node:assert/strict";
 *
 * const [user, orders] = await runTasks([
 *   () => Promise.resolve({ name: "Ada" }),
 *   () => Promise.resolve([1, 2]),
 * ]);
 * assert.equal(user.name, "Ada");
 * assert.equal(orders.length, 2);
 *
 * const fastest = await runTasks([
 *   ({ signal }) => sleep(60_000, { signal }).then(() => "slow"),
 *   () => Promise.resolve("quick"),
 * ], { until: "firstSuccess" });
 * assert.equal(fastest, "quick");
 * ```
 */
export async function runTasks<const J extends readonly Job<unknown>[]>(
  jobs: J,
  options?: GroupOptions & { until?: "all" | undefined },
): Promise<Results<J>>;
/** Runs jobs until all have settled; failures are results. */
export async function runTasks<const J extends readonly Job<unknown>[]>(
  jobs: J,
  options: GroupOptions & { until: "settled" },
): Promise<SettledResults<J>>;
/** Runs jobs until the first settles, or fulfils. */
export async function runTasks<const J extends readonly Job<unknown>[]>(
  jobs: J,
  options: GroupOptions & { until: "first" | "firstSuccess" },
): Promise<Results<J>[number]>;
export async function runTasks(
  jobs: readonly Job<unknown>[],
  options: GroupOptions & { until?: "all" | "settled" | "first" | "firstSuccess" } = {},
): Promise<unknown> {
  checkOptions("run tasks", options);
  const { until = "all" } = options;
  const groupOptions = readGroupOptions(options, "run tasks");
  checkChoice("run tasks", "until", until, ["all", "settled", "first", "firstSuccess"]);
  if (!Array.isArray(jobs)) {
    throw new TypeError(`Cannot run tasks as jobs must be an array of functions: received ${show(jobs)}`);
  }
  jobs.forEach((job, i) => checkFunction("run tasks", `job ${i}`, job));
  if (until === "first" || until === "firstSuccess") {
    return await race(jobs, groupOptions, until === "firstSuccess");
  }
  const settled = until === "settled";
  const tasks = await TaskGroup.run<Task<unknown>[]>((group) =>
    jobs.map((job) => {
      const task = group.spawn(job);
      if (settled) void task.settled.then(() => tolerate(group, task));
      return task;
    }), settled ? { ...groupOptions, policy: "supervise" } : groupOptions);
  return await (settled ? Promise.allSettled(tasks) : Promise.all(tasks));
}

async function race(
  jobs: readonly Job<unknown>[],
  { errors = "auto", ...options }: GroupOptions,
  success: boolean,
): Promise<unknown> {
  if (jobs.length === 0) {
    throw new RangeError("Cannot run tasks as jobs must be at least one to have a first: received none");
  }
  let winner: Task<unknown> | undefined;
  const result = TaskGroup.run(async (group) => {
    const first = deferred<unknown>();
    const failures: unknown[] = [];
    const entrant = (job: Job<unknown>): Job<unknown> => async (context) => {
      if (winner !== undefined) return; // it was queued, and is not called any more
      // Here, before its end lets a queued one start. Too late when aborted: a failure is then thrown by the group.
      const arrive = (): void => {
        if (!group.signal.aborted) winner ??= context.task;
      };
      try {
        const value = await job(context);
        arrive();
        if (winner !== context.task) discard(value, "group", group.name);
        return value;
      } catch (error) {
        if (!success) arrive();
        throw error;
      }
    };
    const ended = (task: TaskNode<unknown>): void => {
      const { state, error } = task;
      if (task === winner && state === "fulfilled") first.resolve(task);
      else if (task === winner || winner === undefined) {
        tolerate(group, task);
        failures.push(error);
        const over = task === winner || failures.length === jobs.length;
        if (over) first.reject(shaped(failures, errors, group.name));
      } else if (state === "failed") report(group, task);
    };
    for (const job of jobs) {
      const task = group.spawn(entrant(job)) as TaskNode<unknown>;
      void task.settled.then(() => ended(task));
    }
    const value = await abortable(first.promise, group.signal);
    group.cancel();
    return value;
  }, { ...options, policy: "supervise", errors: errors === "first" ? errors : "auto" });
  try {
    return await result;
  } catch (error) {
    // An abort came between the winner's end and ours: nobody gets what it came to.
    if (winner?.state === "fulfilled") discard(await winner, "group", options.name);
    throw error;
  }
}

/** Takes a failure for a result, unless an abort has ended the whole: then nobody gets results. */
function tolerate(group: TaskGroup, task: Task<unknown>): void {
  if (!group.signal.aborted) task.catch(ignore);
}

/** Tells the observer what a loser failed with. */
function report(group: TaskGroup, task: TaskNode<unknown>): void {
  task.catch(ignore);
  emit("task.failure", "group", group.name, { task: task.name, error: task.error });
}

/** What a race throws that its failures have decided. */
function shaped(failures: readonly unknown[], mode: ErrorMode, group: string | undefined): unknown {
  const [first, ...others] = failures;
  if (mode === "first") {
    for (const error of others) emit("task.failure", "group", group, { error });
    return first;
  }
  if (mode === "auto" && others.length === 0) return first;
  const count = others.length === 0 ? "1 failure" : `all ${failures.length} failed, the first`;
  const text = showError(first);
  return new TaskGroupError(failures, `Cannot run tasks: ${count}: ${text}`, { cause: first });
}
