import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as app from "../../src/app/mod.ts";
import * as database from "../../src/database/mod.ts";
import * as decorate from "../../src/decorate/mod.ts";
import { batched, cached, cancellable, circuitBroken } from "../../src/decorate/mod.ts";
import { concurrentLimited, type Decorator, rateLimited } from "../../src/decorate/mod.ts";
import * as flow from "../../src/flow/mod.ts";
import { contextOf, noMethods } from "./_work.ts";

const rate = { limit: 1_000, intervalMs: 1_000 };

/** Each decorator that keeps signatures, ready for use. */
const all: readonly [string, Decorator][] = [
  ["cancellable", cancellable],
  ["cancellable, with a signal", cancellable({ signal: new AbortController().signal })],
  ["timeoutHandler", flow.timeoutHandler(1_000)],
  ["retry", flow.retry()],
  ["rateLimited", rateLimited(rate)],
  ["rateLimited, given one", rateLimited(new flow.RateLimiter(rate))],
  ["concurrentLimited", concurrentLimited({ limit: 1_000 })],
  ["concurrentLimited, for each object", concurrentLimited({ limit: 1_000, per: "instance" })],
  ["concurrentLimited, given a bulkhead", concurrentLimited(new flow.Bulkhead({ limit: 1_000 }))],
  ["circuitBroken", circuitBroken()],
  ["circuitBroken, with a key", circuitBroken({ key: String })],
  ["cached", cached({ key: () => ({}) })],
];

describe("every decorator", () => {
  for (const [name, decorator] of all) {
    test(`${name}: keeps this, arguments, name and length, and leaves the function alone`, async () => {
      const object = {
        base: 10,
        async add(this: { base: number }, a: number, b: number): Promise<number> {
          return await Promise.resolve(this.base + a + b);
        },
      };
      const add = decorator(object.add, contextOf("method"));
      assert.equal(await add.call(object, 1, 2), 13);
      assert.deepEqual([add.name, add.length], ["add", 2]);
      assert.notEqual(add, object.add);
    });

    test(`${name}: a function may have a name that is no string, which names nothing`, async () => {
      const odd = Object.defineProperty(() => Promise.resolve("fine"), "name", { value: 5 });
      assert.equal(await decorator(odd)(), "fine");
    });

    test(`${name}: passes errors on as they are, thrown at once or later`, async () => {
      for (const error of [new Error("mine"), "text", null, undefined]) {
        const thrown = decorator((): Promise<never> => {
          throw error;
        });
        assert.equal(await thrown().then(() => "fine", (error) => error), error);
        const rejected = decorator(() => Promise.reject(error));
        assert.equal(await rejected().then(() => "fine", (error) => error), error);
      }
    });

    test(`${name}: an aborted signal is refused first, with its reason`, async () => {
      for (const reason of ["enough", null, new Error("enough")]) {
        const never = decorator((_: { signal: AbortSignal }): Promise<void> => assert.fail("it ran"));
        assert.equal(await never({ signal: AbortSignal.abort(reason) }).catch((e) => e), reason);
      }
    });

    test(`${name}: the function gets a signal of its own in the options bag`, async () => {
      const { signal } = new AbortController();
      const bag = Object.freeze({ signal, deep: true });
      const given = await decorator((_id: number, bag: { signal: AbortSignal; deep: boolean }) =>
        Promise.resolve(bag)
      )(1, bag);
      assert.equal(given.deep, true);
      assert.ok(given.signal instanceof AbortSignal);
      assert.notEqual(given.signal, signal);
    });

    test(`${name}: refuses what is no method and no function`, () => {
      for (const [kind, value] of noMethods) {
        assert.throws(() => decorator(value as never, contextOf(kind)), {
          name: "TypeError",
          message: `Cannot decorate as it must be a method: received ${JSON.stringify(kind)}`,
        });
      }
      for (const wrong of [undefined, null, 5, "fn", {}]) {
        assert.throws(() => decorator(wrong as never, contextOf("method")), TypeError);
      }
    });
  }

  test("says so where TypeScript's own decorators are switched on", () => {
    const legacy = flow.retry() as unknown as (target: object, name: string, descriptor: object) => unknown;
    assert.throws(() => legacy({}, "load", {}), {
      name: "TypeError",
      message: /switch experimentalDecorators off$/,
    });
  });

  test("is refused when it was not called first", () => {
    const method = (): Promise<void> => Promise.resolve();
    const makers = { cached, circuitBroken, concurrentLimited, rateLimited };
    for (const [name, make] of Object.entries(makers)) {
      assert.throws(
        () => (make as unknown as Decorator)(method, contextOf("method")),
        {
          name: "TypeError",
          message: /^Cannot decorate as the [a-z ]+ must be given first: received the method/,
        },
        name,
      );
    }
    assert.throws(() => (batched as unknown as Decorator)(method, contextOf("method")), TypeError);
    const { retry, timeoutHandler, hedge, fallback } = flow;
    for (const [name, make] of Object.entries({ retry, timeoutHandler, hedge, fallback })) {
      assert.throws(() => (make as unknown as Decorator)(method, contextOf("method")), {
        name: "TypeError",
        message: `Cannot decorate as ${name} must be called first: received the method itself`,
      });
    }
  });
});

test("what decorates as it stands is the very same behind its own door", () => {
  assert.equal(decorate.retry, flow.retry);
  assert.equal(decorate.timeoutHandler, flow.timeoutHandler);
  assert.equal(decorate.asTask, app.asTask);
  assert.equal(decorate.transactional, database.transactional);
});
