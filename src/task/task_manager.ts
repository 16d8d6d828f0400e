import { linkSignals } from "../cancel/link_signals.ts";
import { sleep } from "../cancel/sleep.ts";
import { backoff, backoffOf, type BackoffOptions } from "../kernel/backoff.ts";
import {
  checkBoolean,
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  show,
  showError,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { Deque } from "../kernel/deque.ts";
import { isThenable } from "../kernel/deferred.ts";
import { ClosedError, MisuseError, ownAbort, TaskGroupError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import type { TaskNode } from "./_task_node.ts";
import {
  type CloseOptions,
  type CloseReport,
  type GroupOptions,
  type GroupTree,
  readCloseOptions,
  readGroupOptions,
} from "./group_options.ts";
import { RestartLimitError } from "./restart_limit_error.ts";
import type { Job, Task, TaskContext } from "./task.ts";
import { closeTogether, TaskGroup } from "./task_group.ts";

/** When a managed task is started again. */
export interface RestartOptions {
  /** After a failure, or after it has ended in any way. */
  when: "failure" | "always";
  /**
   * How often at most within {@linkcode withinMs}. Then it fails for good: with its last failure, or with a
   * `RestartLimitError` where it did not fail. Default 5.
   */
  max?: number | undefined;
  /** The window for {@linkcode max}, in milliseconds. Default 60,000. */
  withinMs?: number | undefined;
  /** The pause before each restart. Default: exponential from 100 ms to 10 s, full jitter. */
  backoff?: BackoffOptions | undefined;
}

/** Options of a task of a {@linkcode TaskManager}. */
export interface ManagedTaskOptions {
  /** Whether it is started again, and when. Default: not. */
  restart?: RestartOptions | undefined;
  /**
   * Whether it goes on for ever, such as a poller: it is cancelled as soon as closing begins, instead of being given
   * the grace to finish by itself.
   */
  daemon?: boolean | undefined;
}

/** Options of a {@linkcode TaskManager}. */
export interface TaskManagerOptions {
  /** Appears in messages, records and the tree. */
  name?: string | undefined;
  /** Cancels everything in it. */
  signal?: AbortSignal | undefined;
  /** After so long in vain, the observer is told which aborted tasks do not end (`task.stuck`). */
  stuckAfterMs?: number | undefined;
  /**
   * Told of each task that failed for good and that nobody awaits, when it does: its name is free by then. What it throws
   * goes to the observer (`hook.failed`).
   */
  onFailure?: ((error: unknown, name: string) => void) | undefined;
}

/** What an operator wants to know of a {@linkcode TaskManager}. */
export interface TaskManagerStatistics {
  /** Tasks that run. */
  readonly running: number;
  /** Groups that are open. */
  readonly groups: number;
  /** Tasks started so far. */
  readonly spawned: number;
  /** Tasks that failed for good so far. */
  readonly failed: number;
  /** Restarts so far. */
  readonly restarted: number;
}

/** How many unobserved failures are kept to be thrown at the end; all are counted and told to the observer. */
const KEPT_FAILURES = 100;

/**
 * Owns the long-lived tasks and groups of a program, by name, until it is closed.
 *
 * **Independence** — a failing task ends nothing but itself. **Names** — are unique among what is alive, and free again
 * afterwards. **Restart** — at the caller's wish, after a pause, so often within a window, and then it fails; never while
 * closing.
 * **Failure** — for good goes to `onFailure` and the observer at once, and is thrown by the disposal, unless somebody
 * awaits the handle. **Daemons** — go on for ever, and are cancelled as soon as closing begins.
 * **Close** — two phases, as for a `TaskGroup`: `stopping`, then abort after the grace. Disposal closes without a grace
 * and throws the failures that nobody has observed.
 *
 * @example
 * ```ts
 * import { TaskManager } from "@uno/async/task";
 * import assert from "node:assert/strict";
 *
 * await using manager = new TaskManager();
 * let runs = 0;
 * await manager.spawn("poller", () => {
 *   if (++runs < 3) throw new Error("not yet");
 *   return Promise.resolve();
 * }, { restart: { when: "failure", backoff: { baseMs: 1 } } });
 * assert.equal(runs, 3);
 * ```
 */
export class TaskManager implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #root: TaskGroup;
  readonly #tasks = new Map<string, Task<unknown>>();
  readonly #groups = new Map<string, TaskGroup>();
  readonly #daemons = new Set<TaskNode<unknown>>();
  readonly #onFailure: TaskManagerOptions["onFailure"];
  readonly #failures: { readonly task: TaskNode<unknown>; readonly error: unknown }[] = [];
  /** The groups that closing found open: their failures are thrown by the disposal, unless somebody joined them. */
  #left: readonly TaskGroup[] = [];
  #closing = false;
  #closingReason: unknown;
  #spawned = 0;
  #failed = 0;
  #restarted = 0;

  /**
   * Creates a manager without tasks.
   *
   * @param options `signal` cancels everything in it; `onFailure` hears of failures when they happen.
   */
  constructor(options: TaskManagerOptions = {}) {
    checkOptions("create task manager", options);
    checkName("create task manager", options.name);
    const { name, signal, stuckAfterMs, onFailure } = options;
    if (onFailure !== undefined) checkFunction("create task manager", "onFailure", onFailure);
    this.name = name;
    this.#onFailure = onFailure;
    const own = { name: name ?? "task manager", signal, stuckAfterMs, policy: "supervise" } as const;
    this.#root = new TaskGroup(readGroupOptions(own, "create task manager"));
  }

  /** Whether everything in it has ended. */
  get closed(): boolean {
    return this.#root.closed && this.#groups.size === 0;
  }

  /** Aborted when {@linkcode close} begins. */
  get stopping(): AbortSignal {
    return this.#root.stopping;
  }

  /**
   * Starts a task under a name.
   *
   * @throws {MisuseError} When a live task has the name already.
   * @throws {ClosedError} When the manager is closing or closed.
   */
  spawn<T>(name: string, fn: Job<T>, options: ManagedTaskOptions = {}): Task<T> {
    const doing = this.#claim("spawn task", name, this.#alive(name));
    checkFunction(doing, "fn", fn);
    checkOptions(doing, options);
    const { restart, daemon } = options;
    checkBoolean(doing, "daemon", daemon);
    if (restart !== undefined) checkRestart(doing, restart);
    const job: Job<T> = restart === undefined ? fn : (context) => this.#supervise(context, fn, restart);
    const task = this.#root.spawn(job, { name }) as TaskNode<T>;
    task.intercept = (error) => this.#taskFailed(task as TaskNode<unknown>, error);
    this.#spawned++;
    this.#tasks.set(name, task as Task<unknown>);
    if (daemon) this.#daemons.add(task as TaskNode<unknown>);
    task.settled.then(() => {
      if (this.#tasks.get(name) === task) this.#tasks.delete(name);
      this.#daemons.delete(task as TaskNode<unknown>);
    });
    return task;
  }

  /**
   * Opens a group under a name. Whoever asks for it uses and joins it; closing the manager closes it.
   *
   * @throws {MisuseError} When an open group has the name already.
   * @throws {ClosedError} When the manager is closing or closed.
   */
  group(name: string, options: GroupOptions = {}): TaskGroup {
    const doing = this.#claim("open group", name, this.#groups.get(name));
    const own = readGroupOptions(options, doing);
    const linked = linkSignals(this.#root.signal, own.signal);
    const group = new TaskGroup({ ...own, name, signal: linked.signal });
    this.#groups.set(name, group);
    group.settled.then(() => {
      linked[Symbol.dispose]();
      this.#groups.delete(name);
    });
    return group;
  }

  /** The live task of a name, if there is one. */
  get(name: string): Task<unknown> | undefined {
    return this.#alive(name);
  }

  /**
   * Ends everything in two phases: signals `stopping` and takes nothing new; after the grace aborts what is left.
   * Again: the first call's options hold.
   *
   * **Abort** — of `signal` gives up this wait; the closing goes on. **From within** — a task that awaits this must pass
   * its own signal: it then waits for everything but itself, and ends before the manager does. Without, it would wait
   * for itself: for ever, or until it is given up.
   *
   * @returns Which tasks, and shields of groups, were given up: none without `abandonAfterMs`.
   * @throws The reason of `signal`, unchanged.
   */
  async close(options: CloseOptions = {}): Promise<CloseReport> {
    const own = readCloseOptions("close task manager", options);
    if (own.signal?.aborted) throw own.signal.reason;
    if (!this.#closing) {
      this.#closing = true;
      this.#closingReason = own.reason;
      this.#left = [...this.#groups.values()];
    }
    const closing = closeTogether([this.#root, ...this.#left], own);
    for (const daemon of this.#daemons) {
      daemon.abort(ownAbort(`Cannot go on with task ${show(daemon.name)}: the task manager is closing`));
    }
    const reports = await closing;
    return { stuck: reports.flatMap(({ stuck }) => stuck) };
  }

  /** The live tasks and groups. */
  tree(): GroupTree & { readonly groups: readonly GroupTree[] } {
    return { ...this.#root.tree(), groups: [...this.#groups.values()].map((group) => group.tree()) };
  }

  /** A snapshot of what runs and the totals so far. */
  statistics(): TaskManagerStatistics {
    return Object.freeze({
      running: this.#root.statistics().running,
      groups: this.#groups.size,
      spawned: this.#spawned,
      failed: this.#failed,
      restarted: this.#restarted,
    });
  }

  /** The failures of tasks that nobody has observed so far: what disposal would throw. */
  unobserved(): unknown[] {
    return this.#failures.filter(({ task }) => !task.observed).map(({ error }) => error);
  }

  /**
   * Cancels everything, also while {@linkcode close} still grants a grace, waits for it, and throws the failures that
   * nobody has observed.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing) this.#root.cancel(ownAbort("Cannot go on in the task manager: it was disposed"));
    await this.close({ graceMs: 0 });
    const errors = this.unobserved();
    this.#failures.length = 0;
    for (const result of await Promise.allSettled(this.#left.map((group) => group[Symbol.asyncDispose]()))) {
      if (result.status === "rejected") errors.push(result.reason);
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) {
      const how = `${errors.length} tasks had failed unobserved, the first: ${showError(errors[0])}`;
      const message = `Cannot close the task manager quietly: ${how}`;
      throw new TaskGroupError(errors, message, { cause: errors[0] });
    }
  }

  /** One that has ended is taken out a little later: whoever is told of its end meanwhile must not find it. */
  #alive(name: string): Task<unknown> | undefined {
    const task = this.#tasks.get(name);
    return task?.state === "queued" || task?.state === "running" ? task : undefined;
  }

  #claim(what: string, name: string, holder: unknown): string {
    if (typeof name !== "string" || name === "") {
      throw new TypeError(`Cannot ${what} as name must be a non-empty string: received ${show(name)}`);
    }
    const doing = `${what} ${JSON.stringify(name)}`;
    if (this.#closing) {
      const how = this.closed ? "has ended" : "is closing";
      throw new ClosedError(`Cannot ${doing}: the task manager ${how}`, { cause: this.#closingReason });
    }
    if (holder !== undefined) {
      throw new MisuseError(`Cannot ${doing} as names must be unique: one with it is alive`);
    }
    return doing;
  }

  #taskFailed(task: TaskNode<unknown>, error: unknown): void {
    this.#failed++;
    emit("task.failure", "task manager", this.name, { task: task.name, error });
    if (task.observed) return;
    if (this.#failures.length === KEPT_FAILURES) {
      // Those that somebody has observed meanwhile are not thrown: they must not keep others out.
      this.#failures.splice(0, KEPT_FAILURES, ...this.#failures.filter(({ task }) => !task.observed));
    }
    if (this.#failures.length < KEPT_FAILURES) this.#failures.push({ task, error });
    // Whoever is told can't make it worse.
    const failed = (error: unknown): void =>
      emit("hook.failed", "task manager", this.name, { task: task.name, error });
    try {
      const answer: unknown = this.#onFailure?.(error, task.name);
      if (isThenable(answer)) answer.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  async #supervise<T>(context: TaskContext, fn: Job<T>, options: RestartOptions): Promise<T> {
    const { when, max = 5, withinMs = 60_000 } = options;
    const pause = backoff(options.backoff);
    const restarts = new Deque<number>();
    let pausedMs: number | undefined;
    for (;;) {
      let end: { readonly failed: boolean; readonly value: unknown };
      try {
        end = { failed: false, value: await fn(context) };
      } catch (error) {
        end = { failed: true, value: error };
      }
      const now = clock().now();
      while (restarts.size > 0 && restarts.peek()! <= now - withinMs) restarts.shift();
      const again = (end.failed || when === "always") &&
        !context.signal.aborted && !this.#root.stopping.aborted;
      if (again && restarts.size >= max) {
        const error = end.failed ? end.value : new RestartLimitError(context.name, restarts.size, withinMs);
        const data = { task: context.name, restarts: restarts.size, withinMs, error };
        emit("task.restartLimit", "task manager", this.name, data);
        throw error;
      }
      if (!again) {
        if (end.failed) throw end.value;
        return end.value as T;
      }
      restarts.push(now);
      this.#restarted++;
      pausedMs = pause(restarts.size, pausedMs);
      emit("task.restart", "task manager", this.name, {
        task: context.name,
        restarts: restarts.size,
        pausedMs,
        ...(end.failed && { error: end.value }),
      });
      using waking = linkSignals(context.signal, this.#root.stopping);
      try {
        await sleep(pausedMs, { signal: waking.signal });
      } catch {
        context.signal.throwIfAborted();
        if (end.failed) throw end.value;
        return end.value as T;
      }
    }
  }
}

function checkRestart(doing: string, restart: RestartOptions): void {
  checkOptions(doing, restart);
  checkChoice(doing, "restart.when", restart.when, ["failure", "always"]);
  if (restart.max !== undefined) checkCount(doing, "restart.max", restart.max, 0);
  if (restart.withinMs !== undefined) checkDurationMs(doing, "restart.withinMs", restart.withinMs);
  backoffOf(doing, restart.backoff, "restart.backoff.");
}
