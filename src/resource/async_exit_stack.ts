import { checkFunction, checkName, checkOptions, subject } from "../kernel/checks.ts";
import { ClosedError } from "../kernel/errors.ts";
import { checkExitTimeout, End, type Exit, EXIT_TIMEOUT_MS, ExitErrors, exitOf, runExits } from "./_exits.ts";

/** Options of an {@linkcode AsyncExitStack}. */
export interface ExitStackOptions {
  /** Appears in messages. */
  name?: string | undefined;
  /** How long leaving may take in whole, in milliseconds; more than 0. Default 10,000; `Infinity` for no limit. */
  exitTimeoutMs?: number | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncExitStack}. */
export interface ExitStackStatistics {
  /** How many exits it has yet to begin. */
  readonly exits: number;
  /** Whether it takes nothing in any more. */
  readonly closed: boolean;
}

/**
 * Collects what has to be left again, and leaves it in reverse.
 *
 * **Order** — last in, first out, each exit awaited before the next. **Failure** — of an exit keeps none of the others
 * from running; one failure is thrown as it is, several as an `AggregateError` in the order of time. **Close** —
 * once; again waits for the same end. A closed or moved stack takes nothing in. **Limit** — leaving has a time of its
 * own, `exitTimeoutMs`, which no signal cuts short; one exit gets half of what is left of it, the last all. One that
 * has not ended by then counts as failed, with a `TimeoutError` that names it, and is left to itself; the others run.
 *
 * Goes beyond the platform's `AsyncDisposableStack`, which newer runtimes have: {@linkcode run} tells its `push`
 * exits what went wrong.
 *
 * @example
 * ```ts
 * import { AsyncExitStack } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * const log: string[] = [];
 * await AsyncExitStack.run(async (stack) => {
 *   stack.callback(() => log.push("first in, last out"));
 *   stack.push((error) => log.push(`error: ${error}`));
 *   await Promise.resolve();
 * });
 * assert.deepEqual(log, ["error: undefined", "first in, last out"]);
 * ```
 */
export class AsyncExitStack implements AsyncDisposable {
  /** The name given at creation. */
  readonly name: string | undefined;
  #exits: Exit[] = [];
  #added = 0;
  readonly #what: string;
  readonly #exitTimeoutMs: number;
  readonly #end = new End();

  /** Creates an empty stack. */
  constructor(options: ExitStackOptions = {}) {
    checkOptions("create exit stack", options);
    checkName("create exit stack", options.name);
    this.#what = subject("exit stack", options.name);
    checkExitTimeout(`create ${this.#what}`, options.exitTimeoutMs);
    this.name = options.name;
    this.#exitTimeoutMs = options.exitTimeoutMs ?? EXIT_TIMEOUT_MS;
  }

  /**
   * Runs `body` with a stack and leaves everything in it, however `body` ends.
   *
   * @returns What `body` returns.
   * @throws What `body` throws, or an exit; several failures as an `AggregateError`, the body's first.
   */
  static async run<T>(
    body: (stack: AsyncExitStack) => T | PromiseLike<T>,
    options?: ExitStackOptions,
  ): Promise<T> {
    checkFunction("run exit stack", "body", body);
    const stack = new AsyncExitStack(options);
    const errors = new ExitErrors();
    let value: T | undefined;
    try {
      value = await body(stack);
    } catch (error) {
      errors.add(error);
    }
    // A body that closed the stack itself may not have looked at what came of it.
    await stack.#end.begin(() => stack.#leave(stack.#exits, errors)).catch((error) => errors.add(error));
    errors.throwIfAny(`leave ${stack.#what}`);
    return value as T;
  }

  /** Whether it takes nothing in any more. */
  get closed(): boolean {
    return this.#end.begun;
  }

  /**
   * Takes a disposable in, to be disposed at the end.
   *
   * @returns The same.
   * @throws {TypeError} When it can't be disposed; {@linkcode ClosedError} when the stack is closed. It is then not
   * taken in.
   */
  enter<D extends Disposable | AsyncDisposable>(disposable: D): D {
    const doing = `enter into ${this.#what}`;
    const { leave } = exitOf(doing, "disposable", disposable);
    this.#add(leave, doing);
    return disposable;
  }

  /**
   * Takes an exit in that wants to know whether something went wrong.
   *
   * @param exit Gets the failure so far under {@linkcode run}; nothing otherwise, as a disposer can't know.
   */
  push(exit: (error?: unknown) => unknown): void {
    checkFunction(`push onto ${this.#what}`, "exit", exit);
    this.#add(exit, `push onto ${this.#what}`, exit.name);
  }

  /** Takes a function in, to be called without arguments at the end. */
  callback(fn: () => unknown): void {
    checkFunction(`push onto ${this.#what}`, "fn", fn);
    this.#add(() => fn(), `push onto ${this.#what}`, fn.name);
  }

  /** Hands everything over to a new stack; this one is closed, and has nothing to leave. */
  move(): AsyncExitStack {
    this.#check(`move ${this.#what}`);
    const stack = new AsyncExitStack({ name: this.name, exitTimeoutMs: this.#exitTimeoutMs });
    stack.#exits = this.#exits;
    stack.#added = this.#added;
    this.#exits = [];
    void this.#end.begin(() => Promise.resolve());
    return stack;
  }

  /** A snapshot of what is in it. */
  statistics(): ExitStackStatistics {
    return Object.freeze({ exits: this.#exits.length, closed: this.closed });
  }

  /** Leaves everything, in reverse. Again: waits for the same end, and throws the same. */
  close(): Promise<void> {
    return this.#end.begin(() => this.#close());
  }

  /** Leaves everything, in reverse. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const errors = new ExitErrors();
    // Not the failure so far: what it knows of is only what other exits did.
    this.#exits = this.#exits.map(({ what, leave }) => ({ what, leave: () => leave() }));
    await this.#leave(this.#exits, errors);
    errors.throwIfAny(`close ${this.#what}`);
  }

  #leave(exits: Exit[], errors: ExitErrors): Promise<void> {
    return runExits(exits, errors, this.#exitTimeoutMs, ` of ${this.#what}`);
  }

  #add(leave: Exit["leave"], doing: string, name?: unknown): void {
    this.#check(doing);
    const named = typeof name === "string" && name !== "" ? ` (${name})` : "";
    this.#exits.push({ what: `exit ${++this.#added}${named}`, leave });
  }

  #check(doing: string): void {
    if (this.#end.begun) throw new ClosedError(`Cannot ${doing}: it is closed`);
  }
}
