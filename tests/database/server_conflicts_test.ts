/** Transactions that are in each other's way: what is tried again, what is not, and that nothing of it stays. */
import assert from "node:assert/strict";
import { it } from "node:test";
import {
  type Database,
  LockTimeoutError,
  StatementTimeoutError,
  type Transaction,
  TransactionConflictError,
  TransactionDoomedError,
} from "@uno/async/database";
import { unhandledDuring } from "../_unhandled.ts";
import { subjects } from "./_servers/subjects.ts";
import type { TcpProxy } from "./_servers/tcp_proxy.ts";
import { pause, until, withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

/** Counts statements that go to the server, by a word in them. */
function counter(proxy: TcpProxy): (word: string) => number {
  let said = "";
  proxy.filter = (piece, direction) => {
    if (direction === "toServer") said += new TextDecoder("latin1").decode(piece).toLowerCase();
    return piece;
  };
  // A statement's text is a word of its own in all protocols: what ends it is a NUL, or the next packet.
  return (word) => said.split(word).length - 1;
}

const n = async (session: Transaction | Database, id: string): Promise<number> =>
  (await session.query<{ n: number }>(`select n from t where id = '${id}'`)).rows[0]!.n;

for (const subject of subjects) {
  const { name, skip } = subject;
  const isPostgres = subject.dialect === "postgres";

  suite(`conflicts on a server through ${name}`, skip, () => {
    // DB-12
    it("a conflict inside a savepoint runs the whole again, in one new transaction", {
      skip: isPostgres ? false : "MariaDB locks instead",
    }, () =>
      withTable(subject, { max: 2 }, async ({ db, outside, insert, proxy }) => {
        await insert(outside, "a", 1);
        const sent = counter(proxy);
        const [attempts, inner]: [number[], number[]] = [[], []];
        await db.transaction(async (tx) => {
          attempts.push(tx.attempt);
          await n(tx, "a");
          if (tx.attempt === 1) await outside.query("update t set n = n + 10 where id = 'a'");
          await tx.savepoint(async (savepoint) => {
            inner.push(tx.attempt);
            await savepoint.query("update t set n = n + 100 where id = 'a'");
          });
        }, { isolation: "repeatable read" });
        assert.deepEqual([attempts, inner, await n(outside, "a")], [[1, 2], [1, 2], 111]);
        assert.deepEqual([sent("begin"), sent("commit")], [2, 1]);
      }));

    it("stops write skew under serializable", () =>
      withTable(subject, { max: 2 }, async ({ db, outside, insert }) => {
        for (const id of ["ann", "bob"]) await insert(outside, id, 1);
        // One of the two may leave as long as the other one stays.
        let runs = 0;
        let both = 0;
        const leave = (id: string): Promise<boolean> =>
          db.transaction(async (tx) => {
            runs++;
            const { rows } = await tx.query<{ n: number }>("select n from t where n = 1");
            both++;
            while (tx.attempt === 1 && both < 2) await pause(1);
            if (rows.length < 2) return false;
            await tx.query(`update t set n = 0 where id = '${id}'`);
            return true;
          }, { isolation: "serializable" });
        const left = await Promise.all([leave("ann"), leave("bob")]);
        assert.deepEqual(left.filter(Boolean).length, 1);
        assert.equal((await outside.query("select id from t where n = 1")).rowCount, 1);
        assert.ok(runs > 2);
      }));

    // MySQL ends the whole transaction with a deadlock, and would store what comes after at once.
    it("a deadlock inside a savepoint that is swallowed stores nothing, and is not committed over", {
      skip: isPostgres ? "PostgreSQL goes on from the savepoint" : false,
    }, () =>
      withTable(subject, { max: 1 }, async ({ db, another, outside, insert, ids, open }) => {
        await using other = another({ max: 1 });
        for (const id of ["a", "b"]) await insert(outside, id);
        for (let i = 0; i < 20; i++) await insert(outside, `row ${i}`);
        for (const retry of [false, undefined] as const) {
          let late: unknown;
          let attempts = 0;
          let met = false;
          const outcome = await db.transaction(async (tx) => {
            attempts++;
            await insert(tx, `first ${retry} ${tx.attempt}`);
            if (tx.attempt > 1) return;
            await tx.query("update t set n = n + 1 where id = 'a'");
            // The other one has done more, and so is the one that goes on.
            let hasLocked = false;
            const opposite = other.transaction(async (theirs) => {
              await theirs.query("update t set n = n + 1 where id like 'row%'");
              await theirs.query("update t set n = n + 1 where id = 'b'");
              hasLocked = true;
              await theirs.query("update t set n = n + 1 where id = 'a'");
            }, { retry: false });
            await until(() => hasLocked);
            await assert.rejects(
              tx.savepoint((savepoint) => savepoint.query("update t set n = n + 1 where id = 'b'")),
              TransactionConflictError,
            );
            met = true;
            await opposite;
            late = await insert(tx, `late ${retry}`).catch((error: unknown) => error);
          }, { retry }).catch((error: unknown) => error);
          assert.ok(met && late instanceof TransactionDoomedError);
          if (retry === false) {
            assert.ok(outcome instanceof TransactionDoomedError);
            assert.ok(outcome.cause instanceof TransactionConflictError);
          }
          assert.deepEqual([attempts, await open()], [retry === false ? 1 : 2, 0]);
        }
        assert.deepEqual((await ids()).filter((id) => /first|late/.test(id)), ["first undefined 2"]);
      }));

    it("a lock that is not to be had ends the statement; whether the rest goes on is up to the database", () =>
      withTable(subject, { max: 1 }, async ({ db, another, outside, insert, ids }) => {
        await insert(outside, "a");
        await using other = another({ max: 1 });
        await using holder = await other.begin();
        await holder.query("update t set n = 2 where id = 'a'");
        const work = async (tx: Transaction): Promise<void> => {
          await insert(tx, "before");
          // In PostgreSQL a savepoint keeps the rest.
          await assert.rejects(
            tx.savepoint((inner) => inner.query("select n from t where id = 'a' for update nowait")),
            LockTimeoutError,
          );
          await insert(tx, "after");
        };
        await db.transaction(work);
        assert.deepEqual(await ids(), ["a", "after", "before"]);
        const straight = db.transaction(async (tx) => {
          await insert(tx, "second");
          await tx.query("select n from t where id = 'a' for update nowait").catch(() => {});
        });
        if (isPostgres) await assert.rejects(straight, TransactionDoomedError);
        else await straight;
        assert.equal((await ids()).includes("second"), !isPostgres);
        let runs = 0;
        await assert.rejects(
          db.transaction((tx) => {
            runs++;
            return tx.query("select n from t where id = 'a' for update nowait");
          }, { retry: { attempts: 3, lockTimeout: true } }),
          { name: "RetryExhaustedError" },
        );
        assert.equal(runs, 3);
      }));

    it("limits that the server keeps end a statement, a wait for a lock, an idle transaction", {
      skip: isPostgres ? false : "MySQL has none for a transaction",
    }, () =>
      withTable(subject, { max: 1 }, async ({ db, another, outside, insert, open, connections }) => {
        await insert(outside, "a");
        const started = performance.now();
        await assert.rejects(
          db.transaction((tx) => tx.query("select pg_sleep(20)"), { server: { statementTimeoutMs: 50 } }),
          (error) =>
            error instanceof StatementTimeoutError && error.state === "57014" &&
            error.message.includes(" within its statementTimeoutMs of 50 ms: "),
        );
        await using other = another({ max: 1 });
        await using holder = await other.begin();
        await holder.query("update t set n = 2 where id = 'a'");
        await assert.rejects(
          db.transaction((tx) => tx.query("update t set n = 3"), { server: { lockTimeoutMs: 50 } }),
          (error) =>
            error instanceof LockTimeoutError && error.state === "55P03" &&
            error.message.includes(" within its lockTimeoutMs of 50 ms: "),
        );
        await holder.rollback();
        // They were the transaction's.
        const { rows } = await db.query(
          "select current_setting('statement_timeout') as a, current_setting('lock_timeout') as b",
        );
        assert.deepEqual(rows, [{ a: "0", b: "0" }]);
        assert.equal(db.statistics().connected, 1);
        const unhandled = await unhandledDuring(async () => {
          const idle = db.transaction(async (tx) => {
            await insert(tx, "idle");
            // But for that of the other one, which is idle outside of a transaction.
            await until(async () => await connections() === 1);
            await insert(tx, "too late");
          }, { server: { idleTimeoutMs: 60 } });
          await assert.rejects(idle, { name: "ConnectionLostError" });
        });
        assert.deepEqual([unhandled, await open(), await n(db, "a")], [[], 0, 1]);
        assert.ok(performance.now() - started < 18_000);
      }));

    it("refuses limits that it can't have, and levels that are none", () =>
      withTable(subject, { max: 1 }, async ({ db }) => {
        const begin = (options: object): Promise<unknown> => db.transaction(() => {}, options);
        if (!isPostgres) await assert.rejects(begin({ server: { statementTimeoutMs: 5 } }), RangeError);
        for (const bad of [0, -1, 1.5, NaN, Infinity, "5", null]) {
          if (isPostgres) {
            await assert.rejects(
              begin({ server: { lockTimeoutMs: bad } }),
              /Cannot begin transaction as server/,
            );
          }
        }
        await assert.rejects(
          begin({ isolation: "serializable; drop table t" }),
          /Cannot begin transaction as isolation/,
        );
        assert.equal((await db.query("select 1 as one")).rowCount, 1);
        assert.equal(db.statistics().inUse, 0);
      }));

    // DB-16
    it("a statement left behind by Promise.all is refused, and nothing is stored", () =>
      withTable(subject, { max: 1 }, async ({ db, insert, ids, proxy, open }) => {
        await db.query("select 1 as one");
        const sent = counter(proxy);
        let late: Promise<unknown> | undefined;
        let left: Promise<unknown> | undefined;
        const unhandled = await unhandledDuring(async () => {
          await assert.rejects(
            db.transaction(async (tx) => {
              await insert(tx, "a");
              left = insert(tx, "left");
              const failing = tx.query("select no_such_column from t");
              late = (async () => {
                await failing.catch(() => {});
                await pause(30);
                await insert(tx, "late");
              })();
              late.catch(() => {});
              await Promise.all([failing, left, insert(tx, "queued")]);
            }),
            { name: "DatabaseError" },
          );
          await assert.rejects(late!, { name: "TransactionClosedError" });
        });
        assert.deepEqual([unhandled, await ids(), await open()], [[], [], 0]);
        assert.deepEqual([sent("rollback"), sent("commit")], [1, 0]);
      }));
  });
}
