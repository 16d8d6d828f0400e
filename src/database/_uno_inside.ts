/** The tables of {@linkcode UnoDb}, in a transaction. */
import { checkInteger, checkWaitOptions } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { UnoBatches } from "./_uno_batches.ts";
import type { UnoCache } from "./_uno_cache.ts";
import { checkId, checkRead, type FilterOptions, type ReadOptions, readRows, rowSql } from "./_uno_reads.ts";
import { checkChanged, deleteRow, insertRows, type Target, updateRow } from "./_uno_statements.ts";
import { factsOf, type Row, type Shape, type TableFacts } from "./_uno_table.ts";
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

  get<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ReadOptions = {},
  ): Promise<R | undefined> {
    return this.#part("a read", async () => {
      const facts = factsOf("get row", table);
      checkRead(facts.getting, options);
      checkId(facts.getting, id);
      const { rows } = await this.tx.query<R>(rowSql(facts, id), undefined, waitOf(options));
      return rows[0];
    });
  }

  filter<R extends object>(
    table: Table<R>,
    where: Where<R>,
    options: FilterOptions<R> = {},
  ): Promise<R[]> {
    return this.#part("a read", async () => {
      const facts = factsOf("filter rows", table);
      checkRead(facts.filtering, options);
      const read = readRows(facts, where, options as FilterOptions<Row>, this.#dialect);
      const { rows } = await this.tx.query<R>(read.sql(), undefined, waitOf(options));
      return [...rows];
    });
  }

  insert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    return this.#part("an insert", async () => {
      const shape = checkInsert(table, row, options);
      const change = { table: table.name, id: (row as Row)[table.key] };
      this.#cache.writing(this.#scope.root, change, insertTags(change));
      const [stored] = await insertRows(this.#target(options), shape, [row as Row]);
      return stored as R;
    });
  }

  update<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: ChangeOptions = {},
  ): Promise<R | undefined> {
    return this.#part("an update", async () => {
      const shape = checkUpdate(table, id, changes, options);
      this.#changing(table.name, id);
      const update = { id, changes: changes as Row };
      return await updateRow(this.#target(options), shape, update, options.version) as R | undefined;
    });
  }

  delete<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ChangeOptions = {},
  ): Promise<boolean> {
    return this.#part("a delete", async () => {
      const facts = checkDelete(table, id, options);
      this.#changing(table.name, id);
      return await deleteRow(this.#target(options), facts, id, options.version);
    });
  }

  batchInsert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    return this.#part("a batched insert", async () => {
      const shape = checkInsert(table, row, options);
      return await this.#here.insert({ shape, row: { ...row } as Row }, waitOf(options)) as R;
    });
  }

  batchUpdate<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R | undefined> {
    return this.#part("a batched update", async () => {
      const shape = checkUpdate(table, id, changes, options);
      const item = { shape, id, changes: { ...changes } as Row };
      return await this.#here.update(item, waitOf(options)) as R | undefined;
    });
  }

  touch<R extends object>(table: Table<R>, id?: unknown): void {
    checkTable("touch rows", table);
    if (id !== undefined) checkId("touch rows", id);
    const scope = this.#scope;
    if (scope.state !== "open") throw scope.ended("touch rows in");
    const change = { table: table.name, id };
    this.#cache.writing(scope.root, change, anyTags(change));
  }

  async flush(): Promise<void> {
    await this.#batches?.flush();
  }

  /** Does what is as much a part of the transaction as its statements: not awaited, it is not committed over. */
  #part<T>(what: string, work: () => Promise<T>): Promise<T> {
    const scope = this.#scope;
    return scope.state === "open" ? scope.watch(work(), what) : work();
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

/** Throws unless a row can be inserted. @returns Its shape. */
export function checkInsert(table: unknown, row: unknown, options: WaitOptions): Shape {
  const facts = factsOf("insert row", table);
  checkCall(facts.inserting, options);
  return facts.shapeOf(facts.inserting, row);
}

/** Throws unless a row can be changed. @returns The shape of the changes. */
export function checkUpdate(table: unknown, id: unknown, changes: unknown, options: ChangeOptions): Shape {
  const facts = factsOf("update row", table);
  checkCall(facts.updating, options);
  checkId(facts.updating, id);
  checkVersion(facts.updating, facts.table, options.version);
  const shape = facts.shapeOf(facts.updating, changes);
  checkChanged(shape);
  return shape;
}

/** Throws unless a row can be deleted. @returns What is known of its table. */
export function checkDelete(table: unknown, id: unknown, options: ChangeOptions): TableFacts {
  const facts = factsOf("delete row", table);
  checkCall(facts.deleting, options);
  checkId(facts.deleting, id);
  checkVersion(facts.deleting, facts.table, options.version);
  return facts;
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
