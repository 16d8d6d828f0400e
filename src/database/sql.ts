/** SQL as a tagged template: values become parameters, never text. */
import { show } from "../kernel/checks.ts";
import type { Dialect } from "./driver.ts";

/** A statement as a database takes it. */
export interface CompiledSql {
  /** With the placeholders of the dialect. */
  readonly text: string;
  /** The values of the placeholders, in order. */
  readonly params: readonly unknown[];
}

/** A name, which is quoted as the dialect does. */
class Name {
  readonly names: readonly string[];

  constructor(names: readonly string[]) {
    this.names = names;
  }
}

/** The text before the first value. @internal */
export let beginningOf: (sql: Sql) => string;

/** SQL that a {@linkcode sql} template made: a whole statement, or a part to be put into another one. */
export class Sql {
  static {
    beginningOf = (sql) => sql.#texts[0]!;
  }
  readonly #texts: readonly string[];
  readonly #values: readonly unknown[];

  /**
   * Creates it; use {@linkcode sql} instead.
   *
   * @param texts The texts around the values; one more than there are values.
   */
  constructor(texts: readonly string[], values: readonly unknown[]) {
    this.#texts = texts;
    this.#values = values;
  }

  /** The text and the values for a dialect. */
  compile(dialect: Dialect): CompiledSql {
    const params: unknown[] = [];
    const write = dialect === "postgres" ? () => `$${params.length}` : () => "?";
    return { text: this.#write(dialect, params, write), params };
  }

  #write(dialect: Dialect, params: unknown[], placeholder: () => string): string {
    let text = this.#texts[0]!;
    for (let i = 0; i < this.#values.length; i++) {
      const value = this.#values[i];
      if (value instanceof Sql) text += value.#write(dialect, params, placeholder);
      else if (value instanceof Name) text += quoted(value.names, dialect);
      else {
        params.push(value);
        text += placeholder();
      }
      text += this.#texts[i + 1];
    }
    return text;
  }
}

/** What {@linkcode sql} offers beside the template itself. */
export interface SqlTag {
  /** A statement or a part of one: parts and names go into its text, all other values become parameters. */
  (texts: TemplateStringsArray, ...values: unknown[]): Sql;
  /** A name of a table or column, quoted; several are joined by dots: `sql.id("shop", "orders")`. */
  id(...names: readonly string[]): Sql;
  /** Values with commas between them, for `in (…)` and `values (…)`; at least one. */
  list(values: Iterable<unknown>): Sql;
  /** Parts with something between them, by default a comma; nothing when there are none. */
  join(parts: Iterable<Sql>, between?: Sql): Sql;
}

function checked(value: unknown, i: number): unknown {
  // Drivers differ: some take it for NULL, some refuse it, and it is hardly ever meant.
  if (value === undefined) throw new TypeError(`Cannot write SQL as value ${i + 1} must not be undefined`);
  return value;
}

/** As {@linkcode checked}, for a value of which it is known where it stands. */
function checkedAt(texts: readonly string[], value: unknown, i: number): unknown {
  if (Array.isArray(value) && /\bin\s*\(\s*$/i.test(texts[i]!) && /^\s*\)/.test(texts[i + 1]!)) {
    throw new TypeError(
      `Cannot write SQL as value ${
        i + 1
      } must not be an array in "in (…)", where it is one value: use sql.list(…)`,
    );
  }
  return checked(value, i);
}

function join(parts: Iterable<Sql>, between: Sql = COMMA): Sql {
  const values: Sql[] = [];
  for (const part of parts) {
    if (!(part instanceof Sql)) {
      throw new TypeError(`Cannot join SQL as parts must be made by sql: received ${show(part)}`);
    }
    if (values.length > 0) values.push(between);
    values.push(part);
  }
  return new Sql(Array(values.length + 1).fill(""), values);
}

const COMMA = new Sql([", "], []);

function template(texts: TemplateStringsArray, ...values: unknown[]): Sql {
  // Called as a function with a text of the caller's, it would be a way around all this.
  if (!Array.isArray(texts) || !Array.isArray((texts as { raw?: unknown }).raw)) {
    throw new TypeError(`Cannot write SQL as sql must be used as a template tag: received ${show(texts)}`);
  }
  return new Sql(texts, values.map((value, i) => checkedAt(texts, value, i)));
}

/**
 * Writes SQL with values in it: `` sql`select * from orders where id = ${id}` ``.
 *
 * Values become parameters, in the placeholders of the database that gets the statement; they are never part of its text.
 * Parts made by `sql` can be put into one another. Arrays are one value, as PostgreSQL has them; for a list of values
 * there is `sql.list`.
 *
 * @throws {TypeError} For a value that is undefined, and when it is called with a text instead of used as a tag.
 *
 * @example
 * ```ts
 * import { sql } from "@uno/async/database";
 * import assert from "node:assert/strict";
 *
 * const where = sql`status = ${"open"} and id in (${sql.list([3, 5])})`;
 * const statement = sql`select * from ${sql.id("orders")} where ${where}`;
 * assert.deepEqual(statement.compile("postgres"), {
 *   text: 'select * from "orders" where status = $1 and id in ($2, $3)',
 *   params: ["open", 3, 5],
 * });
 * ```
 */
export const sql: SqlTag = Object.assign(template, {
  id: (...names: readonly string[]): Sql => {
    if (names.length === 0) throw new RangeError("Cannot write SQL name as there must be one: received none");
    for (const name of names) {
      if (typeof name !== "string") {
        throw new TypeError(`Cannot write SQL name as it must be a string: received ${show(name)}`);
      }
      if (name === "" || name.includes("\0")) {
        throw new RangeError(
          `Cannot write SQL name as it must hold characters, and no NUL: received ${show(name)}`,
        );
      }
    }
    return new Sql(["", ""], [new Name(names)]);
  },
  list: (values: Iterable<unknown>): Sql => {
    const all = [...values].map(checked);
    if (all.length === 0) {
      throw new RangeError(
        "Cannot write SQL list as it must have a value: received none, which no database takes",
      );
    }
    return new Sql(["", ...Array(all.length - 1).fill(", "), ""], all);
  },
  join,
});

function quoted(names: readonly string[], dialect: Dialect): string {
  const quote = dialect === "mysql" ? "`" : '"';
  return names.map((name) => quote + name.replaceAll(quote, quote + quote) + quote).join(".");
}
