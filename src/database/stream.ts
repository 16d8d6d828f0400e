/** Rows read bit by bit: by a cursor in PostgreSQL, elsewhere as the driver does it. */
import { linkSignals } from "../cancel/link_signals.ts";
import { shield } from "../cancel/timeout.ts";
import { checkInteger, checkOptions, checkSignal } from "../kernel/checks.ts";
import { isThenable } from "../kernel/deferred.ts";
import { besideStream, checkStatement, compiled, type Statement } from "./_statement.ts";
import type { Failure, Result, RowReader, TxModes } from "./driver.ts";
import type { CompiledSql } from "./sql.ts";
import { anybody, commandIn, type Order, type Reading, type Sender, type Wire } from "./wire.ts";

/** Options of {@linkcode Session.stream}. */
export interface StreamOptions {
  /** How many rows are asked for at once, 1 to 10,000. Default 100. */
  batchRows?: number | undefined;
  /** Ends it: the next row asked for, or being waited for, rejects with its reason. */
  signal?: AbortSignal | undefined;
}

/** Where the rows are read. */
export interface StreamPlace {
  readonly wire: Wire;
  readonly sender: Sender;
  /** The signal of the transaction it is in. */
  readonly limits?: AbortSignal;
  /** Whether it is in a transaction of ours. */
  readonly inside?: boolean;
  /** Given back afterwards. */
  readonly lease?: AsyncDisposable;
}

interface StreamCall extends Statement {
  readonly options: StreamOptions | undefined;
}

/**
 * The rows of a statement.
 *
 * @param enter Goes to where they are to be read, when the first is asked for.
 */
export function streamRows<R>(
  call: StreamCall,
  enter: () => StreamPlace | Promise<StreamPlace>,
): AsyncIterable<R> {
  checkStatement("stream", call);
  checkOptions("stream", call.options ?? undefined);
  const { batchRows = 100, signal } = call.options ?? {};
  checkInteger("stream", "batchRows", batchRows, 1, 10_000);
  checkSignal("stream", signal);
  return { [Symbol.asyncIterator]: () => rows<R>(call, enter, batchRows, signal) };
}

async function* rows<R>(
  call: StreamCall,
  enter: () => StreamPlace | Promise<StreamPlace>,
  batchRows: number,
  given: AbortSignal | undefined,
): AsyncGenerator<R, void, void> {
  if (given?.aborted) throw given.reason;
  const place = await enter();
  const { wire, limits, lease } = place;
  const both = given !== undefined && limits !== undefined ? linkSignals(given, limits) : undefined;
  const signal = both?.signal ?? given ?? limits;
  try {
    if (wire.reading !== undefined) throw besideStream("stream", wire);
    const stream = new Stream(place, compiled(call, wire.driver.dialect), signal);
    wire.reading = stream;
    try {
      await stream.open();
      for (;;) {
        const some = await stream.read(batchRows);
        for (const row of some) {
          // The consumer may have taken its time.
          if (signal?.aborted) throw signal.reason;
          yield row as R;
        }
        if (some.length < batchRows) return;
      }
    } finally {
      await stream.close();
      if (wire.reading === stream) wire.reading = undefined;
    }
  } finally {
    both?.[Symbol.dispose]();
    await lease?.[Symbol.asyncDispose]();
  }
}

/** What reads the rows of one stream: its statements, in their turn, until it is closed. */
class Stream implements Reading, Sender {
  readonly command: string;
  readonly #place: StreamPlace;
  readonly #statement: CompiledSql;
  readonly #signal: AbortSignal | undefined;
  /** A cursor is read from by statements; other readers are the driver's. */
  #reader: "cursor" | RowReader | undefined;
  /** Whether it has begun a transaction for itself. */
  #begun = false;
  /** What is to be noted when the next statement is sent. */
  #sent: (() => void) | undefined;
  /** Whether a cursor was asked for. */
  #declared = false;
  /** Whether a statement of it was refused: then PostgreSQL takes nothing more in this transaction. */
  #failed = false;
  /** Whether nothing is left to be closed. */
  #over = false;
  #stopped = false;

  constructor(place: StreamPlace, statement: CompiledSql, signal: AbortSignal | undefined) {
    this.#place = place;
    this.#statement = statement;
    this.#signal = signal;
    this.command = commandIn(statement.text);
  }

  /** Sends what comes before the first rows. */
  async open(): Promise<void> {
    const { wire, inside } = this.#place;
    const { text, params } = this.#statement;
    const { driver, connection } = wire;
    if (driver.dialect !== "postgres" || connection.stream !== undefined) return;
    if (!READ_BY_CURSOR.test(this.command)) {
      throw new TypeError(
        `Cannot stream ${this.command} as PostgreSQL reads only SELECT, VALUES, TABLE and WITH by a cursor: query it`,
      );
    }
    this.#reader = "cursor";
    if (!inside && !wire.inTransaction) {
      for (const sql of driver.begin({ readOnly: true })) await this.#run({ sql }, () => this.#begun = true);
    }
    const sql = `DECLARE ${CURSOR} NO SCROLL CURSOR FOR ${text}`;
    await this.#run({ sql, params }, () => this.#declared = true);
  }

  /** The next rows; fewer than asked for are the last ones. */
  async read(batchRows: number): Promise<readonly unknown[]> {
    const { text: sql } = this.#statement;
    if (this.#reader === "cursor") {
      const { rows } = await this.#run({ sql: `FETCH ${batchRows} FROM ${CURSOR}` });
      return rows;
    }
    const { rows } = await this.#run({ sql, perform: () => this.#perform(batchRows) });
    if (rows.length < batchRows) this.#over = true;
    return rows;
  }

  /** Leaves the rest, in good order. Never throws. */
  async close(): Promise<void> {
    const { wire } = this.#place;
    if (this.#stopped || !wire.usable) return;
    if (this.#reader !== "cursor") return await this.stop();
    this.#stopped = true;
    if (this.#begun) return await wire.rollback();
    if (!this.#declared || this.#failed || wire.inTransaction === false) return;
    await this.#within(
      wire.settings.rollbackTimeoutMs,
      () => wire.run({ sql: CLOSE, params: [], stage: "body", sender: anybody }),
    );
  }

  /** Leaves the rest, when what is around it ends: a cursor goes with its transaction. */
  async stop(): Promise<void> {
    const { wire } = this.#place;
    const reader = this.#reader;
    if (this.#stopped) return;
    this.#stopped = true;
    if (wire.reading === this) wire.reading = undefined;
    if (this.#over || reader === "cursor" || reader === undefined || !wire.usable) return;
    await this.#within(wire.settings.cancelGraceMs, () => reader.close());
  }

  #perform(batchRows: number): Result | PromiseLike<Result> {
    const { text, params } = this.#statement;
    const { connection } = this.#place.wire;
    if (connection.stream === undefined) {
      // All at once, whatever was asked for: it reads no further then.
      const all = this.#over ? NO_ROWS : connection.query(text, params);
      this.#over = true;
      return all;
    }
    const reader = this.#reader ??= connection.stream(text, params);
    const some = (reader as RowReader).read(batchRows);
    return isThenable(some) ? (some as PromiseLike<readonly unknown[]>).then(resultOf) : resultOf(some);
  }

  async #run(
    what: Pick<Order, "sql" | "perform"> & Partial<Pick<Order, "params">>,
    sent?: () => void,
  ): Promise<Result> {
    const { wire, sender } = this.#place;
    // What is around it says why nothing more can be read.
    if (this.#stopped) sender.admit();
    this.#sent = sent;
    return await wire.run({ params: [], stage: "body", ...what, sender: this, signal: this.#signal });
  }

  get modes(): TxModes | undefined {
    return this.#place.sender.modes;
  }

  admit(): void {
    this.#place.sender.admit();
    this.#sent?.();
  }

  succeeded(sql: string): void {
    this.#place.sender.succeeded?.(sql);
  }

  refused(failure: Failure, error: unknown): void {
    this.#failed = true;
    this.#place.sender.refused(failure, error);
  }

  async #within(ms: number, work: () => unknown): Promise<void> {
    try {
      const done = work();
      if (isThenable(done)) await shield(ms, () => done);
    } catch (error) {
      this.#place.wire.destroy("stream did not end", error);
    }
  }
}

/** First words; a statement in parentheses has none. */
const READ_BY_CURSOR = /^(?:SELECT|VALUES|TABLE|WITH|statement)$/;
/** One at a time is open on a connection. */
const CURSOR = "uno_stream";
const CLOSE = `CLOSE ${CURSOR}`;
const NO_ROWS: Result = Object.freeze({ rows: Object.freeze([]), rowCount: 0 });

function resultOf(rows: readonly unknown[]): Result {
  return { rows, rowCount: rows.length };
}
