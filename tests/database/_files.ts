/** SQLite files in a folder of their own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `fn` with the path of a database file that does not exist yet; the folder goes when it has ended. */
export async function withFile<T>(fn: (file: string, folder: string) => PromiseLike<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "uno-sqlite-"));
  try {
    return await fn(join(folder, "test.db"), folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
