/** One physical connection under care: one statement at a time, typed errors, known to be usable or not. */
import { abortable } from "../cancel/abortable.ts";
import { shield } from "../cancel/timeout.ts";
import { subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { ignore, isThenable } from "../kernel/deferred.ts";
import { ClosedError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import { WaitQueue } from "../kernel/wait_queue.ts";
import type { Connection, Driver, Failure, FailureKind, Result, TxModes } from "./driver.ts";
import {
  ConnectionLostError,
  ConstraintError,
  DatabaseError,
  type DatabaseStage,
  LockTimeoutError,
  StatementTimeoutError,
  TransactionConflictError,
} from "./errors.ts";
import type { DatabaseSettings } from "./settings.ts";

/** The classes of failures that are told apart by their kind alone. */
const classes: Partial<Record<FailureKind, typeof DatabaseError>> = {
  conflict: TransactionConflictError,
  lockTimeout: LockTimeoutError,
  statementTimeout: StatementTimeoutError,
};

/** Who sends a statement, asked when its turn has come. */
export interface Sender {
  /** Throws when the statement may not run any more. */
  admit(): void;
  /** Is told when the database refused it. */
  refused(failure: Failure, error: unknown): void;
  /** Is told when the database has carried it out. */
  succeeded?(sql: string): void;
  /** How the transaction was begun that it is part of. */
  readonly modes?: TxModes | undefined;
}

/** A statement on its way. */
export interface Order {
  readonly sql: string;
  readonly params: readonly unknown[];
  readonly stage: DatabaseStage;
  readonly sender: Sender;
  /** Gives up the wait for its turn, or stops it while it runs. */
  readonly signal?: AbortSignal;
  /** Carries it out, where that is not to run the statement. */
  readonly perform?: (connection: Connection) => Result | PromiseLike<Result>;
}

/** Rows that are being read from a connection. */
export interface Reading {
  /** The statement they come from, in a word. */
  readonly command: string;
  /** Leaves the rest, as what is around it ends. */
  stop(): void | PromiseLike<void>;
}

/** Sends what has to be sent in any case. */
export const anybody: Sender = { admit() {}, refused() {} };

const PING: Order = { sql: "SELECT 1", params: [], stage: "body", sender: anybody };
const ROLLBACK: Order = { sql: "ROLLBACK", params: [], stage: "rollback", sender: anybody };

/** A connection with what is needed to use it safely, for as long as it lives. */
export class Wire {
  readonly connection: Connection;
  readonly settings: DatabaseSettings;
  /** Whether somebody has it. */
  inUse = false;
  /** What is being read from it: nothing else is to be sent between. */
  reading: Reading | undefined;
  /** Why whoever has it can't go on: it was lost, or taken away. */
  gone: ClosedError | ConnectionLostError | undefined;
  /** Called when it is; of the transaction that runs on it, where somebody listens. */
  onGone: ((why: ClosedError | ConnectionLostError) => void) | undefined;
  #busy = false;
  #running: PromiseLike<unknown> | undefined;
  #destroyed = false;
  #lastSql: string | undefined;
  readonly #turns: WaitQueue<void>;

  /** @param lost Called when the connection is lost, also while nobody has it. */
  constructor(connection: Connection, settings: DatabaseSettings, lost?: () => void) {
    this.connection = connection;
    this.settings = settings;
    this.#turns = new WaitQueue({
      what: "query database",
      structure: "session",
      name: settings.name,
      behind: () => `${this.lastCommand} is running, ${this.#turns.size} waiting`,
    });
    connection.onLost?.((error) => {
      this.#lose(error);
      lost?.();
    });
  }

  get driver(): Driver {
    return this.settings.driver;
  }

  /** Whether it can still be used. */
  get usable(): boolean {
    return this.gone === undefined;
  }

  /** Whether a statement runs or waits, or rows are being read. */
  get busy(): boolean {
    return this.#busy || this.reading !== undefined;
  }

  /** What the last statement was, in a word. */
  get lastCommand(): string | undefined {
    return this.#lastSql === undefined ? undefined : commandIn(this.#lastSql);
  }

  /** Whether a transaction is open; `undefined` where only the server knows. */
  get inTransaction(): boolean | undefined {
    return this.usable ? this.connection.inTransaction?.() : false;
  }

  /**
   * Runs a statement in its turn, first come, first served. With an engine inside the process, and nothing running, the
   * result is there at once, and failures are thrown at once.
   *
   * **Abort** — waiting for its turn it leaves; running it is cancelled, and rejects when the connection is safe to use
   * again, or destroyed. The signal then wins over whatever the statement came to.
   */
  run(order: Order): Result | Promise<Result> {
    return this.#busy ? this.#runInTurn(order) : this.#start(order);
  }

  /** Whether the database answers through it. */
  async isAlive(): Promise<boolean> {
    if (!this.usable) return false;
    await this.run(PING);
    return true;
  }

  /** Has the database forget the settings made through it. */
  async reset(): Promise<void> {
    await this.connection.reset?.();
  }

  /** Waits, at most the grace, until nothing runs any more; what runs is cancelled. Destroys it otherwise. */
  async quiet(): Promise<void> {
    while (this.#running !== undefined && this.usable) await this.#interrupt(this.#running);
    await this.reading?.stop();
  }

  /** Rolls back, within its own limit. A connection on which that fails is destroyed, which rolls back as well. */
  async rollback(): Promise<void> {
    if (!this.usable) return;
    try {
      const result = this.run(ROLLBACK);
      if (isThenable(result)) await shield(this.settings.rollbackTimeoutMs, () => result);
    } catch (error) {
      if (observed()) emit("rollback.failed", "database", this.settings.name, { error });
      this.destroy("rollback failed", error);
    }
  }

  /** Ends it now: nothing can be sent any more, and the database rolls back what was open. */
  destroy(why: string, error: unknown): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#lose(error);
    if (observed()) emit("session.destroyed", "database", this.settings.name, { why, error });
    this.#close(true).catch((error) => {
      emit("close.failed", "database", this.settings.name, { error });
    });
  }

  /** Ends it under whoever has it, as the database is closed. */
  takeAway(): void {
    const where = subject("database", this.settings.name);
    const why = new ClosedError(
      `Cannot go on with session of ${where}: the database was closed, and the grace is over`,
    );
    this.destroy("database closed", why);
  }

  /** Ends it in good order. */
  async close(): Promise<void> {
    if (this.#destroyed) return;
    this.#destroyed = true;
    try {
      await shield(this.settings.cancelGraceMs, () => this.#close(false));
    } catch (error) {
      this.#destroyed = false;
      this.destroy("close failed", error);
    }
  }

  #lose(cause: unknown): void {
    if (this.gone !== undefined) return;
    const known = cause instanceof ClosedError || cause instanceof ConnectionLostError;
    this.gone = known ? cause : new ConnectionLostError(
      `Cannot go on with session of ${subject("database", this.settings.name)}: the connection was lost`,
      { dialect: this.driver.dialect, stage: "body", failure: "connection", cause },
    );
    this.onGone?.(this.gone);
  }

  async #close(force: boolean): Promise<void> {
    await this.connection.close({ force });
  }

  async #runInTurn(order: Order): Promise<Result> {
    await this.#turns.wait(undefined, order);
    // If the one before has failed, its failure is to be known before those that it causes.
    await undefined;
    return await this.#start(order);
  }

  #start(order: Order): Result | Promise<Result> {
    this.#busy = true;
    let result: Result | PromiseLike<Result>;
    try {
      if (order.signal?.aborted) throw order.signal.reason;
      order.sender.admit();
      if (this.gone !== undefined) throw this.#goneError(this.gone, order);
    } catch (error) {
      this.#next();
      throw error;
    }
    this.#lastSql = order.sql;
    const since = observed() ? clock().now() : 0;
    try {
      const { perform } = order;
      result = perform === undefined
        ? this.connection.query(order.sql, order.params)
        : perform(this.connection);
    } catch (error) {
      this.#next();
      throw this.#typed(error, order);
    }
    if (isThenable(result)) return this.#settle(result as PromiseLike<Result>, order, since);
    order.sender.succeeded?.(order.sql);
    this.#next();
    if (observed()) this.#tell(result as Result, since);
    return result as Result;
  }

  async #settle(pending: PromiseLike<Result>, order: Order, since: number): Promise<Result> {
    this.#running = pending;
    const { signal } = order;
    try {
      const result = await (signal === undefined ? pending : abortable(pending, signal));
      order.sender.succeeded?.(order.sql);
      if (observed()) this.#tell(result, since);
      return result;
    } catch (error) {
      if (!signal?.aborted) throw this.#typed(error, order);
      // What it came to is nobody's to know but the sender's, whose transaction it may have ended.
      const told = (cause: unknown): unknown => this.#typed(cause, order);
      if (await this.#interrupt(pending)) await pending.then(() => order.sender.succeeded?.(order.sql), told);
      throw signal.reason;
    } finally {
      this.#running = undefined;
      this.#next();
    }
  }

  /**
   * Stops what runs. Both sides are waited for: a cancel request that is still under way would strike the next one.
   *
   * @returns Whether it has ended; else its connection is destroyed.
   */
  async #interrupt(pending: PromiseLike<unknown>): Promise<boolean> {
    let over = false;
    const ended = Promise.allSettled([pending]).then(() => {
      over = true;
    });
    const cancel = async (): Promise<void> => {
      // One that gets there before the statement meets nothing, and the statement would run on, with its locks, even
      // when its connection is destroyed: again then, until it has ended.
      for (let pauseMs = 20; !over && this.usable; pauseMs *= 2) {
        await Promise.allSettled([this.connection.cancel!()]);
        if (!over) await shield(pauseMs, () => ended).catch(ignore);
      }
    };
    const both = Promise.all([ended, this.connection.cancel && cancel()]);
    try {
      await shield(this.settings.cancelGraceMs, () => both);
    } catch (error) {
      this.destroy("statement did not end", error);
    }
    return over;
  }

  #next(): void {
    // The turn passes on directly; it is never free in between, so nobody can barge.
    if (this.#turns.size === 0 || !this.#turns.grant(undefined)) this.#busy = false;
  }

  #tell({ command, rowCount }: Result, since: number): void {
    emit("query", "database", this.settings.name, {
      command: command ?? this.lastCommand,
      rowCount,
      durationMs: clock().now() - since,
    });
  }

  #goneError(
    cause: ClosedError | ConnectionLostError,
    { sql, stage, sender }: Order,
  ): ClosedError | ConnectionLostError {
    const { dialect } = this.driver;
    const error = this.#takenAway(stage) ?? new ConnectionLostError(
      `Cannot ${this.#doing(sql, stage)}: the connection was lost before`,
      { dialect, stage, failure: "connection", cause },
    );
    sender.refused({ kind: "connection", lost: true, txGone: true }, error);
    return error;
  }

  #typed(cause: unknown, { sql, stage, sender }: Order): unknown {
    const failure = this.driver.classify(cause);
    if (failure.kind === "usage") return cause;
    const { kind, state, lost, violation } = failure;
    const text = textOf(cause);
    const message = `Cannot ${this.#doing(sql, stage)}${limitOf(kind, sender, text)}: ${text}`;
    const options = { dialect: this.driver.dialect, stage, failure: kind, state, cause };
    let error: DatabaseError | ClosedError;
    if (lost) error = this.#takenAway(stage) ?? new ConnectionLostError(message, options);
    else if (violation !== undefined) error = new ConstraintError(message, { ...options, violation });
    else error = new (classes[kind] ?? DatabaseError)(message, options);
    sender.refused(failure, error);
    if (lost) this.destroy("connection lost", error);
    return error;
  }

  /** Why it was taken away, if it was; what became of a COMMIT is open all the same. */
  #takenAway(stage: DatabaseStage): ClosedError | undefined {
    return stage === "body" && this.gone instanceof ClosedError ? this.gone : undefined;
  }

  #doing(sql: string, stage: DatabaseStage): string {
    const doing = stage === "body" ? `run ${commandIn(sql)}` : `${stage} transaction`;
    return `${doing} on ${subject("database", this.settings.name)}`;
  }
}

/** The server's limit that was reached, as far as it was set with the transaction, and the server says it was that. */
function limitOf(kind: FailureKind, { modes }: Sender, text: string): string {
  if (kind !== "statementTimeout" && kind !== "lockTimeout" || !/\btimeout\b/.test(text)) return "";
  const ms = modes?.server?.[`${kind}Ms`];
  return ms === undefined ? "" : ` within its ${kind}Ms of ${ms} ms`;
}

/** The first word of a statement: enough to know it by, and never a value. */
export function commandIn(sql: string): string {
  return /^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*(\w+)/.exec(sql)?.[1]?.toUpperCase() ?? "statement";
}

/** What an error says, in the middle of a message of ours. */
export function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/[.\s]+$/, "");
}
