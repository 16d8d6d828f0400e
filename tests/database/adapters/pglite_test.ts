import assert from "node:assert/strict";
import { test } from "node:test";
import { PGlite } from "@electric-sql/pglite";
import { Database, recoverPrepared } from "@uno/async/database";
import { pgliteDriver } from "@uno/async/database/pglite";
import { driverContract } from "../../contracts/driver_contract.ts";
import { pgliteForTests } from "../_pglite.ts";

driverContract({
  name: "PGlite",
  skip: false,
  server: false,
  async open() {
    const driver = await pgliteForTests();
    return { make: () => driver, [Symbol.asyncDispose]: () => Promise.resolve() };
  },
});

test("pgliteDriver refuses what PGlite can't do: a server's limits, of which one would freeze the process, and two phases", async () => {
  await using db = new Database(await pgliteForTests(), { name: "inside" });
  for (const server of [{ idleTimeoutMs: 100 }, { statementTimeoutMs: 100 }]) {
    await assert.rejects(db.transaction((tx) => tx.query("select 1 as one"), { server }), {
      name: "RangeError",
      message: /^Cannot begin transaction as server must be left out: PGlite/,
    });
  }
  await assert.rejects(recoverPrepared(db, { decide: () => "commit" }), RangeError);
  assert.equal((await db.query("select 1 as one")).rowCount, 1);
});

test("with reset, PGlite forgets settings, temporary tables and locks", async () => {
  await using db = new Database(await pgliteForTests(), { reset: true });
  {
    await using session = await db.session();
    await session.query("create temporary table notes (text text)");
    await session.query("select set_config('app.tenant', '7', false), pg_advisory_lock(77)");
  }
  const { rows } = await db.query(
    `select to_regclass('notes')::text as notes, nullif(current_setting('app.tenant', true), '') as tenant,
       (select count(*)::int from pg_locks where locktype = 'advisory') as locks`,
  );
  assert.deepEqual(rows, [{ notes: null, tenant: null, locks: 0 }]);
});

test("with reset, PGlite keeps the role that it was told to take on", async () => {
  const made = new PGlite();
  await made.query("create role bob");
  const dump = await made.dumpDataDir("none");
  await made.close();
  await using db = new Database(pgliteDriver(PGlite, { username: "bob", loadDataDir: dump }), {
    reset: true,
  });
  for (let i = 0; i < 3; i++) {
    await using session = await db.session();
    const { rows } = await session.query("select current_user::text as who");
    assert.deepEqual(rows, [{ who: "bob" }]);
    await session.query("reset role");
  }
});

test("on PGlite a statement that fails while it is given up is not committed over", async () => {
  await using db = new Database(await pgliteForTests());
  await db.query("create table t (id integer primary key)");
  await db.query("insert into t values (1)");
  const swallowed = db.transaction(async (tx) => {
    await tx.query("insert into t values (2)");
    const stop = new AbortController();
    const failing = tx.query("insert into t values (1)", [], { signal: stop.signal });
    stop.abort("enough");
    await assert.rejects(failing, (reason) => reason === "enough");
  });
  await assert.rejects(swallowed, { name: "TransactionDoomedError" });
  assert.equal((await db.query("select * from t")).rowCount, 1);
});
