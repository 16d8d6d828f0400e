import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, it } from "node:test";
import { ConnectionLostError, Database, table, TransactionClosedError, UnoDb } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { world } from "@uno/async/testing";
import { createTables, notes, orders, unoOn } from "./_orders.ts";
import { RowsServer } from "./_rows_driver.ts";
import { scenarios } from "./_uno_scenarios.ts";

async function withDatabase(fn: (db: Database) => Promise<void>): Promise<void> {
  await using db = new Database(sqliteDriver({ file: ":memory:" }), { name: "test" });
  await fn(db);
  assert.deepEqual([db.statistics().inUse, db.statistics().waiting], [0, 0]);
}

describe("UnoDb on SQLite", () => {
  for (const [promise, scenario] of Object.entries(scenarios)) {
    it(promise, () => withDatabase(scenario));
  }

  it("gives each its own row also when the database has rewritten all there is to tell them apart by", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db);
      await db.query(
        "create trigger lower after insert on notes begin " +
          "update notes set text = lower(text) || '!' where id = new.id; end",
      );
      const made = await Promise.all(["A", "B", "C"].map((text) => uno.batchInsert(notes, { text })));
      // SQLite returns rows as they were before its triggers; what is stored is another matter.
      assert.deepEqual(made.map(({ text }) => text.toUpperCase().replace("!", "")), ["A", "B", "C"]);
      for (const { id, text } of made) {
        assert.equal((await uno.get(notes, id))!.text, `${text.toLowerCase().replace("!", "")}!`);
      }
    }));

  it("sends no more parameters than a statement may have", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db, { batch: { maxSize: Infinity } });
      const count = 12_000;
      const made = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          uno.batchInsert(orders, { id: i + 1, ref: `r${i}`, status: "new", total: i })),
      );
      assert.ok(made.every(({ id, total }, i) =>
        id === i + 1 && total === i
      ));
      assert.equal(uno.statistics().inserts.batches, 1);
    }));

  it("takes rows as they are when the call is made", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db);
      const row = { text: "before" };
      const made = uno.batchInsert(notes, row);
      row.text = "after";
      assert.equal((await made).text, "before");
    }));

  it("leaves out of a batch whoever gives up before it is sent", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db, { batch: { maxWaitMs: 5 } });
      const controller = new AbortController();
      const all = Promise.allSettled([
        uno.batchInsert(notes, { text: "a" }),
        uno.batchInsert(notes, { text: "b" }, { signal: controller.signal }),
        uno.batchInsert(notes, { text: "c" }),
      ]);
      controller.abort(null);
      const [a, b, c] = await all;
      assert.deepEqual([a!.status, b, c!.status], [
        "fulfilled",
        { status: "rejected", reason: null },
        "fulfilled",
      ]);
      assert.deepEqual((await uno.filter(notes, {}, { orderBy: "id" })).map(({ text }) => text), ["a", "c"]);
    }));
});

describe("UnoDb and transactions", () => {
  it("keeps reads again after a write that came too late for its transaction", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db);
      await uno.insert(orders, { id: 1 });
      const [late, savepoint] = await uno.transaction(async (tables) => {
        const inner = await tables.tx.savepoint();
        await inner.rollback();
        return [tables, uno.in(inner)] as const;
      });
      for (const tables of [late, savepoint]) {
        await assert.rejects(tables.insert(orders, { id: 2 }), TransactionClosedError);
        await assert.rejects(tables.update(orders, 1, { total: 2 }), TransactionClosedError);
        await assert.rejects(tables.delete(orders, 1), TransactionClosedError);
        await assert.rejects(tables.batchInsert(orders, { id: 2 }), TransactionClosedError);
        await assert.rejects(tables.batchUpdate(orders, 1, { total: 2 }), TransactionClosedError);
        assert.throws(() => tables.touch(orders), TransactionClosedError);
      }
      const { hits } = uno.statistics().cache;
      for (let i = 0; i < 2; i++) {
        await uno.get(orders, 1, { cache: true });
        await uno.filter(orders, {}, { cache: true });
      }
      assert.equal(uno.statistics().cache.hits, hits + 2);
    }));

  it("refuses a transaction of another database, and ways of joining that may end up with none", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db);
      await using other = new Database(sqliteDriver({ file: ":memory:" }), { name: "other" });
      await other.transaction((tx) => {
        assert.throws(() => uno.in(tx), {
          name: "MisuseError",
          message:
            'Cannot use tables of database "test" in transaction: it is one of another, database "other"',
        });
      });
      for (const propagation of ["supports", "notSupported", "never"] as const) {
        await assert.rejects(uno.transaction(() => {}, { propagation }), RangeError);
      }
    }));

  it("made inside of a transaction, it is good after it, and its batches are no part of it", async () => {
    const context = new AsyncLocalStorage();
    await using db = new Database(sqliteDriver({ file: ":memory:" }), { context });
    const uno = await db.transaction(() => new UnoDb(db));
    await createTables(db);
    const made = await Promise.all(["a", "b"].map((text) => uno.batchInsert(notes, { text })));
    assert.deepEqual(made.map(({ text }) => text), ["a", "b"]);
    assert.equal((await uno.batchUpdate(notes, 1, { text: "c" }))?.text, "c");
    await uno.close();
  });

  it("takes no name for two, whatever is in it", () =>
    withDatabase(async (db) => {
      await using uno = await unoOn(db);
      await uno.insert(orders, { ref: "a", status: "open" });
      const row = { "ref\0status": "x" } as object;
      await assert.rejects(uno.insert(orders, row), RangeError);
      await assert.rejects(uno.batchInsert(orders, row), RangeError);
      await assert.rejects(uno.update(orders, 1, row), RangeError);
    }));
});

describe("UnoDb on a server that fails", () => {
  const rows = table<{ id: number; total: number }, "id">("rows", { key: "id", columns: ["id", "total"] });

  it("fails all callers of a batch with the same cause when the connection is lost, and tries no halves", () =>
    world(async () => {
      const server = new RowsServer();
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      server.fate = () => "lost";
      const outcomes = await Promise.allSettled(
        [1, 2, 3, 4].map((id) => uno.batchInsert(rows, { id, total: id })),
      );
      const reasons = outcomes.map((outcome) => outcome.status === "rejected" ? outcome.reason : undefined);
      assert.equal(new Set(reasons).size, 1);
      assert.equal(reasons[0].name, "CommitOutcomeUnknownError");
      assert.ok(reasons[0].cause instanceof ConnectionLostError);
      assert.deepEqual(server.batches, [4]);
    }));

  it("finds one bad row among many in few statements", () =>
    world(async () => {
      const server = new RowsServer();
      server.commit(new Map([[37, 0]]));
      await using db = new Database(server.driver);
      await using uno = new UnoDb(db);
      const outcomes = await Promise.allSettled(
        Array.from({ length: 100 }, (_, i) => uno.batchInsert(rows, { id: i, total: i })),
      );
      assert.deepEqual(outcomes.flatMap(({ status }, i) => status === "rejected" ? [i] : []), [37]);
      assert.equal(server.state.size, 100);
      assert.ok(server.batches.length <= 15, `${server.batches}`);
    }));
});
