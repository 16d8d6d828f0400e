/** Running exits in reverse, with no failure lost: what the whole floor ends with. */

/** Leaves something; gets the failure so far, if the caller knows of one. */
export type Exit = (error?: unknown) => unknown;

/** Failures of one scope in the order of time. */
export class ExitErrors {
  readonly #errors: unknown[] = [];

  /** Adds a failure. One that carries an earlier one as `cause`, or is it, takes its place: it says what that means. */
  add(error: unknown): void {
    const index = this.#errors.findIndex((earlier) => carries(error, earlier));
    if (index < 0) this.#errors.push(error);
    else this.#errors[index] = error;
  }

  /** The first failure; `undefined` when there is none. */
  get first(): unknown {
    return this.#errors[0];
  }

  /** Throws what there is: one as it is, several as an `AggregateError` in order, `cause` the first. */
  throwIfAny(doing: string): void {
    const [first, ...more] = this.#errors;
    if (this.#errors.length === 0) return;
    if (more.length === 0) throw first;
    const text = first instanceof Error ? first.message : String(first);
    throw new AggregateError(
      this.#errors,
      `Cannot ${doing}: ${this.#errors.length} failures, the first: ${text}`,
      { cause: first },
    );
  }
}

function carries(error: unknown, earlier: unknown): boolean {
  const seen = new Set<unknown>();
  for (let at = error; !seen.has(at);) {
    if (at === earlier) return true;
    seen.add(at);
    if (typeof at !== "object" || at === null || !("cause" in at)) return false;
    at = at.cause;
  }
  return false;
}

/** Runs all exits, the last first, each awaited; adds what they throw. */
export async function runExits(exits: Exit[], errors: ExitErrors): Promise<void> {
  for (let exit = exits.pop(); exit !== undefined; exit = exits.pop()) {
    try {
      await exit(errors.first);
    } catch (error) {
      errors.add(error);
    }
  }
}

/** The exit of a disposable: its async disposal if it has one. @throws {TypeError} When it has none. */
export function exitOf(doing: string, it: Disposable | AsyncDisposable): Exit {
  const both = it as Partial<Disposable & AsyncDisposable> | null | undefined;
  if (typeof both?.[Symbol.asyncDispose] === "function") return () => both[Symbol.asyncDispose]!();
  if (typeof both?.[Symbol.dispose] === "function") return () => both[Symbol.dispose]!();
  throw new TypeError(
    `Cannot ${doing} as it must be disposable: it has no Symbol.asyncDispose or Symbol.dispose`,
  );
}
