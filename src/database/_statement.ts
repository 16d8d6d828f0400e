/** A statement as a user gives it, on its way to the database. */
import { show, subject } from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { Dialect } from "./driver.ts";
import { type CompiledSql, Sql } from "./sql.ts";
import type { Wire } from "./wire.ts";

const NO_PARAMS: readonly unknown[] = Object.freeze([]);

/** What a user asks for. */
export interface Statement {
  readonly sql: string | Sql;
  readonly params: readonly unknown[] | undefined;
}

/** Throws unless it is a statement. */
export function checkStatement(doing: string, { sql, params = NO_PARAMS }: Statement): void {
  if (!Array.isArray(params)) {
    throw new TypeError(`Cannot ${doing} as params must be an array: received ${show(params)}`);
  }
  if (sql instanceof Sql) {
    if (params.length === 0) return;
    throw new TypeError(`Cannot ${doing} as params must be left out beside sql: received ${params.length}`);
  }
  if (typeof sql !== "string") {
    throw new TypeError(`Cannot ${doing} as sql must be a string, or made by sql: received ${show(sql)}`);
  }
}

/** A statement as a database takes it. */
export function compiled({ sql, params = NO_PARAMS }: Statement, dialect: Dialect): CompiledSql {
  return sql instanceof Sql ? sql.compile(dialect) : { text: sql, params };
}

/** Rows come over the same line: a statement in between would wait for their end, which may wait for it. */
export function besideStream(doing: string, { settings, reading }: Wire): MisuseError {
  return new MisuseError(
    `Cannot ${doing} on ${subject("database", settings.name)}: a stream of ${
      reading!.command
    } is open in this ` +
      `session, and has to be read to its end or left first`,
  );
}
