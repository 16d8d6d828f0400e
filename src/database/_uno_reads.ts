/** Reads of {@linkcode UnoDb}: their statements, and what they are known by in the cache. */
import { checkBoolean, checkDurationMs, checkOptions, checkWaitOptions, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import type { TableFacts } from "./_uno_table.ts";
import type { Dialect } from "./driver.ts";
import { pageOf, type PageOptions } from "./page.ts";
import { type Sql, sql } from "./sql.ts";
import { criterionOf, keyOf } from "./where.ts";

/** Options of reads. */
export interface ReadOptions extends WaitOptions {
  /**
   * Whether the answer may come from the cache, and is kept there; or for how long it is. Default `false`. What comes so
   * is frozen. In a transaction it has no effect: the cache knows nothing of the transaction's own view.
   */
  cache?: boolean | { readonly ttlMs?: number | undefined } | undefined;
}

/** Options of {@linkcode UnoDb.filter}. */
export interface FilterOptions<R extends object> extends ReadOptions, PageOptions<R> {}

/** A read that was checked. */
export interface Read {
  /** Its statement, made when it has to be sent. */
  readonly sql: () => Sql;
  /** Equal for reads that mean the same. */
  readonly key: string;
}

/** What the read of one row is known by. */
export function rowKey({ prefix, getting }: TableFacts, id: unknown): string {
  checkId(getting, id);
  return prefix + keyOf(getting, "id", id);
}

/** The statement of the read of one row. */
export function rowSql({ columns, name, key }: TableFacts, id: unknown): Sql {
  return sql`select ${columns} from ${name} where ${key} = ${id}`;
}

/** The read of the rows that match. */
export function readRows(
  { table, prefix, filtering, columns, name }: TableFacts,
  where: unknown,
  options: FilterOptions<Record<string, unknown>>,
  dialect: Dialect,
): Read {
  const matches = criterionOf(filtering, table, where);
  const { where: behind, rest } = pageOf(filtering, table, options, dialect);
  return {
    sql: () => sql`select ${columns} from ${name} where ${matches.sql} and ${behind.sql}${rest.sql}`,
    key: `${prefix} ${matches.key} ${behind.key} ${rest.key}`,
  };
}

/** Throws for options that are not as they should be. */
export function checkRead(doing: string, options: ReadOptions): void {
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
