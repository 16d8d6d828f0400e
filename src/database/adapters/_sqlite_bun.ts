/** SQLite through `bun:sqlite`, for versions of Bun without `node:sqlite`: made to look like that. @module */
import type { Changes, Engine, EngineOptions, Statement } from "./_sqlite_engine.ts";
import { holdsStatement } from "./_sqlite_shared.ts";

type Row = Record<string, unknown>;

interface BunStatement {
  readonly columnNames: readonly string[];
  readonly paramsCount: number;
  all(...params: unknown[]): Row[];
  iterate(...params: unknown[]): IterableIterator<Row>;
  run(...params: unknown[]): Changes;
  finalize(): void;
  toString(): string;
}

interface BunDatabase {
  readonly inTransaction: boolean;
  run(sql: string): unknown;
  prepare(sql: string): BunStatement;
  close(): void;
}

interface BunModule {
  readonly Database: new (file: string, options: object) => BunDatabase;
}

/** Opens a file; `undefined` on other runtimes. */
export async function openBunSqlite(
  file: string,
  { readOnly, timeout }: EngineOptions,
): Promise<Engine | undefined> {
  if (!("Bun" in globalThis)) return undefined;
  // By a name that is not written out: who bundles for elsewhere would be asked for it.
  const name = "bun:sqlite";
  const { Database } = await import(name) as BunModule;
  const mode = readOnly ? { readonly: true } : { readwrite: true, create: true };
  const database = new Database(file, { ...mode, safeIntegers: true });
  database.run(`PRAGMA busy_timeout = ${timeout}`);
  return new BunEngine(database);
}

class BunEngine implements Engine {
  readonly #database: BunDatabase;

  constructor(database: BunDatabase) {
    this.#database = database;
  }

  get isTransaction(): boolean {
    return this.#database.inTransaction;
  }

  exec(sql: string): void {
    this.#database.run(sql);
  }

  prepare(sql: string): Statement {
    return new BunEngineStatement(this.#database, sql);
  }

  close(): void {
    this.#database.close();
  }
}

class BunEngineStatement implements Statement {
  readonly sourceSQL: string;
  readonly #database: BunDatabase;
  #statement: BunStatement;
  #bigints = false;

  constructor(database: BunDatabase, sql: string) {
    this.#database = database;
    this.#statement = database.prepare(sql);
    // It gives the text with its values: the same text where there are none, as in triggers, with semicolons inside.
    this.sourceSQL = this.#statement.paramsCount === 0 ? this.#statement.toString() : firstStatement(sql);
  }

  all(...params: unknown[]): unknown[] {
    const rows = this.#statement.all(...params);
    if (!this.#bigints) { for (const row of rows) toNumbers(row); }
    return rows;
  }

  iterate(...params: unknown[]): Iterator<unknown> {
    const rows = this.#statement.iterate(...params);
    let ended = false;
    return {
      next: () => {
        const result = rows.next();
        ended = result.done === true;
        return ended || this.#bigints ? result : { done: false, value: toNumbers(result.value) };
      },
      return: () => {
        if (!ended) {
          // It would stay in the midst of its rows, and keep their tables from being changed.
          this.#statement.finalize();
          this.#statement = this.#database.prepare(this.sourceSQL);
        }
        return { done: true, value: undefined };
      },
    };
  }

  run(...params: unknown[]): Changes {
    return this.#statement.run(...params);
  }

  columns(): readonly string[] {
    return this.#statement.columnNames;
  }

  setReadBigInts(on: boolean): void {
    this.#bigints = on;
  }

  finalize(): void {
    this.#statement.finalize();
  }
}

/** All integers are read as bigints: read as numbers, those that a number can't hold would be rounded. */
function toNumbers(row: Row): Row {
  for (const column in row) row[column] = toNumber(row[column]);
  return row;
}

function toNumber(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw Object.assign(new RangeError(`Cannot read ${value} as a number: it is too large`), {
    code: "ERR_OUT_OF_RANGE",
  });
}

/** Texts, quoted names and comments; then what ends a statement. */
const PARTS = /'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[^]*?(?:\*\/|$)|(;)/g;

/** A text to the end of its first statement; not for triggers, which take no values. */
function firstStatement(sql: string): string {
  for (const { 1: end, index } of sql.matchAll(PARTS)) {
    if (end !== undefined && holdsStatement(sql.slice(0, index))) return sql.slice(0, index + 1);
  }
  return sql;
}
