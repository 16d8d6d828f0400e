/** Starts a script of this folder on each runtime. */
import { spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../scripts/lib/command.ts";
import { type Ending, runChild } from "../../scripts/lib/process_tree.ts";
import { ensureRuntime, runtimePath } from "../../scripts/runtimes.ts";
import { denoConfig } from "./_peers.ts";

/** A runtime the comparisons run on. */
export interface Target {
  readonly title: string;
  readonly runtime: "deno" | "node24" | "bun";
  /** What stands before the script. */
  readonly args: readonly string[];
}

const V8 = ["--expose-gc", "--no-flush-bytecode"];

const targets: ReadonlyMap<string, Target> = new Map([
  ["node", { title: "Node", runtime: "node24", args: ["--disable-warning=ExperimentalWarning", ...V8] }],
  ["deno", {
    title: "Deno",
    runtime: "deno",
    args: ["run", "-A", "--quiet", "--no-check", `--config=${denoConfig}`, `--v8-flags=${V8.join(",")}`],
  }],
  ["bun", { title: "Bun", runtime: "bun", args: [] }],
]);

/** The runtimes of `--runtime`: names with commas between them, or `all`. */
export function targetsNamed(names: string): readonly Target[] {
  if (names === "all") return [...targets.values()];
  return names.split(",").map((name) => {
    const target = targets.get(name);
    if (target !== undefined) return target;
    throw new UsageError(`Cannot compare on "${name}": known are ${[...targets.keys()].join(", ")}, all`);
  });
}

/** A runtime's name with its version. */
export async function titleOf(target: Target): Promise<string> {
  const reply = spawnSync(await ensureRuntime(target.runtime), ["--version"], { encoding: "utf8" }).stdout ??
    "";
  return `${target.title} ${/\d+\.\d+\.\d+\S*/.exec(reply)?.[0] ?? "?"}`;
}

/** Runs a script of this folder; its lines of output are handed on, and what else it says is printed. */
export async function runOn(
  target: Target,
  script: string,
  operands: readonly string[],
  limitMs: number,
  onLine: (line: string) => void,
): Promise<Ending> {
  const file = fileURLToPath(new URL(script, import.meta.url));
  return await runChild(await ensureRuntime(target.runtime), [...target.args, file, ...operands], {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    env: { NO_COLOR: "1" },
    limitMs,
    onLine: (line, stream) => stream === "stdout" ? onLine(line) : console.error(`${target.title}: ${line}`),
  });
}

/** Writes a page of Markdown, formatted as all are. */
export async function writePage(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  const args = ["fmt", "--quiet", file];
  const { status, stderr } = spawnSync(runtimePath("deno"), args, { encoding: "utf8" });
  if (status !== 0) console.error(`"${file}" is not formatted: ${stderr}`);
}
