import { abortable } from "../cancel/abortable.ts";
import {
  checkChoice,
  checkCount,
  checkFunction,
  checkOptions,
  checkWaitOptions,
  show,
} from "../kernel/checks.ts";
import { Deque } from "../kernel/deque.ts";
import { type Deferred, deferred, isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { TaskContext } from "./task.ts";
import { TaskGroup } from "./task_group.ts";

/** Options of {@linkcode mapTasks}. */
export interface MapOptions extends WaitOptions {
  /** How many items are in work at most, finished ones that wait to be taken included. */
  concurrency: number;
  /** Whether results come in the order of the items (`"input"`, the default) or as they are done. */
  order?: "input" | "completion" | undefined;
}

/**
 * Maps items concurrently, as an iterator: the consumer is the back-pressure.
 *
 * **Pace** — nothing is pulled from the source before the first result is asked for, and then at most `concurrency`
 * items ahead of what was taken. **Failure** of an item or of the source — pulls no more, cancels what is running,
 * waits for it, closes the source (once), and rejects; results that were not taken by then are disposed, if they can
 * be. **Leaving** — `break` does the same, quietly. **Abort** — of `signal` (or the limit) rejects with its reason once
 * all has ended. A source that is in the middle of `next()` is told to return, but not waited for: it may be stuck.
 *
 * @param source Items; an iterable or async iterable. Once opened, it is read to its end or closed, exactly once.
 * @param fn Gets the item and a task context with the signal.
 * @returns An iterator for one consumer.
 * @throws {RangeError} When `concurrency` is not an integer >= 1 (or `Infinity`).
 *
 * @example
 * ```ts
 * import { mapTasks } from "@uno/async/task";
 * import assert from "node:assert/strict";
 *
 * const doubled: number[] = [];
 * for await (const n of mapTasks([1, 2, 3], (n) => Promise.resolve(n * 2), { concurrency: 2 })) doubled.push(n);
 * assert.deepEqual(doubled, [2, 4, 6]);
 * ```
 */
export function mapTasks<T, R>(
  source: Iterable<T> | AsyncIterable<T>,
  fn: (item: T, context: TaskContext) => R | PromiseLike<R>,
  options: MapOptions,
): AsyncIterableIterator<R> {
  const doing = "map tasks";
  checkFunction(doing, "fn", fn);
  checkOptions(doing, options);
  const { signal, timeoutMs, concurrency, order } = options ?? {};
  checkWaitOptions(doing, { signal, timeoutMs });
  checkCount(doing, "concurrency", concurrency, 1);
  if (order !== undefined) checkChoice(doing, "order", order, ["input", "completion"]);
  const iterate: () => Source<T> = (source as AsyncIterable<T>)?.[Symbol.asyncIterator] ??
    (source as Iterable<T>)?.[Symbol.iterator];
  if (typeof iterate !== "function") {
    throw new TypeError(`Cannot ${doing} as source must be iterable: received ${show(source)}`);
  }
  return new Mapping<T, R>(
    () => iterate.call(source),
    fn,
    { signal, timeoutMs, concurrency, order } as MapOptions,
  );
}

type Source<T> = Iterator<T> | AsyncIterator<T>;

/** The result of an item: its place is kept from the start where results come in order. */
interface Result<R> {
  done: boolean;
  value?: R;
  /** Whether the item's task was cancelled by its own handle: it has no result, and its place is passed over. */
  gone?: boolean;
}

/**
 * The consumer's asks on one side, the results of a task group on the other: `#advance` matches them, and pulls items
 * while asks are open. The body of the group only waits until the source is at its end, and closes it otherwise.
 */
class Mapping<T, R> implements AsyncIterableIterator<R> {
  readonly #open: () => Source<T>;
  readonly #fn: (item: T, context: TaskContext) => R | PromiseLike<R>;
  readonly #options: MapOptions;
  readonly #asks = new Deque<Deferred<IteratorResult<R>>>();
  /** In the order in which they will be taken. */
  readonly #results = new Deque<Result<R>>();
  /** Items pulled whose results were not taken yet. */
  #ahead = 0;
  #source: Source<T> | undefined;
  /** What the source does; `"left"` once it was closed in the middle of a pull. */
  #state: "idle" | "pulling" | "left" | "over" = "idle";
  #sourceFailure: { readonly error: unknown } | undefined;
  readonly #exhausted = deferred<void>();
  readonly #left = ownAbort("Cannot go on mapping tasks: the consumer has left");
  #group: TaskGroup | undefined;
  #run: Promise<void> | undefined;
  #ended = false;
  /** What the consumer has still to be told. */
  #failure: { readonly error: unknown } | undefined;

  constructor(
    open: () => Source<T>,
    fn: (item: T, context: TaskContext) => R | PromiseLike<R>,
    options: MapOptions,
  ) {
    this.#open = open;
    this.#fn = fn;
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<R>> {
    const { signal } = this.#options;
    if (this.#ended && this.#results.size > 0 && signal?.aborted) this.#end({ error: signal.reason });
    const failure = this.#takeFailure();
    if (failure !== undefined) return Promise.reject(failure.error);
    if (this.#ended && this.#results.size === 0) return Promise.resolve({ done: true, value: undefined });
    const ask = deferred<IteratorResult<R>>();
    this.#asks.push(ask);
    if (this.#run === undefined) this.#run = this.#start();
    else this.#advance();
    return ask.promise;
  }

  async return(value?: unknown): Promise<IteratorResult<R>> {
    this.#group?.cancel(this.#left);
    await this.#run;
    if (this.#run === undefined || this.#results.size > 0) this.#end(this.#failure);
    const failure = this.#takeFailure();
    if (failure !== undefined) throw failure.error;
    return { done: true, value };
  }

  async throw(error: unknown): Promise<IteratorResult<R>> {
    await this.return();
    throw error;
  }

  async #start(): Promise<void> {
    const { signal, timeoutMs } = this.#options;
    try {
      await TaskGroup.run((group) => this.#body(group), { name: "mapTasks", signal, timeoutMs });
      this.#ended = true;
      for (const ask of this.#allAsks()) ask.resolve({ done: true, value: undefined });
    } catch (error) {
      this.#end(error === this.#left ? undefined : { error });
    }
  }

  async #body(group: TaskGroup): Promise<void> {
    this.#group = group;
    this.#source = this.#open();
    try {
      this.#advance();
      await abortable(this.#exhausted.promise, group.signal);
    } finally {
      await this.#close(this.#source);
    }
  }

  /** Pulls while the consumer asks and there is room, and hands out what is done. */
  #advance(): void {
    if (this.#group!.signal.aborted) return;
    do this.#pull(); while (this.#deliver());
  }

  #pull(): void {
    const { concurrency } = this.#options;
    while (this.#state === "idle" && this.#asks.size > 0 && this.#ahead < concurrency) {
      this.#state = "pulling";
      try {
        const step = this.#source!.next();
        if (isThenable(step)) return this.#await(step as PromiseLike<IteratorResult<T>>);
        this.#pulled(step as IteratorResult<T>);
      } catch (error) {
        this.#sourceFailed(error);
      }
    }
  }

  #await(step: PromiseLike<IteratorResult<T>>): void {
    Promise.resolve(step).then((step) => {
      this.#pulled(step);
      this.#advance();
    }).catch((error) => this.#sourceFailed(error));
  }

  #pulled(step: IteratorResult<T>): void {
    const { done, value } = step;
    if (this.#state === "left") return done ? undefined : discard(value, "group", "mapTasks");
    this.#state = done ? "over" : "idle";
    if (done) this.#exhausted.resolve();
    else this.#work(value);
  }

  #sourceFailed(error: unknown): void {
    if (this.#state !== "left") {
      this.#state = "over";
      this.#sourceFailure = { error };
      this.#exhausted.resolve();
    } else if (!isEcho(error, this.#group!.signal)) {
      emit("task.failure", "group", "mapTasks", { error });
    }
  }

  /** Ends the reading of the source, as the group ends: throws what it failed with. */
  async #close(source: Source<T>): Promise<void> {
    if (this.#state === "over") {
      if (this.#sourceFailure !== undefined) throw this.#sourceFailure.error;
      return;
    }
    const pulling = this.#state === "pulling";
    this.#state = pulling ? "left" : "over";
    const closed = Promise.resolve(source.return?.());
    // A pull that is under way may never end; then neither does this.
    if (pulling) closed.catch((error) => this.#sourceFailed(error));
    else await closed;
  }

  #work(item: T): void {
    const result: Result<R> = { done: false };
    const inOrder = this.#options.order !== "completion";
    this.#ahead++;
    if (inOrder) this.#results.push(result);
    this.#group!.spawn(async (context) => {
      try {
        result.value = await this.#fn(item, context);
      } catch (error) {
        if (!context.signal.aborted || !isEcho(error, context.signal)) throw error;
        result.gone = true;
      }
      result.done = true;
      if (!inOrder) this.#results.push(result);
      this.#advance();
      if (result.gone) context.signal.throwIfAborted();
    });
  }

  /** @returns Whether there was anything to hand out. */
  #deliver(): boolean {
    let delivered = false;
    for (let next = this.#results.peek(); this.#asks.size > 0 && next?.done; next = this.#results.peek()) {
      this.#results.shift();
      this.#ahead--;
      delivered = true;
      if (!next.gone) this.#asks.shift()!.resolve({ done: false, value: next.value as R });
    }
    return delivered;
  }

  /** Nothing is handed out any more: the first who asks is told of the failure. */
  #end(failure: { readonly error: unknown } | undefined): void {
    this.#ended = true;
    this.#failure = failure;
    for (const { value } of this.#results) discard(value, "group", "mapTasks");
    this.#results.clear();
    const [first, ...others] = this.#allAsks();
    const told = first && this.#takeFailure();
    if (told === undefined) first?.resolve({ done: true, value: undefined });
    else first!.reject(told.error);
    for (const ask of others) ask.resolve({ done: true, value: undefined });
  }

  #allAsks(): Deferred<IteratorResult<R>>[] {
    const asks = [...this.#asks];
    this.#asks.clear();
    return asks;
  }

  #takeFailure(): { readonly error: unknown } | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }
}
