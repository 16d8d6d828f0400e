/**
 * Runs one list of test files on Deno, Node and Bun, as it stands or compiled, and says how it went on each.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runCommand, UsageError } from "./lib/command.ts";
import { killChildrenOnSignal } from "./lib/process_tree.ts";
import { compiledFolder, writeCompiledTree } from "./build/compiled_tree.ts";
import { readConfig } from "./build/npm_package.ts";
import { buildNpm, packageFolder } from "./build_npm.ts";
import { linkSelf } from "./link_self.ts";
import { ensureRuntime, runtimePath } from "./runtimes.ts";
import {
  contractLines,
  differenceLines,
  failureLines,
  skipLines,
  succeeded,
  tableLines,
  totalLine,
} from "./test/report.ts";
import type { RunResult, TestResult } from "./test/results.ts";
import { runTests } from "./test/runners.ts";
import { startServers } from "./test/servers.ts";
import { skipReasons } from "./test/skip_reasons.ts";
import { filesLeftOut, type Target, targets } from "./test/targets.ts";

const help = `Runs the tests on Deno, Node 24 and Bun.

usage: deno task test [--runtime <names>] [--limit <minutes>] [--together <n>] [--verbose] [file filter ...]
       deno task test:all | test:deno | test:node | test:bun  [file filter ...]

A filter is a part of a file's path: "kernel/", "wait_queue". Without one, every tests/**/*_test.ts runs.

  --runtime <names>  on these, with commas between them, or "all":
                     ${targets.map(({ name }) => name).join(", ")}
  --limit <minutes>  a runtime that takes longer is killed (default 10)
  --together <n>     run on so many runtimes at a time (default 1): it takes less time in all, as tests often wait
  --verbose          print everything the runtimes print
  --help             print this`;

const root = new URL("../", import.meta.url);

await runCommand(help, {
  runtime: { type: "string", default: "deno,node24,bun" },
  limit: { type: "string", default: "10" },
  together: { type: "string", default: "1" },
  verbose: { type: "boolean", short: "v" },
}, async ({ flags, operands }) => {
  const limitMs = Number(flags.limit) * 60_000;
  if (!(limitMs > 0)) {
    throw new UsageError(`Cannot run tests as --limit must be minutes > 0: received "${flags.limit}"`);
  }
  const together = Number(flags.together);
  if (!(Number.isInteger(together) && together > 0)) {
    throw new UsageError(
      `Cannot run tests as --together must be an integer > 0: received "${flags.together}"`,
    );
  }
  const wanted = targetsNamed(String(flags.runtime));
  const files = await testFiles(operands);
  killChildrenOnSignal();
  await linkSelf();
  // For the tests that start processes of their own, on whichever runtime they run.
  process.env.UNO_DENO = runtimePath("deno");
  // All of them before the first test runs: what can't be had is told at once.
  for (const { runtime } of wanted) {
    await ensureRuntime(runtime).catch((error: Error) => {
      throw new UsageError(error.message);
    });
  }
  if (files.some((file) => file.startsWith("tests/package/"))) await buildPackage();
  if (wanted.some(({ compiled }) => compiled)) await writeCompiledTree();
  const needServers = files.some((file) => file.startsWith("tests/database/"));
  await using _servers = needServers ? await startServers() : undefined;
  const runs: RunResult[] = [];
  const waiting = [...wanted.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [i, target] = next;
      const run = runs[i] = await runOn(target, files, limitMs, flags.verbose === true, together === 1);
      for (const line of failureLines(run)) console.log(line);
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
  const skipped = skipLines(runs, await reasonFinder(runs));
  if (skipped.length > 0) console.log(["", "skipped:", ...skipped].join("\n"));
  const differences = differenceLines(runs);
  if (differences.length > 0) console.log(["", ...differences].join("\n"));
  const contracts = contractLines(runs);
  if (contracts.length > 0) console.log(["", ...contracts].join("\n"));
  console.log(["", ...tableLines(runs), "", totalLine(runs)].join("\n"));
  return runs.every(succeeded) ? 0 : 1;
});

async function testFiles(filters: readonly string[]): Promise<string[]> {
  const all = await readdir(new URL("tests/", root), { recursive: true }).catch((): string[] => []);
  const files = all.map((file) => `tests/${file.replaceAll("\\", "/")}`).filter((file) =>
    file.endsWith("_test.ts")
  );
  files.sort();
  const wanted = filters.map((filter) => filter.replaceAll("\\", "/").replace(/^\.\//, ""));
  for (const filter of wanted) {
    if (!files.some((file) => file.includes(filter))) {
      throw new UsageError(
        `Cannot run tests matching "${filter}": none of ${files.length} files in tests/ does`,
      );
    }
  }
  if (files.length === 0) throw new UsageError("Cannot run tests: there is no *_test.ts file in tests/");
  return wanted.length === 0 ? files : files.filter((file) => wanted.some((filter) => file.includes(filter)));
}

function targetsNamed(names: string): readonly Target[] {
  if (names === "all") return targets;
  return names.split(",").map((name) => {
    const target = targets.find((target) => target.name === name);
    if (target !== undefined) return target;
    const known = targets.map((target) => target.name).join(", ");
    throw new UsageError(`Cannot run tests on "${name}": known are ${known}, all`);
  });
}

/** Builds what `tests/package/` tests. When that fails, the tests of the package fail, and no others. */
async function buildPackage(): Promise<void> {
  process.env.UNO_PACKAGE = packageFolder;
  await buildNpm().catch(async (error: Error) => {
    console.error(`Cannot build the npm package: ${error.message}`);
    await rm(packageFolder, { recursive: true, force: true });
  });
}

async function runOn(
  target: Target,
  files: string[],
  limitMs: number,
  verbose: boolean,
  alone: boolean,
): Promise<RunResult> {
  const runtime = target.name;
  const command = runtimePath(target.runtime);
  const reply = spawnSync(command, ["--version"], { encoding: "utf8" }).stdout ?? "";
  const version = /\d+\.\d+\.\d+\S*/.exec(reply)?.[0] ?? "?";
  const read = (path: string): Promise<string | undefined> =>
    readFile(new URL(path, root), "utf8").catch(() => undefined);
  const leftOut = await filesLeftOut(target, files, (await readConfig()).exports, read);
  const able = files.filter((file) => !leftOut.has(file));
  if (able.length === 0) return { runtime, version, tests: [], leftOut, seconds: 0 };
  const progress = showProgress(`${runtime} ${version}`, able.length, alone);
  const run = await runTests({
    runtime,
    version,
    command,
    folder: target.compiled ? `${compiledFolder}/` : fileURLToPath(root),
    compiled: target.compiled,
    files: able,
    leftOut,
    limitMs,
    onFile: verbose ? () => {} : progress.file,
    onLine: verbose ? (line) => console.log(line) : () => {},
  });
  progress.end(run);
  return run;
}

/** A line that changes on a terminal, if no other one does; else one at the start, one each 15 s, one at the end. */
function showProgress(
  title: string,
  total: number,
  alone: boolean,
): { file: (name: string) => void; end: (run: RunResult) => void } {
  const terminal = alone && process.stderr.isTTY === true;
  let begun = 0;
  let last = performance.now();
  if (!terminal) console.error(`${title}: running ${total} ${total === 1 ? "file" : "files"}`);
  return {
    file(name) {
      begun++;
      const text = `${title}: ${begun}/${total} ${name}`;
      if (terminal) process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
      else if (performance.now() - last > 15_000) {
        last = performance.now();
        console.error(text);
      }
    },
    end(run) {
      const failed = run.tests.filter((test) => test.status === "failed").length;
      const outcome = succeeded(run)
        ? `${run.tests.length} tests`
        : `${failed} of ${run.tests.length} tests failed`;
      console.error(`${terminal ? "\r\x1b[K" : ""}${title}: ${outcome} in ${run.seconds.toFixed(1)} s`);
    },
  };
}

/** Finds a skip's reason: told by the runtime, by another runtime for the same test, or by the source. */
async function reasonFinder(runs: readonly RunResult[]): Promise<(test: TestResult) => string | undefined> {
  const known = new Map<string, string>();
  let lacking = false;
  for (const { tests } of runs) for (const { name, reason } of tests) if (reason) known.set(name, reason);
  for (const { tests } of runs) {
    lacking ||= tests.some((test) => test.status === "skipped" && !known.has(test.name));
  }
  const written = new Map<string, string>();
  if (lacking) {
    for (const file of await readdir(new URL("tests/", root), { recursive: true })) {
      if (!file.endsWith(".ts")) continue;
      const source = await readFile(fileURLToPath(new URL(`tests/${file}`, root)), "utf8");
      for (const [name, reason] of skipReasons(source)) written.set(name, reason);
    }
  }
  return (test) => test.reason ?? known.get(test.name) ?? written.get(test.name.split(" > ").at(-1)!);
}
