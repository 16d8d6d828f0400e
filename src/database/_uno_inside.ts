/** The tables of {@linkcode UnoDb}, in a transaction. */
import { checkInteger, checkWaitOptions, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { UnoBatches } from "./_uno_batches.ts";
import type { UnoCache } from "./_uno_cache.ts";
import { checkId, checkRead, type FilterOptions, type ReadOptions, readRow, readRows } from "./_uno_reads.ts";
import {
  changedColumns,
  deleteRow,
  givenColumns,
  insertRows,
  type Row,
  type Target,
  updateRow,
} from "./_uno_statements.ts";
import { anyTags, changeTags, insertTags } from "./_uno_tags.ts";
import type { Dialect } from "./driver.ts";
import { checkTable, type Table } from "./table.ts";
import type { Scope, Transaction } from "./transaction_scope.ts";
import type { ChangeOptions, UnoTransaction } from "./uno_transaction.ts";
import type { Where } from "./where.ts";

/** What a {@linkcode TablesInside} is made with. */
export interface TablesInsideParts {
  readonly tx: Scope;
  readonly dialect: Dialect;
  readonly cache: UnoCache;
  /** Makes its batches. */
  readonly batches: (tx: Scope) => UnoBatches;
}

/** Tables inside a transaction. */
export class TablesInside implements UnoTransaction {
  readonly tx: Transaction;
  readonly #scope: Scope;
  readonly #dialect: Dialect;
  readonly #cache: UnoCache;
  readonly #makeBatches: (tx: Scope) => UnoBatches;
  #batches: UnoBatches | undefined;

  constructor({ tx, dialect, cache, batches }: TablesInsideParts) {
    this.tx = this.#scope = tx;
    this.#dialect = dialect;
    this.#cache = cache;
    this.#makeBatches = batches;
  }

  async get<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ReadOptions = {},
  ): Promise<R | undefined> {
    checkRead("get row", table as Table, options);
    const { rows } = await this.tx.query<R>(
      readRow(`get ${show(table.name)} row`, table as Table, id).sql,
      undefined,
      waitOf(options),
    );
    return rows[0];
  }

  async filter<R extends object>(
    table: Table<R>,
    where: Where<R>,
    options: FilterOptions<R> = {},
  ): Promise<R[]> {
    checkRead("filter rows", table as unknown as Table, options);
    const read = readRows(
      `filter ${show(table.name)}`,
      table as unknown as Table,
      where,
      options as FilterOptions<Row>,
    );
    const { rows } = await this.tx.query<R>(read.sql, undefined, waitOf(options));
    return [...rows];
  }

  async insert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    const columns = checkInsert(table as unknown as Table, row, options);
    const change = { table: table.name, id: (row as Row)[table.key] };
    this.#cache.writing(this.#scope.root, change, insertTags(change));
    const [stored] = await insertRows(this.#target(options), table as unknown as Table, columns, [
      row as Row,
    ]);
    return stored as R;
  }

  async update<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: ChangeOptions = {},
  ): Promise<R | undefined> {
    const { version } = options;
    const columns = checkUpdate(table as Table, id, changes, options);
    this.#changing(table.name, id);
    const update = { id, changes: changes as Row };
    return await updateRow(this.#target(options), table as Table, update, columns, version) as R | undefined;
  }

  async delete<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ChangeOptions = {},
  ): Promise<boolean> {
    checkDelete(table as Table, id, options);
    this.#changing(table.name, id);
    return await deleteRow(this.#target(options), table as Table, id, options.version);
  }

  async batchInsert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    const columns = checkInsert(table as unknown as Table, row, options);
    const item = { table: table as unknown as Table, columns, row: { ...row } as Row };
    return await this.#here.insert(item, waitOf(options)) as R;
  }

  async batchUpdate<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R | undefined> {
    const columns = checkUpdate(table as Table, id, changes, options);
    const item = { table: table as Table, columns, id, changes: { ...changes } as Row };
    return await this.#here.update(item, waitOf(options)) as R | undefined;
  }

  touch<R extends object>(table: Table<R>, id?: unknown): void {
    checkTable("touch rows", table);
    if (id !== undefined) checkId("touch rows", id);
    const change = { table: table.name, id };
    this.#cache.writing(this.#scope.root, change, anyTags(change));
  }

  async flush(): Promise<void> {
    await this.#batches?.flush();
  }

  get #here(): UnoBatches {
    return this.#batches ??= this.#makeBatches(this.#scope);
  }

  #target(options: WaitOptions): Target {
    return { session: this.tx, dialect: this.#dialect, options: waitOf(options) };
  }

  #changing(table: string, id: unknown): void {
    const change = { table, id };
    this.#cache.writing(this.#scope.root, change, changeTags(change));
  }
}

/** Throws unless a row can be inserted. @returns Its columns, sorted. */
export function checkInsert(table: Table, row: unknown, options: WaitOptions): readonly string[] {
  checkTable("insert row", table);
  const doing = `insert into ${show(table.name)}`;
  checkCall(doing, options);
  return givenColumns(doing, table, row);
}

/** Throws unless a row can be changed. @returns The columns to be, sorted. */
export function checkUpdate(
  table: Table,
  id: unknown,
  changes: unknown,
  options: ChangeOptions,
): readonly string[] {
  checkTable("update row", table);
  const doing = `update ${show(table.name)}`;
  checkCall(doing, options);
  checkId(doing, id);
  checkVersion(doing, table, options.version);
  return changedColumns(doing, table, changes);
}

/** Throws unless a row can be deleted. */
export function checkDelete(table: Table, id: unknown, options: ChangeOptions): void {
  checkTable("delete row", table);
  const doing = `delete from ${show(table.name)}`;
  checkCall(doing, options);
  checkId(doing, id);
  checkVersion(doing, table, options.version);
}

function checkCall(doing: string, options: WaitOptions): void {
  checkWaitOptions(doing, options ?? null);
}

function checkVersion(doing: string, table: Table, version: unknown): void {
  if (version === undefined) return;
  if (table.version === undefined) {
    throw new RangeError(`Cannot ${doing} as version needs a table with a version column: it has none`);
  }
  checkInteger(doing, "version", version, Number.MIN_SAFE_INTEGER);
}

/** What of the options concerns the wait. */
function waitOf({ signal, timeoutMs }: WaitOptions): WaitOptions {
  return { signal, timeoutMs };
}
