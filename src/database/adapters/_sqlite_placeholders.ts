/** What stands in a statement for its values. `node:sqlite` does not tell, and takes NULL for those it is not given. */

/** Text, quoted names, comments, and words, which may hold a `$`; then what begins a placeholder. */
const PARTS =
  /'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[^]*?(?:\*\/|$)|[\w\x80-\uffff][\w$\x80-\uffff]*|(\?\d*|[:@$#][\w$:\x80-\uffff]+)/g;

/**
 * How many values a statement takes: as SQLite counts, `?` is the one after the highest so far, `?3` the third.
 *
 * @throws {TypeError} For a placeholder with a name: values are given in order.
 */
export function placeholdersIn(sql: string, command: string): number {
  let highest = 0;
  for (const [, placeholder] of sql.matchAll(PARTS)) {
    if (placeholder === undefined) continue;
    if (!placeholder.startsWith("?")) {
      throw new TypeError(`Cannot run ${command} as placeholders must be ? or ?1: received ${placeholder}`);
    }
    highest = placeholder === "?" ? highest + 1 : Math.max(highest, Number(placeholder.slice(1)));
  }
  return highest;
}
