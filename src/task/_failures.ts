/** What a scope throws, given what went wrong in it. */
import { TaskGroupError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";

/** One real failure in a scope, in the order of time. */
export interface Failure {
  error: unknown;
  /** Whether it came after an abort from outside. */
  readonly late: boolean;
  /** Whether it must be thrown: false once somebody observed it in a scope that tolerates failures. */
  counts: () => boolean;
}

/** How a scope shapes what it throws. */
export type ErrorMode = "auto" | "first" | "all";

/** The failures of one scope, each error object once, in the order of time. */
export class Failures {
  readonly #byError = new Map<unknown, Failure>();

  add(failure: Failure): void {
    if (!this.#byError.has(failure.error)) this.#byError.set(failure.error, failure);
  }

  /**
   * Adds the error of the body. One that carries a failure already here as itself or as a `cause` replaces it: the
   * body has caught a child's error and said what it means.
   */
  addBody(error: unknown, late: boolean): void {
    for (const cause of causes(error)) {
      const known = this.#byError.get(cause);
      if (known === undefined) continue;
      known.error = error;
      known.counts = () => true;
      return;
    }
    this.add({ error, late, counts: () => true });
  }

  /**
   * What the scope throws, boxed; `undefined` when nothing.
   *
   * One failure is thrown as it is. Several, or one that came after an abort from outside, become a
   * {@linkcode TaskGroupError} whose `cause` is what came first: a failure or the abort's reason.
   */
  thrown(
    what: string,
    mode: ErrorMode,
    outside: { readonly reason: unknown } | undefined,
  ): { readonly error: unknown } | undefined {
    const failures = [...this.#byError.values()].filter(({ counts }) => counts());
    const [first] = failures;
    if (first === undefined) return outside && { error: outside.reason };
    if (mode === "first" || (mode === "auto" && failures.length === 1 && !(outside && first.late))) {
      for (const { error } of failures.slice(1)) emit("task.failure", "group", undefined, { error });
      return { error: first.error };
    }
    const cause = outside && first.late ? outside.reason : first.error;
    const count = failures.length === 1 ? "1 failure" : `${failures.length} failures, the first`;
    return {
      error: new TaskGroupError(
        failures.map(({ error }) => error),
        `Cannot finish ${what}: ${count}: ${text(first.error)}`,
        { cause },
      ),
    };
  }
}

function* causes(error: unknown): Iterable<unknown> {
  const seen = new Set<unknown>();
  for (let at = error; !seen.has(at);) {
    seen.add(at);
    yield at;
    if (typeof at !== "object" || at === null || !("cause" in at)) return;
    at = at.cause;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
