/** What every check works on: source files by path, and findings. @module */
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Source texts by path from the root of the repository, with `/` between folders. */
export type Sources = ReadonlyMap<string, string>;

/** One thing that is not as it should be. */
export interface Finding {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** The root folder of the repository. */
export const root: URL = new URL("../../", import.meta.url);

/** Reads `mod.ts` and every TypeScript file below `src/`. */
export async function readSources(): Promise<Sources> {
  const below = await readdir(new URL("src/", root), { recursive: true });
  const paths = ["mod.ts", ...below.map((path) => `src/${path.replaceAll("\\", "/")}`).sort()];
  const sources = new Map<string, string>();
  for (const path of paths) {
    if (!path.endsWith(".ts")) continue;
    const text = await readFile(fileURLToPath(new URL(path, root)), "utf8").catch(() => undefined);
    if (text !== undefined) sources.set(path, text);
  }
  return sources;
}

/** `file:line: message`, which editors make a link of. */
export function describeFinding({ file, line, message }: Finding): string {
  return `${file}:${line}: ${message}`;
}
