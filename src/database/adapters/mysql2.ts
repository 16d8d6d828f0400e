/**
 * MySQL and MariaDB through the package `mysql2`.
 *
 * @module
 */
import { checkOptions, show } from "../../kernel/checks.ts";
import type { Connection, Driver, Result, RowReader } from "../driver.ts";
import { Loss } from "./_lifeline.ts";
import { MysqlAnswers } from "./_mysql_answers.ts";
import {
  closedError,
  destroy,
  type Mysql2Connection,
  type Mysql2Module,
  open,
  resetSession,
} from "./_mysql_module.ts";
import { checkParams } from "./_mysql_placeholders.ts";
import { type Mysql2Line, MysqlRows } from "./_mysql_rows.ts";
import { begin, classify, twoPhase } from "./_mysql_shared.ts";
import { targetOf } from "./_postgres_shared.ts";

export type { Mysql2Connection, Mysql2Module } from "./_mysql_module.ts";

/**
 * Options of {@linkcode mysql2Driver}: what `createConnection` takes: `host`, `port`, `user`, `password`, `database`, `uri`,
 * `ssl`, `timezone`, …
 */
export type Mysql2Options = object;

/**
 * The driver for MySQL and MariaDB through `mysql2`, which the caller brings.
 *
 * **Abort** — the statement is stopped by `KILL QUERY` on a connection of its own. **One statement** per query.
 * **Deadlocks** — end the whole transaction, savepoints included. **Values** — as `mysql2` reads and writes them; those of
 * a statement with parameters go the binary way. MySQL's own server is not tested, MariaDB is.
 *
 * @param module The package: `import mysql from "mysql2/promise"`.
 * @throws {TypeError | RangeError} For bad options. A server that can't be reached shows when the `Database` connects.
 *
 * @example
 * ```ts ignore
 * import mysql from "mysql2/promise";
 * import { Database } from "@uno/async/database";
 * import { mysql2Driver } from "@uno/async/database/mysql2";
 *
 * await using db = new Database(mysql2Driver(mysql, { host: "127.0.0.1", database: "shop" }), { max: 10 });
 * const { rows } = await db.query("select name from products where id = ?", [7]);
 * ```
 */
export function mysql2Driver(module: Mysql2Module, options: Mysql2Options = {}): Driver {
  const doing = "create mysql2 driver";
  if (typeof module?.createConnection !== "function") {
    throw new TypeError(`Cannot ${doing} as module must be that of mysql2/promise: received ${show(module)}`);
  }
  checkOptions(doing, options ?? null);
  if ((options as { multipleStatements?: unknown }).multipleStatements) {
    throw new RangeError(`Cannot ${doing} as multipleStatements must be off: received true`);
  }
  // Each is one of the server's, which has only so many for all; texts of batches differ by their number of rows.
  const config = { maxPreparedStatements: 200, ...options };
  const another: Opener = (signal) => open(module, config, signal);
  return {
    name: "mysql2",
    dialect: "mysql",
    target: targetOf(options),
    begin,
    classify,
    twoPhase,
    connect: async ({ signal }) => new MysqlConnection(await another(signal), another),
  };
}

type Opener = (signal: AbortSignal) => Promise<Mysql2Connection>;

class MysqlConnection implements Connection {
  readonly raw: Mysql2Connection;
  readonly #another: Opener;
  readonly #closing = new AbortController();
  readonly #loss = new Loss(closedError);
  readonly #answers = new MysqlAnswers();
  #canceller: Mysql2Connection | undefined;

  constructor(connection: Mysql2Connection, another: Opener) {
    this.raw = connection;
    this.#another = another;
    connection.on("error", this.#loss.happen);
    connection.on("end", this.#loss.happen);
  }

  get id(): number | undefined {
    return this.raw.threadId ?? undefined;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  query(sql: string, params: readonly unknown[]): Promise<Result> {
    return this.#loss.unlessGone(this.#query(sql, params));
  }

  stream(sql: string, params: readonly unknown[]): RowReader {
    checkParams(sql, params);
    const rows = new MysqlRows(this.raw.connection as Mysql2Line, sql, params, {
      cancel: () => this.cancel(),
      refused: () => this.#refused(),
    });
    this.#loss.whoWaits((error) => rows.fail(error));
    return rows;
  }

  async #query(sql: string, params: readonly unknown[]): Promise<Result> {
    checkParams(sql, params);
    const { raw } = this;
    try {
      return this.#answers.read(
        params.length === 0 ? await raw.query(sql) : await raw.execute(sql, params as never),
      );
    } catch (error) {
      await this.#refused();
      throw error;
    }
  }

  /** No status comes with an error, some of which end the transaction: it is asked for with a statement that does nothing. */
  async #refused(): Promise<void> {
    if (this.#loss.happened || !this.inTransaction()) return;
    await this.raw.query("DO 0").then((answer) => void this.#answers.read(answer), () => {});
  }

  inTransaction(): boolean {
    return this.#answers.inTransaction;
  }

  async cancel(): Promise<void> {
    const { id } = this;
    if (this.#loss.happened || id === undefined) return;
    const other = this.#canceller = await this.#another(this.#closing.signal);
    try {
      other.on("error", () => {});
      await other.query(`KILL QUERY ${Number(id)}`);
      await other.end();
    } finally {
      this.#canceller = undefined;
      other.destroy();
    }
  }

  async reset(): Promise<void> {
    await this.#loss.unlessGone(resetSession(this.raw));
    this.#answers.reset();
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    if (!force && !this.#loss.happened) await this.raw.end();
    destroy(this.raw);
    this.#closing.abort();
    if (this.#canceller !== undefined) destroy(this.#canceller);
    this.#loss.mute();
  }
}
