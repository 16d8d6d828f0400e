/** Operations that share one snapshot read what one transaction would see, side by side. */
import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { type Session, SessionOperationGroup } from "@uno/async/database";
import { unhandledDuring } from "../_unhandled.ts";
import { seeded } from "./_servers/seeded.ts";
import { subjects } from "./_servers/subjects.ts";
import { pause, withTable } from "./_servers/with_table.ts";
import { suite } from "../_suite.ts";

const SHARED = { snapshot: "shared" } as const;

async function sum(session: Session): Promise<number> {
  const { rows } = await session.query<{ sum: number | string | null }>("select sum(n) as sum from t");
  return Number(rows[0]!.sum);
}

for (const subject of subjects) {
  suite(`a shared snapshot through ${subject.name}`, subject.skip, () => {
    const isPostgres = subject.dialect === "postgres";
    const skip = isPostgres ? false : "MySQL can't share one";

    it(
      "operations see the database as it was when the first began, however late they begin",
      { skip },
      () =>
        withTable(subject, { max: 4 }, async ({ db, outside, insert, open }) => {
          for (let i = 0; i < 10; i++) await insert(outside, `row ${i}`, 1);
          const sums = await SessionOperationGroup.run(db, async (group) => {
            const first = await group.spawn(sum);
            assert.equal(db.statistics().inUse, 1, "it is held by one of its own");
            await outside.query("update t set n = 100");
            await insert(outside, "late", 5);
            const others = await Promise.all(Array.from({ length: 8 }, () => group.spawn(sum)));
            const streamed = await group.spawn(async (tx) => {
              let total = 0;
              for await (
                const { n } of tx.stream<{ n: number }>("select n from t", [], { batchRows: 3 })
              ) total += n;
              return total;
            }, { server: { statementTimeoutMs: 20_000 } });
            return [first, ...others, streamed];
          }, SHARED);
          assert.deepEqual(sums, Array(10).fill(10));
          assert.equal(await sum(db), 1_005);
          assert.deepEqual([db.statistics().inUse, await open()], [0, 0]);
        }),
    );

    it(
      "operations can't write, and a failure ends the others",
      { skip },
      () =>
        withTable(subject, { max: 4 }, async ({ db, insert, ids, open }) => {
          const run = SessionOperationGroup.run(db, (group) => {
            group.spawn((tx) => tx.query("select pg_sleep(20)"));
            group.spawn((tx) => insert(tx, "a"));
          }, SHARED);
          await assert.rejects(run, { name: "DatabaseError", failure: "readOnly" });
          assert.deepEqual([await ids(), db.statistics().inUse, await open()], [[], 0, 0]);
        }),
    );

    it("aborted at random moments it leaves nothing open, and every session good", { skip }, async () => {
      const seed = Number(process.env.UNO_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const random = seeded(seed);
      const unhandled = await unhandledDuring(() =>
        withTable(subject, { max: 3, cancelGraceMs: 20_000 }, async ({ db, open }) => {
          for (let i = 0; i < 40; i++) {
            const controller = new AbortController();
            const reason = new Error(`stop ${i}`);
            const timer = setTimeout(() => controller.abort(reason), random() * 15);
            try {
              await SessionOperationGroup.run(db, async (group) => {
                const handles = Array.from({ length: 3 }, () => group.spawn(sum));
                if (random() < 0.3) handles[1]!.cancel("not this one");
                await Promise.allSettled(handles);
                if (random() < 0.5) await pause(2);
              }, { ...SHARED, signal: controller.signal });
            } catch (error) {
              assert.equal(error, reason, `seed ${seed}`);
            } finally {
              clearTimeout(timer);
            }
            assert.equal(db.statistics().inUse, 0, `seed ${seed}`);
          }
          assert.deepEqual([await open(), db.statistics().waiting], [0, 0], `seed ${seed}`);
        })
      );
      assert.deepEqual(unhandled, []);
    });

    it("says what it needs", () =>
      withTable(subject, { max: 1 }, async ({ db, open }) => {
        const run = SessionOperationGroup.run(db, (group) => void group.spawn(sum), SHARED);
        await assert.rejects(run, {
          name: "RangeError",
          message: isPostgres
            ? /max of the database must be 2 or more/
            : 'Cannot begin transaction as snapshot must not be "shared" with mysql2',
        });
        assert.deepEqual([db.statistics().inUse, await open()], [0, 0]);
      }));
  });
}
