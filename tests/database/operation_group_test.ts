import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sleep } from "@uno/async/cancel";
import {
  Database,
  MisuseError,
  type OperationGroupOptions,
  PartialCommitError,
  SessionOperationGroup,
  type Transaction,
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
      await using group = new SessionOperationGroup(orders);
      await group.commit();
      await assert.rejects(group.commit(), MisuseError);
      assert.throws(() => group.spawn(insert("late")), MisuseError);
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
      assert.throws(() =>
        group.spawn(insert("a"), { retry: { attempts: 2 } }), RangeError);
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
