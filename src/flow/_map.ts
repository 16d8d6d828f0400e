/** Running a function over a source through the slots of a limiter. */
import { checkChoice, checkCount, checkFunction, checkOptions, checkSignal, show } from "../kernel/checks.ts";
import { isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort } from "../kernel/errors.ts";
import { discard } from "../kernel/late.ts";
import { emit } from "../kernel/observer.ts";
import { type AbortTarget, listen, type Subscription } from "../kernel/signals.ts";
import type { SlotRunner } from "./_slot_runner.ts";
import type { Request } from "./_slot_request.ts";
import type { Slots } from "./_slots.ts";
import { abortWork, signalsOf, type Work } from "./_work.ts";
import type { CallContext } from "./policy.ts";

/** One `map` on its way: `#advance` is called whenever something has changed, and starts what can be started. */
class Mapping<T, R> implements AbortTarget {
  readonly #slots: Slots;
  readonly #runner: SlotRunner;
  readonly #iterator: Iterator<T> | AsyncIterator<T>;
  readonly #async: boolean;
  readonly #fn: (item: T, context: CallContext) => R | PromiseLike<R>;
  readonly #concurrency: number;
  /** What each of its items asks for, one at a time. */
  readonly #request: Request;
  readonly #inOrder: boolean;
  readonly #resolve: (results: R[]) => void;
  readonly #reject: (reason: unknown) => void;
  /** What all items get. */
  readonly #context: Work;
  readonly #results: R[] = [];
  #subscription: Subscription | undefined;
  #stopWatching: (() => void) | undefined;
  /** The item that was pulled and has no slot yet. */
  #item: T | undefined;
  #pulled = false;
  #pulling = false;
  #exhausted = false;
  #queued = false;
  #running = 0;
  #returning = false;
  #answered = false;
  #over: { readonly reason: unknown } | undefined;

  constructor(
    runner: SlotRunner,
    source: Iterable<T> | AsyncIterable<T>,
    fn: (item: T, context: CallContext) => R | PromiseLike<R>,
    how: { concurrency: number; request: Request; inOrder: boolean; signal: AbortSignal | undefined },
    resolve: (results: R[]) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#slots = runner.slots;
    this.#runner = runner;
    this.#context = runner.shared(how.signal);
    this.#fn = fn;
    this.#concurrency = how.concurrency;
    this.#request = how.request;
    this.#inOrder = how.inOrder;
    this.#resolve = resolve;
    this.#reject = reject;
    const asynchronous = (source as Partial<AsyncIterable<T>>)[Symbol.asyncIterator]?.();
    this.#async = asynchronous !== undefined;
    this.#iterator = asynchronous ?? (source as Iterable<T>)[Symbol.iterator]();
  }

  start(signal: AbortSignal | undefined): void {
    this.#slots.guests++;
    if (signal !== undefined) {
      this.#subscription = listen(signal, this);
      if (this.#subscription === undefined) return;
    }
    // A promise's callback, not ours: the items have to start in the async context of whoever called `map`.
    this.#stopWatching = this.#slots.watchRoom(() => this.#advance());
    this.#advance();
  }

  aborted(reason: unknown): void {
    this.#reject(reason);
    this.#stop(reason, reason);
  }

  describe(): string {
    return `map through ${this.#slots.describe()}`;
  }

  passesOn(): readonly AbortSignal[] {
    return signalsOf(this.#context);
  }

  /** Starts what can be started. */
  #advance(): void {
    while (this.#next()) void this.#work(this.#item as T);
  }

  /** Gets the next item and a slot for it, or does what is to be done before that. @returns Whether it got both. */
  #next(): boolean {
    while (this.#over === undefined) {
      if (!this.#slots.serving && !this.#finished) this.#fail(this.#slots.closedWith?.error);
      else if (!this.#pulled) {
        if (this.#exhausted) this.#finish();
        else if (!this.#pulling && this.#running < this.#concurrency) {
          this.#pull();
          continue;
        }
        return false;
      } else if (!this.#queued && this.#slots.take(this.#request)) {
        this.#pulled = false;
        this.#running++;
        return true;
      } else {
        if (!this.#queued) this.#queue();
        return false;
      }
    }
    return false;
  }

  /** Waits in line for a slot, unless all slots are taken by items of its own: then one of them ends first. */
  #queue(): void {
    const { inUse, limit } = this.#slots;
    const { weight } = this.#request;
    if (this.#running > 0 && inUse === this.#running * weight && inUse + weight > limit) return;
    this.#queued = true;
    this.#slots.wait(this.#request, { signal: this.#context.signal }).then(
      () => {
        this.#queued = false;
        if (this.#over === undefined && this.#pulled) {
          this.#pulled = false;
          this.#running++;
          void this.#work(this.#item as T);
        } else this.#slots.leave(this.#request);
        this.#advance();
      },
      (error) => {
        this.#queued = false;
        this.#fail(error);
      },
    );
  }

  #pull(): void {
    try {
      const step = this.#iterator.next();
      if (!this.#async) return this.#take(step as IteratorResult<T>);
      this.#pulling = true;
      Promise.resolve(step as PromiseLike<IteratorResult<T>>).then(
        (result) => {
          this.#pulling = false;
          try {
            this.#take(result);
          } catch (error) {
            return this.#sourceFailed(error); // no result of an iterator
          }
          this.#advance();
        },
        (error) => {
          this.#pulling = false;
          this.#sourceFailed(error);
        },
      );
    } catch (error) {
      this.#sourceFailed(error);
    }
  }

  #sourceFailed(error: unknown): void {
    this.#exhausted = true;
    this.#fail(error);
  }

  #take(result: IteratorResult<T>): void {
    if (result.done) this.#exhausted = true;
    else if (this.#over === undefined) {
      this.#pulled = true;
      this.#item = result.value;
    } else discard(result.value, "limiter", this.#slots.name);
  }

  /** Works off an item in the slot that was just taken, and then others, as long as there are some and slots for them. */
  async #work(item: T): Promise<void> {
    for (let first = true;; first = false) {
      const index = this.#inOrder ? this.#results.push(undefined as R) - 1 : -1;
      let value: R;
      try {
        const result = this.#fn(item, this.#context);
        if (isThenable(result)) {
          // Whoever began the first goes on by itself.
          if (!first) this.#advance();
          value = await result;
        } else value = result;
      } catch (error) {
        return this.#itemFailed(error);
      }
      this.#itemEnded(index, value);
      if (!this.#next()) return;
      item = this.#item as T;
    }
  }

  #itemEnded(index: number, value: R): void {
    this.#running--;
    this.#slots.leave(this.#request);
    if (this.#over === undefined) {
      if (this.#inOrder) this.#results[index] = value;
      else this.#results.push(value);
    } else {
      discard(value, "limiter", this.#slots.name);
      this.#finish();
    }
  }

  #itemFailed(error: unknown): void {
    this.#running--;
    this.#slots.leave(this.#request);
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#over === undefined) {
      const message = `Cannot go on with the items of ${this.#slots.describe()}: one of them failed`;
      this.#stop(error, ownAbort(message, error));
    } else {
      if (!isEcho(error, this.#context.signal)) {
        emit("late.failure", "limiter", this.#slots.name, { error });
      }
      this.#finish();
    }
  }

  /** Pulls and starts nothing more. */
  #stop(reason: unknown, abortReason: unknown): void {
    this.#over = { reason };
    this.#pulled = false;
    this.#item = undefined;
    for (const result of this.#results.splice(0)) discard(result, "limiter", this.#slots.name);
    abortWork(this.#context, abortReason);
    this.#return();
    this.#finish();
  }

  /** Tells the source, once, that nothing more is wanted. */
  #return(): void {
    if (this.#exhausted) return;
    this.#exhausted = true;
    const done = (): void => {
      this.#returning = false;
      this.#finish();
    };
    const failed = (error: unknown): void => {
      emit("late.failure", "limiter", this.#slots.name, { error });
      done();
    };
    try {
      const returned: unknown = this.#iterator.return?.();
      if (!isThenable(returned)) return;
      // A source that is stuck in `next` may never get to `return`: then that is not waited for.
      this.#returning = !this.#pulling;
      returned.then(done, failed);
    } catch (error) {
      failed(error);
    }
  }

  get #finished(): boolean {
    return this.#exhausted && this.#running === 0 && !this.#pulled && !this.#returning;
  }

  #finish(): void {
    if (!this.#finished || this.#answered) return;
    this.#answered = true;
    this.#slots.guests--;
    this.#slots.idlers.tell();
    this.#subscription?.cancel();
    this.#stopWatching?.();
    this.#runner.ended(this.#context);
    if (this.#over === undefined) this.#resolve(this.#results);
    else this.#reject(this.#over.reason);
  }
}

/** How {@linkcode mapThrough} goes about it. */
interface MapOptions {
  signal?: AbortSignal;
  concurrency?: number;
  order?: "input" | "completion";
  weight?: number;
  priority?: number;
  key?: unknown;
}

/** The engine of `Limiter.map`. */
export function mapThrough<T, R>(
  runner: SlotRunner,
  source: Iterable<T> | AsyncIterable<T>,
  fn: (item: T, context: CallContext) => R | PromiseLike<R>,
  options: MapOptions | undefined,
): Promise<R[]> {
  return new Promise((resolve, reject) => {
    const { slots } = runner;
    const doing = `map through ${slots.describe()}`;
    checkSource(doing, source);
    checkFunction(doing, "fn", fn);
    checkOptions(doing, options);
    const { signal, concurrency = Infinity, order = "input", weight, priority, key } = options ?? {};
    checkSignal(doing, signal);
    checkCount(doing, "concurrency", concurrency, 1);
    checkChoice(doing, "order", order, ["input", "completion"]);
    const request = runner.request(doing, false, { weight, priority, key });
    request.guest = true;
    if (signal?.aborted) {
      slots.queue.totals.aborted++;
      return reject(signal.reason);
    }
    if (slots.closedWith !== undefined) return reject(slots.closedWith.error);
    const how = { concurrency, request, inOrder: order === "input", signal };
    new Mapping(runner, source, fn, how, resolve, reject).start(signal);
  });
}

function checkSource(doing: string, source: unknown): void {
  const it = source as Partial<Iterable<unknown> & AsyncIterable<unknown>> | null | undefined;
  if (typeof it?.[Symbol.asyncIterator] === "function" || typeof it?.[Symbol.iterator] === "function") return;
  throw new TypeError(
    `Cannot ${doing} as source must be iterable or async iterable: received ${show(source)}`,
  );
}
