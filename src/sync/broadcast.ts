import { checkChoice, checkInteger, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { Deque } from "../kernel/deque.ts";
import { ClosedError } from "../kernel/errors.ts";
import { oneStep } from "../kernel/observer.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { type BroadcastSubscription, Listener } from "./_broadcast_subscription.ts";

export type { BroadcastSubscription } from "./_broadcast_subscription.ts";

/** A subscriber of a broadcast was cut off, as it was too slow. */
export class LaggedError extends ClosedError {
  static {
    this.prototype.name = "LaggedError";
  }
}

/** Options of a {@linkcode Broadcast}. */
export interface BroadcastOptions {
  /** How many values each subscriber may have unread, 1 or more. Default 16. */
  capacity?: number | undefined;
  /**
   * What a send does about a subscriber that has no room: wait for it (`"block"`, the default), push out its oldest
   * value, which it counts as missed (`"sliding"`), or cut it off (`"disconnect"`).
   */
  overflow?: "block" | "sliding" | "disconnect" | undefined;
  /** How many of the latest values a new subscriber gets first, at most `capacity`. Default 0. */
  replay?: number | undefined;
  /** Appears in messages and observer records. */
  name?: string | undefined;
}

/** What an operator wants to know of a {@linkcode Broadcast}. */
export interface BroadcastStatistics {
  /** How many values each subscriber may have unread. */
  readonly capacity: number;
  /** How many subscribe. */
  readonly subscribers: number;
  /** How many values the slowest of them has unread. */
  readonly behind: number;
  /** How many senders wait. */
  readonly sending: number;
  /** Whether it is closed. */
  readonly closed: boolean;
  /** Values sent so far. */
  readonly sent: number;
  /** Values that subscribers missed so far. */
  readonly missed: number;
  /** Subscribers cut off so far. */
  readonly disconnected: number;
  /** Sends given up by a signal. */
  readonly aborted: number;
  /** Sends that reached their limit. */
  readonly timedOut: number;
}

/**
 * Hands each value to every subscriber, each with a buffer of its own.
 *
 * **Order** — every subscriber gets the values in the order in which they were sent; waiting senders are served first
 * come, first served. A value goes to all who subscribe at that moment, in one step, or to nobody. **Slow
 * subscribers** — hold the senders up, miss values (and know how many), or are cut off with a {@linkcode LaggedError}:
 * see `overflow`. **Without subscribers** a send is done at once, and only `replay` keeps its value. **Abort** — a send
 * that gives up was delivered to nobody. **Close** — senders, waiting ones too, reject with a `ClosedError`; what
 * subscribers have unread they can still receive, then they reject and their iterations end. `close(reason)` makes all
 * reject with the reason instead.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@uno/async/sync";
 * import assert from "node:assert/strict";
 *
 * const prices = new Broadcast<number>({ replay: 1 });
 * await prices.send(99);
 * using early = prices.subscribe();
 * using other = prices.subscribe();
 * await prices.send(101);
 * prices.close();
 * const seen: number[] = [];
 * for await (const price of early) seen.push(price);
 * assert.deepEqual(seen, [99, 101]);
 * assert.equal(await other.receive(), 99);
 * ```
 */
export class Broadcast<T> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #capacity: number;
  readonly #overflow: "block" | "sliding" | "disconnect";
  readonly #replay: number;
  readonly #what: string;
  readonly #latest = new Deque<T>();
  readonly #listeners = new Set<Listener<T>>();
  /** Those who have no room: kept, as looking for one of them at each receive would make a value cost n² for n. */
  readonly #full = new Set<Listener<T>>();
  readonly #senders: WaitQueue<void, { readonly value: T }>;
  #closedWith: { readonly error: unknown; readonly failed: boolean } | undefined;
  #sent = 0;
  #missed = 0;
  #disconnected = 0;

  /**
   * Creates an open broadcast without subscribers.
   *
   * @throws {RangeError} When `capacity` is not an integer of 1 or more, or `replay` not one from 0 to `capacity`.
   */
  constructor(options: BroadcastOptions = {}) {
    checkOptions("create broadcast", options);
    const { capacity = 16, overflow = "block", replay = 0, name } = options;
    checkName("create broadcast", name);
    this.#what = subject("broadcast", name);
    checkInteger(`create ${this.#what}`, "capacity", capacity, 1);
    checkChoice(`create ${this.#what}`, "overflow", overflow, ["block", "sliding", "disconnect"]);
    checkInteger(`create ${this.#what}`, "replay", replay, 0, capacity);
    this.name = name;
    this.#capacity = capacity;
    this.#overflow = overflow;
    this.#replay = replay;
    this.#senders = new WaitQueue({
      what: "send to broadcast",
      structure: "broadcast",
      name,
      behind: () =>
        `${this.#full.size} of ${this.#listeners.size} subscribers have no room, ${this.#senders.size} sending`,
      onLeave: () => this.#admit(),
    });
  }

  /** Whether {@linkcode close} was called; subscribers may still have values to receive. */
  get closed(): boolean {
    return this.#closedWith !== undefined;
  }

  /**
   * Subscribes to what is sent from here on, and first to the latest values that are replayed. To be disposed of, as
   * leaving a `for await` over it does: one that is forgotten holds its values, and with `"block"` the senders.
   *
   * @throws {ClosedError} When the broadcast is closed (or the reason given to `close`).
   */
  subscribe(): BroadcastSubscription<T> {
    if (this.#closedWith !== undefined) throw this.#closedWith.error;
    const listener = new Listener<T>(this.#what, this.name, this.#capacity, {
      filled: () => this.#full.add(listener),
      taken: () => {
        this.#full.delete(listener);
        this.#admit();
      },
      left: () => {
        if (this.#forget(listener)) this.#admit();
      },
    });
    for (const value of this.#latest) listener.push(value);
    this.#listeners.add(listener);
    return listener;
  }

  /**
   * Sends a value to all subscribers; with `"block"`, waits until each of them has room.
   *
   * @throws {ClosedError} When the broadcast is closed, before or while waiting (or the reason given to `close`).
   * @throws {TimeoutError} When `timeoutMs` is reached. The value was not sent.
   * @throws The reason of `signal`, unchanged. The value was not sent.
   */
  send(value: T, options?: WaitOptions): Promise<void> {
    const refused = this.#senders.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#closedWith !== undefined) return Promise.reject(this.#closedWith.error);
    return this.trySend(value) ? Promise.resolve() : this.#senders.wait({ value }, options);
  }

  /**
   * Sends a value if that needs no waiting.
   *
   * @returns Whether it was sent: `false` when somebody has no room, or others wait to send, or it is closed.
   */
  trySend(value: T): boolean {
    if (this.#closedWith !== undefined) return false;
    if (this.#senders.size > 0) this.#admit(); // Those whose signal is aborted by now hold nobody up.
    if (this.#senders.size > 0 || !this.#canSend()) return false;
    oneStep(() => this.#handOut(value));
    return true;
  }

  /**
   * Takes nothing more in. What subscribers have unread can still be received. Again: does nothing.
   *
   * @param reason A failure to pass on: senders and, after their unread values, subscribers reject with it. Without one,
   * iterations end quietly.
   */
  close(reason?: unknown): void {
    if (this.#closedWith !== undefined) return;
    const failed = reason !== undefined;
    const error = failed ? reason : new ClosedError(`Cannot use ${this.#what}: it is closed`);
    this.#closedWith = { error, failed };
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    this.#full.clear();
    this.#latest.clear();
    this.#senders.settleAll(error);
    for (const listener of listeners) listener.end(error, failed);
  }

  /** A snapshot of subscribers, senders and the totals so far. */
  statistics(): BroadcastStatistics {
    const { aborted, timedOut } = this.#senders.totals;
    return Object.freeze({
      capacity: this.#capacity,
      subscribers: this.#listeners.size,
      behind: this.#behind(),
      sending: this.#senders.size,
      closed: this.closed,
      sent: this.#sent,
      missed: this.#missed,
      disconnected: this.#disconnected,
      aborted,
      timedOut,
    });
  }

  #behind(): number {
    let most = 0;
    for (const { unread } of this.#listeners) most = Math.max(most, unread);
    return most;
  }

  #canSend(): boolean {
    return this.#overflow !== "block" || this.#full.size === 0;
  }

  #forget(listener: Listener<T>): boolean {
    this.#full.delete(listener);
    return this.#listeners.delete(listener);
  }

  /** Lets waiting senders in from the head of the line, as long as there is room. */
  #admit(): void {
    while (oneStep(() => this.#next()));
  }

  /** Takes in what the head of the line sends, if it can. Observers hear of it when all have it. */
  #next(): boolean {
    const next = this.#closedWith === undefined ? this.#senders.head() : undefined;
    if (next === undefined || !this.#canSend()) return false;
    this.#senders.grant(undefined);
    this.#handOut(next.value);
    return true;
  }

  /** Gives a value to everybody. Nobody else is called in between: so all get all values in one order. */
  #handOut(value: T): void {
    this.#sent++;
    if (this.#replay > 0) {
      if (this.#latest.size === this.#replay) this.#latest.shift();
      this.#latest.push(value);
    }
    for (const listener of this.#listeners) {
      if (!this.#full.has(listener)) listener.push(value);
      else if (this.#overflow === "sliding") {
        this.#missed++;
        listener.slide(value);
      } else {
        this.#disconnected++;
        this.#forget(listener);
        const behind = `its subscriber has ${listener.unread} values unread`;
        listener.cut(new LaggedError(`Cannot keep up with ${this.#what}: ${behind}`));
      }
    }
  }
}
