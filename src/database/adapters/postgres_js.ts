/**
 * PostgreSQL through Postgres.js, the package `postgres`.
 *
 * @module
 */
import { checkOptions, show } from "../../kernel/checks.ts";
import type { Driver, Failure } from "../driver.ts";
import { type ClientKind, connectClient } from "./_client_connection.ts";
import { classifyOther, classifyState, postgres, snapshot, targetOf } from "./_postgres_shared.ts";

/** What a statement gives in Postgres.js: the rows, with more about them. */
export interface PostgresJsResult extends Array<unknown> {
  /** How many rows it returned or changed. */
  readonly count?: number | null;
  /** What it did. */
  readonly command?: string;
}

/** What is used of an instance of Postgres.js. */
export interface PostgresJsSql {
  /** Runs a statement that is a text. */
  unsafe(
    sql: string,
    params: never,
    options: { simple: boolean; prepare: boolean },
  ): PromiseLike<PostgresJsResult>;
  /** Ends it in good order. */
  end(options: { timeout: number }): Promise<void>;
}

/** What is used of the package: `import postgres from "postgres"`. */
export type PostgresJsModule = (options: never) => PostgresJsSql;

/**
 * Options of {@linkcode postgresJsDriver}: those of Postgres.js, but for what concerns its pool: `host`, `port`, `user`,
 * `password`, `database`, `ssl`, `types`, …
 */
export interface PostgresJsOptions {
  /** Whether statements are prepared by name and kept on the server. Default false, which poolers need. */
  prepare?: boolean | undefined;
}

/**
 * The driver for PostgreSQL through Postgres.js, which the caller brings.
 *
 * Each connection is an instance that may open one only, and is never used again once that was lost: the package would
 * connect anew by itself, in the middle of a transaction. Its own pool, `begin` and `cancel` are not used.
 * **Abort** — the statement is cancelled on the server, by a connection of its own. **One statement** per query.
 * **COPY** — from STDIN and to STDOUT is refused. **Values** — as Postgres.js reads and writes them.
 *
 * @param module The package: `import postgres from "postgres"`.
 * @throws {TypeError | RangeError} For bad options. A server that can't be reached shows when the `Database` connects.
 *
 * @example
 * ```ts ignore
 * import postgres from "postgres";
 * import { Database } from "@uno/async/database";
 * import { postgresJsDriver } from "@uno/async/database/postgres-js";
 *
 * await using db = new Database(postgresJsDriver(postgres, { host: "127.0.0.1", database: "shop" }), { max: 10 });
 * const { rows } = await db.query("select name from products where id = $1", [7]);
 * ```
 */
export function postgresJsDriver<O extends object>(
  module: PostgresJsModule,
  options?: O & PostgresJsOptions,
): Driver;
export function postgresJsDriver(module: PostgresJsModule, options: PostgresJsOptions = {}): Driver {
  const doing = "create postgres.js driver";
  if (typeof module !== "function") {
    throw new TypeError(`Cannot ${doing} as module must be that of postgres: received ${show(module)}`);
  }
  checkOptions(doing, options ?? null);
  const { prepare = false, ...given } = options;
  const config = {
    onnotice: () => {},
    ...given,
    max: 1,
    idle_timeout: null,
    max_lifetime: null,
    fetch_types: false,
    backoff: false,
  };
  const client: ClientKind<PostgresJsSql> = {
    closedCode: "CONNECTION_CLOSED",
    // It calls with a number of its own, which is no error.
    make: (onclose) => module({ ...config, onclose: () => onclose() } as never),
    script: (sql, text) => sql.unsafe(text, [] as never, SIMPLE),
    async run(sql, text, params) {
      const missing = params.indexOf(undefined);
      if (missing >= 0) {
        throw new TypeError(
          `Cannot run statement as value ${missing + 1} must not be undefined: received undefined`,
        );
      }
      const result = await sql.unsafe(
        text,
        params as never,
        prepare === true ? PREPARED : howToRun(text, params),
      );
      return { rows: [...result], rowCount: result.count ?? 0, command: result.command };
    },
    end: (sql, timeout) => sql.end({ timeout }),
  };
  return {
    ...postgres,
    name: "postgres.js",
    target: targetOf(given),
    snapshot,
    classify,
    connect: ({ signal }) => connectClient(client, signal),
  };
}

const SIMPLE = { simple: true, prepare: false };
const EXTENDED = { simple: false, prepare: false };
const PREPARED = { simple: false, prepare: true };

/** A text without a semicolon is one statement by itself, and takes the shorter way if it has no values either. */
function howToRun(sql: string, params: readonly unknown[]): typeof SIMPLE {
  return params.length === 0 && !sql.includes(";") ? SIMPLE : EXTENDED;
}

function classify(error: unknown): Failure {
  const { code, constraint_name, table_name, column_name, severity } = (error ?? {}) as Record<
    string,
    string | undefined
  >;
  if (severity !== undefined && /^[0-9A-Z]{5}$/.test(code ?? "")) {
    return classifyState({
      state: code!,
      constraint: constraint_name,
      table: table_name,
      column: column_name,
    });
  }
  return classifyOther(error, (code) => /^CONNECT|^CONNECTION_/.test(code));
}
