import { timeout } from "../cancel/timeout.ts";
import { checkFunction, checkName, checkOptions, checkWaitOptions, show, subject } from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { checkExitTimeout, End, EXIT_TIMEOUT_MS, ExitErrors, leaveWithin } from "./_exits.ts";

/** Options of {@linkcode asyncContextManager}. */
export interface ContextManagerOptions {
  /** Appears in messages. */
  name?: string | undefined;
  /** How long leaving may take, in milliseconds; more than 0. Default 10,000; `Infinity` for no limit. */
  exitTimeoutMs?: number | undefined;
}

/** A context made of a generator: entered by {@linkcode open} or {@linkcode run}, each time afresh. */
export interface ContextManager<T> {
  /**
   * Runs the generator to its `yield`.
   *
   * @param options `signal` and `timeoutMs` give the entering up: a generator can't be interrupted, so it comes to its
   * `yield` first, and is then ended there.
   * @returns What it yielded; disposing it runs the rest of the generator.
   * @throws {MisuseError} When it ends without a `yield`.
   */
  open(options?: WaitOptions): Promise<AsyncDisposable & { readonly value: T }>;
  /**
   * Enters, runs `body`, and leaves. What `body` throws is thrown into the generator at its `yield`: it can clean up
   * by it, or replace it with an error that has it as `cause`, but not swallow it.
   *
   * @returns What `body` returns.
   */
  run<R>(body: (value: T) => R | PromiseLike<R>, options?: WaitOptions): Promise<R>;
}

/**
 * Turns an async generator that yields once into a context: before the `yield` is entering, after it is leaving.
 *
 * **Misuse** — no `yield`, or a second one, is an error. **Errors** — none is lost: one of leaving and one of the body
 * that have nothing to do with each other come in an `AggregateError`. **Limit** — leaving has a time of its own,
 * `exitTimeoutMs`, which no signal cuts short; a generator that has not ended by then counts as failed, with a
 * `TimeoutError`, and is left to itself.
 *
 * @param generator Called once for each entering, with the arguments of the call.
 * @param options `name` and `exitTimeoutMs`.
 *
 * @example
 * ```ts
 * import { asyncContextManager } from "@uno/async/resource";
 * import assert from "node:assert/strict";
 *
 * const log: string[] = [];
 * const connection = asyncContextManager(async function* (host: string) {
 *   log.push(`connect ${host}`);
 *   try {
 *     yield host.length;
 *   } finally {
 *     log.push("disconnect");
 *   }
 * });
 * assert.equal(await connection("db").run((length) => length * 2), 4);
 * assert.deepEqual(log, ["connect db", "disconnect"]);
 * ```
 */
export function asyncContextManager<A extends unknown[], T>(
  generator: (...args: A) => AsyncGenerator<T, void, void>,
  options: ContextManagerOptions = {},
): (...args: A) => ContextManager<T> {
  checkFunction("create context manager", "generator", generator);
  checkOptions("create context manager", options);
  checkName("create context manager", options.name);
  const what = subject("context manager", options.name);
  checkExitTimeout(`create ${what}`, options.exitTimeoutMs);
  const { exitTimeoutMs = EXIT_TIMEOUT_MS } = options;
  return (...args) => ({
    async open(options) {
      const pass = await enter(what, exitTimeoutMs, () => generator(...args), options);
      const end = new End();
      return { value: pass.value, [Symbol.asyncDispose]: () => end.begin(() => pass.leave()) };
    },
    async run(body, options) {
      checkFunction(`run ${what}`, "body", body);
      const pass = await enter(what, exitTimeoutMs, () => generator(...args), options);
      let result: Awaited<ReturnType<typeof body>>;
      try {
        result = await body(pass.value);
      } catch (error) {
        return await pass.fail(error);
      }
      await pass.leave();
      return result;
    },
  });
}

async function enter<T>(
  what: string,
  exitTimeoutMs: number,
  start: () => AsyncGenerator<T, void, void>,
  options: WaitOptions | undefined,
): Promise<Pass<T>> {
  const operation = `open ${what}`;
  checkWaitOptions(operation, options);
  const { signal, timeoutMs = Infinity } = options ?? {};
  const message = `Cannot ${operation} within ${timeoutMs} ms: its generator had not come to its yield`;
  using limit = timeout(timeoutMs, { signal, operation, message });
  limit.signal.throwIfAborted();
  const steps = start();
  if (typeof steps?.[Symbol.asyncIterator] !== "function") {
    throw new TypeError(
      `Cannot ${operation} as generator must return an async generator: received ${show(steps)}`,
    );
  }
  const first = await steps.next();
  if (first.done) {
    throw new MisuseError(`Cannot ${operation} as its generator must yield once: it did not yield`);
  }
  const pass = new Pass(what, exitTimeoutMs, first.value, steps);
  if (limit.signal.aborted) {
    const errors = new ExitErrors();
    errors.add(limit.signal.reason);
    await pass.giveUp(errors);
    errors.throwIfAny(operation);
  }
  return pass;
}

/** One entering of a generator, which stands at its yield. */
class Pass<T> {
  readonly value: T;
  readonly #what: string;
  readonly #limitMs: number;
  readonly #steps: AsyncGenerator<T, void, void>;

  constructor(what: string, limitMs: number, value: T, steps: AsyncGenerator<T, void, void>) {
    this.#what = what;
    this.#limitMs = limitMs;
    this.value = value;
    this.#steps = steps;
  }

  /** Runs the rest of it. */
  leave(): Promise<void> {
    return this.#within(async () => {
      if (!(await this.#steps.next()).done) await this.#yieldedTwice();
    });
  }

  /** Throws the body's failure into it, and what comes of that. */
  async fail(error: unknown): Promise<never> {
    const errors = new ExitErrors();
    errors.add(error);
    try {
      await this.#within(async () => {
        // A generator that does nothing about it throws it straight back.
        if (!(await this.#steps.throw(errors.first)).done) await this.#yieldedTwice();
      });
    } catch (error) {
      errors.add(error);
    }
    errors.throwIfAny(`leave ${this.#what}`);
    throw errors.first;
  }

  /** Ends it at its yield; adds what goes wrong. */
  async giveUp(errors: ExitErrors): Promise<void> {
    try {
      await this.#within(async () => {
        if (!(await this.#steps.return()).done) throw this.#twice();
      });
    } catch (error) {
      errors.add(error);
    }
  }

  #within(leave: () => Promise<void>): Promise<void> {
    return leaveWithin(this.#limitMs, { what: this.#what, leave }, undefined, "");
  }

  async #yieldedTwice(): Promise<never> {
    const errors = new ExitErrors();
    errors.add(this.#twice());
    await this.#steps.return().catch((error) => errors.add(error));
    errors.throwIfAny(`leave ${this.#what}`);
    throw errors.first;
  }

  #twice(): MisuseError {
    return new MisuseError(`Cannot leave ${this.#what} as its generator must yield once: it yielded twice`);
  }
}
