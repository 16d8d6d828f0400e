/** What a test run is, whichever runtime it ran on, and how it is read from each runtime's report. @module */
import sax from "sax";

/** One leaf test: a test that holds no other tests. */
export interface TestResult {
  /** The names of the suites around it and its own, joined by ` > `. */
  readonly name: string;
  readonly file?: string;
  readonly status: "passed" | "failed" | "skipped";
  /** Why it was skipped, where the runtime tells. */
  readonly reason?: string;
  /** The error and where it arose, where it failed. */
  readonly failure?: string;
}

/** One runtime's run over the list of files. */
export interface RunResult {
  readonly runtime: string;
  readonly version: string;
  readonly tests: readonly TestResult[];
  /** Files that this runtime can't run, and why. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** What went wrong with the run itself, beyond failing tests. */
  readonly crash?: string;
  readonly seconds: number;
}

/** An event of `scripts/test/node_reporter.mjs`. */
export interface NodeEvent {
  readonly type: string;
  readonly name: string;
  readonly nesting: number;
  readonly file?: string;
  readonly message?: string;
  readonly kind?: string;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly failureType?: string;
  readonly failure?: string;
}

/** Gathers leaf tests from the events of Node's runner, which come parent's start first and parent's end last. */
export class NodeEvents {
  readonly tests: TestResult[] = [];
  readonly #open: { name: string; children: number }[] = [];

  add(event: NodeEvent): void {
    const { type, name, nesting, file } = event;
    if (type === "test:start") {
      this.#open.length = nesting;
      if (nesting > 0) this.#open[nesting - 1]!.children++;
      this.#open[nesting] = { name, children: 0 };
      return;
    }
    if (type !== "test:pass" && type !== "test:fail") return;
    // Node reports a file as a test of its own when it could not be run, or holds no test.
    const wholeFile = nesting === 0 && (file === name || file?.endsWith(`/${name}`) === true);
    const parent = event.kind === "suite" || (this.#open[nesting]?.children ?? 0) > 0;
    const path = [...this.#open.slice(0, nesting).map((entry) => entry.name), name].join(" > ");
    if (type === "test:fail") {
      if (event.failureType === "subtestsFailed") return;
      if (isSet(event.todo)) {
        this.tests.push({ name: path, file, status: "skipped", reason: told("todo", event.todo) });
      } else this.tests.push({ name: path, file, status: "failed", failure: event.failure });
    } else if (!wholeFile && !parent) {
      if (isSet(event.skip)) {
        this.tests.push({ name: path, file, status: "skipped", reason: told("", event.skip) });
      } else if (isSet(event.todo)) {
        this.tests.push({ name: path, file, status: "skipped", reason: told("todo", event.todo) });
      } else this.tests.push({ name: path, file, status: "passed" });
    }
  }
}

function isSet(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}

function told(word: string, mark: string | boolean | undefined): string | undefined {
  const text = typeof mark === "string" && mark !== "" ? mark : undefined;
  return word === "" ? text : text === undefined ? word : `${word}: ${text}`;
}

/** The leaf tests of a JUnit report as Deno (`--junit-path`) or Bun (`--reporter=junit`) writes it. */
export function readJUnit(xml: string): TestResult[] {
  const cases = readCases(xml);
  const parents = new Set<string>();
  const fileOfRoot = new Map<string, string>();
  for (const { path, file } of cases) {
    const parts = path.split(" > ");
    for (let length = 1; length < parts.length; length++) parents.add(parts.slice(0, length).join(" > "));
    if (!file.startsWith("ext:")) fileOfRoot.set(path, file);
  }
  const tests: TestResult[] = [];
  for (const { path, file: reported, status, failure } of cases) {
    if (parents.has(path) && (status !== "failed" || /^\d+ test steps? failed\.?$/.test(failure ?? ""))) {
      continue;
    }
    // Deno files what stands inside `describe` under its own module; the outermost name leads back to the file.
    const file = reported.startsWith("ext:") ? fileOfRoot.get(path.split(" > ")[0]!) : reported;
    tests.push({ name: path, file, status, ...(failure === undefined ? {} : { failure }) });
  }
  return tests;
}

interface Case {
  path: string;
  file: string;
  status: "passed" | "failed" | "skipped";
  failure?: string;
}

function readCases(xml: string): Case[] {
  const cases: Case[] = [];
  const suites: string[] = [];
  let current: Case | undefined;
  let text: string | undefined;
  const parser = sax.parser(true);
  parser.onerror = () => {
    // A control character in a test's name is no reason to lose the report.
    parser.error = null as unknown as Error;
    parser.resume();
  };
  parser.onopentag = ({ name, attributes }) => {
    if (name === "testsuite") suites.push(String(attributes.name));
    if (name === "testcase") {
      // The outermost suite is the file.
      const path = [...suites.slice(1), String(attributes.name)].join(" > ");
      current = { path, file: (suites[0] ?? "").replace(/^\.\//, ""), status: "passed" };
      cases.push(current);
    }
    if (current === undefined) return;
    if (name === "skipped") current.status = "skipped";
    if (name === "failure" || name === "error") {
      current.status = "failed";
      current.failure = String(attributes.message ?? "");
      text = "";
    }
  };
  parser.ontext = (part) => {
    if (text !== undefined) text += part;
  };
  parser.oncdata = parser.ontext;
  parser.onclosetag = (name) => {
    if (name === "testsuite") suites.pop();
    if (name === "testcase") current = undefined;
    if ((name === "failure" || name === "error") && current !== undefined) {
      if (text?.trim()) current.failure = text.trim();
      text = undefined;
    }
  };
  parser.write(xml).close();
  return cases;
}

/** Tests which some of the runs held and others did not. */
export interface Difference {
  readonly name: string;
  readonly ran: readonly string[];
  readonly missing: readonly string[];
}

/**
 * Compares runs by test names.
 *
 * Bun reports a test with subtests (`t.test`) as one test: such a parent stands for its children. Tests of files that
 * a runtime leaves out are not counted as missing there.
 */
export function compareRuns(runs: readonly RunResult[]): Difference[] {
  const names = runs.map((run) => new Set(run.tests.map((test) => test.name)));
  // Some runtimes name the helper that defines a test, others the file that calls it.
  const files = new Map<string, Set<string>>();
  for (const run of runs) {
    for (const { name, file } of run.tests) {
      if (file) files.set(name, (files.get(name) ?? new Set()).add(file));
    }
  }
  const covers = (index: number, name: string): boolean => {
    const own = names[index]!;
    if (own.has(name)) return true;
    for (const file of files.get(name) ?? []) {
      if ([...runs[index]!.leftOut.keys()].some((left) => file.endsWith(left))) return true;
    }
    const parts = name.split(" > ");
    if (parts.some((_, length) => own.has(parts.slice(0, length).join(" > ")))) return true;
    return [...own].some((other) => other.startsWith(name + " > "));
  };
  const differences: Difference[] = [];
  for (const name of new Set(names.flatMap((own) => [...own]))) {
    const missing = runs.filter((_, index) => !covers(index, name)).map((run) => run.runtime);
    if (missing.length === 0) continue;
    const ran = runs.filter((_, index) => covers(index, name)).map((run) => run.runtime);
    differences.push({ name, ran, missing });
  }
  return differences;
}
