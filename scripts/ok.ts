/** Runs every check but the tests. @module */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { root } from "./checks/sources.ts";
import { runCommand, UsageError } from "./lib/command.ts";
import { killChildrenOnSignal, runChild } from "./lib/process_tree.ts";
import { runtimePath } from "./runtimes.ts";

const doors: string[] = Object.values(JSON.parse(readFileSync(new URL("deno.json", root), "utf8")).exports);

/** Each check by name, with the arguments for Deno. */
const checks = new Map<string, string[]>([
  ["fmt", ["fmt", "--check"]],
  ["lint", ["lint"]],
  ["types", ["check", ...present("mod.ts", "src", "tests", "scripts", "bench", "examples")]],
  ["layers", ["run", "-A", "scripts/check_layers.ts"]],
  ["messages", ["run", "-A", "scripts/check_messages.ts"]],
  ["surface", ["run", "-A", "scripts/check_surface.ts"]],
  ["docs", ["doc", "--lint", ...doors]],
  ["examples", ["test", "--doc", "-A", ...present("mod.ts", "src", "README.md", "docs")]],
  // "Dirty" only says that not everything is committed, which is nothing this check is about.
  ["publish", ["publish", "--dry-run", "--allow-dirty"]],
]);

const help = `Runs every check but the tests, all of them even if one fails.

usage: deno task ok [check ...]

checks: ${[...checks.keys()].join(", ")}`;

await runCommand(help, {}, async ({ operands }) => {
  const unknown = operands.find((name) => !checks.has(name));
  if (unknown !== undefined) {
    throw new UsageError(`Cannot run check "${unknown}": known are ${[...checks.keys()].join(", ")}`);
  }
  killChildrenOnSignal();
  const wanted = operands.length > 0 ? operands : [...checks.keys()];
  const failed: string[] = [];
  for (const name of wanted) {
    const started = performance.now();
    const output: string[] = [];
    const { code, tooLong } = await runChild(runtimePath("deno"), checks.get(name)!, {
      cwd: fileURLToPath(root),
      env: { NO_COLOR: "1", FORCE_COLOR: undefined, DENO_NO_UPDATE_CHECK: "1" },
      limitMs: 300_000,
      onLine: (line) => output.push(stripVTControlCharacters(line)),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${code === 0 ? "ok    " : "FAILED"}  ${name.padEnd(10)} ${seconds.padStart(5)} s`);
    if (code === 0) continue;
    failed.push(name);
    if (tooLong) console.log("    killed after 5 min");
    for (const line of output) console.log(`    ${line}`);
  }
  const outcome = failed.length === 0 ? "all fine" : `${failed.length} failed: ${failed.join(", ")}`;
  console.log(`\n${wanted.length} ${wanted.length === 1 ? "check" : "checks"}, ${outcome}`);
  return failed.length === 0 ? 0 : 1;
});

function present(...paths: string[]): string[] {
  return paths.filter((path) => existsSync(new URL(path, root)));
}
