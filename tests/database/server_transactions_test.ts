/** Transactions against real servers: what was acknowledged is stored, whatever happens in between. */
import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { ConnectionLostError, Database, type DatabaseOptions, type Transaction } from "@uno/async/database";
import { unhandledDuring } from "../_unhandled.ts";
import { placeholder, type ServerSubject, subjects } from "./_servers/subjects.ts";
import { seeded } from "./_servers/seeded.ts";
import { killOne, openOn } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

/** Runs `fn` with a database of one table, and one to look from outside with. */
async function withDatabase(
  subject: ServerSubject,
  options: DatabaseOptions,
  fn: (db: Database, outside: Database) => Promise<void>,
): Promise<void> {
  await using place = await subject.kind.empty();
  await using outside = new Database(subject.driver(place), { max: 1, name: "outside" });
  await outside.query("create table t (id varchar(40) primary key, n integer not null)");
  await using db = new Database(subject.driver(place), { name: "test", ...options });
  await fn(db, outside);
}

const ids = async (db: Database): Promise<string[]> =>
  (await db.query<{ id: string }>("select id from t order by id")).rows.map(({ id }) => id);

for (const subject of subjects) {
  const { name, dialect, skip } = subject;
  const p = (n: number): string => placeholder(dialect, n);
  const insert = (tx: Transaction, id: string): Promise<unknown> =>
    tx.query(`insert into t (id, n) values (${p(1)}, ${p(2)})`, [id, 1]);

  suite(`transactions on a server through ${name}`, skip, () => {
    // DB-02
    it("aborted at random moments: what was acknowledged is stored, and nothing else", async () => {
      // Compiled it is the same code again.
      const total = import.meta.url.endsWith(".ts") ? 1_500 : 300;
      const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = seeded(seed);
      const unhandled = await unhandledDuring(() =>
        withDatabase(subject, { max: 3 }, async (db, outside) => {
          const acknowledged: string[] = [];
          let next = 0;
          await Promise.all(Array.from({ length: 6 }, async () => {
            while (next < total) {
              const id = `row-${next++}`;
              const controller = new AbortController();
              const reason = new Error(`stop ${id}`);
              const delayMs = random() * 8;
              const timer = random() < 0.2
                ? void Promise.resolve().then(() => controller.abort(reason))
                : setTimeout(() => controller.abort(reason), delayMs);
              try {
                await db.transaction(async (tx) => {
                  await insert(tx, id);
                  if (random() < 0.3) await tx.query("select 1 as one");
                }, { signal: controller.signal });
                acknowledged.push(id);
              } catch (error) {
                assert.equal(error, reason);
              } finally {
                if (timer !== undefined) clearTimeout(timer);
              }
            }
          }));
          assert.deepEqual(await ids(db), acknowledged.sort(), `seed ${seed}`);
          assert.equal(await openOn(outside), 0, `seed ${seed}`);
          const { inUse, waiting } = db.statistics();
          assert.deepEqual([inUse, waiting], [0, 0]);
          const sessions = await Promise.all(Array.from({ length: 3 }, () => db.session()));
          assert.equal(db.statistics().inUse, 3, "the pool is at its full size");
          for (const session of sessions) await session[Symbol.asyncDispose]();
        })
      );
      assert.deepEqual(unhandled, []);
    });

    it("killed at random moments: what was acknowledged is stored, and nothing else", async () => {
      const unhandled = await unhandledDuring(() =>
        withDatabase(subject, { max: 4 }, async (db, outside) => {
          const acknowledged: string[] = [];
          let unknown = 0;
          let [next, killing] = [0, true];
          const killer = (async () => {
            while (killing) {
              await killOne(outside);
              await new Promise((resolve) => setTimeout(resolve, 5));
            }
          })();
          await Promise.all(Array.from({ length: 6 }, async () => {
            while (next < 300) {
              const id = `row-${next++}`;
              try {
                await db.transaction((tx) => insert(tx, id));
                acknowledged.push(id);
              } catch (error) {
                const { name } = error as Error;
                if (name === "CommitOutcomeUnknownError") unknown++;
                else if (!(error instanceof ConnectionLostError)) {
                  assert.equal(name, "TransactionDoomedError", String(error));
                }
              }
            }
          })).finally(() => killing = false);
          await killer;
          const stored = new Set(await ids(outside));
          for (const id of acknowledged) assert.ok(stored.has(id), `${id} was acknowledged`);
          assert.ok(stored.size <= acknowledged.length + unknown, "and nothing else is stored");
          assert.equal(await openOn(outside), 0);
          const { inUse, waiting } = db.statistics();
          assert.deepEqual([inUse, waiting], [0, 0]);
          const sessions = await Promise.all(Array.from({ length: 4 }, () => db.session()));
          assert.equal(db.statistics().inUse, 4, "the pool is at its full size");
          for (const session of sessions) await session[Symbol.asyncDispose]();
          await db.transaction((tx) => insert(tx, "last"));
        })
      );
      assert.deepEqual(unhandled, []);
    });

    it("runs serializable counters again until none is lost", () =>
      withDatabase(subject, { max: 5 }, async (db) => {
        await db.query("insert into t (id, n) values ('counter', 0)");
        await Promise.all(Array.from({ length: 25 }, () =>
          db.transaction(async (tx) => {
            const { rows } = await tx.query<{ n: number }>("select n from t where id = 'counter'");
            await tx.query(`update t set n = ${p(1)} where id = 'counter'`, [rows[0]!.n + 1]);
          }, { isolation: "serializable", retry: { attempts: 60 } })));
        const { rows } = await db.query<{ n: number }>("select n from t");
        assert.equal(rows[0]!.n, 25);
      }));

    // DB-10
    it("runs both of two transactions that lock in opposite order to success", () =>
      withDatabase(subject, { max: 2 }, async (db) => {
        await db.query("insert into t (id, n) values ('a', 100), ('b', 100)");
        let attempts = 0;
        let committed = 0;
        let both = 0;
        const move = (from: string, to: string): Promise<void> =>
          db.transaction(async (tx) => {
            attempts++;
            tx.afterCommit(() => committed++);
            await tx.query(`update t set n = n - 10 where id = ${p(1)}`, [from]);
            both++;
            while (attempts < 3 && both < 2) await new Promise((resolve) => setTimeout(resolve, 1));
            await tx.query(`update t set n = n + 10 where id = ${p(1)}`, [to]);
          });
        await Promise.all([move("a", "b"), move("b", "a")]);
        const { rows } = await db.query<{ n: number }>("select n from t order by id");
        assert.deepEqual(rows.map(({ n }) => n), [100, 100]);
        // More, when the one that tries again gets its first lock before the other one wakes up and has it.
        assert.ok(attempts >= 3, `${attempts} attempts`);
        assert.equal(committed, 2);
      }));

    // DB-04
    it("rejects what ran when its backend was killed, and stores nothing", () =>
      withDatabase(subject, { max: 2 }, async (db, outside) => {
        const failed = db.transaction(async (tx) => {
          await insert(tx, "a");
          const { rows } = await tx.query<{ id: number }>(
            dialect === "postgres" ? "select pg_backend_pid() as id" : "select connection_id() as id",
          );
          const running = assert.rejects(
            tx.query(dialect === "postgres" ? "select pg_sleep(20)" : "select sleep(20)"),
            ConnectionLostError,
          );
          await new Promise((resolve) => setTimeout(resolve, 30));
          const id = Number(rows[0]!.id);
          await outside.query(dialect === "postgres" ? `select pg_terminate_backend(${id})` : `kill ${id}`);
          await running;
        });
        await assert.rejects(failed, { name: "TransactionDoomedError" });
        assert.deepEqual(await ids(outside), []);
        await db.transaction((tx) => insert(tx, "b"));
        assert.deepEqual(await ids(outside), ["b"]);
      }));

    // DB-08
    it("keeps what is around a savepoint that failed", () =>
      withDatabase(subject, { max: 1 }, async (db) => {
        await db.transaction(async (tx) => {
          await insert(tx, "before");
          await assert.rejects(
            tx.savepoint(async (inner) => {
              await insert(inner, "inner");
              await insert(inner, "before");
            }),
            { name: "ConstraintError" },
          );
          await insert(tx, "after");
          for (let i = 0; i < 200; i++) await tx.savepoint((inner) => inner.query("select 1 as one"));
        });
        assert.deepEqual(await ids(db), ["after", "before"]);
      }));

    it("stops a statement on the server when it is aborted, and the session is good afterwards", () =>
      withDatabase(subject, { max: 1, cancelGraceMs: 10_000 }, async (db) => {
        const controller = new AbortController();
        const sleeping = db.query(dialect === "postgres" ? "select pg_sleep(20)" : "select sleep(20)", [], {
          signal: controller.signal,
        });
        setTimeout(() => controller.abort("enough"), 20);
        await assert.rejects(sleeping, (reason) => reason === "enough");
        await db.transaction((tx) => insert(tx, "a"));
        assert.deepEqual([await ids(db), db.statistics().connected], [["a"], 1]);
      }));

    // A cancel request may get there before the statement that it is for, and meet nothing.
    it("stops a statement that is aborted in the moment it is sent", () =>
      withDatabase(subject, { max: 1, cancelGraceMs: 20_000 }, async (db) => {
        for (let i = 0; i < (import.meta.url.endsWith(".ts") ? 100 : 20); i++) {
          const controller = new AbortController();
          await using session = await db.session();
          const sleeping = session.query(
            dialect === "postgres" ? "select pg_sleep(60)" : "select sleep(60)",
            [],
            {
              signal: controller.signal,
            },
          );
          const rejected = assert.rejects(sleeping, (reason) => reason === "enough");
          if (i % 3 === 0) { for (let microtasks = i % 7; microtasks > 0; microtasks--) await undefined; }
          else await new Promise((resolve) => setTimeout(resolve, i % 3 - 1));
          controller.abort("enough");
          await rejected;
        }
        assert.equal(db.statistics().connected, 1);
      }));
  });
}
