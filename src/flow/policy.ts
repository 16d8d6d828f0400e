/** The two faces of every policy: run this work now, and make that function always run so. */
import { checkFunction, show } from "../kernel/checks.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { noteOrigin } from "./_layer.ts";

/** What work gets from a policy that has nothing more to tell it. */
export interface CallContext {
  /** Aborted when the work is not wanted any more. */
  readonly signal: AbortSignal;
}

/** Runs work under a rule; `C` is what the work gets to know. */
export interface Run<C> {
  /**
   * Runs `fn` under the rule.
   *
   * @param options `signal` gives the call up; `timeoutMs` bounds the whole of it.
   * @returns What `fn` returns.
   */
  run<T>(fn: (context: C) => T | PromiseLike<T>, options?: WaitOptions): Promise<T>;
}

/** A function or method that can be put under a policy: one that returns a promise. */
// deno-lint-ignore no-explicit-any
export type AsyncMethod = (this: any, ...args: any[]) => Promise<unknown>;

/** A rule that also transforms functions; as it stands, it decorates methods too. */
export interface Policy<C> extends Run<C> {
  /**
   * Makes a function that does the same as `fn`, under the rule.
   *
   * @param fn A function or method that returns a promise.
   * @param context Given by the language when it is used as a decorator.
   * @returns A function with the signature, `name`, `length` and `this` of `fn`.
   */
  <F extends AsyncMethod>(fn: F, context?: ClassMethodDecoratorContext): F;
}

/**
 * Gives anything that can run work its second face: a transformer of functions that is a method decorator too.
 *
 * **Signal** — when the last argument of a call is an options bag (a plain object) with a `signal`, the policy obeys
 * that signal and the function gets a copy of the bag with the policy's own signal in it; all else is passed on
 * untouched. A last argument of another kind that has a `signal` (a `Request`, a task's context) is obeyed and passed
 * on as it is. **Sharing** — all calls of all functions that were put under one policy share it.
 *
 * @param policy Whatever has `run`, such as a `Limiter`.
 * @throws {TypeError} When `policy` has no `run`, or what is to be transformed is no function or no method.
 *
 * @example
 * ```ts
 * import { Limiter, transformer } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const limited = transformer(new Limiter({ limit: 2 }));
 * const double = limited(async function double(n: number) {
 *   return await Promise.resolve(2 * n);
 * });
 * assert.deepEqual(await Promise.all([1, 2, 3].map((n) => double(n))), [2, 4, 6]);
 * assert.deepEqual(double.name, "double");
 * ```
 */
export function transformer<C>(policy: Run<C>): Policy<C> {
  checkFunction("create transformer", "run of the policy", policy?.run);
  return transformerBy(policy, () => policy);
}

/** The same for a policy that wants to know the name of each function: `of` is asked for what is to run it. */
export function transformerBy<C>(policy: Run<C>, of: (name: string | undefined) => Run<C>): Policy<C> {
  const transformed = <F extends AsyncMethod>(fn: F, context?: ClassMethodDecoratorContext): F => {
    const own = of(nameOf(fn));
    return transform<C, F>(fn, context, (work, options) => own.run(work, options));
  };
  noteOrigin(transformed, policy);
  return Object.assign(transformed, {
    run: <T>(fn: (context: C) => T | PromiseLike<T>, options?: WaitOptions): Promise<T> =>
      policy.run(fn, options),
  });
}

/** What a function is called; one may have another property of that name, which says nothing. */
export function nameOf(fn: unknown): string | undefined {
  const name: unknown = typeof fn === "function" ? fn.name : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

/**
 * Throws where a decorator that is made by a call was not called: it then gets the method in the place of what it is made
 * of, and this beside it.
 */
export function refuseUncalled(decorator: string, beside: unknown): void {
  if (
    typeof (beside as Partial<ClassMethodDecoratorContext> | null | undefined)?.addInitializer !== "function"
  ) {
    return;
  }
  throw new TypeError(`Cannot decorate as ${decorator} must be called first: received the method itself`);
}

/** Runs one call of a transformed function: its work, the signal that came with it, and what it was called on and with. */
export type RunCall<C> = (
  work: (context: C) => Promise<unknown>,
  options: WaitOptions | undefined,
  self: unknown,
  args: readonly unknown[],
) => Promise<unknown>;

/**
 * Makes a function that does what `fn` does, each call through `run`; see {@linkcode transformer}, which is this with one
 * policy for all calls.
 */
export function transform<C, F extends AsyncMethod>(
  fn: F,
  context: ClassMethodDecoratorContext | undefined,
  run: RunCall<C>,
): F {
  // The decorators of before get the method's name, and its object in the place of the method.
  if (["string", "symbol"].includes(typeof context)) {
    throw new TypeError(
      "Cannot decorate as decorators must be those of the language: switch experimentalDecorators off",
    );
  }
  if (context !== undefined && context.kind !== "method") {
    throw new TypeError(`Cannot decorate as it must be a method: received ${show(context.kind)}`);
  }
  checkFunction("transform", "fn", fn);
  const transformed = function (this: unknown, ...args: unknown[]): Promise<unknown> {
    const signal = signalOf(args.at(-1));
    const work = (own: C): Promise<unknown> => fn.apply(this, withSignal(args, own));
    return run(work, signal && { signal }, this, args);
  };
  // Not copied from `fn` but set anew: both are read-only and have to stay configurable.
  Object.defineProperty(transformed, "name", { value: fn.name, configurable: true });
  Object.defineProperty(transformed, "length", { value: fn.length, configurable: true });
  return transformed as F;
}

function signalOf(value: unknown): AbortSignal | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { signal } = value as { signal?: unknown };
  return isSignal(signal) ? signal : undefined;
}

/** Whether it is an `AbortSignal`, of any realm. */
export function isSignal(value: unknown): value is AbortSignal {
  return typeof value === "object" && value !== null &&
    typeof (value as Partial<AbortSignal>).aborted === "boolean" &&
    typeof (value as Partial<AbortSignal>).addEventListener === "function";
}

/** The arguments with the policy's own signal in the options bag at their end, if there is one. */
function withSignal(args: unknown[], own: unknown): unknown[] {
  const bag = args.at(-1);
  if (typeof bag !== "object" || bag === null || !("signal" in bag)) return args;
  if (bag.signal !== undefined && !isSignal(bag.signal)) return args;
  const prototype = Object.getPrototypeOf(bag);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return args;
  const signal = (own as Partial<CallContext> | undefined)?.signal;
  return signal === undefined ? args : [...args.slice(0, -1), { ...bag, signal }];
}
