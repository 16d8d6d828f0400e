/**
 * SQLite as the runtime brings it: `node:sqlite`, which Node 22.16 and later, Deno and Bun have.
 *
 * @module
 */
import { checkBoolean, checkInteger, checkName, checkOptions } from "../../kernel/checks.ts";
import type { Driver } from "../driver.ts";
import { SqliteConnection } from "./_sqlite_connection.ts";
import { openSqlite } from "./_sqlite_module.ts";
import { begin, classify, pragmas } from "./_sqlite_shared.ts";

/** Options of {@linkcode sqliteDriver}. */
export interface SqliteOptions {
  /** The path of the database file, made if it is missing (its folder is not), or `":memory:"`. */
  file: string;
  /** Opens without the right to write; the file must exist. Default false. */
  readOnly?: boolean | undefined;
  /**
   * How long a statement waits for the lock of another process, in milliseconds. Default 20: nothing else runs in this
   * process meanwhile. Transactions wait longer by themselves, without blocking (`lockTimeoutMs` of `Database`).
   */
  busyTimeoutMs?: number | undefined;
  /** Settings over the defaults `journal_mode: "wal"`, `synchronous: "normal"` and `foreign_keys: true`. */
  pragmas?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** Whether integers are read as bigint. Default false: numbers, and an error for what a number can't hold. */
  bigints?: boolean | undefined;
}

/**
 * The driver for an SQLite database in a file, through the runtime's own `node:sqlite`.
 *
 * **Blocking** — SQLite runs inside the process: nothing else does while a statement runs, and an abort is heeded
 * between statements. **Concurrency** — one connection per `Database`; several processes may use one file, writers one
 * after the other. **Durability** — with the defaults, what was committed survives any end of the process; a power cut
 * may take the last commits, never the consistency: `pragmas: { synchronous: "full" }` keeps those too, for a wait on
 * the disk per transaction. **Values** — null, number, bigint, string, boolean (as 0 and 1) and `Uint8Array` can be
 * bound; a Date can't, as SQLite has no such type. **Placeholders** — `?` and `?1`, as many as there are values; none with
 * names. **Rows** — plain objects. **One statement** per query. **Node 22** prints an
 * `ExperimentalWarning` when SQLite is first used; `NODE_OPTIONS=--disable-warning=ExperimentalWarning` hides it.
 *
 * @throws {TypeError | RangeError} For bad options. A file that can't be opened shows when the `Database` first connects.
 *
 * @example
 * ```ts
 * import { Database } from "@uno/async/database";
 * import { sqliteDriver } from "@uno/async/database/sqlite";
 * import assert from "node:assert/strict";
 *
 * await using db = new Database(sqliteDriver({ file: ":memory:" }));
 * const { rows } = await db.transaction((tx) => tx.query<{ sum: number }>("select ? + ? as sum", [1, 2]));
 * assert.deepEqual(rows[0]?.sum, 3);
 * ```
 */
export function sqliteDriver(options: SqliteOptions): Driver {
  const doing = "create SQLite driver";
  checkOptions(doing, options ?? null);
  const { file, readOnly = false, busyTimeoutMs = 20, bigints = false } = options;
  checkName(doing, file ?? null, "file");
  if (file === "") throw new RangeError(`Cannot ${doing} as file must be a path: received ""`);
  checkBoolean(doing, "readOnly", readOnly);
  checkBoolean(doing, "bigints", bigints);
  checkInteger(doing, "busyTimeoutMs", busyTimeoutMs, 0, 2 ** 31 - 1);
  checkOptions(`${doing} as pragmas`, options.pragmas);
  const defaults = {
    ...(readOnly ? {} : { journal_mode: "wal" }),
    synchronous: "normal",
    foreign_keys: true,
  };
  const settings = pragmas(doing, { ...defaults, ...options.pragmas });
  return {
    name: "node:sqlite",
    dialect: "sqlite",
    target: file,
    maxSessions: 1,
    begin,
    classify,
    async connect() {
      const engine = await openSqlite(file, { readOnly, timeout: busyTimeoutMs });
      try {
        for (const setting of settings) engine.prepare(setting).run();
        return new SqliteConnection(engine, bigints);
      } catch (error) {
        engine.close();
        throw error;
      }
    },
  };
}
