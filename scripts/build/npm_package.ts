/** What the npm package holds. @module */
import { readdir, readFile } from "node:fs/promises";
import { posix } from "node:path";
import { compileModule, declarations } from "./compile.ts";

const root: URL = new URL("../../", import.meta.url);

/** What is taken from `deno.json`. */
export interface Config {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
}

/** The project's `deno.json`. */
export async function readConfig(): Promise<Config> {
  return JSON.parse(await readFile(new URL("deno.json", root), "utf8"));
}

/**
 * The files of the npm package, by path.
 *
 * Compiled modules and declarations lie in `lib/`, laid out as the repository is; the sources lie beside it, where the
 * maps look for them. They can't lie in `lib/`: TypeScript would take them for the declarations.
 *
 * @throws {Error} When a source can't be compiled or declared.
 */
export async function npmPackage(config: Config): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  files.set("package.json", JSON.stringify(await manifest(config), null, 2) + "\n");
  // What the README links to, too: there is no other place where who has the package would find it.
  const docs = (await readdir(new URL("docs/", root), { recursive: true })).filter((file) =>
    file.endsWith(".md")
  );
  const texts = docs.sort().map((file) => `docs/${file.replaceAll("\\", "/")}`);
  for (const file of ["README.md", "LICENSE", "CONTRIBUTING.md", ...texts]) {
    const text = await readFile(new URL(file, root), "utf8").catch(() => undefined);
    if (text !== undefined) files.set(file, text);
  }
  const entries = Object.values(config.exports).map((source) => posix.normalize(source));
  for (const [path, declared] of declarations(entries)) {
    const source = await readFile(new URL(path, root), "utf8");
    const compiled = compileModule(path, source);
    const stem = `lib/${path.replace(/\.ts$/, "")}`;
    const toSource = posix.relative(posix.dirname(stem), path);
    files.set(path, source);
    files.set(`${stem}.js`, compiled.text);
    files.set(`${stem}.js.map`, withSource(compiled.map, toSource));
    files.set(`${stem}.d.ts`, declared.text);
    files.set(`${stem}.d.ts.map`, withSource(declared.map, toSource));
  }
  return files;
}

async function manifest({ name, version, license, exports: doors }: Config): Promise<unknown> {
  const exports: Record<string, unknown> = {};
  for (const [door, source] of Object.entries(doors)) {
    const stem = `./lib/${posix.normalize(source).replace(/\.ts$/, "")}`;
    exports[door] = { types: `${stem}.d.ts`, default: `${stem}.js` };
  }
  exports["./package.json"] = "./package.json";
  const description = /^\/\*\*\s*\* (.+)/.exec(await readFile(new URL("mod.ts", root), "utf8"))?.[1];
  return {
    name,
    version,
    description,
    license,
    type: "module",
    sideEffects: false,
    // The first with Symbol.dispose.
    engines: { node: ">=20.4" },
    exports,
  };
}

function withSource(map: string, source: string): string {
  return JSON.stringify({ ...JSON.parse(map), sources: [source] });
}
