import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { sqliteDriver } from "../../src/database/adapters/sqlite.ts";
import { Database } from "../../src/database/database.ts";
import { table } from "../../src/database/table.ts";
import { UnoDb } from "../../src/database/uno_db.ts";
import type { Case } from "../_measure.ts";

const ROWS = 10_000;
const CALLERS = 100;
const READS = 10_000;
const SCHEMA = "create table entries (id integer primary key, name text not null, size integer not null)";

const folder = mkdtempSync(join(tmpdir(), "uno-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const entries = table<{ id: number; name: string; size: number }, "id">("entries", {
  key: "id",
  columns: ["id", "name", "size"],
});

/** The bare driver, with the same settings: one statement for all. */
const bare = new DatabaseSync(join(folder, "bare.db"));
bare.exec(`pragma journal_mode = wal; pragma synchronous = normal; ${SCHEMA}`);
const insertAll = bare.prepare(
  `insert into entries (name, size) values ${Array(ROWS).fill("(?, ?)").join(", ")} returning id, name, size`,
);

function insertByHand(): number {
  const values: (string | number)[] = [];
  for (let i = 0; i < ROWS; i++) values.push(`entry ${i}`, i);
  return insertAll.all(...values).length;
}

const db = new Database(sqliteDriver({ file: join(folder, "ours.db") }));
const uno = new UnoDb(db, { batch: { maxSize: 1_000 } });

/** Each caller inserts its rows at once, and waits for all of them. */
async function insertOurs(): Promise<number> {
  let inserted = 0;
  await Promise.all(Array.from({ length: CALLERS }, async (_, caller) => {
    const rows = await Promise.all(
      Array.from({ length: ROWS / CALLERS }, (_, i) => {
        const size = caller * (ROWS / CALLERS) + i;
        return uno.batchInsert(entries, { name: `entry ${size}`, size });
      }),
    );
    inserted += rows.length;
  }));
  return inserted;
}

/** Each caller inserts its rows one after another: a batch is never larger than there are callers. */
async function insertInTurn(): Promise<number> {
  let inserted = 0;
  await Promise.all(Array.from({ length: CALLERS }, async (_, caller) => {
    for (let i = 0; i < ROWS / CALLERS; i++) {
      const size = caller * (ROWS / CALLERS) + i;
      await uno.batchInsert(entries, { name: `entry ${size}`, size });
      inserted++;
    }
  }));
  return inserted;
}

let ready: Promise<void> | undefined;

function prepare(): Promise<void> {
  return ready ??= (async () => {
    await db.query(SCHEMA);
    assert.deepEqual(insertByHand(), ROWS);
    assert.deepEqual(await insertOurs(), ROWS);
    const { rows } = await db.query("select name, size from entries order by size, id");
    const theirs = bare.prepare("select name, size from entries order by size, id").all();
    assert.deepEqual(rows, theirs.map((row) => ({ ...row })));
  })();
}

const byId = new Map<number, Readonly<{ id: number; name: string; size: number }>>();

export const cases: readonly Case[] = [
  {
    name: "uno: 10,000 inserts from 100 callers, one statement",
    ops: ROWS,
    target: 2,
    check: prepare,
    minimum() {
      insertByHand();
    },
    async ours() {
      await insertOurs();
    },
  },
  {
    name: "uno: 100 callers insert in turn, one statement",
    ops: ROWS,
    check: prepare,
    minimum() {
      insertByHand();
    },
    async ours() {
      await insertInTurn();
    },
  },
  {
    name: "uno: cached read, Map.get and await",
    ops: READS,
    async check() {
      await prepare();
      for (let id = 1; id <= 100; id++) {
        byId.set(id, (await uno.get(entries, id, { cache: true }))!);
        assert.equal(await uno.get(entries, id, { cache: true }), byId.get(id));
      }
    },
    async minimum() {
      for (let i = 0; i < READS; i++) await Promise.resolve(byId.get(i % 100 + 1));
    },
    async ours() {
      for (let i = 0; i < READS; i++) await uno.get(entries, i % 100 + 1, CACHED);
    },
  },
];

const CACHED = { cache: true } as const;
