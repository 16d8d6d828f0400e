/** One task: its state, its handle, its place among its siblings. */
import { clock } from "../kernel/clock.ts";
import { type Deferred, deferred, isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort } from "../kernel/errors.ts";
import type { HeapItem } from "../kernel/heap.ts";
import { discard } from "../kernel/late.ts";
import { emit, observed } from "../kernel/observer.ts";
import { Canceller, hangingOn } from "../kernel/signals.ts";
import { turnNow } from "../kernel/turn_now.ts";
import type { Task, TaskContext, TaskState } from "./task.ts";

/** What a task needs of its group. */
export interface TaskOwner {
  readonly name: string | undefined;
  /** Notes the deadline of the group, if there is one, for a signal. */
  readonly noteDeadline: ((signal: AbortSignal) => void) | undefined;
  /** The task was aborted while it ran; only there if somebody wants to know. */
  readonly aborted: ((task: TaskNode<unknown>) => void) | undefined;
  /** The task has ended, in whichever way. */
  settled(task: TaskNode<unknown>): void;
}

/** Options of a spawned task. */
export interface SpawnOptions {
  /** Appears in messages, records and the tree. */
  name?: string | undefined;
  /** Not waited for on normal exit, but cancelled when everything else has ended. */
  daemon?: boolean | undefined;
  /** Which of the queued tasks of a group with `maxConcurrency` starts first: the higher. Default 0. */
  priority?: number | undefined;
}

/** A task as its tree shows it. */
export interface TaskTree {
  /** The task's name. */
  readonly name: string;
  /** Where it is in its life. */
  readonly state: TaskState;
  /** Whether it is a daemon. */
  readonly daemon: boolean;
  /** Time since it was spawned, in milliseconds. */
  readonly ageMs: number;
  /** What hangs on its signal: waits in words, nested groups as trees. */
  readonly waitsFor: readonly unknown[];
}

/** A context's getters are on the class, so that a task that never reads its signal never pays for one. */
class Context implements TaskContext {
  readonly task: TaskNode<unknown>;

  constructor(task: TaskNode<unknown>) {
    this.task = task;
  }

  get signal(): AbortSignal {
    return this.task.signal;
  }

  get name(): string {
    return this.task.name;
  }
}

/** Where a live task is kept by its signal: on that, as there may be very many. */
const TASK = Symbol("task");

type TaskSignal = AbortSignal & { [TASK]?: TaskNode<unknown> | undefined };

const go = Promise.resolve();

export class TaskNode<T> implements Task<T>, HeapItem {
  heapIndex = -1;
  prev: TaskNode<unknown> | undefined;
  next: TaskNode<unknown> | undefined;
  state: TaskState = "queued";
  /** Whether it has a place among the running ones of a group with `maxConcurrency`. */
  admitted = false;
  /** Whether somebody attached a rejection handler. */
  observed = false;
  /** Takes a failure instead of the group: the caller of `group.start` before the task is ready. */
  intercept: ((error: unknown) => void) | undefined;
  /** Set when it was aborted: the reason, and what the handle then rejects with. */
  abortedWith: { readonly reason: unknown } | undefined;
  readonly order: number;
  readonly since: number;
  /** An error made where the task was spawned, when the group asks for it. */
  site: Error | undefined;
  readonly #owner: TaskOwner;
  readonly #options: SpawnOptions | undefined;
  #fn: ((context: TaskContext) => T | PromiseLike<T>) | undefined;
  #outcome: unknown;
  #controller: Canceller | undefined;
  #result: Deferred<T> | undefined;
  #ended: Deferred<void> | undefined;
  #gate: Deferred<void> | undefined;

  constructor(
    owner: TaskOwner,
    fn: (context: TaskContext) => T | PromiseLike<T>,
    order: number,
    options: SpawnOptions | undefined,
  ) {
    this.#owner = owner;
    this.#fn = fn;
    this.order = order;
    this.#options = options;
    this.since = turnNow();
  }

  get name(): string {
    return this.#options?.name ?? `${this.#owner.name ?? "task"}/${this.order}`;
  }

  get daemon(): boolean {
    return this.#options?.daemon ?? false;
  }

  get priority(): number {
    return this.#options?.priority ?? 0;
  }

  get settled(): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return (this.#ended ??= deferred<void>()).promise;
  }

  get signal(): AbortSignal {
    let controller = this.#controller;
    if (controller === undefined) {
      this.#controller = controller = new Canceller();
      if (!this.#isSettled()) (controller.signal as TaskSignal)[TASK] = this as TaskNode<unknown>;
      this.#owner.noteDeadline?.(controller.signal);
      if (this.abortedWith !== undefined) controller.abort(this.abortedWith.reason);
    }
    return controller.signal;
  }

  /** The live task of `owner` that was given this signal. */
  static with(signal: AbortSignal, owner: TaskOwner): TaskNode<unknown> | undefined {
    const task = (signal as TaskSignal)[TASK];
    return task !== undefined && task.#owner === owner ? task : undefined;
  }

  /** Starts in a microtask, in the async context of whoever calls this. */
  launch(): void {
    if (clock().putOff === undefined) go.then(() => this.#start());
    else go.then(() => clock().putOff!("start", undefined, () => this.#start()));
  }

  /** Starts after {@linkcode admit}, in the async context of whoever calls this. */
  enqueue(): void {
    this.#gate = deferred<void>();
    this.#gate.promise.then(() => this.#start());
  }

  admit(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  /** Aborts it, once: a queued task ends here and is never called. */
  abort(reason: unknown): void {
    if (this.abortedWith !== undefined || this.#isSettled()) return;
    this.abortedWith = { reason };
    if (observed()) this.tell("task.cancel", { reason });
    if (this.state === "queued") this.#settle("cancelled", reason);
    else {
      this.#controller?.abort(reason);
      this.#owner.aborted?.(this as TaskNode<unknown>);
    }
  }

  /** Waits for it no longer: whoever does is told the reason of the abort that it ignores. */
  abandon(): void {
    this.#settle("cancelled", this.abortedWith?.reason);
  }

  cancel(reason?: unknown): void {
    if (this.abortedWith !== undefined || this.#isSettled()) return;
    if (reason === undefined) {
      reason = ownAbort(`Cannot go on with task ${JSON.stringify(this.name)}: it was cancelled`);
    }
    this.abort(reason);
  }

  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (typeof onRejected === "function") this.observed = true;
    return this.#promise().then(onFulfilled, onRejected);
  }

  catch<R = never>(onRejected?: ((reason: unknown) => R | PromiseLike<R>) | null): Promise<T | R> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#promise().finally(onFinally);
  }

  tree(): TaskTree {
    return {
      name: this.name,
      state: this.state,
      daemon: this.daemon,
      ageMs: clock().now() - this.since,
      waitsFor: this.#controller === undefined ? [] : hangingOn(this.#controller.signal),
    };
  }

  #isSettled(): boolean {
    return this.state !== "queued" && this.state !== "running";
  }

  /** Made when first asked for: most handles are never awaited. */
  #promise(): Promise<T> {
    if (this.state === "fulfilled") return Promise.resolve(this.#outcome as T);
    if (this.#isSettled()) return Promise.reject(this.#outcome);
    return (this.#result ??= deferred<T>()).promise;
  }

  #start(): void {
    if (this.state !== "queued") return;
    this.state = "running";
    const fn = this.#fn!;
    this.#fn = undefined;
    if (observed()) this.tell("task.start", { waitedMs: clock().now() - this.since });
    try {
      const result = fn(new Context(this as TaskNode<unknown>));
      if (result === this as unknown) {
        throw new TypeError(
          `Cannot end task ${
            JSON.stringify(this.name)
          } as it must not return its own handle: it would wait for itself`,
        );
      }
      if (isThenable(result)) {
        Promise.resolve(result).then(
          (value) => this.#settle("fulfilled", value),
          (error) => this.#fail(error),
        );
      } else this.#settle("fulfilled", result);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const end = this.abortedWith;
    if (end !== undefined && isEcho(error, end)) this.#settle("cancelled", end.reason);
    else this.#settle("failed", error);
  }

  #settle(state: "fulfilled" | "failed" | "cancelled", outcome: unknown): void {
    if (this.#isSettled()) return this.#endedLate(state, outcome);
    this.state = state;
    this.#outcome = outcome;
    this.#fn = undefined;
    // A signal that somebody keeps must not keep what came of its task.
    if (this.#controller !== undefined) (this.#controller.signal as TaskSignal)[TASK] = undefined;
    if (observed()) this.#tellEnd();
    this.#owner.settled(this as TaskNode<unknown>);
    // First, so that who awaits the task finds everything in order that follows its end.
    this.#ended?.resolve();
    if (state === "fulfilled") this.#result?.resolve(outcome as T);
    else this.#result?.reject(outcome);
  }

  /** It was given up, and has ended after all. */
  #endedLate(state: "fulfilled" | "failed" | "cancelled", outcome: unknown): void {
    if (state === "failed") {
      emit("task.failure", "group", this.#owner.name, { task: this.name, error: outcome });
    } else if (state === "fulfilled") discard(outcome, "group", this.#owner.name);
  }

  /** Tells observers of this task; to be called only while there are any. */
  tell(kind: string, facts: object): void {
    emit(kind, "group", this.#owner.name, { task: this.name, ...facts });
  }

  #tellEnd(): void {
    const failed = this.state === "failed";
    const ageMs = clock().now() - this.since;
    this.tell("task.end", { state: this.state, ageMs, ...(failed ? { error: this.#outcome } : {}) });
  }

  /** What it failed with; only for a failed task. */
  get error(): unknown {
    return this.#outcome;
  }
}
