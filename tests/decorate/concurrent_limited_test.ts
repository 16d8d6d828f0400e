import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concurrentLimited } from "../../src/decorate/mod.ts";
import { Bulkhead, Limiter, QueueFullError } from "../../src/flow/mod.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { Work } from "./_work.ts";

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await undefined;
};

/** Calls them all, ends their work one after another, and tells how many ran at once. */
async function mostAtOnce(work: Work, calls: readonly (() => Promise<unknown>)[]): Promise<number> {
  const all = Promise.all(calls.map((call) => call()));
  let over = false;
  all.finally(() => over = true).catch(ignore);
  while (!over) {
    await turns();
    work.end();
  }
  await all;
  return work.most;
}

describe("concurrentLimited", () => {
  test("lets so many run at once, and gives results to those who called", async () => {
    const work = new Work();
    const limited = concurrentLimited({ limit: 2 })((id: number) => work.run(id));
    const all = Promise.all([1, 2, 3, 4, 5].map((id) => limited(id)));
    const calls = [1, 2, 3].map((id) => () => limited(id));
    assert.equal(await mostAtOnce(work, calls), 2);
    assert.deepEqual(await all, [1, 2, 3, 4, 5]);
  });

  test("one decorator on two functions makes two limiters, each named after its function", async () => {
    const work = new Work();
    const limited = concurrentLimited({ limit: 1, maxQueue: 0 });
    const first = limited(function first(): Promise<string> {
      return work.run("a");
    });
    const second = limited(function second(): Promise<string> {
      return work.run("b");
    });
    const running = Promise.all([first(), second()]);
    await turns();
    assert.equal(work.running, 2);
    const refusals = await Promise.all([first(), second()].map((call) => call.catch((error) => error)));
    for (const [i, name] of ["first", "second"].entries()) {
      assert.ok(refusals[i] instanceof QueueFullError);
      assert.match(refusals[i].message, new RegExp(`limiter "${name}"`));
    }
    work.end();
    await running;
  });

  test("a name that is given counts more than that of the function", async () => {
    const limited = concurrentLimited({ limit: 0, maxQueue: 0, name: "mine" })(async function own() {});
    await assert.rejects(limited(), /limiter "mine"/);
  });

  test("by default all objects share the limiter; with per: instance each has its own", async () => {
    for (const [per, most] of [["function", 1], [undefined, 1], ["instance", 2]] as const) {
      const work = new Work();
      const method = concurrentLimited({ limit: 1, per })(function (this: unknown): Promise<unknown> {
        return work.run(this);
      });
      const objects = [{ method }, { method }];
      const calls = [...objects, ...objects].map((object) => () => object.method());
      assert.equal(await mostAtOnce(work, calls), most, String(per));
    }
  });

  test("with per: instance, calls on no object share one", async () => {
    const work = new Work();
    const fn = concurrentLimited({ limit: 1, per: "instance" })(() => work.run(0));
    assert.equal(await mostAtOnce(work, [() => fn(), () => fn.call(5), () => fn.call(null)]), 1);
  });

  test("a limiter or bulkhead that is given is shared with all else that goes through it", async () => {
    for (const limiter of [new Limiter({ limit: 1 }), new Bulkhead({ limit: 1, maxQueue: 10 })]) {
      const work = new Work();
      const [a, b] = ["a", "b"].map((id) => concurrentLimited(limiter)(() => work.run(id)));
      assert.equal(await mostAtOnce(work, [a!, b!, () => limiter.run(() => work.run("c"))]), 1);
    }
  });

  test("each object can have a limiter of its own", async () => {
    const work = new Work();
    class Service {
      readonly limiter = new Limiter({ limit: 1 });
      declare run: () => Promise<string>;
    }
    Service.prototype.run = concurrentLimited((self: Service) => self.limiter)(() => work.run("x"));
    const [one, two] = [new Service(), new Service()];
    assert.equal(await mostAtOnce(work, [one, one, two, two].map((service) => () => service.run())), 2);
    assert.deepEqual([one, two].map(({ limiter }) => limiter.statistics().granted), [2, 2]);
  });

  test("an object without one is told so, as a rejection", async () => {
    for (const found of [undefined, null, 5, {}]) {
      const fn = concurrentLimited(() => found as never)(async function send() {});
      await assert.rejects(fn(), {
        name: "TypeError",
        message: /^Cannot call "send" as its limiter must have run: received /,
      });
    }
    const error = new Error("mine");
    const fn = concurrentLimited(() => {
      throw error;
    })(() => Promise.resolve());
    assert.equal(await fn().catch((e) => e), error);
  });

  test("key: those who wait take turns; this and all arguments are known", async () => {
    for (const given of ["options", "limiter"]) {
      const work = new Work();
      const key = function (this: { tenant: string }, id: number): string {
        return this.tenant + Math.sign(id);
      };
      const limited = given === "options"
        ? concurrentLimited({ limit: 1, key })
        : concurrentLimited(new Limiter({ limit: 1 }), { key });
      const run = limited(function (this: { tenant: string }, id: number): Promise<string> {
        return work.run(this.tenant + id);
      });
      const [a, b] = [{ tenant: "a", run }, { tenant: "b", run }];
      await mostAtOnce(work, [
        () => a.run(1),
        () => a.run(2),
        () => a.run(3),
        () => b.run(1),
        () => a.run(-1),
      ]);
      assert.deepEqual(work.begun, ["a1", "a2", "b1", "a-1", "a3"]);
    }
  });

  test("what the key function throws is a rejection; it is not asked for a call that is given up", async () => {
    const error = new Error("no key");
    let asked = 0;
    const fn = concurrentLimited({
      limit: 1,
      key: (): string => {
        asked++;
        throw error;
      },
    })((_?: { signal?: AbortSignal }) => Promise.resolve());
    assert.equal(await fn().catch((e) => e), error);
    assert.equal(await fn({ signal: AbortSignal.abort(null) }).catch((e) => e), null);
    assert.equal(asked, 1);
  });

  test("a call that is given up before it begins is counted, with a key as without", async () => {
    for (const options of [undefined, { key: () => assert.fail("asked") }]) {
      const limiter = new Limiter({ limit: 1 });
      const fn = concurrentLimited(limiter, options)((_: { signal: AbortSignal }): Promise<string> =>
        assert.fail("ran")
      );
      assert.equal(await fn({ signal: AbortSignal.abort("no") }).catch((e) => e), "no");
      assert.deepEqual([limiter.statistics().aborted, limiter.statistics().granted], [1, 0]);
    }
  });

  test("a waiting call is given up by its signal and runs nothing", async () => {
    const work = new Work();
    const fn = concurrentLimited({ limit: 1 })((_: { signal?: AbortSignal }) => work.run(0));
    const first = fn({});
    const controller = new AbortController();
    const second = fn({ signal: controller.signal }).catch((e) => e);
    controller.abort("enough");
    assert.equal(await second, "enough");
    work.end();
    await first;
    assert.equal(work.begun.length, 1);
  });

  test("options are taken when it is made: later changes count for nothing", async () => {
    const work = new Work();
    const options = { limit: 1 };
    const limited = concurrentLimited(options);
    options.limit = 5;
    const fn = limited(() => work.run(0));
    assert.equal(await mostAtOnce(work, [fn, fn, fn]), 1);
  });

  test("bad options are refused when it is made", () => {
    const make = (...args: unknown[]) => () => concurrentLimited(...args as [Limiter]);
    for (
      const wrong of [undefined, null, 5, "2", {}, { limit: "2" }, { limit: 1, per: 1 }, {
        limit: 1,
        key: "id",
      }]
    ) {
      assert.throws(make(wrong), TypeError, JSON.stringify(wrong));
    }
    for (const wrong of [{ limit: -1 }, { limit: NaN }, { limit: 1, per: "class" }]) {
      assert.throws(make(wrong), RangeError, JSON.stringify(wrong));
    }
    for (const wrong of [null, 5, { key: "id" }]) {
      assert.throws(make(new Limiter({ limit: 1 }), wrong), TypeError, JSON.stringify(wrong));
    }
  });
});
