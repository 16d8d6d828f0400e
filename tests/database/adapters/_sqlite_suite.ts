/** What the driver for SQLite promises, whichever way that is opened. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import {
  ConnectFailedError,
  ConstraintError,
  Database,
  type DatabaseOptions,
  type Driver,
  type Transaction,
  TransactionConflictError,
  TransactionDoomedError,
} from "@uno/async/database";
import type { SqliteOptions } from "@uno/async/database/sqlite";
import { sweep, world } from "@uno/async/testing";
import { withFile } from "../_files.ts";

/** @param sqliteDriver Makes the driver that is looked at. */
export function sqliteSuite(sqliteDriver: (options: SqliteOptions) => Driver): void {
  const SCHEMA =
    "create table entries (id integer primary key, name text not null unique check (length(name) < 20))";

  /** Runs `fn` with a database of one table, and a way to open further connections to its file. */
  function withDatabase<T>(
    fn: (
      db: Database,
      open: (options?: Partial<SqliteOptions & DatabaseOptions>) => Database,
    ) => PromiseLike<T>,
  ): Promise<T> {
    return withFile(async (file) => {
      const opened: Database[] = [];
      const open = (options: Partial<SqliteOptions & DatabaseOptions> = {}): Database => {
        const db = new Database(sqliteDriver({ file, ...options }), options);
        opened.push(db);
        return db;
      };
      try {
        const db = open({ name: "test" });
        await db.transaction((tx) => tx.query(SCHEMA));
        return await fn(db, open);
      } finally {
        for (const db of opened) await db.close({ graceMs: 0 });
      }
    });
  }

  const insert = (tx: Transaction, name: string): Promise<unknown> =>
    tx.query("insert into entries (name) values (?)", [name]);

  const names = async (db: Database): Promise<string[]> => {
    const { rows } = await db.transaction(
      (tx) => tx.query<{ name: string }>("select name from entries order by id"),
      { readOnly: true },
    );
    return rows.map(({ name }) => name);
  };

  it("what is committed is visible to another connection, and nothing before", () =>
    withDatabase(async (db, open) => {
      const other = open();
      await db.transaction(async (tx) => {
        await insert(tx, "a");
        assert.deepEqual(await names(other), []);
      });
      assert.deepEqual(await names(other), ["a"]);
    }));

  it("a constraint that fails rolls everything back, and says which", () =>
    withDatabase(async (db) => {
      await db.transaction((tx) => insert(tx, "a"));
      const failed = db.transaction(async (tx) => {
        await insert(tx, "b");
        await insert(tx, "a");
      });
      await assert.rejects(failed, (error: ConstraintError) => {
        assert.ok(error instanceof ConstraintError);
        const { message, kind, constraint, table, stage, dialect, state, failure } = error;
        assert.deepEqual(
          message,
          'Cannot run INSERT on database "test": UNIQUE constraint failed: entries.name',
        );
        assert.deepEqual([kind, constraint, table], ["unique", "entries.name", "entries"]);
        assert.deepEqual([stage, dialect, state, failure], ["body", "sqlite", "2067", "constraint"]);
        assert.ok(error.cause instanceof Error);
        return true;
      });
      assert.deepEqual(await names(db), ["a"]);
    }));

  it("constraints of each kind are told apart", () =>
    withDatabase(async (db) => {
      const kindOf = async (sql: string): Promise<string> => {
        const error = await db.transaction((tx) => tx.query(sql)).catch((error) => error);
        assert.ok(error instanceof ConstraintError, String(error));
        return error.kind;
      };
      await db.transaction((tx) => tx.query("create table parts (entry integer references entries (id))"));
      await db.transaction((tx) => insert(tx, "a"));
      assert.deepEqual(await kindOf("insert into entries (id, name) values (1, 'b')"), "unique");
      assert.deepEqual(await kindOf("insert into entries (name) values (null)"), "notNull");
      assert.deepEqual(
        await kindOf("insert into entries (name) values ('a name that is far too long')"),
        "check",
      );
      assert.deepEqual(await kindOf("insert into parts values (99)"), "foreignKey");
    }));

  it("a transaction can go on after a statement that failed", () =>
    withDatabase(async (db) => {
      await db.transaction(async (tx) => {
        await insert(tx, "a");
        await assert.rejects(insert(tx, "a"), ConstraintError);
        await assert.rejects(tx.query("select * from nowhere"), {
          message: 'Cannot run SELECT on database "test": no such table: nowhere',
          failure: "statement",
        });
        await insert(tx, "b");
      });
      assert.deepEqual(await names(db), ["a", "b"]);
    }));

  it("10,000 savepoints, each failing or kept, leave none open and the outer rows in place", () =>
    withDatabase(async (db) => {
      await db.transaction(async (tx) => {
        await insert(tx, "before");
        for (let i = 0; i < 10_000; i++) {
          const done = tx.savepoint(async (savepoint) => {
            await insert(savepoint, `inner ${i}`);
            if (i % 5_000 !== 0) throw i;
          });
          await done.catch((error) => assert.deepEqual(error, i));
        }
        await assert.rejects(tx.query("release uno_1"), { message: /no such savepoint/ });
        await insert(tx, "after");
      });
      assert.deepEqual(await names(db), ["before", "inner 0", "inner 5000", "after"]);
    }));

  it("a transaction ended by a statement in it takes nothing more, and nothing autocommits", () =>
    withDatabase(async (db) => {
      const endings = ["rollback", "commit", "insert or rollback into entries (name) values ('there')"];
      await db.transaction((tx) => insert(tx, "there"));
      for (const ending of endings) {
        let later: unknown;
        const failed = db.transaction(async (tx) => {
          await tx.query(ending).catch(() => {});
          later = await insert(tx, `after ${ending.slice(0, 8)}`).catch((error) => error);
        });
        await assert.rejects(failed, TransactionDoomedError);
        assert.ok(later instanceof TransactionDoomedError, ending);
      }
      assert.deepEqual(await names(db), ["there"]);
    }));

  it("a COMMIT that fails is rolled back, and the next transaction works", () =>
    withDatabase(async (db) => {
      await db.transaction((tx) =>
        tx.query("create table parts (entry integer references entries (id) deferrable initially deferred)")
      );
      const failed = db.transaction(async (tx) => {
        await insert(tx, "a");
        await tx.query("insert into parts values (99)");
      });
      await assert.rejects(failed, (error: ConstraintError) => {
        assert.deepEqual([error.kind, error.stage], ["foreignKey", "commit"]);
        return error instanceof ConstraintError;
      });
      await db.transaction((tx) => insert(tx, "b"));
      assert.deepEqual(await names(db), ["b"]);
    }));

  it("a transaction aborted at any await stores what was acknowledged, and no more", () =>
    withDatabase(async (db, open) => {
      const other = open();
      await names(other);
      let acknowledged: string[] = [];
      const { points } = await sweep(async (signal) => {
        acknowledged = [];
        for (const name of ["a", "b"]) {
          await db.transaction(async (tx) => {
            await insert(tx, name);
            await tx.savepoint((savepoint) => insert(savepoint, `inside ${name}`));
          }, { signal });
          acknowledged.push(name, `inside ${name}`);
        }
      }, async () => {
        assert.deepEqual(await names(other), acknowledged);
        assert.deepEqual(db.statistics().inUse, 0);
        // Would fail if the other one had left a transaction open.
        await other.transaction((tx) => tx.query("delete from entries"));
      });
      assert.ok(points > 10, `${points} points`);
    }));

  it("what it can't do is refused when the database is made, not when it is needed", () => {
    const options = [{ reset: true }, { verifyCommit: true }] as const;
    const messages = ["reset must be false with sqlite", "verifyCommit must be a function with sqlite"];
    for (const [i, wrong] of options.entries()) {
      assert.throws(() => new Database(sqliteDriver({ file: ":memory:" }), wrong), {
        name: "RangeError",
        message: `Cannot create database as ${messages[i]}: received true`,
      });
    }
  });

  it("a read-only transaction does not wait for a writer, sees one state, and can't write", () =>
    withDatabase(async (db, open) => {
      const other = open();
      await names(other);
      await db.transaction(async (tx) => {
        await insert(tx, "a");
        assert.deepEqual(await names(other), []);
        const writing = other.transaction((reader) => insert(reader, "b"), { readOnly: true });
        await assert.rejects(writing, { failure: "readOnly" });
      });
      await other.transaction(async (reader) => {
        const count = async (): Promise<unknown> =>
          (await reader.query("select count(*) as n from entries")).rows[0];
        const before = await count();
        await db.transaction((tx) => insert(tx, "c"));
        assert.deepEqual(await count(), before);
      }, { readOnly: true });
      await other.transaction((tx) => insert(tx, "d"));
      assert.deepEqual(await names(other), ["a", "c", "d"]);
    }));

  it("a writer waits for the lock of another without blocking, and gives up at the limit", () =>
    withDatabase(async (db, open) => {
      const other = open({ busyTimeoutMs: 0 });
      const impatient = open({ busyTimeoutMs: 0, lockTimeoutMs: 0 });
      await names(other);
      await names(impatient);
      const holder = await db.begin();
      await insert(holder, "first");
      await assert.rejects(
        impatient.transaction((tx) => insert(tx, "never")),
        (error: TransactionConflictError) => {
          assert.deepEqual([error.stage, error.failure], ["begin", "conflict"]);
          return error instanceof TransactionConflictError;
        },
      );
      await world(async (w) => {
        const waiting = other.transaction((tx) => insert(tx, "second"));
        await w.advance(100);
        await holder.commit();
        await waiting;
      });
      assert.deepEqual(await names(db), ["first", "second"]);
    }));

  it("a conflict in the middle of a plain transaction shows as one, by code or by text", () =>
    withDatabase(async (db, open) => {
      const other = open({ busyTimeoutMs: 0 });
      await using session = await other.session();
      await session.query("begin");
      await session.query("select * from entries");
      await db.transaction((tx) => insert(tx, "a"));
      await assert.rejects(
        session.query("insert into entries (name) values ('b')"),
        TransactionConflictError,
      );
      await session.query("rollback");
      const { classify } = sqliteDriver({ file: ":memory:" });
      assert.deepEqual(classify(new Error("database is locked")).kind, "conflict");
      assert.deepEqual(classify("text").kind, "other");
    }));

  it("sixty callers adding to one counter lose nothing", () =>
    withDatabase(async (db, open) => {
      await db.transaction(async (tx) => {
        await tx.query("create table counters (value integer not null)");
        await tx.query("insert into counters values (0)");
      });
      const databases = [db, open({ busyTimeoutMs: 0 }), open({ busyTimeoutMs: 0 })];
      const add = (on: Database): Promise<void> =>
        on.transaction(async (tx) => {
          const { rows: [row] } = await tx.query<{ value: number }>("select value from counters");
          await Promise.resolve();
          await tx.query("update counters set value = ?", [row!.value + 1]);
        });
      await Promise.all(databases.map(names));
      await world(() => Promise.all(Array.from({ length: 60 }, (_, i) => add(databases[i % 3]!))));
      await using session = await db.session();
      assert.deepEqual(
        (await session.query<{ value: number }>("select value from counters")).rows[0]!.value,
        60,
      );
    }));

  it("values go in and come out as they are, and what SQLite can't hold is refused", () =>
    withDatabase(async (db) => {
      const values = [null, 1.5, 2n, "text", new Uint8Array([1, 2]), true];
      const { rows } = await db.transaction((tx) =>
        tx.query<Record<string, unknown>>("select ? as a, ? as b, ? as c, ? as d, ? as e, ? as f", values)
      );
      const { a, b, c, d, e, f } = rows[0]!;
      assert.deepEqual([a, b, c, d, f], [null, 1.5, 2, "text", 1]);
      assert.deepEqual([...e as Uint8Array], [1, 2]);
      for (const value of [new Date(), undefined, {}, Symbol("s"), [1]]) {
        const message =
          /^Cannot bind parameter 1 as it must be null, a number, .*: received (\w+|Array, for which there is sql\.list)$/;
        await assert.rejects(db.transaction((tx) => tx.query("select ?", [value])), {
          name: "TypeError",
          message,
        });
      }
    }));

  it("whole numbers are bound as integers, and others as reals", () =>
    withDatabase(async (db) => {
      const sql =
        "select ? / 2 as half, 'k' || ? as name, typeof(?) as a, typeof(?) as b, typeof(?) as c, ? as most";
      const most = Number.MAX_SAFE_INTEGER;
      const { rows } = await db.query(sql, [5, 7, -1, 1.5, 1e300, most]);
      assert.deepEqual(rows, [{ half: 2, name: "k7", a: "integer", b: "real", c: "real", most }]);
    }));

  it("a key beyond what a number holds does not make what was carried out fail", () =>
    withDatabase(async (db) => {
      await db.transaction(async (tx) => {
        const inserted = await tx.query("insert into entries values (1234567890123456789, 'a')");
        assert.deepEqual([inserted.rowCount, inserted.insertId], [1, 1234567890123456789n]);
        await insert(tx, "b");
      });
      await db.query("delete from entries where name = 'b'");
      const { rows } = await db.query("select cast(id as text) as id from entries");
      assert.deepEqual(rows, [{ id: "1234567890123456789" }]);
    }));

  it("a stream fails where a query would, and does not just end", () =>
    withDatabase(async (db, open) => {
      await db.query("insert into entries (id, name) values (1, 'a')");
      const all = async (on: Pick<Database, "stream">, sql: string): Promise<void> => {
        for await (const _ of on.stream(sql, [], { batchRows: 1 })) { /* to its end */ }
      };
      const inside = db.transaction((tx) => all(tx, "insert into entries values (1, 'b') returning id"));
      await assert.rejects(inside, ConstraintError);
      await assert.rejects(all(db, "select 1 as n union all select 9007199254740993"), {
        name: "RangeError",
        message: /^Cannot read result of SELECT as its integers must fit in a number/,
      });
      const overflow = "select 1 as n union all select abs(-9223372036854775808)";
      await assert.rejects(all(db, overflow), { name: "DatabaseError", message: /: integer overflow$/ });
      const locked = open({ pragmas: { journal_mode: "delete" }, busyTimeoutMs: 0 });
      await db.close();
      await locked.query("select 1 as one");
      const other = open({ pragmas: { journal_mode: "delete" } });
      await using session = await other.session();
      await session.query("begin exclusive");
      await assert.rejects(all(locked, "select * from entries"), TransactionConflictError);
      await session.query("rollback");
      await all(locked, "select * from entries");
    }));

  it("integers beyond what a number holds are an error, or bigints when asked for", () =>
    withDatabase(async (db, open) => {
      const sql = "select 9007199254740993 as big";
      await assert.rejects(db.transaction((tx) => tx.query(sql)), RangeError);
      const { rows } = await open({ bigints: true }).transaction((tx) => tx.query<{ big: bigint }>(sql));
      assert.deepEqual(rows[0]!.big, 9007199254740993n);
    }));

  it("results tell rows, changes and keys apart", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      const inserted = await session.query("insert into entries (name) values ('a'), ('b')");
      assert.deepEqual([inserted.rowCount, Number(inserted.insertId), inserted.command], [2, 2, "INSERT"]);
      const returned = await session.query("insert into entries (name) values ('c') returning id");
      assert.deepEqual(returned.rows.map((row) => ({ ...row })), [{ id: 3 }]);
      assert.deepEqual((await session.query("/* all */ delete from entries where id > 1")).rowCount, 2);
      assert.deepEqual((await session.query("create table more (id)")).rowCount, 0);
      assert.deepEqual((await session.query("-- none\nselect * from more")).rowCount, 0);
    }));

  it("a second statement in the text is an error, not left out in silence", () =>
    withDatabase(async (db) => {
      const two = "insert into entries (name) values ('a'); insert into entries (name) values ('b')";
      await assert.rejects(db.transaction((tx) => tx.query(two)), {
        name: "TypeError",
        message: "Cannot run SQL as it must be one statement: the ones after the first are not run",
      });
      assert.deepEqual(await names(db), []);
      await db.transaction((tx) => tx.query("insert into entries (name) values ('c; d'); -- done"));
      assert.deepEqual(await names(db), ["c; d"]);
    }));

  it("a statement used before sees a column added since", () =>
    withDatabase(async (db) => {
      await db.transaction((tx) => insert(tx, "a"));
      const columns = async (): Promise<string[]> => {
        const { rows } = await db.transaction((tx) => tx.query("select * from entries"));
        return Object.keys(rows[0]!);
      };
      assert.deepEqual(await columns(), ["id", "name"]);
      await db.transaction((tx) => tx.query("alter table entries add column size integer"));
      assert.deepEqual(await columns(), ["id", "name", "size"]);
    }));

  it("a statement used before, or for the first time, sees the columns that another connection has made", () =>
    withDatabase(async (db, open) => {
      const other = open();
      await db.query("create table t (a, b)");
      await db.query("insert into t values ('a1', 'b1')");
      const read = async (on: Pick<Transaction, "query"> = db, sql = "select * from t"): Promise<unknown> =>
        (await on.query(sql)).rows[0];
      const streamed = async (): Promise<unknown> => {
        for await (const row of db.stream("select * from t")) return row;
      };
      assert.deepEqual(await read(), { a: "a1", b: "b1" });
      await other.query("alter table t rename to old");
      await other.query("create table t (b, a)");
      await other.query("insert into t select b, a from old");
      assert.deepEqual(await read(), { b: "b1", a: "a1" });
      await other.query("alter table t add column c default 7");
      assert.deepEqual(await streamed(), { b: "b1", a: "a1", c: 7 });
      await other.query("alter table t drop column b");
      assert.deepEqual(await read(db, "select * from t where 1 = 1"), { a: "a1", c: 7 });
      for (const readOnly of [true, false]) {
        await db.transaction(async (tx) => {
          assert.deepEqual(await read(tx), { a: "a1", c: 7 });
          assert.deepEqual(await read(tx), { a: "a1", c: 7 });
        }, { readOnly });
      }
      await other.query("alter table t rename column c to d");
      await db.transaction(async (tx) => assert.deepEqual(await read(tx), { a: "a1", d: 7 }));
    }));

  it("many different statements run, one after the other", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      for (let i = 0; i < 500; i++) {
        const { rows } = await session.query<{ n: number }>(`select ${i} as n`);
        assert.deepEqual(rows[0]!.n, i);
      }
    }));

  it("a place that can't be opened is one clear error, and keeps nothing", () =>
    withFile(async (file, folder) => {
      const attempt = async (options: SqliteOptions): Promise<ConnectFailedError> => {
        await using db = new Database(sqliteDriver(options), { name: "orders", lockTimeoutMs: 0 });
        const error = await db.session().catch((error) => error);
        assert.ok(error instanceof ConnectFailedError, String(error));
        assert.deepEqual(db.statistics().inUse, 0);
        return error;
      };
      const missing = await attempt({ file: join(folder, "missing", "test.db") });
      assert.deepEqual(missing.failure, "access");
      const start = `Cannot connect to database "orders" at ${
        JSON.stringify(join(folder, "missing", "test.db"))
      }: `;
      assert.ok(missing.message.startsWith(start + "unable to open database file"), missing.message);
      assert.deepEqual((await attempt({ file: folder })).failure, "access");
      assert.deepEqual((await attempt({ file, readOnly: true })).failure, "access");
      await writeFile(file, "this is no database, but some text ".repeat(100));
      assert.deepEqual((await attempt({ file })).failure, "storage");
    }));

  it("a file opened read-only can be read, and not written", () =>
    withDatabase(async (db, open) => {
      await db.transaction((tx) => insert(tx, "a"));
      const reader = open({ readOnly: true });
      assert.deepEqual(await names(reader), ["a"]);
      await assert.rejects(reader.transaction((tx) => insert(tx, "b")), { failure: "readOnly" });
    }));

  it("settings are made on each connection", () =>
    withDatabase(async (db, open) => {
      const setting = async (on: Database, name: string): Promise<unknown> =>
        Object.values((await on.transaction((tx) => tx.query(`pragma ${name}`))).rows[0]!)[0];
      assert.deepEqual(await setting(db, "journal_mode"), "wal");
      assert.deepEqual([await setting(db, "synchronous"), await setting(db, "foreign_keys")], [1, 1]);
      const other = open({ pragmas: { synchronous: "full", foreign_keys: false }, busyTimeoutMs: 70 });
      assert.deepEqual([await setting(other, "synchronous"), await setting(other, "foreign_keys")], [2, 0]);
      assert.deepEqual(await setting(other, "busy_timeout"), 70);
    }));

  it("refuses wrong options when it is made", () => {
    // deno-lint-ignore no-explicit-any
    const driver = sqliteDriver as any;
    assert.throws(() => driver(), TypeError);
    assert.throws(() => driver({}), TypeError);
    assert.throws(() => driver({ file: "" }), RangeError);
    assert.throws(() => driver({ file: "x", busyTimeoutMs: -1 }), RangeError);
    assert.throws(() => driver({ file: "x", readOnly: 1 }), TypeError);
    assert.throws(() => driver({ file: "x", pragmas: { "a; drop": 1 } }), RangeError);
    assert.throws(() => driver({ file: "x", pragmas: { user_version: "1; drop table x" } }), RangeError);
    for (const value of [null, undefined, NaN, Symbol("s")]) {
      assert.throws(() => driver({ file: "x", pragmas: { cache_size: value } }), RangeError);
    }
    for (const pragmas of [null, 5, "wal"]) assert.throws(() => driver({ file: "x", pragmas }), TypeError);
  });

  it("refuses text without a statement, and the session goes on", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    await using session = await db.session();
    for (const sql of ["", ";", "-- nothing", " /* nothing */ ; "]) {
      await assert.rejects(session.query(sql), {
        name: "TypeError",
        message: "Cannot run SQL as it must be one statement: received none",
      });
    }
    for (const sql of ["\0", "\0select 1", "select 1\0; select 2"]) {
      await assert.rejects(session.query(sql), {
        name: "TypeError",
        message: "Cannot run SQL as it must hold no NUL character: SQLite reads no further",
      });
    }
    const { rows } = await session.query("select 1 as one");
    assert.deepEqual({ ...rows[0] }, { one: 1 });
  });

  it("reads with the columns that are there after a change of the schema was rolled back", async () => {
    await using db = new Database(sqliteDriver({ file: ":memory:" }));
    const columns = async (tx: Pick<Transaction, "query">) =>
      Object.keys((await tx.query("select * from t")).rows[0] ?? {});
    await db.transaction(async (tx) => {
      await tx.query("create table t (a)");
      await tx.query("insert into t values (1)");
    });
    const whole = db.transaction(async (tx) => {
      await tx.query("alter table t add column b");
      assert.deepEqual(await columns(tx), ["a", "b"]);
      throw new Error("take it back");
    });
    await assert.rejects(whole, { message: "take it back" });
    assert.deepEqual(await db.transaction(columns), ["a"]);
    await db.transaction(async (tx) => {
      const part = tx.savepoint(async (savepoint) => {
        await savepoint.query("alter table t add column b");
        assert.deepEqual(await columns(savepoint), ["a", "b"]);
        throw new Error("take it back");
      });
      await assert.rejects(part, { message: "take it back" });
      assert.deepEqual(await columns(tx), ["a"]);
    });
  });

  it("refuses more or fewer values than a statement has placeholders, and runs nothing", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      const wrong: [string, unknown[], string][] = [
        ["select ?, ?", [1], "Cannot run SELECT as it takes 2 values: received 1"],
        ["select ?", [], "Cannot run SELECT as it takes 1 value: received 0"],
        ["select 1", [1], "Cannot run SELECT as it takes 0 values: received 1"],
        [
          "insert into entries values (?, ?)",
          [1, "a", 2],
          "Cannot run INSERT as it takes 2 values: received 3",
        ],
        ["select ?3, ?", [1, 2, 3], "Cannot run SELECT as it takes 4 values: received 3"],
        ["select :x", [1], "Cannot run SELECT as placeholders must be ? or ?1: received :x"],
        ["select $a::b(c)", [], "Cannot run SELECT as placeholders must be ? or ?1: received $a::b"],
        ["select @x", [1], "Cannot run SELECT as placeholders must be ? or ?1: received @x"],
      ];
      for (const [sql, params, message] of wrong) {
        for (let again = 0; again < 2; again++) {
          await assert.rejects(session.query(sql, params), { name: "TypeError", message });
        }
      }
      assert.deepEqual((await session.query("select * from entries")).rows, []);
    }));

  it("counts placeholders as SQLite does, past texts, names and comments", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      await session.query('create table "a?b" ([c?d], `e?f`, g$h, "it""s ?")');
      const right: [string, unknown[]][] = [
        ["select '?', 'it''s ?' as \"?\", ? -- ? :x\n, /* ? @x */ ? /* ?", [1, 2]],
        ['select [c?d], `e?f`, g$h, "it""s ?" from "a?b" where g$h = ?', [1]],
        ["select ?1, ?1, ?2", [1, 2]],
        ["select ?2, ?", [1, 2, 3]],
        ["select ?5", [1, 2, 3, 4, 5]],
        ["select '{\"a\": 1}' ->> '$.a', x'00', 'a:b', 1e3, ?", [1]],
        ["select ?||':x'||?", [1, 2]],
        ["select é$x from (select 1 as é$x)", []],
      ];
      for (const [sql, params] of right) await session.query(sql, params);
      const { rows } = await session.query<{ a: number; b: number }>("select ?2 as a, ?1 as b", [1, 2]);
      assert.deepEqual(rows, [{ a: 2, b: 1 }]);
    }));

  it("gives rows that equal plain objects", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      const { rows } = await session.query("select 1 as x, 'a' as y union all select 2, 'b'");
      assert.deepEqual(rows, [{ x: 1, y: "a" }, { x: 2, y: "b" }]);
      const returned = await session.query("insert into entries (name) values ('a') returning name");
      assert.deepEqual(returned.rows, [{ name: "a" }]);
    }));

  it("names bigints where an integer does not fit, and refuses bigints beyond 64 bits", () =>
    withDatabase(async (db) => {
      await using session = await db.session();
      await assert.rejects(session.query("select 9007199254740993 as big"), (error: RangeError) => {
        assert.deepEqual(error.name, "RangeError");
        assert.deepEqual(
          error.message,
          "Cannot read result of SELECT as its integers must fit in a number: set bigints: true in the driver's options",
        );
        return error.cause instanceof Error;
      });
      const { rows } = await session.query("select cast(? as text) as most", [2n ** 63n - 1n]);
      assert.deepEqual(rows, [{ most: "9223372036854775807" }]);
      for (const beyond of [2n ** 63n, -(2n ** 63n) - 1n]) {
        await assert.rejects(session.query("select ?", [beyond]), {
          name: "RangeError",
          message: `Cannot bind parameter 1 as bigints must fit in 64 bits: received ${beyond}`,
        });
      }
    }));
}
