/** Statements that begin or end a transaction: of use only to whoever sends the ones around them, too. */
import { beginningOf, Sql } from "./sql.ts";

/**
 * One such statement alone. What is prepared is ended from anywhere, MariaDB's BEGIN NOT ATOMIC is a block, and what
 * comes after a semicolon makes it a whole.
 */
const CONTROL =
  /^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*(?:begin|start\s+transaction|commit|end|rollback|abort|savepoint|release)\b(?!\s+(?:prepared|not)\b)[^;]*;?\s*$/i;

/** Whether a statement begins or ends a transaction or savepoint, and does nothing else. */
export function controlsTransaction(sql: string | Sql): boolean {
  const text = sql instanceof Sql ? beginningOf(sql) : sql;
  return typeof text === "string" && CONTROL.test(text);
}
