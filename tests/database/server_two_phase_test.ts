/** Committing in two phases on real servers, and finishing what a crash leaves in between. */
import assert from "node:assert/strict";
import { it } from "node:test";
import {
  CommitOutcomeUnknownError,
  Database,
  PartialCommitError,
  recoverPrepared,
  SessionOperationGroup,
  type Transaction,
} from "@uno/async/database";
import { placeholder, type ServerSubject, subjects } from "./_servers/subjects.ts";
import type { Line } from "./_servers/tcp_proxy.ts";
import { withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

const textOf = (piece: Uint8Array): string => new TextDecoder().decode(piece);

for (const subject of subjects) {
  const { name, dialect, skip } = subject;
  const p = (n: number): string => placeholder(dialect, n);
  const insert = (id: string) => (tx: Transaction): Promise<unknown> =>
    tx.query(`insert into t (id, n) values (${p(1)}, 1)`, [id]);
  const ids = async (db: Database): Promise<string[]> =>
    (await db.query<{ id: string }>("select id from t order by id")).rows.map(({ id }) => id);

  /**
   * Two databases with a table each; what is left prepared in them afterwards is an error. MySQL's list is that of the
   * whole server, which others use: groups are named by `mine`.
   */
  const withTwo = async (
    subject: ServerSubject,
    fn: (a: Database, b: Database, mine: string, again: () => [Database, Database]) => Promise<void>,
  ): Promise<void> => {
    const mine = `t${crypto.randomUUID().slice(0, 8)}`;
    await using placeA = await subject.kind.empty();
    await using placeB = await subject.kind.empty();
    const again = (commitTimeoutMs?: number): [Database, Database] => [
      new Database(subject.driver(placeA), { max: 3, name: "a", commitTimeoutMs }),
      new Database(subject.driver(placeB), { max: 3, name: "b", commitTimeoutMs }),
    ];
    const [a, b] = again();
    await using _a = a;
    await using _b = b;
    for (const db of [a, b]) {
      await db.query("create table t (id varchar(40) primary key, n integer not null)");
    }
    await fn(a, b, mine, () => again(500));
    for (const db of [a, b]) {
      const left = await recoverPrepared(db, { decide: () => "leave" });
      assert.deepEqual(left.filter(({ group }) => group.startsWith(`uno_${mine}_`)), []);
    }
  };

  suite(`two-phase commit through ${name}`, skip, () => {
    it("commits on both databases", () =>
      withTwo(subject, async (a, b, name) => {
        const decisions: number[] = [];
        await SessionOperationGroup.run(a, (group) => {
          group.spawn(insert("x"));
          group.spawn(insert("y"), { on: b });
        }, {
          protocol: "two-phase",
          name,
          onDecision: ({ gids }) => void decisions.push(gids.length),
        });
        assert.deepEqual([await ids(a), await ids(b), decisions], [["x"], ["y"], [2]]);
        assert.deepEqual([a.statistics().inUse, b.statistics().inUse], [0, 0]);
      }));

    it("rolls back on both when one operation fails, can't be prepared, or the decision can't be noted", () =>
      withTwo(subject, async (a, b, name) => {
        const failure = new Error("no");
        const run = (work: (tx: Transaction) => Promise<unknown>, onDecision?: () => void): Promise<void> =>
          SessionOperationGroup.run(a, (group) => {
            group.spawn(insert("x"));
            group.spawn(work, { on: b });
          }, { protocol: "two-phase", name, onDecision });
        await assert.rejects(run(() => Promise.reject(failure)), (error) => error === failure);
        await assert.rejects(
          run(insert("y"), () => {
            throw failure;
          }),
          (error) => error === failure,
        );
        if (dialect === "postgres") {
          // PostgreSQL answers PREPARE TRANSACTION of a failed transaction with success, and rolls it back.
          await assert.rejects(
            run(async (tx) => {
              await assert.rejects(tx.query("select missing"));
            }),
            { name: "TransactionDoomedError" },
          );
          await assert.rejects(run((tx) => tx.query("create temporary table tt (id int)")), {
            name: "DatabaseError",
          });
        }
        assert.deepEqual([await ids(a), await ids(b)], [[], []]);
        assert.deepEqual([a.statistics().inUse, b.statistics().inUse], [0, 0]);
      }));

    // DB-22
    it("killed between the phases: the rest is committed on another connection", () =>
      withTwo(subject, async (a, b, name) => {
        const kill = async (db: Database): Promise<void> => {
          const { rows } = await db.query<{ id: number }>(
            dialect === "postgres"
              ? `select pg_terminate_backend(pid) as id from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()`
              : `select id from information_schema.processlist where db = database() and id <> connection_id()`,
          );
          if (dialect === "mysql") { for (const { id } of rows) await db.query(`kill ${Number(id)}`); }
        };
        await SessionOperationGroup.run(a, (group) => {
          group.spawn(insert("x"));
          group.spawn(insert("y"), { on: b });
        }, { protocol: "two-phase", name, onDecision: () => kill(b) });
        assert.deepEqual([await ids(a), await ids(b)], [["x"], ["y"]]);
      }));

    it("ended by somebody else between the phases: that is told, and not taken for a success", {
      skip: dialect === "mysql" ? "nobody else can end what a connection still holds" : false,
    }, () =>
      withTwo(subject, async (a, b, name) => {
        for (const decision of ["rollback", "commit"] as const) {
          const failing = SessionOperationGroup.run(a, (group) => {
            group.spawn(insert("x"));
            group.spawn(insert("y"), { on: b });
          }, {
            protocol: "two-phase",
            name,
            onDecision: ({ group: mine }) =>
              recoverPrepared(b, { decide: ({ group }) => group === mine ? decision : "leave" }),
          });
          await assert.rejects(failing, (error: PartialCommitError) => {
            assert.ok(error instanceof PartialCommitError, String(error));
            assert.deepEqual(error.outcomes.map(({ outcome }) => outcome), ["committed", "unknown"]);
            assert.ok(error.cause instanceof CommitOutcomeUnknownError);
            return true;
          });
          assert.deepEqual([await ids(a), await ids(b)], [["x"], decision === "commit" ? ["y"] : []]);
          await a.query("delete from t");
        }
      }));

    it("a line that falls silent as the first is committed, before or after: all are, on another connection", () =>
      withTable(subject, { max: 3, commitTimeoutMs: 4_000 }, async ({ db, proxy, insert, ids }) => {
        const commits = /COMMIT PREPARED|XA COMMIT/;
        for (const lost of ["question", "answer"] as const) {
          let asked: Line | undefined;
          proxy.filter = (piece, direction, line) => {
            if (asked === undefined && direction === "toServer" && commits.test(textOf(piece))) {
              asked = line;
              line.silent = lost === "question";
            } else if (line === asked && direction === "toClient") line.silent = true;
            return line.silent ? undefined : piece;
          };
          await SessionOperationGroup.run(db, (group) => {
            for (const n of [1, 2]) group.spawn((tx) => insert(tx, `${lost} ${n}`));
          }, { protocol: "two-phase" });
          assert.equal(asked?.silent, true);
        }
        assert.deepEqual(await ids(), ["answer 1", "answer 2", "question 1", "question 2"]);
        assert.equal(db.statistics().inUse, 0);
      }));

    it("recoverPrepared by two at once: each tells what it has done, and neither fails", () =>
      withTwo(subject, async (a, b, name, again) => {
        const [lost] = again();
        const crashed = SessionOperationGroup.run(lost, (group) => {
          group.spawn(insert("x"));
          group.spawn(insert("y"));
        }, { protocol: "two-phase", name, onDecision: () => lost.close({ graceMs: 0 }) });
        await assert.rejects(crashed, PartialCommitError);
        const mine = ({ group }: { group: string }) => group.startsWith(`uno_${name}_`);
        const decide = async (found: { group: string }): Promise<"commit" | "leave"> => {
          if (!mine(found)) return "leave";
          // The other one comes while this one is deciding.
          other ??= recoverPrepared(a, { decide: (found) => mine(found) ? "commit" : "leave" });
          await other;
          return "commit";
        };
        let other: ReturnType<typeof recoverPrepared> | undefined;
        const late = await recoverPrepared(dialect === "postgres" ? a : b, { decide });
        const done = await other!;
        assert.deepEqual([late.filter(mine), done.filter(mine).map(({ outcome }) => outcome)], [
          [],
          ["committed", "committed"],
        ]);
        assert.deepEqual(await ids(a), ["x", "y"]);
      }));

    it("operations that only read can't be part of it where that is not kept", {
      skip: dialect === "mysql" ? false : "PostgreSQL keeps it",
    }, () =>
      withTwo(subject, async (a, _, name) => {
        const reading = SessionOperationGroup.run(a, (group) => {
          group.spawn(insert("x"), { readOnly: true });
        }, { protocol: "two-phase", name });
        await assert.rejects(reading, {
          name: "RangeError",
          message: "Cannot begin transaction as readOnly must be false with two phases: received true",
        });
        assert.deepEqual(await ids(a), []);
      }));

    it("recoverPrepared ends what a crash left, as decided", () =>
      withTwo(subject, async (a, b, name, again) => {
        const ofDecision = { commit: ["x"], rollback: [] };
        for (const decision of ["rollback", "commit"] as const) {
          const [lostA, lostB] = again();
          let noted = "";
          // The decision is noted, and then nobody is there any more to end them.
          const crashed = SessionOperationGroup.run(lostA, (group) => {
            group.spawn(insert("x"));
            group.spawn(insert("x"), { on: lostB });
          }, {
            protocol: "two-phase",
            name,
            async onDecision({ group }) {
              noted = group;
              await Promise.all([lostA.close({ graceMs: 0 }), lostB.close({ graceMs: 0 })]);
            },
          });
          await assert.rejects(crashed, (error: PartialCommitError) => {
            assert.ok(error instanceof PartialCommitError);
            assert.deepEqual(error.outcomes.map(({ outcome }) => outcome), ["prepared", "prepared"]);
            assert.ok(error.outcomes.every(({ gid }) => gid!.startsWith(noted)));
            return true;
          });
          assert.deepEqual(await ids(a), [], "prepared, it is not seen yet");
          for (const db of [a, b]) {
            const done = await recoverPrepared(db, {
              decide: ({ group }) => group === noted ? decision : "leave",
            });
            const outcome = decision === "commit" ? "committed" : "rolled back";
            // MySQL's list is that of the server: the first call ends both.
            const expected = db === a || dialect === "postgres";
            assert.deepEqual(
              [...new Set(done.filter(({ group }) => group === noted).map(({ outcome }) => outcome))],
              expected ? [outcome] : [],
            );
          }
          assert.deepEqual([await ids(a), await ids(b)], [ofDecision[decision], ofDecision[decision]]);
        }
      }));
  });
}
