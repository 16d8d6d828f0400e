import { checkName, checkOptions, show } from "../kernel/checks.ts";

/** A table as {@linkcode UnoDb} knows it: its name, its columns, and which of them is the key. */
export interface Table<R extends object = Record<string, unknown>, K extends keyof R = keyof R> {
  /** Its name. */
  readonly name: string;
  /** The schema it is in, where that is not the default one. */
  readonly schema: string | undefined;
  /** The column that tells rows apart. */
  readonly key: K & string;
  /** The columns that are read. */
  readonly columns: readonly (keyof R & string)[];
  /** The column that counts the updates of a row. */
  readonly version: (keyof R & string) | undefined;
  /** The type of its rows; there is no such value. */
  readonly row?: R;
}

/** Options of {@linkcode table}. */
export interface TableOptions<C extends string, K extends C = C> {
  /** The column that tells rows apart: unique, never null, and never changed. */
  key: K;
  /**
   * The columns that are read, the key among them: all that the type of the rows has, which TypeScript can't check of a
   * list. One that is left out is missing in what is read, whatever the type says, and refused in what is written.
   */
  columns: readonly C[];
  /** A column that counts the updates of a row, for `update(…, { version })`; a number, not null. */
  version?: C | undefined;
  /** The schema it is in, where that is not the default one. */
  schema?: string | undefined;
}

/** Those made here: their names have been checked. */
const made = new WeakSet<object>();

/** By which keys each table has been described, whatever the case of its name. */
const keys = new Map<string, Set<string>>();

/** By how many different keys a table has been described. */
export function keysKnown(name: string): number {
  return keys.get(name.toLowerCase())?.size ?? 0;
}

/**
 * Describes a table, so that it can be used through {@linkcode UnoDb}. The database is not asked.
 *
 * Types are what the caller says: `table<Order, "id">("orders", …)` has rows of type `Order` and keys of the type of its
 * `id` (both are to be said, as TypeScript takes all type arguments or none); without, the columns are known by name and their values are `unknown`.
 *
 * @param name Its name, written as the database has it; it will be quoted.
 * @throws {TypeError | RangeError} When a name is not one, or is there twice.
 *
 * @example
 * ```ts
 * import { table } from "@uno/async/database";
 * import assert from "node:assert/strict";
 *
 * interface Order {
 *   id: number;
 *   status: "open" | "paid";
 *   total: number;
 * }
 * const orders = table<Order, "id">("orders", { key: "id", columns: ["id", "status", "total"] });
 * assert.deepEqual([orders.name, orders.key], ["orders", "id"]);
 * ```
 */
export function table<const C extends string, const K extends C>(
  name: string,
  options: TableOptions<C, K>,
): Table<Record<C, unknown>, K>;
/** The same, with the type of its rows. */
export function table<R extends object, K extends keyof R & string = never>(
  name: string,
  options: TableOptions<keyof R & string, K>,
): Table<R, K>;
export function table(name: string, options: TableOptions<string>): Table {
  checkText("create table", "name", name);
  const doing = `create table ${show(name)}`;
  checkOptions(doing, options ?? null);
  const { key, columns, version, schema } = options;
  if (!Array.isArray(columns)) {
    throw new TypeError(`Cannot ${doing} as columns must be an array: received ${show(columns)}`);
  }
  for (const [i, column] of columns.entries()) {
    checkText(doing, `column ${i + 1}`, column);
    if (columns.indexOf(column) !== i) {
      throw new RangeError(`Cannot ${doing} as columns must be different: received ${show(column)} twice`);
    }
    if (RESERVED.has(column)) {
      throw new RangeError(
        `Cannot ${doing} as column ${i + 1} must not be a word of ours: received "${column}"`,
      );
    }
  }
  checkColumn(doing, "key", key, columns);
  if (version !== undefined) checkColumn(doing, "version", version, columns);
  if (version === key) {
    throw new RangeError(`Cannot ${doing} as version must not be the key: received ${show(version)}`);
  }
  if (schema !== undefined) checkText(doing, "schema", schema);
  const table: Table = Object.freeze({ name, schema, key, columns: Object.freeze([...columns]), version });
  made.add(table);
  const known = keys.get(name.toLowerCase());
  if (known === undefined) keys.set(name.toLowerCase(), new Set([key]));
  else known.add(key);
  return table;
}

/** Throws unless it is a table that {@linkcode table} has made. */
export function checkTable(doing: string, value: unknown): void {
  if (typeof value === "object" && value !== null && made.has(value)) return;
  throw new TypeError(`Cannot ${doing} as table must be made by table(): received ${show(value)}`);
}

/** By which rows of a batch are told apart, and by which criteria are combined. */
export const ORDINAL = "uno_ordinal";
const RESERVED = new Set([ORDINAL, "or"]);

function checkText(doing: string, what: string, value: unknown): void {
  checkName(doing, value ?? null, what);
  if (value === "" || (value as string).includes("\0")) {
    throw new RangeError(
      `Cannot ${doing} as ${what} must hold characters, and no NUL: received ${show(value)}`,
    );
  }
}

function checkColumn(doing: string, what: string, value: unknown, columns: readonly string[]): void {
  checkText(doing, what, value);
  if (!columns.includes(value as string)) {
    throw new RangeError(`Cannot ${doing} as ${what} must be one of its columns: received ${show(value)}`);
  }
}
