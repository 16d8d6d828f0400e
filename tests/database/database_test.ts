import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@uno/async/cancel";
import {
  ClosedError,
  ConnectFailedError,
  Database,
  type Driver,
  type Sql,
  sql,
  TimeoutError,
} from "@uno/async/database";
import { PoolTimeoutError } from "@uno/async/resource";
import { sweep, world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

test("Database connects when first needed, and keeps the connection", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    assert.deepEqual([db.name, server.connects], ["orders", 0]);
    for (let i = 0; i < 3; i++) {
      await using session = await db.session();
      await session.query("SELECT");
    }
    assert.deepEqual(server.connects, 1);
    assert.deepEqual(db.statistics(), {
      open: 1,
      idle: 1,
      inUse: 0,
      waiting: 0,
      granted: 3,
      aborted: 0,
      timedOut: 0,
      closed: false,
      connecting: 0,
      connected: 1,
      connectFailed: 0,
      refused: 0,
      leaked: 0,
    });
  }));

test("Database gives out one session at a time, first come, first served", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const order: number[] = [];
    let inUse = 0;
    await Promise.all(Array.from({ length: 5 }, async (_, i) => {
      await using session = await db.session();
      assert.deepEqual(++inUse, 1);
      await session.query("SELECT");
      order.push(i);
      inUse--;
    }));
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
    assert.deepEqual(server.violations, []);
  }));

test("Database passes a session on when a waiter is aborted in the same turn as it is handed over", () =>
  world(async () => {
    const db = new Database(fakeDriver(new FakeServer()));
    const first = await db.session();
    const controller = new AbortController();
    const second = db.session({ signal: controller.signal });
    const third = db.session();
    await Promise.all([
      first[Symbol.asyncDispose](),
      controller.abort("gone"),
    ]);
    const [a, b] = await Promise.allSettled([second, third].map(async (session) => {
      await using _session = await session;
    }));
    assert.deepEqual(a!.status, "fulfilled", "an abort after the grant is ignored");
    assert.deepEqual(b!.status, "fulfilled");
    await db.close();
  }));

test("Database aborted at any await of a session gives it to the next", async () => {
  let server: FakeServer;
  let db: Database;
  await sweep(async (signal) => {
    server = new FakeServer();
    db = new Database(fakeDriver(server));
    await Promise.all([1, 2].map(async (ms) => {
      await using session = await db.session({ signal });
      await session.query("SELECT", [], { signal });
      await sleep(ms, { signal });
    }));
  }, async () => {
    {
      await using session = await db.session();
      await session.query("SELECT");
    }
    assert.deepEqual([db.statistics().inUse, server.connections.size], [0, 1]);
    await db.close();
    assert.deepEqual(server.connections.size, 0);
  });
});

test("Database does not lose a connection whose caller gave up while it was opened", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const controller = new AbortController();
    const session = db.session({ signal: controller.signal });
    controller.abort("gone");
    await assert.rejects(session, (reason) => reason === "gone");
    await using _next = await db.session();
    assert.deepEqual(server.connects, 1);
  }));

test("Database tries again to connect when that may help, as often or as long as it may", () =>
  world(async (w) => {
    const server = new FakeServer({
      refuse: (attempt) => attempt <= 3 ? { kind: "conflict" } : undefined,
    });
    await using db = new Database(fakeDriver(server));
    await using _session = await db.session();
    assert.deepEqual(server.connects, 4);

    const down = new FakeServer({ refuse: () => ({ kind: "connection", lost: true }) });
    await using unreachable = new Database(fakeDriver(down), { name: "orders", connect: { attempts: 4 } });
    await assert.rejects(unreachable.session(), (error: ConnectFailedError) => {
      assert.ok(error instanceof ConnectFailedError);
      assert.deepEqual(error.message, 'Cannot connect to database "orders": connection refused');
      assert.deepEqual([error.attempts, error.stage, down.connects], [4, "connect", 4]);
      return true;
    });
    assert.deepEqual(unreachable.statistics().inUse, 0);

    const gone = new FakeServer({ refuse: () => ({ kind: "connection", lost: true }) });
    await using patient = new Database(fakeDriver(gone), { name: "orders" });
    const since = w.now;
    await assert.rejects(patient.session({ timeoutMs: 3_000 }), (error: PoolTimeoutError) => {
      assert.ok(error instanceof PoolTimeoutError);
      assert.ok(error.cause instanceof ConnectFailedError);
      return true;
    });
    assert.deepEqual(w.now - since, 3_000);
    assert.ok(gone.connects > 2 && gone.connects < 40, `${gone.connects} attempts`);
  }));

test("Database fails at once when trying again to connect can't help", () =>
  world(async () => {
    const server = new FakeServer({ refuse: () => ({ kind: "access" }) });
    await using db = new Database(fakeDriver(server));
    await assert.rejects(db.session(), { name: "ConnectFailedError", attempts: 1, failure: "access" });
  }));

test("Database connects anew after the connection was lost while nobody used it", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    await db.transaction((tx) => tx.query("INSERT", ["a"]));
    for (const connection of server.connections) connection.lose();
    await db.transaction((tx) => tx.query("INSERT", ["b"]));
    assert.deepEqual([server.rows, server.connects], [["a", "b"], 2]);
  }));

test("session is refused after it was given back, statements that wait for their turn included", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const session = await db.session();
    const running = session.query("SELECT");
    const queued = session.query("INSERT", ["late"]);
    const ended = Promise.allSettled([running, queued]);
    await session[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    assert.deepEqual((await ended).map(({ status }) => status), ["fulfilled", "rejected"]);
    await assert.rejects(session.query("SELECT"), (error: ClosedError) => {
      assert.deepEqual(
        error.message,
        'Cannot query database "orders": the session was given back before',
      );
      return error instanceof ClosedError;
    });
    assert.deepEqual([server.rows, server.violations], [[], []]);
  }));

test("session is rolled back when it is given back with an open transaction", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    {
      await using session = await db.session();
      await session.query("BEGIN");
      await session.query("INSERT", ["a"]);
    }
    assert.deepEqual([server.transactions, server.rows, server.connects], [0, [], 1]);
    await db.transaction((tx) => tx.query("INSERT", ["b"]));
    assert.deepEqual([server.rows, server.connects], [["b"], 1]);
  }));

test("session is destroyed when nobody can tell whether a transaction is open in it", () =>
  world(async () => {
    const server = new FakeServer({ tellsState: false });
    await using db = new Database(fakeDriver(server));
    await db.transaction((tx) => tx.query("INSERT", ["a"]));
    await db.transaction((tx) => tx.query("INSERT", ["b"]));
    assert.deepEqual(server.connects, 1);
    {
      await using session = await db.session();
      await session.query("BEGIN");
    }
    assert.deepEqual([server.transactions, server.connections.size], [0, 0]);
    await db.transaction((tx) => tx.query("INSERT", ["c"]));
    assert.deepEqual([server.rows, server.connects], [["a", "b", "c"], 2]);
  }));

test("a time limit says what was waited for, and who was in the way, however many layers are in between", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders", max: 1 });
    await using _held = await db.session({ label: "report" });
    const waited = 'it was still waiting to lease from pool "orders": 1 of 1 in use, 1 waiting, ' +
      'longest lease 50 ms by "report"';
    const limits = { timeoutMs: 50 };
    const message = `Cannot finish query on database "orders" within 50 ms: ${waited}`;
    await assert.rejects(db.query("SELECT", [], limits), { message });
    const transaction = db.transaction((tx) => tx.query("SELECT"), limits);
    const longer = waited.replace("50 ms", "100 ms");
    await assert.rejects(transaction, {
      message: `Cannot finish transaction on database "orders" within 50 ms: ${longer}`,
    });
  }));

test("session's statement heeds its own signal and limit, before its turn and while it runs", () =>
  world(async () => {
    const server = new FakeServer({ fault: ({ sql }) => sql === "HANG" ? "hang" : undefined });
    await using db = new Database(fakeDriver(server), { name: "orders" });
    await using session = await db.session();
    const controller = new AbortController();
    const early = session.query("INSERT", ["a"], { signal: AbortSignal.abort("early") });
    await assert.rejects(early, (reason) => reason === "early");
    const running = session.query("SELECT");
    const queued = session.query("INSERT", ["a"], { signal: controller.signal });
    controller.abort("gone");
    await assert.rejects(queued, (reason) => reason === "gone");
    await running;
    await assert.rejects(session.query("HANG", [], { timeoutMs: 50 }), (error: TimeoutError) => {
      assert.deepEqual(
        error.message,
        'Cannot finish query on database "orders" within 50 ms: it was still running',
      );
      return error instanceof TimeoutError;
    });
    await session.query("SELECT");
    assert.deepEqual(server.log, ["SELECT", "HANG", "SELECT"]);
    assert.deepEqual([server.violations, server.connects], [[], 1]);
  }));

test("session's statement is cancelled again as long as it has not ended, and never beyond", () =>
  world(async () => {
    const server = new FakeServer({ fault: ({ sql }) => sql === "HANG" ? "hang" : undefined });
    let requests = 0;
    const driver: Driver = {
      ...fakeDriver(server),
      async connect(options) {
        const connection = await server.driver.connect(options);
        const cancel = connection.cancel!.bind(connection);
        connection.cancel = async () => {
          requests++;
          // The first gets there before the statement, the second not at all.
          if (requests === 2) throw new Error("no line");
          if (requests > 2) await cancel();
        };
        return connection;
      },
    };
    await using db = new Database(driver);
    await using session = await db.session();
    const hanging = session.query("HANG", [], { timeoutMs: 20 });
    await assert.rejects(hanging, TimeoutError);
    await sleep(2_000);
    await session.query("SELECT");
    assert.deepEqual([requests, server.connects, server.violations], [3, 1, []]);
  }));

test("close waits for the session in use, refuses new ones, and sends waiters away", () =>
  world(async () => {
    const server = new FakeServer();
    const db = new Database(fakeDriver(server), { name: "orders" });
    const session = await db.session();
    const waiting = assert.rejects(db.session(), {
      name: "ClosedError",
      message: 'Cannot take session of database "orders": it is closed',
    });
    const closed = db.close();
    assert.deepEqual(db.closed, true);
    await waiting;
    await assert.rejects(db.transaction(() => assert.fail("called")), {
      name: "ClosedError",
      message: 'Cannot take session of database "orders": it is closed',
    });
    await session.query("INSERT", ["a"]);
    await session[Symbol.asyncDispose]();
    assert.deepEqual(await closed, { stragglers: [], errors: [] });
    assert.deepEqual(await db.close(), { stragglers: [], errors: [] });
    await db[Symbol.asyncDispose]();
    assert.deepEqual([server.rows, server.connections.size], [["a"], 0]);
  }));

test("close takes the connection from who still has it after the grace, and names them", () =>
  world(async (w) => {
    const server = new FakeServer({ fault: ({ sql }) => sql === "HANG" ? "deaf" : undefined });
    const db = new Database(fakeDriver(server));
    const stuck = db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      await tx.query("HANG");
    }, { label: "import" });
    const over = "Cannot go on with session of database: the database was closed, and the grace is over";
    const failed = assert.rejects(stuck, { name: "ClosedError", message: over });
    await sleep(10);
    const since = w.now;
    assert.deepEqual(await db.close({ graceMs: 500 }), { stragglers: ["import"], errors: [] });
    assert.deepEqual(w.now - since, 500);
    await failed;
    assert.deepEqual([server.rows, server.connections.size, server.transactions], [[], 0, 0]);
  }));

test("close tells the statements of a session that was taken away, and leaves open what became of a COMMIT", () =>
  world(async () => {
    const server = new FakeServer({
      fault: ({ sql }) => sql === "HANG" || sql === "COMMIT" ? "deaf" : undefined,
    });
    const db = new Database({ ...fakeDriver(server), maxSessions: 2 }, { max: 2 });
    const session = await db.session();
    const running = assert.rejects(session.query("HANG"), ClosedError);
    const committing = assert.rejects(db.transaction((tx) => tx.query("INSERT", ["a"])), {
      name: "CommitOutcomeUnknownError",
    });
    await sleep(10);
    await db.close({ graceMs: 0 });
    await running;
    await committing;
    await assert.rejects(session.query("SELECT"), ClosedError);
    await session[Symbol.asyncDispose]();
  }));

test("close ends a connection that comes about later, from a driver that does not heed its signal", () =>
  world(async () => {
    const server = new FakeServer();
    const driver = fakeDriver(server);
    const deaf: Driver = {
      ...driver,
      async connect() {
        await sleep(5_000);
        return await driver.connect({ signal: new AbortController().signal });
      },
    };
    const db = new Database(deaf, { cancelGraceMs: 100 });
    const refused = assert.rejects(db.session(), ClosedError);
    await sleep(1);
    assert.deepEqual(await db.close({ graceMs: 50 }), { stragglers: [], errors: [] });
    await refused;
    await sleep(6_000);
    assert.deepEqual([server.connects, server.connections.size], [1, 0]);
  }));

test("Database names the holder that a session was handed over to", () =>
  world(async () => {
    await using db = new Database(fakeDriver(new FakeServer()));
    const first = await db.session({ label: "first" });
    const second = db.session({ label: "second" });
    const third = assert.rejects(
      db.session({ timeoutMs: 100 }),
      /1 of 1 in use, 1 waiting, longest lease 9\d ms by "second"/,
    );
    await sleep(5);
    await first[Symbol.asyncDispose]();
    await using _second = await second;
    await third;
    assert.deepEqual(db.statistics().timedOut, 1);
  }));

test("close ends a connection that is being opened, and one that never was", async () => {
  await world(async () => {
    const server = new FakeServer();
    const db = new Database(fakeDriver(server));
    const controller = new AbortController();
    const session = db.session({ signal: controller.signal });
    controller.abort("gone");
    await assert.rejects(session);
    await db.close();
    await sleep(10);
    assert.deepEqual(server.connections.size, 0);
  });
  await world(async () => {
    await new Database(fakeDriver(new FakeServer())).close();
  });
});

test("Database refuses wrong options when it is created", () => {
  const driver = fakeDriver(new FakeServer());
  assert.throws(() => new Database({} as Driver), {
    name: "TypeError",
    message: "Cannot create database as driver must be a driver: received an object",
  });
  assert.throws(() => new Database(driver, { acquireTimeoutMs: -1 }), RangeError);
  assert.throws(() => new Database(driver, { rollbackTimeoutMs: Infinity }), {
    name: "RangeError",
    message: "Cannot create database as rollbackTimeoutMs must be finite: received Infinity",
  });
  assert.throws(() => new Database(driver, { name: 7 as unknown as string }), TypeError);
  assert.throws(() => new Database(driver).close({ graceMs: NaN }), RangeError);
});

test("session rejects once for options that can't be read", () =>
  world(async () => {
    await using db = new Database(fakeDriver(new FakeServer()));
    const options = {
      get signal(): AbortSignal {
        throw new Error("from the getter");
      },
    };
    await assert.rejects(db.session(options), { message: "from the getter" });
    assert.deepEqual(db.statistics().inUse, 0);
  }));

test("Database.query refuses the begin and end of a transaction, which it could give to any session", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const refused: (string | Sql)[] = [
      "begin",
      "BEGIN IMMEDIATE",
      " start  transaction read only;",
      "commit",
      "end",
    ];
    refused.push(
      "-- done\nCOMMIT ;",
      "/* no */ rollback",
      "rollback to a",
      "release a",
      sql`savepoint ${sql.id("a")}`,
    );
    for (const statement of refused) {
      await assert.rejects(db.query(statement), {
        name: "MisuseError",
        message: /^Cannot query database "orders" as .* use db\.transaction\(\), or a db\.session\(\)$/,
      });
    }
    const rows = db.stream("begin");
    await assert.rejects(async () => {
      for await (const _ of rows) assert.fail("a row");
    }, /^MisuseError: Cannot stream from database "orders" as .* use db\.transaction\(\)/);
    assert.deepEqual([server.log, db.statistics().granted], [[], 0]);
    const allowed: (string | Sql)[] = [
      "commit prepared 'a'",
      "rollback PREPARED 'a'",
      "begin not atomic select 1; end",
    ];
    allowed.push(
      "begin; INSERT; commit",
      "start replica",
      "released",
      "SELECT 'begin'",
      sql`${sql`SELECT`} begin`,
    );
    for (const statement of allowed) await db.query(statement);
    await using session = await db.session();
    await session.query("BEGIN");
    await session.query("COMMIT");
  }));
