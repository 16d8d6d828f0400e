import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFunction,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { Deque } from "../kernel/deque.ts";
import { ClosedError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { pipeInto, type PipeOptions, readableOf } from "./_channel_streams.ts";
import { ChannelValues } from "./_channel_values.ts";
import { Choice, receivingCase, type SelectCase } from "./_select_case.ts";
import type { ChannelOptions, ChannelStatistics } from "./channel_options.ts";

export type { ChannelOptions, ChannelStatistics } from "./channel_options.ts";

/** The channel is closed: it takes nothing new, and what it held has been received. */
export class ChannelClosedError extends ClosedError {
  static {
    this.prototype.name = "ChannelClosedError";
  }
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
  /** The weights of what is buffered, if values are weighed. */
  readonly #weights = new Deque<number>();
  // At most one of the two has waiters at any time, but for selects that are in both.
  readonly #senders: WaitQueue<boolean, { readonly value: T; readonly weight: number }>;
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
    const onLeave = (): void => this.#admit();
    this.#senders = new WaitQueue({ what: "send to channel", structure: "channel", name, behind, onLeave });
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
    if (options !== undefined) {
      const refused = this.#senders.refusal(options);
      if (refused !== undefined) return refused;
    }
    if (this.#closedWith !== undefined) return Promise.reject(this.#closedWith.error);
    let weight = 1;
    if (this.#weigh !== undefined) {
      try {
        weight = this.#weightOf(value);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    if (this.#offer(value, weight)) return TAKEN;
    if (this.#overflow === "dropping") {
      this.#dropped++;
      return DROPPED;
    }
    return this.#senders.wait({ value, weight }, options);
  }

  /**
   * Sends a value if that needs no waiting.
   *
   * @returns Whether it was taken in: `false` when the channel is full or closed.
   */
  trySend(value: T): boolean {
    if (this.#closedWith !== undefined) return false;
    const taken = this.#offer(value, this.#weightOf(value));
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
    if (options !== undefined) {
      const refused = this.#receivers.refusal(options);
      if (refused !== undefined) return refused;
    }
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
  async receiveMany(
    max: number,
    options: WaitOptions & { withinMs?: number | undefined } = {},
  ): Promise<T[]> {
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
   * Receiving from this channel, as a choice for `select`, whose result is then the value. To be used once or often.
   */
  receiving(): SelectCase<T>;
  /** Receiving from this channel, as a choice for `select`; `then` makes the result of the select of the value. */
  receiving<R>(then: (value: T) => R): SelectCase<R>;
  receiving(then: (value: T) => unknown = (value) => value): SelectCase<unknown> {
    return receivingCase(
      () => {
        if (this.#ready()) return { value: this.#take() };
        if (this.#closedWith !== undefined) throw this.#closedWith.error;
        return undefined;
      },
      this.#receivers,
      then,
    );
  }

  /**
   * Sending to this channel, as a choice for `select`, whose result is then `undefined`. To be used once or often.
   *
   * @param value What to send, if this choice is the one.
   */
  sending(value: T): SelectCase<void>;
  /**
   * Sending to this channel, as a choice for `select`.
   *
   * @param value What to send, if this choice is the one.
   * @param then Makes the result of the select of what `send` would give: `false` when a dropping channel dropped the
   * value, else `true`.
   */
  sending<R>(value: T, then: (taken: boolean) => R): SelectCase<R>;
  sending(value: T, then: (taken: boolean) => unknown = () => undefined): SelectCase<unknown> {
    checkFunction("select", "then", then);
    const weight = this.#weightOf(value);
    const taken = (): unknown => then(true);
    return new Choice<unknown>(
      this.#senders,
      () => {
        if (this.#closedWith !== undefined) throw this.#closedWith.error;
        if (this.#offer(value, weight)) return taken;
        if (this.#overflow !== "dropping") return undefined;
        this.#dropped++;
        return () => then(false);
      },
      (signal, granted, rejected) =>
        this.#senders.join({ value, weight }, signal, () => granted(taken), rejected),
    );
  }

  /**
   * Sends everything that comes from a source, then closes the channel: with the source's failure, if it fails.
   *
   * Nothing is lost on the way: the next value is asked for when the one before was taken in, and what the source had
   * given when the call is aborted is taken in all the same, room or not; so is, when it comes, what an iterator was
   * asked for by then. A stream is left unlocked, with all its further values; an iterator is closed. **Close** — when
   * the channel is closed meanwhile, the call rejects as `send` does, and the value that waited to go in is not
   * taken in.
   *
   * @param source A stream, or an iterable, async or not.
   * @param options `signal` and `timeoutMs` (for each wait for room) end the pumping, which leaves the channel open; so
   * does `preventClose` at the end of the source.
   * @throws What the source throws; the error of a closed channel; a `TimeoutError`; the reason of `signal`.
   */
  pipeFrom(
    source: ReadableStream<T> | AsyncIterable<T> | Iterable<T>,
    options: PipeOptions = {},
  ): Promise<void> {
    return pipeInto(this, source, options, (value) => this.#force(value));
  }

  /**
   * The values as a stream, closed and failed with the channel. Nothing is fetched ahead: each read takes one value, in
   * turn with other receivers. Cancelling the stream loses none, and leaves the channel open. Two things of the
   * platform's own can lose one: aborting a `pipeTo` with `preventCancel` on Node, as with any stream there; and a
   * `new ReadableStreamDefaultReader(stream)` in place of one that was released while it read, if it then cancels
   * instead of reading.
   */
  readable(): ReadableStream<T> {
    return readableOf(this.receiving(), (value) => this.#putBack(value), (error) => this.#isEnd(error));
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
      weight: this.#weight,
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
    if (this.#closedWith !== undefined) return;
    const weight = this.#weightOf(value);
    if (this.#offer(value, weight)) return;
    this.#push(value, weight);
    this.#sent++;
  }

  /** Takes back a value that was handed out but not used: it is the next one again. */
  #putBack(value: T): void {
    if (this.#receivers.grant(value)) return;
    this.#received--;
    const weight = this.#weightOf(value);
    this.#buffer.unshift(value);
    if (this.#weigh !== undefined) this.#weights.unshift(weight);
    this.#weight += weight;
  }

  /** Takes a value in without waiting, if there is a receiver or room for it. */
  #offer(value: T, weight: number): boolean {
    if (this.#receivers.size > 0 && this.#receivers.grant(value)) {
      this.#received++;
    } else if (this.#hasRoom(weight)) {
      this.#push(value, weight);
    } else if (this.#overflow === "sliding") {
      do {
        this.#shift();
        this.#dropped++;
      } while (!this.#fits(weight));
      this.#push(value, weight);
    } else return false;
    this.#sent++;
    return true;
  }

  /** Whether a value can be had without waiting. */
  #ready(): boolean {
    return this.#buffer.size > 0 || (this.#senders.size > 0 && this.#senders.head() !== undefined);
  }

  /** The oldest value; the longest waiting senders move into its room. */
  #take(): T {
    this.#received++;
    if (this.#buffer.size === 0) return this.#takeIn();
    const value = this.#shift();
    if (this.#senders.size > 0) this.#admit();
    return value;
  }

  /** Lets waiting senders in from the head of the line, as long as they fit. */
  #admit(): void {
    if (this.#closedWith !== undefined) return;
    for (
      let next = this.#senders.head();
      next !== undefined && this.#fits(next.weight);
      next = this.#senders.head()
    ) {
      // Taken in before it is told: a select then leaves its other places, which may let in those behind it.
      this.#push(next.value, next.weight);
      this.#sent++;
      this.#senders.grant(true);
    }
  }

  /** The value of the longest waiting sender, who is told. */
  #takeIn(): T {
    const { value } = this.#senders.head()!;
    this.#sent++;
    this.#senders.grant(true);
    return value;
  }

  /** Whether something new can come in: not by those who wait, who may be able to when one of them has given up. */
  #hasRoom(weight: number): boolean {
    if (this.#senders.size > 0) this.#admit();
    return this.#senders.size === 0 && this.#fits(weight);
  }

  #fits(weight: number): boolean {
    if (this.#buffer.size === 0) return this.#capacity > 0;
    return this.#weight + weight <= this.#capacity;
  }

  #push(value: T, weight: number): void {
    this.#buffer.push(value);
    if (this.#weigh !== undefined) this.#weights.push(weight);
    this.#weight += weight;
  }

  #shift(): T {
    const value = this.#buffer.shift() as T;
    this.#weight -= this.#weigh === undefined ? 1 : this.#weights.shift()!;
    // Sums of fractions leave a trace.
    if (this.#buffer.size === 0) this.#weight = 0;
    return value;
  }

  #weightOf(value: T): number {
    if (this.#weigh === undefined) return 1;
    const weight = this.#weigh(value);
    if (!(typeof weight === "number" && weight >= 0 && weight < Infinity)) {
      const Class = typeof weight === "number" ? RangeError : TypeError;
      const doing = `send to ${subject("channel", this.name)}`;
      throw new Class(`Cannot ${doing} as weigh must give a finite number >= 0: received ${show(weight)}`);
    }
    return weight;
  }
}
