/** Which of the rows that an insert returned is whose: no database promises their order. */
import { isDate } from "./where.ts";

type Row = Readonly<Record<string, unknown>>;

/**
 * The returned rows in the order of the given ones, by what both hold; `undefined` when that can't be told.
 *
 * A column tells when its values came back as they were given, in whatever order: one that the database has rewritten,
 * as by a trigger or a coarser type, says nothing.
 */
export function inOrderOf(
  given: readonly Row[],
  returned: readonly Row[],
  columns: readonly string[],
): readonly Row[] | undefined {
  if (given.length !== returned.length) return undefined;
  if (given.length === 1 || isSame(given, returned, columns)) return returned;
  const telling: (readonly [column: string, text: typeof exact])[] = [];
  for (const column of columns) {
    const text = given.some((row) => isNumber(row[column])) ? numeric : exact;
    if (holdSame(given, returned, (row) => text(row[column]))) telling.push([column, text]);
  }
  if (telling.length === 0) return undefined;
  const textOf = (row: Row): string => JSON.stringify(telling.map(([column, text]) => text(row[column])));
  const byText = new Map<string, Row[]>();
  for (const row of [...returned].reverse()) {
    const key = textOf(row);
    const same = byText.get(key);
    if (same === undefined) byText.set(key, [row]);
    else same.push(row);
  }
  const ordered: Row[] = [];
  for (const row of given) {
    const found = byText.get(textOf(row))?.pop();
    if (found === undefined) return undefined;
    ordered.push(found);
  }
  return ordered;
}

/** Whether they are the same, one by one: the usual case, and quick. */
function isSame(given: readonly Row[], returned: readonly Row[], columns: readonly string[]): boolean {
  return columns.length > 0 &&
    given.every((row, i) => columns.every((column) => row[column] === returned[i]![column]));
}

function holdSame(given: readonly Row[], returned: readonly Row[], textOf: (row: Row) => string): boolean {
  const counts = new Map<string, number>();
  for (const row of given) {
    const value = textOf(row);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  for (const row of returned) {
    const value = textOf(row);
    const left = counts.get(value);
    if (left === undefined) return false;
    if (left === 1) counts.delete(value);
    else counts.set(value, left - 1);
  }
  return true;
}

function isNumber(value: unknown): boolean {
  return typeof value === "number" || typeof value === "bigint";
}

/** A value of a column of numbers, which may come back as text. */
function numeric(value: unknown): string {
  if (typeof value !== "string") return exact(value);
  return /^-?\d+\.\d*$/.test(value) ? value.replace(/\.?0*$/, "") : value;
}

/** A value as a text; booleans may come back as numbers. */
function exact(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return value ? "1" : "0";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return `'${value}`;
  if (isDate(value)) return `@${value.getTime()}`;
  if (value instanceof Uint8Array) return `#${value.join()}`;
  return JSON.stringify(value, sorted) ?? String(value);
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1));
}
