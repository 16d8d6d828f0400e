/** What the decorators have in common, for those who use them. */

/**
 * A decorator of methods that is a transformer of functions too.
 *
 * The result has the signature, `name`, `length` and `this` of what it was made from. `A` are the arguments that it looks
 * at, and `V` is what the method's promise has to be of.
 */
// deno-lint-ignore no-explicit-any
export interface Decorator<A extends any[] = any[], V = unknown> {
  /**
   * Makes a function that does the same as `fn`, under the rule.
   *
   * @param fn A function or method that returns a promise.
   * @param context Given by the language when it is used as a decorator.
   */
  // deno-lint-ignore no-explicit-any
  <F extends (this: any, ...args: [...A, ...any[]]) => Promise<V>>(
    fn: F,
    context?: ClassMethodDecoratorContext,
  ): F;
}

/** What a call is for, made of its arguments; called with the `this` of the call. */
// deno-lint-ignore no-explicit-any
export type KeyFunction<A extends any[], K> = (this: any, ...args: A) => K;

/**
 * Whose a limit is: that of the decorated function, whatever it is called on (`"function"`), or that of each object it is
 * called on (`"instance"`). Objects are held weakly; calls on no object share one.
 */
export type Per = "function" | "instance";

/** Options of all decorators that make what their calls go through. */
export interface PerOptions {
  /** Whose it is; see {@linkcode Per}. */
  per?: Per | undefined;
}
