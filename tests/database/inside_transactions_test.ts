/** Transactions and tables on engines inside the process, in real time: as on servers, what was acknowledged is stored. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import { Database } from "@uno/async/database";
import { pgliteDriver } from "@uno/async/database/pglite";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { unhandledDuring } from "../_unhandled.ts";
import { withFile } from "./_files.ts";
import { seeded } from "./_servers/seeded.ts";
import { scenarios } from "./_uno_scenarios.ts";
import { isSource } from "../_suite.ts";

async function abortAtRandom(db: Database): Promise<void> {
  const total = isSource ? 1_500 : 300;
  const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const random = seeded(seed);
  const p = db.dialect === "postgres" ? "$1" : "?";
  await db.query("create table t (id varchar(40) primary key, n integer not null)");
  const acknowledged: string[] = [];
  const run = async (id: string, signal: AbortSignal): Promise<void> => {
    await db.transaction(async (tx) => {
      await tx.query(`insert into t (id, n) values (${p}, 1)`, [id]);
      if (random() < 0.3) await tx.savepoint((inner) => inner.query("select 1 as one"));
      if (random() < 0.2) await new Promise((resolve) => setTimeout(resolve, 1));
    }, { signal });
    acknowledged.push(id);
  };
  let next = 0;
  const unhandled = await unhandledDuring(async () => {
    await Promise.all(Array.from({ length: 6 }, async () => {
      while (next < total) {
        const id = `row-${next++}`;
        const controller = new AbortController();
        const reason = new Error(`stop ${id}`);
        const abort = (): void => controller.abort(reason);
        const timer = random() < 0.5 ? setTimeout(abort, random() * 8) : undefined;
        if (timer === undefined) void after(Math.floor(random() * 60)).then(abort);
        try {
          await run(id, controller.signal);
        } catch (error) {
          assert.equal(error, reason);
        } finally {
          clearTimeout(timer);
        }
      }
    }));
  });
  const { rows } = await db.query<{ id: string }>("select id from t order by id");
  assert.deepEqual([unhandled, rows.map(({ id }) => id)], [[], acknowledged.sort()], `seed ${seed}`);
  const { inUse, waiting, connected } = db.statistics();
  assert.deepEqual([inUse, waiting, connected], [0, 0, 1], `seed ${seed}`);
  // One that was left open would take the one, and refuse the other.
  if (db.dialect === "postgres") {
    await using session = await db.session();
    await assert.rejects(session.query("savepoint a"), { state: "25P01" });
  } else await db.query("vacuum");
  await db.query("drop table t");
}

async function after(microtasks: number): Promise<void> {
  for (let i = 0; i < microtasks; i++) await undefined;
}

async function count(db: Database): Promise<void> {
  const p = db.dialect === "postgres" ? "$1" : "?";
  await db.query("create table t (n integer not null)");
  await db.query("insert into t values (0)");
  await Promise.all(Array.from({ length: 25 }, () =>
    db.transaction(async (tx) => {
      const { rows } = await tx.query<{ n: number }>("select n from t");
      await tx.query(`update t set n = ${p}`, [rows[0]!.n + 1]);
    }, { isolation: "serializable" })));
  assert.deepEqual((await db.query("select n from t")).rows, [{ n: 25 }]);
  await db.query("drop table t");
}

async function onSqlite(fn: (db: Database) => Promise<void>): Promise<void> {
  await withFile(async (file) => {
    await using db = new Database(sqliteDriver({ file }));
    await fn(db);
  });
}

describe("transactions inside the process", () => {
  it("node:sqlite, aborted at random moments: what was acknowledged is stored, and nothing else", () =>
    onSqlite(abortAtRandom));

  it("node:sqlite: 25 serializable counters lose nothing", () => onSqlite(count));

  // One for all, as it takes seconds to begin. The scenarios on SQLite stand beside the other tests of UnoDb.
  it("PGlite: the same, and UnoDb does all that it does elsewhere", async () => {
    await using db = new Database(pgliteDriver(PGlite));
    await abortAtRandom(db);
    await count(db);
    for (const [promise, scenario] of Object.entries(scenarios)) {
      await scenario(db).catch((cause) => assert.fail(new Error(promise, { cause })));
      await db.query("drop table orders");
      await db.query("drop table notes");
    }
    assert.deepEqual([db.statistics().inUse, db.statistics().connected], [0, 1]);
  });
});
