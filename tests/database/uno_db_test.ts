import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Database } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { scenarios } from "./_uno_scenarios.ts";

describe("UnoDb on SQLite", () => {
  for (const [promise, scenario] of Object.entries(scenarios)) {
    it(promise, async () => {
      await using db = new Database(sqliteDriver({ file: ":memory:" }), { name: "test" });
      await scenario(db);
      assert.deepEqual([db.statistics().inUse, db.statistics().waiting], [0, 0]);
    });
  }
});
