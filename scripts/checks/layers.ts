/**
 * The layer table: which file may import which, and who may touch the outside world.
 *
 * The table is told in words in `docs/architecture.md`.
 *
 * @module
 */
import ts from "typescript";
import type { Finding, Sources } from "./sources.ts";

/** From the ground up: each may import those before it. */
const floors = ["kernel", "cancel", "sync", "task", "flow", "resource"];

/** Stand on all floors and know nothing of each other, save what is said here. */
const wings = new Map<string, readonly string[]>([
  ["app", []],
  ["database", []],
  ["events", []],
  ["http", []],
  ["observe", []],
  ["decorate", ["app", "database"]],
]);

/** The one file of a wing that its adapters know. */
const ports = new Map([["app", "src/app/host.ts"], ["database", "src/database/driver.ts"]]);

/** The only ways from a wing into its adapters. */
const passages = new Map([
  ["src/app/run_application.ts", "src/app/adapters/detect.ts"],
  ["src/app/register_signal_handlers.ts", "src/app/adapters/detect.ts"],
]);

/** Adapters that choose among their siblings, which they load dynamically. */
const choosers = new Set(["src/app/adapters/detect.ts", "src/database/adapters/sqlite.ts"]);

/** Which globals only some files may use. */
const guarded = new Map<string, "runtime" | "time">([
  ["Deno", "runtime"],
  ["process", "runtime"],
  ["Bun", "runtime"],
  ["setTimeout", "time"],
  ["setInterval", "time"],
  ["setImmediate", "time"],
  ["clearTimeout", "time"],
  ["clearInterval", "time"],
  ["clearImmediate", "time"],
  ["Date", "time"],
  ["performance", "time"],
]);

/** Members that wait by themselves or keep losers alive; the library has its own for each. */
const guardedMembers = new Map([
  ["AbortSignal.timeout", "timeout of src/cancel"],
  ["AbortSignal.any", "linkSignals of src/cancel"],
  ["Promise.race", "subscribe of src/kernel"],
]);

const theClock = "src/kernel/clock.ts";

/** Where a file stands. */
interface Place {
  readonly path: string;
  readonly folder: string;
  readonly name: string;
  /** `""` for the root. */
  readonly room: string;
  readonly adapter: boolean;
}

/** An import, export-from, dynamic import or import type. */
interface Reference {
  readonly specifier: string | undefined;
  readonly line: number;
  readonly dynamic: boolean;
  readonly star: boolean;
}

/** Checks all files against the table. */
export function checkLayers(sources: Sources): Finding[] {
  const findings: Finding[] = [];
  const edges = new Map<string, { to: string; line: number }[]>();
  const globals = new GlobalFinder(sources);
  for (const path of sources.keys()) {
    const place = locate(path);
    const file = globals.file(path);
    const report = (line: number, message: string): void => void findings.push({ file: path, line, message });
    if (
      place.room !== "" && place.room !== "testing" && !floors.includes(place.room) && !wings.has(place.room)
    ) {
      report(
        1,
        `unknown room "${place.room}": the layer table names ${
          [...floors, ...wings.keys(), "testing"].join(", ")
        }`,
      );
      continue;
    }
    const targets: { to: string; line: number }[] = [];
    edges.set(path, targets);
    for (const reference of references(file)) {
      const { specifier, line } = reference;
      if (specifier === undefined) {
        if (!place.adapter) report(line, "only an adapter may import a computed path");
      } else if (!specifier.startsWith(".")) {
        const fine = place.adapter || (place.room === "testing" && specifier.startsWith("node:"));
        if (!fine) report(line, `only an adapter may import "${specifier}"`);
      } else {
        const target = locate(new URL(specifier, `file:///${path}`).pathname.slice(1));
        const complaint = complainAbout(place, target, reference);
        if (complaint !== undefined) report(line, complaint);
        if (!reference.dynamic) targets.push({ to: target.path, line });
      }
    }
    if (place.name === "mod.ts") checkFrontDoor(file, report);
    if (!place.adapter && place.room !== "testing") checkGlobals(place, file, globals, report);
  }
  findings.push(...findCycles(edges));
  return findings.sort((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line);
}

function locate(path: string): Place {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const parts = path.split("/");
  const room = parts[0] === "src" && parts.length > 2 ? parts[1]! : "";
  return { path, folder, name: parts.at(-1)!, room, adapter: parts[2] === "adapters" && wings.has(room) };
}

/** Why `from` may not import `to`; `undefined` if it may. */
function complainAbout(from: Place, to: Place, reference: Reference): string | undefined {
  if (!to.path.startsWith("src/")) return `may not import "${to.path}", which is outside of src/`;
  if (to.name.startsWith("_") && to.folder !== from.folder) {
    return `may not import ${to.path}: it is private to its folder`;
  }
  if (to.name === "mod.ts" && from.path !== "mod.ts") {
    return `may not import ${to.path}: a front door is for users, import the file itself`;
  }
  if (from.room === "testing") {
    return to.adapter ? `testing may not import the adapter ${to.path}` : undefined;
  }
  if (to.room === "testing") return `may not import ${to.path}: nothing in src imports testing`;
  if (from.path === "mod.ts") {
    return floors.includes(to.room)
      ? undefined
      : `the root front door may not export ${to.path}: it shows the floors only`;
  }
  if (from.name === "mod.ts" && to.room === "kernel" && from.room !== "kernel") {
    return reference.star ? `may re-export from ${to.path} by name only` : undefined;
  }
  if (from.name === "mod.ts" && !to.path.startsWith(from.folder)) {
    return `may not re-export ${to.path}: a front door shows its own folder, and the kernel by name`;
  }
  if (from.adapter) return complainAboutAdapter(from, to, reference);
  if (to.adapter) {
    return passages.get(from.path) === to.path ? undefined : `may not import the adapter ${to.path}`;
  }
  if (from.room === to.room) return undefined;
  const allowed = wings.has(from.room)
    ? [...floors, ...wings.get(from.room)!]
    : floors.slice(0, floors.indexOf(from.room));
  if (allowed.includes(to.room)) return undefined;
  return `${from.room} may not import ${to.room} (${to.path})`;
}

function complainAboutAdapter(from: Place, to: Place, reference: Reference): string | undefined {
  if (to.room === "kernel" || to.path === ports.get(from.room)) return undefined;
  if (to.folder === from.folder) {
    if (to.name.startsWith("_")) return undefined;
    if (!choosers.has(from.path)) return `may not import another adapter (${to.path})`;
    return reference.dynamic ? undefined : `must load its sibling ${to.path} dynamically`;
  }
  const port = ports.get(from.room);
  return `an adapter may import the kernel${port ? ` and its port ${port}` : ""} only (${to.path})`;
}

function checkFrontDoor(file: ts.SourceFile, report: (line: number, message: string) => void): void {
  for (const statement of file.statements) {
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier) continue;
    report(lineOf(statement), "a front door holds named re-exports only, no code");
  }
}

function checkGlobals(
  place: Place,
  file: ts.SourceFile,
  globals: GlobalFinder,
  report: (line: number, message: string) => void,
): void {
  const visit = (node: ts.Node, inType: boolean): void => {
    inType ||= ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node);
    const name = nameOfGlobal(node, globals);
    const kind = name && guarded.get(name);
    // A type reaches nothing at run time, but one named after a runtime ties the file to it.
    if (kind === "runtime") report(lineOf(node), `only an adapter may use "${name}"`);
    else if (name !== undefined && !inType) {
      if (kind === undefined) {
        report(lineOf(node), `"${name}" is not used here: use ${guardedMembers.get(name)}`);
      } else if (place.path !== theClock) {
        report(lineOf(node), `only ${theClock} may use "${name}": use clock()`);
      } else if (isAtImport(node)) report(lineOf(node), `"${name}" may not be read at import`);
    }
    ts.forEachChild(node, (child) => visit(child, inType));
  };
  visit(file, false);
}

/** The global or guarded member that an expression stands for: `Deno`, `globalThis.Deno`, `Promise.race`. */
function nameOfGlobal(node: ts.Node, globals: GlobalFinder): string | undefined {
  if (ts.isIdentifier(node) && guarded.has(node.text)) {
    return isReference(node) && globals.isGlobal(node) ? node.text : undefined;
  }
  const member = ts.isPropertyAccessExpression(node)
    ? node.name.text
    : ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression)
    ? node.argumentExpression.text
    : undefined;
  if (member === undefined) return undefined;
  const object = (node as ts.PropertyAccessExpression | ts.ElementAccessExpression).expression;
  if (!ts.isIdentifier(object) || !globals.isGlobal(object)) return undefined;
  if (object.text === "globalThis") return guarded.has(member) ? member : undefined;
  return guardedMembers.has(`${object.text}.${member}`) ? `${object.text}.${member}` : undefined;
}

/** Whether an identifier reads something, and is not the name of a member or of a declaration. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  if (ts.isQualifiedName(parent)) return parent.left === node;
  if (ts.isBindingElement(parent)) return parent.initializer === node;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) return false;
  return (parent as { name?: ts.Node }).name !== node;
}

/** Whether code runs when its file is imported: it stands in no function and in no member of a class. */
function isAtImport(node: ts.Node): boolean {
  for (let at: ts.Node = node; at.parent !== undefined; at = at.parent) {
    if (ts.isFunctionLike(at)) return false;
    if (ts.isPropertyDeclaration(at)) {
      return at.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword) ?? false;
    }
  }
  return true;
}

/** Parses the sources and tells a global from a name declared in them. */
class GlobalFinder {
  readonly #program: ts.Program;

  constructor(sources: Sources) {
    const files = new Map<string, ts.SourceFile>();
    for (const [path, text] of sources) {
      files.set(path, ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true));
    }
    const options = { noLib: true, noResolve: true, target: ts.ScriptTarget.ESNext };
    this.#program = ts.createProgram([...sources.keys()], options, {
      getSourceFile: (path) => files.get(path),
      fileExists: (path) => files.has(path),
      readFile: (path) => sources.get(path),
      getDefaultLibFileName: () => "",
      getCurrentDirectory: () => "",
      getCanonicalFileName: (path) => path,
      useCaseSensitiveFileNames: () => true,
      getNewLine: () => "\n",
      writeFile: () => {},
    });
  }

  file(path: string): ts.SourceFile {
    return this.#program.getSourceFile(path)!;
  }

  isGlobal(name: ts.Identifier): boolean {
    const everything = ts.SymbolFlags.Value | ts.SymbolFlags.Type | ts.SymbolFlags.Namespace |
      ts.SymbolFlags.Alias;
    // `globalThis` is the one name the checker brings along by itself.
    if (name.text === "globalThis") return true;
    return !this.#program.getTypeChecker().getSymbolsInScope(name, everything).some((symbol) =>
      symbol.name === name.text
    );
  }
}

function references(file: ts.SourceFile): Reference[] {
  const found: Reference[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, more: Partial<Reference> = {}): void => {
    const text = specifier && ts.isStringLiteralLike(specifier) ? specifier.text : undefined;
    found.push({
      specifier: text,
      line: lineOf(node),
      dynamic: false,
      star: false,
      ...more,
    });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      const star = node.exportClause === undefined || ts.isNamespaceExport(node.exportClause);
      add(node, node.moduleSpecifier, { star });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0], { dynamic: true });
    } else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Reports each group of files that import one another in a circle, once. */
function findCycles(edges: ReadonlyMap<string, readonly { to: string; line: number }[]>): Finding[] {
  const findings: Finding[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const told = new Set<string>();
  const visit = (path: string): void => {
    trail.push(path);
    for (const { to, line } of edges.get(path) ?? []) {
      const start = trail.indexOf(to);
      if (start >= 0) {
        const circle = trail.slice(start);
        const key = [...circle].sort().join();
        if (told.has(key)) continue;
        told.add(key);
        findings.push({ file: path, line, message: `imports in a circle: ${[...circle, to].join(" -> ")}` });
      } else if (!done.has(to)) visit(to);
    }
    trail.pop();
    done.add(path);
  };
  for (const path of edges.keys()) if (!done.has(path)) visit(path);
  return findings;
}

function lineOf(node: ts.Node): number {
  const file = node.getSourceFile();
  return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}
