/** `tx.signal`: for other work that belongs to a transaction, which is to end when that has no future any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ClosedError, Deadline } from "@uno/async";
import { sleep } from "@uno/async/cancel";
import { ConnectionLostError, Database, SessionOperationGroup, type Transaction } from "@uno/async/database";
import { world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

const over = {
  name: "ClosedError",
  message: /^Cannot go on with session of database "orders": the database was/,
};

test("tx.signal is aborted when the database is closed and its grace is over, with and without a signal given", () =>
  world(async (w) => {
    const server = new FakeServer();
    const db = new Database({ ...fakeDriver(server), maxSessions: 3 }, { max: 3, name: "orders" });
    const given = new AbortController();
    const seen: unknown[] = [];
    const wait = async (tx: Transaction): Promise<void> => {
      await tx.query("INSERT", ["a"]);
      try {
        await sleep(60_000, { signal: tx.signal });
      } finally {
        seen.push(tx.signal.reason);
      }
    };
    const running = [
      assert.rejects(db.transaction(wait), over),
      assert.rejects(db.transaction((tx) => tx.savepoint(wait), { signal: given.signal }), over),
      assert.rejects(db.transaction(wait, { timeoutMs: 30_000 }), over),
    ];
    await sleep(10);
    const since = w.now;
    await db.close({ graceMs: 500 });
    await Promise.all(running);
    assert.equal(w.now - since, 500);
    for (const reason of seen as (DOMException & { cause: unknown })[]) {
      assert.equal(reason.name, "AbortError");
      assert.ok(reason.cause instanceof ClosedError);
    }
    assert.deepEqual([seen.length, server.rows, server.transactions], [3, [], 0]);
    assert.equal(given.signal.aborted, false);
  }));

test("tx.signal is aborted already when it is asked for only after the connection was taken away", () =>
  world(async () => {
    const db = new Database(fakeDriver(new FakeServer()), { name: "orders" });
    const running = db.transaction(async (tx) => {
      await sleep(100);
      await sleep(60_000, { signal: tx.signal });
    });
    const failed = assert.rejects(running, over);
    await sleep(10);
    await db.close({ graceMs: 0 });
    await failed;
  }));

test("tx.signal leaves a failure of the callback's own as it is", () =>
  world(async () => {
    const db = new Database(fakeDriver(new FakeServer()), { name: "orders" });
    const mine = new Error("mine");
    const running = db.transaction(async (tx) => {
      await sleep(60_000, { signal: tx.signal }).catch(() => {});
      throw mine;
    });
    const failed = assert.rejects(running, (error) => error === mine);
    await sleep(10);
    await db.close({ graceMs: 0 });
    await failed;
  }));

test("tx.signal of the guard form and of groups is aborted as well", () =>
  world(async () => {
    for (const protocol of ["independent", "together"] as const) {
      const db = new Database({ ...fakeDriver(new FakeServer()), maxSessions: 2 }, {
        max: 2,
        name: "orders",
      });
      const tx = await db.begin();
      const waiting = assert.rejects(sleep(60_000, { signal: tx.signal }), { name: "AbortError" });
      const group = assert.rejects(
        SessionOperationGroup.run(db, (group) => {
          group.spawn((tx) => sleep(60_000, { signal: tx.signal }));
        }, { protocol }),
        over,
      );
      await sleep(10);
      await db.close({ graceMs: 0 });
      await waiting;
      await group;
      await tx[Symbol.asyncDispose]();
    }
  }));

test("tx.signal is that of its limits while the database is open, and lets go of them at the end", () =>
  world(async (w) => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server));
    const controller = new AbortController();
    const reason = new Error("enough");
    let late: AbortSignal | undefined;
    const since = w.now;
    await db.transaction((tx) => {
      late = tx.signal;
      assert.equal(Deadline.of(tx.signal).remainingMs, since + 1_000 - w.now);
    }, { signal: controller.signal, timeoutMs: 1_000 });
    const aborted = db.transaction(async (tx) => {
      await sleep(60_000, { signal: tx.signal });
    }, { signal: controller.signal });
    const failed = assert.rejects(aborted, (error) => error === reason);
    await sleep(5);
    controller.abort(reason);
    await failed;
    assert.equal(late!.aborted, false);
    // Of the next one on the same connection it hears nothing.
    const tx = await db.begin();
    const { signal } = tx;
    await tx.commit();
    const next = await db.begin();
    await db.close({ graceMs: 0 });
    assert.equal(signal.aborted, false);
    assert.equal(next.signal.aborted, true);
    await next[Symbol.asyncDispose]();
  }));

const lost = {
  name: "ConnectionLostError",
  message: 'Cannot go on with session of database "orders": the connection was lost',
};

/** Has the only connection lost, as nothing runs on it. */
function lose(server: FakeServer): void {
  for (const connection of server.connections) connection.lose();
}

test("tx.signal is aborted when the connection is lost, with what was lost as its cause", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const given = new AbortController();
    for (const options of [{}, { signal: given.signal }, { timeoutMs: 30_000 }]) {
      const reasons: unknown[] = [];
      const running = db.transaction(async (tx) => {
        await tx.savepoint(async (savepoint) => {
          try {
            await sleep(60_000, { signal: savepoint.signal });
          } finally {
            reasons.push(savepoint.signal.reason, tx.signal.reason);
          }
        });
      }, options);
      const failed = assert.rejects(running, lost);
      await sleep(10);
      lose(server);
      await failed;
      const [reason, same] = reasons as (DOMException & { cause: unknown })[];
      assert.equal(reason, same);
      assert.equal(
        reason!.message,
        'Cannot go on in transaction on database "orders": its connection was lost',
      );
      assert.ok(reason!.cause instanceof ConnectionLostError);
    }
    assert.equal(given.signal.aborted, false);
  }));

test("tx.signal is aborted when a statement finds the connection lost, and when one does not end when it is aborted", () =>
  world(async () => {
    for (const fault of ["lost", "deaf"] as const) {
      const server = new FakeServer({ fault: ({ sql }) => sql === "INSERT" ? fault : undefined });
      await using db = new Database(fakeDriver(server), { name: "orders" });
      await assert.rejects(
        db.transaction(async (tx) => {
          const { signal } = tx;
          const beside = sleep(600_000, { signal });
          await assert.rejects(tx.query("INSERT", ["a"], { timeoutMs: 10 }));
          assert.equal(signal.aborted, true);
          await beside;
        }),
        lost,
      );
      assert.equal(server.transactions, 0);
    }
  }));

test("tx.signal: a lost connection has the transaction run again, where that is asked for", () =>
  world(async () => {
    const server = new FakeServer();
    await using db = new Database(fakeDriver(server), { name: "orders" });
    const attempts: number[] = [];
    const running = db.transaction(async (tx) => {
      attempts.push(tx.attempt);
      await tx.query("INSERT", [`row ${tx.attempt}`]);
      if (tx.attempt === 1) await sleep(60_000, { signal: tx.signal });
      return tx.attempt;
    }, { retry: { lostConnection: true } });
    await sleep(10);
    lose(server);
    assert.equal(await running, 2);
    assert.deepEqual([attempts, server.rows], [[1, 2], ["row 2"]]);
  }));

test("tx.signal is left alone by a connection that is lost while the transaction commits", () =>
  world(async () => {
    const server = new FakeServer({ fault: ({ sql }) => sql === "COMMIT" ? "lost answer" : undefined });
    await using db = new Database(fakeDriver(server), { name: "orders" });
    let signal: AbortSignal | undefined;
    await assert.rejects(
      db.transaction(async (tx) => {
        ({ signal } = tx);
        await tx.query("INSERT", ["a"]);
      }),
      { name: "CommitOutcomeUnknownError" },
    );
    assert.equal(signal!.aborted, false);
  }));
