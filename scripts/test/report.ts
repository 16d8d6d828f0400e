/** What a test run prints when it is over. @module */
import { compareRuns, type RunResult, type TestResult } from "./results.ts";

/** Why a test was skipped, from whatever source knows. */
export type ReasonFinder = (test: TestResult) => string | undefined;

/** The failures of a run, each with what its runtime said. */
export function failureLines(run: RunResult): string[] {
  const lines: string[] = [];
  for (const test of run.tests) {
    if (test.status !== "failed") continue;
    lines.push("", `FAILED on ${run.runtime}: ${test.name}${test.file ? `  (${test.file})` : ""}`);
    // Bun says nothing in its report about a module it can't find, for one.
    const text = test.failure?.trimEnd() ||
      `(nothing reported; all it printed is in .cache/test/${run.runtime}.log)`;
    for (const line of text.split("\n")) lines.push(`    ${line}`);
  }
  if (run.crash !== undefined) {
    lines.push("", `${run.runtime} ${run.crash}`);
  }
  return lines;
}

/** The skipped tests and files left out of all runs, with reasons, equal ones told once. */
export function skipLines(runs: readonly RunResult[], reasonOf: ReasonFinder): string[] {
  const groups = new Map<string, { runtimes: Set<string>; what: string; reason: string }>();
  const add = (runtime: string, what: string, reason: string): void => {
    const key = `${what}\n${reason}`;
    const group = groups.get(key) ?? { runtimes: new Set<string>(), what, reason };
    group.runtimes.add(runtime);
    groups.set(key, group);
  };
  for (const run of runs) {
    for (const test of run.tests) {
      if (test.status === "skipped") add(run.runtime, test.name, reasonOf(test) ?? "no reason given");
    }
    for (const [file, reason] of run.leftOut) add(run.runtime, file, reason);
  }
  return [...groups.values()].map(({ runtimes, what, reason }) =>
    `  ${[...runtimes].join(", ")}: ${what} (${reason})`
  );
}

/** A warning for each test that some runtime never saw. */
export function differenceLines(runs: readonly RunResult[]): string[] {
  // A run that crashed lacks tests for a reason already told.
  const whole = runs.filter((run) => run.crash === undefined);
  return compareRuns(whole).map(({ name, ran, missing }) =>
    `warning: ran on ${ran.join(", ")} but not on ${missing.join(", ")}: ${name}`
  );
}

/** One row a runtime: what ran, how it ended. */
export function tableLines(runs: readonly RunResult[]): string[] {
  const rows = [["runtime", "version", "passed", "failed", "skipped", "seconds", ""]];
  for (const run of runs) {
    const { passed, failed, skipped } = count(run);
    const left = run.leftOut.size > 0
      ? `${run.leftOut.size} ${run.leftOut.size === 1 ? "file" : "files"} left out`
      : "";
    const note = run.crash === undefined ? left : run.crash.split("\n")[0]!;
    rows.push([
      run.runtime,
      run.version,
      `${passed}`,
      `${failed}`,
      `${skipped}`,
      run.seconds.toFixed(1),
      note,
    ]);
  }
  return aligned(rows, (column) => column >= 2 && column <= 5);
}

/** Which suites that are for several implementers ran where: one row an implementer, with how many tests passed. */
export function contractLines(runs: readonly RunResult[]): string[] {
  const contracts = new Map<string, Map<string, { passed: number; of: number }>>();
  for (const { runtime, tests } of runs) {
    for (const { name, status } of tests) {
      const contract = /^\w+ contract: [^>]+(?= > )/.exec(name)?.[0];
      if (contract === undefined || status === "skipped") continue;
      const cells = contracts.get(contract) ?? new Map();
      const { passed, of } = cells.get(runtime) ?? { passed: 0, of: 0 };
      contracts.set(
        contract,
        cells.set(runtime, { passed: passed + (status === "passed" ? 1 : 0), of: of + 1 }),
      );
    }
  }
  if (contracts.size === 0) return [];
  const rows = [["", ...runs.map(({ runtime }) => runtime)]];
  for (const [contract, cells] of [...contracts].sort(([a], [b]) => a < b ? -1 : 1)) {
    rows.push([
      contract,
      ...runs.map(({ runtime }) => {
        const cell = cells.get(runtime);
        if (cell === undefined) return "-";
        return cell.passed === cell.of ? `${cell.of}` : `${cell.passed} of ${cell.of}`;
      }),
    ]);
  }
  return aligned(rows, (column) => column > 0);
}

function aligned(rows: readonly (readonly string[])[], isNumber: (column: number) => boolean): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) =>
      isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
    ).join("  ").trimEnd()
  );
}

/** `N passed, N failed`, over all runs; a run that crashed without a failing test counts as one failure. */
export function totalLine(runs: readonly RunResult[]): string {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const run of runs) {
    const { passed, failed, skipped } = count(run);
    total.passed += passed;
    total.failed += failed + (run.crash !== undefined && failed === 0 ? 1 : 0);
    total.skipped += skipped;
  }
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  return `${total.passed} passed, ${total.failed} failed${skipped}`;
}

/** Whether all is well with a run. */
export function succeeded(run: RunResult): boolean {
  return run.crash === undefined && run.tests.every((test) => test.status !== "failed");
}

function count(run: RunResult): { passed: number; failed: number; skipped: number } {
  const of = (status: TestResult["status"]): number =>
    run.tests.filter((test) => test.status === status).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}
