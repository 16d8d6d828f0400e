/** What `UnoDb` promises of any database, as steps that throw when it is not so. */
import assert from "node:assert/strict";
import {
  ConstraintError,
  type Database,
  UnoDb,
  type UnoTransaction,
  VersionConflictError,
} from "@uno/async/database";
import { notes, type Order, orders, unoOn } from "./_orders.ts";

/** Each takes an empty database. */
export const scenarios: Readonly<Record<string, (db: Database) => Promise<void>>> = {
  "inserts, gets, changes and deletes rows, and says when there is none": async (db) => {
    await using uno = await unoOn(db);
    const made = await uno.insert(orders, { ref: "a", total: 10 });
    assert.deepEqual(made, { id: made.id, ref: "a", status: "open", total: 10, version: 1 });
    assert.deepEqual(await uno.get(orders, made.id), made);
    const changed = await uno.update(orders, made.id, { status: "paid", ref: null });
    assert.deepEqual(changed, { ...made, ref: null, status: "paid", version: 2 });
    assert.deepEqual(await uno.delete(orders, made.id), true);
    assert.deepEqual(await uno.delete(orders, made.id), false);
    assert.deepEqual(await uno.get(orders, made.id), undefined);
    assert.deepEqual(await uno.update(orders, made.id, { total: 1 }), undefined);
    const bare = await uno.insert(orders, {});
    assert.deepEqual([bare.status, bare.total], ["open", 0]);
    await assert.rejects(uno.insert(orders, { total: -1 }), ConstraintError);
  },

  "filters by each operator, orders and pages": async (db) => {
    await using uno = await unoOn(db);
    for (let id = 1; id <= 6; id++) {
      await uno.insert(orders, {
        id,
        ref: id % 2 ? `r${id}` : null,
        status: id < 4 ? "open" : "paid",
        total: id * 10,
      });
    }
    const ids = async (
      ...args: Parameters<typeof uno.filter<Order>> extends [unknown, ...infer A] ? A : never
    ) => (await uno.filter(orders, ...args)).map(({ id }) => id);
    const by = { orderBy: "id" } as const;
    assert.deepEqual(await ids({}, by), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(await ids({ status: "open" }, by), [1, 2, 3]);
    assert.deepEqual(await ids({ status: "open", total: { gt: 10, lte: 30 } }, by), [2, 3]);
    assert.deepEqual(await ids({ total: { gte: 20, lt: 40 } }, by), [2, 3]);
    assert.deepEqual(await ids({ id: { in: [5, 1, 9] } }, by), [1, 5]);
    assert.deepEqual(await ids({ id: { in: [] } }), []);
    assert.deepEqual(await ids({ status: { ne: "open" } }, by), [4, 5, 6]);
    assert.deepEqual(await ids({ ref: { like: "r%" }, id: { eq: 3 } }, by), [3]);
    assert.deepEqual(await ids({ ref: null }, by), [2, 4, 6]);
    assert.deepEqual(await ids({ ref: { isNull: true } }, by), [2, 4, 6]);
    assert.deepEqual(await ids({ ref: { ne: null } }, by), [1, 3, 5]);
    assert.deepEqual(await ids({ ref: { isNull: false } }, by), [1, 3, 5]);
    assert.deepEqual(await ids({ status: "open", or: [{ id: 1 }, { total: 30 }, { id: 6 }] }, by), [1, 3]);
    assert.deepEqual(await ids({}, { orderBy: [{ desc: "status" }, { desc: "id" }] }), [6, 5, 4, 3, 2, 1]);
    assert.deepEqual(await ids({}, { limit: 2 }), [1, 2]);
    assert.deepEqual(await ids({}, { limit: 0 }), []);
    assert.deepEqual(await ids({}, { offset: 4 }), [5, 6]);
    assert.deepEqual(await ids({}, { ...by, limit: 2, offset: 2 }), [3, 4]);
    const pages: number[][] = [];
    let after: Order | undefined;
    for (;;) {
      const page = await uno.filter(orders, {}, { orderBy: { desc: "status" }, limit: 2, after });
      if (page.length === 0) break;
      pages.push(page.map(({ id }) => id));
      after = page.at(-1);
    }
    assert.deepEqual(pages, [[4, 5], [6, 1], [2, 3]], "each row once");
  },

  "pages over rows without a value, and each comes once, wherever the database has them": async (db) => {
    await using uno = await unoOn(db);
    for (let id = 1; id <= 9; id++) {
      await uno.insert(orders, { id, ref: id % 3 === 0 ? `r${id}` : null, total: id % 2 });
    }
    for (
      const orderBy of ["ref", { desc: "ref" }, ["total", { desc: "ref" }], [{ desc: "ref" }, "id"]] as const
    ) {
      const whole = (await uno.filter(orders, {}, { orderBy, limit: 100 })).map(({ id }) => id);
      assert.equal(whole.length, 9);
      for (const limit of [1, 2, 5]) {
        const seen: number[] = [];
        let after: Order | undefined;
        for (;;) {
          const page: Order[] = await uno.filter(orders, {}, { orderBy, limit, after });
          if (page.length === 0) break;
          seen.push(...page.map(({ id }) => id));
          after = page.at(-1);
        }
        assert.deepEqual(seen, whole, `by ${JSON.stringify(orderBy)}, ${limit} at a time`);
      }
    }
    const noKey = { orderBy: "ref", after: { ref: null } } as const;
    await assert.rejects(uno.filter(orders, {}, noKey), /after must have a value for "id"/);
  },

  // DB-24
  "gives each caller of a batch the row that is its own, and fails only the one whose row is bad": async (
    db,
  ) => {
    await using uno = await unoOn(db);
    await uno.insert(orders, { ref: "taken" });
    const outcomes = await Promise.allSettled(
      Array.from(
        { length: 100 },
        (_, i) => uno.batchInsert(orders, { ref: i === 42 ? "taken" : `ref-${i}`, total: i * 7 }),
      ),
    );
    const ids = new Set<number>();
    for (const [i, outcome] of outcomes.entries()) {
      if (i === 42) {
        assert.equal(outcome.status, "rejected");
        assert.ok(outcome.reason instanceof ConstraintError, String(outcome.reason));
        assert.equal(outcome.reason.kind, "unique");
        continue;
      }
      assert.equal(outcome.status, "fulfilled", `row ${i}`);
      const { id, ...row } = outcome.value;
      assert.deepEqual(row, { ref: `ref-${i}`, status: "open", total: i * 7, version: 1 });
      ids.add(id);
      // What came back is what is stored under this key.
      assert.deepEqual(await uno.get(orders, id), outcome.value);
    }
    assert.equal(ids.size, 99);
    assert.equal((await uno.filter(orders, {})).length, 100);
  },

  "keeps the rows of different tables and columns apart": async (db) => {
    await using uno = await unoOn(db);
    const made = await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      if (i % 3 === 0) return [(await uno.batchInsert(notes, { text: `note ${i}` })).text, `note ${i}`];
      if (i % 3 === 1) return [(await uno.batchInsert(orders, { ref: `ref ${i}` })).ref, `ref ${i}`];
      const { total, ref } = await uno.batchInsert(orders, { total: i });
      return [`${total} ${ref}`, `${i} null`];
    }));
    for (const [found, expected] of made) assert.equal(found, expected);
    assert.equal((await uno.filter(notes, {})).length, 20);
    assert.equal(uno.statistics().inserts.batches, 3);
  },

  "makes all updates of a batch, also several of one row, and says who has none": async (db) => {
    await using uno = await unoOn(db);
    for (let id = 1; id <= 20; id++) await uno.insert(orders, { id, ref: `r${id}` });
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 20 }, (_, i) => uno.batchUpdate(orders, 20 - i, { total: i, status: `s${i}` })),
      uno.batchUpdate(orders, 99, { total: 1, status: "none" }),
      uno.batchUpdate(orders, 7, { total: -1, status: "bad" }),
      uno.batchUpdate(orders, 5, { total: 500, status: "again" }),
    ]);
    for (let i = 0; i < 20; i++) {
      const id = 20 - i;
      const outcome = outcomes[i]!;
      assert.equal(outcome.status, "fulfilled", `row ${id}`);
      const { version: _, ...row } = outcome.value!;
      assert.deepEqual(row, { id, ref: `r${id}`, status: `s${i}`, total: i });
    }
    assert.deepEqual(outcomes[20], { status: "fulfilled", value: undefined });
    assert.ok(outcomes[21]!.status === "rejected" && outcomes[21]!.reason instanceof ConstraintError);
    assert.deepEqual(outcomes[22]!.status, "fulfilled");
    assert.deepEqual((await uno.get(orders, 5))!.total, 500, "the later change stands");
    assert.deepEqual((await uno.get(orders, 5))!.version, 3);
    assert.deepEqual((await uno.get(orders, 7))!.status, "s13");
  },

  "batches inside of a transaction: a bad row fails alone, and all goes with a roll-back": async (db) => {
    await using uno = await unoOn(db);
    const outcomes = await uno.transaction((tables) =>
      Promise.allSettled(["a", "b", "a", "c"].map((ref) => tables.batchInsert(orders, { ref })))
    );
    assert.deepEqual(outcomes.map(({ status }) => status), [
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    assert.equal((await uno.filter(orders, {})).length, 3);
    const failure = new Error("no");
    await assert.rejects(
      uno.transaction(async (tables) => {
        await Promise.all(["d", "e"].map((ref) => tables.batchInsert(orders, { ref })));
        await tables.batchUpdate(orders, 1, { total: 5 });
        throw failure;
      }),
      (error) => error === failure,
    );
    assert.deepEqual((await uno.filter(orders, {})).map(({ total }) => total), [0, 0, 0]);
  },

  "sends inserts and updates that come at once in a transaction one after the other": async (db) => {
    await using uno = await unoOn(db);
    for (let id = 1; id <= 3; id++) await uno.insert(orders, { id });
    const [made, note, changed] = await uno.transaction((tables) =>
      Promise.all([
        tables.batchInsert(orders, { id: 10, ref: "new" }),
        tables.batchInsert(notes, { text: "note" }),
        tables.batchUpdate(orders, 2, { total: 7 }),
        tables.batchUpdate(orders, 3, { status: "paid" }),
      ])
    );
    assert.deepEqual([made.ref, note.text, changed!.total], ["new", "note", 7]);
    // Without anybody waiting for them, they are still sent before the commit.
    await uno.transaction((tables) => {
      for (let id = 20; id < 25; id++) void tables.batchInsert(orders, { id });
      void tables.batchUpdate(orders, 1, { total: 9 });
    });
    const rows = await uno.filter(orders, {}, { orderBy: "id" });
    assert.deepEqual(rows.map(({ id }) => id), [1, 2, 3, 10, 20, 21, 22, 23, 24]);
    assert.deepEqual(rows.slice(0, 3).map(({ total, status }) => [total, status]), [
      [9, "open"],
      [7, "open"],
      [0, "paid"],
    ]);
  },

  "does not commit over what was not awaited and has failed": async (db) => {
    await using uno = await unoOn(db);
    await uno.insert(orders, { ref: "taken" });
    const batched = uno.transaction((tables) => {
      for (const ref of ["a", "taken", "b"]) void tables.batchInsert(orders, { ref });
    });
    await assert.rejects(batched, ConstraintError);
    const written = uno.transaction(async (tables) => {
      void tables.insert(orders, { ref: "taken" });
      await new Promise((resolve) => setTimeout(resolve, 50));
    });
    await assert.rejects(written, ConstraintError);
    const left = db.transaction((tx) => void uno.in(tx).batchInsert(orders, { ref: "left" }));
    await assert.rejects(left, /1 of its statements was not awaited, the first being a batched insert/);
    assert.equal((await uno.filter(orders, {})).length, 1);
  },

  "sends what waits when it is closed, or rejects it": async (db) => {
    const uno = await unoOn(db, { batch: { maxWaitMs: 60_000 } });
    const waiting = Array.from({ length: 10 }, (_, i) => uno.batchInsert(orders, { ref: `w${i}` }));
    await uno.close();
    assert.deepEqual((await Promise.all(waiting)).map(({ ref }) => ref), waiting.map((_, i) => `w${i}`));
    await assert.rejects(uno.batchInsert(orders, {}), { name: "ClosedError" });
    await assert.rejects(uno.get(orders, 1), { name: "ClosedError" });
    const other = new UnoDb(db, { batch: { maxWaitMs: 60_000 } });
    const refused = [
      ...Array.from({ length: 10 }, (_, i) => other.batchInsert(orders, { ref: `r${i}` })),
      other.batchUpdate(orders, 1, { total: 5 }),
    ];
    const outcomes = Promise.allSettled(refused);
    await other.close({ pending: "reject" });
    for (const outcome of await outcomes) {
      assert.ok(outcome.status === "rejected" && outcome.reason.name === "ClosedError");
    }
    assert.deepEqual((await db.query("select id from orders where ref like 'r%' or total = 5")).rows, []);
  },

  "transfers under row locks: the balance is right, and the versions count": async (db) => {
    await using uno = await unoOn(db);
    await uno.insert(orders, { id: 1, total: 1_000 });
    await uno.insert(orders, { id: 2, total: 0 });
    const lock = db.dialect === "sqlite" ? "" : " for update";
    const p = db.dialect === "postgres" ? "$1" : "?";
    const transfer = (amount: number) =>
      uno.transaction(async (tables) => {
        for (const [id, sign] of [[1, -1], [2, 1]] as const) {
          const { rows } = await tables.tx.query<Order>(`select * from orders where id = ${p}${lock}`, [id]);
          await tables.update(orders, id, { total: rows[0]!.total + sign * amount });
        }
      });
    await Promise.all([transfer(50), transfer(25)]);
    const [from, to] = await uno.filter(orders, {}, { orderBy: "id" });
    assert.deepEqual([from!.total, from!.version, to!.total, to!.version], [925, 3, 75, 3]);
  },

  "lets one of those win who change the same version": async (db) => {
    await using uno = await unoOn(db);
    const { id } = await uno.insert(orders, {});
    const outcomes = await Promise.allSettled(
      [10, 20, 30, 40].map((total) => uno.update(orders, id, { total }, { version: 1 })),
    );
    const won = outcomes.filter((outcome) => outcome.status === "fulfilled");
    assert.equal(won.length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") continue;
      assert.ok(outcome.reason instanceof VersionConflictError, String(outcome.reason));
      const { table, expected, found } = outcome.reason;
      assert.deepEqual([table, expected, found], ["orders", 1, 2]);
    }
    assert.deepEqual(await uno.get(orders, id), won[0]!.value);
    await assert.rejects(uno.delete(orders, id, { version: 1 }), VersionConflictError);
    await assert.rejects(uno.update(orders, 99, { total: 1 }, { version: 1 }), { found: undefined });
    assert.equal(await uno.delete(orders, id, { version: 2 }), true);
  },

  "leaves one debit and one credit of a transfer that is run again": async (db) => {
    await using uno = await unoOn(db);
    await uno.insert(orders, { id: 1, total: 100 });
    await uno.insert(orders, { id: 2, total: 0 });
    let runs = 0;
    class Flaky extends Error {}
    for (let tries = 0; tries < 4; tries++) {
      try {
        await uno.transaction(async (tables) => {
          runs++;
          const [from, to] = await tables.filter(orders, { id: { in: [1, 2] } }, { orderBy: "id" });
          await tables.update(orders, 1, { total: from!.total - 30 });
          await tables.batchInsert(notes, { text: "debit" });
          if (runs < 3) throw new Flaky();
          await tables.update(orders, 2, { total: to!.total + 30 });
          await tables.batchInsert(notes, { text: "credit" });
        });
        break;
      } catch (error) {
        assert.ok(error instanceof Flaky, String(error));
      }
    }
    const totals = (await uno.filter(orders, {}, { orderBy: "id" })).map(({ total }) => total);
    const texts = (await uno.filter(notes, {}, { orderBy: "text" })).map(({ text }) => text);
    assert.deepEqual([runs, totals, texts], [3, [70, 30], ["credit", "debit"]]);
  },

  "commits five transactions at once": async (db) => {
    await using uno = await unoOn(db);
    await Promise.all([1, 2, 3, 4, 5].map((total) =>
      uno.transaction(async (tables) => {
        await tables.insert(orders, { total });
        await tables.insert(notes, { text: `note ${total}` });
      })
    ));
    const totals = (await uno.filter(orders, {}, { orderBy: "total" })).map(({ total }) => total);
    assert.deepEqual([totals, (await uno.filter(notes, {})).length], [[1, 2, 3, 4, 5], 5]);
  },

  "counts as many as succeed": async (db) => {
    await using uno = await unoOn(db);
    await uno.insert(orders, { id: 1 });
    const count = async (tables: UnoTransaction) => {
      const { total } = (await tables.get(orders, 1))!;
      // Otherwise MariaDB's repeatable read lets the last one win.
      if (db.dialect === "mysql") {
        await tables.update(orders, 1, { total: total + 1 }, { version: total + 1 });
      } else await tables.update(orders, 1, { total: total + 1 });
    };
    const weak = await Promise.allSettled(
      Array.from(
        { length: 10 },
        () => uno.transaction(count, { isolation: "repeatable read", retry: { attempts: 3 } }),
      ),
    );
    const successes = weak.filter(({ status }) => status === "fulfilled").length;
    assert.ok(successes > 0);
    assert.equal((await uno.get(orders, 1))!.total, successes);
    await Promise.all(Array.from({ length: 10 }, () => uno.serializable(count, { retry: { attempts: 60 } })));
    assert.equal((await uno.get(orders, 1))!.total, successes + 10);
  },

  "answers from the cache until a commit, whoever writes": async (db) => {
    await using uno = await unoOn(db);
    const { id } = await uno.insert(orders, { total: 1 });
    const cached = async (): Promise<number | undefined> =>
      (await uno.get(orders, id, { cache: true }))?.total;
    const list = async (): Promise<number> =>
      (await uno.filter(orders, { total: { gte: 0 } }, { cache: true })).length;
    const fresh = async (...expected: [number | undefined, number]): Promise<void> => {
      assert.deepEqual([await cached(), await list()], expected);
      const { hits } = uno.statistics().cache;
      assert.deepEqual([await cached(), await list()], expected);
      assert.equal(uno.statistics().cache.hits, hits + 2, "the second time from the cache");
    };
    await fresh(1, 1);
    await uno.update(orders, id, { total: 2 });
    await fresh(2, 1);
    await uno.batchUpdate(orders, id, { total: 3 });
    await fresh(3, 1);
    await uno.batchInsert(orders, { total: 9 });
    await fresh(3, 2);
    await uno.transaction((tables) => tables.update(orders, id, { total: 4 }));
    await fresh(4, 2);
    const failure = new Error("no");
    const failed = uno.transaction(async (tables) => {
      await tables.update(orders, id, { total: 5 });
      throw failure;
    });
    await assert.rejects(failed, (error) => error === failure);
    await fresh(4, 2);
    await uno.transaction(async (tables) => {
      await tables.tx.query("update orders set total = 6");
      tables.touch(orders);
    });
    await fresh(6, 2);
    await uno.delete(orders, id);
    await fresh(undefined, 1);
    await uno.insert(orders, { id, total: 7 });
    await fresh(7, 2);
  },
};
