import { timeout } from "../cancel/timeout.ts";
import { checkFunction, checkWaitOptions, show } from "../kernel/checks.ts";
import { MisuseError } from "../kernel/errors.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { End, ExitErrors } from "./_exits.ts";

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
 * that have nothing to do with each other come in an `AggregateError`.
 *
 * @param generator Called once for each entering, with the arguments of the call.
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
): (...args: A) => ContextManager<T> {
  checkFunction("create context manager", "generator", generator);
  return (...args) => ({
    async open(options) {
      const { value, steps } = await enter(() => generator(...args), options);
      const end = new End();
      return { value, [Symbol.asyncDispose]: () => end.begin(() => leave(steps)) };
    },
    async run(body, options) {
      checkFunction("run context manager", "body", body);
      const { value, steps } = await enter(() => generator(...args), options);
      const errors = new ExitErrors();
      try {
        const result = await body(value);
        await leave(steps);
        return result;
      } catch (error) {
        errors.add(error);
      }
      return await fail(steps, errors);
    },
  });
}

async function enter<T>(
  start: () => AsyncGenerator<T, void, void>,
  options: WaitOptions | undefined,
): Promise<{ value: T; steps: AsyncGenerator<T, void, void> }> {
  const operation = "open context manager";
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
  if (limit.signal.aborted) {
    const errors = new ExitErrors();
    errors.add(limit.signal.reason);
    await giveUp(steps, errors);
    errors.throwIfAny(operation);
  }
  return { value: first.value, steps };
}

/** Ends a generator at its yield; adds what goes wrong. */
async function giveUp(steps: AsyncGenerator<unknown, void, void>, errors: ExitErrors): Promise<void> {
  try {
    if (!(await steps.return()).done) errors.add(twice());
  } catch (error) {
    errors.add(error);
  }
}

function twice(): MisuseError {
  return new MisuseError("Cannot leave context manager as its generator must yield once: it yielded twice");
}

async function leave(steps: AsyncGenerator<unknown, void, void>): Promise<void> {
  if (!(await steps.next()).done) await yieldedTwice(steps);
}

async function yieldedTwice(steps: AsyncGenerator<unknown, void, void>): Promise<never> {
  const errors = new ExitErrors();
  errors.add(twice());
  await steps.return().catch((error) => errors.add(error));
  errors.throwIfAny("leave context manager");
  throw errors.first;
}

async function fail(steps: AsyncGenerator<unknown, void, void>, errors: ExitErrors): Promise<never> {
  try {
    // After an end of its own the generator throws this straight back.
    if (!(await steps.throw(errors.first)).done) await yieldedTwice(steps);
  } catch (error) {
    errors.add(error);
  }
  errors.throwIfAny("leave context manager");
  throw errors.first;
}
