/** The catalogue in its database. */
import { Database, DatabaseError, type Transaction } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import type { Entry, Outcome, Stamp } from "./entry.ts";
import { refusalOf } from "./file_error.ts";
import { UserError } from "./options.ts";
import { RunLock } from "./run_lock.ts";
import { APPLICATION_ID, createSchema } from "./schema.ts";

/** How many files one statement inserts. */
const ROWS = 50;

/** A catalogue of one folder, open for one run. */
export class Store implements AsyncDisposable {
  readonly database: Database;
  readonly #run: number;
  readonly #empty: boolean;
  readonly #lock: RunLock;

  private constructor(database: Database, lock: RunLock, { run, empty }: Begun) {
    this.database = database;
    this.#lock = lock;
    this.#run = run;
    this.#empty = empty;
  }

  /**
   * Opens the catalogue of a folder, made if it is not there, and begins a run.
   *
   * @throws {UserError} When the file can't be used for that, or another run is at it.
   */
  static async open(file: string, root: string): Promise<Store> {
    const database = new Database(sqliteDriver({ file }), { name: "catalogue" });
    let lock: RunLock | undefined;
    try {
      // Looked at first, so that nothing is put beside a file that is none of ours.
      await database.transaction((tx) => isNew(tx, file, root), { readOnly: true });
      lock = await RunLock.take(file);
      return new Store(database, lock, await database.transaction((tx) => beginRun(tx, file, root)));
    } catch (error) {
      await database.close();
      await lock?.[Symbol.asyncDispose]();
      if (!(error instanceof DatabaseError)) throw error;
      const why = error.cause instanceof Error ? error.cause.message : error.message;
      throw new UserError(`Cannot keep the catalogue in ${JSON.stringify(file)}: ${why}`);
    }
  }

  /** What is known about those of the paths that are in the catalogue. */
  async known(paths: readonly string[]): Promise<Map<string, Stamp>> {
    const known = new Map<string, Stamp>();
    if (this.#empty) return known;
    await using session = await this.database.session();
    const { rows } = await session.query<Stamp & { path: string }>(
      `select path, size, mtime_ms as "mtimeMs" from files where path in (select value from json_each(?))`,
      [JSON.stringify(paths)],
    );
    for (const { path, size, mtimeMs } of rows) known.set(path, { size, mtimeMs });
    return known;
  }

  /** Saves a batch in one transaction: all of it is in the catalogue afterwards, or nothing. */
  async save(outcomes: readonly Outcome[]): Promise<void> {
    const read = outcomes.filter((outcome) => outcome.is === "read");
    const unchanged = outcomes.filter((outcome) => outcome.is === "unchanged");
    const failed = outcomes.filter((outcome) => outcome.is === "failed");
    await this.database.transaction(async (tx) => {
      if (read.length > 0) await this.#insert(tx, read.map(({ entry }) => entry));
      if (unchanged.length > 0) {
        await tx.query("update files set seen = ? where path in (select value from json_each(?))", [
          this.#run,
          JSON.stringify(unchanged.map(({ path }) => path)),
        ]);
      }
      for (const { path, error } of failed) {
        const { code, message } = refusalOf(error);
        await tx.query("insert or replace into failures values (?, ?, ?)", [path, code, message]);
      }
    });
  }

  /**
   * Ends the run. A complete one knows what is gone: what it has not seen.
   *
   * @returns How many files were removed from the catalogue.
   */
  async endRun(complete: boolean): Promise<number> {
    return await this.database.transaction(async (tx) => {
      let removed = 0;
      if (complete) {
        removed = (await tx.query("delete from files where seen <> ?", [this.#run])).rowCount;
      }
      await tx.query("update runs set ended = ?, outcome = ? where id = ?", [
        new Date().toISOString(),
        complete ? "complete" : "interrupted",
        this.#run,
      ]);
      return removed;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database.close();
    await this.#lock[Symbol.asyncDispose]();
  }

  async #insert(tx: Transaction, entries: readonly Entry[]): Promise<void> {
    const { insertId: batch } = await tx.query("insert into batches (run, saved, files) values (?, ?, ?)", [
      this.#run,
      new Date().toISOString(),
      entries.length,
    ]);
    for (let i = 0; i < entries.length; i += ROWS) {
      const rows = entries.slice(i, i + ROWS);
      const values: unknown[] = [];
      for (const { path, kind, size, mtimeMs, sha256, target } of rows) {
        values.push(path, kind, size, mtimeMs, sha256, target, batch, this.#run);
      }
      await tx.query(rows.length === ROWS ? insertAll : insertOf(rows.length), values);
    }
  }
}

/** The statement that inserts so many files, or brings them up to date. */
function insertOf(rows: number): string {
  return `insert into files (path, kind, size, mtime_ms, sha256, target, batch, seen)
    values ${Array(rows).fill("(?, ?, ?, ?, ?, ?, ?, ?)").join(", ")}
    on conflict (path) do update set kind = excluded.kind, size = excluded.size, mtime_ms = excluded.mtime_ms,
      sha256 = excluded.sha256, target = excluded.target, batch = excluded.batch, seen = excluded.seen`;
}

const insertAll = insertOf(ROWS);

/** A run that has begun. */
interface Begun {
  readonly run: number;
  /** Whether there is nothing in the catalogue yet. */
  readonly empty: boolean;
}

async function beginRun(tx: Transaction, file: string, root: string): Promise<Begun> {
  if (await isNew(tx, file, root)) await createSchema(tx);
  await tx.query("delete from failures");
  const { insertId } = await tx.query("insert into runs (root, started) values (?, ?)", [
    root,
    new Date().toISOString(),
  ]);
  const { rows } = await tx.query("select 1 from files limit 1");
  return { run: Number(insertId), empty: rows.length === 0 };
}

/** Whether there are no tables yet; throws when there are some, but not of this folder's catalogue. */
async function isNew(tx: Transaction, file: string, root: string): Promise<boolean> {
  const refuse = (why: string) =>
    new UserError(`Cannot keep the catalogue in ${JSON.stringify(file)}: ${why}`);
  const { rows: [mark] } = await tx.query<{ id: number; tables: number }>(
    `select application_id as id, (select count(*) from sqlite_schema) as tables from pragma_application_id`,
  );
  if (mark!.id !== APPLICATION_ID) {
    if (mark!.tables > 0) throw refuse("it is a database of something else");
    return true;
  }
  const { rows: [last] } = await tx.query<{ root: string }>("select root from runs order by id desc limit 1");
  if (last !== undefined && last.root !== root) {
    throw refuse(`it is the catalogue of ${JSON.stringify(last.root)}`);
  }
  return false;
}
