/** What a cached read depends on, and what a write changes, as tags. Rather too coarse than too fine. */
import { keysKnown, type Table } from "./table.ts";
import { isDate } from "./where.ts";

/** What was written: a row of a table, or anything of it. */
export interface Change {
  /** The name of the table. */
  readonly table: string;
  /** The key of the row; without, all rows may have changed. */
  readonly id?: unknown;
}

/** Names differ between databases only by their case, if at all; the schema is left out, as one may stand for none. */
function nameOf(table: string): string {
  return JSON.stringify(table.toLowerCase());
}

/** What every read of a table depends on. */
const all = (name: string): string => `${name} *`;
/** What lists of its rows depend on: any write. */
const lists = (name: string): string => `${name} lists`;
/** What depends on a row not being there: any new one. */
const absent = (name: string): string => `${name} absent`;
const row = (name: string, id: unknown): string => `${name} ${folded(id)}`;

/** The tags of a read of one row. */
export function rowTags({ name }: Table, id: unknown, found: boolean): readonly string[] {
  const table = nameOf(name);
  return found ? [all(table), row(table, id)] : [all(table), row(table, id), absent(table)];
}

/** The tags of a read of several rows. */
export function listTags({ name }: Table): readonly string[] {
  const table = nameOf(name);
  return [all(table), lists(table)];
}

/** The tags of an insert; the key as far as it is known. */
export function insertTags({ table, id }: Change): readonly string[] {
  const name = nameOf(table);
  return [lists(name), absent(name), ...(id === undefined ? [] : changed(table, id))];
}

/** The tags of a change of one row. */
export function changeTags({ table, id }: Change): readonly string[] {
  return [lists(nameOf(table)), ...changed(table, id)];
}

/** The tags of those reads of one row that may have been of this one. */
function changed(table: string, id: unknown): readonly string[] {
  const name = nameOf(table);
  const own = folded(id);
  // By which other keys its row was read is not known.
  if (own === FOREIGN || keysKnown(table) > 1) return [all(name)];
  return isNumeric(id) ? [row(name, id)] : [row(name, id), `${name} ${FOREIGN}`];
}

/** The tags of whatever has become of a row, or of a table. */
export function anyTags(change: Change): readonly string[] {
  return change.id === undefined ? [all(nameOf(change.table))] : insertTags(change);
}

/**
 * A key as a text that is the same for all which a database may take for equal: 5, "5" and "5.0"; "A" and "a"; a text
 * and its bytes. That others fall together as well only means that more is read again.
 */
function folded(id: unknown): string {
  if (isNumeric(id)) return String(Number(id));
  if (isDate(id)) return "date";
  if (id instanceof Uint8Array) return foldedBytes(id);
  if (typeof id !== "string") return "other";
  // As PostgreSQL writes bytes.
  if (/^\\x(?:[0-9a-f]{2})*$/i.test(id)) {
    return foldedBytes(Uint8Array.from(id.slice(2).match(/../g) ?? [], (byte) => parseInt(byte, 16)));
  }
  if (/[^\0-\x7f]/.test(id)) return FOREIGN;
  const number = Number(id);
  if (id.trim() !== "" && Number.isFinite(number)) return String(number);
  return id.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

/** For keys that may be of one row: the same for those that a database may take for equal. */
export function likeness(ids: readonly unknown[]): (id: unknown) => string {
  const some = ids.some((id) => folded(id) === FOREIGN);
  return (id) => some && !isNumeric(id) ? FOREIGN : folded(id);
}

/** Texts beyond ASCII: which of them, and of the others, are equal depends on the collation. */
const FOREIGN = "~";

function isNumeric(id: unknown): boolean {
  return typeof id === "bigint" || typeof id === "number" || typeof id === "boolean";
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes as the text that they may be the same as, else as they are. */
function foldedBytes(bytes: Uint8Array): string {
  try {
    return folded(utf8.decode(bytes));
  } catch {
    return `#${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
}
