/** That the tests' own servers come up, hold what is stored over a crash, and go. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import mariadb from "mysql2/promise";
import pg from "pg";
import { mysql, postgres } from "./_servers/servers.ts";
import { tcpProxy } from "./_servers/tcp_proxy.ts";

async function connected(place: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(place);
  client.on("error", () => {});
  await client.connect();
  return client;
}

describe("test servers", () => {
  it("PostgreSQL gives an empty database, also where another one was used before", {
    skip: postgres.skip,
  }, async () => {
    for (let i = 0; i < 2; i++) {
      await using place = await postgres.empty();
      const client = await connected(place);
      await client.query("create table notes (text text)");
      await client.end();
    }
  });

  it("PostgreSQL gives no database that somebody still uses", { skip: postgres.skip }, async () => {
    let left: Awaited<ReturnType<typeof connected>>;
    {
      await using place = await postgres.empty();
      left = await connected(place);
      await left.query("create table notes (text text)");
    }
    await assert.rejects(left.query("select 1"));
    await using place = await postgres.empty();
    const client = await connected(place);
    await client.query("create table notes (text text)");
    await client.end();
  });

  it("PostgreSQL of one's own keeps what was stored when it is started again", {
    skip: postgres.skipOwn,
  }, async () => {
    await using server = await postgres.own();
    await using place = await postgres.emptyOn(server);
    const first = await connected(place);
    await first.query("create table notes as select 1 as id");
    await server.stop();
    await assert.rejects(first.query("select 1"));
    await server.start();
    const second = await connected(place);
    assert.deepEqual((await second.query("select id from notes")).rows, [{ id: 1 }]);
    await second.end();
  });

  it("MariaDB gives an empty database", { skip: mysql.skip }, async () => {
    await using place = await mysql.empty();
    const connection = await mariadb.createConnection(place);
    await connection.query("create table notes (id int)");
    const [rows] = await connection.query("show tables");
    await connection.end();
    assert.equal((rows as unknown[]).length, 1);
  });

  it("a proxy passes on, and cuts", { skip: postgres.skip }, async () => {
    await using place = await postgres.empty();
    await using proxy = await tcpProxy(place);
    const client = await connected({ ...place, port: proxy.port });
    assert.deepEqual((await client.query("select 1 as one")).rows, [{ one: 1 }]);
    const cut = assert.rejects(client.query("select pg_sleep(30)"));
    proxy.cut();
    await cut;
    assert.equal(proxy.connections, 0);
  });
});
