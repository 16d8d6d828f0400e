import { checkDurationMs, checkFunction, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { OwnedLease } from "../kernel/disposer.ts";
import { isEcho } from "../kernel/echo.ts";
import { ClosedError, ownAbort } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import { Canceller } from "../kernel/signals.ts";
import type { HoldOptions, Lease } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { timeout } from "../cancel/timeout.ts";
import { End } from "./_exits.ts";

/** Options of an {@linkcode AsyncResource}. */
export interface AsyncResourceOptions<T> {
  /** Appears in messages and observer records. */
  name?: string;
  /** Opens it; `signal` is aborted when nobody wants it any more. */
  open(context: { signal: AbortSignal }): T | PromiseLike<T>;
  /** Closes it; default: its own disposal, if it has one. `signal` is aborted at {@linkcode closeTimeoutMs}. */
  close?(value: T, context: { signal: AbortSignal }): unknown;
  /** How long it stays open after its last user has left, in milliseconds. Default 0; `Infinity` until disposed. */
  lingerMs?: number;
  /**
   * How long closing may take, in milliseconds; more than 0, finite. Default 10,000. Closing that has not ended by then
   * has failed, and is left to itself.
   */
  closeTimeoutMs?: number;
}

/** What an operator wants to know of an {@linkcode AsyncResource}. */
export interface AsyncResourceStatistics {
  /** Where it is in its life. */
  readonly state: "closed" | "opening" | "open" | "closing" | "disposed";
  /** How many use it. */
  readonly inUse: number;
  /** How many wait for it to open. */
  readonly waiting: number;
  /** How often it was opened. */
  readonly opened: number;
  /** How often opening failed. */
  readonly failed: number;
  /** Uses granted so far. */
  readonly granted: number;
  /** Uses given up by a signal. */
  readonly aborted: number;
  /** Uses that reached their limit. */
  readonly timedOut: number;
}

/** A use of a resource. */
export interface ResourceLease<T> extends Lease {
  /** The open resource. */
  readonly value: T;
}

class Use<T> extends OwnedLease implements ResourceLease<T> {
  readonly value: T;

  constructor(owner: ConstructorParameters<typeof OwnedLease>[0], value: T) {
    super(owner);
    this.value = value;
  }
}

/**
 * A resource that is opened when first needed, shared by all who use it at the same time, and closed after them.
 *
 * **Opening** — once for all who wait; when it fails, all of them reject with its error, and the next use tries
 * afresh. **Abort** — a waiter that gives up leaves the others waiting; when the last one does, the opening is
 * aborted, and what comes of it all the same is closed. **Closing** — after the last user has left and `lingerMs` have
 * passed; a use that comes meanwhile waits, and opens it again. **Dispose** — sends waiters away, waits for users,
 * closes, and throws if that fails; other failures of closing go to the observer (`close.failed`), and so does what an
 * opening that was given up fails with beyond that (`open.failed`).
 *
 * @example
 * ```ts
 * import { AsyncResource } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * let opened = 0;
 * await using config = new AsyncResource({ open: () => Promise.resolve({ version: ++opened }), lingerMs: Infinity });
 * const [a, b] = await Promise.all([config.use(), config.use()]);
 * assert.equal(a.value, b.value);
 * a.release();
 * b.release();
 * ```
 */
export class AsyncResource<T> implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #options: AsyncResourceOptions<T>;
  readonly #what: string;
  readonly #waiters: WaitQueue<Use<T>, true>;
  #state: "closed" | "opening" | "open" | "closing" = "closed";
  #value: T | undefined;
  #users = 0;
  #opened = 0;
  #failed = 0;
  #opening: Canceller | undefined;
  #linger: Disposable | undefined;
  readonly #end = new End();
  /** Resolved at every change that a disposal may wait for. */
  #settled: Deferred<void> | undefined;

  /** Creates it closed. */
  constructor(options: AsyncResourceOptions<T>) {
    checkOptions("create resource", options);
    checkName("create resource", options?.name);
    this.#what = subject("resource", options?.name);
    const doing = `create ${this.#what}`;
    checkFunction(doing, "open", options?.open);
    if (options.close !== undefined) checkFunction(doing, "close", options.close);
    if (options.lingerMs !== undefined) checkDurationMs(doing, "lingerMs", options.lingerMs);
    if (options.closeTimeoutMs !== undefined) {
      checkDurationMs(doing, "closeTimeoutMs", options.closeTimeoutMs);
      if (options.closeTimeoutMs === 0 || options.closeTimeoutMs === Infinity) {
        throw new RangeError(
          `Cannot ${doing} as closeTimeoutMs must be finite and > 0: received ${options.closeTimeoutMs}`,
        );
      }
    }
    this.name = options.name;
    this.#options = options;
    this.#waiters = new WaitQueue({
      what: "use resource",
      structure: "resource",
      name: options.name,
      behind: () => `it is ${this.#state}, ${this.#waiters.size} waiting`,
      onLeave: () => this.#left(),
    });
  }

  /**
   * Uses it, opening it if need be.
   *
   * @param options `signal` and `timeoutMs` bound this wait only.
   * @returns A lease with the value; the resource stays open at least until it is released or disposed.
   * @throws What opening throws; {@linkcode ClosedError} when the resource is disposed.
   * @throws {TimeoutError} When `timeoutMs` is reached.
   * @throws The reason of `signal`, unchanged.
   */
  use(options?: HoldOptions): Promise<ResourceLease<T>> {
    try {
      this.#check(options);
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = this.#waiters.refusal(options);
    if (refused !== undefined) return refused;
    if (this.#end.begun) return Promise.reject(this.#disposed());
    if (this.#state === "open") {
      this.#waiters.totals.granted++;
      return Promise.resolve(this.#take());
    }
    const waiting = this.#waiters.wait(true, options);
    this.#next();
    return waiting;
  }

  /** Runs `fn` with the open resource; the use ends however `fn` does. */
  async run<R>(fn: (value: T) => R | PromiseLike<R>, options?: HoldOptions): Promise<R> {
    checkFunction(`run with ${this.#what}`, "fn", fn);
    const lease = await this.use(options);
    try {
      return await fn(lease.value);
    } finally {
      lease.release();
    }
  }

  /** A snapshot of its state, users and waiters, and the totals so far. */
  statistics(): AsyncResourceStatistics {
    const disposed = this.#end.begun && this.#state === "closed";
    return Object.freeze({
      state: disposed ? "disposed" : this.#state,
      inUse: this.#users,
      waiting: this.#waiters.size,
      opened: this.#opened,
      failed: this.#failed,
      ...this.#waiters.totals,
    });
  }

  /** Sends waiters away, waits for users, and closes. Again: waits for the same end. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#end.begin(() => this.#dispose());
  }

  readonly #owner = {
    giveBack: (): void => {
      if (--this.#users === 0) this.#idle();
    },
    describe: (): string => this.#what,
  };

  #check(options: HoldOptions | undefined): void {
    if (options === undefined) return;
    const doing = `use ${this.#what}`;
    checkOptions(doing, options);
    checkName(doing, options.label, "label");
    if (options.owner !== undefined) checkOptions(`${doing} as owner`, options.owner);
  }

  #take(): Use<T> {
    this.#users++;
    this.#linger?.[Symbol.dispose]();
    this.#linger = undefined;
    return new Use(this.#owner, this.#value as T);
  }

  async #open(): Promise<void> {
    this.#state = "opening";
    const opening = this.#opening = new Canceller();
    try {
      const value = await this.#options.open({ signal: opening.signal });
      this.#value = value;
      this.#opened++;
    } catch (error) {
      this.#openFailed(error, opening.signal);
      return;
    }
    this.#change("open");
    while (this.#waiters.head() !== undefined) this.#waiters.grant(this.#take());
    if (this.#users === 0) this.#idle();
  }

  #openFailed(error: unknown, signal: AbortSignal): void {
    this.#change("closed");
    if (!signal.aborted) {
      this.#failed++;
      this.#waiters.settleAll(error);
      return;
    }
    if (!isEcho(error, signal)) {
      this.#failed++;
      emit("open.failed", "resource", this.name, { error });
    }
    this.#next(); // who has come since all had given up
  }

  /** A waiter has given up: without the last one, there is no point in opening. */
  #left(): void {
    if (this.#state === "opening" && this.#waiters.size === 0) {
      this.#opening!.abort(ownAbort(`Cannot go on opening ${this.#what}: nobody waits for it any more`));
    }
  }

  #idle(): void {
    const { lingerMs = 0 } = this.#options;
    if (this.#end.begun) return this.#settled?.resolve();
    if (lingerMs === 0) void this.#closeQuietly();
    else if (lingerMs !== Infinity) {
      const close = (): void => void this.#closeQuietly();
      this.#linger = clock().schedule(clock().now() + lingerMs, close, { ref: false });
    }
  }

  async #closeQuietly(): Promise<void> {
    try {
      await this.#close();
    } catch (error) {
      emit("close.failed", "resource", this.name, { error });
    }
    this.#next();
  }

  /** Opens it, if it is closed and somebody waits for it. */
  #next(): void {
    if (this.#state !== "closed" || this.#end.begun) return;
    if (this.#waiters.head() !== undefined) void this.#open();
  }

  async #close(): Promise<void> {
    const value = this.#value as T;
    this.#value = undefined;
    this.#change("closing");
    const { closeTimeoutMs = 10_000 } = this.#options;
    const operation = `close ${this.#what}`;
    const message = `Cannot ${operation} within ${closeTimeoutMs} ms: it was still closing`;
    try {
      await timeout(closeTimeoutMs, async ({ signal }) => {
        if (this.#options.close !== undefined) return void await this.#options.close(value, { signal });
        const it = value as Partial<AsyncDisposable & Disposable> | null | undefined;
        if (typeof it?.[Symbol.asyncDispose] === "function") await it[Symbol.asyncDispose]!();
        else it?.[Symbol.dispose]?.();
      }, { operation, message });
    } finally {
      this.#change("closed");
    }
  }

  async #dispose(): Promise<void> {
    this.#linger?.[Symbol.dispose]();
    this.#waiters.settleAll(this.#disposed());
    this.#left();
    while (this.#users > 0 || this.#state === "opening" || this.#state === "closing") {
      this.#settled = deferred<void>();
      await this.#settled.promise;
    }
    if (this.#state === "open") await this.#close();
  }

  #change(state: "closed" | "open" | "closing"): void {
    this.#state = state;
    this.#settled?.resolve();
  }

  #disposed(): ClosedError {
    return new ClosedError(`Cannot use ${this.#what}: it is disposed`);
  }
}
