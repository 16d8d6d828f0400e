import assert from "node:assert/strict";
import { test } from "node:test";
import callbacks, { type ConnectionOptions } from "mysql2";
import mysql from "mysql2/promise";
import type { ClientConfig } from "pg";
import pg from "pg";
import { Database } from "@uno/async/database";
import { mysql2Driver } from "@uno/async/database/mysql2";
import { pgDriver } from "@uno/async/database/pg";
import { serverDriverContract } from "../../contracts/driver_contract.ts";

serverDriverContract("mysql2");

test("mysql2Driver says which of the package's modules it needs", async () => {
  await using db = new Database(mysql2Driver(callbacks as never, { host: "127.0.0.1", port: 1 }));
  await assert.rejects(db.query("select 1"), {
    name: "TypeError",
    message: "Cannot connect as module must be that of mysql2/promise: received one with callbacks",
  });
});

test("drivers take the packages' own types of options, and check the options of ours", () => {
  interface Place {
    host: string;
  }
  const place: Place = { host: "db" };
  const config: ClientConfig = { host: "db", port: 1 };
  const options: ConnectionOptions = { host: "db", port: 1 };
  const targets = [
    pgDriver(pg, config),
    pgDriver(pg, place),
    mysql2Driver(mysql, options),
    mysql2Driver(mysql, place),
  ]
    .map(({ target }) => target);
  assert.deepEqual(targets, ["db:1/", "db/", "db:1/", "db/"]);
  // @ts-expect-error: It is neither of the two.
  assert.throws(() => pgDriver(pg, { host: "db", cancel: "slowly" }), RangeError);
});
