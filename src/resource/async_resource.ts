import {
  checkBoolean,
  checkDurationMs,
  checkFunction,
  checkName,
  checkObject,
  checkOptions,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deferred, ignore } from "../kernel/deferred.ts";
import { type LeaseOwner, OwnedLease } from "../kernel/disposer.ts";
import { isEcho } from "../kernel/echo.ts";
import { ownAbort } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";
import { Canceller } from "../kernel/signals.ts";
import type { HoldOptions } from "../kernel/types.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import { timeout } from "../cancel/timeout.ts";
import { checkDrain, Drain, holderOf } from "./_drain.ts";
import { EXIT_TIMEOUT_MS } from "./_exits.ts";
import type {
  AsyncResourceOptions,
  AsyncResourceStatistics,
  ResourceCloseOptions,
  ResourceCloseReport,
  ResourceLease,
} from "./resource_options.ts";
import { ResourceClosedError, ResourceStuckError } from "./resource_errors.ts";

class Use<T> extends OwnedLease<HoldOptions | undefined> implements ResourceLease<T> {
  readonly value: T;

  constructor(
    owner: LeaseOwner<OwnedLease<HoldOptions | undefined>>,
    hold: HoldOptions | undefined,
    value: T,
  ) {
    super(owner, hold);
    this.value = value;
  }
}

/**
 * A resource that is opened when first needed, shared by all who use it at the same time, and closed after them.
 *
 * **Opening** — once for all who wait; when it fails, all of them reject with its error, and the next use tries
 * afresh. **Abort** — a waiter that gives up leaves the others waiting; when the last one does, the opening is
 * aborted, and what comes of it all the same is closed: who has come since gets an opening of its own. **Closing** — after the last user has left and `lingerMs` have
 * passed; a use that comes meanwhile waits, and opens it again, unless closing hangs. **Close** — for good: sends
 * waiters away, waits for users (for `graceMs` at most: it names who stays), closes, and throws if that fails, also
 * where it was closing already; disposal does the same without a limit on users. Other failures of closing go to the observer (`close.failed`), and
 * so does what an opening that was given up fails with beyond that (`open.failed`).
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
  readonly #waiters: WaitQueue<Use<T>, HoldOptions | undefined>;
  readonly #users = new Set<Use<T>>();
  #state: "closed" | "opening" | "open" | "closing" | "stuck" = "closed";
  #value: T | undefined;
  #opened = 0;
  #failed = 0;
  #opening: Canceller | undefined;
  #linger: Disposable | undefined;
  #closing: Promise<void> | undefined;
  /** Whether closing for good has ended without waiting for the opening. */
  #abandoned = false;
  /** Why it is stuck, while it is. */
  #stuck: unknown;
  #ending: { readonly drain: Drain; readonly done: Promise<ResourceCloseReport> } | undefined;

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
    checkBoolean(doing, "reopenStuck", options.reopenStuck);
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

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * Uses it, opening it if need be.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `label`, or else the name of `owner`, says who uses it.
   * @returns A lease with the value; the resource stays open at least until it is released or disposed.
   * @throws What opening throws; {@linkcode ResourceClosedError} when the resource is closed for good.
   * @throws {ResourceStuckError} When closing it hangs.
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
    if (this.#ending !== undefined) return Promise.reject(this.#closedError());
    if (this.#state === "stuck") return Promise.reject(this.#stuckError());
    if (this.#state === "open") {
      this.#waiters.totals.granted++;
      return Promise.resolve(this.#take(options));
    }
    const waiting = this.#waiters.wait(options, options);
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
    return Object.freeze({
      state: this.closed && this.#state === "closed" ? "disposed" : this.#state,
      inUse: this.#users.size,
      users: this.#names(),
      waiting: this.#waiters.size,
      opened: this.#opened,
      failed: this.#failed,
      ...this.#waiters.totals,
    });
  }

  /**
   * Closes it for good: sends waiters away, waits for users, closes what is open. Again: waits for the same end, which
   * a shorter grace brings nearer.
   *
   * @param options `graceMs` is how long users are waited for; then it is closed under them. Default `Infinity`.
   * @returns Who still used it then. Their leases can still be given back.
   * @throws What closing throws; a `TimeoutError` when it hangs.
   */
  close(options: ResourceCloseOptions = {}): Promise<ResourceCloseReport> {
    try {
      const graceMs = checkDrain(`close ${this.#what}`, options);
      if (this.#ending === undefined) {
        const drain = new Drain();
        // Those who are called on the way find that it has begun.
        const { promise, resolve } = deferred<ResourceCloseReport>();
        this.#ending = { drain, done: promise };
        resolve(this.#end(drain));
      }
      this.#ending.drain.limit(graceMs);
      return this.#ending.done;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Closes it for good; see {@linkcode close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readonly #owner: LeaseOwner<OwnedLease<HoldOptions | undefined>> = {
    giveBack: (use): void => {
      this.#users.delete(use as Use<T>);
      if (this.#users.size === 0) this.#idle();
    },
    describe: (): string => this.#what,
  };

  #check(options: HoldOptions | undefined): void {
    if (options === undefined) return;
    const doing = `use ${this.#what}`;
    checkOptions(doing, options);
    checkName(doing, options.label, "label");
    checkObject(doing, "owner", options.owner);
  }

  #take(hold: HoldOptions | undefined): Use<T> {
    const use = new Use(this.#owner, hold, this.#value as T);
    this.#users.add(use);
    this.#linger?.[Symbol.dispose]();
    this.#linger = undefined;
    return use;
  }

  #names(): readonly string[] {
    return Object.freeze([...this.#users].map(({ data }) => holderOf(data) ?? "unknown"));
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
    // Not for those who have come since either: what was opened with an aborted signal may well be dead.
    if (opening.signal.aborted) return this.#idle(0);
    while (this.#waiters.size > 0) {
      const hold = this.#waiters.head();
      if (this.#waiters.size > 0) this.#waiters.grant(this.#take(hold));
    }
    if (this.#users.size === 0) this.#idle();
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

  #idle(lingerMs: number = this.#options.lingerMs ?? 0): void {
    if (this.#abandoned) return void this.#closeQuietly();
    if (this.#ending !== undefined) return this.#settled();
    if (lingerMs === 0) void this.#closeQuietly();
    else if (lingerMs !== Infinity) {
      const close = (): void => void this.#closeQuietly();
      this.#linger = clock().schedule(clock().now() + lingerMs, close, { ref: false });
    }
  }

  async #closeQuietly(): Promise<void> {
    try {
      await (this.#closing = this.#close());
    } catch (error) {
      // Whoever closes it for good meanwhile is told instead.
      if (this.#ending === undefined || this.#abandoned) {
        emit("close.failed", "resource", this.name, { error });
      }
    }
    this.#next();
  }

  /** Opens it, if it is closed and somebody waits for it. */
  #next(): void {
    if (this.#state !== "closed" || this.closed) return;
    this.#waiters.head();
    if (this.#waiters.size > 0) void this.#open();
  }

  async #close(): Promise<void> {
    const value = this.#value as T;
    this.#value = undefined;
    this.#change("closing");
    const { closeTimeoutMs = EXIT_TIMEOUT_MS } = this.#options;
    const operation = `close ${this.#what}`;
    const message = `Cannot ${operation} within ${closeTimeoutMs} ms: it was still closing`;
    let ended = false;
    try {
      await timeout(closeTimeoutMs, async ({ signal }) => {
        try {
          await this.#closeValue(value, signal);
        } finally {
          ended = true;
          if (this.#state === "stuck") this.#recover();
        }
      }, { operation, message });
    } catch (error) {
      if (!ended) this.#hang(error);
      throw error;
    } finally {
      if (this.#state === "closing") this.#change("closed");
    }
  }

  async #closeValue(value: T, signal: AbortSignal): Promise<void> {
    if (this.#options.close !== undefined) return void await this.#options.close(value, { signal });
    const it = value as Partial<AsyncDisposable & Disposable> | null | undefined;
    if (typeof it?.[Symbol.asyncDispose] === "function") await it[Symbol.asyncDispose]!();
    else it?.[Symbol.dispose]?.();
  }

  /** Closing hangs: who waits for the next opening would wait for nobody knows how long. */
  #hang(error: unknown): void {
    if (this.#options.reopenStuck) return;
    this.#stuck = error;
    this.#change("stuck");
    this.#waiters.settleAll(this.#stuckError());
  }

  /** The closing that hung has ended after all. */
  #recover(): void {
    this.#stuck = undefined;
    this.#change("closed");
  }

  async #end(drain: Drain): Promise<ResourceCloseReport> {
    const closing = this.#state === "closing" ? this.#closing : undefined;
    closing?.catch(ignore); // Looked at below, when the others have left.
    this.#linger?.[Symbol.dispose]();
    this.#waiters.settleAll(this.#closedError());
    this.#left();
    this.#settled();
    await drain.over;
    const names = this.#names();
    if (this.#state === "opening") {
      // It was told to stop when the last waiter left. What it still gives is closed when it comes.
      this.#abandoned = true;
      return Object.freeze({ stragglers: Object.freeze([...names, "opening"]) });
    }
    await closing; // It has a limit.
    if (this.#state === "stuck") throw this.#stuck;
    if (this.#state === "open") await this.#close();
    return Object.freeze({ stragglers: names });
  }

  /** Nothing is left for closing for good to wait for, if it does. */
  #settled(): void {
    const busy = this.#users.size > 0 || this.#state === "opening" || this.#state === "closing";
    if (!busy) this.#ending?.drain.end();
  }

  #change(state: "closed" | "open" | "closing" | "stuck"): void {
    this.#state = state;
    if (state !== "open") this.#settled();
  }

  #closedError(): ResourceClosedError {
    return new ResourceClosedError(`Cannot use ${this.#what}: it is closed`);
  }

  #stuckError(): ResourceStuckError {
    const { closeTimeoutMs = EXIT_TIMEOUT_MS } = this.#options;
    return new ResourceStuckError(
      `Cannot use ${this.#what}: closing it has not ended within ${closeTimeoutMs} ms and still hangs`,
      { cause: this.#stuck },
    );
  }
}
