import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { compileModule } from "../../scripts/build/compile.ts";
import { importsOf, withJavaScriptImports, withJavaScriptUrls } from "../../scripts/build/imports.ts";
import { writeTree } from "../../scripts/build/tree.ts";
import { filesLeftOut, type Target, targets } from "../../scripts/test/targets.ts";

describe("importsOf", () => {
  test("finds imports, re-exports, dynamic imports, import types and URLs of files beside, by kind", () => {
    const source = `import { a } from "./a.ts"; import "b"; import type { C } from "./c.ts";
      export * from "d"; export type { E } from "./e.ts"; const f = await import("./f.ts");
      let g: import("./g.ts").G; new URL("./h.ts", import.meta.url); new URL(\`./\${i}/i.ts\`, import.meta.url);
      new URL("./j.ts", root); import(k); // import "l"`;
    assert.deepEqual(importsOf("x.ts", source).map(({ specifier, kind }) => `${kind} ${specifier}`), [
      "value ./a.ts",
      "value b",
      "type ./c.ts",
      "value d",
      "type ./e.ts",
      "value ./f.ts",
      "type ./g.ts",
      "url ./h.ts",
      "url /i.ts",
    ]);
  });

  test("with another ending leaves all else where it was", () => {
    const declared =
      'import type { A } from "../a.ts";\nexport declare const b: import("./b.ts").B<"./c.ts">;\n';
    const expected =
      'import type { A } from "../a.js";\nexport declare const b: import("./b.js").B<"./c.ts">;\n';
    assert.equal(withJavaScriptImports("x.d.ts", declared), expected);
  });
});

describe("withJavaScriptUrls", () => {
  test("leads to compiled files, also where the path is computed", () => {
    const compiled = withJavaScriptUrls(
      "x.ts",
      'const f = (p: string) => new URL(p, import.meta.url); new URL("./a.ts", import.meta.url);',
    );
    assert.match(compiled, /new URL\(\(p\)\.replace\(.+\), import\.meta\.url\)/);
    assert.match(compiled, /new URL\(\("\.\/a\.ts"\)\.replace\(.+\), import\.meta\.url\)/);
  });
});

describe("compileModule", () => {
  test("lowers using and decorators, and rewrites imports", () => {
    const source = 'import { d } from "./d.ts";\nclass A {\n  @d b() {\n    using _c = d();\n  }\n}\n';
    const { text } = compileModule("src/x.ts", source);
    assert.doesNotMatch(text, /^\s*(using |@d)/m);
    assert.match(text, /from "\.\/d\.js"/);
  });

  test("says where a module can't be parsed", () => {
    assert.throws(() => compileModule("src/x.ts", "\nconst = 1;"), /Cannot compile src\/x\.ts:2: /);
  });
});

describe("writeTree", () => {
  test("writes what differs, touches nothing else, and removes what has to go", async () => {
    const parent = await mkdtemp(join(tmpdir(), "uno-tree-"));
    try {
      const folder = `${parent.replaceAll("\\", "/")}/tree`;
      await mkdir(`${folder}/old`, { recursive: true });
      await writeFile(`${folder}/old/gone.txt`, "gone");
      await writeFile(`${folder}/same.txt`, "same");
      await writeFile(`${folder}/other.txt`, "before");
      const { mtimeMs, ino } = await stat(`${folder}/same.txt`);
      await writeTree(folder, new Map([["same.txt", "same"], ["other.txt", "after"], ["new/a.txt", "a"]]));
      const { mtimeMs: later, ino: still } = await stat(`${folder}/same.txt`);
      assert.deepEqual([later, still], [mtimeMs, ino]);
      assert.equal(await readFile(`${folder}/other.txt`, "utf8"), "after");
      assert.equal(await readFile(`${folder}/new/a.txt`, "utf8"), "a");
      assert.deepEqual(await readdir(`${folder}/old`), []);
      assert.deepEqual(await readdir(parent), ["tree"]);
    } finally {
      await rm(parent, { recursive: true, force: true });
    }
  });
});

describe("filesLeftOut", () => {
  const sources: Record<string, string> = {
    "tests/a_test.ts": 'import { b } from "./_b.ts"; import type { DatabaseSync } from "node:sqlite";',
    "tests/_b.ts": 'import "./a_test.ts";',
    "tests/door_test.ts": 'import { sqliteDriver } from "@uno/async/database/sqlite";',
    "tests/starts_test.ts": 'spawn(new URL("_run.ts", import.meta.url));',
    "tests/_run.ts": 'await import("node:sqlite");',
    "tests/a_deco_test.ts": "@d class A {}",
    "src/sqlite.ts": 'import { DatabaseSync } from "node:sqlite";',
  };
  const files = Object.keys(sources).filter((file) => file.endsWith("_test.ts"));
  const leftOut = async (name: string): Promise<string[]> => {
    const target: Target = targets.find((target) => target.name === name)!;
    const doors = { ".": "./mod.ts", "./database/sqlite": "./src/sqlite.ts" };
    const found = await filesLeftOut(target, files, doors, (path) => Promise.resolve(sources[path]));
    return [...found.keys()];
  };

  test("leaves decorators to those that can parse them", async () => {
    assert.deepEqual(await leftOut("node24"), ["tests/a_deco_test.ts"]);
    assert.deepEqual(await leftOut("node26"), ["tests/a_deco_test.ts"]);
    for (const name of ["deno", "bun", "node22-compiled", "node24-compiled"]) {
      assert.deepEqual(await leftOut(name), [], name);
    }
  });

  test("leaves out on Node 20 what needs node:sqlite through imports, doors or programs it starts", async () => {
    assert.deepEqual(await leftOut("node20-compiled"), ["tests/door_test.ts", "tests/starts_test.ts"]);
  });
});
