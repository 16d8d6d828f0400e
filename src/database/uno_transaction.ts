/** What can be done with tables, inside and outside of a transaction. */
import type { WaitOptions } from "../kernel/types.ts";
import type { FilterOptions, ReadOptions } from "./_uno_reads.ts";
import type { Table } from "./table.ts";
import type { Transaction } from "./transaction_scope.ts";
import type { Where } from "./where.ts";

/** Options of changes of one row. */
export interface ChangeOptions extends WaitOptions {
  /**
   * The version that the row must have, in the column that its table calls so; otherwise nothing is changed, and the
   * rejection is a {@linkcode VersionConflictError}.
   */
  version?: number | undefined;
}

/** What can be done with tables. */
export interface TableAccess {
  /**
   * The row with a key.
   *
   * @returns It, or `undefined` when there is none.
   */
  get<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options?: ReadOptions,
  ): Promise<R | undefined>;
  /**
   * The rows that match.
   *
   * @param where The values of columns, or comparisons; all have to hold. `{}` matches all rows.
   * @throws {TypeError | RangeError} For columns and comparisons that there are not, and for `undefined`.
   */
  filter<R extends object>(
    table: Table<R>,
    where: Where<R>,
    options?: FilterOptions<R>,
  ): Promise<R[]>;
  /**
   * Inserts a row; columns that it leaves out get their defaults.
   *
   * @returns The row as it is stored.
   * @throws {ConstraintError} When a rule of the schema forbids it.
   */
  insert<R extends object>(table: Table<R>, row: Partial<R>, options?: WaitOptions): Promise<R>;
  /**
   * Changes a row; a version of it is counted up.
   *
   * @returns The row as it is stored then, or `undefined` when there is none.
   * @throws {VersionConflictError} With `version`, when the row has another one or is gone.
   */
  update<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options?: ChangeOptions,
  ): Promise<R | undefined>;
  /**
   * Deletes a row.
   *
   * @returns Whether there was one.
   * @throws {VersionConflictError} With `version`, when the row has another one or is gone.
   */
  delete<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options?: ChangeOptions,
  ): Promise<boolean>;
  /**
   * Inserts a row together with those of other callers: one statement for all that give the same columns.
   *
   * **Failure** — a row that is refused fails its own caller only; the others are tried again without it. A lost
   * connection fails all. **Abort** — before its batch is sent the row is taken out; afterwards the caller gives up, and
   * the row may be stored. **Order** — none between calls.
   *
   * @returns The row as it is stored.
   */
  batchInsert<R extends object>(table: Table<R>, row: Partial<R>, options?: WaitOptions): Promise<R>;
  /**
   * Changes a row together with those of other callers: one statement for all that change the same columns. As
   * {@linkcode batchInsert}; changes of one row in one batch are made in their order.
   *
   * @returns The row as it is stored then, or `undefined` when there is none.
   */
  batchUpdate<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options?: WaitOptions,
  ): Promise<R | undefined>;
}

/**
 * Tables inside a transaction: what is written through it is seen by it, and by others after the commit.
 *
 * **Cache** — it neither reads from it nor fills it; what it writes leaves the cache with the commit. **Batches** — are
 * of this transaction alone and run in a savepoint: until `batchInsert` and `batchUpdate` have settled, nothing else is
 * to be sent, and they are to be awaited before the end.
 */
export interface UnoTransaction extends TableAccess {
  /** The transaction, for statements of your own; tell of what they write by {@linkcode touch}. */
  readonly tx: Transaction;
  /**
   * Tells of a write by other means, such as a statement of your own: what is cached of it goes with the commit.
   *
   * @throws {TransactionClosedError} When the transaction has ended.
   */
  touch<R extends object>(table: Table<R>, id?: unknown): void;
  /** Has everything sent that waits for a batch. */
  flush(): Promise<void>;
}
