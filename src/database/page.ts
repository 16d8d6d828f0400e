/** Parts of the rows that match, and their order. */
import { checkInteger, show } from "../kernel/checks.ts";
import type { Dialect } from "./driver.ts";
import { Sql, sql } from "./sql.ts";
import type { Table } from "./table.ts";
import { ALL, checkColumn, compared, type Criterion, isDate, isPlain, NONE, nullness } from "./where.ts";

/** A column, ascending, or `{ desc: column }`. */
export type OrderBy<R extends object> = (keyof R & string) | { readonly desc: keyof R & string };

/** Which part of the rows that match, and in which order. */
export interface PageOptions<R extends object> {
  /**
   * In which order; the key comes last by itself where there are pages, so that none is ambiguous. Default: any. Null
   * comes where the database has it: last in PostgreSQL, first in MySQL and SQLite, and the other way round with `desc`.
   */
  orderBy?: OrderBy<R> | readonly OrderBy<R>[] | undefined;
  /** How many at most. Default: all. */
  limit?: number | undefined;
  /** How many to leave out first: the database reads those as well, other than with `after`. */
  offset?: number | undefined;
  /**
   * The last row of the page before, or what of it is in `orderBy` and the key: gives those that come after it, however
   * many of them were written meanwhile.
   */
  after?: Partial<R> | undefined;
}

/** What stands behind the criteria, and what is to be added to them. */
export function pageOf(
  doing: string,
  table: Table,
  page: PageOptions<Record<string, unknown>>,
  dialect: Dialect,
): { readonly where: Criterion; readonly rest: Criterion } {
  const { orderBy, limit, offset, after } = page;
  if (limit !== undefined) checkInteger(doing, "limit", limit, 0);
  if (offset !== undefined) checkInteger(doing, "offset", offset, 0);
  if (offset !== undefined && after !== undefined) {
    throw new TypeError(`Cannot ${doing} as offset and after must not be given together`);
  }
  const order = orderOf(doing, table, orderBy);
  const paged = limit !== undefined || offset !== undefined || after !== undefined;
  if (paged && !order.some(({ column }) => column === table.key)) {
    order.push({ column: table.key, desc: false });
  }
  let rest = order.length === 0
    ? EMPTY
    : sql` order by ${
      sql.join(order.map(({ column, desc }) => desc ? sql`${sql.id(column)} desc` : sql`${sql.id(column)}`))
    }`;
  if (limit !== undefined) rest = sql`${rest} limit ${count(limit)}`;
  else if (offset !== undefined) rest = sql`${rest} limit ${count(Number.MAX_SAFE_INTEGER)}`;
  if (offset !== undefined) rest = sql`${rest} offset ${count(offset)}`;
  const key = `${
    order.map(({ column, desc }) => (desc ? "-" : "+") + JSON.stringify(column)).join()
  } ${limit} ${offset}`;
  return {
    where: after === undefined ? ALL : comesAfter(doing, order, after, { table, dialect }),
    rest: { sql: rest, key },
  };
}

const EMPTY = new Sql([""], []);

/** A whole number that was checked: written out, as not all databases take a number for a parameter here. */
function count(value: number): Sql {
  return new Sql([String(value)], []);
}

interface Order {
  readonly column: string;
  readonly desc: boolean;
}

function orderOf(doing: string, table: Table, orderBy: unknown): Order[] {
  if (orderBy === undefined) return [];
  const order = (Array.isArray(orderBy) ? orderBy : [orderBy]).map((one: unknown): Order => {
    const desc = isPlain(one) && Object.keys(one).join() === "desc";
    const column = desc ? one.desc : one;
    checkColumn(doing, table, column, "orderBy");
    return { column: column as string, desc };
  });
  // What comes after the key, or is there again, orders nothing.
  const last = order.findIndex(({ column }) => column === table.key);
  return order.slice(0, last < 0 ? undefined : last + 1)
    .filter(({ column }, i, all) => all.findIndex((other) => other.column === column) === i);
}

interface Place {
  readonly table: Table;
  readonly dialect: Dialect;
}

/** Rows behind one, in an order: greater in the first column, or equal there and greater in the next, and so on. */
function comesAfter(doing: string, order: readonly Order[], after: unknown, place: Place): Criterion {
  if (typeof after !== "object" || after === null) {
    throw new TypeError(`Cannot ${doing} as after must be a row: received ${show(after)}`);
  }
  const row = after as Record<string, unknown>;
  let found: Criterion | undefined;
  for (const one of [...order].reverse()) {
    const { column } = one;
    const value = row[column];
    if (value === undefined || (value === null && column === place.table.key)) {
      throw new TypeError(
        `Cannot ${doing} as after must have a value for ${show(column)}: received ${value}`,
      );
    }
    const stored = isDate(value) && column !== place.table.key ? storedTime(place.table, column, row) : value;
    const beyond = isBeyond(doing, one, { value, stored }, place);
    if (found === undefined) {
      found = beyond;
      continue;
    }
    const equal = compared(doing, column, "eq", value, stored);
    found = {
      sql: sql`(${beyond.sql} or (${equal.sql} and ${found.sql}))`,
      key: `(${beyond.key}|(${equal.key}&${found.key}))`,
    };
  }
  return found!;
}

/** Rows behind a value of one column. Nothing compares to null, which is at one end all the same. */
function isBeyond(
  doing: string,
  { column, desc }: Order,
  { value, stored }: { readonly value: unknown; readonly stored: unknown },
  { table: { key }, dialect }: Place,
): Criterion {
  const nullsFirst = (dialect === "postgres") === desc;
  if (value === null) return nullsFirst ? nullness(column, false) : NONE;
  const beyond = compared(doing, column, desc ? "lt" : "gt", value, stored);
  if (nullsFirst || column === key) return beyond;
  const isNull = nullness(column, true);
  return { sql: sql`(${beyond.sql} or ${isNull.sql})`, key: `(${beyond.key}|${isNull.key})` };
}

/**
 * The time of a row as it is stored: a Date holds milliseconds, and databases more, so that the row would come after
 * itself. As long as it is still there with that time; else what the Date holds.
 */
function storedTime({ schema, name, key }: Table, column: string, row: Record<string, unknown>): Sql {
  const time = row[column] as Date;
  const next = structuredClone(time);
  next.setTime(time.getTime() + 1);
  const at = sql.id(column);
  const from = schema === undefined ? sql.id(name) : sql.id(schema, name);
  const isThere = sql`${sql.id(key)} = ${row[key]} and ${at} >= ${time} and ${at} < ${next}`;
  return sql`coalesce((select ${at} from ${from} where ${isThere}), ${time})`;
}
