/** Turns the sources into JavaScript and declarations for runtimes that can't run TypeScript. @module */
import { relative } from "node:path/posix";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { withJavaScriptImports } from "./imports.ts";

const root: string = fileURLToPath(new URL("../../", import.meta.url)).replaceAll("\\", "/");

/** A compiled module: its text and its source map. */
export interface Compiled {
  readonly text: string;
  readonly map: string;
}

// The oldest target is Node 20: ES2022 lowers `using` and decorators, and keeps private fields and top-level await.
const shared: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
  strict: true,
  types: [],
};

/**
 * Compiles one module by itself, without looking at its types.
 *
 * @param path From the root of the repository; its ending and those of relative imports become `.js`.
 * @throws {SyntaxError} When it can't be parsed.
 */
export function compileModule(path: string, source: string): Compiled {
  const { outputText, sourceMapText, diagnostics = [] } = ts.transpileModule(source, {
    fileName: root + path,
    compilerOptions: { ...shared, sourceMap: true },
    reportDiagnostics: true,
  });
  const errors = diagnostics.filter(({ category }) => category === ts.DiagnosticCategory.Error);
  if (errors.length > 0) throw new SyntaxError(`Cannot compile ${describe(errors)}`);
  return { text: outputText, map: sourceMapText! };
}

/**
 * The declarations of every module reached from `entries`, by path of their source from the root of the repository.
 *
 * @throws {Error} When a declaration can't be written down, as where a type has no name. Types inside of functions are
 * for `deno task ok` to check.
 */
export function declarations(entries: readonly string[]): Map<string, Compiled> {
  const program = ts.createProgram(entries.map((entry) => root + entry), {
    ...shared,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"],
    declaration: true,
    declarationMap: true,
    emitDeclarationOnly: true,
    rootDir: root,
    outDir: root,
  });
  const errors = program.getDeclarationDiagnostics();
  if (errors.length > 0) throw new Error(`Cannot write declarations: ${describe(errors)}`);
  const texts = new Map<string, string>();
  program.emit(undefined, (file, text) => texts.set(relative(root, file.replaceAll("\\", "/")), text));
  const found = new Map<string, Compiled>();
  for (const [file, text] of texts) {
    if (!file.endsWith(".d.ts")) continue;
    found.set(file.replace(/\.d\.ts$/, ".ts"), {
      // TypeScript rewrites the imports of the JavaScript only.
      text: withJavaScriptImports(file, text),
      map: texts.get(`${file}.map`)!,
    });
  }
  return found;
}

function describe(errors: readonly ts.Diagnostic[]): string {
  return errors.map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : undefined;
    const place = file ? `${relative(root, file.fileName)}:${line}: ` : "";
    return place + ts.flattenDiagnosticMessageText(messageText, " ");
  }).join("\n");
}
