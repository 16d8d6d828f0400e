/** Finds the reasons of skipped tests, which Deno and Bun leave out of their reports, in the test sources. @module */
import ts from "typescript";

/**
 * The reasons in `{ skip: "reason" }`, by the test's own name.
 *
 * A condition such as `skip: onBun ? "reason" : false` counts as well, and so does a constant of the same file.
 */
export function skipReasons(source: string): Map<string, string> {
  const reasons = new Map<string, string>();
  const constants = new Map<string, ts.Expression>();
  const file = ts.createSourceFile("test.ts", source, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer) {
      constants.set(node.name.text, node.initializer);
    }
    if (ts.isCallExpression(node)) {
      const [name, options] = node.arguments;
      if (name && ts.isStringLiteralLike(name) && options && ts.isObjectLiteralExpression(options)) {
        const skip = options.properties.find((property) => property.name?.getText(file) === "skip");
        const value = skip && ts.isPropertyAssignment(skip)
          ? skip.initializer
          : skip && ts.isShorthandPropertyAssignment(skip)
          ? skip.name
          : undefined;
        const reason = value && firstText(value, constants);
        if (reason) reasons.set(name.text, reason);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return reasons;
}

function firstText(node: ts.Node, constants: ReadonlyMap<string, ts.Expression>): string | undefined {
  if (ts.isStringLiteralLike(node) && node.text !== "") return node.text;
  if (ts.isIdentifier(node)) {
    const value = constants.get(node.text);
    return value && value !== node ? firstText(value, new Map()) : undefined;
  }
  if (ts.isConditionalExpression(node)) {
    return firstText(node.whenTrue, constants) ?? firstText(node.whenFalse, constants);
  }
  return ts.forEachChild(node, (child) => firstText(child, constants));
}
