/** What the answers of `mysql2` hold: rows, counts, and how the session stands. @module */
import type { Result } from "../driver.ts";

/** Flags of the status that comes with the answer to a statement that returns no rows. */
const IN_TRANSACTION = 1;
const AUTOCOMMIT = 2;

interface Header {
  readonly affectedRows: number;
  readonly insertId: number;
  readonly serverStatus?: number;
}

/** Reads the answers of one session, and notes what they say of it. */
export class MysqlAnswers {
  #status = AUTOCOMMIT;

  /** Without autocommit, the next statement opens one, whatever it is. */
  get inTransaction(): boolean {
    return (this.#status & IN_TRANSACTION) !== 0 || (this.#status & AUTOCOMMIT) === 0;
  }

  /** The result of a statement. */
  read([answer, fields]: readonly [unknown, unknown]): Result {
    // A procedure gives all its results and then a header, in whose place there are no columns.
    if (Array.isArray(answer) && Array.isArray(fields) && fields.length > 0 && fields.at(-1) === undefined) {
      this.#note(answer.at(-1));
      answer = answer[0];
    }
    if (Array.isArray(answer)) return { rows: answer, rowCount: answer.length };
    const { affectedRows, insertId } = answer as Header;
    this.#note(answer as Header);
    return { rows: [], rowCount: affectedRows, insertId: insertId || undefined };
  }

  /** The session is as new. */
  reset(): void {
    this.#status = AUTOCOMMIT;
  }

  #note({ serverStatus }: Header): void {
    this.#status = serverStatus ?? this.#status;
  }
}
