/** Finds what a module names of other files. @module */
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
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (node: ts.Node | undefined, kind: Import["kind"]): void => {
    const text = node !== undefined && ts.isTemplateExpression(node)
      ? node.templateSpans.at(-1)!.literal
      : node;
    if (text === undefined || !(ts.isStringLiteralLike(text) || ts.isTemplateTail(text))) return;
    found.push({ specifier: text.text, end: text.getEnd() - 1, kind });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(
        node.moduleSpecifier,
        node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword ? "type" : "value",
      );
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly ? "type" : "value");
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, "type");
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], "value");
    } else if (ts.isNewExpression(node) && node.expression.getText(file) === "URL") {
      const [specifier, base] = node.arguments ?? [];
      if (base?.getText(file) === "import.meta.url") add(specifier, "url");
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/**
 * The source with `.js` for `.ts` in what is relative among its imports of some kinds.
 *
 * Places in it stay the same, and so do maps that point to them.
 */
export function withJavaScriptPaths(
  path: string,
  source: string,
  kinds: readonly Import["kind"][],
): string {
  let text = source;
  for (const { specifier, end, kind } of importsOf(path, source)) {
    // The tail of a template need not begin with a dot; a URL need not either.
    if (!kinds.includes(kind) || !specifier.endsWith(".ts")) continue;
    if (kind !== "url" && !specifier.startsWith(".")) continue;
    text = `${text.slice(0, end - 3)}.js${text.slice(end)}`;
  }
  return text;
}
