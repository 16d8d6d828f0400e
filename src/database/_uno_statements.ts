/** The statements of {@linkcode UnoDb}, for all dialects, and what their rows mean. */
import { show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { inOrderOf } from "./_uno_match.ts";
import type { Dialect } from "./driver.ts";
import { DatabaseError } from "./errors.ts";
import type { Session } from "./session.ts";
import { type Sql, sql } from "./sql.ts";
import { ORDINAL, type Table } from "./table.ts";
import { VersionConflictError } from "./version_conflict_error.ts";
import { checkColumn, isPlain } from "./where.ts";

/** A row as it is given or read. */
export type Row = Readonly<Record<string, unknown>>;

/** Where statements are sent, and how they are to be written. */
export interface Target {
  readonly session: Session;
  readonly dialect: Dialect;
  readonly options: WaitOptions;
}

/** One update of a batch. */
export interface Update {
  readonly id: unknown;
  readonly changes: Row;
}

/** The table's name, in SQL. */
export function nameOf({ schema, name }: Table): Sql {
  return schema === undefined ? sql.id(name) : sql.id(schema, name);
}

const columnLists = new WeakMap<Table, Sql>();

/** The columns that are read, in SQL. */
export function columnsOf(table: Table): Sql {
  let list = columnLists.get(table);
  if (list === undefined) {
    list = sql.join(table.columns.map((column) => sql.id(column)));
    columnLists.set(table, list);
  }
  return list;
}

/** The columns that a row or a change gives, sorted. */
export function givenColumns(doing: string, table: Table, given: unknown): readonly string[] {
  if (!isPlain(given)) {
    throw new TypeError(`Cannot ${doing} as the row must be a plain object: received ${show(given)}`);
  }
  const columns = Object.keys(given).sort();
  for (const column of columns) {
    checkColumn(doing, table, column, "the row");
    if (given[column] !== undefined) continue;
    throw new TypeError(
      `Cannot ${doing} as ${show(column)} must have a value, null for none: received undefined`,
    );
  }
  return columns;
}

/** The columns that an update gives: any but those that are not for it to change. */
export function changedColumns(doing: string, table: Table, changes: unknown): readonly string[] {
  const columns = givenColumns(doing, table, changes);
  if (columns.length === 0) {
    throw new RangeError(`Cannot ${doing} as the row must hold a change: received none`);
  }
  for (const fixed of [table.key, table.version]) {
    if (fixed === undefined || !columns.includes(fixed)) continue;
    const why = fixed === table.key ? "which tells rows apart" : "which is counted up by itself";
    throw new RangeError(`Cannot ${doing} as changes must leave out ${show(fixed)}, ${why}: received one`);
  }
  return columns;
}

/** Inserts rows of the same columns. @returns What is stored of each, in their order. */
export async function insertRows(
  { session, dialect, options }: Target,
  table: Table,
  columns: readonly string[],
  rows: readonly Row[],
): Promise<readonly Row[]> {
  const values = columns.length > 0
    ? sql`(${sql.join(columns.map((column) => sql.id(column)))}) values ${
      sql.join(rows.map((row) => sql`(${sql.list(columns.map((column) => row[column]))})`))
    }`
    : dialect === "mysql"
    ? sql`() values ${sql.join(rows.map(() => sql`()`))}`
    : sql`default values`;
  const result = await session.query<Row>(
    sql`insert into ${nameOf(table)} ${values} returning ${columnsOf(table)}`,
    undefined,
    options,
  );
  const stored = inOrderOf(rows, result.rows, columns);
  if (stored !== undefined) return stored;
  const { length } = result.rows;
  const what = length === rows.length ? "rows that can't be told apart" : `${length}`;
  throw new DatabaseError(
    `Cannot insert into ${
      show(table.name)
    } as a row must come back for each of ${rows.length}: received ${what}`,
    { dialect, stage: "body", failure: "other" },
  );
}

/** Changes one row. @returns What is stored then; nothing when there is no such row. */
export async function updateRow(
  target: Target,
  table: Table,
  { id, changes }: Update,
  columns: readonly string[],
  version: number | undefined,
): Promise<Row | undefined> {
  const { session, dialect, options } = target;
  const sets = columns.map((column) => sql`${sql.id(column)} = ${changes[column]}`);
  if (table.version !== undefined) sets.push(countsUp(table.version));
  const key = sql`${sql.id(table.key)} = ${id}`;
  const where = version === undefined ? key : sql`${key} and ${sql.id(table.version!)} = ${version}`;
  const update = sql`update ${nameOf(table)} set ${sql.join(sets)} where ${where}`;
  const read = sql`select ${columnsOf(table)} from ${nameOf(table)} where ${key}`;
  let row: Row | undefined;
  if (dialect === "mysql") {
    const { rowCount } = await session.query(update, undefined, options);
    if (rowCount > 0) row = (await session.query<Row>(read, undefined, options)).rows[0];
  } else {
    const returning = sql`${update} returning ${columnsOf(table)}`;
    row = (await session.query<Row>(returning, undefined, options)).rows[0];
  }
  if (row === undefined && version !== undefined) await conflict(target, table, id, version);
  return row;
}

/** Deletes one row. @returns Whether there was one. */
export async function deleteRow(
  target: Target,
  table: Table,
  id: unknown,
  version: number | undefined,
): Promise<boolean> {
  const key = sql`${sql.id(table.key)} = ${id}`;
  const where = version === undefined ? key : sql`${key} and ${sql.id(table.version!)} = ${version}`;
  const statement = sql`delete from ${nameOf(table)} where ${where}`;
  const { rowCount } = await target.session.query(statement, undefined, target.options);
  if (rowCount === 0 && version !== undefined) await conflict(target, table, id, version);
  return rowCount > 0;
}

/** Says why a row of a version was not found, if it was not. */
async function conflict(
  { session, options }: Target,
  table: Table,
  id: unknown,
  expected: number,
): Promise<void> {
  const { rows } = await session.query<{ version: number | bigint | string }>(
    sql`select ${sql.id(table.version!)} as version from ${nameOf(table)} where ${sql.id(table.key)} = ${id}`,
    undefined,
    options,
  );
  const found = rows[0] === undefined ? undefined : Number(rows[0].version);
  const so = found === undefined ? "there is no such row" : `it has version ${found}`;
  throw new VersionConflictError(
    `Cannot change ${show(table.name)} row ${show(id)} of version ${expected}: ${so}`,
    { table: table.name, id, expected, found },
  );
}

/**
 * Changes rows of different keys in the same columns. @returns What is stored of each then, in their order; nothing in
 * the place of one that is not there.
 */
export async function updateRows(
  { session, dialect, options }: Target,
  table: Table,
  columns: readonly string[],
  updates: readonly Update[],
): Promise<readonly (Row | undefined)[]> {
  const key = sql.id(table.key);
  const each = (valueOf: (update: Update, i: number) => unknown): Sql =>
    sql.join(updates.map((update, i) => sql` when ${update.id} then ${valueOf(update, i)}`), NOTHING);
  // The column at the end gives the values their type.
  const sets = columns.map((column) => {
    const name = sql.id(column);
    return sql`${name} = case ${key}${each(({ changes }) => changes[column])} else ${name} end`;
  });
  if (table.version !== undefined) sets.push(countsUp(table.version));
  const where = sql`${key} in (${sql.list(updates.map(({ id }) => id))})`;
  // Which row is whose is for the database to say, as it compares keys in ways of its own.
  const ordinal = sql`case ${key}${each((_, i) => String(i))} end as ${sql.id(ORDINAL)}`;
  const update = sql`update ${nameOf(table)} set ${sql.join(sets)} where ${where}`;
  const list = sql`${columnsOf(table)}, ${ordinal}`;
  if (dialect === "mysql") await session.query(update, undefined, options);
  const read = dialect === "mysql"
    ? sql`select ${list} from ${nameOf(table)} where ${where}`
    : sql`${update} returning ${list}`;
  const { rows } = await session.query<Row>(read, undefined, options);
  const stored: (Row | undefined)[] = updates.map(() => undefined);
  for (const { [ORDINAL]: place, ...row } of rows) stored[Number(place)] = row;
  return stored;
}

/** How many parameters one row adds to a statement of {@linkcode updateRows}. */
export function updateWeight(columns: readonly string[]): number {
  return 2 * columns.length + 3;
}

/** How many parameters a statement may have. */
export const MOST_PARAMETERS: Readonly<Record<Dialect, number>> = {
  postgres: 65_535,
  mysql: 65_535,
  sqlite: 32_766,
};

const NOTHING = sql``;

function countsUp(column: string): Sql {
  return sql`${sql.id(column)} = ${sql.id(column)} + 1`;
}
