import type { WaitOptions } from "../kernel/types.ts";

/** The side of a channel from which values are taken. */
export interface Receiving<T> {
  tryReceive(): { value: T } | undefined;
  receive(options?: WaitOptions): Promise<T>;
}

/**
 * Iterates over what a channel gives.
 *
 * Not an async generator: that takes three promises a value, and its `return()` waits behind a `next()` that waits.
 */
export class ChannelValues<T> implements AsyncIterableIterator<T> {
  readonly #channel: Receiving<T>;
  readonly #options: WaitOptions | undefined;
  readonly #isEnd: (error: unknown) => boolean;
  #over = false;

  /** `isEnd` tells the error with which a channel that was closed without a reason refuses. */
  constructor(channel: Receiving<T>, options: WaitOptions | undefined, isEnd: (error: unknown) => boolean) {
    this.#channel = channel;
    this.#options = options;
    this.#isEnd = isEnd;
  }

  next(): Promise<IteratorResult<T>> {
    if (this.#over) return Promise.resolve({ value: undefined, done: true });
    if (this.#options === undefined) {
      const ready = this.#channel.tryReceive();
      if (ready !== undefined) return Promise.resolve({ value: ready.value, done: false });
    }
    return this.#channel.receive(this.#options).then(step, this.#failed);
  }

  return(value?: unknown): Promise<IteratorResult<T>> {
    this.#over = true;
    return Promise.resolve({ value, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #failed = (error: unknown): IteratorResult<T> => {
    this.#over = true;
    if (this.#isEnd(error)) return { value: undefined, done: true };
    throw error;
  };
}

function step<T>(value: T): IteratorResult<T> {
  return { value, done: false };
}
