/** Bridges between channels and streams on which no value is lost. */
import { abortable } from "../cancel/abortable.ts";
import { checkBoolean, checkWaitOptions, show } from "../kernel/checks.ts";
import { ignore } from "../kernel/deferred.ts";
import { emit } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { SelectCase } from "./_select_case.ts";

/** Options of `channel.pipeFrom`. */
export interface PipeOptions extends WaitOptions {
  /** Whether the channel stays open at the end, or the failure, of the source. */
  preventClose?: boolean | undefined;
}

/** The side of a channel into which values go. */
interface Inlet<T> {
  send(value: T, options?: WaitOptions): Promise<boolean>;
  close(reason?: unknown): void;
}

/** What is asked for one value after another. */
interface Tap<T> {
  next(): Promise<IteratorResult<T, unknown>>;
  /** Leaves it, at its end or before. A stream refuses what it was asked for then, and keeps it for the next reader. */
  leave(ended: boolean): Promise<void>;
}

function tapOf<T>(source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>): Tap<T> {
  if (typeof (source as ReadableStream<T>)?.getReader === "function") {
    const reader = (source as ReadableStream<T>).getReader();
    return {
      next: () => reader.read() as Promise<IteratorResult<T, unknown>>,
      leave: () => Promise.resolve(reader.releaseLock()),
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
  return {
    next: async () => await iterator.next(),
    leave: async (ended) => void (ended || await iterator.return?.()),
  };
}

/** `force` takes a value in, room or not. */
export async function pipeInto<T>(
  channel: Inlet<T>,
  source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>,
  options: PipeOptions,
  force: (value: T) => void,
): Promise<void> {
  checkWaitOptions("pipe into channel", options);
  checkBoolean("pipe into channel", "preventClose", options.preventClose);
  const { signal, timeoutMs, preventClose } = options;
  if (signal?.aborted) throw signal.reason;
  const tap = tapOf(source);
  /** What was asked for, until the answer has reached us. */
  let asked: Promise<IteratorResult<T, unknown>> | undefined;
  /** A value that has left the source and is not in the channel yet. */
  let inHand: { readonly value: T } | undefined;
  let failure: { readonly error: unknown } | undefined;
  try {
    for (;;) {
      if (signal?.aborted) throw signal.reason;
      asked = tap.next();
      asked.catch((error) => failure = { error });
      const result = await (signal === undefined ? asked : abortable(asked, signal));
      asked = undefined;
      if (result.done) break;
      inHand = { value: result.value };
      await channel.send(result.value, { signal, timeoutMs });
      inHand = undefined;
    }
  } catch (error) {
    // Even if it was aborted in the same turn: nobody else would ever hear of the failure.
    if (failure !== undefined) {
      tap.leave(true).catch(ignore);
      if (!preventClose) channel.close(failureOf(failure.error));
      throw failure.error;
    }
    const leaving = tap.leave(false).catch(ignore);
    // What can't be taken in even so (its weight can't be had) is told to the observer: the abort is the answer here.
    const lost = (error: unknown): void => emit("late.failure", "channel", undefined, { error });
    const late = asked?.then(({ done, value }) => void (done || force(value as T)));
    late?.catch((error) => failure === undefined && lost(error));
    try {
      if (inHand !== undefined) force(inHand.value);
    } catch (error) {
      lost(error);
    }
    // An iterator that has not answered yet may never do so: its end can't be waited for.
    if (asked === undefined) await leaving;
    throw error;
  }
  await tap.leave(true);
  if (!preventClose) channel.close();
}

/** What receivers are told: a stream may fail with `undefined`, which would make the channel's end a quiet one. */
function failureOf(error: unknown): unknown {
  return error === undefined
    ? new Error("Cannot receive from channel: its source failed with undefined")
    : error;
}

/** `putBack` makes a value the next one again; `isEnd` tells the error of a channel closed without a reason. */
export function readableOf<T>(
  values: SelectCase<T>,
  putBack: (value: T) => void,
  isEnd: (error: unknown) => boolean,
): ReadableStream<T> {
  let leave: (() => void) | undefined;
  const stream = new ReadableStream<T>({
    pull: (controller) =>
      new Promise<void>((resolve, reject) => {
        // Straight from the sender to the reader, in one step: there is no moment at which a value is in between.
        const pass = (taken: () => T): void => {
          leave = undefined;
          // A reader that has gone since it asked: in the queue of the stream, a cancel would lose the value.
          if (stream.locked) controller.enqueue(taken());
          else putBack(taken());
          resolve();
        };
        const fail = (error: unknown): void => {
          leave = undefined;
          if (!isEnd(error)) return reject(error);
          controller.close();
          resolve();
        };
        let taken: (() => T) | undefined;
        try {
          taken = values.attempt();
        } catch (error) {
          return fail(error);
        }
        if (taken !== undefined) return pass(taken);
        const place = values.join(undefined, pass, fail);
        leave = () => {
          leave = undefined;
          place.leave();
          place.left();
          resolve();
        };
      }),
    cancel: () => leave?.(),
  }, { highWaterMark: 0 });
  // What was asked for under the lock before is asked for no more, and may not be asked for under this one.
  beforeLock(stream, () => leave?.());
  return stream;
}

/** The methods that lock a stream: it tells its source of no lock, and of no read that was given up with one. */
const LOCKING = ["getReader", "pipeTo", "pipeThrough", "tee", "values", Symbol.asyncIterator] as const;

function beforeLock(stream: ReadableStream<unknown>, locking: () => void): void {
  for (const name of LOCKING) {
    const lock: unknown = stream[name];
    if (typeof lock !== "function") continue;
    const value = (...args: unknown[]): unknown => {
      if (!stream.locked) locking();
      return Reflect.apply(lock, stream, args);
    };
    Object.defineProperty(stream, name, { value, writable: true, configurable: true });
  }
}
