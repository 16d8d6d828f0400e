/** What is needed of a table again and again, made once. */
import { show } from "../kernel/checks.ts";
import { Sql, sql } from "./sql.ts";
import { checkTable, type Table } from "./table.ts";
import { checkColumn, isPlain } from "./where.ts";

/** A row as it is given or read. */
export type Row = Readonly<Record<string, unknown>>;

/** Rows of a table that give the same columns: they go into one statement. */
export class Shape {
  readonly facts: TableFacts;
  /** The columns, sorted. */
  readonly columns: readonly string[];
  #texts: readonly string[] = [];

  constructor(facts: TableFacts, columns: readonly string[]) {
    this.facts = facts;
    this.columns = columns;
  }

  /** The rows in SQL, for VALUES: one flat part, as there may be thousands of values. */
  values(rows: readonly Row[]): Sql {
    const { columns } = this;
    const values: unknown[] = [];
    for (const row of rows) for (const column of columns) values.push(row[column]);
    if (this.#texts.length !== values.length + 1) {
      this.#texts = [...values.map((_, i) => i === 0 ? "(" : i % columns.length === 0 ? "), (" : ", "), ")"];
    }
    return new Sql(this.#texts, values);
  }
}

const prefixes = new Map<string, string>();

/** A short one for each description: it is hashed with every read. */
function prefixOf(description: string): string {
  let prefix = prefixes.get(description);
  if (prefix === undefined) prefixes.set(description, prefix = `${prefixes.size} `);
  return prefix;
}

/** A table's names in SQL, and what is done with it in words. */
export class TableFacts {
  readonly table: Table;
  readonly name: Sql;
  readonly columns: Sql;
  readonly key: Sql;
  /** Equal for descriptions of a table that give the same rows. */
  readonly prefix: string;
  readonly getting: string;
  readonly filtering: string;
  readonly inserting: string;
  readonly updating: string;
  readonly deleting: string;
  /** By the columns of a row as they come, and as they are sorted. */
  readonly #shapes = new Map<string, Shape>();

  constructor(table: Table) {
    const { schema, name, key, columns } = table;
    const quoted = show(name);
    this.table = table;
    this.name = schema === undefined ? sql.id(name) : sql.id(schema, name);
    this.columns = sql.join(columns.map((column) => sql.id(column)));
    this.key = sql.id(key);
    this.prefix = prefixOf(JSON.stringify([schema, name, key, columns]));
    this.getting = `get ${quoted} row`;
    this.filtering = `filter ${quoted}`;
    this.inserting = `insert into ${quoted}`;
    this.updating = `update ${quoted}`;
    this.deleting = `delete from ${quoted}`;
  }

  /** The shape of a row, once that was checked. */
  shapeOf(doing: string, row: unknown): Shape {
    if (!isPlain(row)) {
      throw new TypeError(`Cannot ${doing} as the row must be a plain object: received ${show(row)}`);
    }
    const columns = Object.keys(row);
    for (const column of columns) {
      if (row[column] !== undefined) continue;
      throw new TypeError(
        `Cannot ${doing} as ${show(column)} must have a value, null for none: received undefined`,
      );
    }
    const shape = this.#shapes.get(columns.join("\0"));
    // As many: a name with a NUL in it could look like two.
    return shape?.columns.length === columns.length ? shape : this.#newShape(doing, columns);
  }

  #newShape(doing: string, columns: readonly string[]): Shape {
    for (const column of columns) checkColumn(doing, this.table, column, "the row");
    const sorted = [...columns].sort();
    const shape = this.#shapes.get(sorted.join("\0")) ?? new Shape(this, sorted);
    // There are as many orders as callers make up, which may be many.
    if (this.#shapes.size >= 1_000) this.#shapes.clear();
    this.#shapes.set(sorted.join("\0"), shape);
    this.#shapes.set(columns.join("\0"), shape);
    return shape;
  }
}

const known = new WeakMap<Table, TableFacts>();

/**
 * What is known of a table.
 *
 * @throws {TypeError} When it is none that `table()` has made.
 */
export function factsOf(doing: string, table: unknown): TableFacts {
  let facts = typeof table === "object" && table !== null ? known.get(table as Table) : undefined;
  if (facts === undefined) {
    checkTable(doing, table);
    facts = new TableFacts(table as Table);
    known.set(table as Table, facts);
  }
  return facts;
}
