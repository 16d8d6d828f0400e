import { checkFunction, checkOptions, show, subject } from "../kernel/checks.ts";
import { ClosedError, MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { AsyncBatcherCloseOptions, AsyncBatcherStatistics } from "../flow/async_batcher_options.ts";
import type { AsyncCacheStatistics } from "../flow/async_cache_options.ts";
import { type Atomically, inSavepoints, inTransactions } from "./_uno_atomically.ts";
import { UnoBatches, type UnoBatchOptions } from "./_uno_batches.ts";
import { checkDelete, checkInsert, checkUpdate, TablesInside } from "./_uno_inside.ts";
import { UnoCache, type UnoCacheOptions } from "./_uno_cache.ts";
import {
  checkId,
  checkRead,
  type FilterOptions,
  type Read,
  type ReadOptions,
  readRows,
  rowKey,
  rowSql,
} from "./_uno_reads.ts";
import { factsOf, type Row } from "./_uno_table.ts";
import { listTags, rowTags } from "./_uno_tags.ts";
import { Database } from "./database.ts";
import { databaseOf } from "./settings.ts";
import { checkTable, type Table } from "./table.ts";
import type { TransactionOptions } from "./transaction.ts";
import { Scope, type Transaction } from "./transaction_scope.ts";
import type { ChangeOptions, TableAccess, UnoTransaction } from "./uno_transaction.ts";
import type { Where } from "./where.ts";

/** Options of a {@linkcode UnoDb}. */
export interface UnoDbOptions {
  /** How reads with `cache: true` are kept. */
  cache?: UnoCacheOptions | undefined;
  /** How `batchInsert` and `batchUpdate` are put together. */
  batch?: UnoBatchOptions | undefined;
}

/** What an operator wants to know of a {@linkcode UnoDb}. */
export interface UnoDbStatistics {
  /** The cache of reads. */
  readonly cache: AsyncCacheStatistics;
  /** The batches of `batchInsert`. */
  readonly inserts: AsyncBatcherStatistics;
  /** The batches of `batchUpdate`. */
  readonly updates: AsyncBatcherStatistics;
}

/**
 * Tables of a database, with typed rows: reads that may be cached, writes that may be batched, and transactions.
 *
 * It is no object mapper: rows are plain objects, and what goes beyond one table is SQL ({@linkcode sql}) in a
 * transaction.
 *
 * **Writes** — each is a transaction of its own, run again after a conflict, unless it is made in one. **Cache** — on
 * request, per read; equal criteria are one entry, whatever their order, and callers who ask at once share one read.
 * Nothing that was read before a commit is found once that was acknowledged: what is being written is not kept, and
 * leaves the cache with the commit, also when its outcome is not known. That a row is not there is kept as well. What
 * others write, be it other processes, another `UnoDb`, triggers, cascades or statements of your own, is not seen before
 * `ttlMs`, unless told by {@linkcode invalidate} or {@linkcode UnoTransaction.touch}. **Batches** — each caller gets the row that is its own, and
 * fails alone when that is refused. **Context** — where the database finds transactions by itself, all of this is part of
 * the one in effect. **Databases** — PostgreSQL, SQLite 3.35 and MariaDB 10.5 or newer; MySQL's own server can't return
 * what was inserted: there only reads, `update`, `batchUpdate` and `delete` work. **Close** — see {@linkcode close}.
 *
 * @example
 * ```ts
 * import { Database, table, UnoDb } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * const orders = table<{ id: number; status: string; total: number }, "id">("orders", {
 *   key: "id",
 *   columns: ["id", "status", "total"],
 * });
 * await using db = new Database(sqliteDriver({ file: ":memory:" }));
 * await db.query("create table orders (id integer primary key, status text default 'open', total integer)");
 * await using uno = new UnoDb(db, { cache: { ttlMs: 10_000 } });
 *
 * const made = await Promise.all([10, 20, 30].map((total) => uno.batchInsert(orders, { total })));
 * assert.deepEqual(made.map(({ total }) => total), [10, 20, 30]);
 *
 * const [first] = await uno.filter(orders, { status: "open", total: { gte: 20 } }, { orderBy: { desc: "total" } });
 * assert.deepEqual(first?.total, 30);
 *
 * assert.deepEqual((await uno.get(orders, 1, { cache: true }))?.status, "open");
 * await uno.transaction(async (tables) => {
 *   await tables.update(orders, 1, { status: "paid" });
 * });
 * assert.deepEqual((await uno.get(orders, 1, { cache: true }))?.status, "paid");
 * ```
 */
export class UnoDb implements TableAccess, AsyncDisposable {
  /** The database, which is the caller's to close. */
  readonly db: Database;
  readonly #cache: UnoCache;
  readonly #batches: UnoBatches;
  readonly #batchOptions: UnoBatchOptions;
  readonly #inside = new WeakMap<Scope, TablesInside>();
  #closing: Promise<void> | undefined;

  /**
   * Creates it; nothing is asked of the database yet.
   *
   * @param db What it works on.
   * @throws {TypeError | RangeError} For bad options.
   */
  constructor(db: Database, options: UnoDbOptions = {}) {
    const doing = "create UnoDb";
    if (!(db instanceof Database)) {
      throw new TypeError(`Cannot ${doing} as db must be a Database: received ${show(db)}`);
    }
    checkOptions(doing, options ?? null);
    const { cache, batch = {} } = options;
    checkOptions(`${doing} as batch`, batch ?? null);
    this.db = db;
    this.#cache = new UnoCache(doing, db.name, cache);
    const { maxSize, maxWaitMs, maxPending, concurrency } = batch;
    this.#batchOptions = { maxSize, maxWaitMs, maxPending, concurrency };
    this.#batches = this.#batchesOf(inTransactions(db), this.#batchOptions);
  }

  /** Whether {@linkcode close} was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * The row with a key; see {@linkcode TableAccess.get}.
   *
   * @param options `signal` and `timeoutMs` bound the wait for a session and the statement; a read that is shared goes
   * on for others.
   * @throws As {@linkcode Database.query}.
   */
  get<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ReadOptions = {},
  ): Promise<R | undefined> {
    try {
      const here = this.#here("get row");
      if (here !== undefined) return here.get(table, id, options);
      const facts = factsOf("get row", table);
      checkRead(facts.getting, options);
      const key = rowKey(facts, id);
      // Nothing is made for a read that most are.
      const kept = maySkip(options) ? this.#cache.kept(key) : undefined;
      if (kept !== undefined) return Promise.resolve(kept.value as R | undefined);
      const tagsOf = (row: Row | undefined) => rowTags(facts.table, id, row !== undefined);
      return this.#read({ sql: () => rowSql(facts, id), key }, options, first, tagsOf) as Promise<
        R | undefined
      >;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The rows that match; see {@linkcode TableAccess.filter}.
   *
   * @throws As {@linkcode Database.query}.
   *
   * @example
   * ```ts
   * import { Database, table, UnoDb } from "@uno/async/database";
   * import { sqliteDriver } from "@uno/async/database/sqlite";
   * import assert from "node:assert/strict";
   *
   * const notes = table<{ id: number; text: string }, "id">("notes", { key: "id", columns: ["id", "text"] });
   * await using db = new Database(sqliteDriver({ file: ":memory:" }));
   * await db.query("create table notes (id integer primary key, text text not null)");
   * await using uno = new UnoDb(db);
   * for (const text of ["apple", "pear", "plum"]) await uno.insert(notes, { text });
   *
   * const page = await uno.filter(notes, { text: { like: "p%" } }, { orderBy: "text", limit: 1 });
   * assert.deepEqual(page, [{ id: 2, text: "pear" }]);
   * const next = await uno.filter(notes, { text: { like: "p%" } }, { orderBy: "text", limit: 1, after: page[0] });
   * assert.deepEqual(next, [{ id: 3, text: "plum" }]);
   * assert.equal((await uno.filter(notes, { or: [{ id: { lt: 2 } }, { text: "plum" }] })).length, 2);
   * ```
   */
  async filter<R extends object>(
    table: Table<R>,
    where: Where<R>,
    options: FilterOptions<R> = {},
  ): Promise<R[]> {
    const here = this.#here("filter rows");
    if (here !== undefined) return await here.filter(table, where, options);
    const facts = factsOf("filter rows", table);
    checkRead(facts.filtering, options);
    const read = readRows(facts, where, options as FilterOptions<Row>, this.db.dialect);
    const rows = await this.#read(read, options, all, () => listTags(facts.table));
    return [...rows] as R[];
  }

  /** Inserts a row, in a transaction of its own; see {@linkcode TableAccess.insert}. */
  async insert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    checkInsert(table, row, options);
    return await this.#write("insert row", (tables, wait) => tables.insert(table, row, wait), options);
  }

  /** Changes a row, in a transaction of its own; see {@linkcode TableAccess.update}. */
  async update<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: ChangeOptions = {},
  ): Promise<R | undefined> {
    checkUpdate(table, id, changes, options);
    const { version } = options;
    return await this.#write(
      "update row",
      (tables) => tables.update(table, id, changes, { version }),
      options,
    );
  }

  /** Deletes a row, in a transaction of its own; see {@linkcode TableAccess.delete}. */
  async delete<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    options: ChangeOptions = {},
  ): Promise<boolean> {
    checkDelete(table, id, options);
    const { version } = options;
    return await this.#write(
      "delete row",
      (tables, wait) => tables.delete(table, id, { ...wait, version }),
      options,
    );
  }

  /** Inserts a row together with those of other callers; see {@linkcode TableAccess.batchInsert}. */
  batchInsert<R extends object>(
    table: Table<R>,
    row: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R> {
    try {
      const here = this.#here("insert row");
      if (here !== undefined) return here.batchInsert(table, row, options);
      const shape = checkInsert(table, row, options);
      return this.#batches.insert({ shape, row: { ...row } as Row }, limited(options)) as Promise<
        Row
      > as Promise<R>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Changes a row together with those of other callers; see {@linkcode TableAccess.batchUpdate}. */
  async batchUpdate<R extends object, K extends keyof R>(
    table: Table<R, K>,
    id: R[K],
    changes: Partial<R>,
    options: WaitOptions = {},
  ): Promise<R | undefined> {
    const here = this.#here("update row");
    if (here !== undefined) return await here.batchUpdate(table, id, changes, options);
    const shape = checkUpdate(table, id, changes, options);
    const item = { shape, id, changes: { ...changes } as Row };
    return await this.#batches.update(item, limited(options)) as R | undefined;
  }

  /**
   * Runs `fn` in a transaction, with its tables; **it may run again** after a conflict. See {@linkcode transaction}.
   *
   * @returns What `fn` returns.
   */
  async transaction<T>(
    fn: (tables: UnoTransaction) => T | PromiseLike<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    this.#refuseClosed("run transaction");
    checkFunction("run transaction", "fn", fn);
    const propagation = options?.propagation;
    if (propagation === "supports" || propagation === "notSupported" || propagation === "never") {
      throw new RangeError(
        `Cannot run transaction as propagation must not allow for there being none: received ${
          show(propagation)
        }`,
      );
    }
    return await this.db.transaction(async (tx) => {
      const tables = this.in(tx);
      const value = await fn(tables);
      await tables.flush();
      return value;
    }, options);
  }

  /**
   * Runs `fn` in a serializable transaction: as if it were alone; **it may run again**, and more often than at weaker
   * levels. See {@linkcode transaction}, also for how often (`retry`).
   *
   * @returns What `fn` returns.
   */
  serializable<T>(
    fn: (tables: UnoTransaction) => T | PromiseLike<T>,
    options?: Omit<TransactionOptions, "isolation">,
  ): Promise<T> {
    return this.transaction(fn, { ...options, isolation: "serializable" });
  }

  /**
   * The tables inside a transaction, or a savepoint, of this database.
   *
   * @throws {MisuseError} For one of another database.
   */
  in(tx: Transaction): UnoTransaction {
    if (!(tx instanceof Scope)) {
      throw new TypeError(
        `Cannot use tables in transaction as it must be one of a Database: received ${show(tx)}`,
      );
    }
    const { settings } = tx.root.wire;
    if (databaseOf(settings) !== this.db) {
      const [ours, theirs] = [this.db, settings].map(({ name }) => subject("database", name));
      throw new MisuseError(`Cannot use tables of ${ours} in transaction: it is one of another, ${theirs}`);
    }
    let tables = this.#inside.get(tx);
    if (tables === undefined) {
      tables = new TablesInside({
        tx,
        dialect: this.db.dialect,
        cache: this.#cache,
        batches: () =>
          // What waits there holds locks.
          this.#batchesOf(inSavepoints(tx), { ...this.#batchOptions, maxWaitMs: 0, concurrency: 1 }),
      });
      this.#inside.set(tx, tables);
    }
    return tables;
  }

  /** Drops what is cached of a row, or of a whole table, as it was changed elsewhere. */
  invalidate<R extends object>(table: Table<R> | string, id?: unknown): void {
    if (typeof table !== "string") checkTable("invalidate rows", table);
    if (id !== undefined) checkId("invalidate rows", id);
    this.#cache.invalidate({ table: typeof table === "string" ? table : table.name, id });
  }

  /**
   * Takes nothing new, ends what waits for a batch, and drops the cache; the database stays open.
   *
   * @param options `pending` says whether rows that wait are still sent (`"flush"`, the default) or their callers get a
   * {@linkcode ClosedError} (`"reject"`).
   */
  close(options: AsyncBatcherCloseOptions = {}): Promise<void> {
    const { pending = "flush" } = options ?? {};
    const batches = this.#batches.close(pending);
    return this.#closing ??= batches.then(() => this.#cache.close());
  }

  /** {@linkcode close}, with everything sent. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** A snapshot of the cache and the batches. */
  statistics(): UnoDbStatistics {
    return Object.freeze({ cache: this.#cache.statistics(), ...this.#batches.statistics() });
  }

  #batchesOf(atomically: Atomically, options: UnoBatchOptions): UnoBatches {
    const { name, dialect } = this.db;
    return new UnoBatches({ name, dialect, cache: this.#cache, atomically, options });
  }

  #read<T>(
    { sql, key }: Read,
    { cache = false, signal, timeoutMs }: ReadOptions,
    valueOf: (rows: readonly Row[]) => T,
    tagsOf: (value: T) => readonly string[],
  ): Promise<T> {
    const load = async (signal: AbortSignal | undefined, timeoutMs?: number): Promise<T> =>
      valueOf((await this.db.query<Row>(sql(), undefined, { signal, timeoutMs })).rows);
    if (cache === false) return load(signal, timeoutMs);
    const ttlMs = cache === true ? undefined : cache.ttlMs;
    return this.#cache.read({ key, ttlMs, load, tagsOf }, signal, timeoutMs);
  }

  async #write<T>(
    doing: string,
    work: (tables: UnoTransaction, wait?: WaitOptions) => Promise<T>,
    { signal, timeoutMs }: WaitOptions,
  ): Promise<T> {
    const here = this.#here(doing);
    if (here !== undefined) return await work(here, { signal, timeoutMs });
    return await this.db.transaction((tx) => work(this.in(tx)), { signal, timeoutMs });
  }

  /** The tables of the transaction that is in effect here, if there is one. */
  #here(doing: string): UnoTransaction | undefined {
    this.#refuseClosed(doing);
    const { current } = this.db;
    return current === undefined ? undefined : this.in(current);
  }

  #refuseClosed(doing: string): void {
    if (this.#closing === undefined) return;
    throw new ClosedError(`Cannot ${doing} on ${subject("database", this.db.name)}: its UnoDb is closed`);
  }
}

const first = ([row]: readonly Row[]): Row | undefined => row;
const all = (rows: readonly Row[]): readonly Row[] => rows;

/** Whether a read may be answered at once. */
function maySkip({ cache, signal, timeoutMs }: ReadOptions): boolean {
  return cache !== undefined && cache !== false && signal === undefined && timeoutMs === undefined;
}

/** Options that limit nothing cost as much as ones that do. */
function limited(options: WaitOptions): WaitOptions | undefined {
  return options.signal === undefined && options.timeoutMs === undefined ? undefined : options;
}
