/** Rows of `mysql2` as they come over the line, which is held when nobody asks for more. */
import type { RowReader } from "../driver.ts";

/** What is used of a statement on its way. */
export interface Mysql2Command {
  on(event: "result" | "error" | "end", listener: (value: unknown) => void): unknown;
}

/** What is used of the line below a connection of `mysql2/promise`. */
export interface Mysql2Line {
  query(sql: string): Mysql2Command;
  execute(sql: string, params: never): Mysql2Command;
  pause(): void;
  resume(): void;
}

/** What is done about the statement beside reading. */
export interface RowsDoing {
  /** Has the server stop it. */
  cancel(): Promise<void>;
  /** The server has refused it, or stopped it. */
  refused(): Promise<void>;
}

/** Reads the rows of one statement. */
export class MysqlRows implements RowReader {
  readonly #line: Mysql2Line;
  readonly #doing: RowsDoing;
  #rows: unknown[] = [];
  #ended = false;
  #error: { readonly error: unknown } | undefined;
  #refused = false;
  #max = 1;
  #held = false;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(line: Mysql2Line, sql: string, params: readonly unknown[], doing: RowsDoing) {
    this.#line = line;
    this.#doing = doing;
    const command = params.length === 0 ? line.query(sql) : line.execute(sql, params as never);
    command.on("result", (row) => {
      if (this.#closed) return;
      this.#rows.push(row);
      if (this.#rows.length < this.#max) return;
      this.#held = true;
      line.pause();
      this.#wake?.();
    });
    command.on("error", (error) => this.fail(error));
    command.on("end", () => this.#end());
  }

  async read(maxRows: number): Promise<readonly unknown[]> {
    this.#max = maxRows;
    while (this.#rows.length < maxRows && !this.#ended) {
      const woken = new Promise<void>((resolve) => this.#wake = resolve);
      this.#goOn();
      await woken;
    }
    if (this.#refused) await this.#doing.refused();
    if (this.#error !== undefined) throw this.#error.error;
    return this.#rows.splice(0, maxRows);
  }

  /** Has the server stop, and takes what is under way off the line; all of the rest where the server can't be told. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#rows = [];
    if (this.#ended) return;
    const ended = new Promise<void>((resolve) => this.#wake = resolve);
    this.#goOn();
    // Without a connection to do that with, the rest may still come in time.
    await this.#doing.cancel().catch(() => {});
    if (!this.#ended) await ended;
    if (this.#refused) await this.#doing.refused();
  }

  /** Nothing more comes, by a failure. */
  fail(error: unknown): void {
    this.#refused = true;
    if (!this.#closed) this.#error ??= { error };
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  #goOn(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#line.resume();
  }
}
