/**
 * SQLite as the runtime brings it: `node:sqlite`, which Node 22.16 and later, Deno and Bun 1.4 have, or `bun:sqlite` on an
 * earlier Bun.
 *
 * @module
 */
import type { Driver } from "../driver.ts";
import { openBunSqlite } from "./_sqlite_bun.ts";
import { driverOver, type SqliteOptions } from "./_sqlite_driver.ts";
import { openNodeSqlite } from "./_sqlite_node.ts";

export type { SqliteOptions } from "./_sqlite_driver.ts";

/**
 * The driver for an SQLite database in a file, through the SQLite of the runtime.
 *
 * **Blocking** — SQLite runs inside the process: nothing else does while a statement runs, and an abort is heeded
 * between statements. **Concurrency** — one connection per `Database`; several processes may use one file, writers one
 * after the other. **Durability** — with the defaults, what was committed survives any end of the process; a power cut
 * may take the last commits, never the consistency: `pragmas: { synchronous: "full" }` keeps those too, for a wait on
 * the disk per transaction. **Values** — null, number, bigint, string, boolean (as 0 and 1) and `Uint8Array` can be
 * bound, whole numbers as INTEGER; a Date can't, as SQLite has no such type. **Placeholders** — `?` and `?1`, as many as there are values; none with
 * names. **Rows** — plain objects. **One statement** per query. **Deno** 2.9
 * hides errors from rows that are read one by one, so all rows of a stream are read when it begins; and it ends a text at
 * a NUL character. **Node 22** prints an
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
  return driverOver(options, [openNodeSqlite, openBunSqlite]);
}
