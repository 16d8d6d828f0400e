import { checkFunction } from "../kernel/checks.ts";
import { ClosedError } from "../kernel/errors.ts";
import { End, type Exit, ExitErrors, exitOf, runExits } from "./_exits.ts";

/**
 * Collects what has to be left again, and leaves it in reverse.
 *
 * **Order** — last in, first out, each exit awaited before the next. **Failure** — of an exit keeps none of the others
 * from running; one failure is thrown as it is, several as an `AggregateError` in the order of time. **Close** —
 * once; again waits for the same end. A closed or moved stack takes nothing in.
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
  #exits: Exit[] = [];
  readonly #end = new End();

  /**
   * Runs `body` with a stack and leaves everything in it, however `body` ends.
   *
   * @returns What `body` returns.
   * @throws What `body` throws, or an exit; several failures as an `AggregateError`, the body's first.
   */
  static async run<T>(body: (stack: AsyncExitStack) => T | PromiseLike<T>): Promise<T> {
    checkFunction("run exit stack", "body", body);
    const stack = new AsyncExitStack();
    const errors = new ExitErrors();
    let value: T | undefined;
    try {
      value = await body(stack);
    } catch (error) {
      errors.add(error);
    }
    // A body that closed the stack itself may not have looked at what came of it.
    await stack.#end.begin(() => runExits(stack.#exits, errors)).catch((error) => errors.add(error));
    errors.throwIfAny("leave exit stack");
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
    this.#add(exitOf("enter into exit stack", "disposable", disposable), "enter into exit stack");
    return disposable;
  }

  /**
   * Takes an exit in that wants to know whether something went wrong.
   *
   * @param exit Gets the failure so far under {@linkcode run}; nothing otherwise, as a disposer can't know.
   */
  push(exit: (error?: unknown) => unknown): void {
    checkFunction("push onto exit stack", "exit", exit);
    this.#add(exit, "push onto exit stack");
  }

  /** Takes a function in, to be called without arguments at the end. */
  callback(fn: () => unknown): void {
    checkFunction("push onto exit stack", "fn", fn);
    this.#add(() => fn(), "push onto exit stack");
  }

  /** Hands everything over to a new stack; this one is closed, and has nothing to leave. */
  move(): AsyncExitStack {
    this.#check("move exit stack");
    const stack = new AsyncExitStack();
    stack.#exits = this.#exits;
    this.#exits = [];
    void this.#end.begin(() => Promise.resolve());
    return stack;
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
    const exits = this.#exits.splice(0).map((exit) => () => exit());
    await runExits(exits, errors);
    errors.throwIfAny("close exit stack");
  }

  #add(exit: Exit, doing: string): void {
    this.#check(doing);
    this.#exits.push(exit);
  }

  #check(doing: string): void {
    if (this.#end.begun) throw new ClosedError(`Cannot ${doing}: it is closed`);
  }
}
