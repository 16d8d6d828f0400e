import { Deque } from "../kernel/deque.ts";
import { ClosedError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { ChannelValues } from "./_channel_values.ts";
import { receivingCase, type SelectCase } from "./_select_case.ts";

/** One subscriber's view of a `Broadcast`: its values, in order, from when it subscribed. */
export interface BroadcastSubscription<T> extends AsyncIterable<T>, Disposable {
  /** How many values it can receive without waiting. */
  readonly unread: number;
  /** How many values it has missed so far, being slow. */
  readonly missed: number;
  /**
   * Receives the oldest unread value, waiting for one. Of several who wait, each gets another value.
   *
   * @throws {ClosedError} When the broadcast is closed (or the reason given to `close`) and all was received; when the
   * subscription was disposed of.
   * @throws {LaggedError} When it was cut off and all was received.
   * @throws {TimeoutError} When `timeoutMs` is reached. Nothing was taken.
   * @throws The reason of `signal`, unchanged. Nothing was taken.
   */
  receive(options?: WaitOptions): Promise<T>;
  /** Receives a value if that needs no waiting: in a box, as `undefined` can be a value too. */
  tryReceive(): { value: T } | undefined;
  /** Receiving, as a choice for `select`, whose result is then the value. */
  receiving(): SelectCase<T>;
  /** Receiving, as a choice for `select`; `then` makes the result of the select of the value. */
  receiving<R>(then: (value: T) => R): SelectCase<R>;
  /**
   * Iterates like `for await` over the subscription itself, with a signal or a time limit for each wait. Leaving ends
   * the subscription, and so does giving up.
   */
  values(options?: WaitOptions): AsyncIterableIterator<T>;
  /** Iterates until the broadcast is closed. Leaving ends the subscription. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T>;
  /** Ends it: unread values go, and those who wait reject with a `ClosedError`. Again: does nothing. */
  [Symbol.dispose](): void;
}

/** Who wants to know what a subscriber does. */
interface Source {
  /** There is no room any more. */
  filled(): void;
  /** There may be room. */
  taken(): void;
  left(): void;
}

export class Listener<T> implements BroadcastSubscription<T> {
  readonly #what: string;
  readonly #capacity: number;
  readonly #source: Source;
  readonly #unread = new Deque<T>();
  readonly #receivers: WaitQueue<T, true>;
  #missed = 0;
  #end: { readonly error: unknown; readonly failed: boolean } | undefined;

  constructor(what: string, name: string | undefined, capacity: number, source: Source) {
    this.#what = what;
    this.#capacity = capacity;
    this.#source = source;
    this.#receivers = new WaitQueue({ what: "receive from broadcast", structure: "broadcast", name });
  }

  get unread(): number {
    return this.#unread.size;
  }

  get missed(): number {
    return this.#missed;
  }

  receive(options?: WaitOptions): Promise<T> {
    const refused = this.#receivers.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#unread.size > 0) return Promise.resolve(this.#take());
    if (this.#end !== undefined) return Promise.reject(this.#end.error);
    return this.#receivers.wait(true, options);
  }

  tryReceive(): { value: T } | undefined {
    return this.#unread.size > 0 ? { value: this.#take() } : undefined;
  }

  receiving(): SelectCase<T>;
  receiving<R>(then: (value: T) => R): SelectCase<R>;
  receiving(then: (value: T) => unknown = (value) => value): SelectCase<unknown> {
    return receivingCase(() => this.#next(), this.#receivers, then);
  }

  values(options?: WaitOptions): AsyncIterableIterator<T> {
    return new Values<T>(this, options, (error) => {
      this[Symbol.dispose](); // A loop does not leave what rejects.
      return this.#end !== undefined && this.#end.error === error && !this.#end.failed;
    });
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this.values();
  }

  [Symbol.dispose](): void {
    this.#unread.clear();
    if (this.#end === undefined) {
      this.end(new ClosedError(`Cannot receive from ${this.#what}: the subscription was disposed of`), false);
    }
    this.#source.left();
  }

  /** Takes a value in, for who waits or comes next. */
  push(value: T): void {
    if (this.#receivers.grant(value)) return;
    this.#unread.push(value);
    if (this.#unread.size === this.#capacity) this.#source.filled();
  }

  /** Takes a value in, in place of the oldest. */
  slide(value: T): void {
    this.#missed++;
    this.#unread.shift();
    this.#unread.push(value);
  }

  /** It gets nothing more. */
  cut(error: unknown): void {
    this.#end = { error, failed: true };
  }

  /** It gets nothing more, and those who wait are sent away. */
  end(error: unknown, failed: boolean): void {
    this.#end ??= { error, failed };
    this.#receivers.settleAll(error);
  }

  #next(): { value: T } | undefined {
    if (this.#unread.size === 0 && this.#end !== undefined) throw this.#end.error;
    return this.tryReceive();
  }

  #take(): T {
    const value = this.#unread.shift() as T;
    this.#source.taken();
    return value;
  }
}

/** An iteration whose leaving ends the subscription. */
class Values<T> extends ChannelValues<T> {
  readonly #listener: Listener<T>;

  constructor(listener: Listener<T>, options: WaitOptions | undefined, isEnd: (error: unknown) => boolean) {
    super(listener, options, isEnd);
    this.#listener = listener;
  }

  override return(value?: unknown): Promise<IteratorResult<T>> {
    this.#listener[Symbol.dispose]();
    return super.return(value);
  }
}
