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
  const telling = columns.filter((column) => holdSame(given, returned, column));
  if (telling.length === 0) return undefined;
  const textOf = (row: Row): string => telling.map((column) => text(row[column])).join("\0");
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
  return given.every((row, i) => columns.every((column) => row[column] === returned[i]![column]));
}

function holdSame(given: readonly Row[], returned: readonly Row[], column: string): boolean {
  const counts = new Map<string, number>();
  for (const row of given) {
    const value = text(row[column]);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  for (const row of returned) {
    const value = text(row[column]);
    const left = counts.get(value);
    if (left === undefined) return false;
    if (left === 1) counts.delete(value);
    else counts.set(value, left - 1);
  }
  return true;
}

/** A value, whichever way a driver gives it: numbers may come back as text, booleans as numbers. */
function text(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return value ? "1" : "0";
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return /^-?\d+\.\d*?0*$/.test(value) ? value.replace(/\.?0+$/, "") : value;
  if (isDate(value)) return `@${value.getTime()}`;
  if (value instanceof Uint8Array) return `#${value.join()}`;
  return JSON.stringify(value, sorted) ?? String(value);
}

function sorted(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1));
}
