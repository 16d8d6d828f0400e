import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Database, table, UnoDb } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { type Order, orders, unoOn } from "./_orders.ts";

const wrong = (value: unknown): never => value as never;

describe("table and UnoDb, wrongly used", () => {
  it("table checks its names when it is made", () => {
    const options = { key: "id", columns: ["id", "n"] } as const;
    for (const name of [7, null, undefined, {}]) assert.throws(() => table(wrong(name), options), TypeError);
    for (const name of ["", "a\0b"]) assert.throws(() => table(name, options), RangeError);
    assert.throws(() => table("t", wrong(null)), TypeError);
    assert.throws(() => table("t", wrong({ key: "id", columns: "id" })), TypeError);
    assert.throws(() => table("t", wrong({ key: "id", columns: ["id", 7] })), TypeError);
    assert.throws(() => table("t", wrong({ key: "id", columns: ["id", "id"] })), RangeError);
    assert.throws(() => table("t", wrong({ key: "id", columns: ["id", "or"] })), RangeError);
    assert.throws(() => table("t", wrong({ key: "no", columns: ["id"] })), {
      message: 'Cannot create table "t" as key must be one of its columns: received "no"',
    });
    assert.throws(() => table("t", wrong({ ...options, version: "no" })), RangeError);
    assert.throws(() => table("t", { ...options, version: "id" }), RangeError);
    assert.throws(() => table("t", { ...options, schema: "" }), RangeError);
  });

  it("the type of the key is said with that of the rows", () => {
    const options = { key: "id", columns: ["id", "status"] } as const;
    interface Row {
      id: number;
      status: string;
    }
    // @ts-expect-error: Its type would be that of any column.
    assert.equal(table<Row>("t", options).key, "id");
    assert.equal(table<Row, "id">("t", options).key, "id");
  });

  it("names are quoted, whatever is in them", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    await db.query('create table "o; drop""" ("i d" integer primary key, "select" text)');
    await using uno = new UnoDb(db);
    const odd = table('o; drop"', { schema: "main", key: "i d", columns: ["i d", "select"] });
    await uno.insert(odd, { "i d": 1, "select": "'; --" });
    assert.deepEqual(await uno.filter(odd, { "select": "'; --" }, { orderBy: "select" }), [{
      "i d": 1,
      "select": "'; --",
    }]);
  });

  it("UnoDb refuses what makes no sense, and sends nothing", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    await using uno = await unoOn(db);
    const { granted } = db.statistics();
    const filters: readonly [unknown, unknown, typeof TypeError | typeof RangeError][] = [
      [null, {}, TypeError],
      [[], {}, TypeError],
      [{ nope: 1 }, {}, RangeError],
      [{ id: undefined }, {}, TypeError],
      [{ id: { between: [1, 2] } }, {}, RangeError],
      [{ id: {} }, {}, RangeError],
      [{ id: { in: 5 } }, {}, TypeError],
      [{ id: { in: [null] } }, {}, TypeError],
      [{ id: { lt: null } }, {}, TypeError],
      [{ id: { isNull: 1 } }, {}, TypeError],
      [{ id: [1] }, {}, TypeError],
      [{ id: Symbol("x") }, {}, TypeError],
      [{ or: [] }, {}, TypeError],
      [{ or: [{ nope: 1 }] }, {}, RangeError],
      [{ toString: 1 }, {}, RangeError],
      [{ id: { constructor: 1 } }, {}, RangeError],
      [{}, { orderBy: "nope" }, RangeError],
      [{}, { orderBy: { asc: "id" } }, RangeError],
      [{}, { orderBy: "id; drop table orders" }, RangeError],
      [{}, { limit: -1 }, RangeError],
      [{}, { limit: "5" }, TypeError],
      [{}, { limit: NaN }, RangeError],
      [{}, { offset: 1.5 }, RangeError],
      [{}, { after: 5 }, TypeError],
      [{}, { after: {} }, TypeError],
      [{}, { after: { id: 1 }, offset: 1 }, TypeError],
      [{}, { cache: 1 }, TypeError],
      [{}, { cache: { ttlMs: -1 } }, RangeError],
      [{}, { signal: 1 }, TypeError],
      [{}, null, TypeError],
    ];
    for (const [where, options, kind] of filters) {
      await assert.rejects(
        uno.filter(orders, wrong(where), wrong(options)),
        kind,
        JSON.stringify([where, options]),
      );
    }
    for (const id of [null, undefined, {}, []]) {
      await assert.rejects(uno.get(orders, wrong(id)), TypeError);
      await assert.rejects(uno.delete(orders, wrong(id)), TypeError);
      await assert.rejects(uno.batchUpdate(orders, wrong(id), { total: 1 }), TypeError);
    }
    await assert.rejects(uno.get(wrong({ ...orders }), wrong(1)), TypeError);
    for (
      const [row, kind] of [[null, TypeError], [[], TypeError], [{ nope: 1 }, RangeError], [{
        ref: undefined,
      }, TypeError]] as const
    ) {
      await assert.rejects(uno.insert(orders, wrong(row)), kind);
      await assert.rejects(uno.batchInsert(orders, wrong(row)), kind);
      await assert.rejects(uno.update(orders, 1, wrong(row)), kind);
    }
    for (const changes of [{}, { id: 2 }, { version: 2 }]) {
      await assert.rejects(uno.update(orders, 1, changes), RangeError);
      await assert.rejects(uno.batchUpdate(orders, 1, changes), RangeError);
    }
    await assert.rejects(uno.update(orders, 1, { total: 1 }, { version: NaN }), RangeError);
    const plain = table<Order, "id">("orders", { key: "id", columns: ["id", "total"] });
    await assert.rejects(uno.update(plain, 1, { total: 1 }, { version: 1 }), RangeError);
    await assert.rejects(uno.transaction(wrong(null)), TypeError);
    assert.throws(() => uno.in(wrong({})), TypeError);
    assert.throws(() => uno.invalidate(wrong({ name: "orders" })), TypeError);
    assert.throws(() => new UnoDb(wrong({})), TypeError);
    assert.throws(() => new UnoDb(db, wrong(null)), TypeError);
    assert.throws(() => new UnoDb(db, { cache: { ttlMs: NaN } }), RangeError);
    assert.throws(() => new UnoDb(db, { cache: { maxEntries: -1 } }), RangeError);
    assert.throws(() => new UnoDb(db, { cache: { changed: wrong(1) } }), TypeError);
    assert.throws(() => new UnoDb(db, { batch: { maxSize: 0 } }), RangeError);
    assert.throws(() => new UnoDb(db, { batch: wrong(null) }), TypeError);
    assert.equal(db.statistics().granted, granted);
  });

  it("UnoDb takes part in the transaction in effect, and in no other", async () => {
    const { AsyncLocalStorage } = await import("node:async_hooks");
    await using db = new Database(sqliteDriver({ file: ":memory:" }), { context: new AsyncLocalStorage() });
    await using uno = await unoOn(db);
    const failure = new Error("no");
    await assert.rejects(
      db.transaction(async () => {
        const { id } = await uno.insert(orders, { total: 5 });
        assert.equal((await uno.get(orders, id, { cache: true }))?.total, 5);
        await Promise.all([uno.batchInsert(orders, {}), uno.batchInsert(orders, {})]);
        await uno.batchUpdate(orders, id, { total: 6 });
        assert.equal((await uno.filter(orders, { total: { gte: 0 } })).length, 3);
        throw failure;
      }),
      (error) => error === failure,
    );
    assert.deepEqual(await uno.filter(orders, {}, { cache: true }), []);
  });

  it("UnoDb.close rejects those who wait, when asked to, and is the same again", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    const uno = await unoOn(db, { batch: { maxWaitMs: 60_000 } });
    const waiting = uno.batchInsert(orders, { ref: "a" });
    const [outcome] = await Promise.all([
      Promise.allSettled([waiting]).then(([one]) => one!),
      uno.close({ pending: "reject" }),
    ]);
    assert.ok(outcome.status === "rejected" && outcome.reason.name === "ClosedError");
    await uno.close();
    assert.deepEqual([(await db.query("select * from orders")).rows, db.closed], [[], false]);
  });
});
