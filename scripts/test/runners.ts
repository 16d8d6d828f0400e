/** How each runtime is told to run a list of test files, and how what it says is read. @module */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { type Ending, runChild } from "../lib/process_tree.ts";
import { batchFiles } from "./batches.ts";
import { NodeEvents, readJUnit, type RunResult, type TestResult } from "./results.ts";

/** One run of one runtime. */
export interface RunOptions {
  readonly runtime: string;
  readonly version: string;
  /** Path of the executable. */
  readonly command: string;
  /** Where it runs: the root of the repository, or the same compiled, as an absolute path with `/` at its end. */
  readonly folder: string;
  readonly compiled: boolean;
  /** Paths from the root of the repository, as the sources are named. */
  readonly files: readonly string[];
  readonly leftOut: ReadonlyMap<string, string>;
  readonly limitMs: number;
  /** Called when a file begins and with every line for `--verbose`. */
  readonly onFile: (file: string) => void;
  readonly onLine: (line: string) => void;
}

/** What is particular to a runtime: its arguments, and a reader of its output. */
interface Runner {
  /** Files to run in the place of these, each with those of these that it stands for. */
  prepare?(files: readonly string[], options: RunOptions): Promise<ReadonlyMap<string, readonly string[]>>;
  arguments(files: readonly string[], report: string): string[];
  reader(options: RunOptions): Reader;
}

interface Reader {
  line(line: string, stream: "stdout" | "stderr"): void;
  /** What is known once the runtime has ended; `report` is the text of its report file if it wrote one. */
  end(report: string | undefined): {
    tests: TestResult[];
    complete: boolean;
    /** Files that ran tests, where their results may bear the name of a helper that defined them. */
    ran?: ReadonlySet<string>;
  };
}

const processors = availableParallelism();
const reporter: string = fileURLToPath(new URL("node_reporter.mjs", import.meta.url));
const reports: string = fileURLToPath(new URL("../../.cache/test/", import.meta.url));
/** Where the files are written that stand for several. */
const batches: string = fileURLToPath(new URL("../../.cache/batches/", import.meta.url));
/** Where Node keeps what it has compiled: each file is a process that loads the same sources, half of its time. */
const bytecode: string = fileURLToPath(new URL("../../.cache/bytecode/", import.meta.url));

const inBatches: Runner["prepare"] = (files, { folder, runtime }) =>
  batchFiles(files, folder, `${batches}${runtime}/`);

const deno: Runner = {
  prepare: inBatches,
  // Types are checked by `deno task ok`, once; Node and Bun do not check them either.
  arguments: (
    files,
    report,
  ) => ["test", "-A", "--no-check", "--parallel", `--junit-path=${report}`, ...files],
  reader(options) {
    const stray: TestResult[] = [];
    const ran = new Set<string>();
    let error: string[] | undefined;
    return {
      line(line) {
        options.onLine(line);
        // Several run at a time, so each line says whose it is; the report names the file that calls `describe`, which
        // may be a helper of the test file.
        const file = /^\.\/(\S+) => /.exec(line)?.[1];
        if (file !== undefined && !ran.has(file)) {
          ran.add(file);
          options.onFile(file);
        }
        // What no test caught is in the output only, not in the report.
        const source = /^\.\/(\S+) \(uncaught error\)$/.exec(line)?.[1];
        if (source !== undefined) error = [source];
        else if (error !== undefined && line !== "") error.push(line);
        else if (error !== undefined) {
          const [file, ...text] = error;
          if (text.length > 0) {
            stray.push({ name: "(uncaught error)", file, status: "failed", failure: text.join("\n") });
          }
          error = undefined;
        }
      },
      end: (report) => ({
        tests: [...readJUnit(report ?? "<testsuites/>"), ...stray],
        complete: report !== undefined,
        ran,
      }),
    };
  },
};

const bun: Runner = {
  // The leading "./" makes Bun take a path for a path, not for a filter. Its limit of 5 s a test is not ours.
  arguments: (files, report) => [
    "test",
    `--parallel=${processors}`,
    "--no-isolate", // Otherwise each file loads all modules anew.
    "--timeout=86400000",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...files.map((file) => `./${file}`),
  ],
  reader(options) {
    const stray: TestResult[] = [];
    const seen = new Set<string>();
    let file: string | undefined;
    let error: string[] | undefined;
    return {
      line(line) {
        options.onLine(line);
        // Said again whenever another file's results came in between.
        const begun = /^(\S+_test\.ts):$/.exec(line)?.[1];
        if (begun !== undefined) {
          file = begun;
          if (!seen.has(file)) options.onFile(file);
          seen.add(file);
        }
        // What no test caught is in the output only, not in the report.
        if (line === "# Unhandled error between tests") error = [];
        else if (error !== undefined && /^-{20,}$/.test(line)) {
          if (error.length > 0) {
            stray.push({ name: "(unhandled error)", file, status: "failed", failure: error.join("\n") });
            error = undefined;
          }
        } else error?.push(line);
      },
      end: (report) => ({
        tests: [...readJUnit(report ?? "<testsuites/>"), ...stray],
        complete: report !== undefined,
      }),
    };
  },
};

const node: Runner = {
  prepare: inBatches,
  // Each is a process that often waits; by itself Node runs one fewer than there are processors.
  arguments: (
    files,
  ) => ["--test", `--test-concurrency=${processors + 1}`, `--test-reporter=${reporter}`, ...files],
  reader(options) {
    const events = new NodeEvents();
    const noise = new Map<string, string>();
    // Files that began and were not reported as a test themselves, which those are that hold none.
    const ran = new Set<string>();
    let complete = false;
    // Whatever it runs, it is spoken of by the name of its source.
    const named = (path: string): string => {
      const within = path.replace(options.folder, "");
      return options.compiled ? within.replace(/\.js$/, ".ts") : within;
    };
    return {
      line(line, stream) {
        if (stream === "stderr" || !line.startsWith('{"type":"test:')) return options.onLine(line);
        const event = JSON.parse(line);
        const file = event.file && named(event.file);
        if (event.nesting === 0 && event.name && named(event.name) === file) event.name = file;
        if (event.type === "test:diagnostic" && event.message?.startsWith("duration_ms")) complete = true;
        if (event.message !== undefined) {
          options.onLine(event.message.trimEnd());
          if (file !== undefined) noise.set(file, (noise.get(file) ?? "") + event.message);
          return;
        }
        if (event.type === "test:fail" || event.type === "test:pass") {
          options.onLine(
            `${event.type === "test:pass" ? "ok" : "FAILED"} ${"  ".repeat(event.nesting)}${event.name}`,
          );
        }
        // "test:start" waits until the files before have been reported; this comes when the file's process starts.
        if (event.type === "test:dequeue") {
          if (event.nesting === 0 && file === event.name) {
            ran.add(file);
            options.onFile(file);
          }
          return;
        }
        if (event.type === "test:pass" && event.nesting === 0 && file === event.name) ran.delete(file);
        // A file that could not be run says why on its own error output, which came before.
        if (event.failure === "'test failed'") event.failure = noise.get(file) ?? event.failure;
        events.add({ ...event, file });
      },
      end: () => ({ tests: events.tests, complete, ran }),
    };
  },
};

/** Runs the files and reads the result. Never rejects for what the tests or the runtime do. */
export async function runTests(options: RunOptions): Promise<RunResult> {
  const { runtime, version, files, leftOut } = options;
  const started = performance.now();
  const runner = runtime === "deno" ? deno : runtime === "bun" ? bun : node;
  const report = `${reports}${runtime}.xml`;
  await mkdir(reports, { recursive: true });
  await rm(report, { force: true });
  const output: string[] = [];
  const paths = options.compiled ? files.map((file) => file.replace(/\.ts$/, ".js")) : files;
  const toRun = await runner.prepare?.(paths, options) ?? new Map(paths.map((path) => [path, [path]]));
  let lastFile: string | undefined;
  const begun = (file: string): void => {
    const found = [...toRun].find(([path]) => path.endsWith(file))?.[1] ?? [file];
    for (const one of found) options.onFile(lastFile = one);
  };
  const reader = runner.reader({ ...options, onFile: begun });
  const ending = await runChild(options.command, runner.arguments([...toRun.keys()], report), {
    cwd: options.folder,
    // Not FORCE_COLOR=0: Deno takes it for a wish for colour.
    env: {
      NO_COLOR: "1",
      FORCE_COLOR: undefined,
      DENO_NO_UPDATE_CHECK: "1",
      NODE_COMPILE_CACHE: `${bytecode}${runtime}`,
    },
    limitMs: options.limitMs,
    onLine(raw, stream) {
      const line = stripVTControlCharacters(raw);
      output.push(line);
      reader.line(line, stream);
    },
  }).catch((error: Error): Ending & { error: Error } => ({
    code: null,
    signal: null,
    tooLong: false,
    error,
  }));
  await writeFile(`${reports}${runtime}.log`, output.join("\n") + "\n");
  const text = await readFile(report, "utf8").catch(() => undefined);
  const { tests, complete, ran } = reader.end(text);
  const seconds = (performance.now() - started) / 1000;
  const crash = "error" in ending
    ? `could not be started: ${ending.error.message}`
    : explain(ending, complete, tests, ran ?? new Set(), options, lastFile, output);
  return { runtime, version, tests, leftOut, seconds, ...(crash === undefined ? {} : { crash }) };
}

function explain(
  ending: Ending,
  complete: boolean,
  tests: readonly TestResult[],
  begun: ReadonlySet<string>,
  options: RunOptions,
  lastFile: string | undefined,
  output: readonly string[],
): string | undefined {
  const where = lastFile === undefined ? "before the first file" : `in ${lastFile}`;
  if (ending.tooLong) {
    return `killed after ${options.limitMs / 60_000} min, ${where} (the last file to begin)`;
  }
  const tail = `\n${output.slice(-40).join("\n")}`;
  if (!complete) return `ended with ${ending.signal ?? ending.code} and no report, ${where}${tail}`;
  if (ending.code !== 0 && !tests.some((test) => test.status === "failed")) {
    return `ended with ${ending.signal ?? ending.code} though no test failed${tail}`;
  }
  if (ending.code !== 0) return undefined;
  // A file that ends its process early, or whose tests are never registered, must not count as fine.
  const ran = new Set([...begun, ...tests.map((test) => test.file)]);
  const empty = options.files.filter((file) => ![...ran].some((other) => other?.endsWith(file)));
  return empty.length > 0 ? `ran no test of ${empty.join(", ")}` : undefined;
}
