import { abortable } from "../cancel/abortable.ts";
import { linkSignals } from "../cancel/link_signals.ts";
import {
  checkChoice,
  checkCount,
  checkFunction,
  checkOptions,
  checkWaitOptions,
  show,
} from "../kernel/checks.ts";
import { Deque } from "../kernel/deque.ts";
import { deferred } from "../kernel/deferred.ts";
import { ownAbort } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { TaskContext } from "./task.ts";
import { TaskGroup } from "./task_group.ts";

/** Options of {@linkcode mapTasks}. */
export interface MapOptions extends WaitOptions {
  /** How many items are in work at most, finished ones that wait to be taken included. */
  concurrency: number;
  /** Whether results come in the order of the items (`"input"`, the default) or as they are done. */
  order?: "input" | "completion";
}

/**
 * Maps items concurrently, as an iterator: the consumer is the back-pressure.
 *
 * **Pace** — nothing is pulled from the source before the first result is asked for, and then at most `concurrency`
 * items ahead of what was taken. **Failure** of an item or of the source — pulls no more, cancels what is running,
 * waits for it, closes the source (once), and rejects. **Leaving** — `break` does the same, quietly. **Abort** — of
 * `signal` (or the limit) rejects with its reason once all has ended.
 *
 * @param source Items; an iterable or async iterable. It is closed exactly once.
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
  checkWaitOptions(doing, options);
  checkCount(doing, "concurrency", options?.concurrency, 1);
  if (options.order !== undefined) checkChoice(doing, "order", options.order, ["input", "completion"]);
  const iterate = (source as AsyncIterable<T>)?.[Symbol.asyncIterator] ??
    (source as Iterable<T>)?.[Symbol.iterator];
  if (typeof iterate !== "function") {
    throw new TypeError(`Cannot ${doing} as source must be iterable: received ${show(source)}`);
  }
  return new Mapping(source, fn, options)[Symbol.asyncIterator]();
}

/**
 * Two parties: a task group whose body pulls items while the consumer waits, and the consumer, who takes results.
 * They meet in a deque and wake each other through `#changed`.
 */
class Mapping<T, R> {
  readonly #source: Iterable<T> | AsyncIterable<T>;
  readonly #fn: (item: T, context: TaskContext) => R | PromiseLike<R>;
  readonly #options: MapOptions;
  /** Results in the order in which they will be taken. */
  readonly #results = new Deque<{ done: boolean; value?: R }>();
  /** Items pulled whose results were not taken yet. */
  #open = 0;
  #wanted = false;
  #ended: { readonly failed: boolean; readonly error?: unknown } | undefined;
  #changed = deferred<void>();

  constructor(
    source: Iterable<T> | AsyncIterable<T>,
    fn: (item: T, context: TaskContext) => R | PromiseLike<R>,
    options: MapOptions,
  ) {
    this.#source = source;
    this.#fn = fn;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<R> {
    const { signal, timeoutMs } = this.#options;
    const leaving = new AbortController();
    const left = ownAbort("Cannot go on mapping tasks: the consumer has left");
    const linked = linkSignals(signal, leaving.signal);
    const run = TaskGroup.run((group) => this.#pull(group), {
      name: "mapTasks",
      signal: linked.signal,
      timeoutMs,
    })
      .then(() => this.#ended = { failed: false }, (error) => this.#ended = { failed: true, error })
      .finally(() => this.#change());
    try {
      for (let result = await this.#next(); result !== undefined; result = await this.#next()) {
        yield result.value as R;
      }
    } finally {
      leaving.abort(left);
      await run;
      linked[Symbol.dispose]();
      // Also after `break`: a failure in the clean-up of what was cancelled is not lost.
      if (this.#ended!.failed && this.#ended!.error !== left) throw this.#ended!.error;
    }
  }

  /** The next result, once it is there; `undefined` at the end, whichever it is. */
  async #next(): Promise<{ done: boolean; value?: R } | undefined> {
    this.#wanted = true;
    this.#change();
    while (!this.#ended?.failed && !this.#options.signal?.aborted) {
      if (this.#results.peek()?.done) {
        this.#wanted = false;
        this.#open--;
        return this.#results.shift();
      }
      if (this.#ended !== undefined) break;
      await this.#changed.promise;
    }
    this.#options.signal?.throwIfAborted();
    return undefined;
  }

  /** The body of the group: pulls while the consumer waits and there is room. */
  async #pull(group: TaskGroup): Promise<void> {
    const source = this.#source;
    const iterator = Symbol.asyncIterator in source
      ? source[Symbol.asyncIterator]()
      : source[Symbol.iterator]();
    let state: "idle" | "pulling" | "exhausted" = "idle";
    try {
      for (;;) {
        while (!this.#wanted || this.#open >= this.#options.concurrency) {
          await abortable(this.#changed.promise, group.signal);
        }
        state = "pulling";
        const item = await abortable(Promise.resolve(iterator.next()), group.signal).catch((error) => {
          if (!group.signal.aborted) state = "exhausted"; // it failed by itself: there is nothing left to close
          throw error;
        });
        state = item.done ? "exhausted" : "idle";
        if (item.done) return;
        this.#work(group, item.value);
      }
    } finally {
      if (state !== "exhausted") {
        const closed = Promise.resolve(iterator.return?.());
        // A pull that is under way may never end; then neither does this.
        if (state === "idle") await closed;
        else closed.catch((error) => emit("task.failure", "group", "mapTasks", { error }));
      }
    }
  }

  #work(group: TaskGroup, item: T): void {
    this.#open++;
    const result: { done: boolean; value?: R } = { done: false };
    const inOrder = this.#options.order !== "completion";
    if (inOrder) this.#results.push(result);
    group.spawn(async (context) => {
      result.value = await this.#fn(item, context);
      result.done = true;
      if (!inOrder) this.#results.push(result);
      this.#change();
    });
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = deferred<void>();
  }
}
