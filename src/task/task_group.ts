import { shield } from "../cancel/timeout.ts";
import { checkFunction, checkWaitOptions, subject } from "../kernel/checks.ts";
import { hasDeadline, noteDeadline } from "../kernel/deadlines.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, ownAbort } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { groupEnded, groupOpened, noteTree } from "../kernel/open_groups.ts";
import { subscribe, type Subscription } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { Closing } from "./_closing.ts";
import { Failures, type Throwing } from "./_failures.ts";
import { GroupLimit } from "./_group_limit.ts";
import { handshake, type StartContext } from "./_handshake.ts";
import { LazySignal } from "./_lazy_signal.ts";
import { Places } from "./_places.ts";
import { StuckWatch } from "./_stuck_watch.ts";
import { TaskList } from "./_task_list.ts";
import { type SpawnOptions, TaskNode, type TaskOwner } from "./_task_node.ts";
import {
  type CloseOptions,
  type CloseReport,
  type GroupOptions,
  type GroupStatistics,
  type GroupTree,
  KIND,
  type KindOfGroup,
  readCloseOptions,
  readGroupOptions,
  readSpawnOptions,
} from "./group_options.ts";
import type { Job, Task } from "./task.ts";

export type { CloseOptions, CloseReport, GroupOptions, GroupTree } from "./group_options.ts";

/** Closes groups as if they were one. @internal */
export let closeTogether: (
  groups: readonly TaskGroup[],
  options: CloseOptions,
) => Promise<readonly CloseReport[]>;

/** How a group was aborted: by whom, and with what. */
interface Abort {
  readonly reason: unknown;
  readonly by: "failure" | "owner" | "outside" | "end";
}

/**
 * Owns concurrent tasks: none of them outlives it, and none of their failures is lost.
 *
 * `TaskGroup.run` is the door to prefer. With `await using group = new TaskGroup()` the last statement of the block
 * must be `await group.join()`: a disposer can't know whether the block threw, so leaving without it cancels.
 *
 * **Order** — tasks start in the order in which they were spawned, each in a microtask; daemons end last, in reverse.
 * **Failure** — the first failure aborts `group.signal` and all tasks; all are awaited; then it is thrown, by
 * identity when it is the only one, else in a `TaskGroupError`. With `policy: "supervise"` siblings go on, and a
 * failure that somebody observed on its handle is not thrown. **Abort** — of `options.signal` cancels all tasks, waits
 * for them, and then rejects with its reason. **Cancel** — `group.cancel()` is the owner's own wish and no failure.
 * **Stragglers** — a task that ignores its signal is waited for; see `stuckAfterMs` and `close`.
 *
 * Structured concurrency after Nathaniel J. Smith's nurseries (trio) and JEP 505.
 *
 * @example
 * ```ts
 * import { TaskGroup } from "@uno/async/task";
 * import assert from "node:assert/strict";
 *
 * const total = await TaskGroup.run(async (group) => {
 *   const a = group.spawn(() => Promise.resolve(20));
 *   const b = group.spawn(({ signal }) => (signal.throwIfAborted(), 22));
 *   return (await a) + (await b);
 * });
 * assert.equal(total, 42);
 * ```
 */
export class TaskGroup implements AsyncDisposable {
  static {
    closeTogether = (groups, options) => {
      const inside = groups.some((group) => group.#taskWith(options.signal) !== undefined);
      return Promise.all(groups.map((group) => group.#close(options, inside)));
    };
  }
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #what: string;
  readonly #options: GroupOptions;
  readonly #failures = new Failures();
  readonly #owner: TaskOwner;
  readonly #places: Places;
  readonly #tasks = new TaskList();
  #spawned = 0;
  /** Tasks and shields that have to end before the group can: daemons don't count. */
  #pending = 0;
  readonly #ends = { fulfilled: 0, failed: 0, cancelled: 0 };
  #aborted: Abort | undefined;
  #outside: { readonly reason: unknown } | undefined;
  /** What the body threw when that was no failure but the echo of `cancel` or of a disposal. */
  #echo: { readonly error: unknown } | undefined;
  readonly #signal = new LazySignal((signal) => this.#owner.noteDeadline?.(signal));
  readonly #stopping = new LazySignal();
  #stops = false;
  #quiet: Deferred<void> | undefined;
  /** Resolved when the last task has ended, or was given up. */
  readonly #end = deferred<void>();
  #draining = false;
  #closing: Closing | undefined;
  #joined = false;
  #joining: Promise<void> | undefined;
  /** What `join` has thrown. */
  #thrown: { readonly error: unknown } | undefined;
  #closed = false;
  readonly #limit: GroupLimit;
  readonly #watch: StuckWatch | undefined;
  #subscription: Subscription | undefined;

  /**
   * Creates an open group.
   *
   * @param options `signal` and `timeoutMs` bound the whole group.
   */
  constructor(options: GroupOptions = {}) {
    this.#options = readGroupOptions(options);
    const { name, signal, timeoutMs = Infinity, maxConcurrency = Infinity, stuckAfterMs } = this.#options;
    this.name = name;
    this.#what = subject((options as KindOfGroup)[KIND] ?? "task group", name);
    this.#places = new Places(maxConcurrency, this.#what);
    const limit = this.#limit = new GroupLimit(timeoutMs);
    const timed = timeoutMs !== Infinity || hasDeadline(signal);
    const watch = stuckAfterMs === undefined
      ? undefined
      : new StuckWatch({ name, afterMs: stuckAfterMs, live: () => this.#tasks.snapshot() });
    this.#watch = watch;
    this.#owner = {
      name,
      noteDeadline: timed ? (own) => noteDeadline(own, limit.atMs, signal) : undefined,
      aborted: watch && ((task) => watch.add(task)),
      settled: (task) => this.#settled(task),
    };
    if (signal?.aborted) this.#abortFromOutside(signal.reason);
    else if (timeoutMs === 0) this.#expire();
    else {
      if (signal !== undefined) {
        this.#subscription = subscribe(signal, {
          aborted: (reason) => this.#abortFromOutside(reason),
          describe: () => this.tree(),
        });
      }
      this.#arm(false);
    }
    groupOpened(this);
  }

  /**
   * Runs `body` with a new group, waits for all tasks, and returns what the body returned.
   *
   * @param options As for the constructor. With a signal that is aborted already, `body` is not called.
   * @throws The failure, or a `TaskGroupError` of several; the reason of `signal`, unchanged; a `TimeoutError`.
   */
  static async run<T>(body: (group: TaskGroup) => T | PromiseLike<T>, options?: GroupOptions): Promise<T> {
    checkFunction("run task group", "body", body);
    const group = new TaskGroup(options);
    if (group.#outside !== undefined) throw group.#outside.reason;
    group.#arm(true);
    let value: T | undefined;
    try {
      value = await body(group);
    } catch (error) {
      group.#bodyFailed(error);
    }
    await group.join();
    if (group.#echo !== undefined) throw group.#echo.error;
    return value as T;
  }

  /** Aborted as soon as the group is: by a failure, from outside, or by `cancel`. Made when first read. */
  get signal(): AbortSignal {
    return this.#signal.signal;
  }

  /** Aborted when `close` begins (or the group is aborted): accept nothing new, finish what you have. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Whether the group has ended. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves, never rejects, when the group has ended; asking does not end it. */
  get settled(): Promise<void> {
    return this.#end.promise;
  }

  /**
   * Starts a task: registered now, its function called in a microtask, in the caller's async context.
   *
   * On a cancelled group the handle is cancelled already and `fn` is not called. With `maxConcurrency`, the task may
   * be queued; {@linkcode capacity} is the back-pressure.
   *
   * @throws {ClosedError} When the group has ended, or `close` was called.
   */
  spawn<T>(fn: Job<T>, options?: SpawnOptions): Task<T> {
    return this.#spawn(fn, options);
  }

  /**
   * Starts a task that has to get ready, and waits for that: the task calls `ready(value)` and goes on as an ordinary
   * member of the group.
   *
   * **Failure** before ready rejects this call only; returning without ready is an error. **Abort** — cancels the
   * task, waits for it to end, and rejects with the reason; with a `TaskGroupError` if its clean-up failed too.
   *
   * @param options `signal` and `timeoutMs` bound the wait for ready.
   * @returns What the task was ready with.
   */
  async start<T>(
    fn: (context: StartContext<T>) => PromiseLike<unknown>,
    options?: WaitOptions & { name?: string | undefined },
  ): Promise<T> {
    const doing = `start in ${this.#what}`;
    checkFunction(doing, "fn", fn);
    checkWaitOptions(doing, options);
    if (options?.signal?.aborted) throw options.signal.reason;
    return await handshake<T>(doing, (job) => this.#spawn(job, options), fn, options);
  }

  /**
   * Waits until a task that is spawned now would run at once.
   *
   * A hint to those who spawn, not a reservation: of several who wait, as many are let through as there is room.
   *
   * @throws The reason of `signal`, or of the group when that is aborted meanwhile.
   */
  capacity(options?: WaitOptions): Promise<void> {
    return this.#places.capacity(options, () => {
      if (this.#aborted !== undefined) return Promise.reject(this.#aborted.reason);
      if (this.#closed || this.#stops) return Promise.reject(this.#gone("wait for capacity of"));
    });
  }

  /**
   * Runs clean-up that cancelling the group must not cut short, and that the group waits for.
   *
   * **Close** — with `abandonAfterMs` gives it up like tasks: it goes on, and nobody waits for it. **Misuse** — work that
   * awaits the end of the group, by `join` or `close`, waits for itself, until its limit. A closing needs no shield: it
   * goes on when whoever has called `close` is cancelled.
   *
   * @param ms Its time limit, in milliseconds; finite.
   * @param fn The work; its signal is linked to nothing.
   * @returns What `fn` returns.
   * @throws {TimeoutError} At the limit; {@linkcode ClosedError} when the group has ended.
   */
  async shield<T>(ms: number, fn: (context: { signal: AbortSignal }) => PromiseLike<T>): Promise<T> {
    if (this.#closed) throw this.#gone("shield in");
    this.#pending++;
    try {
      return await shield(ms, fn);
    } finally {
      this.#left();
    }
  }

  /**
   * Waits for all tasks, then for daemons to be cancelled, and ends the group. Again: the same promise.
   *
   * Not to be awaited by a task of the group, which would wait for itself for ever.
   *
   * @throws The failure, or a `TaskGroupError` of several; the reason of the group's `signal`, even if all tasks have
   * succeeded; nothing after `cancel`.
   */
  join(): Promise<void> {
    this.#joined = true;
    if (!this.#closed) this.#arm(true);
    return this.#joining ??= this.#join();
  }

  async #join(): Promise<void> {
    await this.#ended();
    this.#thrown = this.#failures.thrown({
      ...this.#throwing,
      tolerant: this.#options.policy === "supervise",
      outside: this.#outside,
    });
    if (this.#thrown !== undefined) throw this.#thrown.error;
  }

  /**
   * Cancels the group, as its owner's own wish: handles reject with the reason, `join` ends quietly, `run` returns
   * what the body returns. Failures are still thrown. Again: does nothing.
   */
  cancel(reason?: unknown): void {
    if (this.#closed) return;
    if (reason === undefined) reason = ownAbort(`Cannot go on in ${this.#what}: it was cancelled`);
    this.#abort({ reason, by: "owner" });
  }

  /**
   * Ends the group in two phases: signals `stopping` and takes nothing new; after the grace aborts what is left.
   *
   * Failures are not thrown here but by `join`, `run` or the disposal. Again: the first call's options hold.
   * **Abort** — of `signal` gives up this wait; the closing goes on. **From within** — a task of the group that awaits
   * this must pass its own signal: it then waits for all other tasks but daemons, and ends before the group does.
   * Without, or in a `shield` of the group, it would wait for itself: for ever, or until it is given up.
   *
   * @returns Which tasks and shields were given up: none without `abandonAfterMs`.
   * @throws The reason of `signal`, unchanged.
   */
  async close(options: CloseOptions = {}): Promise<CloseReport> {
    const own = readCloseOptions(`close ${this.#what}`, options);
    if (own.signal?.aborted) throw own.signal.reason;
    return await this.#close(own, this.#taskWith(own.signal) !== undefined);
  }

  #close(options: CloseOptions, inside: boolean): Promise<CloseReport> {
    this.#closing ??= new Closing({
      what: this.#what,
      pending: () => this.#pending,
      taskWith: (signal) => this.#taskWith(signal),
      stop: () => this.#stop(),
      ended: () => this.#ended(),
      abort: (reason) => this.#abort({ reason, by: "owner" }),
      abandon: () => this.#abandon(),
    }, options);
    return this.#closing.wait(options.signal, inside);
  }

  #taskWith(signal: AbortSignal | undefined): TaskNode<unknown> | undefined {
    return signal && TaskNode.with(signal, this.#owner);
  }

  /** Gives up what is left, and ends. */
  #abandon(): readonly string[] {
    const orphans = this.#tasks.snapshot();
    const shields = this.#pending - orphans.filter(({ daemon }) => !daemon).length;
    const stuck = [...orphans.map(({ name }) => name), ...Array<string>(shields).fill("shielded work")];
    emit("task.abandoned", "group", this.name, { tasks: stuck });
    for (const task of orphans) task.abandon();
    this.#release();
    return stuck;
  }

  /** The live tasks: name, state, age, what each waits for, groups nested in it. */
  tree(): GroupTree {
    const state = this.#closed ? "closed" : this.#aborted === undefined ? "open" : "cancelled";
    const tasks = this.#tasks.snapshot().map((task) => task.tree());
    return noteTree({ group: this.name ?? "task group", state, tasks }, this);
  }

  /** A snapshot of what runs and how tasks have ended so far. */
  statistics(): GroupStatistics {
    const { fulfilled, failed, cancelled } = this.#ends;
    const { queued, free, waiting } = this.#places;
    return Object.freeze({
      running: this.#spawned - fulfilled - failed - cancelled - queued,
      queued,
      free,
      waiting,
      spawned: this.#spawned,
      fulfilled,
      failed,
      cancelled,
    });
  }

  /**
   * After `join`: does nothing. Without it: cancels the tasks and waits for them; throws only failures that nobody
   * has observed yet. Again: waits for the same end.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#joined) return await this.#ended();
    this.#joined = true;
    if (!this.#closed) {
      this.#abort({
        reason: ownAbort(`Cannot go on in ${this.#what}: it was left without join()`),
        by: "end",
      });
    }
    await this.#ended();
    const thrown = this.#failures.thrown({ ...this.#throwing, tolerant: true, outside: undefined });
    if (thrown !== undefined) throw thrown.error;
  }

  #spawn<T>(fn: Job<T>, options: SpawnOptions | undefined): TaskNode<T> {
    checkFunction(`spawn in ${this.#what}`, "fn", fn);
    const own = options === undefined ? undefined : readSpawnOptions(`spawn in ${this.#what}`, options);
    if (this.#closed || this.#stops) throw this.#gone("spawn in");
    const task = new TaskNode<T>(this.#owner, fn, ++this.#spawned, own);
    if (this.#options.stuckAfterMs !== undefined) task.site = new Error();
    if (!task.daemon) this.#pending++;
    this.#tasks.add(task as TaskNode<unknown>);
    if (observed()) task.tell("task.spawn", { daemon: task.daemon });
    if (this.#aborted !== undefined) task.abort(this.#aborted.reason);
    else if (task.daemon) task.launch();
    else this.#places.enter(task as TaskNode<unknown>);
    return task;
  }

  #settled(task: TaskNode<unknown>): void {
    this.#tasks.remove(task);
    this.#ends[task.state as "fulfilled" | "failed" | "cancelled"]++;
    if (task.state === "failed") this.#taskFailed(task);
    this.#places.leave(task);
    if (!task.daemon) this.#left(task);
  }

  /** A task or a shield has ended. */
  #left(task?: TaskNode<unknown>): void {
    if (--this.#pending === 0) this.#quiet?.resolve();
    this.#closing?.left(task);
  }

  #taskFailed(task: TaskNode<unknown>): void {
    const { error } = task;
    if (task.intercept !== undefined) return task.intercept(error);
    const tolerant = this.#options.policy === "supervise";
    if (tolerant && task.observed) return; // not kept either: such a group may live as long as the process
    this.#failures.add({ error, late: this.#outside !== undefined, observed: () => task.observed });
    if (!tolerant) this.#fail(`task ${JSON.stringify(task.name)} failed`, error);
  }

  #bodyFailed(error: unknown): void {
    if (this.#thrown !== undefined && error === this.#thrown.error) return; // join is going to throw it again
    if (this.#aborted !== undefined && isEcho(error, this.#aborted)) {
      const { by, reason } = this.#aborted;
      if (by === "owner" || by === "end") this.#echo = { error: reason };
      return;
    }
    this.#joining = undefined; // of a join inside the body: it could not know of this
    this.#failures.addBody(error, this.#outside !== undefined);
    this.#fail("its body failed", error);
  }

  #fail(why: string, error: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#abort({ reason: ownAbort(`Cannot go on in ${this.#what}: ${why}`, error), by: "failure" });
  }

  #abortFromOutside(reason: unknown): void {
    this.#outside ??= { reason };
    this.#abort({ reason, by: "outside" });
  }

  #abort(abort: Abort): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = abort;
    const { reason } = abort;
    this.#places.refuse(() => reason);
    this.#signal.abort(reason);
    this.#stopping.abort(reason);
    for (const task of this.#tasks.snapshot()) task.abort(reason);
  }

  /** Waits until nothing is left, ending daemons in reverse, and closes. One run for all who ask. */
  #ended(): Promise<void> {
    if (!this.#draining) void this.#drain();
    return this.#end.promise;
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    for (;;) {
      while (this.#pending > 0) {
        this.#quiet = deferred<void>();
        await this.#quiet.promise;
      }
      const daemon = this.#tasks.last;
      if (daemon === undefined) break;
      daemon.abort(ownAbort(`Cannot go on with daemon ${JSON.stringify(daemon.name)}: its group has ended`));
      await daemon.settled;
    }
    this.#release();
  }

  #release(): void {
    this.#closed = true;
    groupEnded(this);
    this.#end.resolve();
    this.#subscription?.cancel();
    this.#limit[Symbol.dispose]();
    this.#watch?.[Symbol.dispose]();
    this.#places.refuse(() => this.#gone("wait for capacity of"));
  }

  #stop(): void {
    if (this.#stops) return;
    this.#stops = true;
    this.#stopping.abort(ownAbort(`Cannot go on in ${this.#what}: it is closing`));
    this.#places.refuse(() => this.#gone("wait for capacity of"));
  }

  #gone(doing: string): ClosedError {
    return new ClosedError(`Cannot ${doing} ${this.#what}: it ${this.#closed ? "has ended" : "is closing"}`);
  }

  get #throwing(): Pick<Throwing, "what" | "name" | "mode"> {
    return { what: this.#what, name: this.name, mode: this.#options.errors ?? "auto" };
  }

  #arm(ref: boolean): void {
    if (this.#aborted === undefined) this.#limit.arm(ref, () => this.#expire());
  }

  #expire(): void {
    this.#abortFromOutside(this.#limit.error(this.#what, this.#tasks.snapshot()));
  }
}
