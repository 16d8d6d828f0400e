import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Database, Sql, sql } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";

test("sql makes values parameters in the placeholders of each dialect", () => {
  const statement = sql`select * from t where a = ${1} and b = ${"x' or 1=1"}`;
  assert.deepEqual(statement.compile("postgres"), {
    text: "select * from t where a = $1 and b = $2",
    params: [1, "x' or 1=1"],
  });
  for (const dialect of ["mysql", "sqlite"] as const) {
    assert.deepEqual(statement.compile(dialect).text, "select * from t where a = ? and b = ?");
  }
});

test("sql puts parts into one another, and numbers their values in order", () => {
  const inner = sql`b = ${2}`;
  const { text, params } = sql`a = ${1} and (${inner} or ${inner}) and c = ${3}`.compile("postgres");
  assert.equal(text, "a = $1 and (b = $2 or b = $3) and c = $4");
  assert.deepEqual(params, [1, 2, 2, 3]);
  assert.deepEqual(sql.join([sql`${1}`, sql`${2}`], sql` or `).compile("sqlite"), {
    text: "? or ?",
    params: [1, 2],
  });
  assert.deepEqual(sql.join([]).compile("sqlite"), { text: "", params: [] });
});

test("sql quotes names so that none can end early", () => {
  const name = sql.id("a", 'b"; drop table t; --`');
  assert.equal(name.compile("postgres").text, '"a"."b""; drop table t; --`"');
  assert.equal(name.compile("mysql").text, '`a`.`b"; drop table t; --```');
});

test("sql refuses what can't be meant", () => {
  assert.throws(() => sql`a = ${undefined}`, TypeError);
  assert.throws(() => sql.list([]), RangeError);
  assert.throws(() => sql.list([1, undefined]), TypeError);
  assert.throws(() => sql.id(), RangeError);
  assert.throws(() => sql.id(""), RangeError);
  assert.throws(() => sql.id("a\0"), RangeError);
  assert.throws(() => sql.id(5 as never), TypeError);
  assert.throws(() => sql.join(["drop table t" as never]), TypeError);
  assert.throws(() => sql("drop table t" as never), TypeError);
  assert.throws(() => sql(["drop table t"] as never), TypeError);
});

test("sql points to sql.list where an array is all there is in a list", () => {
  const ids = [1, 2];
  for (
    const write of [() => sql`select 1 where id in (${ids})`, () => sql`a = ${1} and id NOT IN ( ${ids} )`]
  ) {
    assert.throws(write, {
      name: "TypeError",
      message: /^Cannot write SQL as value [12] must not be an array in "in \(…\)", .*: use sql\.list\(…\)$/,
    });
  }
  // One value among others, and of a function: what PostgreSQL has arrays for.
  for (const statement of [sql`tags in (${ids}, ${ids})`, sql`id = any(${ids})`, sql`least(min(${ids}))`]) {
    assert.ok(statement.compile("postgres").params.includes(ids));
  }
});

test("sql: whatever a value or name holds, a database reads it back as it was", async () => {
  await using db = new Database(sqliteDriver({ file: ":memory:" }));
  await using session = await db.session();
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: "binary" }).filter((text) => text.isWellFormed() && !text.includes("\0")),
      fc.string({ minLength: 1 }).filter((text) => text.isWellFormed() && !text.includes("\0")),
      async (value, name) => {
        const { rows } = await session.query(sql`select ${value} as ${sql.id(name)}`);
        assert.deepEqual(Object.entries(rows[0]!), [[name, value]]);
      },
    ),
    { numRuns: 300 },
  );
});

test("query takes what sql made, and no parameters beside it", async () => {
  await using db = new Database(sqliteDriver({ file: ":memory:" }));
  const { rows } = await db.query<{ sum: number }>(sql`select ${1} + ${2} as sum`);
  assert.deepEqual(rows, [{ sum: 3 }]);
  await assert.rejects(db.query(sql`select 1`, [1]), TypeError);
  assert.ok(sql`select 1` instanceof Sql);
});
