/** Builds the npm package. @module */
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { npmPackage, readConfig } from "./build/npm_package.ts";
import { writeTree } from "./build/tree.ts";
import { runCommand, UsageError } from "./lib/command.ts";

const help = `Builds the npm package into dist/npm/, from the exports of deno.json.

usage: deno task build:npm`;

/** Where the built package lies. */
export const packageFolder: string = fileURLToPath(new URL("../dist/npm", import.meta.url)).replaceAll(
  "\\",
  "/",
);

/** Builds the package; returns its files. */
export async function buildNpm(): Promise<Map<string, string>> {
  const files = await npmPackage(await readConfig());
  await writeTree(packageFolder, files);
  return files;
}

if (import.meta.main) {
  await runCommand(help, {}, async () => {
    const started = performance.now();
    const files = await buildNpm().catch((error: Error) => {
      throw new UsageError(error.message);
    });
    const all = Buffer.from([...files.values()].join(""));
    const kB = (bytes: number): string => `${Math.round(bytes / 1000)} kB`;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(
      `dist/npm: ${files.size} files, ${kB(all.length)}, ${kB(gzipSync(all).length)} packed, in ${seconds} s`,
    );
    return 0;
  });
}
