/** Criteria for rows: a small, closed set, as SQL and as a text that is the same for equal ones. */
import { show } from "../kernel/checks.ts";
import { type Sql, sql } from "./sql.ts";
import type { Table } from "./table.ts";

/** What a column is compared with; several are combined by "and". */
export interface Comparison<V> {
  /** Equal to it. */
  readonly eq?: V | null;
  /** Not equal to it; rows where it is null do not match, unless that is what is not to be. */
  readonly ne?: V | null;
  /** One of them; of none, no row matches. */
  readonly in?: readonly V[];
  /** Less. */
  readonly lt?: V;
  /** Less or equal. */
  readonly lte?: V;
  /** Greater. */
  readonly gt?: V;
  /** Greater or equal. */
  readonly gte?: V;
  /** Like a pattern of SQL, with `%` and `_`. */
  readonly like?: string;
  /** Null, or not. */
  readonly isNull?: boolean;
}

/**
 * Which rows: each column's value, or a {@linkcode Comparison}; all have to hold. `or` holds when one of its criteria
 * does. `null` matches null. Nothing may be undefined.
 */
export type Where<R extends object> =
  & { readonly [C in keyof R]?: R[C] | Comparison<NonNullable<R[C]>> }
  & { readonly or?: readonly Where<R>[] };

/** Something as SQL, and as a text that is the same for what means the same. */
export interface Criterion {
  readonly sql: Sql;
  readonly key: string;
}

/** A value of a column as a text: of its kind, and different for different ones. */
export function keyOf(doing: string, what: string, value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "boolean":
      return String(value);
    case "object":
      if (value === null) return "null";
      if (isDate(value)) return `@${value.getTime()}`;
      if (value instanceof Uint8Array) {
        return `#${[...value].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
      }
  }
  throw new TypeError(
    `Cannot ${doing} as ${what} must be null, a string, number, bigint, boolean, Date or Uint8Array: received ${
      show(value)
    }`,
  );
}

/** Of whichever realm: test runners have their own. */
export function isDate(value: unknown): value is Date {
  return Object.prototype.toString.call(value) === "[object Date]";
}

/** The criteria of a table, checked; those that mean the same have the same key. */
export function criterionOf(doing: string, table: Table, where: unknown): Criterion {
  if (!isPlain(where)) {
    throw new TypeError(`Cannot ${doing} as where must be a plain object: received ${show(where)}`);
  }
  const parts: Criterion[] = [];
  for (const [column, wanted] of Object.entries(where)) {
    if (column === "or") parts.push(anyOf(doing, table, wanted));
    else {
      checkColumn(doing, table, column, "where");
      if (isPlain(wanted)) parts.push(...comparisons(doing, column, wanted));
      else parts.push(compared(doing, column, "eq", wanted));
    }
  }
  return combined(parts, AND, "&");
}

/** Throws unless it is a column of the table. */
export function checkColumn(doing: string, table: Table, column: unknown, what: string): void {
  if (table.columns.includes(column as never)) return;
  const columns = table.columns.map((column) => JSON.stringify(column)).join(", ");
  throw new RangeError(
    `Cannot ${doing} as ${what} must name columns of ${columns}: received ${show(column)}`,
  );
}

/** Whether it is an object as written down. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const AND = sql` and `;
const OR = sql` or `;
/** What never holds. */
export const NONE: Criterion = { sql: sql`1 = 0`, key: "none" };
/** What always holds. */
export const ALL: Criterion = { sql: sql`1 = 1`, key: "all" };

function combined(parts: Criterion[], by: Sql, sign: string): Criterion {
  if (parts.length === 0) return ALL;
  parts.sort((a, b) => a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
  if (parts.length === 1) return parts[0]!;
  return {
    sql: sql`(${sql.join(parts.map((part) => part.sql), by)})`,
    key: `(${parts.map((part) => part.key).join(sign)})`,
  };
}

function anyOf(doing: string, table: Table, wanted: unknown): Criterion {
  if (!Array.isArray(wanted) || wanted.length === 0) {
    throw new TypeError(`Cannot ${doing} as or must be an array of criteria: received ${show(wanted)}`);
  }
  return combined(wanted.map((one) => criterionOf(doing, table, one)), OR, "|");
}

/** How the operators are written. */
const signs = {
  eq: sql` = `,
  ne: sql` <> `,
  lt: sql` < `,
  lte: sql` <= `,
  gt: sql` > `,
  gte: sql` >= `,
  like: sql` like `,
};

function comparisons(doing: string, column: string, wanted: Record<string, unknown>): Criterion[] {
  const entries = Object.entries(wanted);
  if (entries.length === 0) {
    throw new RangeError(`Cannot ${doing} as the criteria for ${show(column)} must have one: received none`);
  }
  return entries.map(([operator, value]) => {
    if (operator === "in") return within(doing, column, value);
    if (operator === "isNull") {
      if (typeof value === "boolean") return nullness(column, value);
      throw new TypeError(
        `Cannot ${doing} as isNull of ${show(column)} must be a boolean: received ${show(value)}`,
      );
    }
    if (Object.hasOwn(signs, operator)) return compared(doing, column, operator as keyof typeof signs, value);
    const known = [...Object.keys(signs), "in", "isNull"].join(", ");
    throw new RangeError(
      `Cannot ${doing} as the criteria for ${show(column)} must be among ${known}: received ${
        show(operator)
      }`,
    );
  });
}

/** One comparison; `stored` is what the value is to be taken from, where it is not to be itself. */
export function compared(
  doing: string,
  column: string,
  operator: keyof typeof signs,
  value: unknown,
  stored: unknown = value,
): Criterion {
  const key = keyOf(doing, `the value for ${show(column)}`, value);
  if (value === null) {
    if (operator === "eq" || operator === "ne") return nullness(column, operator === "eq");
    throw new TypeError(
      `Cannot ${doing} as ${operator} of ${
        show(column)
      } must be a value: received null, which nothing compares to`,
    );
  }
  return {
    sql: sql`${sql.id(column)}${signs[operator]}${stored}`,
    key: `${JSON.stringify(column)} ${operator} ${key}`,
  };
}

/** Whether it is null, or not. */
export function nullness(column: string, isNull: boolean): Criterion {
  return {
    sql: isNull ? sql`${sql.id(column)} is null` : sql`${sql.id(column)} is not null`,
    key: `${JSON.stringify(column)} ${isNull ? "null" : "not null"}`,
  };
}

function within(doing: string, column: string, values: unknown): Criterion {
  if (!Array.isArray(values)) {
    throw new TypeError(
      `Cannot ${doing} as in of ${show(column)} must be an array: received ${show(values)}`,
    );
  }
  const byKey = new Map<string, unknown>();
  for (const value of values) {
    if (value === null) {
      throw new TypeError(
        `Cannot ${doing} as in of ${show(column)} must hold values: received null, for which there is isNull`,
      );
    }
    byKey.set(keyOf(doing, `a value for ${show(column)}`, value), value);
  }
  if (byKey.size === 0) return NONE;
  const keys = [...byKey.keys()].sort();
  return {
    sql: sql`${sql.id(column)} in (${sql.list(keys.map((key) => byKey.get(key)))})`,
    key: `${JSON.stringify(column)} in ${keys.join()}`,
  };
}
