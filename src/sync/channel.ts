import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { Deque } from "../kernel/deque.ts";
import { ClosedError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { pipeInto, type PipeOptions, readableOf } from "./_channel_streams.ts";
import { ChannelValues } from "./_channel_values.ts";
import { SelectCase } from "./_select_case.ts";

/** The channel is closed: it takes nothing new, and what it held has been received. */
export class ChannelClosedError extends ClosedError {
  static {
    this.prototype.name = "ChannelClosedError";
  }
}

/** Options of a {@linkcode Channel}. */
export interface ChannelOptions<T = unknown> {
  /**
   * How many values it holds, or how much {@linkcode weigh} makes of them. 0, the default, hands each value from a
   * sender to a receiver; `Infinity` never blocks.
   */
  capacity?: number;
  /**
   * What a value weighs, such as its bytes: a finite number, 0 or more, always the same for one value. One that is
   * heavier than the capacity passes when the channel is empty. Default: 1 for each.
   */
  weigh?: (value: T) => number;
  /**
   * What a send does when it is full: wait (`"block"`, the default), push the oldest value out (`"sliding"`), or drop
   * the new one (`"dropping"`). The last two need a capacity of at least 1.
   */
  overflow?: "block" | "sliding" | "dropping";
  /** Appears in messages and observer records. */
  name?: string;
}

/** What an operator wants to know of a {@linkcode Channel}. */
export interface ChannelStatistics {
  /** How many values it can hold. */
  readonly capacity: number;
  /** How many it holds. */
  readonly buffered: number;
  /** What they weigh. */
  readonly weight: number;
  /** How many senders wait. */
  readonly sending: number;
  /** How many receivers wait. */
  readonly receiving: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Values taken in so far. */
  readonly sent: number;
  /** Values handed out so far. */
  readonly received: number;
  /** Values dropped by a sliding or dropping channel. */
  readonly dropped: number;
  /** Waits given up by a signal. */
  readonly aborted: number;
  /** Waits that reached their limit. */
  readonly timedOut: number;
}

const TAKEN = Promise.resolve(true);
const DROPPED = Promise.resolve(false);

/**
 * Hands values from senders to receivers, any number of each, with back-pressure.
 *
 * **Order** — values come out in the order in which they went in; waiting senders and receivers are served first come,
 * first served. Each value goes to one receiver. **Abort** — a send that gives up was never delivered; a receive that
 * gives up has taken nothing: the value goes to the next receiver. Abort after the hand-over is ignored. **Close** —
 * senders, waiting ones too, reject with `ChannelClosedError`; values already taken in can still be received, then
 * receivers reject and iterations end. `close(reason)` makes both reject with the reason instead: the way to pass a
 * failure on. **Iteration** — `for await` receives until the channel is closed; leaving the loop does not close it,
 * and loses nothing, as nothing is fetched ahead.
 *
 * @example
 * ```ts
 * import { Channel } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const numbers = new Channel<number>({ capacity: 2 });
 * async function produce() {
 *   for (let i = 1; i <= 5; i++) await numbers.send(i); // waits while two are unread
 *   numbers.close();
 * }
 * async function consume() {
 *   let sum = 0;
 *   for await (const n of numbers) sum += n;
 *   return sum;
 * }
 * const [, sum] = await Promise.all([produce(), consume()]);
 * assert.deepEqual(sum, 15);
 * ```
 */
export class Channel<T> implements AsyncIterable<T> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #capacity: number;
  readonly #overflow: "block" | "sliding" | "dropping";
  readonly #weigh: ((value: T) => number) | undefined;
  readonly #buffer = new Deque<T>();
  // At most one of the two has waiters at any time.
  readonly #senders: WaitQueue<boolean, { readonly value: T }>;
  readonly #receivers: WaitQueue<T, true>;
  #closedWith: { readonly error: unknown; readonly failed: boolean } | undefined;
  #weight = 0;
  #sent = 0;
  #received = 0;
  #dropped = 0;

  /**
   * Creates an open, empty channel.
   *
   * @throws {RangeError} When `capacity` is not an integer of 0 or more (or `Infinity`), or 0 with an overflow rule
   * that drops.
   */
  constructor(options: ChannelOptions<T> = {}) {
    checkOptions("create channel", options);
    const { capacity = 0, overflow = "block", name, weigh } = options;
    checkName("create channel", name);
    const doing = `create ${subject("channel", name)}`;
    checkChoice(doing, "overflow", overflow, ["block", "sliding", "dropping"]);
    checkCount(doing, "capacity", capacity, overflow === "block" ? 0 : 1);
    if (weigh !== undefined) checkFunction(doing, "weigh", weigh);
    this.name = name;
    this.#weigh = weigh;
    this.#capacity = capacity;
    this.#overflow = overflow;
    const behind = (): string =>
      `${this.#buffer.size} of ${capacity} buffered, ${this.#senders.size} sending, ${this.#receivers.size} receiving`;
    this.#senders = new WaitQueue({ what: "send to channel", structure: "channel", name, behind });
    this.#receivers = new WaitQueue({ what: "receive from channel", structure: "channel", name, behind });
  }

  /** Whether {@linkcode close} was called; values may still be there to be received. */
  get closed(): boolean {
    return this.#closedWith !== undefined;
  }

  /** How many values can be received without waiting for a sender. */
  get size(): number {
    return this.#buffer.size;
  }

  /**
   * Sends a value, waiting for room (or, with capacity 0, for a receiver).
   *
   * @returns `true` when the value was taken in, `false` when a dropping channel dropped it.
   * @throws {ChannelClosedError} When the channel is closed, before or while waiting (or the reason given to `close`).
   * @throws {TimeoutError} When `timeoutMs` is reached. The value was not sent.
   * @throws The reason of `signal`, unchanged. The value was not sent.
   */
  send(value: T, options?: WaitOptions): Promise<boolean> {
    const refused = this.#senders.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#closedWith !== undefined) return Promise.reject(this.#closedWith.error);
    if (this.#weigh !== undefined) {
      try {
        this.#weightOf(value);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    if (this.#offer(value)) return TAKEN;
    if (this.#overflow === "dropping") {
      this.#dropped++;
      return DROPPED;
    }
    return this.#senders.wait({ value }, options);
  }

  /**
   * Sends a value if that needs no waiting.
   *
   * @returns Whether it was taken in: `false` when the channel is full or closed.
   */
  trySend(value: T): boolean {
    if (this.#closedWith !== undefined) return false;
    const taken = this.#offer(value);
    if (!taken && this.#overflow === "dropping") this.#dropped++;
    return taken;
  }

  /**
   * Receives the oldest value, waiting for one.
   *
   * @throws {ChannelClosedError} When the channel is closed and empty (or the reason given to `close`).
   * @throws {TimeoutError} When `timeoutMs` is reached. Nothing was taken.
   * @throws The reason of `signal`, unchanged. Nothing was taken.
   */
  receive(options?: WaitOptions): Promise<T> {
    const refused = this.#receivers.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#ready()) return Promise.resolve(this.#take());
    if (this.#closedWith !== undefined) return Promise.reject(this.#closedWith.error);
    return this.#receivers.wait(true, options);
  }

  /**
   * Receives a value if that needs no waiting.
   *
   * @returns The value in a box, as `undefined` can be a value too; `undefined` when there is none.
   */
  tryReceive(): { value: T } | undefined {
    return this.#ready() ? { value: this.#take() } : undefined;
  }

  /**
   * Receives several values: waits for the first, then takes what is there, or comes within a time.
   *
   * Nothing that was taken is lost: once it has a value, neither an abort nor the end of the channel makes it reject.
   *
   * @param max How many at most, 1 or more.
   * @param options `withinMs`: how long to wait for more after the first, in milliseconds. Default 0: not at all.
   * `signal` and `timeoutMs` bound the wait for the first; `signal` also ends that for more.
   * @returns At least one value, in order.
   */
  async receiveMany(max: number, options: WaitOptions & { withinMs?: number } = {}): Promise<T[]> {
    const doing = `receive from ${subject("channel", this.name)}`;
    checkOptions(doing, options);
    checkCount(doing, "max", max, 1);
    const { withinMs = 0, signal } = options;
    checkDurationMs(doing, "withinMs", withinMs);
    const values: T[] = [await this.receive(options)];
    const untilMs = withinMs === 0 ? -Infinity : clock().now() + withinMs;
    while (values.length < max) {
      const timeoutMs = untilMs - clock().now();
      if (this.#ready()) values.push(this.#take());
      else if (this.#closedWith !== undefined || !(timeoutMs > 0)) break;
      else {
        try {
          values.push(await this.receive({ signal, timeoutMs }));
        } catch {
          break; // time is up, or the wait was given up: what we have is the answer
        }
      }
    }
    return values;
  }

  /**
   * Receiving from this channel, as a choice for `select`.
   *
   * @param then Makes the result of the select of the value; default: the value itself.
   */
  receiving<R = T>(then: (value: T) => R = (value) => value as unknown as R): SelectCase<R> {
    checkFunction("select", "then", then);
    return new SelectCase<R>(
      () => {
        if (this.#ready()) {
          const value = this.#take();
          return () => then(value);
        }
        if (this.#closedWith !== undefined) throw this.#closedWith.error;
        return undefined;
      },
      (signal, granted, rejected) =>
        this.#receivers.join(true, signal, (value) => granted(() => then(value)), rejected),
    );
  }

  /**
   * Sending to this channel, as a choice for `select`.
   *
   * @param value What to send, if this choice is the one.
   * @param then Makes the result of the select.
   */
  sending<R = void>(value: T, then: () => R = () => undefined as R): SelectCase<R> {
    checkFunction("select", "then", then);
    if (this.#weigh !== undefined) this.#weightOf(value);
    return new SelectCase<R>(
      () => {
        if (this.#closedWith !== undefined) throw this.#closedWith.error;
        return this.#offer(value) ? then : undefined;
      },
      (signal, granted, rejected) => this.#senders.join({ value }, signal, () => granted(then), rejected),
    );
  }

  /**
   * Sends everything that comes from a source, then closes the channel: with the source's failure, if it fails.
   *
   * Nothing is lost on the way: the next value is asked for when the one before was taken in, and what the source had
   * given when the call is aborted is taken in all the same.
   *
   * @param source A stream, or an iterable, async or not.
   * @param options `signal` and `timeoutMs` (for each wait) end the pumping, which leaves the channel open; so does
   * `preventClose` at the end of the source.
   */
  pipeFrom(
    source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>,
    options: PipeOptions = {},
  ): Promise<void> {
    return pipeInto(this, source, options, (value) => this.#force(value));
  }

  /**
   * The values as a stream. Nothing is fetched ahead: cancelling the stream loses none, and leaves the channel open.
   */
  readable(): ReadableStream<T> {
    return readableOf(this, (value) => this.#putBack(value), (error) => this.#isEnd(error));
  }

  /**
   * Takes nothing more in. What is buffered can still be received. Again: does nothing.
   *
   * @param reason A failure to pass on: senders and, after the buffered values, receivers and iterations reject with
   * it. Without one, iterations end quietly.
   */
  close(reason?: unknown): void {
    if (this.#closedWith !== undefined) return;
    const failed = reason !== undefined;
    const error = failed
      ? reason
      : new ChannelClosedError(`Cannot use ${subject("channel", this.name)}: it is closed`);
    this.#closedWith = { error, failed };
    this.#senders.settleAll(error);
    this.#receivers.settleAll(error);
  }

  /**
   * Iterates like `for await` over the channel itself, with a signal or a time limit for each wait.
   *
   * @param options `signal` ends the iteration with its reason; `timeoutMs` bounds the wait for each value.
   */
  values(options?: WaitOptions): AsyncIterableIterator<T> {
    return new ChannelValues(this, options, (error) => this.#isEnd(error));
  }

  /** Iterates over the values until the channel is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return this.values();
  }

  /** A snapshot of values, waiters and the totals so far. */
  statistics(): ChannelStatistics {
    const [senders, receivers] = [this.#senders, this.#receivers];
    return Object.freeze({
      capacity: this.#capacity,
      buffered: this.#buffer.size,
      weight: this.#weigh === undefined ? this.#buffer.size : this.#weight,
      sending: senders.size,
      receiving: receivers.size,
      closed: this.closed,
      sent: this.#sent,
      received: this.#received,
      dropped: this.#dropped,
      aborted: senders.totals.aborted + receivers.totals.aborted,
      timedOut: senders.totals.timedOut + receivers.totals.timedOut,
    });
  }

  /** Whether `error` is the one with which a channel that was closed without a reason refuses. */
  #isEnd(error: unknown): boolean {
    const end = this.#closedWith;
    return end !== undefined && end.error === error && !end.failed;
  }

  /** Takes in a value that has left its source already, room or not; not in a closed channel. */
  #force(value: T): void {
    if (this.#closedWith !== undefined || this.#offer(value)) return;
    this.#push(value);
    this.#sent++;
  }

  /** Takes back a value that was handed out but not used: it is the next one again. */
  #putBack(value: T): void {
    if (this.#receivers.grant(value)) return;
    this.#received--;
    if (this.#weigh !== undefined) this.#weight += this.#weightOf(value);
    this.#buffer.unshift(value);
  }

  /** Takes a value in without waiting, if there is a receiver or room for it. */
  #offer(value: T): boolean {
    if (this.#receivers.size > 0 && this.#receivers.grant(value)) {
      this.#received++;
    } else if (this.#fits(value)) {
      this.#push(value);
    } else if (this.#overflow === "sliding") {
      do {
        this.#shift();
        this.#dropped++;
      } while (!this.#fits(value));
      this.#push(value);
    } else return false;
    this.#sent++;
    return true;
  }

  /** Whether a value can be had without waiting. */
  #ready(): boolean {
    return this.#buffer.size > 0 || this.#senders.head() !== undefined;
  }

  /** The oldest value; the longest waiting senders move into its room. */
  #take(): T {
    this.#received++;
    if (this.#buffer.size === 0) return this.#takeIn();
    const value = this.#shift();
    if (this.#senders.size > 0) this.#admit();
    return value;
  }

  #admit(): void {
    for (let next = this.#senders.head(); next !== undefined && this.#fits(next.value);) {
      this.#push(this.#takeIn());
      next = this.#senders.head();
    }
  }

  /** The value of the longest waiting sender, who is told. */
  #takeIn(): T {
    const { value } = this.#senders.head()!;
    this.#senders.grant(true);
    this.#sent++;
    return value;
  }

  #fits(value: T): boolean {
    if (this.#weigh === undefined) return this.#buffer.size < this.#capacity;
    if (this.#buffer.size === 0) return this.#capacity > 0;
    return this.#weight + this.#weightOf(value) <= this.#capacity;
  }

  #push(value: T): void {
    if (this.#weigh !== undefined) this.#weight += this.#weightOf(value);
    this.#buffer.push(value);
  }

  #shift(): T {
    const value = this.#buffer.shift() as T;
    if (this.#weigh !== undefined) this.#weight -= this.#weightOf(value);
    return value;
  }

  #weightOf(value: T): number {
    const weight = this.#weigh!(value);
    if (!(weight >= 0 && weight < Infinity)) {
      throw new RangeError(
        `Cannot send to ${
          subject("channel", this.name)
        } as weigh must give a finite number >= 0: received ${weight}`,
      );
    }
    return weight;
  }
}
