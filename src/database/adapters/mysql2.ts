/**
 * MySQL and MariaDB through the package `mysql2`.
 *
 * @module
 */
import { checkOptions, show } from "../../kernel/checks.ts";
import type { Connection, Driver, Result, RowReader } from "../driver.ts";
import { Loss } from "./_lifeline.ts";
import { type Mysql2Line, MysqlRows } from "./_mysql_rows.ts";
import { begin, classify, twoPhase } from "./_mysql_shared.ts";
import { targetOf } from "./_postgres_shared.ts";

/** What is used of a connection of `mysql2/promise`. */
export interface Mysql2Connection {
  /** What the server calls the connection. */
  readonly threadId?: number | null;
  /** What is below it, as {@linkcode Mysql2Line}. */
  readonly connection?: object;
  /** Runs a statement. */
  query(sql: string): Promise<[unknown, unknown]>;
  /** Runs a statement with values. */
  execute(sql: string, params: never): Promise<[unknown, unknown]>;
  /** Has the server forget the settings of the session. */
  reset(): Promise<void>;
  /** Ends it in good order. */
  end(): Promise<void>;
  /** Ends it at once. */
  destroy(): void;
  /** Listens to an event. */
  on(event: string, listener: (error?: unknown) => void): unknown;
}

/** What is used of the package: `import mysql from "mysql2/promise"`. */
export interface Mysql2Module {
  /** Opens a connection. */
  createConnection(options: never): Promise<Mysql2Connection>;
}

/** Options of {@linkcode mysql2Driver}: those of a connection of `mysql2`. */
export interface Mysql2Options {
  /** What `createConnection` takes: `host`, `port`, `user`, `password`, `database`, `ssl`, `timezone`, … */
  readonly [option: string]: unknown;
}

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
  if (options.multipleStatements) {
    throw new RangeError(`Cannot ${doing} as multipleStatements must be off: received true`);
  }
  return {
    name: "mysql2",
    dialect: "mysql",
    target: targetOf(options),
    begin,
    classify,
    twoPhase,
    connect({ signal }) {
      return new Promise((resolve, reject) => {
        const giveUp = (): void => reject(signal.reason);
        signal.addEventListener("abort", giveUp, { once: true });
        module.createConnection(options as never).then((connection) => {
          if (signal.aborted) connection.destroy();
          else resolve(new MysqlConnection(connection, () => module.createConnection(options as never)));
        }, reject).finally(() => signal.removeEventListener("abort", giveUp));
      });
    },
  };
}

/** Flags of the status that comes with the answer to a statement that returns no rows. */
const IN_TRANSACTION = 1;
const AUTOCOMMIT = 2;

function closedError(): Error {
  return Object.assign(new Error("Cannot query: the connection was closed"), {
    code: "PROTOCOL_CONNECTION_LOST",
  });
}

interface Header {
  readonly affectedRows: number;
  readonly insertId: number;
  readonly serverStatus?: number;
}

class MysqlConnection implements Connection {
  readonly raw: Mysql2Connection;
  readonly #another: () => Promise<Mysql2Connection>;
  readonly #loss = new Loss();
  #status = AUTOCOMMIT;
  #giveUp: (() => void) | undefined;
  #rows: MysqlRows | undefined;
  #canceller: Mysql2Connection | undefined;

  constructor(connection: Mysql2Connection, another: () => Promise<Mysql2Connection>) {
    this.raw = connection;
    this.#another = another;
    const lost = (error?: unknown): void => {
      // Of a statement without a callback, it says so to nobody else.
      if (!this.#loss.happened) this.#rows?.fail(error ?? closedError());
      this.#loss.happen(error);
    };
    connection.on("error", lost);
    connection.on("end", lost);
  }

  get id(): number | undefined {
    return this.raw.threadId ?? undefined;
  }

  onLost(lost: (error?: unknown) => void): void {
    this.#loss.listen(lost);
  }

  query(sql: string, params: readonly unknown[]): Promise<Result> {
    return this.#unlessDestroyed(this.#query(sql, params));
  }

  /** Of work whose connection is destroyed, mysql2 says nothing any more. */
  #unlessDestroyed<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => reject(closedError());
      work.then(resolve, reject);
    });
  }

  stream(sql: string, params: readonly unknown[]): RowReader {
    const line = this.raw.connection as Mysql2Line;
    const command = params.length === 0 ? line.query(sql) : line.execute(sql, params as never);
    const rows = this.#rows = new MysqlRows(line, command, () => this.cancel());
    this.#giveUp = () => rows.fail(closedError());
    return rows;
  }

  async #query(sql: string, params: readonly unknown[]): Promise<Result> {
    let answer: unknown;
    let fields: unknown;
    try {
      [answer, fields] = params.length === 0
        ? await this.raw.query(sql)
        : await this.raw.execute(sql, params as never);
    } catch (error) {
      if (classify(error).txGone) this.#status &= ~IN_TRANSACTION;
      throw error;
    }
    // A procedure gives all its results and then a header, in whose place there are no columns.
    if (Array.isArray(answer) && Array.isArray(fields) && fields.length > 0 && fields.at(-1) === undefined) {
      this.#status = (answer.at(-1) as Header).serverStatus ?? this.#status;
      answer = answer[0];
    }
    if (Array.isArray(answer)) return { rows: answer, rowCount: answer.length };
    const { affectedRows, insertId, serverStatus } = answer as Header;
    if (serverStatus !== undefined) this.#status = serverStatus;
    return { rows: [], rowCount: affectedRows, insertId: insertId || undefined };
  }

  /** Without autocommit, the next statement opens one, whatever it is. */
  inTransaction(): boolean {
    return (this.#status & IN_TRANSACTION) !== 0 || (this.#status & AUTOCOMMIT) === 0;
  }

  async cancel(): Promise<void> {
    const { id } = this;
    if (this.#loss.happened || id === undefined) return;
    const other = this.#canceller = await this.#another();
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
    await this.#unlessDestroyed(this.raw.reset());
    this.#status = AUTOCOMMIT;
  }

  async close({ force }: { readonly force: boolean }): Promise<void> {
    if (!force && !this.#loss.happened) await this.raw.end();
    for (const one of [this.raw, this.#canceller]) {
      one?.destroy();
      // Its own way to destroy is to say good-bye, which on a half-open line takes for ever.
      (one?.connection as { readonly stream?: { destroy?(): unknown } } | undefined)?.stream?.destroy?.();
    }
    this.#giveUp?.();
  }
}
