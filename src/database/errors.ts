/** What can go wrong with a database, by what the caller can do about it; each keeps the driver's error as `cause`. */
import { ClosedError } from "../kernel/errors.ts";
import type { Dialect, FailureKind, Violation } from "./driver.ts";

/** When a database failed. */
export type DatabaseStage = "connect" | "begin" | "body" | "commit" | "rollback";

/** Data of a {@linkcode DatabaseError}. */
export interface DatabaseErrorOptions {
  /** The family of SQL. */
  dialect: Dialect;
  /** When it failed. */
  stage: DatabaseStage;
  /** What kind of failure it is. */
  failure: FailureKind;
  /** The database's own code. */
  state?: string | undefined;
  /** The driver's error, or what else led here. */
  cause?: unknown | undefined;
}

/** A database, or the way to it, failed. */
export class DatabaseError extends Error {
  static {
    this.prototype.name = "DatabaseError";
  }
  /** The family of SQL. */
  readonly dialect: Dialect;
  /** When it failed: while connecting, at BEGIN, at a statement, at COMMIT, at ROLLBACK. */
  readonly stage: DatabaseStage;
  /** What kind of failure it is. */
  readonly failure: FailureKind;
  /** The database's own code, where it gave one. */
  readonly state: string | undefined;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: DatabaseErrorOptions) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.dialect = options.dialect;
    this.stage = options.stage;
    this.failure = options.failure;
    this.state = options.state;
  }
}

/** No connection came about. */
export class ConnectFailedError extends DatabaseError {
  static {
    this.prototype.name = "ConnectFailedError";
  }
  /** How often it was tried. */
  readonly attempts: number;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: DatabaseErrorOptions & { attempts: number }) {
    super(message, options);
    this.attempts = options.attempts;
  }
}

/** The connection was lost; what was not committed is not stored. */
export class ConnectionLostError extends DatabaseError {
  static {
    this.prototype.name = "ConnectionLostError";
  }
}

/** Two transactions were in each other's way; the whole transaction may be tried again. */
export class TransactionConflictError extends DatabaseError {
  static {
    this.prototype.name = "TransactionConflictError";
  }
}

/** A constraint of the schema was violated. */
export class ConstraintError extends DatabaseError {
  static {
    this.prototype.name = "ConstraintError";
  }
  /** Which kind of constraint. */
  readonly kind: Violation["kind"];
  /** The constraint, as far as the database names it (SQLite: the columns, or the name of a check). */
  readonly constraint: string | undefined;
  /** The table, as far as the database names it. */
  readonly table: string | undefined;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: DatabaseErrorOptions & { violation: Violation }) {
    super(message, options);
    this.kind = options.violation.kind;
    this.constraint = options.violation.constraint;
    this.table = options.violation.table;
  }
}

/**
 * A lock was not to be had within the server's limit for it. What failed is the statement; in PostgreSQL, that ends the
 * transaction.
 */
export class LockTimeoutError extends DatabaseError {
  static {
    this.prototype.name = "LockTimeoutError";
  }
}

/** The server stopped a statement: its own limit was reached, or an operator wished it. */
export class StatementTimeoutError extends DatabaseError {
  static {
    this.prototype.name = "StatementTimeoutError";
  }
}

/** The transaction can only be rolled back any more; `cause` is the failure that ended it. */
export class TransactionDoomedError extends DatabaseError {
  static {
    this.prototype.name = "TransactionDoomedError";
  }
}

/** COMMIT was sent and no answer came: the transaction may be stored or not. */
export class CommitOutcomeUnknownError extends DatabaseError {
  static {
    this.prototype.name = "CommitOutcomeUnknownError";
  }
  /** What the database knows the transaction by, where that was asked for before the COMMIT (`verifyCommit`). */
  readonly token: string | undefined;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: DatabaseErrorOptions & { token?: string | undefined }) {
    super(message, options);
    this.token = options.token;
  }
}

/** Every attempt at a transaction failed in a way that may pass, such as a conflict; `cause` is the last failure. */
export class RetryExhaustedError extends DatabaseError {
  static {
    this.prototype.name = "RetryExhaustedError";
  }
  /** How often the callback ran. */
  readonly attempts: number;
  /** The failure of each attempt, in order. */
  readonly errors: readonly unknown[];

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: DatabaseErrorOptions & { errors: readonly unknown[] }) {
    super(message, options);
    this.attempts = options.errors.length;
    this.errors = options.errors;
  }
}

/** What became of one transaction of a group. */
export interface MemberOutcome {
  /** The operation's name. */
  readonly name: string;
  /**
   * What became of it; `prepared` ones wait to be ended by `recoverPrepared`. Of an `unknown` one the answer was lost, or
   * somebody else has ended it.
   */
  readonly outcome: "committed" | "rolled back" | "prepared" | "unknown";
  /** Of one that is prepared, or may be: what the database knows it by. */
  readonly gid?: string | undefined;
}

/** Some transactions of a group were committed, and others not; `cause` is the first failure. */
export class PartialCommitError extends Error {
  static {
    this.prototype.name = "PartialCommitError";
  }
  /** What became of each, in the order in which the operations were started. */
  readonly outcomes: readonly MemberOutcome[];

  /** Creates the error. */
  constructor(message: string, outcomes: readonly MemberOutcome[], options?: ErrorOptions) {
    super(message, options);
    this.outcomes = outcomes;
  }
}

/** A transaction or savepoint was used after its end. */
export class TransactionClosedError extends ClosedError {
  static {
    this.prototype.name = "TransactionClosedError";
  }
}
