import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Database } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { withFile } from "../database/_files.ts";

const writer = fileURLToPath(new URL("_fixtures/sqlite_writer.ts", import.meta.url));

/** Runs the writer with the runtime of this test; resolves with what it had to say when it has ended. */
function write(file: string, times: number): Promise<{ code: number | null; stderr: string }> {
  const run = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...run, writer, file, String(times)], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, stderr }));
  });
}

test("transaction in several processes on one SQLite file loses nothing", () =>
  withFile(async (file) => {
    await using db = new Database(sqliteDriver({ file }));
    await db.transaction(async (tx) => {
      await tx.query("create table counters (value integer not null)");
      await tx.query("insert into counters values (0)");
    });
    for (const { code, stderr } of await Promise.all([write(file, 150), write(file, 150)])) {
      assert.deepEqual(code, 0, stderr);
    }
    const { rows } = await db.transaction((tx) => tx.query<{ value: number }>("select value from counters"));
    assert.deepEqual(rows[0]!.value, 300);
  }));
