import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { describe, test } from "node:test";

const tests = new URL("../", import.meta.url);

interface Row {
  readonly id: string;
  readonly file: string;
  readonly name: string;
}

/** The rows of the tables: id, promise, file, test. */
function rowsOf(markdown: string): Row[] {
  return markdown.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  ).filter(([id]) => id !== "Id" && !/^-+$/.test(id!)).map(([id, , file, name]) => ({
    id: id!,
    file: file!.replaceAll("`", ""),
    name: name!,
  }));
}

/** The names of the tests, and of the scenes of what waits, as the source has them. */
function namesIn(source: string): Set<string> {
  const found = source.matchAll(/(?:\b(?:test|it)\(|\bname:)\s*(["'`])((?:\\.|(?!\1)[^])*)\1/g);
  // Scenarios of which several tests are made.
  const shared = source.matchAll(/^ {2}"(.*)": async \(/gm);
  return new Set([...[...found].map(([, , name]) => name!), ...[...shared].map(([, name]) => name!)]);
}

async function namesOf(file: string): Promise<Set<string>> {
  return namesIn(await readFile(new URL(file, tests), "utf8"));
}

const rows = rowsOf(await readFile(new URL("SCENARIOS.md", tests), "utf8"));

describe("SCENARIOS.md", () => {
  test("names tests that are there", async () => {
    assert.ok(rows.length > 100);
    const missing: string[] = [];
    for (const { id, file, name } of rows) {
      if (!(await namesOf(file)).has(name)) missing.push(`${id}: ${file} has no test "${name}"`);
    }
    assert.deepEqual(missing, []);
  });

  test("names each test once for a promise", () => {
    const seen = rows.map(({ id, file, name }) => `${id} ${file} ${name}`).sort();
    assert.deepEqual(seen.filter((row, i) => row === seen[i - 1] && /\d/.test(row.split(" ")[0]!)), []);
  });

  test("has every test of the lower floors that carries an id", async () => {
    const listed = new Set(rows.map(({ id, file, name }) => `${id} ${file} ${name}`));
    const missing: string[] = [];
    for (const floor of ["kernel", "cancel", "sync", "task", "flow", "resource", "app"]) {
      for (const entry of await readdir(new URL(`${floor}/`, tests))) {
        if (!entry.endsWith("_test.ts")) continue;
        const file = `${floor}/${entry}`;
        for (const name of await namesOf(file)) {
          for (
            const [id] of name.matchAll(
              /\b(?:LK|TO|CH|LC|QU|RL|RT|CB|BH|HG|FB|BT|CA|PL)-\d\d\b|\brule \d+\b/g,
            )
          ) {
            const row = `${id} ${file} ${name}`;
            if (!listed.has(row)) missing.push(row);
          }
        }
      }
    }
    assert.deepEqual(missing, [], `Not in tests/SCENARIOS.md: ${missing.join("; ")}`);
  });

  test("has every id that a comment in the tests of databases names", async () => {
    const listed = new Set(rows.map(({ id }) => id));
    const named = new Set<string>();
    for (const entry of await readdir(new URL("database/", tests))) {
      if (!entry.endsWith(".ts")) continue;
      for (
        const [id] of (await readFile(new URL(`database/${entry}`, tests), "utf8")).matchAll(/\bDB-\d\d\b/g)
      ) {
        named.add(id);
      }
    }
    assert.ok(named.size > 10);
    assert.deepEqual([...named].filter((id) => !listed.has(id)), []);
  });

  test("is read as it is written", () => {
    const table =
      "| Id | Promise | File | Test |\n| --- | - | - | - |\n| LK-02 | p |  `a/b_test.ts` | c (LK-02) |\n";
    assert.deepEqual(rowsOf(table), [{ id: "LK-02", file: "a/b_test.ts", name: "c (LK-02)" }]);
    const source =
      'test("a", () => {});\n  test(`b ${c}`, f);\n test(\'d "e"\', f); const x = { name: "f" };';
    assert.deepEqual([...namesIn(source)], ["a", "b ${c}", 'd "e"', "f"]);
  });
});
