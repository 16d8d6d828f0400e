/** How a database is told to carry its transactions along with the flow of control. */

/**
 * What carries a value along with the flow of control: an `AsyncLocalStorage` of `node:async_hooks`, which all runtimes
 * have. Whoever makes the database brings it, as the library itself asks nothing of the runtime.
 */
export interface ContextCarrier {
  /** The value carried, if any. */
  getStore(): unknown;
  /** Runs `fn`, and all that it starts, with a value. */
  run<R>(store: unknown, fn: () => R): R;
}
