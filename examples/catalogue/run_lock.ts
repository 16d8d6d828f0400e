/** One run at a time: of two on one catalogue, each would take out what only the other has seen. */
import { Database, type Transaction, TransactionConflictError } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { UserError } from "./options.ts";

/** How the file beside the database ends. It stays, empty: only its lock counts, and that dies with the process. */
export const LOCK_ENDING = ".lock";

/** Long enough for one that is just ending, short enough to count as at once. */
const LOCK_TIMEOUT_MS = 100;

/**
 * The right to write to a catalogue: a transaction in a database of its own, which nobody else can begin meanwhile.
 * Nothing is ever written in it, and the catalogue itself stays open to readers.
 */
export class RunLock implements AsyncDisposable {
  readonly #database: Database;
  readonly #held: Transaction;

  private constructor(database: Database, held: Transaction) {
    this.#database = database;
    this.#held = held;
  }

  /**
   * Takes it, or not.
   *
   * @throws {UserError} When another run has it.
   */
  static async take(file: string): Promise<RunLock> {
    const driver = sqliteDriver({ file: file + LOCK_ENDING, pragmas: { journal_mode: "memory" } });
    const database = new Database(driver, { name: "lock", lockTimeoutMs: LOCK_TIMEOUT_MS });
    try {
      return new RunLock(database, await database.begin({ label: "run" }));
    } catch (error) {
      await database.close();
      if (!(error instanceof TransactionConflictError)) throw error;
      throw new UserError(`Cannot catalogue into ${JSON.stringify(file)}: another run is at it`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]();
    await this.#database.close();
  }
}
