/** Finding out what an engine does otherwise than it should: as of 2.9, Deno's does both. @module */
import type { Engine, OpenEngine, Quirks } from "./_sqlite_engine.ts";

const known = new Map<OpenEngine, Quirks>();

/** Tries it in memory, once for each way to open an engine. */
export async function quirksOf(way: OpenEngine): Promise<Quirks> {
  let quirks = known.get(way);
  if (quirks !== undefined) return quirks;
  const engine = (await way(":memory:", { readOnly: false, timeout: 0 }))!;
  try {
    quirks = { hidesErrors: hidesErrors(engine), keepsColumns: keepsColumns(engine) };
  } finally {
    engine.close();
  }
  known.set(way, quirks);
  return quirks;
}

function hidesErrors(engine: Engine): boolean {
  const rows = engine.prepare("SELECT abs(-9223372036854775808)").iterate();
  try {
    rows.next();
    return true;
  } catch {
    return false;
  } finally {
    rows.return?.();
  }
}

function keepsColumns(engine: Engine): boolean {
  engine.exec("CREATE TABLE t AS SELECT 1 AS a");
  const statement = engine.prepare("SELECT * FROM t");
  statement.all();
  engine.exec("ALTER TABLE t ADD COLUMN b");
  return !("b" in (statement.all()[0] as object));
}
