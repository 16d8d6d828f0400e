/** What every adapter promises of a driver and its connections, run against the real thing. */
import assert from "node:assert/strict";
import { it } from "node:test";
import type { Connection, Dialect, Driver } from "@uno/async/database";
import { subjects } from "../database/_servers/subjects.ts";
import { suite } from "../_suite.ts";

/** An adapter, and what it can do. */
export interface DriverSubject {
  readonly name: string;
  /** Why it can't be tested here. */
  readonly skip: string | false;
  /** Makes drivers to one empty database. */
  open(): Promise<{ make(options?: Record<string, unknown>): Driver } & AsyncDisposable>;
  /** Whether it speaks to a server: statements can be cancelled, connections be lost. */
  readonly server: boolean;
}

/** How the dialects say the same. */
const words: Record<
  Dialect,
  { p(n: number): string; sleep: string; serial: string; kill?(id: number | string): string }
> = {
  postgres: {
    p: (n) => `$${n}`,
    sleep: "select pg_sleep(20)",
    serial: "serial primary key",
    kill: (id) => `select pg_terminate_backend(${id})`,
  },
  mysql: {
    p: () => "?",
    sleep: "select sleep(20)",
    serial: "integer auto_increment primary key",
    kill: (id) => `kill ${id}`,
  },
  sqlite: { p: () => "?", sleep: "", serial: "integer primary key" },
};

/** Runs the suite over the adapter of a server, with options of its own. */
export function serverDriverContract(name: string, options: Record<string, unknown> = {}): void {
  const subject = subjects.find((subject) => subject.name === name)!;
  const more = Object.entries(options).map(([option, value]) => `, ${option}: ${value}`).join("");
  driverContract({
    name: name + more,
    skip: subject.skip,
    server: true,
    async open() {
      const place = await subject.kind.empty();
      return {
        make: (other) => subject.driver(place, { ...options, ...other }),
        [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
      };
    },
  });
}

/** Runs the suite over one adapter. */
export function driverContract(subject: DriverSubject): void {
  const { name, skip, server } = subject;

  /** Runs `fn` with a fresh database and an open connection. */
  const using_ = async (
    fn: (c: Connection, driver: Driver, another: () => Promise<Connection>) => Promise<void>,
  ): Promise<void> => {
    await using place = await subject.open();
    const driver = place.make();
    const opened: Connection[] = [];
    const another = async (): Promise<Connection> => {
      const connection = await driver.connect({ signal: new AbortController().signal });
      opened.push(connection);
      return connection;
    };
    try {
      await fn(await another(), driver, another);
    } finally {
      for (const connection of opened) await connection.close({ force: true });
    }
  };
  const failure = async (work: () => unknown): Promise<unknown> => {
    try {
      await work();
    } catch (error) {
      return error;
    }
    assert.fail("it should have failed");
  };

  suite(`driver contract: ${name}`, skip, () => {
    it("gives rows as plain objects, values by placeholders, and counts", () =>
      using_(async (c, { dialect }) => {
        const { p } = words[dialect];
        await c.query(`create table t (id integer primary key, v varchar(20))`, []);
        const inserted = await c.query(`insert into t (id, v) values (${p(1)}, ${p(2)})`, [1, "a'; --"]);
        assert.equal(inserted.rowCount, 1);
        assert.deepEqual(inserted.rows, []);
        await c.query(`insert into t (id, v) values (2, null), (3, 'c')`, []);
        const read = await c.query(`select id, v from t order by id`, []);
        assert.deepEqual(read.rows, [{ id: 1, v: "a'; --" }, { id: 2, v: null }, { id: 3, v: "c" }]);
        assert.equal(read.rowCount, 3);
        assert.equal((await c.query(`update t set v = 'x' where id > ${p(1)}`, [1])).rowCount, 2);
        assert.equal((await c.query(`delete from t where id = ${p(1)}`, [99])).rowCount, 0);
        assert.deepEqual((await c.query(`select id from t where id = ${p(1)}`, [99])).rows, []);
      }));

    it("takes one statement a query, and runs nothing of several", () =>
      using_(async (c) => {
        await c.query(`create table t (id integer primary key)`, []);
        await failure(() => c.query(`insert into t values (1); insert into t values (2)`, []));
        assert.deepEqual((await c.query(`select count(*) as n from t where id = 2`, [])).rows.length, 1);
        const { rows } = await c.query(`select id from t where id = 2`, []);
        assert.deepEqual(rows, []);
        await c.query(`select 1 as one; -- and nothing more`, []);
      }));

    it("refuses a COPY from STDIN or to STDOUT where there is such a thing, and goes on", () =>
      using_(async (c, driver) => {
        if (driver.dialect !== "postgres") return;
        await c.query(`create table t (id integer primary key)`, []);
        for (const sql of [`copy t from stdin`, `/* x */ copy t to stdout;`]) {
          const error = await failure(() => c.query(sql, []));
          assert.ok(error instanceof TypeError, String(error));
          assert.deepEqual((await c.query(`select id from t`, [])).rows, []);
        }
      }));

    it("says whether a transaction is open", () =>
      using_(async (c, driver) => {
        if (c.inTransaction === undefined) return;
        await c.query(`create table t (id integer primary key)`, []);
        assert.equal(c.inTransaction(), false);
        for (const end of ["COMMIT", "ROLLBACK", "/* x */ commit"]) {
          for (const sql of driver.begin({})) await c.query(sql, []);
          assert.equal(c.inTransaction(), true);
          await c.query(`select id from t`, []);
          assert.equal(c.inTransaction(), true, "after a statement that reads");
          await c.query("SAVEPOINT a", []);
          await c.query("ROLLBACK TO SAVEPOINT a", []);
          await c.query("RELEASE SAVEPOINT a", []);
          assert.equal(c.inTransaction(), true, "after a savepoint");
          await c.query(end, []);
          assert.equal(c.inTransaction(), false, `after ${end}`);
        }
        await c.query("/* x */ begin", []);
        assert.equal(c.inTransaction(), true, "behind a comment");
        await c.query("rollback", []);
      }));

    it("begins with modes of a closed set", () =>
      using_(async (c, driver) => {
        for (const isolation of ["read committed", "repeatable read", "serializable"] as const) {
          for (const readOnly of [false, true]) {
            for (const sql of driver.begin({ isolation, readOnly })) await c.query(sql, []);
            await c.query("ROLLBACK", []);
          }
        }
        for (const isolation of ["serializable; drop table t", "SERIALIZABLE", "", 5, null, "constructor"]) {
          assert.throws(() => driver.begin({ isolation } as never), (error: Error) =>
            ["TypeError", "RangeError"].includes(error.name));
        }
        assert.throws(() =>
          driver.begin({ readOnly: "yes" } as never), TypeError);
      }));

    it("knows constraints by kind and name, and wrong statements", () =>
      using_(async (c, driver) => {
        await c.query(`create table parent (id integer primary key)`, []);
        await c.query(
          `create table t (id integer primary key, v varchar(20) not null, n integer, parent integer,
             constraint t_v unique (v), constraint t_n check (n < 10),
             constraint t_parent foreign key (parent) references parent (id))`,
          [],
        );
        await c.query(`insert into t (id, v) values (1, 'a')`, []);
        const kindOf = async (sql: string): Promise<(string | undefined)[]> => {
          const { kind, violation, lost, txGone } = driver.classify(await failure(() => c.query(sql, [])));
          assert.equal(lost, false);
          assert.equal(txGone, false);
          return [kind, violation?.kind];
        };
        assert.deepEqual(await kindOf(`insert into t (id, v) values (2, 'a')`), ["constraint", "unique"]);
        assert.deepEqual(await kindOf(`insert into t (id, v) values (3, null)`), ["constraint", "notNull"]);
        assert.deepEqual(await kindOf(`insert into t (id, v, n) values (4, 'd', 11)`), [
          "constraint",
          "check",
        ]);
        assert.deepEqual(await kindOf(`insert into t (id, v, parent) values (5, 'e', 9)`), [
          "constraint",
          "foreignKey",
        ]);
        assert.deepEqual((await kindOf(`selec 1`))[0], "statement");
        assert.deepEqual((await kindOf(`select * from missing`))[0], "statement");
        assert.equal((await c.query(`select 1 as one`, [])).rowCount, 1, "usable afterwards");
      }));

    it("takes a wrong number of values for a mistake, not for a lost connection", () =>
      using_(async (c, driver) => {
        const { p } = words[driver.dialect];
        for (const [sql, params] of [["select 1 as one", [1]], [`select ${p(1)} as one`, []]] as const) {
          // Some drivers take what is not asked for, and leave it.
          const error = await Promise.resolve().then(() => c.query(sql, params)).then(
            () => undefined,
            (error) => error,
          );
          if (error !== undefined) assert.equal(driver.classify(error).lost, false, String(error));
          assert.equal((await c.query("select 1 as one", [])).rowCount, 1, "usable afterwards");
        }
      }));

    it("classifies whatever was thrown, and never throws", () =>
      using_(async (_, driver) => {
        for (
          const thrown of [undefined, null, "text", 5, {}, new Error("x"), Object.create(null), () => {}]
        ) {
          const { kind, lost } = driver.classify(thrown);
          assert.equal(lost, false);
          assert.equal(kind, "other");
        }
        await Promise.resolve();
      }));

    it(
      "cancels what runs, and nothing after it",
      { skip: server ? false : "it runs inside the process" },
      () =>
        using_(async (c, driver) => {
          for (let round = 0; round < 15; round++) {
            const running = Promise.resolve(c.query(words[driver.dialect].sleep, [])).then(
              () => undefined,
              (error: unknown) => error,
            );
            // Before it has reached the server, too: then there is nothing to cancel, and it has to be tried again.
            if (round % 3 > 0) await new Promise((resolve) => setTimeout(resolve, round));
            let ended = false;
            running.then(() => ended = true);
            while (!ended) {
              await c.cancel!();
              await new Promise((resolve) => setTimeout(resolve, 1));
            }
            const error = await running;
            // MySQL's SLEEP returns 1 instead of failing.
            if (error !== undefined) {
              const { kind, lost } = driver.classify(error);
              assert.deepEqual([kind, lost], ["statementTimeout", false]);
            }
            assert.equal((await c.query(`select 7 as seven`, [])).rowCount, 1);
          }
          await c.cancel!();
          assert.equal(
            (await c.query(`select 8 as eight`, [])).rowCount,
            1,
            "after a cancel that met nothing",
          );
        }),
    );

    it("says that it is lost, idle or not, and runs nothing any more", {
      skip: server ? false : "it runs inside the process",
    }, () =>
      using_(async (c, driver, another) => {
        const { kill, sleep } = words[driver.dialect];
        const killer = await another();
        const idle = await another();
        for (const [victim, busy] of [[c, true], [idle, false]] as const) {
          let losses = 0;
          const told = new Promise<void>((resolve) => {
            victim.onLost!((error) => {
              if (error !== undefined) assert.ok(error instanceof Error, `${error}`);
              losses++;
              resolve();
            });
          });
          const running = busy ? failure(() => victim.query(sleep, [])) : undefined;
          await new Promise((resolve) => setTimeout(resolve, 50));
          await killer.query(kill!(victim.id!), []);
          if (running !== undefined) {
            const { kind, lost, txGone } = driver.classify(await running);
            assert.deepEqual([kind, lost, txGone], ["connection", true, true]);
          }
          await told;
          const { kind, lost } = driver.classify(await failure(() => victim.query("select 1", [])));
          assert.deepEqual([kind, lost], ["connection", true]);
          assert.equal(losses, 1);
          await victim.close({ force: false });
          await victim.close({ force: true });
        }
        assert.equal((await killer.query("select 1 as one", [])).rowCount, 1);
      }));

    it(
      "ends by force while a statement runs",
      { skip: server ? false : "it runs inside the process" },
      () =>
        using_(async (c, driver) => {
          const running = failure(() => c.query(words[driver.dialect].sleep, []));
          await new Promise((resolve) => setTimeout(resolve, 30));
          await c.close({ force: true });
          const { lost } = driver.classify(await running);
          assert.equal(lost, true);
        }),
    );

    it("gives up connecting when its signal says so", async () => {
      await using place = await subject.open();
      const driver = place.make();
      for (const microtasks of [0, 1, 5, 50]) {
        const controller = new AbortController();
        const reason = new Error(`after ${microtasks}`);
        const connecting = Promise.resolve(driver.connect({ signal: controller.signal })).then(
          async (connection) => {
            await connection.close({ force: true });
            return undefined;
          },
          (error: unknown) => error,
        );
        for (let i = 0; i < microtasks; i++) await Promise.resolve();
        controller.abort(reason);
        await connecting;
      }
      const connection = await driver.connect({ signal: new AbortController().signal });
      assert.equal((await connection.query("select 1 as one", [])).rowCount, 1);
      await connection.close({ force: false });
    });

    it("says that a server can't be reached, so that it may be tried again", {
      skip: server ? false : "there is no server",
    }, async () => {
      await using place = await subject.open();
      const driver = place.make({ port: 1 });
      const error = await failure(() => driver.connect({ signal: new AbortController().signal }));
      assert.equal(driver.classify(error).kind, "connection");
    });

    it("says that a database does not exist, so that nobody tries again", {
      skip: server ? false : "there is no server",
    }, async () => {
      await using place = await subject.open();
      const driver = place.make({ database: "uno_missing" });
      const error = await failure(() => driver.connect({ signal: new AbortController().signal }));
      assert.equal(driver.classify(error).kind, "access");
    });
  });
}
