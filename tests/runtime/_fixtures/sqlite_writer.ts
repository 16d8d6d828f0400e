/** Adds one to a counter in an SQLite file, so and so often: `sqlite_writer.ts <file> <times>`. */
import process from "node:process";
import { Database } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";

const [file = "", times = "0"] = process.argv.slice(2);
await using db = new Database(sqliteDriver({ file }), { lockTimeoutMs: 60_000 });
for (let i = 0; i < Number(times); i++) {
  await db.transaction(async (tx) => {
    const { rows: [row] } = await tx.query<{ value: number }>("select value from counters");
    await Promise.resolve();
    await tx.query("update counters set value = ?", [row!.value + 1]);
  });
}
