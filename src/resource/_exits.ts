/** Running exits in reverse, with no failure lost: what the whole floor ends with. */
import { show } from "../kernel/checks.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { causes } from "../kernel/errors.ts";

/** Leaves something; gets the failure so far, if the caller knows of one. */
export type Exit = (error?: unknown) => unknown;

/** Failures of one scope in the order of time. */
export class ExitErrors {
  #errors: unknown[] = [];

  /** Adds a failure. It takes the place of those that it carries as `cause`, or is: it says what they mean. */
  add(error: unknown): void {
    const carried = causes(error);
    const place = this.#errors.findIndex((earlier) => carried.has(earlier));
    const others = this.#errors.filter((earlier) => !carried.has(earlier));
    others.splice(place < 0 ? others.length : place, 0, error);
    this.#errors = others;
  }

  /** Whether there is any. */
  get any(): boolean {
    return this.#errors.length > 0;
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
    const text = first instanceof Error ? first.message : show(first);
    throw new AggregateError(
      this.#errors,
      `Cannot ${doing}: ${this.#errors.length} failures, the first: ${text}`,
      { cause: first },
    );
  }
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
export function exitOf(doing: string, what: string, it: Disposable | AsyncDisposable): Exit {
  const both = it as Partial<Disposable & AsyncDisposable> | null | undefined;
  const dispose = both?.[Symbol.asyncDispose] ?? both?.[Symbol.dispose];
  if (typeof dispose === "function") return () => dispose.call(both);
  throw new TypeError(
    `Cannot ${doing} as ${what} must have Symbol.asyncDispose or Symbol.dispose: received ${show(it)}`,
  );
}

/** An end that comes once, for all who ask for it. */
export class End {
  #ended: Deferred<void> | undefined;

  /** Whether it has begun. */
  get begun(): boolean {
    return this.#ended !== undefined;
  }

  /** Begins it, unless it has begun: those whom `leave` itself calls find that it has. */
  begin(leave: () => Promise<void>): Promise<void> {
    if (this.#ended === undefined) {
      this.#ended = deferred<void>();
      this.#ended.resolve(leave());
    }
    return this.#ended.promise;
  }
}
