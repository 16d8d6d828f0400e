/** What the database looks like. */
import type { Transaction } from "@uno/async/database";

/** Marks the file as a catalogue, in SQLite's own place for that ("unoc"). */
export const APPLICATION_ID = 0x756e6f63;

/** Rows that leave a batch, because a file has changed or vanished, are taken off its count: it stays true. */
const statements = [
  `create table runs (
    id integer primary key, root text not null, started text not null, ended text, outcome text
  )`,
  `create table batches (
    id integer primary key, run integer not null, saved text not null, files integer not null
  )`,
  `create table files (
    path text primary key, kind text not null, size integer not null, mtime_ms integer not null,
    sha256 text, target text, batch integer not null, seen integer not null
  ) without rowid`,
  `create table failures (path text primary key, code text not null, reason text not null) without rowid`,
  `create trigger file_changed after update of batch on files when old.batch <> new.batch begin
    update batches set files = files - 1 where id = old.batch;
  end`,
  `create trigger file_removed after delete on files begin
    update batches set files = files - 1 where id = old.batch;
  end`,
  `pragma application_id = ${APPLICATION_ID}`,
];

/** Makes the tables, in one transaction: another process that opens the file sees all of them or none. */
export async function createSchema(tx: Transaction): Promise<void> {
  for (const statement of statements) await tx.query(statement);
}
