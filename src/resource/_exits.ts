/** Running exits in reverse, with no failure lost: what the whole floor ends with. */
import { timeout } from "../cancel/timeout.ts";
import { checkDurationMs, show, showError } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { type Deferred, deferred } from "../kernel/deferred.ts";
import { causes } from "../kernel/errors.ts";

/** How long leaving may take, unless the user says so: what closing a resource may take, too. */
export const EXIT_TIMEOUT_MS = 10_000;

/** One way out. */
export interface Exit {
  /** What it leaves, for messages: `context "db"`. */
  readonly what: string;
  /** Leaves it; gets the failure so far, if the caller knows of one. */
  leave(error?: unknown): unknown;
}

/** Throws unless `value` is absent or a time in which something can be left. */
export function checkExitTimeout(doing: string, value: unknown): void {
  if (value === undefined) return;
  checkDurationMs(doing, "exitTimeoutMs", value);
  if (value === 0) throw new RangeError(`Cannot ${doing} as exitTimeoutMs must be > 0: received 0`);
}

/** Failures of one scope in the order of time. */
export class ExitErrors {
  #errors = new Set<unknown>();

  /** Adds a failure. It takes the place of those that it carries as `cause`, or is: it says what they mean. */
  add(error: unknown): void {
    const carried = causes(error);
    // Nearly always it carries none: looking through all of them each time would cost n² for n failures.
    if (![...carried].some((cause) => this.#errors.has(cause))) return void this.#errors.add(error);
    const errors = [...this.#errors];
    const place = errors.findIndex((earlier) => carried.has(earlier));
    errors[place] = error;
    this.#errors = new Set(errors.filter((earlier, i) => i === place || !carried.has(earlier)));
  }

  /** Whether there is any. */
  get any(): boolean {
    return this.#errors.size > 0;
  }

  /** The first failure; `undefined` when there is none. */
  get first(): unknown {
    const [first] = this.#errors;
    return first;
  }

  /** Throws what there is: one as it is, several as an `AggregateError` in order, `cause` the first. */
  throwIfAny(doing: string): void {
    if (!this.any) return;
    const { first } = this;
    const { size } = this.#errors;
    if (size === 1) throw first;
    const message = `Cannot ${doing}: ${size} failures, the first: ${showError(first)}`;
    throw new AggregateError([...this.#errors], message, { cause: first });
  }
}

/**
 * Runs all exits, the last first, each awaited, within `limitMs` in whole; adds what they throw.
 *
 * One that hangs must not take the time of those after it: unless it is the last, it gets half of what is left. Given
 * up, it is left to itself; what it fails with later goes to the observer.
 */
export async function runExits(
  exits: Exit[],
  errors: ExitErrors,
  limitMs: number,
  of: string,
): Promise<void> {
  const atMs = limitMs === Infinity ? Infinity : clock().now() + limitMs;
  for (let exit = exits.pop(); exit !== undefined; exit = exits.pop()) {
    try {
      // At least a little, so that every exit is begun.
      const leftMs = atMs === Infinity ? Infinity : Math.max(1, atMs - clock().now());
      await leaveWithin(exits.length === 0 ? leftMs : leftMs / 2, exit, errors.first, of);
    } catch (error) {
      errors.add(error);
    }
  }
}

/** Leaves by one exit. @throws {TimeoutError} At the limit, naming it. */
export async function leaveWithin(ms: number, exit: Exit, error: unknown, of: string): Promise<void> {
  const operation = `leave ${exit.what}${of}`;
  const message = `Cannot ${operation} within ${Math.round(ms)} ms: it was still being left`;
  // What it gives is nobody's, also when it comes late.
  await timeout(ms, async () => void await exit.leave(error), { operation, message });
}

/** The exit of a disposable: its async disposal if it has one. @throws {TypeError} When it has none. */
export function exitOf(doing: string, what: string, it: Disposable | AsyncDisposable): Exit {
  const both = it as Partial<Disposable & AsyncDisposable> | null | undefined;
  const dispose = both?.[Symbol.asyncDispose] ?? both?.[Symbol.dispose];
  if (typeof dispose === "function") return { what, leave: () => dispose.call(both) };
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
