/**
 * PostgreSQL through the client that Bun brings, `Bun.SQL`.
 *
 * @module
 */
import { checkOptions } from "../../kernel/checks.ts";
import type { Driver, Failure } from "../driver.ts";
import { type ClientKind, connectClient } from "./_client_connection.ts";
import {
  classifyOther,
  classifyState,
  holdsSeveral,
  postgres,
  snapshot,
  targetOf,
} from "./_postgres_shared.ts";

interface BunSqlResult extends Array<unknown> {
  readonly count?: number | null;
  readonly affectedRows?: number | null;
  readonly command?: string;
}

interface BunSql {
  unsafe(sql: string, params: readonly unknown[]): PromiseLike<BunSqlResult>;
  close(options?: { timeout: number }): Promise<void>;
}

/**
 * Options of {@linkcode bunSqlDriver}: those of `Bun.SQL`, but for what concerns its pool: `hostname`, `port`, `username`,
 * `password`, `database`, `url`, `tls`, …
 */
export type BunSqlOptions = object;

/**
 * The driver for PostgreSQL through `Bun.SQL`; on Bun only.
 *
 * Each connection is a client that may open one only; its own pool is not used. **Abort** — the statement is cancelled on
 * the server, by a connection of its own. **One statement** per query. **COPY** — from STDIN and to STDOUT is refused.
 * **Values** — as Bun reads and writes them.
 *
 * @throws {TypeError | RangeError} For bad options.
 * @throws {Error} When connecting anywhere but on Bun.
 *
 * @example
 * ```ts ignore
 * import { Database } from "@uno/async/database";
 * import { bunSqlDriver } from "@uno/async/database/bun-sql";
 *
 * await using db = new Database(bunSqlDriver({ hostname: "127.0.0.1", database: "shop" }), { max: 10 });
 * const { rows } = await db.query("select name from products where id = $1", [7]);
 * ```
 */
export function bunSqlDriver(options: BunSqlOptions = {}): Driver {
  checkOptions("create Bun.SQL driver", options ?? null);
  const client: ClientKind<BunSql> = {
    closedCode: "ERR_POSTGRES_CONNECTION_CLOSED",
    make: (onclose) => make(options, onclose),
    script: (sql, text) => sql.unsafe(text, []),
    async run(sql, text, params) {
      // Without values Bun speaks the simple protocol, which takes several.
      if (params.length === 0 && holdsSeveral(text)) {
        throw new TypeError("Cannot run SQL as it must be one statement: received several");
      }
      const result = await sql.unsafe(text, params);
      const { count, affectedRows, command } = result;
      return { rows: [...result], rowCount: affectedRows || count || result.length, command };
    },
    end: (sql, timeout) => sql.close({ timeout }),
  };
  return {
    ...postgres,
    name: "bun:sql",
    target: targetOf(options),
    snapshot,
    classify,
    connect: ({ signal }) => connectClient(client, signal),
  };
}

function make(options: BunSqlOptions, onclose: (error?: unknown) => void): BunSql {
  const bun = (globalThis as { Bun?: { SQL?: new (options: object) => BunSql } }).Bun;
  if (bun?.SQL === undefined) {
    throw new Error("Cannot connect through Bun.SQL: it comes with Bun 1.2 or newer");
  }
  return new bun.SQL({ ...options, max: 1, idleTimeout: 0, maxLifetime: 0, onclose });
}

function classify(error: unknown): Failure {
  const { errno, constraint, table, column } = (error ?? {}) as Record<string, string | undefined>;
  if (/^[0-9A-Z]{5}$/.test(String(errno))) {
    return classifyState({ state: String(errno), constraint, table, column });
  }
  return classifyOther(error, (code) => /CONNECTION|_CLOSED|_TIMEOUT/.test(code));
}
