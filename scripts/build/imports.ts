/** Finds and changes what a module names of other files. @module */
import ts from "typescript";

/** A place in a source that names another module or file. */
export interface Import {
  /** As it stands there; of a template, the part after its last `${}`. */
  readonly specifier: string;
  /** Where the specifier ends in the source. */
  readonly end: number;
  /** How it is named; a `url` is `new URL("…", import.meta.url)`, by which a program finds a file beside it. */
  readonly kind: "value" | "type" | "url";
}

/** The static and dynamic imports, re-exports, import types and `new URL("…", import.meta.url)` of a source, in order. */
export function importsOf(path: string, source: string): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node | undefined, kind: Import["kind"]): void => {
    const text = node !== undefined && ts.isTemplateExpression(node)
      ? node.templateSpans.at(-1)!.literal
      : node;
    if (text === undefined || !(ts.isStringLiteralLike(text) || ts.isTemplateTail(text))) return;
    found.push({ specifier: text.text, end: text.getEnd() - 1, kind });
  };
  visit(path, source, (node) => {
    if (ts.isImportDeclaration(node)) {
      const onlyTypes = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      add(node.moduleSpecifier, onlyTypes ? "type" : "value");
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly ? "type" : "value");
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, "type");
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], "value");
    } else add(fileBeside(node), "url");
  });
  return found;
}

/** The source with `.js` for `.ts` in its relative imports; all else keeps its place, as in the maps that point to it. */
export function withJavaScriptImports(path: string, source: string): string {
  let text = source;
  for (const { specifier, end, kind } of importsOf(path, source)) {
    if (kind === "url" || !/^\.\.?\/.*\.ts$/.test(specifier)) continue;
    text = `${text.slice(0, end - 3)}.js${text.slice(end)}`;
  }
  return text;
}

/** The source with each `new URL(…, import.meta.url)` leading to a `.js` file where it led to a `.ts` file. */
export function withJavaScriptUrls(path: string, source: string): string {
  const found: ts.Node[] = [];
  visit(path, source, (node) => {
    const file = fileBeside(node);
    if (file !== undefined) found.push(file);
  });
  let text = source;
  for (const { pos, end } of found.reverse()) {
    // Also for a computed path, so it is looked at when it runs.
    text = `${text.slice(0, pos)}(${text.slice(pos, end)}).replace(/\\.ts$/, ".js")${text.slice(end)}`;
  }
  return text;
}

/** What is given to `new URL(…, import.meta.url)`, if the node is that. */
function fileBeside(node: ts.Node): ts.Expression | undefined {
  if (!ts.isNewExpression(node) || node.expression.getText() !== "URL") return undefined;
  const [path, base] = node.arguments ?? [];
  return base?.getText() === "import.meta.url" ? path : undefined;
}

function visit(path: string, source: string, look: (node: ts.Node) => void): void {
  const descend = (node: ts.Node): void => {
    look(node);
    ts.forEachChild(node, descend);
  };
  descend(ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true));
}
