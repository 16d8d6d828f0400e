/** Opening a file with `node:sqlite`, where there is one. */
import type { Engine } from "./_sqlite_connection.ts";

interface EngineOptions {
  readonly readOnly: boolean;
  readonly timeout: number;
}

interface SqliteModule {
  readonly DatabaseSync: unknown;
}

const NEEDED =
  "Cannot open SQLite: node:sqlite is needed, which comes with Node.js 22.16 or newer, with Deno and with Bun";

/**
 * Opens a file.
 *
 * @throws {Error} Where the module is missing, or too early to tell whether a transaction is open.
 */
export async function openSqlite(
  file: string,
  options: EngineOptions,
  load: () => PromiseLike<SqliteModule> = () => import("node:sqlite"),
): Promise<Engine> {
  let module: SqliteModule;
  try {
    module = await load();
  } catch (cause) {
    throw new Error(NEEDED, { cause });
  }
  const SqliteEngine = module.DatabaseSync as new (file: string, options: EngineOptions) => Engine;
  const engine = new SqliteEngine(file, options);
  if (typeof engine.isTransaction === "boolean") return engine;
  engine.close();
  throw new Error(NEEDED);
}
