/** What one holder leaves behind on a connection does not reach the next one. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { ConnectionLostError } from "@uno/async/database";
import { placeholder, subjects } from "./_servers/subjects.ts";
import { pause, until, withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

/** Ways to leave a transaction open that don't look like it at a first glance. */
const OPENERS = {
  postgres: [
    "begin",
    "  /* x */ begin",
    "-- x\nBEGIN ISOLATION LEVEL SERIALIZABLE",
    "start/**/transaction",
    "start /* a /* nested */ comment */ transaction read write",
    "/* a /* b */ c */ -- d\n ;begin",
  ],
  mysql: [
    "begin",
    "/* x */ begin",
    "/*!40000 begin */",
    "-- x\nstart transaction",
    "set autocommit = 0",
    "set @@session.autocommit = off",
    "call opens()",
    "call opens_and_selects()",
  ],
} as const;

for (const { name, dialect, skip, ...subject } of subjects) {
  const isPostgres = dialect === "postgres";
  const whole = { name, dialect, skip, ...subject };

  suite(`sessions on a server through ${name}`, skip, () => {
    // What other libraries hand on to the next borrower, who then writes into it and sees it rolled back.
    it("takes back a transaction that was left open by a statement", () =>
      withTable(whole, { max: 1 }, async ({ db, outside, insert, ids, open }) => {
        if (!isPostgres) {
          await outside.query("create procedure opens() begin start transaction; end");
          await outside.query(
            "create procedure opens_and_selects() begin start transaction; select 1 as one; end",
          );
        }
        const openers = OPENERS[dialect].flatMap((opener) => [[opener, true], [opener, false]] as const);
        for (const [i, [opener, writes]] of openers.entries()) {
          {
            await using session = await db.session();
            await session.query(opener);
            if (writes) await insert(session, `lost ${i}`);
          }
          assert.equal(await open(), 0, opener);
          await insert(db, `kept ${i}`);
          const stored = await ids();
          assert.ok(stored.includes(`kept ${i}`), opener);
          assert.deepEqual(stored.filter((id) => id.startsWith("lost")), [], opener);
        }
        // What was opened and ended by its holder costs no connection.
        const { connected } = db.statistics();
        {
          await using session = await db.session();
          await session.query("begin");
          await insert(session, "own");
          await session.query("commit");
        }
        await insert(db, "next");
        assert.equal(db.statistics().connected, connected);
        assert.ok((await ids()).includes("own"));
      }));

    it("with reset: forgets settings, roles, temporary tables and locks, and keeps the connection", () =>
      withTable(whole, { max: 1, reset: true }, async ({ db, outside }) => {
        const same = await db.query("select 1 as one");
        assert.equal(same.rowCount, 1);
        // Locks are the server's, and others use it.
        const lock = `uno_${crypto.randomUUID().slice(0, 8)}`;
        if (isPostgres) {
          const role = `uno_${crypto.randomUUID().slice(0, 8)}`;
          await outside.query(`create role ${role}`);
          try {
            {
              await using session = await db.session();
              await session.query("create temporary table notes (text text)");
              await session.query("select set_config('app.tenant', '7', false)");
              await session.query("select pg_advisory_lock(77)");
              await session.query("listen news");
              await session.query("create sequence counter");
              await session.query("select nextval('counter')");
              await session.query(`set role ${role}`);
            }
            await using session = await db.session();
            const { rows } = await session.query(
              `select to_regclass('notes')::text as notes, current_setting('app.tenant', true) as tenant,
                 current_user::text as who, (select count(*)::int from pg_listening_channels()) as listening,
                 (select count(*)::int from pg_locks
                   where locktype = 'advisory' and pid = pg_backend_pid()) as locks`,
            );
            const { tenant, ...rest } = rows[0]!;
            assert.deepEqual(rest, { notes: null, who: "postgres", listening: 0, locks: 0 });
            assert.ok(tenant === null || tenant === "", String(tenant));
            await assert.rejects(session.query("select lastval()"));
          } finally {
            await outside.query(`drop role ${role}`);
          }
        } else {
          {
            await using session = await db.session();
            await session.query("create temporary table notes (text text)");
            await session.query("set @tenant = 7");
            await session.query("set session sql_mode = ''");
            await session.query(`select get_lock('${lock}', 1)`);
            await session.query("lock tables t write");
          }
          await using session = await db.session();
          const { rows } = await session.query(
            `select @tenant as tenant, @@sql_mode as mode, is_used_lock('${lock}') as locked`,
          );
          const { rows: fresh } = await outside.query("select @@sql_mode as mode");
          assert.deepEqual(rows, [{ tenant: null, mode: fresh[0]!.mode, locked: null }]);
          await assert.rejects(session.query("select * from notes"), { state: "42S02" });
          assert.equal((await outside.query("select * from t")).rowCount, 0);
        }
        assert.equal(db.statistics().connected, 1);
      }));

    it("with reset: statements with values and letters of all scripts go on working", () =>
      withTable(whole, { max: 1, reset: true }, async ({ db, outside, insert, ids }) => {
        if (!isPostgres) await outside.query("alter table t convert to character set utf8mb4");
        for (const id of ["one", "zwölf", "十二", "🎲"]) await insert(db, id);
        const { rows } = await db.query<{ id: string }>("select id from t where id = 'zwölf' or id = '🎲'");
        assert.deepEqual([rows.length, (await ids()).sort()], [2, ["one", "zwölf", "十二", "🎲"].sort()]);
        assert.equal(db.statistics().connected, 1);
      }));

    it("with reset: a connection that can't be reset is not used again", () =>
      withTable(whole, { max: 1, reset: true }, async ({ db, proxy }) => {
        const session = await db.session();
        await session.query("select 1 as one");
        proxy.cut();
        await session[Symbol.asyncDispose]();
        assert.equal((await db.query("select 1 as one")).rowCount, 1);
        assert.equal(db.statistics().connected, 2);
      }));

    it("drops a connection that is lost while idle at once", () =>
      withTable(whole, { max: 3, freshMs: 60_000 }, async ({ db, proxy }) => {
        const sessions = await Promise.all([db.session(), db.session(), db.session()]);
        for (const session of sessions) await session[Symbol.asyncDispose]();
        assert.equal(db.statistics().open, 3);
        proxy.cut();
        await until(() => db.statistics().open === 0);
        assert.equal(db.statistics().idle, 0);
        assert.equal((await db.query("select 1 as one")).rowCount, 1);
      }));

    it("opens one connection a session, whatever the options of the driver's own pool say", () => {
      const own = {
        max: 7,
        connectionLimit: 7,
        idle_timeout: 1,
        idleTimeout: 1,
        max_lifetime: 1,
        maxLifetime: 1,
      };
      const options = { postgres: own, mysql: {} }[dialect];
      return withTable(whole, { max: 3 }, async ({ db, insert, connections, ids }) => {
        const sessions = await Promise.all([db.session(), db.session(), db.session()]);
        await Promise.all(sessions.map((session, i) => insert(session, `row ${i}`)));
        assert.equal(await connections(), 3);
        const tx = await db.begin({ acquireTimeoutMs: 20 }).catch(() => undefined);
        assert.equal(tx, undefined, "there is none left");
        for (const session of sessions) await session[Symbol.asyncDispose]();
        const long = await db.begin();
        await insert(long, "long");
        // Their own pools would end it now; pg and mysql2 have theirs elsewhere.
        if (name === "postgres.js" || name === "Bun.SQL") await pause(1_200);
        await insert(long, "longer");
        await long.commit();
        assert.equal((await ids()).length, 5);
      }, options);
    });

    it("refuses what was sent through a session that was given back, and what waits in it", () =>
      withTable(whole, { max: 1 }, async ({ db, insert, ids }) => {
        const session = await db.session();
        const slow = session.query(isPostgres ? "select pg_sleep(20)" : "select sleep(20)");
        const behind = insert(session, "behind");
        const ended = Promise.allSettled([slow, behind]);
        await pause(20);
        const startedMs = performance.now();
        await session[Symbol.asyncDispose]();
        assert.ok(performance.now() - startedMs < 10_000, "what runs is cancelled");
        const [, refused] = await ended;
        assert.equal(refused.status, "rejected");
        await assert.rejects(insert(session, "after"), { name: "ClosedError" });
        assert.deepEqual(await ids(), []);
        assert.equal((await db.query(`select ${placeholder(dialect, 1)} as n`, ["7"])).rowCount, 1);
      }));

    it("tells the holder of a session whose connection is lost, and only that one", () =>
      withTable(whole, { max: 2 }, async ({ db, proxy, insert }) => {
        await using lost = await db.session();
        await lost.query("select 1 as one");
        proxy.cut();
        await pause(20);
        await using other = await db.session();
        await insert(other, "a");
        await assert.rejects(insert(lost, "b"), ConnectionLostError);
        await assert.rejects(insert(lost, "c"), ConnectionLostError);
        await insert(other, "d");
      }));
  });
}
