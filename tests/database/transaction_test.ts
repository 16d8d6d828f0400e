import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@uno/async/cancel";
import {
  ConnectionLostError,
  Database,
  type DatabaseError,
  MisuseError,
  RetryExhaustedError,
  TimeoutError,
  transaction,
  TransactionConflictError,
  TransactionDoomedError,
  type TransactionOptions,
} from "@uno/async/database";
import { sweep, world } from "@uno/async/testing";
import { observe } from "../../src/kernel/observer.ts";
import { fakeDriver, FakeServer, type Fault, type Statement } from "./_fake_driver.ts";

/** The nth statement with that text, from 1, has that fault. */
function faultAt(
  sql: string,
  which: number | ((time: number) => boolean),
  fault: Fault,
): (s: Statement) => Fault | undefined {
  let time = 0;
  return (statement) => {
    if (!statement.sql.startsWith(sql)) return undefined;
    time++;
    return (typeof which === "number" ? time === which : which(time)) ? fault : undefined;
  };
}

/** Whatever happened, this holds: nothing open, nothing outside of a transaction, nothing at once. */
function assertClean(server: FakeServer): void {
  assert.deepEqual(server.violations, []);
  assert.deepEqual(server.autocommitted, []);
  assert.deepEqual(server.transactions, 0);
}

test("transaction commits what its callback did, and gives what it returned", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const result = await transaction(db, async (tx) => {
      await tx.query("INSERT", ["a"]);
      assert.deepEqual(server.rows, []);
      assert.deepEqual(tx.attempt, 1);
      return 7;
    });
    assert.deepEqual(result, 7);
    assert.deepEqual(server.rows, ["a"]);
    assert.deepEqual(server.log, ["BEGIN", "INSERT", "COMMIT"]);
    assert.deepEqual(db.statistics().inUse, 0);
  }));

test("transaction rolls back when its callback throws, and throws that very error", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const error = new Error("changed my mind");
    const failed = transaction(db, async (tx) => {
      await tx.query("INSERT", ["a"]);
      throw error;
    });
    await assert.rejects(failed, (thrown) => thrown === error);
    await assert.rejects(
      transaction(db, () => {
        throw error;
      }),
      (thrown) => thrown === error,
    );
    assert.deepEqual(server.rows, []);
    assertClean(server);
    await transaction(db, (tx) => tx.query("INSERT", ["b"]));
    assert.deepEqual(server.rows, ["b"]);
  }));

test("transaction aborted at any await stores nothing that was not acknowledged, and the next one works", async () => {
  let server: FakeServer;
  let db: Database;
  let acknowledged: unknown[];
  const { points } = await sweep(async (signal) => {
    server = new FakeServer();
    db = new Database(fakeDriver(server));
    acknowledged = [];
    for (const value of ["first", "second"]) {
      await db.transaction(async (tx) => {
        await tx.query("INSERT", [value]);
        await tx.savepoint((savepoint) => savepoint.query("INSERT", [`inside ${value}`]));
        await sleep(1, { signal: tx.signal });
      }, { signal });
      acknowledged.push(value, `inside ${value}`);
    }
  }, async () => {
    await db.transaction((tx) => tx.query("INSERT", ["after"]));
    assertClean(server);
    assert.deepEqual(server.rows, [...acknowledged, "after"]);
    assert.deepEqual(db.statistics().inUse, 0);
    await db.close();
    assert.deepEqual(server.connections.size, 0);
  });
  assert.ok(points > 30, `${points} points`);
});

test("transaction aborted at any await of a callback that ignores it leaves nothing behind", async () => {
  let server: FakeServer;
  let db: Database;
  let committed: boolean;
  await sweep(async (signal) => {
    server = new FakeServer();
    db = new Database(fakeDriver(server));
    committed = false;
    await db.transaction(async (tx) => {
      for (const value of ["a", "b", "c"]) {
        try {
          await tx.query("INSERT", [value]);
        } catch {
          // A callback that minds nothing.
        }
      }
    }, { signal });
    committed = true;
  }, async () => {
    await sleep(50);
    assertClean(server);
    assert.deepEqual(server.rows, committed ? ["a", "b", "c"] : []);
    await db.close();
  });
});

test("transaction rejects with the reason of its signal, whatever it is", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    for (const reason of [new Error("enough"), "text", null]) {
      const before = server.log.length;
      await assert.rejects(
        db.transaction(() => assert.fail("called"), { signal: AbortSignal.abort(reason) }),
        (thrown) => thrown === reason,
      );
      assert.deepEqual(server.log.length, before);
      const controller = new AbortController();
      const inBody = db.transaction(async (tx) => {
        controller.abort(reason);
        await tx.query("INSERT", ["a"]);
      }, { signal: controller.signal });
      await assert.rejects(inBody, (thrown) => thrown === reason);
    }
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction does not heed its signal once COMMIT was sent", () =>
  world(async () => {
    const controller = new AbortController();
    const server = new FakeServer({
      fault: ({ sql }) => {
        if (sql === "COMMIT") controller.abort();
        return undefined;
      },
    });
    await using db = new Database(fakeDriver(server));
    await db.transaction((tx) => tx.query("INSERT", ["a"]), { signal: controller.signal });
    assert.deepEqual(server.rows, ["a"]);
  }));

test("transaction over its time limit is rolled back and says so, though its callback never ends", () =>
  world(async (w) => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const stuck = db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      await new Promise(() => {});
    }, { timeoutMs: 100, label: "import" });
    await assert.rejects(stuck, (error: TimeoutError) => {
      assert.ok(error instanceof TimeoutError);
      assert.deepEqual(error.message, "Cannot finish import within 100 ms: it was still running");
      return true;
    });
    assert.ok(w.now >= 100 && w.now < 110, `${w.now}`);
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction cancels the statement that runs when it is aborted, and waits for both sides", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("SELECT", 1, "hang") });
    await using db = new Database(fakeDriver(server));
    const limited = db.transaction((tx) => tx.query("SELECT"), { timeoutMs: 50 });
    await assert.rejects(limited, TimeoutError);
    assert.deepEqual(server.log, ["BEGIN", "SELECT", "ROLLBACK"]);
    assert.deepEqual(server.connects, 1);
    assertClean(server);
  }));

test("transaction destroys the connection of a statement that does not end when cancelled", () =>
  world(async (w) => {
    const server = new FakeServer({ fault: faultAt("SELECT", 1, "deaf") });
    await using db = new Database(fakeDriver(server), { cancelGraceMs: 200 });
    await assert.rejects(db.transaction((tx) => tx.query("SELECT"), { timeoutMs: 50 }), TimeoutError);
    assert.ok(w.now >= 250 && w.now < 260, `${w.now}`);
    assertClean(server);
    await db.transaction((tx) => tx.query("INSERT", ["a"]));
    assert.deepEqual([server.rows, server.connects], [["a"], 2]);
  }));

test("transaction refuses what its callback left behind, and sends COMMIT or ROLLBACK once", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("FAIL", 1, "fail") });
    await using db = new Database(fakeDriver(server));
    let late: Promise<unknown> | undefined;
    const failed = db.transaction(async (tx) => {
      const failing = tx.query("FAIL");
      const next = tx.query("INSERT", ["next"]);
      late = tx.query("INSERT", ["late"]);
      await Promise.all([failing, next, late]);
    });
    await assert.rejects(failed, { name: "DatabaseError", state: "42P01" });
    await assert.rejects(late!, { name: "TransactionClosedError" });
    assert.deepEqual(server.log, ["BEGIN", "FAIL", "INSERT", "ROLLBACK"]);
    assert.deepEqual(server.rows, []);
    server.log.length = 0;

    let detached: Promise<unknown> | undefined;
    const left = db.transaction(async (tx) => {
      void tx.query("INSERT", ["running"]);
      detached = tx.query("INSERT", ["queued"]);
      await Promise.resolve();
    });
    await assert.rejects(left, MisuseError);
    await assert.rejects(detached!, { name: "TransactionClosedError" });
    assert.deepEqual(server.log, ["BEGIN", "INSERT", "ROLLBACK"]);
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction tries again after a conflict, in a new transaction, without holding the session meanwhile", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("INSERT", (time) => time <= 2, "conflict") });
    await using db = new Database(fakeDriver(server));
    const attempts: number[] = [];
    const hooks: string[] = [];
    let heldWhilePausing = 0;
    await db.transaction(async (tx) => {
      attempts.push(tx.attempt);
      tx.afterCommit(() => hooks.push("committed"));
      tx.afterRollback(() => {
        hooks.push("rolled back");
        heldWhilePausing += db.statistics().inUse;
      });
      await tx.query("INSERT", ["a"]);
    });
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.deepEqual(hooks, ["rolled back", "rolled back", "committed"]);
    assert.deepEqual(heldWhilePausing, 0);
    assert.deepEqual(server.rows, ["a"]);
    assertClean(server);
  }));

test("transaction gives up after its attempts, with the failure of each", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("COMMIT", () => true, "conflict") });
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const failed = db.transaction((tx) => tx.query("INSERT", ["a"]), { retry: { attempts: 3 } });
    await assert.rejects(failed, (error: RetryExhaustedError) => {
      assert.ok(error instanceof RetryExhaustedError);
      assert.match(
        error.message,
        /^Cannot commit transaction on database "orders": all of its 3 attempts met a conflict, the last one: \S/,
      );
      assert.deepEqual([error.attempts, error.errors.length], [3, 3]);
      assert.ok(error.cause instanceof TransactionConflictError && error.cause.stage === "commit");
      return true;
    });
    await assert.rejects(
      db.transaction((tx) => tx.query("INSERT", ["a"]), { retry: false }),
      TransactionConflictError,
    );
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction does not pause past its deadline", () =>
  world(async (w) => {
    const server = new FakeServer({ fault: faultAt("COMMIT", () => true, "conflict") });
    await using db = new Database(fakeDriver(server));
    const failed = db.transaction((tx) => tx.query("INSERT", ["a"]), {
      retry: { attempts: Infinity },
      timeoutMs: 300,
    });
    await assert.rejects(failed, RetryExhaustedError);
    assert.ok(w.now < 300);
  }));

test("transaction tries again when its callback swallowed a conflict that ended it", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("INSERT", 1, "deadlock") });
    await using db = new Database(fakeDriver(server));
    await db.transaction(async (tx) => {
      try {
        await tx.query("INSERT", ["a"]);
      } catch {
        // Swallowed: the commit shows it.
      }
    });
    assert.deepEqual(server.log.filter((sql) => sql === "BEGIN").length, 2);
    assert.deepEqual(server.rows, ["a"]);
    assertClean(server);
  }));

test("transaction tries again for a conflict of its own only", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    let runs = 0;
    const foreign = new TransactionConflictError("Cannot do something else: a conflict", {
      dialect: "postgres",
      stage: "body",
      failure: "conflict",
    });
    await assert.rejects(
      db.transaction(() => {
        runs++;
        throw foreign;
      }),
      (error) => error === foreign,
    );
    assert.deepEqual(runs, 1);
  }));

test("transaction waits for a lock it needs to begin, which is no attempt, up to the database's limit", () =>
  world(async (w) => {
    const server = new FakeServer({ fault: faultAt("BEGIN", (time) => time <= 12 || time > 13, "conflict") });
    await using db = new Database(fakeDriver(server), { lockTimeoutMs: 3_000 });
    await db.transaction((tx) => Promise.resolve(assert.deepEqual(tx.attempt, 1)));
    const since = w.now;
    await assert.rejects(
      db.transaction(() => assert.fail("called")),
      (error: TransactionConflictError) =>
        error instanceof TransactionConflictError && error.stage === "begin",
    );
    assert.ok(w.now - since <= 3_000 && w.now - since > 2_000, `${w.now - since}`);
    assertClean(server);
  }));

test("transaction whose BEGIN fails gives the session back", async () => {
  await world(async () => {
    const server = new FakeServer({ fault: faultAt("BEGIN", 1, "fail") });
    await using db = new Database(fakeDriver(server));
    const failed = db.transaction(() => assert.fail("called"));
    await assert.rejects(failed, (error: DatabaseError) => error.stage === "begin");
    await db.transaction((tx) => tx.query("INSERT", ["a"]));
    assert.deepEqual(server.rows, ["a"]);
    assertClean(server);
  });
});

test("transaction takes another connection when its own is found lost at BEGIN, which is no attempt", async () => {
  for (const fault of ["lost", "lost answer"] as const) {
    await world(async () => {
      const server = new FakeServer({ fault: faultAt("BEGIN", 1, fault) });
      await using db = new Database(fakeDriver(server));
      const attempts = await db.transaction(async (tx) => {
        await tx.query("INSERT", ["a"]);
        return tx.attempt;
      }, { retry: false });
      assert.deepEqual(attempts, 1);
      assert.deepEqual(server.rows, ["a"]);
      assert.deepEqual(server.connects, 2);
      assertClean(server);
    });
  }
});

test("transaction validates its modes after it has the session, and gives that back", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const isolation = "serializable; drop table orders" as "serializable";
    await assert.rejects(db.transaction(() => assert.fail("called"), { isolation }), RangeError);
    assert.deepEqual(server.log, []);
    assert.deepEqual(db.statistics().inUse, 0);
  }));

test("transaction destroys the connection when a setting was made and BEGIN then failed", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("BEGIN", 1, "fail") });
    await using db = new Database(fakeDriver(server));
    await assert.rejects(db.transaction(() => assert.fail("called"), { readOnly: true }));
    await db.transaction((tx) => tx.query("INSERT", ["a"]));
    assert.deepEqual(server.connects, 2);
  }));

test("transaction throws the callback's error when the roll-back fails, and destroys the connection", async () => {
  for (const fault of ["fail", "lost", "hang"] as const) {
    await world(async () => {
      const server = new FakeServer({ fault: faultAt("ROLLBACK", 1, fault) });
      await using db = new Database(fakeDriver(server), { rollbackTimeoutMs: 500 });
      const error = new Error("mine");
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.query("INSERT", ["a"]);
          throw error;
        }),
        (thrown) => thrown === error,
      );
      assertClean(server);
      await db.transaction((tx) => tx.query("INSERT", ["b"]));
      assert.deepEqual([server.rows, server.connects], [["b"], 2]);
    });
  }
});

test("transaction whose connection is lost stores nothing and is not tried again", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("INSERT", 2, "lost") });
    await using db = new Database(fakeDriver(server));
    let runs = 0;
    await assert.rejects(
      db.transaction(async (tx) => {
        runs++;
        await tx.query("INSERT", ["a"]);
        await tx.query("INSERT", ["b"]);
      }),
      ConnectionLostError,
    );
    assert.deepEqual([runs, server.rows], [1, []]);
    await db.transaction((tx) => tx.query("INSERT", ["c"]));
    assert.deepEqual(server.rows, ["c"]);
    assertClean(server);
  }));

test("transaction whose callback swallows a lost connection is doomed", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("INSERT", 1, "lost") });
    await using db = new Database(fakeDriver(server));
    const failed = db.transaction(async (tx) => {
      await assert.rejects(tx.query("INSERT", ["a"]), ConnectionLostError);
    });
    await assert.rejects(failed, (error: TransactionDoomedError) => {
      assert.ok(error.cause instanceof ConnectionLostError);
      return error instanceof TransactionDoomedError;
    });
    assert.deepEqual(server.rows, []);
  }));

test("transaction that lost its connection runs again only when asked to", async () => {
  for (const at of ["INSERT", "idle"] as const) {
    await world(async () => {
      const server = new FakeServer({
        fault: at === "INSERT" ? faultAt("INSERT", (time) => time < 3, "lost") : undefined,
      });
      await using db = new Database(fakeDriver(server));
      const run = (retry?: TransactionOptions["retry"]): Promise<number> =>
        db.transaction(async (tx) => {
          if (at === "idle" && tx.attempt === 1) {
            for (const connection of server.connections) connection.lose();
          }
          await tx.query("INSERT", ["a"]);
          return tx.attempt;
        }, { retry });
      await assert.rejects(run(), ConnectionLostError);
      assert.deepEqual(server.rows, []);
      server.log.length = 0;
      assert.deepEqual(await run({ lostConnection: true }), 2);
      assert.deepEqual(server.rows, ["a"]);
    });
  }
});

test("transaction runs again after what retry.when says may pass", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("INSERT", 1, "fail") });
    await using db = new Database(fakeDriver(server));
    const seen: string[] = [];
    const attempt = await db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      return tx.attempt;
    }, { retry: { when: ({ failure }) => seen.push(failure) > 0 } });
    assert.deepEqual([attempt, seen, server.rows], [2, ["statement"], ["a"]]);
  }));

test("transaction's attemptTimeoutMs ends an attempt, not the wait for a session", () =>
  world(async (w) => {
    const server = new FakeServer({ latencyMs: 10 });
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const holder = await db.session();
    const waiting = db.transaction((tx) => tx.query("INSERT", ["a"]), { attemptTimeoutMs: 100 });
    await sleep(5_000);
    await holder[Symbol.asyncDispose]();
    await waiting;
    const since = w.now;
    const slow = db.transaction(async (tx) => {
      await tx.query("INSERT", ["b"]);
      await sleep(1_000, { signal: tx.signal });
    }, { attemptTimeoutMs: 100, label: "slow" });
    await assert.rejects(slow, { name: "TimeoutError", operation: "attempt 1 of slow", limitMs: 100 });
    assert.ok(w.now - since < 200);
    assert.deepEqual(server.rows, ["a"]);
  }));

test("transaction finds out by verifyCommit what became of an unanswered COMMIT", async () => {
  for (const outcome of ["committed", "aborted", "unknown"] as const) {
    await world(async () => {
      const fault = outcome === "aborted" ? "lost" : "lost answer";
      const server = new FakeServer({ fault: faultAt("COMMIT", 1, fault) });
      await using db = new Database(fakeDriver(server));
      const hooks: string[] = [];
      const asked: number[] = [];
      const done = db.transaction(async (tx) => {
        tx.afterCommit(() => hooks.push(`committed ${tx.attempt}`));
        tx.afterRollback(() => hooks.push(`rolled back ${tx.attempt}`));
        await tx.query("INSERT", ["a"]);
        return tx.attempt;
      }, {
        verifyCommit: async ({ attempt }) => {
          asked.push(attempt);
          await using session = await db.session();
          await session.query("SELECT");
          return outcome;
        },
      });
      if (outcome === "unknown") {
        await assert.rejects(done, { name: "CommitOutcomeUnknownError" });
        assert.deepEqual(hooks, []);
      } else if (outcome === "committed") {
        assert.deepEqual([await done, hooks], [1, ["committed 1"]]);
      } else {
        assert.deepEqual([await done, hooks], [2, ["rolled back 1", "committed 2"]]);
      }
      assert.deepEqual([server.rows, asked], [["a"], [1]]);
    });
  }
});

test("transaction refuses wrong options of retrying and verifying before it begins", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    for (
      const options of [
        { retry: { attempts: 0 } },
        { retry: { lostConnection: "yes" } },
        { retry: { when: true } },
        { retry: 5 },
        { verifyCommit: "yes" },
        { attemptTimeoutMs: -1 },
        { attemptTimeoutMs: NaN },
      ]
    ) {
      await assert.rejects(
        db.transaction(() => assert.fail("called"), options as TransactionOptions),
        (error: Error) => ["TypeError", "RangeError"].includes(error.name),
        JSON.stringify(options),
      );
    }
    assert.deepEqual(server.log, []);
  }));

test("transaction whose COMMIT gets no answer has an unknown outcome, and is never tried again", async () => {
  for (const [fault, stored] of [["lost", []], ["lost answer", ["a"]], ["deaf", []]] as const) {
    await world(async () => {
      const server = new FakeServer({ fault: faultAt("COMMIT", 1, fault) });
      await using db = new Database(fakeDriver(server));
      let runs = 0;
      const hooks: string[] = [];
      await assert.rejects(
        db.transaction(async (tx) => {
          runs++;
          tx.afterCommit(() => hooks.push("committed"));
          tx.afterRollback(() => hooks.push("rolled back"));
          await tx.query("INSERT", ["a"]);
        }, { commitTimeoutMs: 400 }),
        { name: "CommitOutcomeUnknownError", stage: "commit" },
      );
      assert.deepEqual([runs, server.rows, hooks], [1, [...stored], []]);
      assert.deepEqual(db.statistics(), { ...db.statistics(), open: 0, inUse: 0 });
    });
  }
});

test("transaction whose COMMIT is refused is rolled back", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("COMMIT", 1, "fail") });
    await using db = new Database(fakeDriver(server));
    await assert.rejects(db.transaction((tx) => tx.query("INSERT", ["a"])), { stage: "commit" });
    assert.deepEqual(server.log, ["BEGIN", "INSERT", "COMMIT", "ROLLBACK"]);
    assertClean(server);
  }));

test("transaction in PostgreSQL is doomed by a failure that its callback swallows", () =>
  world(async () => {
    const server = new FakeServer({ dialect: "postgres", fault: faultAt("FAIL", () => true, "fail") });
    await using db = new Database(fakeDriver(server));
    const failed = db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      await assert.rejects(tx.query("FAIL"));
      await assert.rejects(tx.query("INSERT", ["b"]), TransactionDoomedError);
    });
    await assert.rejects(failed, (error: TransactionDoomedError) => {
      assert.ok(error instanceof TransactionDoomedError);
      assert.deepEqual((error.cause as DatabaseError).state, "42P01");
      return true;
    });
    await db.transaction(async (tx) => {
      await tx.query("INSERT", ["outer"]);
      await assert.rejects(tx.savepoint((savepoint) => savepoint.query("FAIL")));
      await tx.query("INSERT", ["after"]);
    });
    assert.deepEqual(server.rows, ["outer", "after"]);
    assertClean(server);
  }));

test("transaction whose COMMIT is answered with ROLLBACK does not count as committed", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("COMMIT", 1, "rolled back") });
    await using db = new Database(fakeDriver(server));
    await assert.rejects(
      db.transaction((tx) => tx.query("INSERT", ["a"])),
      (error: TransactionDoomedError) => {
        assert.deepEqual(
          error.message,
          "Cannot commit transaction on database: the database rolled it back instead",
        );
        return error instanceof TransactionDoomedError;
      },
    );
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction whose callback leaves a statement running cancels that when it is rolled back", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("SELECT", 1, "hang") });
    await using db = new Database(fakeDriver(server));
    let left: Promise<unknown> | undefined;
    const failed = db.transaction(async (tx) => {
      left = tx.query("SELECT");
      left.catch(() => {});
      await sleep(10);
      throw new Error("mine");
    });
    await assert.rejects(failed, { message: "mine" });
    await assert.rejects(left!, { failure: "interrupted" });
    assert.deepEqual([server.log, server.connects], [["BEGIN", "SELECT", "ROLLBACK"], 1]);
    assertClean(server);
  }));

test("transaction with a statement left hanging is rolled back at once, and COMMIT is never sent", () =>
  world(async () => {
    const server = new FakeServer({ fault: faultAt("SELECT", 1, "hang") });
    await using db = new Database(fakeDriver(server));
    let left: Promise<unknown> | undefined;
    const failed = db.transaction(async (tx) => {
      await tx.query("INSERT", ["a"]);
      left = tx.query("SELECT");
      left.catch(() => {});
    }, { commitTimeoutMs: 100 });
    await assert.rejects(failed, MisuseError);
    await assert.rejects(left!, { failure: "interrupted" });
    await sleep(1_000);
    assert.deepEqual(server.log, ["BEGIN", "INSERT", "SELECT", "ROLLBACK"]);
    assert.deepEqual(server.rows, []);
    assertClean(server);
  }));

test("transaction refuses wrong arguments", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const fn = (): void => assert.fail("called");
    // deno-lint-ignore no-explicit-any
    const wrong = (...args: any[]) => (transaction as any)(...args) as Promise<unknown>;
    await assert.rejects(wrong({}, fn), TypeError);
    await assert.rejects(wrong(db, "fn"), TypeError);
    await assert.rejects(wrong(db, fn, null), TypeError);
    await assert.rejects(wrong(db, fn, { retry: true }), TypeError);
    await assert.rejects(wrong(db, fn, { retry: { attempts: 0 } }), RangeError);
    await assert.rejects(wrong(db, fn, { timeoutMs: -1 }), RangeError);
    await assert.rejects(wrong(db, fn, { commitTimeoutMs: Infinity }), RangeError);
    await db.transaction(async (tx) => {
      await assert.rejects(wrong(tx, fn), {
        name: "TypeError",
        message: /Cannot run transaction as on must be/,
      });
      await assert.rejects(tx.query(7 as unknown as string), TypeError);
      await assert.rejects(tx.query("INSERT", "a" as unknown as unknown[]), TypeError);
    });
    assert.deepEqual(server.connects, 1);
  }));

test("transaction inside a transaction on the same database waits for itself, to its limit, and says behind whom", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders", acquireTimeoutMs: 1_000 });
    const owner = {};
    await db.transaction(async () => {
      await assert.rejects(db.transaction(() => assert.fail("called")), (error: TimeoutError) => {
        assert.deepEqual(
          error.message,
          'Cannot lease from pool "orders" within 1000 ms: 1 of 1 in use, 1 waiting, longest lease 1001 ms by "outer"',
        );
        return error instanceof TimeoutError;
      });
      await assert.rejects(db.transaction(() => assert.fail("called"), { owner }), MisuseError);
    }, { label: "outer", owner });
    assertClean(server);
  }));

test("transaction holds its session by that name, unless it has a label of its own", () =>
  world(async () => {
    await using db = new Database(fakeDriver(new FakeServer()), { name: "orders" });
    const holder = async (): Promise<string | undefined> => {
      const error = await db.query("SELECT").then(() => undefined, (error: Error) => error);
      const [{ label } = {}] = db.sessions();
      assert.equal(
        error?.message.replace("30001", "30000"),
        `Cannot lease from pool "orders" within 30000 ms: 1 of 1 in use, 1 waiting, longest lease 30000 ms by "${label}"`,
      );
      return label;
    };
    assert.equal(await db.transaction(holder), "transaction");
    assert.equal(await db.transaction(holder, { retry: false }), "transaction");
    assert.equal(await db.transaction(holder, { label: "import" }), "import");
    await using _tx = await db.begin();
    assert.equal(await holder(), "transaction");
  }));

test("transaction gives the observer what can't be thrown: failing hooks, late failures", () =>
  world(async () => {
    const records: string[] = [];
    using _watching = observe({ record: ({ kind }) => records.push(kind) });
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    await db.transaction((tx) => {
      tx.afterCommit(() => {
        throw new Error("hook");
      });
    });
    await assert.rejects(
      db.transaction(async () => {
        await sleep(100);
        throw new Error("late");
      }, { timeoutMs: 50 }),
      TimeoutError,
    );
    await sleep(100);
    assert.ok(records.includes("hook.failed"));
    assert.ok(records.includes("late.failure"));
    assert.ok(records.includes("transaction.committed") && records.includes("transaction.rolled_back"));
  }));
