/** Reads of {@linkcode UnoDb}: their statements, and what they are known by in the cache. */
import { checkBoolean, checkDurationMs, checkOptions, checkWaitOptions, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { columnsOf, nameOf, type Row } from "./_uno_statements.ts";
import { pageOf, type PageOptions } from "./page.ts";
import { type Sql, sql } from "./sql.ts";
import { checkTable, type Table } from "./table.ts";
import { criterionOf, keyOf } from "./where.ts";

/** Options of reads. */
export interface ReadOptions extends WaitOptions {
  /**
   * Whether the answer may come from the cache, and is kept there; or for how long it is. Default `false`. What comes so
   * is frozen. In a transaction it has no effect: the cache knows nothing of the transaction's own view.
   */
  cache?: boolean | { readonly ttlMs?: number };
}

/** Options of {@linkcode UnoDb.filter}. */
export interface FilterOptions<R extends object> extends ReadOptions, PageOptions<R> {}

/** A read that was checked. */
export interface Read {
  readonly sql: Sql;
  /** Equal for reads that mean the same. */
  readonly key: string;
}

/** The read of one row. */
export function readRow(doing: string, table: Table, id: unknown): Read {
  checkId(doing, id);
  return {
    sql: sql`select ${columnsOf(table)} from ${nameOf(table)} where ${sql.id(table.key)} = ${id}`,
    key: `${prefixOf(table)} ${keyOf(doing, "id", id)}`,
  };
}

/** The read of the rows that match. */
export function readRows(
  doing: string,
  table: Table,
  where: unknown,
  options: FilterOptions<Record<string, unknown>>,
): Read {
  const matches = criterionOf(doing, table, where);
  const { where: behind, rest } = pageOf(doing, table, options);
  const from = sql`select ${columnsOf(table)} from ${nameOf(table)}`;
  return {
    sql: sql`${from} where ${matches.sql} and ${behind.sql}${rest.sql}`,
    key: `${prefixOf(table)} ${matches.key} ${behind.key} ${rest.key}`,
  };
}

/** Throws for options that are not as they should be. */
export function checkRead(doing: string, table: Table, options: ReadOptions): void {
  checkTable(doing, table);
  checkOptions(doing, options ?? null);
  checkWaitOptions(doing, options);
  const { cache } = options;
  if (typeof cache !== "object" || cache === null) return checkBoolean(doing, "cache", cache);
  if (cache.ttlMs !== undefined) checkDurationMs(doing, "cache.ttlMs", cache.ttlMs);
}

/** Throws unless a row can be found by it. */
export function checkId(doing: string, id: unknown): void {
  if (id !== null && id !== undefined) return void keyOf(doing, "id", id);
  throw new TypeError(`Cannot ${doing} as id must be a value: received ${show(id)}`);
}

const prefixes = new WeakMap<Table, string>();

/** Equal for descriptions of a table that give the same rows. */
function prefixOf(table: Table): string {
  let prefix = prefixes.get(table);
  if (prefix === undefined) {
    const { schema, name, key, columns } = table as Table<Row>;
    prefix = JSON.stringify([schema, name, key, columns]);
    prefixes.set(table, prefix);
  }
  return prefix;
}
