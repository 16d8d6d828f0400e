import { timeout } from "../cancel/timeout.ts";
import {
  checkBoolean,
  checkFunction,
  checkName,
  checkOptions,
  checkRecord,
  checkWaitOptions,
  subject,
} from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { TaskGroup } from "../task/task_group.ts";
import { checkExitTimeout, End, type Exit, EXIT_TIMEOUT_MS, ExitErrors, exitOf, runExits } from "./_exits.ts";

/** Something entered: it can be left, and may carry a value of its own. */
export type Context<T = unknown> = (Disposable | AsyncDisposable) & { readonly value?: T };

/** Enters a context. */
export type Opener<C extends Context = Context> = (context: { signal: AbortSignal }) => C | PromiseLike<C>;

/** What a context gives: its value, or itself when it carries none. */
export type ContextValue<C> = C extends { readonly value: infer V } ? V : C;

/** The values of a group of openers. */
export type ContextValues<O extends Record<string, Opener>> = {
  readonly [K in keyof O]: ContextValue<Awaited<ReturnType<O[K]>>>;
};

/** Options of an {@linkcode AsyncContextGroup}. */
export interface ContextGroupOptions {
  /** Appears in messages. */
  name?: string | undefined;
  /** Whether all are entered at once instead of one after another. Left in reverse of the listing either way. */
  parallel?: boolean | undefined;
  /** How long leaving may take in whole, in milliseconds; more than 0. Default 10,000; `Infinity` for no limit. */
  exitTimeoutMs?: number | undefined;
}

/** What an operator wants to know of an {@linkcode AsyncContextGroup}. */
export interface ContextGroupStatistics {
  /** How often it is being entered right now. */
  readonly opening: number;
  /** How often it is entered and has not been left. */
  readonly inUse: number;
  /** How often all of it was entered so far. */
  readonly opened: number;
  /** How often entering it failed, aborts and limits included. */
  readonly failed: number;
}

/**
 * Several contexts as one: all of them entered or none, left in reverse.
 *
 * **Order** — entered one after another as listed (or, `parallel`, all at once), left in reverse, each awaited. Names
 * that are whole numbers come first, as in any object.
 * **Failure** while entering leaves what was entered and throws; failures of leaving join it in an `AggregateError`.
 * **Abort** — of `open` aborts the opener that is under way, waits for it, leaves what was entered, and rejects with
 * the reason: nothing is left half open. **Limit** — leaving has a time of its own, `exitTimeoutMs`, which no signal
 * cuts short; one context gets half of what is left of it, the last all. One that has not been left by then counts as
 * failed, with a `TimeoutError` that names it, and is left to itself; the others are left. **Reuse** — each `open`
 * enters afresh.
 *
 * @example
 * ```ts
 * import { AsyncContextGroup } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * const log: string[] = [];
 * const open = (name: string) => () => ({ value: name, [Symbol.dispose]: () => void log.push(`close ${name}`) });
 * const both = new AsyncContextGroup({ db: open("db"), cache: open("cache") });
 * {
 *   await using opened = await both.open();
 *   assert.equal(opened.values.db, "db");
 * }
 * assert.deepEqual(log, ["close cache", "close db"]);
 * ```
 */
export class AsyncContextGroup<O extends Record<string, Opener>> {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #openers: readonly (readonly [string, Opener])[];
  readonly #parallel: boolean;
  readonly #what: string;
  readonly #exitTimeoutMs: number;
  #opening = 0;
  #inUse = 0;
  #opened = 0;
  #failed = 0;

  /**
   * Creates a group; nothing is entered yet.
   *
   * @param openers By name, in the order in which they are entered.
   */
  constructor(openers: O, options: ContextGroupOptions = {}) {
    checkOptions("create context group", options);
    checkName("create context group", options.name);
    checkBoolean("create context group", "parallel", options.parallel);
    this.#what = subject("context group", options.name);
    checkRecord(`create ${this.#what}`, "openers", openers);
    this.#openers = Object.entries(openers);
    for (const [name, opener] of this.#openers) checkFunction(`create ${this.#what}`, name, opener);
    checkExitTimeout(`create ${this.#what}`, options.exitTimeoutMs);
    this.name = options.name;
    this.#exitTimeoutMs = options.exitTimeoutMs ?? EXIT_TIMEOUT_MS;
    this.#parallel = options.parallel ?? false;
  }

  /**
   * Enters all contexts.
   *
   * @param options `signal` and `timeoutMs` bound the entering.
   * @returns The values by name; disposing it leaves all, in reverse.
   */
  async open(options?: WaitOptions): Promise<AsyncDisposable & { readonly values: ContextValues<O> }> {
    const errors = new ExitErrors();
    const exits: Exit[] = [];
    const values = await this.#enter(options, exits, errors);
    const end = new End();
    const leave = async (): Promise<void> => {
      await this.#leave(exits, errors);
      this.#inUse--;
      errors.throwIfAny(`leave ${this.#what}`);
    };
    return { values, [Symbol.asyncDispose]: () => end.begin(leave) };
  }

  /**
   * Enters all contexts, runs `body` with their values, and leaves them however it ends.
   *
   * @returns What `body` returns.
   * @throws What `body` throws, or entering, or leaving; several failures as an `AggregateError`.
   */
  async run<R>(body: (values: ContextValues<O>) => R | PromiseLike<R>, options?: WaitOptions): Promise<R> {
    checkFunction(`run ${this.#what}`, "body", body);
    const errors = new ExitErrors();
    const exits: Exit[] = [];
    const values = await this.#enter(options, exits, errors);
    let result: R | undefined;
    try {
      result = await body(values);
    } catch (error) {
      errors.add(error);
    }
    await this.#leave(exits, errors);
    this.#inUse--;
    errors.throwIfAny(`leave ${this.#what}`);
    return result as R;
  }

  /** A snapshot of how often it is entered, and the totals so far. */
  statistics(): ContextGroupStatistics {
    return Object.freeze({
      opening: this.#opening,
      inUse: this.#inUse,
      opened: this.#opened,
      failed: this.#failed,
    });
  }

  #leave(exits: Exit[], errors: ExitErrors): Promise<void> {
    return runExits(exits, errors, this.#exitTimeoutMs, ` of ${this.#what}`);
  }

  async #enter(
    options: WaitOptions | undefined,
    exits: Exit[],
    errors: ExitErrors,
  ): Promise<ContextValues<O>> {
    const doing = `open ${this.#what}`;
    checkWaitOptions(doing, options);
    this.#opening++;
    const entered = new Map<string, Exit>();
    const values = new Map<string, unknown>();
    try {
      const { signal, timeoutMs = Infinity } = options ?? {};
      const message = `Cannot ${doing} within ${timeoutMs} ms: not all of its contexts are entered`;
      using limit = timeout(timeoutMs, { signal, operation: doing, message });
      await TaskGroup.run(async (group) => {
        for (const [name, opener] of this.#openers) {
          const task = group.spawn(async ({ signal }) => {
            const context = await opener({ signal });
            entered.set(name, exitOf(doing, `context ${JSON.stringify(name)}`, context));
            values.set(name, "value" in context ? context.value : context);
          }, { name });
          if (!this.#parallel) await task;
        }
      }, { signal: limit.signal, name: this.#what });
    } catch (error) {
      errors.add(error);
    }
    for (const [name] of this.#openers) {
      const exit = entered.get(name);
      if (exit !== undefined) exits.push(exit);
    }
    if (errors.any) {
      await this.#leave(exits, errors);
      this.#opening--;
      this.#failed++;
      errors.throwIfAny(doing);
    }
    this.#opening--;
    this.#inUse++;
    this.#opened++;
    return Object.fromEntries(this.#openers.map(([name]) => [name, values.get(name)])) as ContextValues<O>;
  }
}
