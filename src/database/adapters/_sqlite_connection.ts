/** One connection of SQLite. */
import type { Connection, Result, RowReader } from "../driver.ts";
import type { Changes, Engine, Quirks, Statement } from "./_sqlite_engine.ts";
import { placeholdersIn } from "./_sqlite_placeholders.ts";
import {
  bindable,
  changesRows,
  commandOf,
  holdsStatement,
  mayChangeSchema,
  READ_ONLY,
} from "./_sqlite_shared.ts";

/** A statement made ready, with what is to be known of it at each run. */
interface Prepared {
  readonly statement: Statement;
  readonly command: string;
  /** How many values it takes. */
  readonly placeholders: number;
  readonly returnsRows: boolean;
  readonly changesRows: boolean;
  readonly changesSchema: boolean;
  readonly turnsReadOnly: boolean;
  /** The result of one that neither returns nor changes rows: always the same. */
  readonly done: Result;
}

const STATEMENTS_KEPT = 128;
const NO_ROWS: readonly unknown[] = Object.freeze([]);

/** A connection; keeps the statements it has prepared. */
export class SqliteConnection implements Connection {
  readonly raw: Engine;
  readonly #bigints: boolean;
  readonly #quirks: Quirks;
  readonly #prepared = new Map<string, Prepared>();
  #queryOnly = false;
  /** Whether the transaction that is open has changed the schema. */
  #schemaChanged = false;

  #schema: Statement | undefined;
  #schemaVersion: unknown;
  /** Whether the transaction that is open is known to see the schema of that version. */
  #schemaSeen = false;

  constructor(engine: Engine, bigints: boolean, quirks: Quirks) {
    this.raw = engine;
    this.#bigints = bigints;
    this.#quirks = quirks;
  }

  query(sql: string, params: readonly unknown[]): Result {
    const prepared = this.#preparedFor(sql, params);
    const { command } = prepared;
    const outcome = carryOut(prepared, params);
    if (Array.isArray(outcome)) return { rows: outcome, rowCount: outcome.length, command };
    const { changes, lastInsertRowid } = outcome;
    if (prepared.changesRows) {
      return { rows: NO_ROWS, rowCount: Number(changes), command, insertId: this.#idOf(lastInsertRowid) };
    }
    // Deno would read once more with the columns of before.
    if (prepared.changesSchema || (this.#schemaChanged && command === "ROLLBACK")) this.#forget();
    this.#schemaChanged = this.raw.isTransaction && (this.#schemaChanged || prepared.changesSchema);
    if (command === "BEGIN" || command === "SAVEPOINT") this.#schemaSeen = false;
    if (prepared.turnsReadOnly) this.#queryOnly = true;
    else if (this.#queryOnly && !this.raw.isTransaction) {
      this.raw.exec("PRAGMA query_only = OFF");
      this.#queryOnly = false;
    }
    return prepared.done;
  }

  stream(sql: string, params: readonly unknown[]): RowReader {
    const prepared = this.#preparedFor(sql, params);
    const { statement, command } = prepared;
    if (!prepared.returnsRows) {
      throw new TypeError(`Cannot stream ${command} as it must return rows: it returns none`);
    }
    const values = bindable(params);
    const rows = this.#quirks.hidesErrors
      ? within(command, () => statement.all(...values))[Symbol.iterator]()
      : statement.iterate(...values);
    return {
      read(maxRows) {
        const some: unknown[] = [];
        while (some.length < maxRows) {
          const { done, value } = within(command, () => rows.next());
          if (done) break;
          some.push(Object.setPrototypeOf(value, Object.prototype));
        }
        return some;
      },
      // Its statement would keep its tables from being changed.
      close: () => void rows.return?.(),
    };
  }

  inTransaction(): boolean {
    return this.raw.isTransaction;
  }

  close(): Promise<void> {
    this.#forget();
    this.raw.close();
    return Promise.resolve();
  }

  #preparedFor(sql: string, params: readonly unknown[]): Prepared {
    let prepared = this.#prepared.get(sql);
    if (this.#quirks.keepsColumns && prepared?.returnsRows !== false) {
      this.#lookAtSchema();
      prepared = this.#prepared.get(sql);
    }
    prepared ??= this.#prepare(sql);
    const { command, placeholders } = prepared;
    if (params.length === placeholders) return prepared;
    const takes = `${placeholders} ${placeholders === 1 ? "value" : "values"}`;
    throw new TypeError(`Cannot run ${command} as it takes ${takes}: received ${params.length}`);
  }

  #prepare(sql: string): Prepared {
    // Not to be left to the engines: of nothing, Deno makes a statement that crashes the process, Bun one that is lost.
    if (!holdsStatement(sql)) {
      throw new TypeError("Cannot run SQL as it must be one statement: received none");
    }
    if (sql.includes("\0")) {
      throw new TypeError("Cannot run SQL as it must hold no NUL character: SQLite reads no further");
    }
    const statement = this.raw.prepare(sql);
    if (holdsStatement(sql.slice(statement.sourceSQL.length))) {
      throw new TypeError("Cannot run SQL as it must be one statement: the ones after the first are not run");
    }
    const returnsRows = statement.columns().length > 0;
    // With the key of an earlier statement that a number can't hold, one that returns none would fail once it is done.
    if (this.#bigints || !returnsRows) statement.setReadBigInts(true);
    const command = commandOf(sql);
    const prepared: Prepared = {
      statement,
      command,
      placeholders: placeholdersIn(sql, command),
      returnsRows,
      // SQLite repeats the figures of the last change for statements that change no rows.
      changesRows: changesRows(command),
      changesSchema: mayChangeSchema(command),
      turnsReadOnly: sql === READ_ONLY,
      done: Object.freeze({ rows: NO_ROWS, rowCount: 0, command }),
    };
    if (this.#prepared.size >= STATEMENTS_KEPT) {
      const [oldest, { statement }] = this.#prepared.entries().next().value!;
      this.#prepared.delete(oldest);
      statement.finalize?.();
    }
    this.#prepared.set(sql, prepared);
    return prepared;
  }

  /** As a number where that can hold it. */
  #idOf(rowid: number | bigint): number | bigint {
    const id = Number(rowid);
    return this.#bigints || !Number.isSafeInteger(id) ? rowid : id;
  }

  /** Another connection may have changed the schema, but for a transaction that has read already. */
  #lookAtSchema(): void {
    if (this.#schemaSeen && this.raw.isTransaction) return;
    this.#schema ??= this.raw.prepare("PRAGMA schema_version");
    const { schema_version: version } = this.#schema.all()[0] as { schema_version: unknown };
    if (version !== this.#schemaVersion) {
      // Running anything has the engine read the schema anew: what is prepared before that has the columns of before.
      this.raw.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").all();
      this.#forget();
    }
    this.#schemaVersion = version;
    this.#schemaSeen = this.raw.isTransaction;
  }

  #forget(): void {
    for (const { statement } of this.#prepared.values()) statement.finalize?.();
    this.#prepared.clear();
  }
}

function carryOut(
  { statement, returnsRows, command }: Prepared,
  params: readonly unknown[],
): unknown[] | Changes {
  const values = params.length === 0 ? params : bindable(params);
  return within(command, () => {
    if (!returnsRows) return statement.run(...values);
    const rows = statement.all(...values);
    // They come without a prototype, and would equal no object that a test writes down.
    for (const row of rows) Object.setPrototypeOf(row, Object.prototype);
    return rows;
  });
}

/** Explains what the runtimes only hint at. */
function within<T>(command: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!isOutOfRange(cause)) throw cause;
    throw new RangeError(
      `Cannot read result of ${command} as its integers must fit in a number: set bigints: true in the driver's options`,
      { cause },
    );
  }
}

/** By name and code: the sandboxes of test runners have classes of their own. */
function isOutOfRange(error: unknown): boolean {
  const { name, code } = error as { name?: unknown; code?: unknown };
  return name === "RangeError" && code === "ERR_OUT_OF_RANGE";
}
