/** The repository compiled, for runtimes that can't run TypeScript. @module */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { stubFiles } from "../link_self.ts";
import { compileModule } from "./compile.ts";
import { withJavaScriptUrls } from "./imports.ts";
import { readConfig } from "./npm_package.ts";
import { writeTree } from "./tree.ts";

const root: string = fileURLToPath(new URL("../../", import.meta.url)).replaceAll("\\", "/");

/** Where the compiled repository lies. */
export const compiledFolder: string = `${root}.cache/compiled`;

/** What tests run or read. */
const folders = ["src", "tests", "scripts", "examples", "docs"];
const files = ["mod.ts", "deno.json", "README.md", "LICENSE"];

/**
 * Brings the compiled repository up to date; compiles only what changed.
 *
 * It is laid out as the repository is: `tests/a_test.js` beside the `tests/a_test.ts` it was made of. Compiled modules
 * are the same as in the npm package; in all other files, `new URL("….ts", import.meta.url)` finds compiled files too.
 * A file that can't be compiled throws when it is imported. `@uno/async` leads to the compiled sources.
 */
export async function writeCompiledTree(): Promise<void> {
  const tree = new Map<string, string | Uint8Array>();
  const stamp = await compilerStamp();
  const fresh = stamp === await readFile(`${compiledFolder}/stamp.txt`, "utf8").catch(() => undefined);
  for (const path of await filesToCopy()) {
    const content = await readFile(root + path).catch(() => undefined);
    if (content === undefined) continue;
    if (/(?<!\.d)\.ts$/.test(path)) {
      const stem = path.slice(0, -".ts".length);
      const source = content.toString();
      const { text, map } = (fresh && await compiledBefore(stem, source)) || compile(path, source);
      tree.set(`${stem}.js`, text);
      tree.set(`${stem}.js.map`, map);
    }
    // After what was made of it: where the source is up to date, so is the rest.
    tree.set(path, content);
  }
  for (const [path, text] of stubFiles(await readConfig())) {
    tree.set(`node_modules/@uno/async/${path.slice("./".length)}`, text.replaceAll('.ts"', '.js"'));
  }
  tree.set("package.json", JSON.stringify({ private: true, type: "module" }) + "\n");
  tree.set("stamp.txt", stamp);
  await writeTree(compiledFolder, tree);
}

/** What the outcome depends on beside the sources: files compiled with another stamp are stale. */
async function compilerStamp(): Promise<string> {
  const hash = createHash("sha256").update(ts.version);
  for (const file of ["compile.ts", "imports.ts", "compiled_tree.ts"]) {
    hash.update(await readFile(`${root}scripts/build/${file}`));
  }
  return hash.digest("hex") + "\n";
}

async function filesToCopy(): Promise<string[]> {
  const found: string[] = [...files];
  for (const folder of folders) {
    const entries = await readdir(root + folder, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/");
      if (entry.isFile()) found.push(path.slice(root.length));
    }
  }
  return found;
}

async function compiledBefore(
  stem: string,
  source: string,
): Promise<{ text: string; map: string } | undefined> {
  const [before, text, map] = await Promise.all(
    [".ts", ".js", ".js.map"].map((ending) =>
      readFile(`${compiledFolder}/${stem}${ending}`, "utf8").catch(() => undefined)
    ),
  );
  return before === source && text !== undefined && map !== undefined ? { text, map } : undefined;
}

function compile(path: string, source: string): { text: string; map: string } {
  try {
    return compileModule(path, path.startsWith("src/") ? source : withJavaScriptUrls(path, source));
  } catch (error) {
    return { text: `throw new SyntaxError(${JSON.stringify((error as Error).message)});\n`, map: "{}" };
  }
}
