/**
 * PostgreSQL inside the process: PGlite, the package `@electric-sql/pglite`.
 *
 * @module
 */
import { checkOptions, show } from "../../kernel/checks.ts";
import type { Connection, Driver, Failure, Result } from "../driver.ts";
import {
  classifyOther,
  classifyState,
  postgres,
  refuseCopy,
  RESET,
  TransactionTracker,
} from "./_postgres_shared.ts";

/** What is used of a PGlite. */
export interface Pglite {
  /** Resolves when it can be used. */
  readonly waitReady: Promise<void>;
  /** Runs a statement. */
  query(sql: string, params?: unknown[]): Promise<{ rows: unknown[]; affectedRows?: number }>;
  /** Ends it. */
  close(): Promise<void>;
}

/** What is used of the package: `import { PGlite } from "@electric-sql/pglite"`. */
export type PgliteModule = new (options: never) => Pglite;

/**
 * The driver for PGlite, which the caller brings.
 *
 * **Blocking** — it runs inside the process, and nothing else does while a statement runs: an abort is heeded between
 * statements, and the time limits of a server are refused. **Concurrency** — one connection. **Two phases** — are not offered.
 * **COPY** — from STDIN and to STDOUT is refused.
 *
 * @param module The class: `import { PGlite } from "@electric-sql/pglite"`.
 * @param options What PGlite takes: `dataDir`, `extensions`, …
 * @throws {TypeError | RangeError} For bad options.
 *
 * @example
 * ```ts ignore
 * import { PGlite } from "@electric-sql/pglite";
 * import { Database } from "@uno/async/database";
 * import { pgliteDriver } from "@uno/async/database/pglite";
 *
 * await using db = new Database(pgliteDriver(PGlite, { dataDir: "./data" }));
 * const { rows } = await db.query("select $1::int + 1 as next", [1]);
 * ```
 */
export function pgliteDriver(module: PgliteModule, options: object = {}): Driver {
  const doing = "create PGlite driver";
  if (typeof module !== "function") {
    throw new TypeError(`Cannot ${doing} as module must be the class PGlite: received ${show(module)}`);
  }
  checkOptions(doing, options ?? null);
  const { dataDir, username } = options as { dataDir?: unknown; username?: unknown };
  return {
    dialect: postgres.dialect,
    commitCheck: postgres.commitCheck,
    name: "pglite",
    target: typeof dataDir === "string" ? dataDir : "memory",
    maxSessions: 1,
    begin(modes) {
      if (modes.server === undefined) return postgres.begin(modes);
      // That on idleness would never let a statement end again, with the whole process; the others do nothing.
      throw new RangeError(
        "Cannot begin transaction as server must be left out: PGlite does not heed the limits of a server",
      );
    },
    classify,
    async connect({ signal }) {
      const engine = new module(options as never);
      await engine.waitReady;
      if (!signal.aborted) {
        const asRole = "select current_setting('role') as role";
        const { rows } = username === undefined ? { rows: [] } : await engine.query(asRole);
        return new PgliteConnection(engine, (rows[0] as { role?: string } | undefined)?.role);
      }
      await engine.close();
      throw signal.reason;
    },
  };
}

class PgliteConnection implements Connection {
  readonly raw: Pglite;
  readonly #transaction = new TransactionTracker();

  readonly #role: string | undefined;

  /** @param role Whose rights it has taken on, if it was told to. */
  constructor(engine: Pglite, role: string | undefined) {
    this.raw = engine;
    this.#role = role;
  }

  async query(sql: string, params: readonly unknown[]): Promise<Result> {
    refuseCopy(sql);
    const answer = this.#transaction.follow(sql, this.raw.query(sql, params as unknown[]));
    const { rows, affectedRows = 0 } = await answer;
    return { rows, rowCount: affectedRows || rows.length };
  }

  inTransaction(): boolean {
    return this.#transaction.open;
  }

  async reset(): Promise<void> {
    for (const sql of RESET.split("; ")) await this.raw.query(sql);
    if (this.#role !== undefined) {
      await this.raw.query("select set_config('role', $1, false)", [this.#role]);
    }
  }

  async close(): Promise<void> {
    await this.raw.close();
  }
}

function classify(error: unknown): Failure {
  const { code, constraint, table, column } = (error ?? {}) as Record<string, string | undefined>;
  if (/^[0-9A-Z]{5}$/.test(code ?? "")) return classifyState({ state: code!, constraint, table, column });
  return classifyOther(error, (_, message) => /^PGlite is clos/.test(message));
}
