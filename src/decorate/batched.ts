import { checkOptions } from "../kernel/checks.ts";
import { AsyncBatcher } from "../flow/async_batcher.ts";
import type { AsyncBatcherOptions, BatchFunction } from "../flow/async_batcher_options.ts";
import { type AsyncMethod, nameOf, refuseUncalled, transform } from "../flow/policy.ts";
import { forEach } from "./_decorator.ts";

/** Options of {@linkcode batched}: those of the `AsyncBatcher` that it makes. */
// deno-lint-ignore no-explicit-any
export interface BatchedOptions<I = any> extends AsyncBatcherOptions<I> {}

/** Options of a call of a function that is served in batches. */
export interface BatchedCallOptions {
  /** Gives this call up. */
  signal?: AbortSignal | undefined;
}

/** What {@linkcode batched} makes; `J` is what the items have to be. */
// deno-lint-ignore no-explicit-any
export interface Batched<J = any> {
  /**
   * Makes a function of one item out of one that serves several.
   *
   * @param fn Gets the items, and a signal that is aborted when nobody waits for them any more; gives one result for
   * each, in their order or by item. An `Error` in the place of a result fails that item only.
   */
  <T, I extends J, O>(
    fn: (this: T, ...args: Parameters<BatchFunction<I, O>>) => ReturnType<BatchFunction<I, O>>,
  ): (this: T, item: I, options?: BatchedCallOptions) => Promise<Exclude<O, Error>>;
  /**
   * Does the same to a method.
   *
   * @param fn The method, declared as it is called: with one item.
   * @param context Given by the language.
   */
  <F extends AsyncMethod>(fn: F & ForOne<F>, context: ClassMethodDecoratorContext): F;
}

/** What a method has to be: one that is declared with several items would be called with one of them. */
export type ForOne<F extends AsyncMethod> = Parameters<F>[0] extends readonly unknown[]
  ? "declare the method as it is called, with one item"
  : unknown;

/**
 * Makes a decorator by which a function that serves many items is called with one, and calls that come together are
 * served together. Also a transformer of functions.
 *
 * The promises are those of `AsyncBatcher`. **Sharing** — each object has batches of its own. **Signal** — that of an
 * options bag after the item gives this call up. **Types** — a decorator can't change the type of a method: give it a
 * signature for its callers, as here in the second example. A field with a transformed function needs none, as in the
 * first.
 *
 * @throws {TypeError | RangeError} When an option is not as it says.
 *
 * @example
 * ```ts
 * import { batched } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * class Users {
 *   readonly queries: (readonly number[])[] = [];
 *
 *   readonly name = batched({ maxSize: 100 })(async (ids: readonly number[]) => {
 *     this.queries.push(ids);
 *     return await Promise.resolve(ids.map((id) => id > 0 ? `user ${id}` : new RangeError(`No user ${id}`)));
 *   });
 * }
 * const users = new Users();
 * const [one, none, two] = await Promise.allSettled([users.name(1), users.name(-1), users.name(2)]);
 * assert.deepEqual([one, two].map((it) => it.status === "fulfilled" && it.value), ["user 1", "user 2"]);
 * assert.equal(none.status, "rejected");
 * assert.deepEqual(users.queries, [[1, -1, 2]]);
 * ```
 *
 * @example
 * ```ts
 * import { batched } from "@uno/async/decorate";
 * import assert from "node:assert/strict";
 *
 * class Users {
 *   name(id: number, options?: { signal?: AbortSignal }): Promise<string>;
 *   @batched({ maxSize: 100 })
 *   async name(ids: unknown): Promise<unknown> {
 *     return await Promise.resolve((ids as number[]).map((id) => `user ${id}`));
 *   }
 * }
 * const users = new Users();
 * assert.deepEqual(await Promise.all([users.name(1), users.name(2)]), ["user 1", "user 2"]);
 * ```
 */
// deno-lint-ignore no-explicit-any
export function batched<I = any>(options?: BatchedOptions<I>): Batched<I>;
// deno-lint-ignore no-explicit-any
export function batched<I = any>(options: BatchedOptions<I> = {}, beside?: unknown): Batched<I> {
  refuseUncalled("batched", beside);
  checkOptions("create batcher", options);
  const settings = { ...options };
  new AsyncBatcher<I, unknown>(() => [], settings); // What is wrong with the options is told now.
  return ((fn: (...args: unknown[]) => Promise<never>, context?: ClassMethodDecoratorContext) => {
    const batcherFor = forEach((self) => {
      const name = settings.name ?? nameOf(fn);
      return new AsyncBatcher<I, unknown>((...args) => fn.apply(self, args), { ...settings, name });
    });
    return transform(fn, context, (_, options, self, [item]) => batcherFor(self).add(item as I, options));
  }) as Batched<I>;
}
