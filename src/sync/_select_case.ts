import { checkFunction } from "../kernel/checks.ts";
import type { WaitQueue } from "../kernel/wait_queue.ts";

/** One choice of a `select`: made by the methods of what can be waited for, such as `channel.receiving()`. */
export interface SelectCase<R> {
  /** What is waited for: `receive from channel "jobs"`. @internal */
  readonly doing: string;
  /** Does it if that needs no waiting; throws when it can never be done. @internal */
  readonly attempt: () => (() => R) | undefined;
  /**
   * Waits for it to be done. Given up in two steps, as {@linkcode WaitQueue.join} says: `leave`, and when all that is
   * waited for has been left, `left`.
   *
   * @internal
   */
  readonly join: (
    signal: AbortSignal | undefined,
    granted: (taken: () => R) => void,
    rejected: (reason: unknown) => void,
  ) => { leave(): void; left(): void };
}

/** The one implementation, by which `select` knows what was made for it. */
export class Choice<R> implements SelectCase<R> {
  readonly #line: { readonly doing: string };
  readonly attempt: SelectCase<R>["attempt"];
  readonly join: SelectCase<R>["join"];

  constructor(
    line: { readonly doing: string },
    attempt: SelectCase<R>["attempt"],
    join: SelectCase<R>["join"],
  ) {
    this.#line = line;
    this.attempt = attempt;
    this.join = join;
  }

  get doing(): string {
    return this.#line.doing;
  }
}

/**
 * Receiving as a choice, from whatever has values and a line of those who wait for them.
 *
 * @param next Takes a value if that needs no waiting; throws when none will come.
 * @param then Makes the result of the select of the value.
 */
export function receivingCase<T>(
  next: () => { readonly value: T } | undefined,
  receivers: WaitQueue<T, true>,
  then: (value: T) => unknown,
): SelectCase<unknown> {
  checkFunction("select", "then", then);
  return new Choice<unknown>(
    receivers,
    () => {
      const taken = next();
      return taken && (() => then(taken.value));
    },
    (signal, granted, rejected) =>
      receivers.join(true, signal, (value) => granted(() => then(value)), rejected),
  );
}
