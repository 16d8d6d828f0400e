/** What becomes of a COMMIT whose answer is lost on the way: known, or said to be unknown, and never done twice. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { CommitOutcomeUnknownError, type DatabaseOptions, type Transaction } from "@uno/async/database";
import { unhandledDuring } from "../_unhandled.ts";
import { type ServerSubject, subjects } from "./_servers/subjects.ts";
import type { TcpProxy } from "./_servers/tcp_proxy.ts";
import { type Scene, withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

/** Where the acknowledgement gets lost. */
type Lost = "before the server" | "behind the server";

/** From the first COMMIT on, nothing more passes on its line; the line itself is silent, or cut. */
function swallowCommit(proxy: TcpProxy, where: Lost, how: "silent" | "cut"): void {
  let seen: object | undefined;
  proxy.filter = (piece, direction, line) => {
    const isCommit = direction === "toServer" && /commit\b/i.test(new TextDecoder("latin1").decode(piece));
    if (seen === undefined && isCommit) {
      seen = line;
      if (where === "behind the server") return piece;
    }
    if (seen !== line) return piece;
    // Behind the server: what comes now is the answer to it.
    if (direction === "toServer" && where === "behind the server" && !line.silent) return piece;
    line.silent = true;
    if (how === "cut") line.cut();
    return undefined;
  };
}

const EACH = [
  ["before the server", "silent"],
  ["before the server", "cut"],
  ["behind the server", "silent"],
  ["behind the server", "cut"],
] as const;

/** Long enough for a COMMIT on a slow machine; to find out takes as long as the database's own limit says. */
const COMMIT_MS = 1_000;

// DB-06
for (const subject of subjects) {
  const run = async (
    { db, insert }: Scene,
    options: { verifyCommit?: DatabaseOptions["verifyCommit"] } = {},
  ): Promise<{ calls: number; hooks: string[]; error: unknown }> => {
    let calls = 0;
    const hooks: string[] = [];
    const work = async (tx: Transaction): Promise<void> => {
      calls++;
      tx.afterCommit(() => hooks.push("committed"));
      tx.afterRollback(() => hooks.push("rolled back"));
      await insert(tx, "a");
    };
    try {
      await db.transaction(work, { commitTimeoutMs: COMMIT_MS, ...options });
      return { calls, hooks, error: undefined };
    } catch (error) {
      return { calls, hooks, error };
    }
  };

  /** What `subject` is asked for, so that it can tell what became of a transaction. */
  const verifyBy = (subject: ServerSubject, { another }: Scene): DatabaseOptions["verifyCommit"] => {
    if (subject.dialect === "postgres") return true;
    return async () => {
      await using other = another({ max: 1 });
      const { rows } = await other.query("select id from t where id = 'a'");
      return rows.length === 1 ? "committed" : "aborted";
    };
  };

  suite(`COMMIT without an answer through ${subject.name}`, subject.skip, () => {
    for (const [where, how] of EACH) {
      it(`lost ${where}, the line ${how}: says that it does not know, and does nothing twice`, () =>
        withTable(subject, { max: 2 }, async (scene) => {
          const { db, proxy, ids } = scene;
          const unhandled = await unhandledDuring(async () => {
            await db.query("select 1 as one"); // Connecting may commit, too.
            swallowCommit(proxy, where, how);
            const { calls, hooks, error } = await run(scene);
            assert.ok(error instanceof CommitOutcomeUnknownError, String(error));
            assert.deepEqual([calls, hooks], [1, []]);
            proxy.filter = undefined;
            assert.equal(await scene.open(), 0);
            assert.deepEqual(await ids(), where === "behind the server" ? ["a"] : []);
            const { inUse, open } = db.statistics();
            assert.deepEqual([inUse, open], [0, 0]);
            assert.equal((await db.query("select 1 as one")).rowCount, 1);
          });
          assert.deepEqual(unhandled, []);
        }));

      it(`lost ${where}, the line ${how}: finds out with verifyCommit`, () =>
        withTable(subject, { max: 2 }, async (scene) => {
          const { db, proxy, ids } = scene;
          await db.query("select 1 as one");
          swallowCommit(proxy, where, how);
          const { calls, hooks, error } = await run(scene, { verifyCommit: verifyBy(subject, scene) });
          assert.equal(error, undefined);
          assert.deepEqual(
            [calls, hooks],
            where === "behind the server" ? [1, ["committed"]] : [2, ["rolled back", "committed"]],
          );
          assert.deepEqual(await ids(), ["a"]);
        }));
    }

    it("does not try again when verifyCommit can't find out either", () =>
      withTable(subject, { max: 2 }, async (scene) => {
        await scene.db.query("select 1 as one");
        swallowCommit(scene.proxy, "before the server", "silent");
        const { calls, error } = await run(scene, {
          verifyCommit: () => {
            throw new Error("nobody knows");
          },
        });
        assert.ok(error instanceof CommitOutcomeUnknownError);
        assert.equal(calls, 1);
      }));

    it(
      "says with verifyCommit that one that wrote nothing went well",
      {
        skip: subject.dialect === "postgres" ? false : "only PostgreSQL can tell that nothing was written",
      },
      () =>
        withTable(subject, { max: 1, verifyCommit: true }, async ({ db, proxy }) => {
          await db.query("select 1 as one");
          swallowCommit(proxy, "before the server", "silent");
          let calls = 0;
          await db.transaction((tx) => {
            calls++;
            return tx.query("select 1 as one");
          }, { commitTimeoutMs: COMMIT_MS });
          assert.equal(calls, 1);
        }),
    );
  });
}
