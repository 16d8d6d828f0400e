/** What a server refuses in a transaction, seen by somebody or not: nothing is stored beside it, and nothing is lost silently. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { sql, table, type Transaction, UnoDb } from "@uno/async/database";
import { suite } from "../_suite.ts";
import { placeholder, subjects } from "./_servers/subjects.ts";
import { withTable } from "./_servers/with_table.ts";

for (const subject of subjects) {
  const { name, dialect, skip } = subject;
  const isPostgres = dialect === "postgres";
  const p = (n: number): string => placeholder(dialect, n);
  const insert = `insert into t (id, n) values (${p(1)}, ${p(2)})`;

  suite(`statements that ${name} refuses`, skip, () => {
    it("given up meanwhile, end the transaction where the database says so", () =>
      withTable(subject, { max: 2, cancelGraceMs: 20_000 }, async ({ db, outside, ids, open }) => {
        await outside.query(insert, ["taken", 1]);
        const swallowed = async (tx: Transaction): Promise<void> => {
          await tx.query(insert, ["mine", 1]);
          const stop = new AbortController();
          const failing = tx.query(insert, ["taken", 2], { signal: stop.signal });
          stop.abort("enough");
          await assert.rejects(failing, (reason) => reason === "enough");
        };
        if (isPostgres) {
          await assert.rejects(db.transaction(swallowed), { name: "TransactionDoomedError" });
          await assert.rejects(
            db.transaction(async (tx) => {
              await swallowed(tx);
              await tx.query("select 1 as one");
            }),
            { name: "TransactionDoomedError" },
          );
        } else await db.transaction(swallowed);
        assert.deepEqual([await ids(), await open()], [isPostgres ? ["taken"] : ["mine", "taken"], 0]);
      }));

    if (isPostgres) {
      it("a stream that was given up leaves no cursor behind", () =>
        withTable(subject, { max: 1 }, async ({ db, ids }) => {
          await db.transaction(async (tx) => {
            for (const id of ["a", "b", "c"]) await tx.query(insert, [id, 1]);
            for (let i = 0; i < 3; i++) {
              const stop = new AbortController();
              const reading = async (): Promise<void> => {
                for await (
                  const _ of tx.stream("select id from t", [], { signal: stop.signal, batchRows: 1 })
                ) {
                  stop.abort("enough");
                }
              };
              await assert.rejects(reading(), (reason) => reason === "enough");
            }
            await tx.query(insert, ["d", 1]);
          });
          assert.deepEqual(await ids(), ["a", "b", "c", "d"]);
        }));

      it("a lock that was not waited for is no limit that was reached", () =>
        withTable(subject, { max: 2 }, async ({ db, another, insert: put }) => {
          await put(db, "a");
          await using other = another({ max: 1 });
          await using holder = await other.begin();
          await holder.query("update t set n = 2");
          const server = { lockTimeoutMs: 60_000, statementTimeoutMs: 60_000 };
          await assert.rejects(
            db.transaction((tx) => tx.query("select * from t for update nowait"), { server }),
            (error: Error) => error.name === "LockTimeoutError" && !error.message.includes("60000"),
          );
        }));
    } else {
      it("that end the transaction by an error of whatever number: what follows is not stored by itself", () =>
        withTable(subject, { max: 2 }, async ({ db, another, outside, insert: put, ids, open }) => {
          for (const id of ["a", "b"]) await put(outside, id);
          await using other = another({ max: 1 });
          const meets = async (tx: Transaction): Promise<void> => {
            await tx.query("set session innodb_snapshot_isolation = on");
            await tx.query("select * from t");
            await tx.query(insert, ["lost", 1]);
            await other.query("update t set n = n + 1 where id = 'a'");
            await assert.rejects(tx.query("update t set n = 10 where id = 'a'"), { failure: "conflict" });
            await assert.rejects(tx.query(insert, ["beside", 1]), { name: "TransactionDoomedError" });
          };
          const failure = new Error("no");
          await assert.rejects(
            db.transaction(async (tx) => {
              await meets(tx);
              throw failure;
            }),
            (error) => error === failure,
          );
          await assert.rejects(db.transaction(meets, { retry: false }), { name: "TransactionDoomedError" });
          assert.deepEqual([await ids(), await open()], [["a", "b"], 0]);
        }));

      it("a statement that commits by itself ends the transaction: nothing more is sent, and nothing is promised", () =>
        withTable(subject, { max: 1, name: "shop" }, async ({ db, insert: put, ids, open }) => {
          await using uno = new UnoDb(db);
          const rows = table<{ id: string; n: number }, "id">("t", { key: "id", columns: ["id", "n"] });
          await put(db, "a");
          assert.equal((await uno.get(rows, "a", { cache: true }))?.n, 1);
          const hooks: string[] = [];
          const failure = new Error("no");
          for (const ending of ["throws", "returns", "goes on"]) {
            const running = uno.transaction(async (tables) => {
              const { tx } = tables;
              tx.afterCommit(() => hooks.push("committed"));
              tx.afterRollback(() => hooks.push("rolled back"));
              await tables.update(rows, "a", { n: 2 });
              await tx.query(`create table ${ending.replace(" ", "_")} (a integer)`);
              if (ending === "throws") throw failure;
              if (ending === "goes on") await put(tx, "beside");
            });
            await assert.rejects(running, (error: Error) => {
              if (ending === "throws") return error === failure;
              return error.name === "TransactionDoomedError" && error.message.includes("ended by its CREATE");
            });
            assert.equal((await uno.get(rows, "a", { cache: true }))?.n, 2);
          }
          assert.deepEqual([hooks, await ids(), await open()], [[], ["a"], 0]);
        }));

      it("values and placeholders have to be as many", () =>
        withTable(subject, { max: 1 }, async ({ db, insert: put, ids }) => {
          await put(db, "a");
          const wrong = { name: "TypeError", message: /^Cannot run statement as values must be \d for its/ };
          await assert.rejects(db.query(insert, ["x", 1, 2]), wrong);
          await assert.rejects(db.query("delete from t where id = ?", ["a", "b"]), wrong);
          await assert.rejects(db.query("select '?' /* ? */ -- ?\n, ? as x", [1, 2]), wrong);
          await assert.rejects(async () => {
            for await (const _ of db.stream("select id from t where id = ?", ["a", "b"])) {
              assert.fail("a row");
            }
          }, wrong);
          const { rows } = await db.query("select '?' as a /* ? */ -- ?\n, ? as b # ?", ["x"]);
          assert.deepEqual([rows, await ids()], [[{ a: "?", b: "x" }], ["a"]]);
        }));

      it("texts of batches, which differ by their rows, don't use up what the server keeps of them", () =>
        withTable(subject, { max: 1 }, async ({ db, outside }) => {
          const kept = async (): Promise<number> => {
            const { rows } = await outside.query<{ Value: string }>("show status like 'Prepared_stmt_count'");
            return Number(rows[0]!.Value);
          };
          const before = await kept();
          for (let i = 1; i <= 400; i++) await db.query(sql`select ${sql.list(Array(i).fill(1))}`);
          // Others use the server, too.
          assert.ok(await kept() < before + 390, `${await kept()} after ${before}`);
        }));

      it("with reset: names of functions may still be apart from their parentheses", () =>
        withTable(subject, { max: 1, reset: true }, async ({ db }) => {
          for (let i = 0; i < 3; i++) await db.query("select count (*) as n from t");
        }));
    }

    it("undefined is no value", () =>
      withTable(subject, { max: 1 }, async ({ db, insert: put, ids }) => {
        await db.transaction(async (tx) => {
          await put(tx, "a");
          if (name === "pg" || name === "Bun.SQL") return;
          await assert.rejects(tx.query(insert, ["b", undefined]), TypeError);
        });
        assert.deepEqual(await ids(), ["a"]);
      }));
  });
}
