/**
 * The style of error messages: `Cannot <do what> [as <rule>]: <what is so now>`, without a full stop.
 *
 * @module
 */
import ts from "typescript";
import type { Finding, Sources } from "./sources.ts";

/** Errors that take their message second, after what they hold. */
const messageSecond = new Set(["AggregateError", "TaskGroupError"]);

/**
 * Checks each message written where an error is made: `new SomeError("…")`, `new DOMException("…")`, and `super("…")`
 * in a class that extends an error.
 *
 * A message that is computed elsewhere is checked where its text is written only if that is a constant of the same file.
 */
export function checkMessages(sources: Sources): Finding[] {
  const findings: Finding[] = [];
  for (const [path, text] of sources) {
    const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    const report = (node: ts.Node, message: string): void => {
      const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
      findings.push({ file: path, line, message });
    };
    const constants = constantsOf(file);
    const visit = (node: ts.Node): void => {
      const message = messageOf(node);
      if (message !== undefined) {
        for (const [literal, start, end] of literals(message, constants)) {
          if (start !== undefined && !start.startsWith("Cannot ")) {
            report(literal, `an error message begins with "Cannot ": ${literal.getText(file)}`);
          }
          if (end?.trimEnd().endsWith(".")) {
            report(literal, `an error message ends without a full stop: ${literal.getText(file)}`);
          }
        }
      }
      if (ts.isThrowStatement(node) && isLiteral(node.expression)) {
        report(node, `only errors are thrown: ${node.expression.getText(file)}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return findings;
}

/** The expression that is the message of the error made by `node`, if it makes one. */
function messageOf(node: ts.Node): ts.Expression | undefined {
  if (ts.isNewExpression(node)) {
    const name = nameOf(node.expression);
    if (name === undefined || !isErrorName(name)) return undefined;
    return node.arguments?.[messageSecond.has(name) ? 1 : 0];
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.SuperKeyword) {
    const base = baseOf(node);
    if (base === undefined || !isErrorName(base)) return undefined;
    return node.arguments[messageSecond.has(base) ? 1 : 0];
  }
  return undefined;
}

function isErrorName(name: string): boolean {
  return /(Error|Exception)$/.test(name);
}

function nameOf(node: ts.Expression): string | undefined {
  return ts.isIdentifier(node) ? node.text : ts.isPropertyAccessExpression(node) ? node.name.text : undefined;
}

/** The name of the class that the class around a `super` call extends. */
function baseOf(node: ts.Node): string | undefined {
  for (let at: ts.Node | undefined = node; at !== undefined; at = at.parent) {
    if (!ts.isClassLike(at)) continue;
    const extended = at.heritageClauses?.find((clause) => clause.token === ts.SyntaxKind.ExtendsKeyword)
      ?.types[0];
    return extended && nameOf(extended.expression);
  }
  return undefined;
}

/** Strings, numbers and the like, which say nothing about where they came from when thrown. */
function isLiteral(node: ts.Expression): boolean {
  return ts.isLiteralExpression(node) || ts.isTemplateExpression(node) || ts.isObjectLiteralExpression(node);
}

type Piece = [literal: ts.Node, start: string | undefined, end: string | undefined];

/** The written texts a message may be made of, each with how it begins and ends where that is known. */
function literals(node: ts.Expression, constants: ReadonlyMap<string, ts.Expression>): Piece[] {
  if (ts.isParenthesizedExpression(node)) return literals(node.expression, constants);
  if (ts.isStringLiteralLike(node)) return [[node, node.text, node.text]];
  if (ts.isTemplateExpression(node)) return [[node, node.head.text, node.templateSpans.at(-1)!.literal.text]];
  if (ts.isConditionalExpression(node)) {
    return [...literals(node.whenTrue, constants), ...literals(node.whenFalse, constants)];
  }
  if (ts.isBinaryExpression(node)) {
    const left = literals(node.left, constants);
    const right = literals(node.right, constants);
    if (node.operatorToken.kind !== ts.SyntaxKind.PlusToken) return [...left, ...right];
    return [
      ...left.map(([literal, start]): Piece => [literal, start, undefined]),
      ...right.map(([literal, , end]): Piece => [literal, undefined, end]),
    ];
  }
  if (ts.isIdentifier(node)) {
    const value = constants.get(node.text);
    // Without the constants the second time: a constant that names itself would never end.
    return value === undefined ? [] : literals(value, new Map());
  }
  return [];
}

/** What each `const` of the file is set to; a name used twice is left out, as it is not known which is meant. */
function constantsOf(file: ts.SourceFile): Map<string, ts.Expression> {
  const constants = new Map<string, ts.Expression>();
  const twice = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer) {
      if (constants.has(node.name.text)) twice.add(node.name.text);
      constants.set(node.name.text, node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  for (const name of twice) constants.delete(name);
  return constants;
}
