import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, realpath, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { withConsumer } from "./_consumer.ts";

type Runtime = "Deno" | "Node" | "Bun";

const runtime: Runtime = "Deno" in globalThis ? "Deno" : "Bun" in globalThis ? "Bun" : "Node";

/** A test runner, as a user of the package starts it. */
interface Runner {
  /** How a test file gets at the runner's `test`. */
  readonly start: string;
  /** What follows the name of the runtime, on those that have it. */
  readonly args: { readonly [on in Runtime]?: readonly string[] };
  /** A package that has to be installed. */
  readonly needs?: string;
}

const deno = ["test", "-A", "--no-check"];

const runners: Record<string, Runner> = {
  "node:test": {
    start: 'import test from "node:test";',
    args: { Node: ["--test", "--test-reporter=spec"], Deno: deno, Bun: ["test"] },
  },
  "Deno.test": { start: "const { test } = Deno;", args: { Deno: deno } },
  "bun:test": { start: 'import { test } from "bun:test";', args: { Bun: ["test"] } },
  "Vitest": {
    start: 'import { test } from "vitest";',
    args: { Node: [join("node_modules", "vitest", "vitest.mjs"), "run"] },
    needs: "vitest",
  },
};

/** Calls `fn` with how to run the tests of a user, in which `runner` is installed. */
async function withRunner(
  { start, args, needs }: Runner,
  fn: (run: (which: "passing" | "failing") => readonly [number | null, string]) => void,
): Promise<void> {
  await withConsumer(async (folder) => {
    const fixture = fileURLToPath(new URL("_fixtures/kit.mjs", import.meta.url));
    await cp(fixture, join(folder, "kit.mjs"));
    await writeFile(join(folder, "kit.test.mjs"), `${start}\nimport { kit } from "./kit.mjs";\nkit(test);\n`);
    if (needs !== undefined) {
      const installed = createRequire(import.meta.url).resolve(`${needs}/package.json`);
      await symlink(await realpath(dirname(installed)), join(folder, "node_modules", needs), "junction");
    }
    fn((which) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [...args[runtime]!, "kit.test.mjs"], {
        cwd: folder,
        encoding: "utf8",
        env: { ...environment(), KIT: which, NO_COLOR: "1" },
      });
      return [status, stdout + stderr];
    });
  });
}

/** Without what tells a runner that it runs inside of another one. */
function environment(): Record<string, string | undefined> {
  const { NODE_TEST_CONTEXT: _node, NODE_OPTIONS: _options, FORCE_COLOR: _color, ...others } = process.env;
  return others;
}

for (const [name, runner] of Object.entries(runners)) {
  describe(`the testing kit of the npm package in ${name}`, () => {
    const skip = runner.args[runtime] === undefined ? "this runtime does not have that runner" : false;

    test(
      "passes what is right, fails what is wrong, and says why",
      { skip },
      () =>
        withRunner(runner, (run) => {
          const [passed, all] = run("passing");
          assert.equal(passed, 0, all);
          assert.match(all, /\b11\b/, "as many as there are");

          const [failed, none] = run("failing");
          assert.notEqual(failed, 0, none);
          assert.match(none, /\b5\b/, "as many as there are");
          for (
            const told of [
              /StuckError.*nothing can run.*wait lock "orders"/,
              /LeakError.*left behind 1 timer \(due at 10 ms\)/,
              /SweepError.*Cannot abort at point \d+ of \d+/,
              /ExploreError.*Cannot pass in the order of seed \d+/,
              /LeakError.*left behind 1 waiter/,
            ]
          ) assert.match(none, told);
        }),
    );
  });
}
