/** Bridges between channels and streams on which no value is lost. */
import { abortable } from "../cancel/abortable.ts";
import { checkBoolean, checkWaitOptions, show } from "../kernel/checks.ts";
import { ignore } from "../kernel/deferred.ts";
import { Canceller } from "../kernel/signals.ts";
import type { WaitOptions } from "../kernel/types.ts";

/** Options of `channel.pipeFrom`. */
export interface PipeOptions extends WaitOptions {
  /** Whether the channel stays open at the end, or the failure, of the source. */
  preventClose?: boolean;
}

/** The sides of a channel that a bridge uses. */
interface Sides<T> {
  send(value: T, options?: WaitOptions): Promise<boolean>;
  receive(options?: WaitOptions): Promise<T>;
  close(reason?: unknown): void;
}

/** What is asked for one value after another, and can be left at any time without losing one. */
interface Tap<T> {
  next(): Promise<IteratorResult<T, unknown>>;
  /** Leaves it before its end; `late` gets the value of a `next` that is under way. */
  leave(late: (value: T) => void): void;
}

function tapOf<T>(source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>): Tap<T> {
  if (typeof (source as ReadableStream<T>)?.getReader === "function") {
    const reader = (source as ReadableStream<T>).getReader();
    // A read that is under way is refused, and the stream keeps its value for the next reader.
    return {
      next: () => reader.read() as Promise<IteratorResult<T, unknown>>,
      leave: () => reader.releaseLock(),
    };
  }
  const open = (source as AsyncIterable<T>)?.[Symbol.asyncIterator] ??
    (source as Iterable<T>)?.[Symbol.iterator];
  if (typeof open !== "function") {
    throw new TypeError(
      `Cannot pipe into channel as source must be a stream or iterable: received ${show(source)}`,
    );
  }
  const iterator = open.call(source) as AsyncIterator<T> | Iterator<T>;
  let latest: Promise<IteratorResult<T, unknown>> | undefined;
  return {
    next: () => latest = (async () => await iterator.next())(),
    leave(late) {
      latest?.then((result) => void (result.done || late(result.value)), ignore);
      (async () => await iterator.return?.())().catch(ignore);
    },
  };
}

export async function pipeInto<T>(
  channel: Sides<T>,
  source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>,
  options: PipeOptions,
  force: (value: T) => void,
): Promise<void> {
  checkWaitOptions("pipe into channel", options);
  checkBoolean("pipe into channel", "preventClose", options.preventClose);
  const { signal, timeoutMs, preventClose } = options;
  signal?.throwIfAborted();
  const tap = tapOf(source);
  /** A value that has left the source: it goes in, room or not, whatever happens. */
  let inHand: { readonly value: T } | undefined;
  let ended = false;
  try {
    for (;;) {
      const next = tap.next();
      const result = await (signal === undefined ? next : abortable(next, signal)).catch((error) => {
        ended = !signal?.aborted;
        if (ended && !preventClose) channel.close(error);
        throw error;
      });
      if (result.done) break;
      inHand = { value: result.value };
      await channel.send(result.value, { signal, timeoutMs });
      inHand = undefined;
    }
    ended = true;
    if (!preventClose) channel.close();
  } finally {
    if (inHand !== undefined) {
      force(inHand.value);
      tap.leave(ignore);
    } else if (!ended) tap.leave(force);
  }
}

export function readableOf<T>(
  channel: Sides<T>,
  putBack: (value: T) => void,
  isEnd: (error: unknown) => boolean,
): ReadableStream<T> {
  const leaving = new Canceller();
  return new ReadableStream<T>({
    async pull(controller) {
      let value: T;
      try {
        value = await channel.receive({ signal: leaving.signal });
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (!isEnd(error)) throw error;
        return controller.close();
      }
      // Cancelled in the very turn in which it came: nobody would get it.
      if (leaving.signal.aborted) putBack(value);
      else controller.enqueue(value);
    },
    cancel(reason) {
      leaving.abort(reason);
    },
  }, { highWaterMark: 0 });
}
