/**
 * PostgreSQL through node-postgres, the package `pg`.
 *
 * @module
 */
import { checkChoice, checkOptions, show } from "../../kernel/checks.ts";
import type { Connection, Driver, Failure, Result } from "../driver.ts";
import { Loss, openOrDestroy } from "./_lifeline.ts";
import { type PgClient, type PgModule, type PgResult, sendCancel, wireOf } from "./_pg_module.ts";
import {
  classifyOther,
  classifyState,
  postgres,
  refuseCopy,
  RESET,
  snapshot,
  targetOf,
} from "./_postgres_shared.ts";

export type { PgClient, PgModule, PgResult, PgWire } from "./_pg_module.ts";

/**
 * Options of {@linkcode pgDriver}: those of a `Client` of `pg` (`host`, `port`, `user`, `password`, `database`,
 * `connectionString`, `ssl`, …), and one of ours.
 */
export interface PgOptions {
  /**
   * How a running statement is cancelled: by a request of its own on the wire (default), or by `pg_cancel_backend` on a
   * connection of its own, for servers behind a pooler or a proxy.
   */
  cancel?: "wire" | "sql" | undefined;
}

/**
 * The driver for PostgreSQL through `pg`, which the caller brings. Its pool is not used: `Database` has its own.
 *
 * **Abort** — the statement is cancelled on the server. **One statement** per query: the extended protocol takes no more.
 * **COPY** — from STDIN and to STDOUT is refused. **Values** — as `pg` reads and writes them.
 *
 * @param module The package: `import pg from "pg"`.
 * @throws {TypeError | RangeError} For bad options. A server that can't be reached shows when the `Database` connects.
 *
 * @example
 * ```ts ignore
 * import pg from "pg";
 * import { Database } from "@uno/async/database";
 * import { pgDriver } from "@uno/async/database/pg";
 *
 * await using db = new Database(pgDriver(pg, { host: "127.0.0.1", database: "shop" }), { max: 10 });
 * const { rows } = await db.query("select name from products where id = $1", [7]);
 * ```
 */
export function pgDriver<O extends object>(module: PgModule, options?: O & PgOptions): Driver;
export function pgDriver(module: PgModule, options: PgOptions = {}): Driver {
  const doing = "create pg driver";
  if (typeof module?.Client !== "function") {
    throw new TypeError(`Cannot ${doing} as module must be that of pg: received ${show(module)}`);
  }
  checkOptions(doing, options ?? null);
  const { cancel = "wire", ...config } = options;
  checkChoice(doing, "cancel", cancel, ["wire", "sql"]);
  return {
    ...postgres,
    name: "pg",
    target: targetOf(config),
    snapshot,
    classify,
    connect({ signal }) {
      const client = new module.Client(config as never);
      const connection = new PgConnection(client, () => new module.Client(config as never), cancel);
      return openOrDestroy(connection, signal, () => client.connect(), () => connection.destroy());
    },
  };
}

class PgConnection implements Connection {
  readonly raw: PgClient;
  readonly #another: () => PgClient;
  readonly #cancel: "wire" | "sql";
  readonly #loss = new Loss();
  #canceller: PgClient | undefined;

  constructor(client: PgClient, another: () => PgClient, cancel: "wire" | "sql") {
    this.raw = client;
    this.#another = another;
    this.#cancel = cancel;
    // For as long as it lives: an error that nobody listens to would end the process.
    client.on("error", this.#loss.happen);
    client.on("end", this.#loss.happen);
  }

  get id(): number | undefined {
    return this.raw.processID ?? undefined;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    refuseCopy(sql);
    // With values, pg itself takes no more than one statement. A text without a semicolon is one, and spares messages.
    const answer = params.length > 0
      ? this.raw.query(sql, params as unknown[])
      : this.raw.query(sql.includes(";") ? { text: sql, values: [], queryMode: "extended" } : sql);
    const { rows = [], rowCount, command } = await answer as PgResult;
    return { rows, rowCount: rowCount ?? 0, command };
  }

  inTransaction(): boolean {
    return this.raw.getTransactionStatus?.() !== "I";
  }

  async cancel(): Promise<void> {
    const { processID, secretKey } = this.raw;
    if (this.#loss.happened || !processID || !secretKey) return;
    const other = this.#canceller = this.#another();
    try {
      other.on("error", () => {});
      await sendCancel(other, this.#cancel, processID, secretKey);
    } finally {
      wireOf(other)?.stream.destroy();
      this.#canceller = undefined;
    }
  }

  async reset(): Promise<void> {
    await this.raw.query(RESET);
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    if (force) this.destroy();
    else await this.raw.end();
  }

  destroy(): void {
    wireOf(this.raw)?.stream.destroy();
    if (this.#canceller !== undefined) wireOf(this.#canceller)?.stream.destroy();
  }
}

function classify(error: unknown): Failure {
  const { code, constraint, table, column, severity } = (error ?? {}) as Record<string, string | undefined>;
  if (severity !== undefined && /^[0-9A-Z]{5}$/.test(code ?? "")) {
    return classifyState({ state: code!, constraint, table, column });
  }
  return classifyOther(error, (_, message) => lost.test(message));
}

const lost =
  /^(?:Connection terminated|Client (?:has encountered|was closed)|timeout expired|Connection ended)/;
