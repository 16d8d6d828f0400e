/** How many levels go down on the stack: each takes some ten frames of the ten thousand that there are. */
const DEEPEST = 100;

/**
 * Goes down into what may be nested without a limit, such as scopes within scopes, on a stack that has one.
 *
 * Depth first down to a hundred levels, as a plain recursion would; what lies deeper waits until the outermost visit has
 * come back, and is visited before that one ends.
 */
export class Descent<T> {
  readonly #visit: (at: T) => void;
  readonly #deeper: T[] = [];
  #depth = 0;

  /** @param visit May visit what lies deeper. */
  constructor(visit: (at: T) => void) {
    this.#visit = visit;
  }

  visit(at: T): void {
    if (this.#depth === DEEPEST) return void this.#deeper.push(at);
    this.#depth++;
    try {
      this.#visit(at);
      if (this.#depth === 1 && this.#deeper.length > 0) this.#goDeeper();
    } finally {
      this.#depth--;
    }
  }

  #goDeeper(): void {
    for (const at of this.#deeper) this.#visit(at); // which may add some
    this.#deeper.length = 0;
  }
}
