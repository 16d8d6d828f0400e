// Uses something from behind each door of the installed package; prints the name of the door, or what went wrong.
// JavaScript, as a project without any build step would write it: run as a process by doors_test.ts.
import assert from "node:assert/strict";
import process from "node:process";

/** What to do with the module behind each door. */
const uses = {
  async "@uno/async"({ AsyncLock, TaskGroup }) {
    const lock = new AsyncLock();
    const sum = await TaskGroup.run(async (group) => {
      const one = group.spawn(async () => {
        const lease = await lock.acquire();
        lease.release();
        return 1;
      });
      return await one + 1;
    });
    assert.equal(sum, 2);
    assert.notEqual(lock.tryAcquire(), undefined);
  },
  async "@uno/async/cancel"({ sleep, timeout, TimeoutError }) {
    await assert.rejects(timeout(1, ({ signal }) => sleep(60_000, { signal })), TimeoutError);
  },
  async "@uno/async/sync"({ Channel }) {
    const channel = new Channel({ capacity: 2 });
    await channel.send("a");
    channel.close();
    const received = [];
    for await (const item of channel) received.push(item);
    assert.deepEqual(received, ["a"]);
  },
  async "@uno/async/task"({ runTasks }) {
    assert.deepEqual(await runTasks([async () => await 1, () => 2]), [1, 2]);
  },
  async "@uno/async/flow"({ Limiter, retry }) {
    const limiter = new Limiter({ limit: 1 });
    let calls = 0;
    const flaky = () => {
      if (++calls < 3) throw new Error("not yet");
      return limiter.run(() => calls);
    };
    assert.equal(await retry(flaky, { attempts: 3, baseMs: 0 }), 3);
  },
  async "@uno/async/resource"({ AsyncExitStack }) {
    const log = [];
    await AsyncExitStack.run((stack) => {
      stack.callback(() => log.push("first in"));
      stack.callback(() => log.push("last in"));
    });
    assert.deepEqual(log, ["last in", "first in"]);
  },
  async "@uno/async/app"({ runApplication }) {
    let closed = false;
    const { code } = await runApplication(async (app) => {
      await app.use("db", () => ({ [Symbol.dispose]: () => void (closed = true) }));
      await app.start();
    });
    assert.deepEqual([code, closed], [0, true]);
  },
  "@uno/async/database"({ Database, DatabaseError }) {
    assert.equal(typeof Database, "function");
    assert.ok(DatabaseError.prototype instanceof Error);
  },
  async "@uno/async/database/sqlite"({ sqliteDriver }) {
    const { Database } = await import("@uno/async/database");
    const db = new Database(sqliteDriver({ file: ":memory:" }));
    try {
      const { rows } = await db.transaction((tx) => tx.query("select 1 + 1 as sum"));
      assert.equal(rows[0].sum, 2);
    } finally {
      await db[Symbol.asyncDispose]();
    }
  },
  "@uno/async/database/bun-sql"({ bunSqlDriver }) {
    const driver = bunSqlDriver({ hostname: "localhost", database: "shop" });
    assert.deepEqual([driver.target, driver.begin({ readOnly: true })], ["localhost/shop", [
      "BEGIN READ ONLY",
    ]]);
  },
  "@uno/async/database/mysql2"({ mysql2Driver }) {
    const driver = mysql2Driver({ createConnection() {} }, { host: "localhost", database: "shop" });
    const deadlock = Object.assign(new Error("Deadlock found"), { errno: 1213, sqlState: "40001" });
    assert.deepEqual(driver.classify(deadlock), {
      kind: "conflict",
      state: "40001",
      lost: false,
      txGone: true,
    });
  },
  "@uno/async/database/pg"({ pgDriver }) {
    const driver = pgDriver({ Client: class {} }, { host: "localhost", database: "shop" });
    const conflict = Object.assign(new Error("could not serialize"), { severity: "ERROR", code: "40001" });
    assert.equal(driver.classify(conflict).kind, "conflict");
  },
  "@uno/async/database/pglite"({ pgliteDriver }) {
    const driver = pgliteDriver(class {}, { dataDir: "./data" });
    assert.deepEqual([driver.target, driver.maxSessions], ["./data", 1]);
  },
  "@uno/async/database/postgres-js"({ postgresJsDriver }) {
    const driver = postgresJsDriver(() => {}, { host: "localhost", database: "shop" });
    assert.deepEqual(driver.begin({ isolation: "serializable" }), ["BEGIN ISOLATION LEVEL SERIALIZABLE"]);
  },
  async "@uno/async/decorate"({ cached, concurrentLimited }) {
    let calls = 0;
    const square = cached()(concurrentLimited({ limit: 1 })(async (n) => (calls++, await (n * n))));
    assert.deepEqual(await Promise.all([square(3), square(3), square(4)]), [9, 9, 16]);
    assert.equal(calls, 2);
  },
  async "@uno/async/testing"({ world }) {
    const { sleep } = await import("@uno/async/cancel");
    await world(async (w) => {
      await sleep(3_600_000);
      assert.equal(w.now, 3_600_000);
    });
  },
};

for (const door of process.argv.slice(2)) {
  try {
    // Importing comes before looking for a use: a door must open on every runtime, whatever can be used there.
    const module = await import(door);
    if (uses[door] === undefined) throw new Error(`Cannot use ${door}: no use of it is written down`);
    await uses[door](module);
    console.log(JSON.stringify({ door }));
  } catch (error) {
    console.log(JSON.stringify({ door, error: String(error) }));
  }
}
