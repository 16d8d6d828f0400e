/** What is used of SQLite as runtimes bring it: what `node:sqlite` has. @module */

/** A database that is open. */
export interface Engine {
  readonly isTransaction: boolean;
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** What a statement has changed. */
export interface Changes {
  readonly changes: number | bigint;
  readonly lastInsertRowid: number | bigint;
}

/** A statement that was made ready. */
export interface Statement {
  /** Its text, as far as it was read: to the end of the first statement. */
  readonly sourceSQL: string;
  all(...params: unknown[]): unknown[];
  iterate(...params: unknown[]): Iterator<unknown>;
  run(...params: unknown[]): Changes;
  columns(): readonly unknown[];
  setReadBigInts(on: boolean): void;
  /** Gives up what it holds, where that does not go by itself. */
  finalize?(): void;
}

/** How a file is opened. */
export interface EngineOptions {
  readonly readOnly: boolean;
  /** How long a statement waits for the lock of another process, in milliseconds. */
  readonly timeout: number;
}

/** What an engine does otherwise than it should. */
export interface Quirks {
  /** Whether rows that are read one by one just end where an error comes up. */
  readonly hidesErrors: boolean;
  /** Whether rows are read once more with the columns of before, when another connection has changed them. */
  readonly keepsColumns: boolean;
}

/** Opens a file; gives `undefined` where the runtime has no such SQLite. */
export type OpenEngine = (file: string, options: EngineOptions) => Promise<Engine | undefined>;
