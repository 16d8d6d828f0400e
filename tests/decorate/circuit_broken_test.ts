import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { circuitBroken } from "../../src/decorate/mod.ts";
import { CircuitBreaker, CircuitOpenError, KeyedCircuitBreaker } from "../../src/flow/mod.ts";

const down = new Error("down");
const fail = (..._: unknown[]): Promise<never> => Promise.reject(down);
const isOpen = async (call: Promise<unknown>): Promise<boolean> =>
  await call.then(() => false, (error) => error instanceof CircuitOpenError);

describe("circuitBroken", () => {
  test("refuses calls while they fail, and says which function's", async () => {
    const fn = circuitBroken({ failures: 2 })(function charge(_cents: number): Promise<never> {
      return fail();
    });
    for (const cents of [1, 2]) assert.equal(await fn(cents).catch((e) => e), down);
    await assert.rejects(fn(3), { name: "CircuitOpenError", message: /^Cannot call "charge": circuit open/ });
  });

  test("one decorator on two functions makes two breakers", async () => {
    const broken = circuitBroken({ failures: 1 });
    const [a, b] = [broken(() => fail()), broken(() => Promise.resolve("fine"))];
    await a().catch(() => {});
    assert.ok(await isOpen(a()));
    assert.equal(await b(), "fine");
  });

  test("by default all objects share the breaker; with per: instance each has its own", async () => {
    for (const [per, shared] of [["function", true], ["instance", false]] as const) {
      const method = circuitBroken({ failures: 1, per })(() => fail());
      const [one, two] = [{ method }, { method }];
      await one.method().catch(() => {});
      assert.deepEqual([await isOpen(one.method()), await isOpen(two.method())], [true, shared]);
    }
  });

  test("key: each has a breaker to itself", async () => {
    const key = (host: string): string => host;
    for (
      const broken of [
        circuitBroken({ failures: 1, key }),
        circuitBroken(new KeyedCircuitBreaker({ failures: 1 }), { key }),
        circuitBroken((self: KeyedCircuitBreaker) => self, { key }),
      ]
    ) {
      const self = new KeyedCircuitBreaker({ failures: 1 });
      const fn = broken((host: string) => host === "a" ? fail() : Promise.resolve(host)).bind(self);
      await fn("a").catch(() => {});
      assert.ok(await isOpen(fn("a")));
      assert.equal(await fn("b"), "b");
    }
  });

  test("no key is asked for a call that is given up before it begins: it gets the reason", async () => {
    const key = (): never => assert.fail("asked");
    const breaker = new KeyedCircuitBreaker({ failures: 1 });
    for (const broken of [circuitBroken({ failures: 1, key }), circuitBroken(breaker, { key })]) {
      const fn = broken((_: { signal: AbortSignal }): Promise<string> => assert.fail("called"));
      assert.equal(await fn({ signal: AbortSignal.abort("no") }).catch((e) => e), "no");
    }
    assert.equal(breaker.statistics().keys, 0);
  });

  test("a breaker that is given is shared", async () => {
    const breaker = new CircuitBreaker({ failures: 1 });
    const [a, b] = [circuitBroken(breaker)(() => fail()), circuitBroken(breaker)(() => Promise.resolve())];
    await a().catch(() => {});
    assert.ok(await isOpen(b()));
    breaker.reset();
    await b();
  });

  test("each object can have a breaker of its own", async () => {
    const method = circuitBroken((self: { breaker: CircuitBreaker }) => self.breaker)(() => fail());
    const [one, two] = [0, 1].map(() => ({ breaker: new CircuitBreaker({ failures: 1 }), method }));
    await one!.method().catch(() => {});
    assert.deepEqual([one!.breaker.state, two!.breaker.state], ["open", "closed"]);
  });

  test("a call that is given up is no failure", async () => {
    const breaker = new CircuitBreaker({ failures: 1 });
    const fn = circuitBroken(breaker)((_: { signal: AbortSignal }) => new Promise<void>(() => {}));
    const controller = new AbortController();
    const call = fn({ signal: controller.signal }).catch((e) => e);
    controller.abort("enough");
    assert.equal(await call, "enough");
    const { state, aborted, failed } = breaker.statistics();
    assert.deepEqual([state, aborted, failed], ["closed", 1, 0]);
  });

  test("bad options are refused when it is made", () => {
    for (const wrong of [null, 5, { failures: "2" }, { key: "host" }, { per: true }]) {
      assert.throws(() => circuitBroken(wrong as never), TypeError, JSON.stringify(wrong));
    }
    assert.throws(() => circuitBroken(new KeyedCircuitBreaker()), {
      name: "TypeError",
      message: "Cannot create circuit broken as key must be given with a keyed breaker: received undefined",
    });
    for (const wrong of [{ failures: 0 }, { openMs: NaN }, { key: String, idleMs: -1 }, { per: "" }]) {
      assert.throws(() => circuitBroken(wrong as never), RangeError, JSON.stringify(wrong));
    }
  });
});
