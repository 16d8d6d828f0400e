/** Work that is ended from outside, and how much of it ran at once. */
import { deferred } from "../../src/kernel/deferred.ts";

export class Work {
  running = 0;
  most = 0;
  readonly begun: unknown[] = [];
  readonly #ends: (() => void)[] = [];

  /** Runs until {@linkcode end}. */
  async run<T>(what: T): Promise<T> {
    this.begun.push(what);
    this.most = Math.max(this.most, ++this.running);
    const { promise, resolve } = deferred<void>();
    this.#ends.push(resolve);
    await promise;
    this.running--;
    return what;
  }

  /** Ends what runs. */
  end(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}

/** As the language gives it for a class element of this kind. */
export function contextOf(kind: string): ClassMethodDecoratorContext {
  return { kind, name: "x", static: false, private: false, addInitializer() {} } as never;
}

/** Kinds of class elements that are no methods, with what decorators get for each. */
export const noMethods: readonly [string, unknown][] = [
  ["field", undefined],
  ["accessor", { get() {}, set() {} }],
  ["getter", function get() {}],
  ["setter", function set() {}],
  ["class", class {}],
];
