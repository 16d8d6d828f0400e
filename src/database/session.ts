import { linkSignals } from "../cancel/link_signals.ts";
import { timeout } from "../cancel/timeout.ts";
import { checkWaitOptions, subject } from "../kernel/checks.ts";
import { ClosedError } from "../kernel/errors.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { HoldOptions, WaitOptions } from "../kernel/types.ts";
import type { Result } from "./driver.ts";
import type { Sql } from "./sql.ts";
import { besideStream, checkStatement, compiled, type Statement } from "./_statement.ts";
import { type StreamOptions, streamRows } from "./stream.ts";
import type { Order, Sender, Wire } from "./wire.ts";

/** What a statement gives, with its rows typed. */
export interface QueryResult<R = Record<string, unknown>> {
  /** The rows it returned. */
  readonly rows: readonly R[];
  /** How many rows it returned or, for a statement that returns none, changed. */
  readonly rowCount: number;
  /** What the database says it did, such as `INSERT`. */
  readonly command?: string | undefined;
  /** The key made for the last inserted row, where the database tells. */
  readonly insertId?: number | bigint | undefined;
}

/** Something that statements can be sent through. */
export interface Session {
  /**
   * Runs one statement.
   *
   * **Order** — one at a time, first come, first served. **Abort** — before its turn it does not run; while it runs it is
   * cancelled where the database can, and the rejection is the signal's reason. **End** — after the session or
   * transaction has ended, statements are refused, those that still wait for their turn included.
   *
   * @param sql One statement: made by {@linkcode sql}, or a text with the database's own placeholders. Never put values
   * into a text.
   * @param params The values of the placeholders of a text.
   * @param options `signal` and `timeoutMs` bound this statement, the wait for its turn included.
   * @throws {DatabaseError} When the database refuses it, by kind.
   * @throws {ClosedError} When the database is closed and the grace is over, also while it runs.
   * @throws {TypeError} When a parameter can't be bound.
   * @throws The reason of `signal`, unchanged.
   */
  query<R = Record<string, unknown>>(
    sql: string | Sql,
    params?: readonly unknown[],
    options?: WaitOptions,
  ): Promise<QueryResult<R>>;
  /**
   * The rows of a statement that returns some, read bit by bit: for more of them than should be in memory at once.
   *
   * Nothing is sent before it is iterated, and each iteration runs the statement. **Back-pressure** — the next rows are
   * asked for when the ones before were taken. **Leaving early** — by `break`, `return` or a throw in the loop: the rest is
   * left, and the session is free again when the loop has ended. **Abort** — the next row asked for, or being waited
   * for, rejects with the signal's reason, and the rest is left. **Beside it** — the session is busy from the first row
   * asked for to the end: another statement is a `MisuseError`, as is `commit()`; a roll-back ends it.
   * **PostgreSQL** — by a cursor; outside of a transaction in one of its own, which only reads. **MySQL** — the server
   * sends ahead what fits on the line. **SQLite** — a snapshot is held, and other connections write on.
   *
   * @param options `batchRows` is how many rows are asked for at once, 1 to 10,000; default 100. `signal` ends it.
   * @throws {TypeError | RangeError} For bad arguments, at once; all else when a row is asked for.
   * @throws {MisuseError} When the session has another stream open.
   * @throws {DatabaseError} When the database refuses the statement, by kind.
   */
  stream<R = Record<string, unknown>>(
    sql: string | Sql,
    params?: readonly unknown[],
    options?: StreamOptions,
  ): AsyncIterable<R>;
}

/** Something that sessions can be had from: a `Database`. */
export interface SessionSource {
  /** Waits for a session and holds it until disposed. */
  session(options?: HoldOptions): Promise<Session & AsyncDisposable>;
}

/** How a transaction asks for its session, unless it has anything to say of itself. */
export const FOR_TRANSACTION: HoldOptions & { readonly label: string } = Object.freeze({
  label: "transaction",
});

/** What a user asks for, and within what. */
export interface Call extends Statement {
  readonly options: WaitOptions | undefined;
}

/**
 * Checks and sends a statement of a user, within its own limits and the signal of the transaction around it. As
 * {@linkcode Wire.run}, it answers and throws at once when it can.
 */
export function send(wire: Wire, sender: Sender, call: Call, signal?: AbortSignal): Result | Promise<Result> {
  const { options } = call;
  checkStatement("query", call);
  const { text: sql, params } = compiled(call, wire.driver.dialect);
  if (wire.reading !== undefined) throw besideStream("query", wire);
  const order: Order = { sql, params, stage: "body", sender, signal };
  return options === undefined ? wire.run(order) : runWithin(wire, order, options);
}

async function runWithin(wire: Wire, order: Order, options: WaitOptions): Promise<Result> {
  checkWaitOptions("query", options);
  const { signal, timeoutMs = Infinity } = options;
  using limit = timeout(timeoutMs, {
    signal,
    operation: `query on ${subject("database", wire.settings.name)}`,
  });
  using both = linkSignals(limit.signal, order.signal);
  return await wire.run({ ...order, signal: both.signal });
}

/** A session in somebody's hands: what `Database.session()` gives. */
export class LeasedSession implements Session, AsyncDisposable, Sender {
  readonly wire: Wire;
  readonly #giveBack: () => void;
  #held = true;
  #used = false;

  /** @param giveBack Called once, when the session has been put in order. */
  constructor(wire: Wire, giveBack: () => void) {
    this.wire = wire;
    this.#giveBack = giveBack;
  }

  query<R>(sql: string | Sql, params?: readonly unknown[], options?: WaitOptions): Promise<QueryResult<R>> {
    this.#used = true;
    try {
      const result = send(this.wire, this, { sql, params, options });
      return Promise.resolve(result) as Promise<QueryResult<R>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  stream<R>(sql: string | Sql, params?: readonly unknown[], options?: StreamOptions): AsyncIterable<R> {
    return streamRows<R>({ sql, params, options }, () => {
      this.#used = true;
      return { wire: this.wire, sender: this };
    });
  }

  admit(): void {
    if (this.#held) return;
    throw new ClosedError(
      `Cannot query ${subject("database", this.wire.settings.name)}: the session was given back before`,
    );
  }

  refused(): void {}

  /** Gives it back; at once, without a promise, when there is nothing to put in order. Again: does nothing. */
  release(): Promise<void> | undefined {
    if (!this.#held) return undefined;
    this.#held = false;
    if (!this.wire.busy && this.#provablyIdle()) {
      this.#giveBack();
      return undefined;
    }
    return this.#putInOrder();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  /** No transaction open, as far as the driver knows; where it does not, as far as only we sent anything. */
  #provablyIdle(): boolean {
    return !this.wire.usable || this.wire.inTransaction === false ||
      (this.wire.inTransaction === undefined && !this.#used);
  }

  async #putInOrder(): Promise<void> {
    const { wire } = this;
    try {
      await wire.quiet();
      if (wire.inTransaction && observed()) emit("session.dirty", "database", wire.settings.name);
      if (wire.inTransaction) await wire.rollback();
      if (!this.#provablyIdle()) wire.destroy("may hold an open transaction", undefined);
    } finally {
      this.#giveBack();
    }
  }
}
