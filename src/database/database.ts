import { timeout } from "../cancel/timeout.ts";
import { checkDurationMs, checkOptions, checkWaitOptions, show, subject } from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { HoldOptions, WaitOptions } from "../kernel/types.ts";
import type { PoolCloseReport } from "../resource/pool_options.ts";
import type { Dialect, Driver } from "./driver.ts";
import { controlsTransaction } from "./_transaction_control.ts";
import { ambientOf, isOpen, noteAmbient } from "./propagation.ts";
import { FOR_TRANSACTION, type QueryResult, type Session, type SessionSource } from "./session.ts";
import { type SessionInfo, Sessions } from "./sessions.ts";
import { type DatabaseOptions, noteDatabase, settingsOf } from "./settings.ts";
import type { Sql } from "./sql.ts";
import { type StreamOptions, streamRows } from "./stream.ts";
import { begin, type BeginOptions, transaction, type TransactionOptions } from "./transaction.ts";
import type { Transaction } from "./transaction_scope.ts";

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
  /** Connections that are being opened. */
  readonly connecting: number;
  /** Connections opened so far. */
  readonly connected: number;
  /** Attempts to open one that failed so far. */
  readonly connectFailed: number;
  /** Callers refused as too many waited, or as they would have waited for themselves. */
  readonly refused: number;
  /** Sessions reported as not given back. */
  readonly leaked: number;
}

/**
 * A database: gives out sessions, runs transactions, and closes what it opened.
 *
 * **Connecting** — when needed, at most `max` connections; again after a pause when it fails, while those who wait do so
 * as long as they can. **Order** — first come, first served; a session given back goes to the next in line directly.
 * **Validity** — a connection that was idle is asked whether it is alive; one that was lost, or that was given back in a
 * state nobody can vouch for, is destroyed. **Abort** — a caller that gives up gets nothing and leaves nothing behind.
 * **Close** — nothing new is given out and who waits is sent away; sessions in use may end within the grace, then their
 * connection is taken from them, which rolls back, and the signals of their transactions are aborted. **Misuse** — asking for a session while holding the only one waits
 * for itself, until its limit; with an `owner`, or a `context` inside of a transaction, it is refused at once.
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
  /** The family of SQL it speaks. */
  readonly dialect: Dialect;
  readonly #sessions: Sessions;
  #closing: Promise<PoolCloseReport> | undefined;

  /**
   * Creates it; nothing is opened yet.
   *
   * @param driver Made by an adapter, such as `sqliteDriver({ file })`.
   */
  constructor(driver: Driver, options: DatabaseOptions = {}) {
    if (typeof driver?.connect !== "function" || typeof driver.classify !== "function") {
      throw new TypeError(`Cannot create database as driver must be a driver: received ${show(driver)}`);
    }
    const settings = settingsOf(driver, options);
    noteDatabase(settings, this);
    this.name = settings.name;
    this.dialect = driver.dialect;
    this.#sessions = new Sessions(settings);
    const { context } = options;
    if (context !== undefined) noteAmbient(this, context, this.name);
  }

  /** The transaction that is in effect here, for a database with a `context`. */
  get current(): Transaction | undefined {
    return ambientOf(this)?.current;
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#sessions.closed;
  }

  /**
   * Waits for a session and holds it until disposed. What runs through it outside of a transaction is final at once.
   *
   * **Dispose** — what still runs is cancelled; a transaction left open in it by a statement is rolled back.
   *
   * @param options `signal` and `timeoutMs` bound this wait only; `owner` and `label` say who will hold it.
   * @throws {ConnectFailedError} When no connection comes about.
   * @throws {TimeoutError} At the limit, saying who holds the session and how many wait.
   * @throws {PoolSelfDeadlockError} With an `owner`, or a `context` inside of a transaction, when it would wait for itself.
   * @throws {ClosedError} When the database is closed, before or while waiting.
   * @throws The reason of `signal`, unchanged.
   */
  session(options?: HoldOptions): Promise<Session & AsyncDisposable> {
    if (options === undefined || options === FOR_TRANSACTION) {
      const session = this.#sessions.tryAcquire(options);
      if (session !== undefined) return Promise.resolve(session);
    }
    return this.#sessions.acquire(options, ambientOf(this)?.holding?.owner);
  }

  /**
   * Runs one statement on a session of its own, given back afterwards: what it does is final at once.
   *
   * **Misuse** — with a `context`, inside a transaction: it would not be part of that. Use `current`, or a `session`.
   * `BEGIN`, `COMMIT` and the like: the next statement may go through another session. Use `transaction`, or a `session`.
   *
   * @param options `signal` and `timeoutMs` bound all of it, the wait for a session included.
   * @throws As {@linkcode Database.session} and {@linkcode Session.query}.
   */
  async query<R = Record<string, unknown>>(
    sql: string | Sql,
    params?: readonly unknown[],
    options?: WaitOptions,
  ): Promise<QueryResult<R>> {
    this.#refuseUnfit("query", sql);
    if (options?.timeoutMs !== undefined) {
      checkWaitOptions(`query ${subject("database", this.name)}`, options);
      const { timeoutMs, signal } = options;
      const operation = `query on ${subject("database", this.name)}`;
      using limit = timeout(timeoutMs, { signal, operation });
      return await this.query<R>(sql, params, { signal: limit.signal });
    }
    await using session = await this.session(options);
    return await session.query<R>(sql, params, options);
  }

  /**
   * The rows of a statement that returns some, read bit by bit on a session of its own; see {@linkcode Session.stream}.
   *
   * The session is taken when the first row is asked for, and given back when the iteration has ended. **Misuse** — where
   * there is one session only, as with SQLite, whoever asks for another in the loop waits for itself, until the limit of
   * that wait: stream in a transaction, or collect first.
   *
   * @throws As {@linkcode Database.session} and {@linkcode Session.stream}, when a row is asked for.
   *
   * @example
   * ```ts
   * import { mapTasks } from "@uno/async";
   * import { Database } from "@uno/async/database";
   * import { sqliteDriver } from "@uno/async/database/sqlite";
   * import assert from "node:assert/strict";
   *
   * await using db = new Database(sqliteDriver({ file: ":memory:" }));
   * await db.query("create table orders (id integer primary key, total integer not null)");
   * await db.query("insert into orders (total) values (10), (20), (30)");
   *
   * const rows = db.stream<{ total: number }>("select total from orders where total > ?", [10]);
   * const taxes: number[] = [];
   * const taxOf = async ({ total }: { total: number }) => await Promise.resolve(total / 5);
   * for await (const tax of mapTasks(rows, taxOf, { concurrency: 2 })) taxes.push(tax);
   * assert.deepEqual(taxes, [4, 6]);
   * ```
   */
  stream<R = Record<string, unknown>>(
    sql: string | Sql,
    params?: readonly unknown[],
    options?: StreamOptions,
  ): AsyncIterable<R> {
    return streamRows<R>({ sql, params, options }, async () => {
      this.#refuseUnfit("stream from", sql);
      const session = await this.#sessions.acquire({ signal: options?.signal, label: "stream" });
      return { wire: session.wire, sender: session, lease: session };
    });
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
  close(options: { graceMs?: number | undefined } = {}): Promise<PoolCloseReport> {
    const doing = `close ${subject("database", this.name)}`;
    checkOptions(doing, options ?? null);
    const { graceMs = 10_000 } = options;
    checkDurationMs(doing, "graceMs", graceMs);
    return this.#closing ??= this.#sessions.close(graceMs);
  }

  /** {@linkcode close}, with the default grace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Who has a session, for how long, and what it did last; the longest first. */
  sessions(): readonly SessionInfo[] {
    return this.#sessions.held();
  }

  /** A snapshot of connections, sessions and waiters. */
  statistics(): DatabaseStatistics {
    const { size, idle, inUse, waiting, granted, aborted, timedOut, refused, leaked, closed, ...more } = this
      .#sessions
      .statistics();
    const { creating: connecting, created: connected, createFailed: connectFailed } = more;
    return Object.freeze({
      open: size - connecting,
      idle,
      inUse,
      waiting,
      granted,
      aborted,
      timedOut,
      closed,
      connecting,
      connected,
      connectFailed,
      refused,
      leaked,
    });
  }

  /** Throws for what can't be meant on a session of its own. */
  #refuseUnfit(doing: string, sql: string | Sql): void {
    const current = ambientOf(this)?.current;
    if (current === undefined && !controlsTransaction(sql)) return;
    const why = current !== undefined
      ? `: a transaction ${isOpen(current) ? "is" : "was"} in effect here, and this would not be part of it`
      : " as what begins or ends a transaction must go through the session of what is in between: " +
        "this takes any; use db.transaction(), or a db.session()";
    throw new MisuseError(`Cannot ${doing} ${subject("database", this.name)}${why}`);
  }
}
