/** The driver for SQLite, whichever way that is opened. @module */
import { checkBoolean, checkInteger, checkName, checkOptions } from "../../kernel/checks.ts";
import type { Driver } from "../driver.ts";
import { SqliteConnection } from "./_sqlite_connection.ts";
import type { Engine, OpenEngine, Quirks } from "./_sqlite_engine.ts";
import { quirksOf } from "./_sqlite_quirks.ts";
import { begin, classify, pragmas } from "./_sqlite_shared.ts";

/** Options of `sqliteDriver`. */
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

/** Makes the driver. @param ways To open a file; the first that the runtime has is taken. */
export function driverOver(options: SqliteOptions, ways: readonly OpenEngine[]): Driver {
  const doing = "create SQLite driver";
  checkOptions(doing, options);
  if (options?.file === undefined) {
    throw new TypeError(`Cannot ${doing} as file must be given: received none`);
  }
  const { file, readOnly = false, busyTimeoutMs = 20, bigints = false } = options;
  checkName(doing, file, "file");
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
  const open = async (): Promise<{ engine: Engine; quirks: Quirks }> => {
    for (const way of ways) {
      const engine = await way(file, { readOnly, timeout: busyTimeoutMs });
      if (engine !== undefined) return { engine, quirks: await quirksOf(way) };
    }
    throw new Error(
      "Cannot open SQLite: node:sqlite is needed, which comes with Node.js 22.16 or newer, with Deno and with Bun",
    );
  };
  return {
    name: "sqlite",
    dialect: "sqlite",
    target: file,
    maxSessions: 1,
    resets: false,
    begin,
    classify,
    async connect() {
      const { engine, quirks } = await open();
      try {
        for (const setting of settings) engine.prepare(setting).run();
        return new SqliteConnection(engine, bigints, quirks);
      } catch (error) {
        engine.close();
        throw error;
      }
    },
  };
}
