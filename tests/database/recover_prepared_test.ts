import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Database, recoverPrepared, type TwoPhase } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";

/** Stands for what a server knows: prepared transactions are rows of a table, and ending one deletes it. */
const twoPhase: TwoPhase = {
  prepare: () => [],
  // There is no such function, which stands for the answer that there is no such transaction.
  commit: (gid) => `select gone('${gid}')`,
  rollback: (gid) => `delete from prepared where gid = '${gid}'`,
  list: "select gid from prepared order by gid",
  isMissing: (error) => error instanceof Error && /gone/.test(error.message),
};

async function withPrepared(gids: readonly string[], fn: (db: Database) => Promise<void>): Promise<void> {
  await using db = new Database({ ...sqliteDriver({ file: ":memory:" }), twoPhase });
  await db.query("create table prepared (gid text primary key)");
  for (const gid of gids) await db.query("insert into prepared values (?)", [gid]);
  await fn(db);
}

describe("recoverPrepared", () => {
  it("asks about the transactions of groups only, and does as it is told", () =>
    withPrepared(["other", "uno_a_1", "uno_a_2", "uno_b_1", "uno_'; drop_1"], async (db) => {
      const asked: string[] = [];
      const done = await recoverPrepared(db, {
        decide: ({ gid, group }) => {
          asked.push(gid);
          return group === "uno_a" ? "rollback" : "leave";
        },
      });
      assert.deepEqual(asked, ["uno_a_1", "uno_a_2", "uno_b_1"]);
      assert.deepEqual(done.map(({ gid, outcome }) => [gid, outcome]), [
        ["uno_a_1", "rolled back"],
        ["uno_a_2", "rolled back"],
        ["uno_b_1", "left"],
      ]);
      const { rows } = await db.query("select gid from prepared where gid like 'uno_a%'");
      assert.deepEqual(rows, []);
    }));

  it("tells of one that is missing and still listed, as another connection holds it, that it was left", () =>
    withPrepared(["uno_held_1"], async (db) => {
      const held = await recoverPrepared(db, { decide: () => "commit" });
      assert.deepEqual(held.map(({ outcome }) => outcome), ["left"]);
    }));

  it("refuses wrong answers and databases without two phases", () =>
    withPrepared(["uno_a_1"], async (db) => {
      await assert.rejects(recoverPrepared(db, { decide: () => "end" as never }), RangeError);
      await assert.rejects(recoverPrepared(db, { decide: () => "leave", timeoutMs: -1 }), RangeError);
      await assert.rejects(recoverPrepared({} as never, { decide: () => "leave" }), TypeError);
      await using bare = new Database(sqliteDriver({ file: ":memory:" }));
      await assert.rejects(recoverPrepared(bare, { decide: () => "leave" }), /: sqlite has none$/);
    }));

  it("ends at its limit, however long it is decided", () =>
    withPrepared(["uno_a_1", "uno_b_1"], async (db) => {
      const slow = recoverPrepared(db, {
        decide: () => new Promise<"rollback">((resolve) => setTimeout(resolve, 50, "rollback")),
        timeoutMs: 10,
      });
      await assert.rejects(slow, { name: "TimeoutError" });
      assert.equal(db.statistics().inUse, 0);
    }));
});
