import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stubFiles } from "../../scripts/link_self.ts";
import {
  contractLines,
  failureLines,
  skipLines,
  succeeded,
  tableLines,
  totalLine,
} from "../../scripts/test/report.ts";
import {
  compareRuns,
  NodeEvents,
  readJUnit,
  type RunResult,
  type TestResult,
} from "../../scripts/test/results.ts";
import { skipReasons } from "../../scripts/test/skip_reasons.ts";

function run(runtime: string, tests: TestResult[], more: Partial<RunResult> = {}): RunResult {
  return { runtime, version: "1.0.0", tests, leftOut: new Map(), seconds: 1, ...more };
}

function passed(name: string, file?: string): TestResult {
  return { name, status: "passed", ...(file === undefined ? {} : { file }) };
}

describe("readJUnit", () => {
  test("takes the leaves of Deno's flat report, and leads them back to their file", () => {
    const tests = readJUnit(`<testsuites name="deno test">
      <testsuite name="./tests/a_test.ts">
        <testcase name="plain"></testcase>
        <testcase name="outer"><failure message="1 test step failed">1 test step failed.</failure></testcase>
      </testsuite>
      <testsuite name="ext:deno_node/testing.ts">
        <testcase name="outer &gt; in"><failure message="Uncaught Error: x">Error: x &lt;1&gt;</failure></testcase>
        <testcase name="outer &gt; off"><skipped/></testcase>
      </testsuite></testsuites>`);
    assert.deepEqual(tests, [
      { name: "plain", file: "tests/a_test.ts", status: "passed" },
      { name: "outer > in", file: "tests/a_test.ts", status: "failed", failure: "Error: x <1>" },
      { name: "outer > off", file: "tests/a_test.ts", status: "skipped" },
    ]);
  });

  test("joins the nested suites of Bun's report", () => {
    const tests = readJUnit(`<testsuites name="bun test">
      <testsuite name="tests/a_test.ts" file="tests/a_test.ts"><testsuite name="outer"><testsuite name="inner">
        <testcase name="in" /><testcase name="bad"><failure type="E" message="m">Error: m</failure></testcase>
      </testsuite></testsuite></testsuite></testsuites>`);
    assert.deepEqual(tests, [
      { name: "outer > inner > in", file: "tests/a_test.ts", status: "passed" },
      { name: "outer > inner > bad", file: "tests/a_test.ts", status: "failed", failure: "Error: m" },
    ]);
  });

  test("keeps a parent that failed by itself, and counts an aborted test as failed", () => {
    const tests = readJUnit(`<testsuites><testsuite name="./tests/a_test.ts">
      <testcase name="p"><failure message="own">Error: own</failure></testcase>
      <testcase name="p &gt; child" /><testcase name="cut"><error message="Cancelled"/></testcase>
      </testsuite></testsuites>`);
    assert.deepEqual(tests.map(({ name, status }) => [name, status]), [
      ["p", "failed"],
      ["p > child", "passed"],
      ["cut", "failed"],
    ]);
  });
});

describe("NodeEvents", () => {
  const file = "tests/a_test.ts";
  const event = (type: string, name: string, nesting: number, more = {}) => ({
    type,
    name,
    nesting,
    file,
    ...more,
  });

  test("takes leaves with their path, skips with their reason, and no suite", () => {
    const events = new NodeEvents();
    events.add(event("test:start", "outer", 0));
    events.add(event("test:start", "in", 1));
    events.add(event("test:pass", "in", 1, { kind: "test" }));
    events.add(event("test:start", "off", 1));
    events.add(event("test:pass", "off", 1, { kind: "test", skip: "needs a moon" }));
    events.add(event("test:start", "bad", 1));
    events.add(
      event("test:fail", "bad", 1, { kind: "test", failureType: "testCodeFailure", failure: "Error" }),
    );
    events.add(event("test:fail", "outer", 0, { kind: "suite", failureType: "subtestsFailed" }));
    assert.deepEqual(events.tests, [
      { name: "outer > in", file, status: "passed" },
      { name: "outer > off", file, status: "skipped", reason: "needs a moon" },
      { name: "outer > bad", file, status: "failed", failure: "Error" },
    ]);
  });

  test("takes a file for a test only when it could not be run", () => {
    const events = new NodeEvents();
    events.add(event("test:start", file, 0));
    events.add(event("test:pass", file, 0, { kind: "test" }));
    assert.deepEqual(events.tests, []);
    events.add(event("test:start", file, 0));
    events.add(event("test:fail", file, 0, { kind: "test", failureType: "testCodeFailure", failure: "no" }));
    assert.deepEqual(events.tests.map(({ status }) => status), ["failed"]);
  });

  test("takes a suite whose hook failed for a failure", () => {
    const events = new NodeEvents();
    events.add(event("test:start", "suite", 0));
    events.add(event("test:fail", "suite", 0, { kind: "suite", failureType: "hookFailed", failure: "hook" }));
    assert.deepEqual(events.tests.map(({ name, status }) => [name, status]), [["suite", "failed"]]);
  });
});

describe("compareRuns", () => {
  test("finds a test that one runtime never saw", () => {
    const runs = [run("deno", [passed("a"), passed("b")]), run("bun", [passed("a")])];
    assert.deepEqual(compareRuns(runs), [{ name: "b", ran: ["deno"], missing: ["bun"] }]);
  });

  test("lets a parent stand for subtests that a runtime does not report", () => {
    const runs = [run("deno", [passed("p > one"), passed("p > two")]), run("bun", [passed("p")])];
    assert.deepEqual(compareRuns(runs), []);
  });

  test("expects nothing of files left out", () => {
    const leftOut = new Map([["tests/x_deco_test.ts", "Node can't parse decorators"]]);
    const runs = [run("deno", [passed("d", "tests/x_deco_test.ts")]), run("node24", [], { leftOut })];
    assert.deepEqual(compareRuns(runs), []);
  });
});

describe("the test report", () => {
  test("counts a crash without a failing test as a failure", () => {
    const runs = [run("deno", [passed("a")]), run("bun", [], { crash: "ended with 1" })];
    assert.equal(totalLine(runs), "1 passed, 1 failed");
    assert.deepEqual(runs.map(succeeded), [true, false]);
  });

  test("ends with plain totals over all runtimes", () => {
    const tests: TestResult[] = [passed("a"), { name: "b", status: "skipped" }, {
      name: "c",
      status: "failed",
    }];
    assert.equal(totalLine([run("deno", tests), run("bun", tests)]), "2 passed, 2 failed, 2 skipped");
    assert.equal(totalLine([run("deno", [passed("a")])]), "1 passed, 0 failed");
  });

  test("has a row for each runtime", () => {
    const lines = tableLines([run("deno", [passed("a")]), run("node24", [], { crash: "killed\nmore" })]);
    assert.equal(lines.length, 3);
    assert.match(lines[1]!, /^deno +1\.0\.0 +1 +0 +0 +1\.0$/);
    assert.match(lines[2]!, /killed$/);
  });

  test("tells each skip once, with its reason and all its runtimes", () => {
    const skipped: TestResult = { name: "s", status: "skipped" };
    assert.deepEqual(skipLines([run("deno", [skipped]), run("bun", [skipped])], () => "why"), [
      "  deno, bun: s (why)",
    ]);
    assert.deepEqual(skipLines([run("deno", [skipped])], () => undefined), ["  deno: s (no reason given)"]);
  });

  test("shows which implementers of a contract passed where", () => {
    const [pg, pglite] = ["driver contract: pg > a", "driver contract: PGlite > a"];
    const runs = [
      run("deno", [passed(pg), passed(`${pg}b`), passed("other > a")]),
      run("bun", [passed(pg), { name: `${pg}b`, status: "failed" }, passed(pglite)]),
    ];
    assert.deepEqual(contractLines(runs), [
      "                         deno     bun",
      "driver contract: PGlite     -       1",
      "driver contract: pg         2  1 of 2",
    ]);
    assert.deepEqual(contractLines([run("deno", [passed("other > a")])]), []);
  });

  test("shows what failed, where, and what was said", () => {
    const failed: TestResult = {
      name: "f",
      file: "tests/f_test.ts",
      status: "failed",
      failure: "Error: x\n  at y",
    };
    assert.deepEqual(failureLines(run("bun", [failed, passed("p")])), [
      "",
      "FAILED on bun: f  (tests/f_test.ts)",
      "    Error: x",
      "      at y",
    ]);
  });
});

describe("skipReasons", () => {
  test("reads literals, conditions and constants", () => {
    const reasons = skipReasons(`
      const why = onBun && "Bun has none";
      test("plain", { skip: "no moon" }, () => {});
      test("either", { skip: onDeno ? "not on Deno" : false }, () => {});
      test("named", { skip: why }, () => {});
      test("runs", { timeout: 5 }, () => {});
    `);
    assert.deepEqual([...reasons], [["plain", "no moon"], ["either", "not on Deno"], [
      "named",
      "Bun has none",
    ]]);
  });
});

describe("stubFiles", () => {
  test("re-exports each door from the sources, by paths that lead out of node_modules", () => {
    const files = stubFiles({
      name: "@a/b",
      version: "1.2.3",
      exports: { ".": "./mod.ts", "./c": "./src/c/mod.ts", "./c/d": "./src/c/d.ts" },
    });
    assert.equal(files.get("./index.js"), 'export * from "../../../mod.ts";\n');
    assert.equal(files.get("./c.js"), 'export * from "../../../src/c/mod.ts";\n');
    assert.equal(files.get("./c/d.js"), 'export * from "../../../../src/c/d.ts";\n');
    assert.deepEqual(JSON.parse(files.get("./package.json")!).exports, {
      ".": "./index.js",
      "./c": "./c.js",
      "./c/d": "./c/d.js",
    });
  });
});
