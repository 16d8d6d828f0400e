/** What the tests run on. @module */
import { posix } from "node:path";
import { importsOf } from "../build/imports.ts";
import type { RuntimeName } from "../runtimes.ts";

/** One way to run the list of tests. */
export interface Target {
  readonly name: string;
  readonly runtime: RuntimeName | "deno";
  /** Whether it runs the compiled repository, as it would the npm package; otherwise the sources as they stand. */
  readonly compiled: boolean;
}

function target(runtime: Target["runtime"], compiled = false): Target {
  return { name: compiled ? `${runtime}-compiled` : runtime, runtime, compiled };
}

/** All targets, in the order they run. */
export const targets: readonly Target[] = [
  target("deno"),
  target("node24"),
  target("node26"),
  target("bun"),
  // These two can't run TypeScript (Node 22 could, with a warning, in part); 24 tells apart what compiling breaks.
  target("node20", true),
  target("node22", true),
  target("node24", true),
];

/** Files about the npm package's files and types, which are the same whoever looks: one runtime looks. */
const sameEverywhere = new Set(["tests/package/contents_test.ts", "tests/package/types_test.ts"]);

/**
 * Files that take long and look at what does not change from one version of Node to the next: what drivers do with
 * servers, and the demo. Node 24 runs them all; those that show most also run compiled, on Node 20.
 */
const onNode24 =
  /^tests\/(database\/(server_|inside_transactions_|adapters\/pglite_test)|runtime\/catalogue_)/;
const onNode20Too = /server_(sessions|transactions|commit)_/;

/** Reads a file of the repository; `undefined` when there is none. */
export type ReadSource = (path: string) => Promise<string | undefined>;

/**
 * The test files that a target can't run, and why.
 *
 * @param files Paths from the root of the repository.
 * @param doors The `exports` of `deno.json`.
 */
export async function filesLeftOut(
  target: Target,
  files: readonly string[],
  doors: Readonly<Record<string, string>>,
  read: ReadSource,
): Promise<Map<string, string>> {
  const leftOut = new Map<string, string>();
  if (target.runtime !== "deno") {
    for (const file of files) if (sameEverywhere.has(file)) leftOut.set(file, "Deno runs it, for all");
  }
  if (target.runtime.startsWith("node") && !target.compiled) {
    for (const file of files) {
      if (file.endsWith("_deco_test.ts")) leftOut.set(file, "Node can't parse decorators");
    }
  }
  if (target.runtime.startsWith("node") && target.name !== "node24") {
    for (const file of files) {
      if (!onNode24.test(file) || target.runtime === "node20" && onNode20Too.test(file)) continue;
      leftOut.set(file, "Node 24 runs it, for all versions of Node");
    }
  }
  if (target.runtime === "node20") {
    const needs = new Needs(doors, read);
    for (const file of files) {
      if (!leftOut.has(file) && await needs.has(file, "node:sqlite")) {
        leftOut.set(file, "Node 20 has no node:sqlite");
      }
    }
  }
  return leftOut;
}

/** Finds out what files need, themselves or through what they import or start. */
class Needs {
  readonly #doors: Readonly<Record<string, string>>;
  readonly #read: ReadSource;
  readonly #known = new Map<string, Promise<string[]>>();

  constructor(doors: Readonly<Record<string, string>>, read: ReadSource) {
    this.#doors = doors;
    this.#read = read;
  }

  async has(file: string, wanted: string): Promise<boolean> {
    const seen = new Set([file]);
    for (const path of seen) {
      for (const next of await this.#importsOf(path)) {
        if (next === wanted) return true;
        seen.add(next);
      }
    }
    return false;
  }

  #importsOf(path: string): Promise<string[]> {
    let found = this.#known.get(path);
    if (found === undefined) this.#known.set(path, found = this.#find(path));
    return found;
  }

  async #find(path: string): Promise<string[]> {
    const source = path.endsWith(".ts") ? await this.#read(path) : undefined;
    if (source === undefined) return [];
    return importsOf(path, source).filter(({ kind }) => kind !== "type").map(({ specifier, kind }) => {
      if (kind === "url" || specifier.startsWith(".")) return posix.join(posix.dirname(path), specifier);
      const door = specifier.replace(/^@uno\/async(?=\/|$)/, ".");
      return Object.hasOwn(this.#doors, door) ? posix.normalize(this.#doors[door]!) : specifier;
    });
  }
}
