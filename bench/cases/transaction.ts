import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { sqliteDriver } from "../../src/database/adapters/sqlite.ts";
import { Database } from "../../src/database/database.ts";
import type { Case } from "../_measure.ts";

const TIMES = 2_000;
const SCHEMA = "create table entries (id integer primary key, name text not null, size integer not null)";
const INSERT = "insert into entries (name, size) values (?, ?)";

const folder = mkdtempSync(join(tmpdir(), "uno-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** The bare driver, with the same settings: statements prepared once, rolled back when something fails. */
const bare = new DatabaseSync(join(folder, "bare.db"));
bare.exec(`pragma journal_mode = wal; pragma synchronous = normal; ${SCHEMA}`);
const begin = bare.prepare("BEGIN IMMEDIATE");
const insert = bare.prepare(INSERT);
const commit = bare.prepare("COMMIT");
const rollback = bare.prepare("ROLLBACK");

function insertBare(name: string, size: number): void {
  begin.run();
  try {
    insert.run(name, size);
    commit.run();
  } catch (error) {
    rollback.run();
    throw error;
  }
}

const db = new Database(sqliteDriver({ file: join(folder, "ours.db") }));

function insertOurs(name: string, size: number): Promise<void> {
  return db.transaction(async (tx) => {
    await tx.query(INSERT, [name, size]);
  });
}

export const cases: readonly Case[] = [
  {
    name: "transaction: one insert, bare node:sqlite",
    ops: TIMES,
    target: 1.15,
    async check() {
      await db.transaction((tx) => tx.query(SCHEMA));
      for (let i = 0; i < 100; i++) {
        insertBare(`entry ${i}`, i);
        await insertOurs(`entry ${i}`, i);
      }
      const { rows } = await db.transaction((tx) => tx.query("select * from entries"), { readOnly: true });
      assert.deepEqual(rows.length, 100);
      assert.deepEqual(rows, bare.prepare("select * from entries").all().map((row) => ({ ...row })));
    },
    minimum() {
      for (let i = 0; i < TIMES; i++) insertBare(`entry ${i}`, i);
    },
    async ours() {
      for (let i = 0; i < TIMES; i++) await insertOurs(`entry ${i}`, i);
    },
  },
];
