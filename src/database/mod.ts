/**
 * Databases: sessions, and transactions that end on every path.
 *
 * The driver comes from a door of its own, such as `@uno/async/database/sqlite`.
 *
 * @module
 */
export { Database, type DatabaseStatistics } from "./database.ts";
export type {
  Connection,
  Dialect,
  Driver,
  Failure,
  FailureKind,
  IsolationLevel,
  Result,
  RowReader,
  ServerLimits,
  SnapshotSharing,
  TwoPhase,
  TxModes,
  Violation,
} from "./driver.ts";
export {
  CommitOutcomeUnknownError,
  ConnectFailedError,
  ConnectionLostError,
  ConstraintError,
  DatabaseError,
  type DatabaseErrorOptions,
  type DatabaseStage,
  LockTimeoutError,
  type MemberOutcome,
  PartialCommitError,
  RetryExhaustedError,
  StatementTimeoutError,
  TransactionClosedError,
  TransactionConflictError,
  TransactionDoomedError,
} from "./errors.ts";
export type { CommitOutcome, VerifyCommit } from "./verify_commit.ts";
export {
  type CommitProtocol,
  type OperationGroupOptions,
  type OperationOptions,
  SessionOperationGroup,
} from "./operation_group.ts";
export type { CommitDecision } from "./_two_phase.ts";
export { type RecoveredTransaction, type RecoverOptions, recoverPrepared } from "./recover_prepared.ts";
export type { ContextCarrier } from "./context_carrier.ts";
export type { Propagation } from "./propagation.ts";
export { transactional, type TransactionalOptions } from "./transactional.ts";
export type { TransactionRetry } from "./transaction_retry.ts";
export { type CompiledSql, Sql, sql, type SqlTag } from "./sql.ts";
export type { ConnectOptions, DatabaseOptions } from "./settings.ts";
export type { SessionInfo } from "./sessions.ts";
export type { QueryResult, Session, SessionSource } from "./session.ts";
export { type Table, table, type TableOptions } from "./table.ts";
export type { Comparison, Where } from "./where.ts";
export type { OrderBy, PageOptions } from "./page.ts";
export { UnoDb, type UnoDbOptions, type UnoDbStatistics } from "./uno_db.ts";
export type { ChangeOptions, TableAccess, UnoTransaction } from "./uno_transaction.ts";
export type { UnoCacheOptions } from "./_uno_cache.ts";
export type { UnoBatchOptions } from "./_uno_batches.ts";
export type { FilterOptions, ReadOptions } from "./_uno_reads.ts";
export type { Change } from "./_uno_tags.ts";
export { VersionConflictError } from "./version_conflict_error.ts";
export type { StreamOptions } from "./stream.ts";
export { type BeginOptions, transaction, type TransactionOptions } from "./transaction.ts";
export type { Transaction } from "./transaction_scope.ts";
export { ClosedError, MisuseError, TimeoutError, type TimeoutErrorOptions } from "../kernel/errors.ts";
export type { HoldOptions, WaitOptions } from "../kernel/types.ts";
