import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CallContext,
  CircuitBreaker,
  ClientThrottle,
  fallback,
  Limiter,
  policy,
  RateLimiter,
  retry,
  type Run,
  timeoutHandler,
  transformer,
} from "../../src/flow/mod.ts";
import type { WaitOptions } from "../../src/kernel/types.ts";
import { world } from "../../src/testing/mod.ts";

/** Runs everything at once, and tells what it was given. */
function recorder() {
  const own = new AbortController().signal;
  const given: (WaitOptions | undefined)[] = [];
  const run: Run<CallContext> = {
    async run(fn, options) {
      given.push(options);
      return await fn({ signal: own });
    },
  };
  return { own, given, policy: transformer(run), run };
}

test("transformer keeps this, arguments, name and length, and leaves the function alone", async () => {
  const { policy, given } = recorder();
  const object = {
    base: 10,
    async add(this: { base: number }, a: number, b: number) {
      return await Promise.resolve(this.base + a + b);
    },
  };
  const add = policy(object.add);
  assert.equal(await add.call(object, 1, 2), 13);
  assert.deepEqual([add.name, add.length], ["add", 2]);
  assert.notEqual(add, object.add);
  assert.deepEqual(given, [undefined]);
});

test("transformer: an options bag with a signal is obeyed, and gets the policy's own", async () => {
  const { policy, own, given } = recorder();
  const load = policy(async (_id: number, options: { signal?: AbortSignal; deep: boolean }) =>
    await Promise.resolve(options)
  );
  const { signal } = new AbortController();
  const bag = Object.freeze({ signal, deep: true });
  assert.deepEqual(await load(1, bag), { signal: own, deep: true });
  assert.equal(given[0]!.signal, signal);
  // A bag whose signal is left open gets one too; one without is passed on as it is.
  assert.equal((await load(1, { signal: undefined, deep: false })).signal, own);
  const without = { deep: true };
  assert.equal(await load(1, without), without);
  assert.deepEqual(given.slice(1), [undefined, undefined]);
});

test("transformer: other arguments are passed on untouched", async () => {
  const { policy, given } = recorder();
  const same = policy(async (...args: unknown[]) => await Promise.resolve(args));
  class Context {
    readonly #controller = new AbortController();
    get signal(): AbortSignal {
      return this.#controller.signal;
    }
  }
  const context = new Context();
  for (
    const args of [[], [null], ["text"], [{ signal: "red" }], [[1]], [{
      signal: new AbortController().signal,
    }, 1]]
  ) {
    const passed = await same(...args);
    assert.equal(passed.length, args.length);
    passed.forEach((value, i) => assert.equal(value, args[i]));
  }
  assert.equal(given.filter((options) => options !== undefined).length, 0);
  assert.equal((await same(context))[0], context, "an object of a class is no options bag");
  assert.equal(given.at(-1)!.signal, context.signal, "but its signal is obeyed");
});

test("transformer has the policy's run, and works as a method decorator", async () => {
  const { policy, own } = recorder();
  assert.equal(await policy.run(({ signal }) => signal), own);
  class Service {
    base = 1;
    async load(id: number): Promise<number> {
      return await Promise.resolve(this.base + id);
    }
  }
  // What the language does for `@policy`.
  const context = { kind: "method", name: "load" } as unknown as ClassMethodDecoratorContext;
  Service.prototype.load = policy(Service.prototype.load, context);
  assert.equal(await new Service().load(4), 5);
  const field = { kind: "field", name: "x" } as unknown as ClassMethodDecoratorContext;
  assert.throws(() => policy(async () => {}, field), {
    name: "TypeError",
    message: 'Cannot decorate as it must be a method: received "field"',
  });
});

test("transformer refuses what has no run, and what is no function", () => {
  for (const wrong of [undefined, {}, 5]) assert.throws(() => transformer(wrong as never), TypeError);
  assert.throws(() => recorder().policy(undefined as never), {
    message: "Cannot transform as fn must be a function: received undefined",
  });
});

test("transformer: what the function throws comes through as it is, thrown at once or later", async () => {
  const limited = transformer(new Limiter({ limit: 1 }));
  const error = new Error("mine");
  const fail = limited((): Promise<never> => {
    throw error;
  });
  await assert.rejects(fail(), (e) => e === error);
  await assert.rejects(limited(() => Promise.reject(error))(), (e) => e === error);
});

test("transformer: all functions under one policy share it; an abort of the bag's signal gives up the wait", async () => {
  const limiter = new Limiter({ limit: 1 });
  const limited = transformer(limiter);
  let [running, most] = [0, 0];
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
  };
  const [a, b] = [limited(work), limited(() => work())];
  await Promise.all([a(), b(), a()]);
  assert.equal(most, 1);
  const lease = limiter.tryAcquire()!;
  const controller = new AbortController();
  const waiting = limited(async (_: { signal: AbortSignal }) => await work())({ signal: controller.signal });
  controller.abort("enough");
  assert.equal(await waiting.catch((e) => e), "enough");
  lease.release();
});

test("transformer keeps generic signatures", async () => {
  const { policy } = recorder();
  const identity = policy(async <T>(value: T): Promise<T> => await Promise.resolve(value));
  const text: string = await identity("text");
  const number: number = await identity(5);
  assert.deepEqual([text, number], ["text", 5]);
});

test("time limits of policies say what the work was waiting for, and what was in the way", () =>
  world(async () => {
    const slots = new Limiter({ limit: 1, name: "mail" });
    using _busy = await slots.acquire({ label: "report" });
    const waits = /it was still waiting to enter limiter "mail": 1 of 1 in use, 1 waiting/;
    const work = ({ signal }: { signal: AbortSignal }) => slots.run(() => {}, { signal });
    const limited = { timeoutMs: 20 };
    await assert.rejects(policy(timeoutHandler(20), slots).run(() => {}), waits);
    await assert.rejects(new RateLimiter({ limit: 5, intervalMs: 1_000 }).run(work, limited), waits);
    await assert.rejects(new CircuitBreaker().run(work, limited), waits);
    await assert.rejects(new Limiter({ limit: 5 }).run(work, limited), waits);
    await assert.rejects(new ClientThrottle().run(work, limited), waits);
    await assert.rejects(fallback(work, { to: () => {}, ...limited }), waits);
    await assert.rejects(retry(work, { attempts: 1, attemptTimeoutMs: 20 }), waits);
  }));
