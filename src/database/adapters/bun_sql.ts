/**
 * PostgreSQL through the client that Bun brings, `Bun.SQL`.
 *
 * @module
 */
import { checkOptions } from "../../kernel/checks.ts";
import type { Connection, Driver, Failure, Result } from "../driver.ts";
import { Loss, openOrDestroy } from "./_lifeline.ts";
import {
  begin,
  classifyOther,
  classifyState,
  commitCheck,
  holdsSeveral,
  RESET,
  snapshot,
  targetOf,
  TransactionTracker,
  twoPhase,
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

/** Options of {@linkcode bunSqlDriver}: those of `Bun.SQL`, but for what concerns its pool. */
export interface BunSqlOptions {
  /** What `Bun.SQL` takes: `hostname`, `port`, `username`, `password`, `database`, `url`, `tls`, … */
  readonly [option: string]: unknown;
}

/**
 * The driver for PostgreSQL through `Bun.SQL`; on Bun only.
 *
 * Each connection is a client that may open one only; its own pool is not used. **Abort** — the statement is cancelled on
 * the server, by a connection of its own. **One statement** per query. **Values** — as Bun reads and writes them.
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
  return {
    name: "bun:sql",
    dialect: "postgres",
    target: targetOf(options),
    begin,
    classify,
    commitCheck,
    twoPhase,
    snapshot,
    connect({ signal }) {
      const connection = new BunSqlConnection(options);
      const destroy = (): void => void connection.close({ force: true });
      return openOrDestroy(connection, signal, () => connection.open(), destroy);
    },
  };
}

function make(options: BunSqlOptions, onclose: (error?: unknown) => void): BunSql {
  const bun = (globalThis as { Bun?: { SQL?: new (options: object) => BunSql } }).Bun;
  if (bun?.SQL === undefined) {
    throw new Error("Cannot connect through Bun.SQL: it comes with Bun 1.2 or newer");
  }
  return new bun.SQL({ ...options, max: 1, idleTimeout: 0, maxLifetime: 0, onclose });
}

class BunSqlConnection implements Connection {
  readonly raw: BunSql;
  id: number | undefined;
  readonly #options: BunSqlOptions;
  readonly #transaction = new TransactionTracker();
  readonly #loss = new Loss();
  #canceller: BunSql | undefined;

  constructor(options: BunSqlOptions) {
    this.#options = options;
    this.raw = make(options, this.#loss.happen);
  }

  async open(): Promise<void> {
    const [row] = await this.raw.unsafe("select pg_backend_pid() as pid", []);
    this.id = (row as { pid: number }).pid;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    // It would connect anew, and run outside of whatever this belongs to.
    if (this.#loss.happened) {
      throw Object.assign(new Error("Cannot query: the connection was closed"), {
        code: "ERR_POSTGRES_CONNECTION_CLOSED",
      });
    }
    // Without values Bun speaks the simple protocol, which takes several.
    if (params.length === 0 && holdsSeveral(sql)) {
      throw new TypeError("Cannot run SQL as it must be one statement: received several");
    }
    try {
      const result = await this.raw.unsafe(sql, params);
      this.#transaction.succeeded(sql);
      const { count, affectedRows, command } = result;
      return { rows: [...result], rowCount: affectedRows || count || result.length, command };
    } catch (error) {
      this.#transaction.failed(sql);
      throw error;
    }
  }

  inTransaction(): boolean {
    return this.#transaction.open;
  }

  async cancel(): Promise<void> {
    if (this.#loss.happened) return;
    const other = this.#canceller = make(this.#options, () => {});
    try {
      await other.unsafe("select pg_cancel_backend($1)", [this.id]);
    } finally {
      this.#canceller = undefined;
      await other.close({ timeout: 0 });
    }
  }

  async reset(): Promise<void> {
    await this.raw.unsafe(RESET, []);
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    const timeout = force || this.#loss.happened ? 0 : 5;
    if (force) this.#loss.mute();
    await Promise.all([this.#canceller?.close({ timeout: 0 }), this.raw.close({ timeout })]);
  }
}

function classify(error: unknown): Failure {
  const { errno, constraint, table, column } = (error ?? {}) as Record<string, string | undefined>;
  if (/^[0-9A-Z]{5}$/.test(String(errno))) {
    return classifyState({ state: String(errno), constraint, table, column });
  }
  return classifyOther(error, (code) => /CONNECTION|_CLOSED|_TIMEOUT/.test(code));
}
