/** Streams of rows, from an engine inside the process and from one that has no streams. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mapTasks } from "@uno/async";
import { Database, MisuseError, type Session, type Transaction } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { sweep, world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

type Row = { readonly id: number };

async function withRows(count: number, fn: (db: Database) => Promise<void>): Promise<void> {
  await using db = new Database(sqliteDriver({ file: ":memory:" }), { name: "test" });
  await db.query("create table t (id integer primary key)");
  await db.query(
    "with recursive c (i) as (select 1 union all select i + 1 from c where i < ?) insert into t select i from c",
    [count],
  );
  await fn(db);
  assert.deepEqual([db.statistics().inUse, db.statistics().waiting], [0, 0]);
  // A statement that was left open would keep the table.
  await db.query("drop table t");
}

async function idsOf(rows: AsyncIterable<Row>): Promise<number[]> {
  const ids: number[] = [];
  for await (const { id } of rows) ids.push(id);
  return ids;
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
const ALL = "select id from t order by id";

describe("stream of rows", () => {
  it("gives every row once and in order, whatever is asked for at once", async () => {
    for (const count of [0, 1, 99, 100, 101, 1000]) {
      await withRows(Math.max(count, 1), async (db) => {
        if (count === 0) await db.query("delete from t");
        for (const batchRows of [1, 7, 100, 10_000]) {
          assert.deepEqual(await idsOf(db.stream<Row>(ALL, [], { batchRows })), upTo(count));
        }
        assert.deepEqual(await db.transaction((tx) => idsOf(tx.stream<Row>(ALL))), upTo(count));
      });
    }
  });

  it("takes parameters, and runs the statement at each iteration", () =>
    withRows(5, async (db) => {
      const rows = db.stream<Row>("select id from t where id > ? order by id", [3]);
      assert.deepEqual(await idsOf(rows), [4, 5]);
      await db.query("delete from t where id = 4");
      assert.deepEqual(await idsOf(rows), [5]);
    }));

  it("left early gives the session back before the loop has ended", () =>
    withRows(300, async (db) => {
      for await (const { id } of db.stream<Row>(ALL, [], { batchRows: 10 })) if (id === 15) break;
      assert.equal(db.statistics().inUse, 0);
      const failure = new Error("enough");
      const failing = (async () => {
        for await (const _ of db.stream<Row>(ALL)) throw failure;
      })();
      await assert.rejects(failing, (error) => error === failure);
      assert.equal(db.statistics().inUse, 0);
    }));

  it("asks for rows only as they are taken", () =>
    world(async () => {
      const server = new FakeServer();
      server.rows.push({ id: 1 }, { id: 2 });
      await using db = new Database(fakeDriver(server));
      const rows = db.stream<Row>("SELECT");
      assert.equal(server.connects, 0);
      const iterator = rows[Symbol.asyncIterator]();
      assert.equal(server.connects, 0);
      assert.deepEqual(await iterator.next(), { value: { id: 1 }, done: false });
      assert.deepEqual(db.statistics().inUse, 1);
      await iterator.return?.();
      assert.deepEqual(db.statistics().inUse, 0);
    }));

  it("is read whole from a driver that has none", () =>
    world(async () => {
      const server = new FakeServer();
      server.rows.push(...upTo(250).map((id) => ({ id })));
      await using db = new Database(fakeDriver(server));
      assert.deepEqual(await idsOf(db.stream<Row>("SELECT", [], { batchRows: 100 })), upTo(250));
      assert.deepEqual(server.log, ["SELECT"]);
    }));

  it("refuses what would come between, by name, and ends with what is around it", () =>
    withRows(300, async (db) => {
      const beside = (work: (session: Session) => Promise<unknown>) => async (session: Session) => {
        const iterator = session.stream<Row>(ALL, [], { batchRows: 2 })[Symbol.asyncIterator]();
        await iterator.next();
        await assert.rejects(work(session), (error) => {
          assert.ok(error instanceof MisuseError);
          assert.match(error.message, /on database "test": a stream of SELECT is open in this session/);
          return true;
        });
        // It is whole all the same.
        assert.deepEqual((await iterator.next()).value, { id: 2 });
        assert.deepEqual((await iterator.next()).value, { id: 3 });
        return iterator;
      };
      const another = (session: Session): Promise<unknown> =>
        session.stream(ALL)[Symbol.asyncIterator]().next() as Promise<unknown>;
      const left: AsyncIterator<Row>[] = [];
      {
        await using session = await db.session();
        left.push(await beside((s) => s.query("select 1"))(session));
        await left[0]!.return?.();
        left.push(await beside(another)(session));
      }
      for (
        const work of [
          (tx: Transaction) => tx.query("select 1"),
          (tx: Transaction) => tx.commit(),
          (tx: Transaction) => tx.savepoint(),
          another,
        ]
      ) {
        await using tx = await db.begin();
        left.push(await beside((s) => work(s as Transaction))(tx));
        await tx.rollback();
      }
      // What was buffered may still be given out, nothing after it.
      for (const iterator of left.slice(1)) {
        await assert.rejects(
          async () => {
            for (let i = 0; i < 4; i++) await iterator.next();
          },
          { name: /^(?:Transaction)?ClosedError$/ as unknown as string },
        );
      }
    }));

  it("is not committed over", () =>
    withRows(300, async (db) => {
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.query("insert into t values (1000)");
          await tx.stream(ALL)[Symbol.asyncIterator]().next();
        }),
        MisuseError,
      );
      assert.deepEqual((await db.query("select * from t where id = 1000")).rows, []);
    }));

  it("aborted between rows or before the first rejects with the reason, and frees the session", () =>
    withRows(300, async (db) => {
      for (const reason of ["enough", null, new Error("stop")]) {
        for (const at of [0, 1, 2, 150]) {
          const controller = new AbortController();
          if (at === 0) controller.abort(reason);
          const seen: number[] = [];
          const reading = (async () => {
            for await (const { id } of db.stream<Row>(ALL, [], { batchRows: 2, signal: controller.signal })) {
              seen.push(id);
              if (id === at) controller.abort(reason);
            }
          })();
          await assert.rejects(reading, (error) => error === reason);
          assert.deepEqual(seen, upTo(at));
          assert.equal(db.statistics().inUse, 0);
        }
      }
    }));

  it("ends with the signal of its transaction, which is rolled back", () =>
    withRows(300, async (db) => {
      const controller = new AbortController();
      const reason = new Error("stop");
      const seen: number[] = [];
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.query("insert into t values (1000)");
          for await (const { id } of tx.stream<Row>(ALL, [], { batchRows: 2 })) {
            seen.push(id);
            if (id === 3) controller.abort(reason);
          }
        }, { signal: controller.signal }),
        (error) => error === reason,
      );
      assert.deepEqual(seen, upTo(3));
      assert.deepEqual((await db.query("select * from t where id = 1000")).rows, []);
    }));

  it("feeds mapTasks, which leaves it when one fails", () =>
    withRows(1000, async (db) => {
      let sum = 0;
      const doubled = mapTasks(db.stream<Row>(ALL), async ({ id }) => await Promise.resolve(id * 2), {
        concurrency: 4,
      });
      for await (const n of doubled) sum += n;
      assert.equal(sum, 1000 * 1001);
      const failure = new Error("bad row");
      const failing = mapTasks(db.stream<Row>(ALL), async ({ id }) => {
        await Promise.resolve();
        if (id === 50) throw failure;
        return id;
      }, { concurrency: 4 });
      await assert.rejects(
        async () => {
          for await (const _ of failing);
        },
        (error) => error === failure,
      );
    }));

  it("throws the database's refusal by kind, and what can't be streamed at once", () =>
    withRows(1, async (db) => {
      await assert.rejects(idsOf(db.stream("select nothing from nowhere")), { failure: "statement" });
      await assert.rejects(idsOf(db.stream("insert into t values (7)")), TypeError);
      await assert.rejects(idsOf(db.stream("select ?")), TypeError);
      assert.throws(() => db.stream(7 as never), TypeError);
      assert.throws(() => db.stream("select 1", 7 as never), TypeError);
      for (const batchRows of [0, 1.5, NaN, -1, 10_001]) {
        assert.throws(() => db.stream("select 1", [], { batchRows }), RangeError);
      }
      for (const batchRows of ["5", null]) {
        assert.throws(() => db.stream("select 1", [], { batchRows: batchRows as never }), TypeError);
      }
      assert.throws(() => db.stream("select 1", [], { signal: 7 as never }), TypeError);
      assert.throws(() => db.stream("select 1", [], 7 as never), TypeError);
      assert.deepEqual((await db.query("select count(*) as n from t")).rows, [{ n: 1 }]);
    }));

  it("aborted at any await leaves nothing behind", async () => {
    let server: FakeServer;
    let db: Database;
    const { points } = await sweep(async (signal) => {
      server = new FakeServer();
      server.rows.push(...upTo(5).map((id) => ({ id })));
      db = new Database(fakeDriver(server));
      for await (const _ of db.stream("SELECT", [], { signal, batchRows: 2 })) await Promise.resolve();
    }, async () => {
      assert.deepEqual([db.statistics().inUse, server.violations], [0, []]);
      await using session = await db.session({ timeoutMs: 10_000 });
      assert.equal((await session.query("SELECT")).rowCount, 5);
      await db.close();
    });
    assert.ok(points > 10);
  });
});
