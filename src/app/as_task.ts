import { checkFunction, checkName, checkOptions, show } from "../kernel/checks.ts";
import { ignore } from "../kernel/deferred.ts";
import { subscribe } from "../kernel/signals.ts";
import { nameOf, type Run, transformer } from "../flow/policy.ts";
import type { Task, TaskContext } from "../task/task.ts";
import { AsyncManager } from "./async_manager.ts";

/** A function that starts a task of an application, as {@linkcode asTask} makes it. */
// deno-lint-ignore no-explicit-any
export type AsTask = <F extends (this: any, ...args: any[]) => PromiseLike<unknown>>(
  fn: F,
  context?: ClassMethodDecoratorContext,
) => (this: ThisParameterType<F>, ...args: Parameters<F>) => Task<Awaited<ReturnType<F>>>;

/**
 * Makes a function start a background task of an application: each call is a task, and gives its handle.
 *
 * **Names** — a task has the given name, or the function's; a number is added while another task has it. **Signal** —
 * a call whose last argument is an options bag with a `signal` can be cancelled by it, and the function gets the task's
 * own signal in its place. **Failure** — belongs to whoever awaits the handle, else to the report of the stop.
 * **Methods** — as it stands, the result decorates methods that are declared to return a `PromiseLike`.
 *
 * @param app The application, or how to find it from `this`.
 * @param options `name` of the tasks.
 * @throws {ClosedError} From a call, when a stop has begun.
 *
 * @example
 * ```ts
 * import { asTask, AsyncManager } from "@uno/async/app";
 * import assert from "node:assert/strict";
 *
 * await using app = new AsyncManager();
 * const greet = asTask(app)(async function greet(name: string) {
 *   return await Promise.resolve(`Hello ${name}`);
 * });
 * const task = greet("Ada");
 * assert.equal(task.name, "greet");
 * assert.equal(await task, "Hello Ada");
 * ```
 */
export function asTask(
  // deno-lint-ignore no-explicit-any
  app: AsyncManager | ((self: any) => AsyncManager),
  options: { name?: string | undefined } = {},
): AsTask {
  const doing = "make tasks";
  if (!(app instanceof AsyncManager)) checkFunction(doing, "app", app);
  checkOptions(doing, options);
  checkName(doing, options.name);
  return ((fn: (...args: unknown[]) => Promise<unknown>, context?: ClassMethodDecoratorContext) => {
    if (context !== undefined && context.kind !== "method") {
      throw new TypeError(`Cannot decorate as it must be a method: received ${show(context.kind)}`);
    }
    checkFunction(doing, "fn", fn);
    const names = new Names(options.name ?? nameOf(fn) ?? "task");
    const spawning = function (this: unknown, ...args: unknown[]): unknown {
      const manager = app instanceof AsyncManager ? app : app(this);
      return transformer(spawner(manager, names))(fn).apply(this, args);
    };
    Object.defineProperty(spawning, "name", { value: fn.name, configurable: true });
    Object.defineProperty(spawning, "length", { value: fn.length, configurable: true });
    return spawning;
  }) as AsTask;
}

/** Runs work as a task. What it returns is the handle, which the transformer passes on as it is. */
function spawner(app: AsyncManager, names: Names): Run<TaskContext> {
  const run = <T>(
    fn: (context: TaskContext) => T | PromiseLike<T>,
    options?: { signal?: AbortSignal | undefined },
  ): Task<T> => {
    const task = app.tasks.spawn(names.free(app), fn);
    names.taken(app, task);
    const signal = options?.signal;
    if (signal?.aborted) task.cancel(signal.reason);
    else if (signal !== undefined) {
      const subscription = subscribe(signal, { aborted: (reason) => task.cancel(reason) });
      task.settled.then(() => subscription.cancel(), ignore);
    }
    return task;
  };
  return { run: run as unknown as Run<TaskContext>["run"] };
}

/** Names for the tasks of one function, each for one at a time. */
class Names {
  readonly #name: string;
  /** Of each application: how many tasks live, and the last number given since there was none. */
  readonly #given = new WeakMap<AsyncManager, { live: number; last: number }>();

  constructor(name: string) {
    this.#name = name;
  }

  /** One that nobody has. On from the last number, as thousands of calls at once would try all those before. */
  free(app: AsyncManager): string {
    if (app.tasks.get(this.#name) === undefined) return this.#name;
    const given = this.#of(app);
    for (;;) {
      const free = `${this.#name}#${++given.last}`;
      if (app.tasks.get(free) === undefined) return free;
    }
  }

  /** `task` has one, until it has ended. */
  taken(app: AsyncManager, task: Task<unknown>): void {
    const given = this.#of(app);
    given.live++;
    task.settled.then(() => {
      if (--given.live === 0) given.last = 1;
    });
  }

  #of(app: AsyncManager): { live: number; last: number } {
    let given = this.#given.get(app);
    if (given === undefined) this.#given.set(app, given = { live: 0, last: 1 });
    return given;
  }
}
