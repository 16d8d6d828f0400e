/**
 * A transaction of one insert: through `Database.transaction`, and by hand on `node:sqlite`.
 *
 * Both write to a file of their own with the same settings. Before anything is timed, both have to store the same rows.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Database } from "../../src/database/database.ts";
import { sqliteDriver } from "../../src/database/adapters/sqlite_node.ts";

const folder = mkdtempSync(join(tmpdir(), "uno-bench-"));
addEventListener("unload", () => rmSync(folder, { recursive: true, force: true }));

const SCHEMA = "create table entries (id integer primary key, name text not null, size integer not null)";
const INSERT = "insert into entries (name, size) values (?, ?)";

function openBare(): { insert(name: string, size: number): void; rows(): unknown[] } {
  const bare = new DatabaseSync(join(folder, "bare.db"));
  bare.exec("pragma journal_mode = wal; pragma synchronous = normal");
  bare.exec(SCHEMA);
  const [begin, insert, commit, rollback] = ["begin immediate", INSERT, "commit", "rollback"]
    .map((sql) => bare.prepare(sql));
  return {
    insert(name, size) {
      begin!.run();
      try {
        insert!.run(name, size);
        commit!.run();
      } catch (error) {
        rollback!.run();
        throw error;
      }
    },
    rows: () => bare.prepare("select * from entries").all(),
  };
}

const bare = openBare();
const db = new Database(sqliteDriver({ file: join(folder, "ours.db") }));
await db.transaction((tx) => tx.query(SCHEMA));
const insert = (name: string, size: number): Promise<void> =>
  db.transaction(async (tx) => {
    await tx.query(INSERT, [name, size]);
  });

for (let i = 0; i < 100; i++) {
  bare.insert(`entry ${i}`, i);
  await insert(`entry ${i}`, i);
}
const { rows } = await db.transaction((tx) => tx.query("select * from entries"), { readOnly: true });
assert.deepEqual(rows, bare.rows());

// Interleaved, as the disk and the machine change their pace from second to second.
let size = 0;
Deno.bench("by hand on node:sqlite", { group: "transaction of one insert", baseline: true }, () => {
  bare.insert("one more", size++);
});
Deno.bench("Database.transaction", { group: "transaction of one insert" }, async () => {
  await insert("one more", size++);
});
