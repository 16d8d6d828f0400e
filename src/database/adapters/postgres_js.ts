/**
 * PostgreSQL through Postgres.js, the package `postgres`.
 *
 * @module
 */
import { checkOptions, show } from "../../kernel/checks.ts";
import type { Connection, Driver, Failure, Result } from "../driver.ts";
import { Loss, openOrDestroy } from "./_lifeline.ts";
import {
  begin,
  classifyOther,
  classifyState,
  commitCheck,
  RESET,
  snapshot,
  targetOf,
  TransactionTracker,
  twoPhase,
} from "./_postgres_shared.ts";

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

/** Options of {@linkcode postgresJsDriver}: those of Postgres.js, but for what concerns its pool. */
export interface PostgresJsOptions {
  /** Whether statements are prepared by name and kept on the server. Default false, which poolers need. */
  prepare?: boolean | undefined;
  /** What `postgres` takes: `host`, `port`, `user`, `password`, `database`, `ssl`, `types`, … */
  readonly [option: string]: unknown;
}

/**
 * The driver for PostgreSQL through Postgres.js, which the caller brings.
 *
 * Each connection is an instance that may open one only, and is never used again once that was lost: the package would
 * connect anew by itself, in the middle of a transaction. Its own pool, `begin` and `cancel` are not used.
 * **Abort** — the statement is cancelled on the server, by a connection of its own. **One statement** per query.
 * **Values** — as Postgres.js reads and writes them.
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
  return {
    name: "postgres.js",
    dialect: "postgres",
    target: targetOf(given),
    begin,
    classify,
    commitCheck,
    twoPhase,
    snapshot,
    connect({ signal }) {
      const connection = new PostgresJsConnection(
        (more) => module({ ...config, ...more } as never),
        prepare === true,
      );
      const destroy = (): void => void connection.close({ force: true });
      return openOrDestroy(connection, signal, () => connection.open(), destroy);
    },
  };
}

const SIMPLE = { simple: true, prepare: false };
const EXTENDED = { simple: false, prepare: false };
const PREPARED = { simple: false, prepare: true };

class PostgresJsConnection implements Connection {
  readonly raw: PostgresJsSql;
  id: number | undefined;
  readonly #another: (more: object) => PostgresJsSql;
  readonly #prepare: boolean;
  readonly #transaction = new TransactionTracker();
  readonly #loss = new Loss();
  #canceller: PostgresJsSql | undefined;

  constructor(make: (more: object) => PostgresJsSql, prepare: boolean) {
    this.#another = make;
    this.#prepare = prepare;
    this.raw = make({ onclose: () => this.#loss.happen() });
  }

  async open(): Promise<void> {
    const [row] = await this.raw.unsafe("select pg_backend_pid() as pid", [] as never, EXTENDED);
    this.id = (row as { pid: number }).pid;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    // It would connect anew, and run outside of whatever this belongs to.
    if (this.#loss.happened) {
      throw Object.assign(new Error("Cannot query: the connection was closed"), {
        code: "CONNECTION_CLOSED",
      });
    }
    try {
      const result = await this.raw.unsafe(sql, params as never, this.#how(sql, params));
      this.#transaction.succeeded(sql);
      return { rows: [...result], rowCount: result.count ?? 0, command: result.command };
    } catch (error) {
      this.#transaction.failed(sql);
      throw error;
    }
  }

  /** A text without a semicolon is one statement by itself, and takes the shorter way if it has no values either. */
  #how(sql: string, params: readonly unknown[]): { simple: boolean; prepare: boolean } {
    if (this.#prepare) return PREPARED;
    return params.length === 0 && !sql.includes(";") ? SIMPLE : EXTENDED;
  }

  inTransaction(): boolean {
    return this.#transaction.open;
  }

  async cancel(): Promise<void> {
    if (this.#loss.happened) return;
    const other = this.#canceller = this.#another({});
    try {
      await other.unsafe("select pg_cancel_backend($1)", [this.id] as never, EXTENDED);
    } finally {
      this.#canceller = undefined;
      await other.end({ timeout: 0 });
    }
  }

  async reset(): Promise<void> {
    await this.raw.unsafe(RESET, [] as never, SIMPLE);
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    const timeout = force || this.#loss.happened ? 0 : 5;
    if (force) this.#loss.mute();
    await Promise.all([this.#canceller?.end({ timeout: 0 }), this.raw.end({ timeout })]);
  }
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
