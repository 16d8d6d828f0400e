/** A server that takes a connection and hangs up at once, as a proxy does whose server is away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Database, type Driver } from "@uno/async/database";
import { world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

/** Connections that are lost in the moment they are there, so often. */
function hangingUp(server: FakeServer, times: number): Driver {
  const driver = fakeDriver(server);
  return {
    ...driver,
    maxSessions: undefined,
    async connect(options) {
      const connection = await driver.connect(options);
      if (server.connects > times) return connection;
      return Object.assign(connection, { onLost: (lost: () => void) => lost() });
    },
  };
}

test("Database connects again after a pause when the connection is lost as soon as it is there", () =>
  world(async (w) => {
    const server = new FakeServer();
    const backoff = { baseMs: 100, jitter: "none" } as const;
    await using db = new Database(hangingUp(server, 2), { max: 1, connect: { backoff } });
    await db.query("INSERT", ["a"]);
    assert.deepEqual([server.rows, server.connects], [["a"], 3]);
    assert.ok(w.now >= 200, `at ${w.now} ms`);
    assert.equal(db.statistics().connectFailed, 2);
  }));

test("Database counts such connections among the attempts that failed", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(hangingUp(server, Infinity), { max: 1, connect: { attempts: 2 } });
    await assert.rejects(db.query("SELECT"), /it was gone when it was made/);
    assert.deepEqual([server.connects, server.log], [2, []]);
  }));
