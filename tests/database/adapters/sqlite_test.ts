import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { Database } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { openBunSqlite } from "../../../src/database/adapters/_sqlite_bun.ts";
import { driverOver } from "../../../src/database/adapters/_sqlite_driver.ts";
import { openNodeSqlite } from "../../../src/database/adapters/_sqlite_node.ts";
import { suite } from "../../_suite.ts";
import { driverContract } from "../../contracts/driver_contract.ts";
import { sqliteSuite } from "./_sqlite_suite.ts";

const withoutBun = "Bun" in globalThis ? false : "there is none but on Bun";
const bunDriver: typeof sqliteDriver = (options) => driverOver(options, [openBunSqlite]);

/** @param make Makes the driver that is looked at. */
function contract(name: string, skip: string | false, make: typeof sqliteDriver): void {
  driverContract({
    name,
    skip,
    server: false,
    open: () =>
      Promise.resolve({
        make: () => make({ file: ":memory:" }),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  });
}

contract("node:sqlite", false, (options) => driverOver(options, [openNodeSqlite]));
contract("bun:sqlite", withoutBun, bunDriver);

describe("sqliteDriver", () => sqliteSuite(sqliteDriver));

suite("sqliteDriver through bun:sqlite", withoutBun, () => {
  const driver = bunDriver;
  sqliteSuite(driver);

  it("reads the end of the first statement past texts, names, comments and triggers", async () => {
    await using db = new Database(driver({ file: ":memory:" }));
    await using session = await db.session();
    await session.query('create table t (a, "b;c")');
    await session.query(
      "create trigger tr after insert on t begin update t set a = 'x;y'; delete from t; end;",
    );
    await session.query("drop trigger tr; -- ; done");
    await session.query(";insert into t values (?, ';') /* ; */; -- rest;", [1]);
    for (const two of ["select ?; select 1", "select ';', ? ; select 2"]) {
      await assert.rejects(session.query(two, [1]), { message: /the ones after the first are not run$/ });
    }
    assert.deepEqual((await session.query("select * from t")).rows, [{ a: 1, "b;c": ";" }]);
  });

  it("a stream that is left frees its tables, and the statement can be used again", async () => {
    await using db = new Database(driver({ file: ":memory:" }));
    await using session = await db.session();
    await session.query("create table t (n integer)");
    await session.query("insert into t values (1), (2), (3)");
    for (let again = 0; again < 3; again++) {
      for await (
        const row of session.stream<{ n: number }>("select n from t order by n", [], { batchRows: 1 })
      ) {
        assert.deepEqual(row, { n: 1 });
        break;
      }
    }
    const seen: unknown[] = [];
    for await (const row of session.stream("select n from t order by n")) seen.push(row);
    assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { n: 3 }]);
    await session.query("drop table t");
  });
});

test("sqliteDriver on a runtime without SQLite, or an early one, says which has it", async () => {
  const missing = Object.assign(new Error("No such built-in module: node:sqlite"), {
    code: "ERR_UNKNOWN_BUILTIN_MODULE",
  });
  let closed = 0;
  class Early {
    close(): void {
      closed++;
    }
  }
  for (const load of [() => Promise.reject(missing), () => Promise.resolve({ DatabaseSync: Early })]) {
    const driver = driverOver({ file: ":memory:" }, [
      (file, options) => openNodeSqlite(file, options, load),
    ]);
    await assert.rejects(async () => await driver.connect({ signal: new AbortController().signal }), {
      message:
        "Cannot open SQLite: node:sqlite is needed, which comes with Node.js 22.16 or newer, with Deno and with Bun",
    });
  }
  assert.deepEqual(closed, 1);
});
