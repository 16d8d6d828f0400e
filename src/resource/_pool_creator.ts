/** Making resources for a pool: apart from those who wait for them, with pauses while it fails. */
import { clock } from "../kernel/clock.ts";
import { noteDeadline } from "../kernel/deadlines.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, TimeoutError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import { Canceller } from "../kernel/signals.ts";
import type { PoolSettings } from "./_pool_settings.ts";

/** Whom a {@linkcode Creator} tells. */
export interface Customer<T> {
  /** There is a new one. */
  made(value: T, origin: Origin): void;
  /** An attempt has failed; `stopped`: only because of {@linkcode Creator.stop}. */
  notMade(error: unknown, stopped: boolean): void;
  /** One that was given up has come all the same: nobody may use it. */
  madeLate(value: T): void;
}

/** Where a resource comes from, and by what it says that it is gone. */
export interface Origin {
  /** The wave in which it was begun. */
  readonly wave: number;
  /** Called when it is gone. */
  onGone: (() => void) | undefined;
}

/** One attempt to create; `over` once it counts no more. */
interface Attempt extends Origin {
  isGone: boolean;
  /** How many had failed when it began. */
  readonly failures: number;
  readonly canceller: Canceller;
  over: boolean;
}

/** Attempts to create: as many at once as are asked for, but one at a time, after a pause, once one has failed. */
export class Creator<T> {
  readonly #settings: PoolSettings<T>;
  readonly #customer: Customer<T>;
  readonly #attempts = new Set<Attempt>();
  /** Attempts that failed since the last success, those that were under way at the same time counted once. */
  #failures = 0;
  #pausedMs: number | undefined;
  #stopped = false;
  /** Why creating failed the last time, if it did. */
  failure: { readonly error: unknown } | undefined;
  /** When it may be tried again; `undefined` when there is nothing to wait for. */
  retryAtMs: number | undefined;

  constructor(settings: PoolSettings<T>, customer: Customer<T>) {
    this.#settings = settings;
    this.#customer = customer;
  }

  /** How many attempts are under way. */
  get pending(): number {
    return this.#attempts.size;
  }

  /** Whether an attempt may begin now. */
  get ready(): boolean {
    return this.#failures === 0 || (this.#attempts.size === 0 && this.retryAtMs === undefined);
  }

  /** Ends the pause, if it is over. */
  resume(now: number): void {
    if (this.retryAtMs !== undefined && this.retryAtMs <= now) this.retryAtMs = undefined;
  }

  /** Begins an attempt; `awaited`: somebody waits for what comes of it. */
  start(wave: number, awaited: boolean): void {
    const attempt: Attempt = {
      wave,
      failures: this.#failures,
      canceller: new Canceller(),
      over: false,
      isGone: false,
      onGone: undefined,
    };
    this.#attempts.add(attempt);
    void this.#run(attempt, awaited);
  }

  /** Aborts what is under way, for good. */
  stop(reason: unknown): void {
    this.#stopped = true;
    this.retryAtMs = undefined;
    for (const { canceller } of [...this.#attempts]) canceller.abort(reason);
  }

  async #run(attempt: Attempt, awaited: boolean): Promise<void> {
    const { createTimeoutMs } = this.#settings;
    const { signal } = attempt.canceller;
    const atMs = clock().now() + createTimeoutMs;
    const timer = createTimeoutMs === Infinity
      ? undefined
      : clock().schedule(atMs, () => this.#expire(attempt), { ref: awaited });
    noteDeadline(signal, () => atMs);
    try {
      await undefined; // Whoever asks for one is not to be told in the midst of asking.
      const value = await this.#settings.create({
        signal,
        gone() {
          attempt.isGone = true;
          attempt.onGone?.();
        },
      });
      timer?.[Symbol.dispose]();
      this.#made(attempt, value);
    } catch (error) {
      timer?.[Symbol.dispose]();
      this.#failed(attempt, error);
    }
  }

  #made(attempt: Attempt, value: T): void {
    if (attempt.over) return this.#customer.madeLate(value);
    if (attempt.isGone) {
      this.#customer.madeLate(value);
      const { what } = this.#settings;
      return this.#failed(
        attempt,
        new ClosedError(`Cannot create resource of ${what}: it was gone when it was made`),
      );
    }
    attempt.over = true;
    this.#attempts.delete(attempt);
    this.#failures = 0;
    this.#pausedMs = this.retryAtMs = this.failure = undefined;
    this.#customer.made(value, attempt);
  }

  /** It takes too long: it has failed, whatever comes of it. */
  #expire(attempt: Attempt): void {
    const { what, createTimeoutMs: limitMs } = this.#settings;
    const operation = `create resource of ${what}`;
    const message = `Cannot ${operation} within ${limitMs} ms: it was still being created`;
    const error = new TimeoutError(message, { operation, limitMs });
    attempt.canceller.abort(error);
    this.#failed(attempt, error);
  }

  #failed(attempt: Attempt, error: unknown): void {
    const { signal } = attempt.canceller;
    if (attempt.over) {
      if (!isEcho(error, signal)) emit("late.failure", "pool", this.#settings.name, { error });
      return;
    }
    attempt.over = true;
    this.#attempts.delete(attempt);
    const stopped = this.#stopped && isEcho(error, signal);
    if (!stopped) this.failure = { error };
    if (!this.#stopped && attempt.failures === this.#failures) {
      this.#failures++;
      this.#pausedMs = this.#settings.pauseMs(this.#failures, this.#pausedMs);
      this.retryAtMs = clock().now() + this.#pausedMs;
    }
    this.#customer.notMade(error, stopped);
  }
}
