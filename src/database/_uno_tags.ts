/** What a cached read depends on, and what a write changes, as tags. Rather too coarse than too fine. */
import type { Table } from "./table.ts";
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
  return id === undefined ? [lists(name), absent(name)] : [lists(name), absent(name), row(name, id)];
}

/** The tags of a change of one row. */
export function changeTags({ table, id }: Change): readonly string[] {
  const name = nameOf(table);
  return [lists(name), row(name, id)];
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
  if (typeof id === "bigint" || typeof id === "number" || typeof id === "boolean") return String(Number(id));
  if (isDate(id)) return "date";
  if (id instanceof Uint8Array) return foldedBytes(id);
  if (typeof id !== "string") return "other";
  // As PostgreSQL writes bytes.
  if (/^\\x(?:[0-9a-f]{2})*$/i.test(id)) {
    return foldedBytes(Uint8Array.from(id.slice(2).match(/../g) ?? [], (byte) => parseInt(byte, 16)));
  }
  const number = Number(id);
  if (id.trim() !== "" && !Number.isNaN(number)) return String(number);
  return id.normalize("NFKD").toUpperCase().toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
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
