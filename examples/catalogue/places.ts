/** Where things are: the folder to catalogue, and the database that must not become a part of it. */
import { createHash } from "node:crypto";
import { mkdir, realpath, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import process from "node:process";
import { type Options, UserError } from "./options.ts";
import { LOCK_ENDING } from "./run_lock.ts";

/** The folder and the database, as absolute paths without symbolic links. */
export interface Places {
  readonly root: string;
  readonly database: string;
  /** The database's own files, relative to the root; empty when it lies elsewhere, as it does by default. */
  readonly skip: ReadonlySet<string>;
}

/**
 * Finds the folder and a place for the database.
 *
 * @throws {UserError} When there is no such folder, or no place.
 */
export async function findPlaces(options: Options): Promise<Places> {
  const root = await findFolder(options.folder);
  const database = options.db === undefined ? await defaultDatabase(root) : await findDatabase(options.db);
  const own = isInside(root, database)
    ? ["", "-wal", "-shm", "-journal", LOCK_ENDING].map((ending) =>
      slashed(relative(root, database)) + ending
    )
    : [];
  return { root, database, skip: new Set(own) };
}

/** A path with `/` between its parts, on Windows too. */
export function slashed(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

async function findFolder(folder: string): Promise<string> {
  try {
    const root = await realpath(folder);
    if ((await stat(root)).isDirectory()) return root;
  } catch (error) {
    const { code } = error as { code?: string };
    const why = code === "ENOENT" || code === "ENOTDIR" ? "there is no such folder" : String(code);
    throw new UserError(`Cannot catalogue ${JSON.stringify(folder)}: ${why}`);
  }
  throw new UserError(`Cannot catalogue ${JSON.stringify(folder)}: it is not a folder`);
}

async function findDatabase(file: string): Promise<string> {
  const whole = resolve(file);
  const folder = await realpath(dirname(whole)).catch(() => {
    throw new UserError(`Cannot keep the catalogue in ${JSON.stringify(file)}: there is no such folder`);
  });
  // Where a link leads is where SQLite writes.
  return await realpath(whole).catch(() => join(folder, basename(whole)));
}

/** One database for each folder, in the first place that can be written to and is not itself catalogued. */
async function defaultDatabase(root: string): Promise<string> {
  const name = basename(root) || "root";
  const key = createHash("sha256").update(root).digest("hex").slice(0, 12);
  for (const place of [cacheFolder(), tmpdir()]) {
    const folder = resolve(place, "uno-async-catalogue");
    if (isInside(root, folder)) continue;
    try {
      await mkdir(folder, { recursive: true });
      const real = await realpath(folder);
      if (!isInside(root, real)) return join(real, `${name}-${key}.db`);
    } catch {
      // Not here then.
    }
  }
  throw new UserError(`Cannot find a place for the database outside of ${root}: give one with --db`);
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (process.platform === "win32") return LOCALAPPDATA ?? tmpdir();
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches");
  return XDG_CACHE_HOME || join(homedir(), ".cache");
}

function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}
