import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Database,
  MisuseError,
  type Transaction,
  TransactionClosedError,
  TransactionConflictError,
  TransactionDoomedError,
} from "@uno/async/database";
import { sweep, world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

test("savepoint is taken back alone when its callback throws, and kept when it returns", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const error = new Error("inner");
    await db.transaction(async (tx) => {
      await tx.query("INSERT", ["before"]);
      const failed = tx.savepoint(async (savepoint) => {
        await savepoint.query("INSERT", ["lost"]);
        throw error;
      });
      await assert.rejects(failed, (thrown) => thrown === error);
      const value = await tx.savepoint(async (savepoint) => {
        await savepoint.query("INSERT", ["kept"]);
        await savepoint.savepoint(async (deeper) => {
          await deeper.query("INSERT", ["deep"]);
          await deeper.rollback();
        });
        return "value";
      });
      assert.deepEqual(value, "value");
      await tx.query("INSERT", ["after"]);
    });
    assert.deepEqual(server.rows, ["before", "kept", "after"]);
  }));

test("savepoint does not pile up over 10,000 of them", () =>
  world(async () => {
    const server = new FakeServer({ latencyMs: 0 });
    await using db = new Database(fakeDriver(server));
    await db.transaction(async (tx) => {
      for (let i = 0; i < 10_000; i++) {
        const savepoint = await tx.savepoint();
        if (i % 2 === 0) await savepoint.commit();
        else await savepoint.rollback();
      }
      const [connection] = server.connections;
      assert.deepEqual(connection!.savepoints, 0);
    });
    assert.deepEqual(new Set(server.log).size, 5);
  }));

test("savepoint left without commit is taken back", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    await db.transaction(async (tx) => {
      {
        await using savepoint = await tx.savepoint();
        await savepoint.query("INSERT", ["left"]);
      }
      {
        await using savepoint = await tx.savepoint();
        await savepoint.query("INSERT", ["kept"]);
        await savepoint.commit();
      }
    });
    assert.deepEqual(server.rows, ["kept"]);
  }));

test("savepoint is one at a time: beside it, neither another nor a statement nor the commit", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    await db.transaction(async (tx) => {
      const [first, second] = await Promise.allSettled([tx.savepoint(), tx.savepoint()]);
      assert.deepEqual(first.status, "fulfilled");
      assert.ok(second.status === "rejected" && second.reason instanceof MisuseError);
      await assert.rejects(tx.query("INSERT", ["beside"]), MisuseError);
      await assert.rejects(tx.commit(), (error: MisuseError) => {
        assert.deepEqual(
          error.message,
          "Cannot commit transaction on database: a savepoint in it is open, and has to be committed or rolled back first",
        );
        return error instanceof MisuseError;
      });
      const savepoint = (first as PromiseFulfilledResult<Transaction>).value;
      await savepoint.commit();
      await tx.query("INSERT", ["after"]);
    });
    assert.deepEqual(server.rows, ["after"]);
  }));

test("savepoint still open when the callback returns is an error, and all is rolled back", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    let savepoint: Transaction | undefined;
    const failed = db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      savepoint = await tx.savepoint();
    });
    await assert.rejects(failed, MisuseError);
    await assert.rejects(savepoint!.query("INSERT", ["late"]), TransactionClosedError);
    await assert.rejects(savepoint!.commit(), TransactionClosedError);
    assert.deepEqual([server.rows, server.autocommitted, server.transactions], [[], [], 0]);
  }));

test("savepoint is taken back together with the one around it", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const calls: string[] = [];
    await db.transaction(async (tx) => {
      const outer = await tx.savepoint();
      const inner = await outer.savepoint();
      inner.afterRollback(() => calls.push("inner rolled back"));
      await inner.query("INSERT", ["lost"]);
      await outer.rollback();
      await assert.rejects(inner.query("INSERT", ["late"]), TransactionClosedError);
      await tx.query("INSERT", ["after"]);
    });
    assert.deepEqual([server.rows, calls], [["after"], ["inner rolled back"]]);
  }));

test("savepoint that can't be taken back dooms the transaction", () =>
  world(async () => {
    const server = new FakeServer({
      fault: ({ sql }) => sql.startsWith("ROLLBACK TO") ? "fail" : undefined,
    });
    await using db = new Database(fakeDriver(server));
    const failed = db.transaction(async (tx) => {
      await tx.query("INSERT", ["before"]);
      await tx.savepoint((savepoint) => {
        void savepoint;
        throw new Error("inner");
      }).catch(() => {});
    });
    await assert.rejects(failed, TransactionDoomedError);
    assert.deepEqual(server.rows, []);
  }));

test("savepoint hit by a conflict that ends the whole does not try again inside", () =>
  world(async () => {
    let deadlocks = 0;
    const server = new FakeServer({
      fault: ({ sql }) => sql === "INSERT" && deadlocks++ === 0 ? "deadlock" : undefined,
    });
    await using db = new Database(fakeDriver(server));
    let inner = 0;
    await db.transaction(async (tx) => {
      await tx.savepoint(async (savepoint) => {
        inner++;
        await savepoint.query("INSERT", ["a"]);
      });
    });
    assert.deepEqual(inner, 2);
    assert.deepEqual(server.log, [
      "BEGIN",
      "SAVEPOINT uno_1",
      "INSERT",
      "BEGIN",
      "SAVEPOINT uno_1",
      "INSERT",
      "RELEASE SAVEPOINT uno_1",
      "COMMIT",
    ]);
    assert.deepEqual([server.rows, server.autocommitted], [["a"], []]);
  }));

test("savepoint aborted at any await leaves the transaction as a whole or not at all", async () => {
  let server: FakeServer;
  let db: Database;
  let done: boolean;
  await sweep(async (signal) => {
    server = new FakeServer();
    db = new Database(fakeDriver(server));
    done = false;
    await db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      await tx.savepoint(async (outer) => {
        await outer.query("INSERT", ["b"]);
        await outer.savepoint(async (inner) => {
          await inner.query("INSERT", ["c"]);
          throw new Error("inner");
        }).catch((error) => {
          if (error.message !== "inner") throw error;
        });
      });
    }, { signal });
    done = true;
  }, async () => {
    assert.deepEqual([server.violations, server.autocommitted, server.transactions], [[], [], 0]);
    assert.deepEqual(server.rows, done ? ["a", "b"] : []);
    await db.transaction((tx) => tx.query("INSERT", ["after"]));
    await db.close();
  });
});

test("afterCommit and afterRollback of a savepoint follow its own fate, after the session is back", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const calls: string[] = [];
    const hooks = (scope: Transaction, name: string): void => {
      scope.afterCommit(() => calls.push(`${name} committed, ${db.statistics().inUse} in use`));
      scope.afterRollback(() => calls.push(`${name} rolled back, ${db.statistics().inUse} in use`));
    };
    await db.transaction(async (tx) => {
      hooks(tx, "outer");
      await tx.savepoint((savepoint) => hooks(savepoint, "kept"));
      await tx.savepoint((savepoint) => {
        hooks(savepoint, "undone");
        return savepoint.rollback();
      });
      assert.deepEqual(calls, []);
    });
    assert.deepEqual(calls, [
      "undone rolled back, 0 in use",
      "outer committed, 0 in use",
      "kept committed, 0 in use",
    ]);
    calls.length = 0;
    await db.transaction(async (tx) => {
      hooks(tx, "outer");
      await tx.savepoint((savepoint) => hooks(savepoint, "kept"));
      await tx.rollback();
      assert.throws(() => tx.afterCommit(() => {}), TransactionClosedError);
    });
    assert.deepEqual(calls, ["outer rolled back, 0 in use", "kept rolled back, 0 in use"]);
  }));

test("commit and rollback inside the callback end the transaction there, once", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const value = await db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      await tx.commit();
      await assert.rejects(tx.commit(), {
        name: "TransactionClosedError",
        message: "Cannot commit transaction on database: it is committed",
      });
      await assert.rejects(tx.rollback(), TransactionClosedError);
      await assert.rejects(tx.query("INSERT", ["b"]), TransactionClosedError);
      await assert.rejects(tx.savepoint(), TransactionClosedError);
      return 1;
    });
    await db.transaction(async (tx) => {
      await tx.query("INSERT", ["c"]);
      await tx.rollback();
      await assert.rejects(tx.query("INSERT", ["d"]), TransactionClosedError);
    });
    await db.transaction(async (tx) => {
      await tx.query("INSERT", ["e"]);
      void tx.commit();
    });
    assert.deepEqual([value, server.rows, server.autocommitted], [1, ["a", "e"], []]);
    assert.deepEqual(server.log.filter((sql) => sql === "COMMIT").length, 2);
  }));

test("a transaction that committed inside its callback is not run again for what comes after", () =>
  world(async () => {
    const server = new FakeServer({ fault: ({ nth }) => nth === 1 ? "conflict" : undefined });
    await using db = new Database(fakeDriver(server));
    let runs = 0;
    const failed = db.transaction(async (tx) => {
      runs++;
      const conflict = await tx.query("INSERT", ["a"]).catch((error) => error);
      await tx.commit();
      throw conflict;
    });
    await assert.rejects(failed, TransactionConflictError);
    assert.deepEqual(runs, 1);
  }));

test("begin gives a transaction that is kept by commit alone", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    {
      await using tx = await db.begin();
      await tx.query("INSERT", ["kept"]);
      await tx.commit();
      await assert.rejects(tx.commit(), TransactionClosedError);
    }
    {
      await using tx = await db.begin();
      await tx.query("INSERT", ["left"]);
    }
    const error = new Error("mine");
    await assert.rejects(async () => {
      await using tx = await db.begin();
      await tx.query("INSERT", ["thrown"]);
      throw error;
    }, (thrown) => thrown === error);
    const twice = await db.begin();
    await twice[Symbol.asyncDispose]();
    await twice[Symbol.asyncDispose]();
    assert.deepEqual(server.rows, ["kept"]);
    assert.deepEqual(db.statistics().inUse, 0);
  }));

test("begin's signal and limit end the transaction: nothing more runs, and commit rolls back", () =>
  world(async (w) => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const controller = new AbortController();
    await using tx = await db.begin({ signal: controller.signal });
    await tx.query("INSERT", ["a"]);
    controller.abort("enough");
    await assert.rejects(tx.query("INSERT", ["b"]), (reason) => reason === "enough");
    await assert.rejects(tx.commit(), (reason) => reason === "enough");
    assert.deepEqual(db.statistics().inUse, 0);
    await using limited = await db.begin({ timeoutMs: 100 });
    await w.advance(200);
    await assert.rejects(limited.commit(), { name: "TimeoutError" });
    await assert.rejects(db.begin({ timeoutMs: 0 }), { name: "TimeoutError" });
    assert.deepEqual(server.rows, []);
  }));

test("begin aborted at any await leaves no transaction behind", async () => {
  let server: FakeServer;
  let db: Database;
  await sweep(async (signal) => {
    server = new FakeServer();
    db = new Database(fakeDriver(server));
    await using tx = await db.begin({ signal, timeoutMs: 1_000 });
    await tx.query("INSERT", ["a"]);
  }, async () => {
    assert.deepEqual([server.violations, server.transactions, server.rows], [[], 0, []]);
    assert.deepEqual(db.statistics().inUse, 0);
    await db.close();
  });
});

test("Transaction refuses hooks and savepoint callbacks that are no functions", () =>
  world(async () => {
    await using db = new Database(fakeDriver(new FakeServer()));
    await db.transaction(async (tx) => {
      for (const wrong of [null, 5, {}] as unknown as (() => void)[]) {
        assert.throws(() => tx.afterCommit(wrong), TypeError);
        assert.throws(() => tx.afterRollback(wrong), TypeError);
        await assert.rejects(tx.savepoint(wrong), {
          name: "TypeError",
          message: /^Cannot open savepoint as fn must be a function: received/,
        });
      }
    });
  }));

test("savepoint hands on any number of hooks", () =>
  world(async () => {
    await using db = new Database(fakeDriver(new FakeServer()));
    let called = 0;
    await db.transaction(async (tx) => {
      tx.afterCommit(() => called++);
      await tx.savepoint((savepoint) => {
        for (let i = 0; i < 200_000; i++) savepoint.afterCommit(() => called++);
      });
    });
    assert.equal(called, 200_001);
  }));
