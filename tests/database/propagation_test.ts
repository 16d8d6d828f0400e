import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, it } from "node:test";
import { sleep } from "@uno/async/cancel";
import {
  Database,
  type DatabaseOptions,
  MisuseError,
  type Propagation,
  type Transaction,
  transactional,
  TransactionClosedError,
  TransactionDoomedError,
} from "@uno/async/database";
import { PoolSelfDeadlockError } from "@uno/async/resource";
import { world } from "@uno/async/testing";
import { fakeDriver, FakeServer } from "./_fake_driver.ts";

/** A server whose driver gives several sessions, and a database with a context. */
function setUp(options: DatabaseOptions = {}): { server: FakeServer; db: Database } {
  const server = new FakeServer();
  const driver = { ...fakeDriver(server), maxSessions: undefined };
  return { server, db: new Database(driver, { context: new AsyncLocalStorage(), max: 3, ...options }) };
}

const insert = (tx: Transaction | undefined, value: string): Promise<unknown> => tx!.query("INSERT", [value]);

describe("transactions that are carried along", () => {
  it("are found by code further in, across awaits, each branch its own, and not outside", () =>
    world(async () => {
      const { db } = setUp();
      assert.equal(db.current, undefined);
      await Promise.all([1, 2, 3].map((i) =>
        db.transaction(async (tx) => {
          await sleep(i);
          assert.equal(db.current, tx);
          await tx.query("SELECT");
          assert.equal(db.current, tx);
        })
      ));
      assert.equal(db.current, undefined);
      await db.close();
    }));

  it("are an error to begin or to go past inside one another without saying how", () =>
    world(async () => {
      const { db, server } = setUp({ name: "orders" });
      await db.transaction(async () => {
        await assert.rejects(db.transaction(() => assert.fail("called")), {
          name: "MisuseError",
          message:
            /^Cannot run transaction on database "orders": it is inside another one; say by propagation/,
        });
        await assert.rejects(db.query("INSERT", ["past"]), MisuseError);
      });
      assert.deepEqual(server.rows, []);
      await db.close();
    }));

  it("required: joins, and begins one when there is none", () =>
    world(async () => {
      const { db, server } = setUp();
      const write = (value: string): Promise<void> =>
        db.transaction(async (tx) => {
          await insert(tx, value);
        }, { propagation: "required" });
      await write("alone");
      await assert.rejects(
        db.transaction(async () => {
          await write("a");
          await write("b");
          throw new Error("no");
        }),
        { message: "no" },
      );
      assert.deepEqual([server.rows, server.connects], [["alone"], 1]);
      await db.close();
    }));

  it("required: what joined and failed lets nothing be committed, even if it was caught", () =>
    world(async () => {
      const { db, server } = setUp();
      const failure = new Error("half done");
      const failing = db.transaction(async (tx) => {
        await insert(tx, "outer");
        await db.transaction(async (inner) => {
          await insert(inner, "inner");
          throw failure;
        }, { propagation: "required" }).catch(() => {});
      });
      await assert.rejects(failing, (error: TransactionDoomedError) => {
        assert.ok(error instanceof TransactionDoomedError);
        assert.equal(error.cause, failure);
        return true;
      });
      assert.deepEqual(server.rows, []);
      await db.close();
    }));

  it("required: other modes than those of the one to be joined are an error, and so is a retry of its own", () =>
    world(async () => {
      const { db } = setUp();
      await db.transaction(async () => {
        for (
          const options of [{ isolation: "serializable" }, { readOnly: true }, {
            retry: { attempts: 2 },
          }] as const
        ) {
          await assert.rejects(
            db.transaction(() => assert.fail("called"), { propagation: "required", ...options }),
            MisuseError,
          );
        }
      });
      await db.transaction(
        () => db.transaction(() => {}, { propagation: "required", isolation: "serializable" }),
        { isolation: "serializable" },
      );
      await db.close();
    }));

  it("requiresNew: ends by itself on another session", () =>
    world(async () => {
      const { db, server } = setUp();
      await assert.rejects(db.transaction(async (outer) => {
        await insert(outer, "outer");
        await db.transaction(async (tx) => {
          assert.notEqual(tx, outer);
          await insert(tx, "audit");
        }, { propagation: "requiresNew" });
        assert.equal(db.current, outer);
        throw new Error("no");
      }));
      assert.deepEqual(server.rows, ["audit"]);
      await db.close();
    }));

  // DB-14
  it("requiresNew: three that hold all three sessions don't wait for each other", () =>
    world(async (w) => {
      const { db, server } = setUp();
      const outers = await Promise.allSettled(["a", "b", "c"].map((name) =>
        db.transaction(async (outer) => {
          await insert(outer, name);
          await sleep(5);
          await db.transaction((tx) => insert(tx, `new ${name}`), { propagation: "requiresNew" });
        })
      ));
      const refused = outers.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
      assert.equal(refused.length, 1);
      assert.ok(refused[0]!.reason instanceof PoolSelfDeadlockError);
      assert.equal(server.rows.length, 4);
      assert.ok(w.now < 50, `${w.now} ms`);
      await db.close();
    }));

  it("are told at once when they would wait for the session that they hold, and by whom all are held", () =>
    world(async (w) => {
      const { db } = setUp({ name: "orders", max: 2 });
      const refused = (labels: string): object => ({
        name: "PoolSelfDeadlockError",
        message:
          `Cannot lease from pool "orders": all 2 in use are held by owners that wait for another one (${labels})`,
      });
      const more = [
        () => db.session(),
        () => db.session({ label: "more" }),
        () => db.begin(),
        () => db.begin({ label: "more", timeoutMs: 50 }),
        () => db.transaction(() => assert.fail("called"), { propagation: "requiresNew" }),
      ];
      await db.transaction(() =>
        db.transaction(async () => {
          for (const ask of more) await assert.rejects(ask(), refused('"transaction", "inner"'));
        }, { propagation: "requiresNew", label: "inner" })
      );
      assert.ok(w.now < 50, `${w.now} ms`);
      assert.equal(db.statistics().refused, more.length);
      await db.close();
    }));

  it("wait for sessions that others hold, or they themselves beside the transaction", () =>
    world(async () => {
      const { db } = setUp({ max: 2 });
      const use = async (): Promise<void> => {
        await using _session = await db.session();
        await sleep(10);
      };
      await db.transaction(() => Promise.all([use(), use(), use()]));
      const held = await db.session();
      const inside = db.transaction(use);
      await sleep(10);
      await held[Symbol.asyncDispose]();
      await inside;
      assert.equal(db.statistics().refused, 0);
      await db.close();
    }));

  it("nested: a savepoint that can fail by itself", () =>
    world(async () => {
      const { db, server } = setUp();
      await db.transaction(async (outer) => {
        await insert(outer, "before");
        await db.transaction(async (inner) => {
          assert.equal(db.current, inner);
          await insert(inner, "inner");
          await db.transaction((joined) => insert(joined, "joined"), { propagation: "required" });
          throw new Error("no");
        }, { propagation: "nested" }).catch(() => {});
        assert.equal(db.current, outer);
        await insert(outer, "after");
      });
      assert.deepEqual(server.rows, ["before", "after"]);
      await db.transaction((tx) => insert(tx, "alone"), { propagation: "nested" });
      assert.deepEqual(server.rows, ["before", "after", "alone"]);
      await db.close();
    }));

  it("mandatory, never, supports, notSupported: as they say, inside and outside", () =>
    world(async () => {
      const { db } = setUp();
      const kind = (propagation: Propagation): Promise<string> =>
        db.transaction(() => db.current === undefined ? "without" : "with", { propagation }).catch(
          (error: Error) => error.name,
        );
      const all = ["mandatory", "never", "supports", "notSupported"] as const;
      const outside: string[] = [];
      for (const propagation of all) outside.push(await kind(propagation));
      assert.deepEqual(outside, ["MisuseError", "without", "without", "without"]);
      const inside: string[] = [];
      await db.transaction(async () => {
        for (const propagation of all) inside.push(await kind(propagation));
      });
      assert.deepEqual(inside, ["with", "MisuseError", "with", "without"]);
      await assert.rejects(db.transaction((tx) => tx.query("SELECT"), { propagation: "never" }), MisuseError);
      await db.close();
    }));

  it("what has none runs without one, by transactional too, within its own limits", () =>
    world(async () => {
      const { db, server } = setUp();
      for (const propagation of ["supports", "never", "notSupported"] as const) {
        const free = transactional({ db, propagation })(
          async (value: string, options: { signal?: AbortSignal }) => {
            assert.equal(db.current, undefined);
            await db.query("INSERT", [value]);
            await sleep(50, options);
            return value;
          },
        );
        assert.equal(await free(propagation, { signal: undefined }), propagation);
        const stop = new AbortController();
        const stopped = free("stopped", { signal: stop.signal });
        await sleep(10);
        stop.abort("enough");
        await assert.rejects(stopped, (reason) => reason === "enough");
        const slow = db.transaction(() => sleep(50), { propagation, timeoutMs: 20 });
        await assert.rejects(slow, { name: "TimeoutError" });
        await sleep(50);
      }
      assert.equal(server.autocommitted.length, 6);
      await db.close();
    }));

  it("what joins keeps its own signal and limit, and takes the whole with it", () =>
    world(async () => {
      for (const propagation of ["required", "mandatory", "supports", "nested"] as const) {
        const { db, server } = setUp();
        const outer = db.transaction(async (tx) => {
          await insert(tx, "outer");
          const early = db.transaction(() => assert.fail("called"), {
            propagation,
            signal: AbortSignal.abort("no"),
          });
          await assert.rejects(early, (reason) => reason === "no");
          const slow = db.transaction(async (inner) => {
            await insert(inner, "inner");
            await sleep(200);
          }, { propagation, timeoutMs: 20 });
          await assert.rejects(slow, { name: "TimeoutError" });
          await assert.rejects(
            db.transaction(() => {}, { propagation, server: { lockTimeoutMs: 5 } }),
            MisuseError,
          );
        });
        if (propagation === "nested") await outer;
        else await assert.rejects(outer, TransactionDoomedError);
        assert.deepEqual(server.rows, propagation === "nested" ? ["outer"] : []);
        await sleep(200);
        await db.close();
      }
    }));

  it("transactional gives the caller's signal on to what it joins", () =>
    world(async () => {
      const { db, server } = setUp();
      const work = transactional({ db })(async (options: { signal?: AbortSignal }) => {
        await insert(db.current, "inner");
        await sleep(500, options);
      });
      const stop = new AbortController();
      const outer = db.transaction(async () => await work({ signal: stop.signal }));
      await sleep(10);
      stop.abort("enough");
      await assert.rejects(outer, (reason) => reason === "enough");
      assert.deepEqual(server.rows, []);
      await db.close();
    }));

  it("hooks run outside of a transaction that ended where it was in effect", () =>
    world(async () => {
      const { db, server } = setUp();
      const seen: unknown[] = [];
      await db.transaction(async (outer) => {
        await db.transaction(async (tx) => {
          tx.afterCommit(() => void seen.push(db.current === outer));
          await tx.commit();
        }, { propagation: "requiresNew" });
      });
      await db.transaction(async (tx) => {
        tx.afterCommit(async () => void seen.push(await db.query("INSERT", ["hook"])));
        await tx.commit();
        await assert.rejects(db.transaction(() => assert.fail("called"), { propagation: "required" }), {
          message:
            'Cannot run transaction on database as propagation "required": the one around it has ended',
        });
        await assert.rejects(db.query("INSERT", ["past"]), { message: /a transaction was in effect here/ });
      });
      assert.deepEqual([seen.length, seen[0], server.autocommitted], [2, true, ["hook"]]);
      await db.close();
    }));

  it("notSupported: what waits for the session that is held behind it is told at once", () =>
    world(async (w) => {
      const { db } = setUp({ max: 1 });
      await db.transaction(async () => {
        const waiting = db.transaction(() => db.query("SELECT"), { propagation: "notSupported" });
        await assert.rejects(waiting, PoolSelfDeadlockError);
      });
      assert.ok(w.now < 1_000, `${w.now}`);
      await db.close();
    }));

  it("outlived by the flow of control are closed, not another connection", () =>
    world(async () => {
      const { db } = setUp();
      let late: Promise<unknown> = Promise.resolve();
      await db.transaction((tx) => {
        late = (async () => {
          await sleep(100);
          await insert(db.current, "late");
        })();
        late.catch(() => {});
        return tx.query("SELECT");
      });
      await assert.rejects(late, TransactionClosedError);
      await db.close();
    }));

  it("of two databases with one carrier are told apart", () =>
    world(async () => {
      const context = new AsyncLocalStorage();
      const a = setUp({ context });
      const b = setUp({ context });
      await a.db.transaction((inA) =>
        b.db.transaction(async (inB) => {
          assert.deepEqual([a.db.current === inA, b.db.current === inB], [true, true]);
          await insert(a.db.current, "a");
          await insert(b.db.current, "b");
        })
      );
      assert.deepEqual([a.server.rows, b.server.rows], [["a"], ["b"]]);
      await Promise.all([a.db.close(), b.db.close()]);
    }));

  it("need a context, and a way that exists", () =>
    world(async () => {
      const { db } = setUp({ context: undefined });
      await assert.rejects(db.transaction(() => {}, { propagation: "required" }), RangeError);
      assert.equal(db.current, undefined);
      const other = setUp();
      await assert.rejects(
        other.db.transaction(() => {}, { propagation: "join" as Propagation }),
        RangeError,
      );
      assert.throws(() => setUp({ context: {} as never }), TypeError);
      await Promise.all([db.close(), other.db.close()]);
    }));
});

describe("transactional", () => {
  it("runs functions and methods in a transaction, joined by those they call", () =>
    world(async () => {
      const { db, server } = setUp();
      class Orders {
        readonly db: Database;
        readonly prefix = "row";
        constructor(db: Database) {
          this.db = db;
        }
        add: (this: Orders, n: number) => Promise<string> = transactional({ db: (self: Orders) => self.db })(
          async function (this: Orders, n: number) {
            await insert(this.db.current, `${this.prefix} ${n}`);
            return `${this.prefix} ${n}`;
          },
        );
      }
      const orders = new Orders(db);
      assert.equal(await orders.add(1), "row 1");
      const addTwo = transactional({ db })(async function addTwo(fails: boolean): Promise<void> {
        await orders.add(2);
        await orders.add(3);
        if (fails) throw new Error("no");
      });
      assert.deepEqual([addTwo.name, addTwo.length], ["addTwo", 1]);
      await assert.rejects(addTwo(true), { message: "no" });
      await addTwo(false);
      assert.deepEqual(server.rows, ["row 1", "row 2", "row 3"]);
      await db.close();
    }));

  it("obeys the signal in an options bag, and hands its own on", () =>
    world(async () => {
      const { db, server } = setUp();
      const controller = new AbortController();
      const write = transactional({ db })(
        async (value: string, { signal }: { signal?: AbortSignal } = {}) => {
          await insert(db.current, value);
          await sleep(1_000, { signal });
        },
      );
      const writing = write("a", { signal: controller.signal });
      await sleep(10);
      controller.abort("enough");
      await assert.rejects(writing, (reason) => reason === "enough");
      assert.deepEqual([server.rows, server.transactions], [[], 0]);
      await db.close();
    }));

  it("does not run again unless asked to", () =>
    world(async () => {
      const server = new FakeServer({
        fault: ({ sql, nth }) => sql === "INSERT" && nth < 3 ? "conflict" : undefined,
      });
      const db = new Database(fakeDriver(server), { context: new AsyncLocalStorage() });
      let runs = 0;
      const write = async (): Promise<void> => {
        runs++;
        await insert(db.current, "a");
      };
      await assert.rejects(transactional({ db })(write)(), { name: "TransactionConflictError" });
      assert.equal(runs, 1);
      server.log.length = 0;
      await transactional({ db, retry: { attempts: 3 } })(write)();
      assert.deepEqual(server.rows, ["a"]);
      await db.close();
    }));

  it("refuses what is no database, no function, no method", async () => {
    assert.throws(() => transactional({ db: 5 as never }), TypeError);
    assert.throws(() => transactional(undefined as never), TypeError);
    const { db } = setUp();
    assert.throws(() => transactional({ db })(5 as never), TypeError);
    assert.throws(
      () => transactional({ db })(() => Promise.resolve(), { kind: "getter" } as never),
      TypeError,
    );
    await assert.rejects(
      transactional({ db: () => undefined as never })(() => Promise.resolve())(),
      TypeError,
    );
    await db.close();
  });
});
