/** Brings a folder to a wanted content. @module */
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** The files of a folder, by path within it, with `/` between folders. */
export type Tree = ReadonlyMap<string, string | Uint8Array>;

/**
 * Writes what differs and removes what is not in `tree`; a file that has the wanted content is not touched.
 *
 * **At once** — each file is moved into place whole: a process that reads the folder meanwhile finds the old or the new.
 *
 * @param folder An absolute path, without `/` at the end; made if it is not there.
 */
export async function writeTree(folder: string, tree: Tree): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [path, content] of tree) {
    const file = `${folder}/${path}`;
    const wanted = Buffer.from(content as string);
    if ((await readFile(file).catch(() => undefined))?.equals(wanted)) continue;
    await mkdir(dirname(file), { recursive: true });
    // Beside the folder: in it, another run would take it for one that has to go.
    const temporary = `${folder}.${randomUUID()}`;
    await writeFile(temporary, wanted);
    await rename(temporary, file);
  }
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/");
    if (!entry.isDirectory() && !tree.has(path.slice(folder.length + 1))) await rm(path, { force: true });
  }
}
