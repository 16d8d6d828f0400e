import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@uno/async/cancel";
import { ConstraintError, Database, MisuseError, type Transaction } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { world } from "@uno/async/testing";
import { observe } from "../../src/kernel/observer.ts";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

/** A server on which statements that start with FAIL do. */
const failing = (): FakeServer =>
  new FakeServer({ fault: ({ sql }) => sql.startsWith("FAIL") ? "fail" : undefined });

/** Runs `fn` with an SQLite database of one table, and a way to read it. */
async function withSqlite(
  fn: (db: Database, names: () => Promise<unknown[]>) => Promise<void>,
): Promise<void> {
  await using db = new Database(sqliteDriver({ file: ":memory:" }));
  await db.transaction((tx) => tx.query("create table entries (name text primary key) without rowid"));
  await fn(db, async () => {
    const { rows } = await db.transaction((tx) => tx.query<{ name: string }>("select name from entries"));
    return rows.map(({ name }) => name);
  });
}

const add = (tx: Transaction, name: string): Promise<unknown> =>
  tx.query("insert into entries values (?)", [name]);

test("transaction does not commit while statements are under way that its callback left", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.query("INSERT", ["awaited"]);
        void tx.query("INSERT", ["running"]);
        void tx.query("SELECT");
      }),
      {
        name: "MisuseError",
        message:
          'Cannot commit transaction on database "orders": 2 of its statements were not awaited, the first being INSERT',
      },
    );
    const one = db.transaction((tx) => void tx.query("SELECT"));
    await assert.rejects(one, { message: /: 1 of its statements was not awaited, the first being SELECT$/ });
    assert.deepEqual([server.rows, server.autocommitted, server.transactions], [[], [], 0]);
    await db.transaction((tx) => tx.query("INSERT", ["after"]));
    assert.deepEqual(server.rows, ["after"]);
  }));

test("transaction does not commit over a failure that nobody has seen, but rejects with it", () =>
  world(async () => {
    const server = failing();
    await using db = new Database(fakeDriver(server));
    const left = db.transaction(async (tx) => {
      void tx.query("FAIL");
      await tx.query("INSERT", ["after"]);
    });
    await assert.rejects(left, { name: "DatabaseError", state: "42P01" });
    assert.deepEqual([server.rows, server.transactions], [[], 0]);
  }));

test("transaction in SQLite does not commit around a statement that failed un-awaited", () =>
  withSqlite(async (db, names) => {
    const left = db.transaction((tx) => {
      for (const name of ["a", "a", "b", "b"]) void add(tx, name);
    });
    await assert.rejects(left, ConstraintError);
    const wrong = db.transaction((tx) => {
      void add(tx, "a");
      void tx.query("insert into entries values (?)", [new Date()]);
    });
    await assert.rejects(wrong, { name: "TypeError", message: /^Cannot bind parameter 1/ });
    assert.deepEqual(await names(), []);
  }));

test("transaction commits after failures that were seen, in whatever way", () =>
  withSqlite(async (db, names) => {
    await db.transaction(async (tx) => {
      await add(tx, "a");
      await assert.rejects(add(tx, "a"), ConstraintError);
      add(tx, "a").catch(() => {});
      add(tx, "a").then(() => assert.fail("stored"), () => {});
      await add(tx, "a").then(() => assert.fail("stored")).catch(() => {});
      await add(tx, "a").finally(() => {}).catch(() => {});
      await Promise.allSettled([add(tx, "a"), add(tx, "a")]);
      await Promise.any([add(tx, "a"), add(tx, "b")]);
      const held = add(tx, "a");
      await add(tx, "c");
      try {
        await held;
        assert.fail("stored");
      } catch (error) {
        assert.ok(error instanceof ConstraintError);
      }
    });
    assert.deepEqual(await names(), ["a", "b", "c"]);
  }));

test("transaction tries again when the failure that nobody saw is a conflict", () =>
  world(async () => {
    let inserts = 0;
    const server = new FakeServer({
      fault: ({ sql }) => sql === "INSERT" && inserts++ === 0 ? "conflict" : undefined,
    });
    await using db = new Database(fakeDriver(server));
    await db.transaction(async (tx) => {
      void tx.query("INSERT", ["a"]);
      await sleep(10);
    });
    assert.deepEqual([server.rows, inserts], [["a"], 2]);
  }));

test("transaction that is rolled back tells the observer of failures that nobody saw", () =>
  world(async () => {
    const told: unknown[] = [];
    using _watching = observe({
      record: ({ kind, data }) => void (kind === "late.failure" && told.push(data)),
    });
    await using db = new Database(fakeDriver(failing()));
    const failed = db.transaction(async (tx) => {
      void tx.query("FAIL");
      await tx.query("SELECT");
      throw new Error("mine");
    });
    await assert.rejects(failed, { message: "mine" });
    assert.deepEqual(told.length, 1);
  }));

test("commit is refused like that too, by hand and of a savepoint, which is then taken back alone", () =>
  world(async () => {
    const server = failing();
    await using db = new Database(fakeDriver(server));
    await using tx = await db.begin();
    const left = tx.query("INSERT", ["left"]);
    await assert.rejects(tx.commit(), MisuseError);
    await left;
    assert.deepEqual([server.rows, server.transactions], [[], 0]);

    await db.transaction(async (tx) => {
      const inner = tx.savepoint(async (savepoint) => {
        await savepoint.query("INSERT", ["taken back"]);
        void savepoint.query("INSERT", ["left"]);
      });
      await assert.rejects(inner, {
        message:
          "Cannot commit savepoint on database: 1 of its statements was not awaited, the first being INSERT",
      });
      const unseen = tx.savepoint(async (savepoint) => {
        void savepoint.query("FAIL");
        await savepoint.query("INSERT", ["after"]);
      });
      await assert.rejects(unseen, { state: "42P01" });
      await tx.query("INSERT", ["kept"]);
    });
    assert.deepEqual(server.rows, ["kept"]);
  }));

test("transaction does not commit around a savepoint that failed un-awaited", () =>
  withSqlite(async (db, names) => {
    const left = db.transaction(async (tx) => {
      void tx.savepoint((savepoint) => {
        void savepoint;
        throw new Error("inner");
      });
      for (let i = 0; i < 50; i++) await Promise.resolve();
      await add(tx, "a");
    });
    await assert.rejects(left, { message: "inner" });
    assert.deepEqual(await names(), []);
  }));

test("transaction aborted while statements are left behind rejects with its reason alone", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const controller = new AbortController();
    const tx = await db.begin({ signal: controller.signal });
    tx.query("INSERT", ["left"]).catch(() => {});
    controller.abort("enough");
    await assert.rejects(tx.commit(), (reason) => reason === "enough");
    assert.deepEqual([server.rows, server.transactions], [[], 0]);
  }));
