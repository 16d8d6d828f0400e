/**
 * Runs one list of test files on Deno, Node and Bun, and says how it went on each.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runCommand, UsageError } from "./lib/command.ts";
import { killChildrenOnSignal } from "./lib/process_tree.ts";
import { linkSelf } from "./link_self.ts";
import { ensureRuntime, type RuntimeName, runtimePath, runtimes } from "./runtimes.ts";
import { differenceLines, failureLines, skipLines, succeeded, tableLines, totalLine } from "./test/report.ts";
import type { RunResult, TestResult } from "./test/results.ts";
import { runTests } from "./test/runners.ts";
import { skipReasons } from "./test/skip_reasons.ts";

const help = `Runs the tests on Deno, Node 24 and Bun.

usage: deno task test [--runtime <name>] [--limit <minutes>] [--verbose] [file filter ...]
       deno task test:deno | test:node | test:bun  [file filter ...]

A filter is a part of a file's path: "kernel/", "wait_queue". Without one, every tests/**/*_test.ts runs.

  --runtime <name>   only this runtime: deno, bun, node24, ...; may be given several times, with commas
  --limit <minutes>  a runtime that takes longer is killed (default 10)
  --verbose          print everything the runtimes print
  --help             print this`;

const root = new URL("../", import.meta.url);

await runCommand(help, {
  runtime: { type: "string", default: "deno,node24,bun" },
  limit: { type: "string", default: "10" },
  verbose: { type: "boolean", short: "v" },
}, async ({ flags, operands }) => {
  const limitMs = Number(flags.limit) * 60_000;
  if (!(limitMs > 0)) {
    throw new UsageError(`Cannot run tests as --limit must be minutes > 0: received "${flags.limit}"`);
  }
  const files = await testFiles(operands);
  killChildrenOnSignal();
  await linkSelf();
  // For the tests that start processes of their own, on whichever runtime they run.
  process.env.UNO_DENO = runtimePath("deno");
  const wanted = String(flags.runtime).split(",");
  // All of them before the first test runs: what can't be had is told at once.
  for (const runtime of wanted) await fetchRuntime(runtime);
  const runs: RunResult[] = [];
  for (const runtime of wanted) {
    const run = await runOn(runtime, files, limitMs, flags.verbose === true);
    runs.push(run);
    for (const line of failureLines(run)) console.log(line);
  }
  const skipped = skipLines(runs, await reasonFinder(runs));
  if (skipped.length > 0) console.log(["", "skipped:", ...skipped].join("\n"));
  const differences = differenceLines(runs);
  if (differences.length > 0) console.log(["", ...differences].join("\n"));
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

async function fetchRuntime(runtime: string): Promise<void> {
  if (runtime !== "deno" && !Object.hasOwn(runtimes, runtime)) {
    throw new UsageError(
      `Cannot run tests on "${runtime}": known are deno, ${Object.keys(runtimes).join(", ")}`,
    );
  }
  await ensureRuntime(runtime as RuntimeName).catch((error: Error) => {
    throw new UsageError(error.message);
  });
}

async function runOn(
  runtime: string,
  files: string[],
  limitMs: number,
  verbose: boolean,
): Promise<RunResult> {
  const command = runtimePath(runtime as RuntimeName);
  const reply = spawnSync(command, ["--version"], { encoding: "utf8" }).stdout ?? "";
  const version = /\d+\.\d+\.\d+\S*/.exec(reply)?.[0] ?? "?";
  const leftOut = new Map<string, string>();
  if (runtime.startsWith("node")) {
    for (const file of files) {
      if (file.endsWith("_deco_test.ts")) leftOut.set(file, "Node can't parse decorators");
    }
  }
  const able = files.filter((file) => !leftOut.has(file));
  if (able.length === 0) return { runtime, version, tests: [], leftOut, seconds: 0 };
  const progress = showProgress(`${runtime} ${version}`, able.length);
  const run = await runTests({
    runtime,
    version,
    command,
    files: able,
    leftOut,
    limitMs,
    onFile: verbose ? () => {} : progress.file,
    onLine: verbose ? (line) => console.log(line) : () => {},
  });
  progress.end(run);
  return run;
}

/** A line that changes on a terminal; elsewhere one at the start, one each 15 s, one at the end. */
function showProgress(
  title: string,
  total: number,
): { file: (name: string) => void; end: (run: RunResult) => void } {
  const terminal = process.stderr.isTTY === true;
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
