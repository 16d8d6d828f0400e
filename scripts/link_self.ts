/**
 * Lets Node and Bun import the library by its own name, as Deno does through `deno.json`.
 *
 * Writes a stub package into the git-ignored `node_modules/@uno/async`: one small module per entry of `exports` that
 * re-exports the sources. Written anew only when the exports change.
 *
 * @module
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";

const root: URL = new URL("../", import.meta.url);

/** The files of the stub package, by name, for the given package name, version and exports. */
export function stubFiles(
  config: { name: string; version: string; exports: Record<string, string> },
): Map<string, string> {
  const files = new Map<string, string>();
  const doors: Record<string, string> = {};
  for (const [door, source] of Object.entries(config.exports)) {
    // JavaScript, as Node strips no types below node_modules; what it re-exports lies outside of it.
    const file = door === "." ? "./index.js" : `${door}.js`;
    // Two levels up for the folder of a scoped package and node_modules, one more for each folder of the door.
    const up = "../".repeat(config.name.split("/").length + file.split("/").length - 1);
    files.set(file, `export * from "${up}${source.replace("./", "")}";\n`);
    doors[door] = file;
  }
  const { name, version } = config;
  const manifest = { name, version, private: true, type: "module", exports: doors };
  files.set("./package.json", JSON.stringify(manifest, null, 2) + "\n");
  return files;
}

/** Brings the stub package up to date. Returns whether it had to be written. */
export async function linkSelf(): Promise<boolean> {
  const config = JSON.parse(await readFile(new URL("deno.json", root), "utf8"));
  const files = stubFiles(config);
  const target = new URL(`node_modules/${config.name}/`, root);
  const manifest = await readFile(new URL("package.json", target), "utf8").catch(() => undefined);
  const stamp = JSON.stringify([...files]);
  const written = await readFile(new URL("stamp.json", target), "utf8").catch(() => undefined);
  if (manifest !== undefined && written === stamp) return false;
  // Written beside and moved into place: another run may be reading it.
  const temporary = new URL(`node_modules/.link-self-${process.pid}/`, root);
  for (const [file, text] of files) {
    const url = new URL(file, temporary);
    await mkdir(new URL("./", url), { recursive: true });
    await writeFile(url, text);
  }
  await writeFile(new URL("stamp.json", temporary), stamp);
  await rm(target, { recursive: true, force: true });
  await mkdir(new URL("../", target), { recursive: true });
  await rename(temporary, target);
  return true;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" } } });
  if (values.help) {
    console.log("Lets Node and Bun import @uno/async from the sources.\n\nusage: deno task link");
  } else {
    console.log(await linkSelf() ? "linked @uno/async in node_modules" : "@uno/async is linked already");
  }
}
