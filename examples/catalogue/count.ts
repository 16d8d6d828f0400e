/** How much there is, for the time that is left. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Counts what {@linkcode walk} will find, a good deal faster than it is worked off.
 *
 * @throws The reason of `signal`, unchanged.
 */
export async function count(root: string, { signal }: { signal: AbortSignal }): Promise<number> {
  let files = 0;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.isDirectory()) folders.push(join(folder, entry.name));
      else files++;
    }
  }
  return files;
}
