import { cp, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Where the built npm package lies; `deno task test` tells, and builds it before. */
export const packageFolder: string = process.env.UNO_PACKAGE ??
  fileURLToPath(new URL("../../dist/npm", import.meta.url));

/** The parts of the package's `package.json` that are looked at. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly dependencies?: unknown;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
}

/** Reads the `package.json` of the built package. */
export async function readManifest(): Promise<Manifest> {
  const text = await readFile(join(packageFolder, "package.json"), "utf8").catch(() => {
    throw new Error(`Cannot read the npm package: run "deno task build:npm" first`);
  });
  return JSON.parse(text);
}

/** The doors of the package as they are imported: `@uno/async`, `@uno/async/cancel`, … */
export function doorsOf({ name, exports }: Manifest): string[] {
  return Object.keys(exports).filter((door) => door !== "./package.json").map((door) => name + door.slice(1));
}

/** Calls `fn` with the folder of a new project outside of this repository, which has the package installed. */
export async function withConsumer<T>(fn: (folder: string) => Promise<T>): Promise<T> {
  const { name, version } = await readManifest();
  // What it is really called: a compiler takes a file under two names for two files.
  const folder = await realpath(await mkdtemp(join(tmpdir(), "uno-consumer-")));
  try {
    const manifest = { private: true, type: "module", dependencies: { [name]: version } };
    await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
    await cp(packageFolder, join(folder, "node_modules", name), { recursive: true });
    return await fn(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
