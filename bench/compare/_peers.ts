/**
 * The libraries compared with: fetched when a comparison first runs, into the git-ignored `.cache/compare/`, and
 * loaded from there. Neither the tests nor the package know of them, so the cases describe what they use themselves.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../scripts/lib/command.ts";
import { runChild } from "../../scripts/lib/process_tree.ts";
import { runtimePath } from "../../scripts/runtimes.ts";

/** The exact version of each: the newest one when the cases were last looked over. */
export const versions: Readonly<Record<string, string>> = JSON.parse(
  readFileSync(new URL("peers.json", import.meta.url), "utf8"),
);

const cache = new URL("../../.cache/compare/", import.meta.url);
// Named after what is in it, so that one folder is either whole or not there.
const hash = createHash("sha256").update(JSON.stringify(versions)).digest("hex").slice(0, 12);
const folder = new URL(`${hash}/`, cache);

/** The configuration Deno is started with, so that it looks for packages in the folder and nowhere else. */
export const denoConfig: string = fileURLToPath(new URL("deno.json", folder));

/** Loads a peer, or a door of it. */
export async function peer<M>(name: string): Promise<M> {
  const [first, second] = name.split("/");
  if (!(name.startsWith("@") ? `${first}/${second}` in versions : first! in versions)) {
    throw new Error(`Cannot load "${name}": it is not in peers.json`);
  }
  // From a module in the folder, as each runtime looks for a package beside whoever imports it.
  const { load } = await import(new URL("load.mjs", folder).href) as { load(name: string): Promise<M> };
  return await load(name);
}

/** Fetches the peers, if they are not there yet. */
export async function installPeers(): Promise<void> {
  if (existsSync(folder)) return;
  const count = Object.keys(versions).length;
  console.error(`fetching ${count} libraries to compare with, about 70 MB, from the npm registry …`);
  await mkdir(cache, { recursive: true });
  const temporary = await mkdtemp(fileURLToPath(new URL(".fetch-", cache)));
  const write = (name: string, text: string): Promise<void> => writeFile(`${temporary}/${name}`, text);
  try {
    await write("package.json", JSON.stringify({ private: true, type: "module", dependencies: versions }));
    await write("load.mjs", "export const load = (name) => import(name);\n");
    await write("deno.json", JSON.stringify({ nodeModulesDir: "auto", lock: false }));
    const output: string[] = [];
    const ending = await runChild(runtimePath("deno"), ["install", "--quiet"], {
      cwd: temporary,
      env: { NO_COLOR: "1" },
      limitMs: 300_000,
      onLine: (line) => output.push(line),
    });
    if (ending.code !== 0) throw new UsageError(`Cannot fetch the libraries: ${output.join(" ").trim()}`);
    await write("deno.json", JSON.stringify({ nodeModulesDir: "manual", lock: false }));
    await removeOld();
    await rename(temporary, folder);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Removes other versions' folders, unless a comparison may still be running with them. */
async function removeOld(): Promise<void> {
  for (const name of await readdir(cache)) {
    const old = new URL(`${name}/`, cache);
    const age = Date.now() - await stat(old).then((found) => found.mtimeMs, () => Infinity);
    if (age > 3_600_000) await rm(old, { recursive: true, force: true });
  }
}
