/** What there is: the tree, as a stream. */
import { opendir } from "node:fs/promises";
import { join } from "node:path";

/** Paths come so many at a time: a promise for each would cost more than finding it. */
const HANDFUL = 256;

/** A part of what there is. All paths are relative to the root, with `/` between their parts. */
export interface Handful {
  readonly paths: readonly string[];
  /** Folders that could not be read; `.` is the root. */
  readonly unreadable: readonly { readonly path: string; readonly error: unknown }[];
}

/**
 * Finds everything below a folder that is not itself a folder, without following symbolic links.
 *
 * In memory are, at any time, a handful of paths and the folders that still have to be read.
 *
 * @param root The folder.
 * @param skip Paths, relative to the root, that are left out.
 */
export async function* walk(root: string, skip: ReadonlySet<string>): AsyncGenerator<Handful, void, void> {
  const folders = [""];
  let handful = { paths: [] as string[], unreadable: [] as { path: string; error: unknown }[] };
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const within: string[] = [];
    try {
      for await (const entry of await opendir(join(root, folder), { bufferSize: HANDFUL })) {
        const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
        if (entry.isDirectory()) within.push(path);
        else if (!skip.has(path)) handful.paths.push(path);
        if (handful.paths.length < HANDFUL) continue;
        yield handful;
        handful = { paths: [], unreadable: [] };
      }
    } catch (error) {
      handful.unreadable.push({ path: folder || ".", error });
    }
    // The first one on top: depth first, so that few are waiting.
    for (let i = within.length; i > 0; i--) folders.push(within[i - 1]!);
  }
  yield handful;
}
