import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { deferred, ignore, isThenable } from "../../src/kernel/deferred.ts";

describe("deferred", () => {
  test("settles its promise from outside, once", async () => {
    const one = deferred<number>();
    one.resolve(1);
    one.reject(new Error("too late"));
    assert.equal(await one.promise, 1);
    const two = deferred<number>();
    two.reject("no");
    two.resolve(2);
    await assert.rejects(two.promise, (reason) => reason === "no");
  });

  test("works where the platform has no Promise.withResolvers", async () => {
    const platform = Object.getOwnPropertyDescriptor(Promise, "withResolvers");
    Object.defineProperty(Promise, "withResolvers", { value: undefined, configurable: true });
    try {
      const { promise, resolve, reject } = deferred<string>();
      resolve("by hand");
      reject(new Error("too late"));
      assert.equal(await promise, "by hand");
    } finally {
      Reflect.deleteProperty(Promise, "withResolvers");
      if (platform !== undefined) Object.defineProperty(Promise, "withResolvers", platform);
    }
  });
});

test("isThenable knows what can be awaited", () => {
  const then = (): void => {};
  for (const value of [Promise.resolve(), { then }, Object.assign(() => {}, { then })]) {
    assert.equal(isThenable(value), true);
  }
  for (const value of [undefined, null, 1, "then", {}, { then: true }, () => {}]) {
    assert.equal(isThenable(value), false);
  }
});

test("ignore handles a rejection", async () => {
  assert.equal(await Promise.reject(new Error("reported elsewhere")).catch(ignore), undefined);
});
