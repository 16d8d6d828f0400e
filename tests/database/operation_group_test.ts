import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, it } from "node:test";
import { sleep } from "@uno/async/cancel";
import {
  Database,
  type OperationGroupOptions,
  PartialCommitError,
  SessionOperationGroup,
  TimeoutError,
  type Transaction,
  type TwoPhase,
} from "@uno/async/database";
import { sweep, world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

const insert = (value: string) => (tx: Transaction): Promise<unknown> => tx.query("INSERT", [value]);

function twoServers(options: ConstructorParameters<typeof FakeServer>[0] = {}): {
  a: FakeServer;
  b: FakeServer;
  dbs: [Database, Database];
} {
  const [a, b] = [new FakeServer(), new FakeServer(options)];
  return { a, b, dbs: [new Database(fakeDriver(a)), new Database(fakeDriver(b))] };
}

/** What a driver needs to be taken for one that can prepare transactions. */
const twoPhase: TwoPhase = {
  prepare: () => ["PREPARE"],
  commit: () => "COMMIT PREPARED",
  rollback: () => "ROLLBACK PREPARED",
  list: "LIST",
  isMissing: () => false,
};

describe("SessionOperationGroup", () => {
  it("commits all, in the order they were started, when all operations have returned", async () => {
    for (const protocol of ["independent", "together"] as const) {
      await world(async () => {
        const { a, b, dbs: [orders, stock] } = twoServers();
        const value = await SessionOperationGroup.run(orders, async (group) => {
          const first = group.spawn(insert("order"));
          group.spawn(insert("stock"), { on: stock });
          await first;
          if (protocol === "together") {
            assert.deepEqual([a.rows, b.rows], [[], []], "nothing is committed before");
          }
          return 5;
        }, { protocol });
        assert.deepEqual([value, a.rows, b.rows], [5, ["order"], ["stock"]]);
        await Promise.all([orders.close(), stock.close()]);
      });
    }
  });

  it("two phases are refused at once where the database has none", () =>
    world(async () => {
      const { a, b, dbs: [orders, stock] } = twoServers();
      const group = SessionOperationGroup.run(orders, (group) => {
        group.spawn(insert("order"), { name: "order" });
        group.spawn(insert("stock"), { on: stock });
      }, { protocol: "two-phase" });
      await assert.rejects(group, {
        name: "RangeError",
        message: 'Cannot run operation "order" on database as protocol must not be "two-phase" with fake, ' +
          "which can't prepare transactions",
      });
      assert.deepEqual([a.rows, b.rows], [[], []]);
      await Promise.all([orders.close(), stock.close()]);
    }));

  it("rolls back all when one fails, and throws that very failure", () =>
    world(async () => {
      const { a, b, dbs: [orders, stock] } = twoServers();
      const failure = new Error("no such product");
      const ended: string[] = [];
      await assert.rejects(
        SessionOperationGroup.run(orders, (group) => {
          group.spawn(async (tx) => {
            await insert("order")(tx);
            await sleep(1_000, { signal: tx.signal }).finally(() => ended.push("slow"));
          });
          group.spawn(async (tx) => {
            await insert("stock")(tx);
            throw failure;
          }, { on: stock });
        }, { protocol: "together" }),
        (error) => error === failure,
      );
      assert.deepEqual([a.rows, b.rows, ended], [[], [], ["slow"]]);
      assert.deepEqual([a.transactions, b.transactions], [0, 0]);
      assert.deepEqual([orders.statistics().inUse, stock.statistics().inUse], [0, 0]);
      await Promise.all([orders.close(), stock.close()]);
    }));

  it("supervise: lets the others commit when one fails", () =>
    world(async () => {
      const { a, b, dbs: [orders, stock] } = twoServers();
      const failing = SessionOperationGroup.run(orders, (group) => {
        group.spawn(insert("order"));
        group.spawn(() => Promise.reject(new Error("no")), { on: stock });
      }, { policy: "supervise" });
      await assert.rejects(failing, { message: "no" });
      assert.deepEqual([a.rows, b.rows], [["order"], []]);
      await Promise.all([orders.close(), stock.close()]);
    }));

  // DB-22
  it("together: says what became of each when a later COMMIT fails", () =>
    world(async () => {
      const { a, b, dbs: [orders, stock] } = twoServers({
        fault: ({ sql }) => sql === "COMMIT" ? "fail" : undefined,
      });
      const third = new FakeServer();
      const mail = new Database(fakeDriver(third));
      const failing = SessionOperationGroup.run(orders, (group) => {
        group.spawn(insert("order"), { name: "order" });
        group.spawn(insert("stock"), { on: stock, name: "stock" });
        group.spawn(insert("mail"), { on: mail, name: "mail" });
      }, { protocol: "together" });
      await assert.rejects(failing, (error: PartialCommitError) => {
        assert.ok(error instanceof PartialCommitError);
        assert.deepEqual(error.outcomes, [
          { name: "order", outcome: "committed" },
          { name: "stock", outcome: "rolled back" },
          { name: "mail", outcome: "rolled back" },
        ]);
        assert.equal(
          error.message,
          "Cannot commit all 3 transactions of the group: 1 committed, 2 rolled back",
        );
        return true;
      });
      assert.deepEqual([a.rows, b.rows, third.rows], [["order"], [], []]);
      await Promise.all([orders, stock, mail].map((db) => db.close()));
    }));

  it("together: throws the failure itself when the first COMMIT fails and all is rolled back", () =>
    world(async () => {
      const { a, b, dbs: [orders, stock] } = twoServers({
        fault: ({ sql }) => sql === "COMMIT" ? "fail" : undefined,
      });
      const failing = SessionOperationGroup.run(stock, (group) => {
        group.spawn(insert("stock"));
        group.spawn(insert("order"), { on: orders });
      }, { protocol: "together" });
      await assert.rejects(failing, { name: "DatabaseError", stage: "commit" });
      assert.deepEqual([a.rows, b.rows], [[], []]);
      await Promise.all([orders.close(), stock.close()]);
    }));

  it("undoes what was not committed when it is left", () =>
    world(async () => {
      const { a, dbs: [orders, stock] } = twoServers();
      {
        await using group = new SessionOperationGroup(orders, { protocol: "together" });
        await group.spawn(insert("order"));
      }
      assert.deepEqual([a.rows, a.transactions, orders.statistics().inUse], [[], 0, 0]);
      await using group = new SessionOperationGroup(orders, { name: "shop" });
      await group.commit();
      await assert.rejects(group.commit(), { message: 'Cannot commit operation group "shop": it is ending' });
      assert.throws(() => group.spawn(insert("late"), { name: "late" }), {
        name: "MisuseError",
        message: 'Cannot run operation "late": operation group "shop" is ending',
      });
      await Promise.all([orders.close(), stock.close()]);
    }));

  it("aborted at any point has committed all or nothing, and gives every session back", async () => {
    let servers: ReturnType<typeof twoServers>;
    let done = 0;
    await sweep(async (signal) => {
      servers = twoServers();
      const { dbs: [orders, stock] } = servers;
      await SessionOperationGroup.run(orders, (group) => {
        group.spawn(insert("order"));
        group.spawn(insert("stock"), { on: stock });
      }, { protocol: "together", signal });
      done++;
    }, async () => {
      const { a, b, dbs } = servers;
      assert.equal(a.rows.length, b.rows.length);
      assert.deepEqual(dbs.map((db) => db.statistics().inUse), [0, 0]);
      assert.deepEqual([a.transactions, b.transactions], [0, 0]);
      await Promise.all(dbs.map((db) => db.close()));
    });
    assert.ok(done > 0);
  });

  it("refuses wrong arguments at the door", () =>
    world(async () => {
      const db = new Database(fakeDriver(new FakeServer()));
      assert.throws(() => new SessionOperationGroup({} as Database), TypeError);
      for (
        const options of [
          { protocol: "both" },
          { policy: "never" },
          { policy: "supervise", protocol: "together" },
          { onDecision: 5 },
          { timeoutMs: -1 },
          { maxConcurrency: 0 },
        ]
      ) {
        assert.throws(() => new SessionOperationGroup(db, options as OperationGroupOptions), (error: Error) =>
          ["TypeError", "RangeError"].includes(error.name), JSON.stringify(options));
      }
      await using group = new SessionOperationGroup(db, { protocol: "together" });
      assert.throws(() =>
        group.spawn(5 as never), TypeError);
      await db.transaction((tx) =>
        assert.throws(() =>
          group.spawn(insert("a"), { on: tx as never }), TypeError)
      );
      assert.throws(() => group.spawn(insert("a"), { retry: { attempts: 2 } }), RangeError);
      await db.close();
    }));

  it("a shared snapshot is refused where the driver has no such thing, and nothing stays", () =>
    world(async () => {
      for (const policy of ["failFast", "supervise"] as const) {
        const server = new FakeServer();
        const db = new Database({ ...server.driver, maxSessions: 3, begin: () => ["BEGIN"] }, { max: 3 });
        const group = new SessionOperationGroup(db, { snapshot: "shared", policy });
        const outcomes = Promise.allSettled([1, 2].map(() => group.spawn(() => assert.fail("called"))));
        for (const outcome of await outcomes) {
          assert.ok(outcome.status === "rejected");
          assert.match(
            outcome.reason.message,
            /^Cannot begin transaction as snapshot must not be "shared" with fake$/,
          );
        }
        await group[Symbol.asyncDispose]().catch(() => {});
        assert.deepEqual([server.log, db.statistics().inUse], [[], 0]);
        await db.close();
      }
      const db = new Database(fakeDriver(new FakeServer()));
      for (const options of [{ snapshot: "exported" }, { snapshot: "shared", protocol: "together" }]) {
        assert.throws(() => new SessionOperationGroup(db, options as OperationGroupOptions), RangeError);
      }
      const group = new SessionOperationGroup(db, { snapshot: "shared" });
      for (
        const options of [{ on: db }, { isolation: "serializable" }, { readOnly: true }, {
          retry: {},
        }] as const
      ) {
        assert.throws(() => group.spawn(() => {}, options), RangeError);
      }
      await group[Symbol.asyncDispose]();
    }));

  it("refuses at once what would need more sessions than the database can have", () =>
    world(async (w) => {
      for (const protocol of ["together", "two-phase"] as const) {
        const [a, b] = [new FakeServer(), new FakeServer()];
        const orders = new Database(fakeDriver(a));
        const stock = new Database({ ...b.driver, twoPhase });
        const shop = new Database({ ...a.driver, twoPhase, maxSessions: 2 }, { name: "shop", max: 2 });
        const failing = SessionOperationGroup.run(shop, (group) => {
          group.spawn(() => sleep(1));
          group.spawn(() => {}, { on: stock });
          group.spawn(() => sleep(1));
          group.spawn(() => assert.fail("called"), { name: "third" });
        }, { protocol, maxConcurrency: 1 });
        await assert.rejects(failing, {
          name: "MisuseError",
          message:
            'Cannot run operation "third" on database "shop" as max must be 3 or more for 3 operations ' +
            `that end as one ("${protocol}"), each with a session to the end: it is 2`,
        });
        assert.deepEqual([b.rows, shop.statistics().inUse], [[], 0]);
        assert.ok(w.now < 100, `${w.now} ms`);
        await Promise.all([orders, stock, shop].map((db) => db.close()));
      }
      // By themselves they take turns.
      const server = new FakeServer();
      const db = new Database(fakeDriver(server));
      await SessionOperationGroup.run(db, (group) => {
        for (const value of ["a", "b", "c"]) group.spawn(insert(value));
      });
      assert.deepEqual(server.rows, ["a", "b", "c"]);
      await db.close();
    }));

  it("has each operation find its own transaction, and refuses ones inside another transaction", () =>
    world(async () => {
      for (const protocol of ["independent", "together"] as const) {
        const server = new FakeServer();
        const driver = { ...fakeDriver(server), maxSessions: undefined };
        const db = new Database(driver, { name: "orders", context: new AsyncLocalStorage() });
        await SessionOperationGroup.run(db, (group) => {
          for (const value of ["a", "b"]) {
            group.spawn(async (tx) => {
              assert.equal(db.current, tx);
              await db.current!.query("INSERT", [value]);
            });
          }
        }, { protocol });
        assert.deepEqual(server.rows, ["a", "b"]);
        const inside = db.transaction(() =>
          SessionOperationGroup.run(db, (group) => void group.spawn(insert("c"), { name: "c" }), { protocol })
        );
        await assert.rejects(inside, {
          name: "MisuseError",
          message:
            /^Cannot run operation "c" on database "orders": a transaction of it is in effect here, and operations have/,
        });
        assert.deepEqual([server.rows, server.transactions], [["a", "b"], 0]);
        await db.close();
      }
    }));

  it("at its limit names the operations that still run, and what each waits for", () =>
    world(async () => {
      for (const protocol of ["independent", "together"] as const) {
        const orders = new Database(fakeDriver(new FakeServer()), { name: "orders" });
        const stock = new Database(fakeDriver(new FakeServer()), { name: "stock" });
        await using _held = await orders.session({ label: "report" });
        const limited = (options: OperationGroupOptions): Promise<void> =>
          SessionOperationGroup.run(orders, (group) => {
            group.spawn(insert("a"), { name: "order" });
            group.spawn(({ signal }) => sleep(1_000, { signal }), { on: stock, name: "count" });
          }, { protocol, timeoutMs: 50, ...options });
        const waits =
          /50 ms: still running: "order" \(waiting to lease from pool "orders": .*"report"\), "count"$/;
        for (const [name, what] of [["import", 'operation group "import"'], [undefined, "operation group"]]) {
          await assert.rejects(limited({ name }), (error: TimeoutError) => {
            assert.ok(error instanceof TimeoutError);
            assert.ok(error.message.startsWith(`Cannot finish ${what} within 50 ms: `), error.message);
            assert.match(error.message, waits);
            assert.equal(error.operation, what);
            return true;
          });
        }
        await assert.rejects(limited({ name: "import", timeoutMs: 0 }), {
          message: /^Cannot finish operation group "import" within 0 ms/,
        });
        await Promise.all([orders.close({ graceMs: 0 }), stock.close()]);
      }
    }));

  it("together: commits nothing when an operation was cancelled, whether it had begun or not", () =>
    world(async () => {
      for (const maxConcurrency of [1, 2]) {
        const { a, b, dbs: [orders, stock] } = twoServers();
        const reason = new Error("not wanted");
        const failing = SessionOperationGroup.run(orders, async (group) => {
          group.spawn(insert("order"));
          const cancelled = group.spawn(async (tx) => {
            await insert("stock")(tx);
            await sleep(100, { signal: tx.signal });
          }, { on: stock, name: "stock" });
          if (maxConcurrency > 1) await sleep(50);
          cancelled.cancel(reason);
          await assert.rejects(Promise.resolve(cancelled), (error) => error === reason);
        }, { protocol: "together", maxConcurrency });
        await assert.rejects(failing, {
          name: "MisuseError",
          message: 'Cannot commit operation group: its operation "stock" was cancelled',
        });
        assert.deepEqual([a.rows, b.rows, a.transactions, b.transactions], [[], [], 0, 0]);
        await Promise.all([orders.close(), stock.close()]);
      }
    }));

  it("two-phase is refused where the driver has no such thing, and nothing stays", () =>
    world(async () => {
      const server = new FakeServer();
      const db = new Database(fakeDriver(server));
      const failing = SessionOperationGroup.run(db, (group) => void group.spawn(insert("a")), {
        protocol: "two-phase",
      });
      await assert.rejects(failing, RangeError);
      assert.deepEqual([server.rows, db.statistics().inUse], [[], 0]);
      await db.close();
    }));
});
