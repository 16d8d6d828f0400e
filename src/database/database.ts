import { sleep } from "../cancel/sleep.ts";
import { timeout } from "../cancel/timeout.ts";
import { backoff } from "../kernel/backoff.ts";
import { checkDurationMs, checkOptions, checkWaitOptions, show, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { ignore } from "../kernel/deferred.ts";
import { TimeoutError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions, WaitOptions } from "../kernel/types.ts";
import type { Driver } from "./driver.ts";
import { ConnectFailedError } from "./errors.ts";
import { LeasedSession, type QueryResult, type Session, type SessionSource } from "./session.ts";
import { SessionSlot } from "./session_slot.ts";
import type { Sql } from "./sql.ts";
import { begin, type BeginOptions, transaction, type TransactionOptions } from "./transaction.ts";
import type { Transaction } from "./transaction_scope.ts";
import { type DatabaseOptions, type DatabaseSettings, settingsOf } from "./settings.ts";
import { textOf, Wire } from "./wire.ts";

/** What an operator wants to know of a {@linkcode Database}. */
export interface DatabaseStatistics {
  /** Open connections. */
  readonly open: number;
  /** Open connections that nobody uses. */
  readonly idle: number;
  /** Sessions in somebody's hands. */
  readonly inUse: number;
  /** Callers waiting for a session. */
  readonly waiting: number;
  /** Sessions given out so far. */
  readonly granted: number;
  /** Waits for a session given up by a signal. */
  readonly aborted: number;
  /** Waits for a session that reached their limit. */
  readonly timedOut: number;
  /** Whether it takes nothing new. */
  readonly closed: boolean;
}

const pauseBeforeConnect: (attempt: number) => number = backoff({ baseMs: 5, maxMs: 250, jitter: "full" });

/**
 * A database: gives out sessions, runs transactions, and closes what it opened.
 *
 * **Connecting** — when first needed, and again after a connection was lost. **Order** — one session at a time, first come,
 * first served. **Abort** — a caller that gives up gets nothing and leaves nothing behind. **Close** — nothing new is
 * given out and who waits is sent away; sessions in use may end within the grace, then their connection is taken from
 * them, which rolls back. **Misuse** — asking for a session while holding one waits for itself, until its limit;
 * with the same `owner` it is refused at once.
 *
 * @example
 * ```ts
 * import { Database } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using db = new Database(sqliteDriver({ file: ":memory:" }), { name: "notes" });
 * await db.transaction(async (tx) => {
 *   await tx.query("create table notes (text text not null)");
 *   await tx.query("insert into notes values (?)", ["hello"]);
 * });
 * await using session = await db.session();
 * const { rows } = await session.query<{ text: string }>("select text from notes");
 * assert.deepEqual(rows.map(({ text }) => text), ["hello"]);
 * ```
 */
export class Database implements SessionSource, AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #driver: Driver;
  readonly #settings: DatabaseSettings;
  readonly #slot: SessionSlot;
  readonly #ending = new AbortController();
  #wire: Wire | undefined;
  #connecting: Promise<Wire> | undefined;
  #closing: Promise<{ readonly stragglers: readonly string[] }> | undefined;

  /**
   * Creates it; nothing is opened yet.
   *
   * @param driver Made by an adapter, such as `sqliteDriver({ file })`.
   */
  constructor(driver: Driver, options: DatabaseOptions = {}) {
    if (typeof driver?.connect !== "function" || typeof driver.classify !== "function") {
      throw new TypeError(`Cannot create database as driver must be a driver: received ${show(driver)}`);
    }
    this.#settings = settingsOf(options);
    this.name = this.#settings.name;
    this.#driver = driver;
    this.#slot = new SessionSlot(this.name);
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#slot.closed;
  }

  /**
   * Waits for a session and holds it until disposed. What runs through it outside of a transaction is final at once.
   *
   * **Dispose** — what still runs is cancelled; a transaction left open in it by a statement is rolled back.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `owner` and `label` say who will hold it.
   * @throws {ConnectFailedError} When no connection comes about.
   * @throws {TimeoutError} At the limit, saying who holds the session and how many wait.
   * @throws {ClosedError} When the database is closed, before or while waiting.
   * @throws The reason of `signal`, unchanged.
   */
  session(options?: HoldOptions): Promise<Session & AsyncDisposable> {
    try {
      const signal = options?.signal;
      const limitMs = options?.timeoutMs ?? this.#settings.acquireTimeoutMs;
      const waiting = this.#slot.acquire(options, limitMs);
      return waiting === undefined && this.#wire?.usable
        ? Promise.resolve(new LeasedSession(this.#wire, this.#slot))
        : this.#leaseLater(waiting, signal, limitMs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Runs one statement on a session of its own, given back afterwards: what it does is final at once.
   *
   * @param options `signal` and `timeoutMs` bound all of it, the wait for a session included.
   * @throws As {@linkcode Database.session} and {@linkcode Session.query}.
   */
  async query<R = Record<string, unknown>>(
    sql: string | Sql,
    params?: readonly unknown[],
    options?: WaitOptions,
  ): Promise<QueryResult<R>> {
    if (options?.timeoutMs !== undefined) {
      checkWaitOptions(`query ${subject("database", this.name)}`, options);
      const { timeoutMs, signal } = options;
      const operation = `query ${subject("database", this.name)}`;
      using limit = timeout(timeoutMs, { signal, operation });
      return await this.query<R>(sql, params, { signal: limit.signal });
    }
    await using session = await this.session(options);
    return await session.query<R>(sql, params, options);
  }

  /**
   * Runs `fn` in a transaction; **it may run again**. See {@linkcode transaction}.
   *
   * @returns What `fn` returns.
   */
  transaction<T>(
    fn: (tx: Transaction) => T | PromiseLike<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    return transaction(this, fn, options);
  }

  /**
   * Begins a transaction for `await using`: it ends by `commit()`, and leaving it without rolls back. Prefer
   * {@linkcode Database.transaction}, which can try again after a conflict.
   *
   * **Abort** — after it nothing more runs in it, and `commit()` rolls back and rejects with the reason.
   *
   * @param options `signal` and `timeoutMs` are the transaction's, to its end.
   * @throws As {@linkcode Database.session}.
   * @throws {TransactionConflictError} When another connection held the lock for longer than `lockTimeoutMs`.
   */
  begin(options?: BeginOptions): Promise<Transaction> {
    return begin(this, options);
  }

  /**
   * Takes nothing new, waits for the session in use, closes the connection. Again: the same end.
   *
   * @param options `graceMs` is how long the session in use may take, in milliseconds; default 10,000.
   * @returns Who still held a session when the grace was over and had it taken away.
   */
  close(options: { graceMs?: number } = {}): Promise<{ readonly stragglers: readonly string[] }> {
    const doing = `close ${subject("database", this.name)}`;
    checkOptions(doing, options ?? null);
    const { graceMs = 10_000 } = options;
    checkDurationMs(doing, "graceMs", graceMs);
    return this.#closing ??= this.#close(graceMs);
  }

  /** {@linkcode close}, with the default grace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A snapshot of connections, sessions and waiters. */
  statistics(): DatabaseStatistics {
    const open = this.#wire?.usable ? 1 : 0;
    const inUse = this.#slot.inUse ? 1 : 0;
    const { waiting, closed, totals } = this.#slot;
    return Object.freeze({ open, idle: open === 1 ? 1 - inUse : 0, inUse, waiting, ...totals, closed });
  }

  async #close(graceMs: number): Promise<{ readonly stragglers: readonly string[] }> {
    const stragglers: string[] = [];
    const freed = this.#slot.close();
    if (this.#slot.inUse) {
      try {
        await timeout(graceMs, () => freed);
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        stragglers.push(this.#slot.label);
      }
    }
    const reason = this.#slot.closedError();
    this.#ending.abort(reason);
    if (this.#connecting !== undefined) {
      const connecting = this.#connecting.catch(ignore);
      await timeout(this.#settings.cancelGraceMs, () => connecting).catch(ignore);
    }
    if (stragglers.length > 0) this.#wire?.destroy("database closed", reason);
    else if (this.#wire?.usable) await this.#wire.close();
    this.#wire = undefined;
    return Object.freeze({ stragglers: Object.freeze(stragglers) });
  }

  async #leaseLater(
    waiting: Promise<void> | undefined,
    signal: AbortSignal | undefined,
    limitMs: number,
  ): Promise<LeasedSession> {
    const since = clock().now();
    if (waiting !== undefined) await waiting;
    try {
      const leftMs = Math.max(0, limitMs - (clock().now() - since));
      const wire = this.#wire?.usable ? this.#wire : await this.#connected(signal, leftMs);
      return new LeasedSession(wire, this.#slot);
    } catch (error) {
      this.#slot.release();
      throw error;
    }
  }

  /** Waits for the connection that is being opened. It is nobody's: a caller that gives up does not take it along. */
  async #connected(signal: AbortSignal | undefined, limitMs: number): Promise<Wire> {
    const connecting = this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    const operation = `connect to ${subject("database", this.name)}`;
    return await timeout(limitMs, () => connecting, { signal, operation });
  }

  async #connect(): Promise<Wire> {
    const { signal } = this.#ending;
    const until = clock().now() + this.#settings.lockTimeoutMs;
    for (let attempts = 1;; attempts++) {
      try {
        const connection = await this.#driver.connect({ signal });
        const wire = new Wire(this.#driver, connection, this.#settings);
        if (!signal.aborted) return this.#wire = wire;
        wire.destroy("database closed", signal.reason);
        throw signal.reason;
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        const { kind, state } = this.#driver.classify(cause);
        if (kind === "usage") throw cause;
        const pauseMs = pauseBeforeConnect(attempts);
        const mayPass = kind === "connection" || kind === "conflict";
        if (!mayPass || clock().now() + pauseMs > until) {
          const { dialect, target } = this.#driver;
          const where = target === undefined ? "" : ` at ${show(target)}`;
          throw new ConnectFailedError(
            `Cannot connect to ${subject("database", this.name)}${where}: ${textOf(cause)}`,
            { dialect, stage: "connect", failure: kind, state, cause, attempts },
          );
        }
        if (observed()) emit("connect.retry", "database", this.name, { attempts, delayMs: pauseMs });
        await sleep(pauseMs, { signal });
      }
    }
  }
}
