/**
 * Compares a catalogue with what `find` and `sha256sum` say of the same tree: `verify.ts <folder> <database>`.
 *
 * @module
 */
import { Database } from "@uno/async/database";
import { sqliteDriver } from "@uno/async/database/sqlite";
import { spawn } from "node:child_process";
import process from "node:process";

/** Differences between the tree and its catalogue, one line each; none when they are the same. */
export async function verify(folder: string, file: string): Promise<string[]> {
  await using database = new Database(sqliteDriver({ file, readOnly: true }), { name: "catalogue" });
  await using session = await database.session();
  const differences: string[] = [];
  let files = 0;
  // -z: a NUL behind each line instead of a newline, and names as they are.
  const command = "find . -type f -print0 | xargs -0 -r sha256sum -z";
  for await (const line of linesOf(command, folder)) {
    files++;
    const [sha256, path] = [line.slice(0, 64), line.slice(68)];
    const { rows: [row] } = await session.query<{ sha256: string | null }>(
      "select sha256 from files where path = ? and kind = 'file'",
      [path],
    );
    if (row === undefined) differences.push(`missing in the catalogue: ${path}`);
    else if (row.sha256 !== sha256) differences.push(`another content in the catalogue: ${path}`);
  }
  const { rows: [catalogued] } = await session.query<{ files: number }>(
    "select count(*) as files from files where kind = 'file'",
  );
  if (catalogued!.files !== files) differences.push(`${catalogued!.files} files catalogued, ${files} there`);
  const { rows: broken } = await session.query<{ id: number }>(
    `select id from batches left join (select batch, count(*) as rows from files group by batch) on batch = id
      where files <> coalesce(rows, 0)`,
  );
  for (const { id } of broken) differences.push(`batch ${id} is not whole`);
  return differences;
}

/** What a command prints, split at each NUL. */
async function* linesOf(command: string, folder: string): AsyncGenerator<string, void, void> {
  const child = spawn("sh", ["-c", command], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.setEncoding("utf8");
  let rest = "";
  for await (const text of child.stdout) {
    const lines = (rest + text).split("\0");
    rest = lines.pop()!;
    yield* lines;
  }
}

if (import.meta.main) {
  const [folder, file] = process.argv.slice(2);
  if (folder === undefined || file === undefined) {
    console.error("usage: verify.ts <folder> <database>");
    process.exitCode = 1;
  } else {
    const differences = await verify(folder, file);
    console.log(differences.length === 0 ? "the same" : differences.slice(0, 20).join("\n"));
    if (differences.length > 0) process.exitCode = 1;
  }
}
