/** The statements of {@linkcode UnoDb}, for all dialects, and what their rows mean. */
import { show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { inOrderOf } from "./_uno_match.ts";
import type { Row, Shape, TableFacts } from "./_uno_table.ts";
import type { Dialect } from "./driver.ts";
import { DatabaseError } from "./errors.ts";
import type { Session } from "./session.ts";
import { type Sql, sql } from "./sql.ts";
import { ORDINAL } from "./table.ts";
import { VersionConflictError } from "./version_conflict_error.ts";

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

/** The columns that an update gives: any but those that are not for it to change. */
export function checkChanged({ facts: { table, updating }, columns }: Shape): void {
  if (columns.length === 0) {
    throw new RangeError(`Cannot ${updating} as the row must hold a change: received none`);
  }
  for (const fixed of [table.key, table.version]) {
    if (fixed === undefined || !columns.includes(fixed)) continue;
    const why = fixed === table.key ? "which tells rows apart" : "which is counted up by itself";
    throw new RangeError(`Cannot ${updating} as changes must leave out ${show(fixed)}, ${why}: received one`);
  }
}

/** Inserts rows of the same columns. @returns What is stored of each, in their order. */
export async function insertRows(
  target: Target,
  shape: Shape,
  rows: readonly Row[],
): Promise<readonly Row[]> {
  const { length } = shape.columns;
  // A row without values has a statement of its own.
  const most = length === 0 ? 1 : Math.floor(MOST_PARAMETERS[target.dialect] / length);
  if (rows.length <= most) return await insertSome(target, shape, rows);
  const stored: Row[] = [];
  for (let i = 0; i < rows.length; i += most) {
    for (const row of await insertSome(target, shape, rows.slice(i, i + most))) stored.push(row);
  }
  return stored;
}

/** As many as one statement takes. */
async function insertSome(
  { session, dialect, options }: Target,
  shape: Shape,
  rows: readonly Row[],
): Promise<readonly Row[]> {
  const { columns, facts } = shape;
  const values = columns.length > 0
    ? sql`(${sql.join(columns.map((column) => sql.id(column)))}) values ${shape.values(rows)}`
    : dialect === "mysql"
    ? sql`() values ()`
    : sql`default values`;
  const result = await session.query<Row>(
    sql`insert into ${facts.name} ${values} returning ${facts.columns}`,
    undefined,
    options,
  );
  const stored = inOrderOf(rows, result.rows, columns);
  if (stored !== undefined) return stored;
  const { length } = result.rows;
  const what = length === rows.length ? "rows that can't be told apart" : `${length}`;
  throw new DatabaseError(
    `Cannot ${facts.inserting} as a row must come back for each of ${rows.length}: received ${what}`,
    { dialect, stage: "body", failure: "other" },
  );
}

/** Changes one row. @returns What is stored then; nothing when there is no such row. */
export async function updateRow(
  target: Target,
  { facts, columns }: Shape,
  { id, changes }: Update,
  version: number | undefined,
): Promise<Row | undefined> {
  const { table } = facts;
  const { session, dialect, options } = target;
  const sets = columns.map((column) => sql`${sql.id(column)} = ${changes[column]}`);
  if (table.version !== undefined) sets.push(countsUp(table.version));
  const key = sql`${facts.key} = ${id}`;
  const where = version === undefined ? key : sql`${key} and ${sql.id(table.version!)} = ${version}`;
  const update = sql`update ${facts.name} set ${sql.join(sets)} where ${where}`;
  const read = sql`select ${facts.columns} from ${facts.name} where ${key}`;
  let row: Row | undefined;
  if (dialect === "mysql") {
    const { rowCount } = await session.query(update, undefined, options);
    if (rowCount > 0) row = (await session.query<Row>(read, undefined, options)).rows[0];
  } else {
    const returning = sql`${update} returning ${facts.columns}`;
    row = (await session.query<Row>(returning, undefined, options)).rows[0];
  }
  if (row === undefined && version !== undefined) await conflict(target, facts, id, version);
  return row;
}

/** Deletes one row. @returns Whether there was one. */
export async function deleteRow(
  target: Target,
  facts: TableFacts,
  id: unknown,
  version: number | undefined,
): Promise<boolean> {
  const { table } = facts;
  const key = sql`${facts.key} = ${id}`;
  const where = version === undefined ? key : sql`${key} and ${sql.id(table.version!)} = ${version}`;
  const statement = sql`delete from ${facts.name} where ${where}`;
  const { rowCount } = await target.session.query(statement, undefined, target.options);
  if (rowCount === 0 && version !== undefined) await conflict(target, facts, id, version);
  return rowCount > 0;
}

/** Says why a row of a version was not found, if it was not. */
async function conflict(
  { session, options }: Target,
  { table, name, key }: TableFacts,
  id: unknown,
  expected: number,
): Promise<void> {
  const { rows } = await session.query<{ version: number | bigint | string }>(
    sql`select ${sql.id(table.version!)} as version from ${name} where ${key} = ${id}`,
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
  target: Target,
  shape: Shape,
  updates: readonly Update[],
): Promise<readonly (Row | undefined)[]> {
  const most = Math.floor(MOST_PARAMETERS[target.dialect] / (2 * shape.columns.length + 3));
  if (updates.length <= most) return await updateSome(target, shape, updates);
  const stored: (Row | undefined)[] = [];
  for (let i = 0; i < updates.length; i += most) {
    stored.push(...await updateSome(target, shape, updates.slice(i, i + most)));
  }
  return stored;
}

async function updateSome(
  { session, dialect, options }: Target,
  { facts, columns }: Shape,
  updates: readonly Update[],
): Promise<readonly (Row | undefined)[]> {
  const { table, key } = facts;
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
  const update = sql`update ${facts.name} set ${sql.join(sets)} where ${where}`;
  const list = sql`${facts.columns}, ${ordinal}`;
  if (dialect === "mysql") await session.query(update, undefined, options);
  const read = dialect === "mysql"
    ? sql`select ${list} from ${facts.name} where ${where}`
    : sql`${update} returning ${list}`;
  const { rows } = await session.query<Row>(read, undefined, options);
  const stored: (Row | undefined)[] = updates.map(() => undefined);
  for (const { [ORDINAL]: place, ...row } of rows) stored[Number(place)] = row;
  return stored;
}

/** How many parameters a statement may have. */
const MOST_PARAMETERS: Readonly<Record<Dialect, number>> = {
  postgres: 65_535,
  mysql: 65_535,
  sqlite: 32_766,
};

const NOTHING = sql``;

function countsUp(column: string): Sql {
  return sql`${sql.id(column)} = ${sql.id(column)} + 1`;
}
