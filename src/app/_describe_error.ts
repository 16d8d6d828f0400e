import { leaves, TimeoutError } from "../kernel/errors.ts";

/**
 * A failure as text for whoever runs the process: each failure in it once, with its stack and its causes. Never throws.
 */
export function describeError(error: unknown): string {
  const texts = leaves(error).map(describeLeaf);
  return texts.length === 0 ? describeLeaf(error) : texts.join("\n");
}

function describeLeaf(leaf: unknown): string {
  try {
    return withCauses(leaf, new Set());
  } catch {
    // An object without a prototype has no text, and getters may throw.
    return `A failure that can't be shown: ${typeof leaf}`;
  }
}

function withCauses(error: unknown, seen: Set<unknown>): string {
  seen.add(error);
  if (!(error instanceof Error)) return String(error);
  const head = error.message === "" ? error.name : `${error.name}: ${error.message}`;
  // The stack of a limit leads to its timer, which says nothing.
  const stack = typeof error.stack === "string" && !(error instanceof TimeoutError) ? error.stack : "";
  // Runtimes differ in whether the stack repeats the message; some lack it for a DOMException.
  const frames = stack.split("\n").filter((line) => /^\s+at |^[^\s].*@/.test(line));
  const own = [head, ...frames].join("\n");
  const { cause } = error;
  if (cause === undefined || seen.has(cause)) return own;
  return `${own}\ncaused by ${leaves(cause).map((leaf) => withCauses(leaf, seen)).join("\nand ")}`;
}
