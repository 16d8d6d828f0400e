/**
 * The driver port: what the database wing needs to know of a database, and all an adapter has to offer.
 *
 * A driver speaks of one physical connection at a time and pools nothing: transactions, queueing, typed errors, retries
 * and clean-up stand above it, once for all databases. Building queries, mapping types and preparing statements are the
 * driver's own business.
 */

/** The family of SQL a driver speaks. */
export type Dialect = "postgres" | "mysql" | "sqlite";

/** Isolation levels of the SQL standard that a driver may offer; a database may give a stricter one. */
export type IsolationLevel = "read committed" | "repeatable read" | "serializable";

/** Limits in milliseconds that the server keeps by itself: they hold even when this process has frozen. */
export interface ServerLimits {
  /** How long a statement may take. */
  readonly statementTimeoutMs?: number | undefined;
  /** How long a statement may wait for a lock. */
  readonly lockTimeoutMs?: number | undefined;
  /** How long the transaction may stay open without a statement; the connection is closed then. */
  readonly idleTimeoutMs?: number | undefined;
}

/** How a transaction is to be begun. */
export interface TxModes {
  /** The isolation level; the database's own default without. */
  readonly isolation?: IsolationLevel | undefined;
  /** Whether it only reads. Writing in it fails. */
  readonly readOnly?: boolean | undefined;
  /** Limits that the server itself keeps during it; a driver that can't have them throws a RangeError. */
  readonly server?: ServerLimits | undefined;
}

/** What kind of failure an error is; see {@linkcode Failure}. */
export type FailureKind =
  /** The connection is gone or never came about, for a reason that may pass. */
  | "connection"
  /** Two transactions were in each other's way; the whole transaction may be tried again. */
  | "conflict"
  /** A constraint of the schema was violated. */
  | "constraint"
  /** A write was refused, as the database or the transaction is read only. */
  | "readOnly"
  /** The place can't be reached and won't be by waiting: a wrong path, missing rights, no such database. */
  | "access"
  /** The storage failed: full, unreadable, damaged, or not a database. */
  | "storage"
  /** The statement was interrupted. */
  | "interrupted"
  /** A lock was not to be had within the server's limit for it. */
  | "lockTimeout"
  /** The server stopped the statement: its own limit was reached, or an operator wished it. */
  | "statementTimeout"
  /** The server itself does not know whether the commit took place. */
  | "ambiguous"
  /** The statement is wrong: syntax, an unknown table or column. */
  | "statement"
  /** The call is wrong, such as a parameter that can't be bound: the error is the caller's and passed on as it is. */
  | "usage"
  /** Anything else. */
  | "other";

/** Which rule of the schema was violated. */
export interface Violation {
  /** The kind of rule. */
  readonly kind: "unique" | "foreignKey" | "notNull" | "check" | "exclusion" | "other";
  /** The constraint, as far as the database names it. */
  readonly constraint?: string | undefined;
  /** The table, as far as the database names it. */
  readonly table?: string | undefined;
}

/** What a driver says of an error. */
export interface Failure {
  /** What kind of failure it is. */
  readonly kind: FailureKind;
  /** The database's own code: an SQLSTATE, an SQLite result code. */
  readonly state?: string | undefined;
  /** Whether the connection can't be used any more. */
  readonly lost: boolean;
  /** Whether the database has ended the whole transaction with it. */
  readonly txGone: boolean;
  /** For `constraint`: which. */
  readonly violation?: Violation | undefined;
}

/** What a statement gives. */
export interface Result {
  /** The rows it returned. */
  readonly rows: readonly unknown[];
  /** How many rows it returned or, for a statement that returns none, changed. */
  readonly rowCount: number;
  /** What the database says it did, such as `INSERT`. */
  readonly command?: string | undefined;
  /** The key made for the last inserted row, where the database tells. */
  readonly insertId?: number | bigint | undefined;
}

/** The rows of a statement that the driver reads bit by bit; nothing else is asked of its connection meanwhile. */
export interface RowReader {
  /** The next rows, at most so many; none at the end. Asked for the next ones only when this has settled. */
  read(maxRows: number): readonly unknown[] | PromiseLike<readonly unknown[]>;
  /** Leaves the rest. Settles when the next statement may be sent. */
  close(): void | PromiseLike<void>;
}

/** One physical connection. */
export interface Connection {
  /** What the server calls it: a process id, a thread id. */
  readonly id?: number | string | undefined;
  /** The driver's own object. */
  readonly raw: unknown;
  /**
   * Runs one statement; the next one only comes when this one has ended. An engine inside the process answers at once,
   * and may do so without a promise.
   */
  query(sql: string, params: readonly unknown[]): Result | PromiseLike<Result>;
  /**
   * Begins to read the rows of a statement bit by bit. Not needed of drivers for PostgreSQL, where cursors serve; of
   * others that have none, all rows are read at once.
   */
  stream?(sql: string, params: readonly unknown[]): RowReader;
  /** Stops the running statement. Settles only when no later statement can be struck by it. */
  cancel?(): PromiseLike<void>;
  /** Says once when the connection is lost, also between statements. A statement that runs then must reject. */
  onLost?(lost: (error?: unknown) => void): void;
  /** Whether a transaction is open, where the driver knows without asking the server. */
  inTransaction?(): boolean;
  /** Forgets the settings made through it: roles, variables, temporary tables, locks of the session. */
  reset?(): PromiseLike<void>;
  /** Ends the connection; an open transaction is rolled back by that. `force` does not wait for anything. */
  close(options: { readonly force: boolean }): PromiseLike<void>;
}

/** The statements of a commit in two phases; `gid` is a word. */
export interface TwoPhase {
  /** Begins a transaction that is to be prepared, where that is a statement of its own. */
  begin?(gid: string, modes: TxModes): readonly string[];
  /** Prepares the running transaction. */
  prepare(gid: string): readonly string[];
  /** Commits one that is prepared. */
  commit(gid: string): string;
  /** Rolls back one that is prepared. */
  rollback(gid: string): string;
  /** Lists those that are prepared, with `gid` in each row. */
  readonly list: string;
  /** Reads a row of the list that has it elsewhere. */
  gidOf?(row: Readonly<Record<string, unknown>>): string;
  /** Whether an error says that there is no such prepared transaction. */
  isMissing(error: unknown): boolean;
}

/** Statements by which transactions on several connections get to see the same, where the database can. */
export interface SnapshotSharing {
  /** Gives in `snapshot` what the view of the running transaction is known by, for as long as that is open. */
  readonly take: string;
  /** Has a transaction that has just begun see that. */
  use(snapshot: string): string;
}

/** A way to one database. */
export interface Driver {
  /** The adapter's name, such as `pg`. */
  readonly name: string;
  /** The family of SQL it speaks. */
  readonly dialect: Dialect;
  /** What it leads to, for messages: a file, a host and a database. Holds no secret. */
  readonly target?: string | undefined;
  /**
   * How to find out what became of a COMMIT that was not answered. `token` gives in `token` what the database knows the
   * running transaction by, or null when it has written nothing; `status` takes that and gives `committed`, `aborted` or
   * `in progress` in `status`.
   */
  readonly commitCheck?: { readonly token: string; readonly status: string } | undefined;
  /** How transactions are committed in two phases, where the database can. */
  readonly twoPhase?: TwoPhase | undefined;
  /** How several transactions get to see the same, where the database can. */
  readonly snapshot?: SnapshotSharing | undefined;
  /** How many connections may be open at once; 1 for engines inside the process. */
  readonly maxSessions?: number | undefined;
  /** Whether its connections have `reset`. Left out counts as yes. */
  readonly resets?: boolean | undefined;
  /** Opens a connection. The signal ends the attempt. */
  connect(options: { readonly signal: AbortSignal }): PromiseLike<Connection>;
  /** Says what an error is. Never throws. */
  classify(error: unknown): Failure;
  /**
   * The statements that begin a transaction.
   *
   * @throws {TypeError | RangeError} For modes outside of the closed sets: nothing else keeps text out of the statement.
   */
  begin(modes: TxModes): readonly string[];
}
