import { checkChoice, checkCount, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { Deque } from "../kernel/deque.ts";
import { ClosedError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { ChannelValues } from "./_channel_values.ts";

/** The channel is closed: it takes nothing new, and what it held has been received. */
export class ChannelClosedError extends ClosedError {
  static {
    this.prototype.name = "ChannelClosedError";
  }
}

/** Options of a {@linkcode Channel}. */
export interface ChannelOptions {
  /** How many values it holds. 0, the default, hands each value from a sender to a receiver; `Infinity` never blocks. */
  capacity?: number;
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
  readonly #buffer = new Deque<T>();
  // At most one of the two has waiters at any time.
  readonly #senders: WaitQueue<boolean, { readonly value: T }>;
  readonly #receivers: WaitQueue<T, true>;
  #closedWith: { readonly error: unknown; readonly failed: boolean } | undefined;
  #sent = 0;
  #received = 0;
  #dropped = 0;

  /**
   * Creates an open, empty channel.
   *
   * @throws {RangeError} When `capacity` is not an integer of 0 or more (or `Infinity`), or 0 with an overflow rule
   * that drops.
   */
  constructor(options: ChannelOptions = {}) {
    checkOptions("create channel", options);
    const { capacity = 0, overflow = "block", name } = options;
    checkName("create channel", name);
    const doing = `create ${subject("channel", name)}`;
    checkChoice(doing, "overflow", overflow, ["block", "sliding", "dropping"]);
    checkCount(doing, "capacity", capacity, overflow === "block" ? 0 : 1);
    this.name = name;
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
    return new ChannelValues(this, options, (error) => {
      const end = this.#closedWith;
      return end !== undefined && end.error === error && !end.failed;
    });
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

  /** Takes a value in without waiting, if there is a receiver or room for it. */
  #offer(value: T): boolean {
    if (this.#receivers.size > 0 && this.#receivers.grant(value)) {
      this.#received++;
    } else if (this.#buffer.size < this.#capacity) {
      this.#buffer.push(value);
    } else if (this.#overflow === "sliding") {
      this.#buffer.shift();
      this.#dropped++;
      this.#buffer.push(value);
    } else return false;
    this.#sent++;
    return true;
  }

  /** Whether a value can be had without waiting. */
  #ready(): boolean {
    return this.#buffer.size > 0 || this.#senders.head() !== undefined;
  }

  /** The oldest value; the longest waiting sender moves into its room. */
  #take(): T {
    this.#received++;
    const sender = this.#senders.size > 0 ? this.#senders.head() : undefined;
    if (sender !== undefined) {
      this.#senders.grant(true);
      this.#sent++;
      if (this.#buffer.size === 0) return sender.value;
      this.#buffer.push(sender.value);
    }
    return this.#buffer.shift() as T;
  }
}
