/** What a scope throws, given what went wrong in it. */
import { showError } from "../kernel/checks.ts";
import { causes, TaskGroupError } from "../kernel/errors.ts";
import { emit } from "../kernel/observer.ts";

/** One real failure in a scope. */
export interface Failure {
  readonly error: unknown;
  /** Whether it came after an abort from outside. */
  readonly late: boolean;
  /** Whether somebody has attached a rejection handler to the task that failed. */
  readonly observed: () => boolean;
}

/** How a scope shapes what it throws. */
export type ErrorMode = "auto" | "first" | "all";

/** What {@linkcode Failures.thrown} has to know of its scope. */
export interface Throwing {
  /** The scope, as it stands in messages after "Cannot finish". */
  readonly what: string;
  readonly name: string | undefined;
  readonly mode: ErrorMode;
  /** Whether a failure that somebody observed is not thrown. */
  readonly tolerant: boolean;
  /** The abort from outside, if there was one. */
  readonly outside: { readonly reason: unknown } | undefined;
}

/** The failures of one scope, each error object once, in the order of time. */
export class Failures {
  #byError: Map<unknown, Failure> | undefined;

  add(failure: Failure): void {
    this.#byError ??= new Map();
    if (!this.#byError.has(failure.error)) this.#byError.set(failure.error, failure);
  }

  /**
   * Adds the error of the body. The failures that it carries, as itself or in its chain of causes, it replaces at the
   * place of the first: the body has caught them and said what they mean.
   */
  addBody(error: unknown, late: boolean): void {
    const chain = causes(error);
    this.#byError ??= new Map();
    const carried = [...this.#byError].filter(([cause]) => chain.has(cause));
    const body: Failure = { error, late: carried[0]?.[1].late ?? late, observed: () => false };
    for (const [cause] of carried) this.#byError.set(cause, body); // keeps its place
    this.#byError.set(error, body);
  }

  /**
   * What the scope throws, boxed; `undefined` when nothing.
   *
   * One failure is thrown as it is. Several, or one that came after an abort from outside, become a
   * {@linkcode TaskGroupError} whose `cause` is what came first: a failure or the abort's reason.
   */
  thrown({ what, name, mode, tolerant, outside }: Throwing): { readonly error: unknown } | undefined {
    if (this.#byError === undefined) return outside && { error: outside.reason };
    const failures = [...new Set(this.#byError.values())].filter(({ observed }) => !(tolerant && observed()));
    const [first] = failures;
    if (first === undefined) return outside && { error: outside.reason };
    const { error } = first;
    const others = failures.slice(1);
    const alone = others.length === 0 && !(outside && first.late);
    if (mode === "first" || (mode === "auto" && alone)) {
      for (const { error } of others) emit("task.failure", "group", name, { error });
      return { error };
    }
    const count = others.length === 0 ? "1 failure" : `${failures.length} failures, the first`;
    const text = showError(error);
    return {
      error: new TaskGroupError(
        failures.map(({ error }) => error),
        `Cannot finish ${what}: ${count}: ${text}`,
        {
          cause: outside && first.late ? outside.reason : error,
        },
      ),
    };
  }
}
