/**
 * SQLite as the runtime brings it: `node:sqlite`, which Node 22.13 and later, Deno and Bun have.
 *
 * @module
 */
import { checkBoolean, checkInteger, checkName, checkOptions } from "../../kernel/checks.ts";
import type { Connection, Driver, Result } from "../driver.ts";
import { begin, classify, commandOf, holdsStatement, READ_ONLY } from "./_sqlite_shared.ts";

/** Options of {@linkcode sqliteDriver}. */
export interface SqliteOptions {
  /** The path of the database file, made if it is missing (its folder is not), or `":memory:"`. */
  file: string;
  /** Opens without the right to write; the file must exist. Default false. */
  readOnly?: boolean;
  /**
   * How long a statement waits for the lock of another process, in milliseconds. Default 20: nothing else runs in this
   * process meanwhile. Transactions wait longer by themselves, without blocking (`lockTimeoutMs` of `Database`).
   */
  busyTimeoutMs?: number;
  /** Settings over the defaults `journal_mode: "wal"`, `synchronous: "normal"` and `foreign_keys: true`. */
  pragmas?: Readonly<Record<string, string | number | boolean>>;
  /** Whether integers are read as bigint. Default false: numbers, and an error for what a number can't hold. */
  bigints?: boolean;
}

/** What is used of `node:sqlite`. */
interface Engine {
  readonly isTransaction: boolean;
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

interface Statement {
  readonly sourceSQL: string;
  all(...params: unknown[]): unknown[];
  run(...params: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  columns(): readonly unknown[];
  setReadBigInts(on: boolean): void;
}

/** A statement made ready, with what is to be known of it at each run. */
interface Prepared {
  readonly statement: Statement;
  readonly command: string;
  readonly returnsRows: boolean;
  readonly changesRows: boolean;
  readonly changesSchema: boolean;
  readonly turnsReadOnly: boolean;
  /** The result of one that neither returns nor changes rows: always the same. */
  readonly done: Result;
}

const STATEMENTS_KEPT = 128;
const changing = new Set(["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"]);
const harmless = new Set([...changing, "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA"]);
const NO_ROWS: readonly unknown[] = Object.freeze([]);

class SqliteConnection implements Connection {
  readonly raw: Engine;
  readonly #bigints: boolean;
  readonly #prepared = new Map<string, Prepared>();
  #queryOnly = false;

  constructor(engine: Engine, bigints: boolean) {
    this.raw = engine;
    this.#bigints = bigints;
  }

  query(sql: string, params: readonly unknown[]): Result {
    const prepared = this.#prepared.get(sql) ?? this.#prepare(sql);
    const { statement, command } = prepared;
    if (prepared.returnsRows) {
      const rows = params.length === 0 ? statement.all() : statement.all(...bindable(params));
      return { rows, rowCount: rows.length, command };
    }
    const { changes, lastInsertRowid } = params.length === 0
      ? statement.run()
      : statement.run(...bindable(params));
    if (prepared.changesRows) {
      return { rows: NO_ROWS, rowCount: Number(changes), command, insertId: lastInsertRowid };
    }
    // Deno would read once more with the columns of before.
    if (prepared.changesSchema) this.#prepared.clear();
    if (prepared.turnsReadOnly) this.#queryOnly = true;
    else if (this.#queryOnly && !this.raw.isTransaction) {
      this.raw.exec("PRAGMA query_only = OFF");
      this.#queryOnly = false;
    }
    return prepared.done;
  }

  inTransaction(): boolean {
    return this.raw.isTransaction;
  }

  close(): Promise<void> {
    this.#prepared.clear();
    this.raw.close();
    return Promise.resolve();
  }

  #prepare(sql: string): Prepared {
    const statement = this.raw.prepare(sql);
    if (holdsStatement(sql.slice(statement.sourceSQL.length))) {
      throw new TypeError("Cannot run SQL as it must be one statement: the ones after the first are not run");
    }
    if (this.#bigints) statement.setReadBigInts(true);
    const command = commandOf(sql);
    const prepared: Prepared = {
      statement,
      command,
      returnsRows: statement.columns().length > 0,
      // SQLite repeats the figures of the last change for statements that change no rows.
      changesRows: changing.has(command),
      changesSchema: !harmless.has(command),
      turnsReadOnly: sql === READ_ONLY,
      done: Object.freeze({ rows: NO_ROWS, rowCount: 0, command }),
    };
    if (this.#prepared.size >= STATEMENTS_KEPT) this.#prepared.delete(this.#prepared.keys().next().value!);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** Refuses what the runtimes bind each in their own way: a Date, for one, as NULL. */
function bindable(params: readonly unknown[]): readonly unknown[] {
  let values = params;
  for (let i = 0; i < params.length; i++) {
    const value = params[i];
    const type = typeof value;
    if (type === "string" || type === "number" || value === null || type === "bigint") continue;
    if (value instanceof Uint8Array) continue;
    if (type !== "boolean") {
      const kind = type === "object" ? value!.constructor?.name ?? "object" : type;
      throw new TypeError(
        `Cannot bind parameter ${
          i + 1
        } as it must be null, a number, bigint, string, boolean or Uint8Array: ` +
          `received ${kind}`,
      );
    }
    if (values === params) values = [...params];
    (values as unknown[])[i] = value ? 1 : 0;
  }
  return values;
}

/**
 * The driver for an SQLite database in a file, through the runtime's own `node:sqlite`.
 *
 * **Blocking** — SQLite runs inside the process: nothing else does while a statement runs, and an abort is heeded
 * between statements. **Concurrency** — one connection per `Database`; several processes may use one file, writers one
 * after the other. **Durability** — with the defaults, what was committed survives any end of the process; a power cut
 * may take the last commits, never the consistency: `pragmas: { synchronous: "full" }` keeps those too, for a wait on
 * the disk per transaction. **Values** — null, number, bigint, string, boolean (as 0 and 1) and `Uint8Array` can be
 * bound; a Date can't, as SQLite has no such type. **One statement** per query. Node prints an `ExperimentalWarning`
 * when SQLite is first used; `NODE_OPTIONS=--disable-warning=ExperimentalWarning` hides it.
 *
 * @throws {TypeError | RangeError} For bad options. A file that can't be opened shows when the `Database` first connects.
 *
 * @example
 * ```ts
 * import { Database } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using db = new Database(sqliteDriver({ file: ":memory:" }));
 * const { rows } = await db.transaction((tx) => tx.query<{ sum: number }>("select ? + ? as sum", [1, 2]));
 * assert.deepEqual(rows[0]?.sum, 3);
 * ```
 */
export function sqliteDriver(options: SqliteOptions): Driver {
  const doing = "create SQLite driver";
  checkOptions(doing, options ?? null);
  const { file, readOnly = false, busyTimeoutMs = 20, bigints = false } = options;
  checkName(doing, file ?? null, "file");
  if (file === "") throw new RangeError(`Cannot ${doing} as file must be a path: received ""`);
  checkBoolean(doing, "readOnly", readOnly);
  checkBoolean(doing, "bigints", bigints);
  checkInteger(doing, "busyTimeoutMs", busyTimeoutMs, 0, 2 ** 31 - 1);
  const defaults = {
    ...(readOnly ? {} : { journal_mode: "wal" }),
    synchronous: "normal",
    foreign_keys: true,
  };
  const pragmas = Object.entries({ ...defaults, ...options.pragmas }).map(([name, value]) => {
    if (!/^\w+$/.test(name) || !/^[\w-]+$/.test(String(value))) {
      throw new RangeError(`Cannot ${doing} as pragmas must be plain words: received ${name} = ${value}`);
    }
    return `PRAGMA ${name} = ${value}`;
  });
  return {
    name: "node:sqlite",
    dialect: "sqlite",
    target: file,
    maxSessions: 1,
    begin,
    classify,
    async connect() {
      const { DatabaseSync } = await import("node:sqlite");
      const engine = new DatabaseSync(file, { readOnly, timeout: busyTimeoutMs }) as unknown as Engine;
      try {
        for (const pragma of pragmas) engine.prepare(pragma).run();
        return new SqliteConnection(engine, bigints);
      } catch (error) {
        engine.close();
        throw error;
      }
    },
  };
}
