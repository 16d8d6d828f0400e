/** Streams of rows from real servers: by cursors of PostgreSQL, and by the line of MariaDB being held. */
import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { mapTasks } from "@uno/async";
import { ConnectionLostError, Database, sql } from "@uno/async/database";
import { suite } from "../_suite.ts";
import { unhandledDuring } from "../_unhandled.ts";
import { seeded } from "./_servers/seeded.ts";
import { type ServerSubject, subjects } from "./_servers/subjects.ts";
import { openOn, withTable } from "./_servers/with_table.ts";

type Row = { readonly id: number };
const COUNT = 5_000;
const ALL = "select id, pad from t order by id";
/** More rows than anybody has memory for. */
const ENDLESS = "select a.id, a.pad from t a cross join t b";

async function withRows(
  subject: ServerSubject,
  fn: (db: Database, outside: Database) => Promise<void>,
): Promise<void> {
  await using place = await subject.kind.empty();
  await using outside = new Database(subject.driver(place), { max: 1, name: "outside" });
  await outside.query("create table t (id integer primary key, pad varchar(200) not null)");
  const pad = "x".repeat(200);
  for (let from = 0; from < COUNT; from += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, i) => sql`(${from + i + 1}, ${pad})`);
    await outside.query(sql`insert into t (id, pad) values ${sql.join(rows)}`);
  }
  // However slow the machine is, no connection is given up on as it can't be cancelled in time.
  await using db = new Database(subject.driver(place), { max: 1, name: "test", cancelGraceMs: 20_000 });
  await fn(db, outside);
}

for (const subject of subjects) {
  const { name, dialect, skip } = subject;

  suite(`streams from a server through ${name}`, skip, () => {
    if (dialect === "postgres") {
      it("say what a cursor can't read, and leave the session as it was", () =>
        withRows(subject, async (db) => {
          const insert = "insert into t values (0, 'x') returning id";
          await assert.rejects(async () => {
            for await (const _ of db.stream(insert)) assert.fail("a row");
          }, {
            name: "TypeError",
            message:
              "Cannot stream INSERT as PostgreSQL reads only SELECT, VALUES, TABLE and WITH by a cursor: query it",
          });
          const ids: unknown[] = [];
          for await (const row of db.stream("/* all */ (values (1), (2))")) ids.push(row);
          assert.deepEqual(ids, [{ column1: 1 }, { column1: 2 }]);
          assert.equal(db.statistics().connected, 1);
        }));
    }

    it("give every row once and in order, inside of a transaction and outside", () =>
      withRows(subject, async (db) => {
        for (const batchRows of [7, 1_000, COUNT]) {
          let next = 1;
          for await (const { id } of db.stream<Row>(ALL, [], { batchRows })) assert.equal(id, next++);
          assert.equal(next, COUNT + 1);
        }
        await db.transaction(async (tx) => {
          const seen: number[] = [];
          for await (
            const { id } of tx.stream<Row>(sql`select id from t where id > ${COUNT - 3} order by id`)
          ) {
            seen.push(id);
          }
          assert.deepEqual(seen, [COUNT - 2, COUNT - 1, COUNT]);
          // It is free for more of both.
          await tx.query("update t set pad = 'y' where id = 1");
          for await (const _ of tx.stream(ALL)) break;
          await tx.query("update t set pad = 'z' where id = 2");
        });
        const { rows } = await db.query<{ pad: string }>("select pad from t where id < 3 order by id");
        assert.deepEqual([rows.map(({ pad }) => pad), db.statistics().connected], [["y", "z"], 1]);
      }));

    it("left early or aborted leave the session usable, and the connection the same", () =>
      withRows(subject, async (db, outside) => {
        let seen = 0;
        for await (const _ of db.stream(ENDLESS, [], { batchRows: 10 })) if (++seen === 1_000) break;
        const controller = new AbortController();
        const slow = dialect === "postgres"
          ? "select id, pg_sleep(case when id = 25 then 20 else 0 end) from t order by id"
          : "select id, sleep(case when id = 25 then 20 else 0 end) from t order by id";
        setTimeout(() => controller.abort("enough"), 100);
        await assert.rejects(
          async () => {
            for await (const _ of db.stream(slow, [], { batchRows: 10, signal: controller.signal }));
          },
          (reason) => reason === "enough",
        );
        const { rows } = await db.query<{ n: number }>("select count(*) as n from t");
        assert.deepEqual([Number(rows[0]!.n), db.statistics().connected], [COUNT, 1]);
        assert.equal(await openOn(outside), 0, "no transaction is left open");
      }));

    it("left early where no other connection is to be had leave the transaction as it is", () =>
      withTable(subject, { max: 1, cancelGraceMs: 20_000 }, async ({ db, proxy, insert, ids }) => {
        for (let i = 0; i < 8; i++) await insert(db, `${i}`);
        await db.transaction(async (tx) => {
          await insert(tx, "mine");
          for await (const _ of tx.stream("select a.id from t a, t b, t c, t d", [], { batchRows: 10 })) {
            proxy.refusing = true;
            break;
          }
          await insert(tx, "after");
        });
        assert.deepEqual((await ids()).slice(-2), ["after", "mine"]);
        assert.equal(db.statistics().connected, 1);
      }));

    it("refused or rolled back leave the session usable", () =>
      withRows(subject, async (db) => {
        await assert.rejects(
          async () => {
            for await (const _ of db.stream("select nothing from t"));
          },
          { name: "DatabaseError", failure: "statement" },
        );
        await using tx = await db.begin();
        const iterator = tx.stream<Row>(ALL, [], { batchRows: 10 })[Symbol.asyncIterator]();
        await iterator.next();
        await tx.rollback();
        await assert.rejects(async () => {
          for (let i = 0; i < 11; i++) await iterator.next();
        }, { name: "TransactionClosedError" });
        await db.query("select 1");
        assert.equal(db.statistics().connected, 1);
      }));

    it("reject when the backend is killed in between, and a new one is had", () =>
      withRows(subject, async (db, outside) => {
        await assert.rejects(
          async () => {
            let seen = 0;
            for await (const _ of db.stream(ENDLESS, [], { batchRows: 10 })) {
              if (++seen !== 15) continue;
              const victim = db.sessions()[0]!.id;
              await outside.query(
                dialect === "postgres" ? `select pg_terminate_backend(${victim})` : `kill ${victim}`,
              );
            }
          },
          (error) => {
            assert.ok(error instanceof ConnectionLostError, String(error));
            return true;
          },
        );
        await db.query("select 1");
        assert.equal(db.statistics().inUse, 0);
      }));

    it("aborted or left at random moments leave every session good", async () => {
      const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = seeded(seed);
      const unhandled = await unhandledDuring(() =>
        withRows(subject, async (db) => {
          const write = dialect === "postgres"
            ? "update t set pad = pad where id = $1"
            : "update t set pad = pad where id = ?";
          for (let i = 0; i < 60; i++) {
            const controller = new AbortController();
            const reason = new Error(`stop ${i}`);
            const timer = setTimeout(() => controller.abort(reason), random() * 12);
            const leaveAt = random() < 0.3 ? Math.floor(random() * 1_000) : Infinity;
            const options = { signal: controller.signal, batchRows: 1 + Math.floor(random() * 200) };
            try {
              if (random() < 0.5) {
                for await (const { id } of db.stream<Row>(ALL, [], options)) if (id > leaveAt) break;
              } else {
                await db.transaction(async (tx) => {
                  await tx.query(write, [i + 1]);
                  for await (const { id } of tx.stream<Row>(ALL, [], options)) if (id > leaveAt) break;
                });
              }
            } catch (error) {
              assert.equal(error, reason, `seed ${seed}`);
            } finally {
              clearTimeout(timer);
            }
            assert.equal(db.statistics().inUse, 0, `seed ${seed}`);
          }
          const { rows } = await db.query<{ n: number }>("select count(*) as n from t");
          assert.deepEqual([Number(rows[0]!.n), db.statistics().connected], [COUNT, 1], `seed ${seed}`);
        })
      );
      assert.deepEqual(unhandled, []);
    });

    it("feed mapTasks", () =>
      withRows(subject, async (db) => {
        let sum = 0;
        const mapped = mapTasks(db.stream<Row>(ALL), async ({ id }) => await Promise.resolve(id), {
          concurrency: 5,
        });
        for await (const id of mapped) sum += id;
        assert.equal(sum, COUNT * (COUNT + 1) / 2);
      }));
  });
}
