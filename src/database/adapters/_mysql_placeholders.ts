/** The placeholders of a statement for MySQL: the package takes a wrong number of values, and has the server read past them. */

/** What may hold a question mark that is none. */
const BESIDE = /'(?:[^'\\]|'')*'|"(?:[^"\\]|"")*"|`(?:[^`]|``)*`|--[ \t\n][^\n]*|#[^\n]*|\/\*[^]*?\*\//g;

/**
 * Throws unless there are as many values as placeholders. A statement whose quotes can't be told is left to the server.
 *
 * @throws {TypeError} For too many, or too few.
 */
export function checkParams(sql: string, params: readonly unknown[]): void {
  if (params.length === 0) return;
  if (/['"`#]|--|\/\*/.test(sql)) {
    // A backslash may be part of a text or not, by a setting of the session; such comments may be part of the statement.
    if (/\\|\/\*M?!/.test(sql)) return;
    sql = sql.replace(BESIDE, " ");
  }
  let count = 0;
  for (let at = sql.indexOf("?"); at >= 0; at = sql.indexOf("?", at + 1)) count++;
  if (count === params.length) return;
  throw new TypeError(
    `Cannot run statement as values must be ${count} for its placeholders: received ${params.length}`,
  );
}
