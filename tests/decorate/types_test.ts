/** What compiles, and what must not: looked at by the type check, and run to see that it is true. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  batched,
  type BatchedCallOptions,
  cached,
  cancellable,
  circuitBroken,
} from "../../src/decorate/mod.ts";
import {
  concurrentLimited,
  type Decorator,
  rateLimited,
  retry,
  timeoutHandler,
} from "../../src/decorate/mod.ts";
import { AsyncCache, Limiter, RateLimiter } from "../../src/flow/mod.ts";

/** Whether two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

const limiter = new Limiter({ limit: 1 });
const rates = new RateLimiter({ limit: 1, intervalMs: 1 });
const plain: readonly Decorator[] = [
  cancellable,
  cancellable({}),
  retry(),
  timeoutHandler(1_000),
  rateLimited({ limit: 1_000, intervalMs: 1_000 }),
  concurrentLimited({ limit: 1 }),
  concurrentLimited(limiter),
  concurrentLimited((self: { limiter: Limiter }) => self.limiter),
  circuitBroken(),
  cached(),
];

test("signatures are kept as they are, generic ones too", async () => {
  const identity = async <T>(value: T): Promise<T> => await Promise.resolve(value);
  const kept = concurrentLimited({ limit: 1 })(identity);
  same<typeof kept, typeof identity>(true);
  const text: "text" = await kept("text");
  assert.equal(text, "text");
  const find = cancellable((id: number, _?: { signal?: AbortSignal }): Promise<string> =>
    Promise.resolve(`${id}`)
  );
  same<ReturnType<typeof find>, Promise<string>>(true);
  same<Parameters<typeof find>, [id: number, _?: { signal?: AbortSignal }]>(true);
  assert.ok(plain.length > 0);
});

test("what does not return a promise is refused", () => {
  for (const decorator of plain.slice(0, 1)) {
    // @ts-expect-error: A function that returns at once.
    assert.equal(typeof decorator((n: number) => 2 * n), "function");
    // @ts-expect-error: A promise or not.
    assert.equal(typeof decorator((n: number): number | Promise<number> => 2 * n), "function");
  }
});

test("key is called with the first arguments, and has to fit them", () => {
  const byId = { key: (id: number): string => `${id}` };
  const limited = rateLimited({ limit: 1, intervalMs: 1, ...byId });
  limited((_id: number) => Promise.resolve());
  limited((_id: number, _options: { signal: AbortSignal }) => Promise.resolve());
  limited((_id: number | string) => Promise.resolve());
  // @ts-expect-error: The key is made of a number.
  limited((_id: string) => Promise.resolve());
  // @ts-expect-error: The key is made of a number.
  concurrentLimited(limiter, byId)((_id: string) => Promise.resolve());
  // @ts-expect-error: The key is made of a number.
  circuitBroken(byId)((_id: string) => Promise.resolve());
  // @ts-expect-error: The key is made of a number.
  cached(byId)((_id: string) => Promise.resolve());
  // @ts-expect-error: Keys of a rate limiter are strings.
  rateLimited({ limit: 1, intervalMs: 1, key: (id: number) => id });
});

test("structures of another kind are refused", () => {
  // @ts-expect-error: A rate limiter does not limit how many run.
  concurrentLimited(rates);
  // @ts-expect-error: A limiter knows no rates.
  rateLimited(limiter);
});

test("a cache that is given has keys and values of its own types", () => {
  const names = new AsyncCache<number, string>();
  const byId = cached(names, { key: (id: number) => id });
  byId((_id: number) => Promise.resolve("Ada"));
  // @ts-expect-error: The cache has strings.
  byId((_id: number) => Promise.resolve(5));
  // @ts-expect-error: The keys of the cache are numbers.
  cached(names, { key: (id: number) => `${id}` });
  cached({ ttlMs: (name: string) => name.length })((_id: number) => Promise.resolve("Ada"));
  // @ts-expect-error: The TTL is made of a string.
  cached({ ttlMs: (name: string) => name.length })((_id: number) => Promise.resolve(5));
});

test("batched makes a function of one item, without the errors", async () => {
  const load = batched()((ids: readonly number[]) =>
    Promise.resolve(ids.map((id) => id > 0 ? "a" : new Error("b")))
  );
  same<Parameters<typeof load>, [item: number, options?: BatchedCallOptions]>(true);
  const one: Promise<string> = load(1);
  assert.equal(await one, "a");
  // @ts-expect-error: The errors are thrown.
  const none: Promise<Error> = load(2);
  await none;
  // @ts-expect-error: One item.
  await load([1]).catch(() => {});
  // @ts-expect-error: One result for each item.
  batched()((ids: readonly number[]) => Promise.resolve(ids.length));
  const named = batched({ weight: (name: string) => name.length });
  named((names: readonly string[]) => Promise.resolve(new Map(names.map((name) => [name, name]))));
  // @ts-expect-error: The weight is that of a string.
  named((ids: readonly number[]) => Promise.resolve(ids));
});
