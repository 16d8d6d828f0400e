/** SQLite through `node:sqlite`. @module */
import type { Engine, EngineOptions } from "./_sqlite_engine.ts";

interface SqliteModule {
  readonly DatabaseSync: unknown;
}

/** Opens a file; `undefined` where the module is missing, or too early to tell whether a transaction is open. */
export async function openNodeSqlite(
  file: string,
  options: EngineOptions,
  load: () => PromiseLike<SqliteModule> = () => import("node:sqlite"),
): Promise<Engine | undefined> {
  let module: SqliteModule;
  try {
    module = await load();
  } catch {
    return undefined;
  }
  const SqliteEngine = module.DatabaseSync as new (file: string, options: EngineOptions) => Engine;
  const engine = new SqliteEngine(file, options);
  if (typeof engine.isTransaction === "boolean") return engine;
  engine.close();
  return undefined;
}
