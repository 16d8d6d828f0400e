import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep, timeout } from "../../src/cancel/mod.ts";
import { AsyncCache } from "../../src/flow/async_cache.ts";
import { Bulkhead } from "../../src/flow/bulkhead.ts";
import { CircuitBreaker } from "../../src/flow/circuit_breaker.ts";
import { CircuitOpenError } from "../../src/flow/circuit_open_error.ts";
import { fallback } from "../../src/flow/fallback.ts";
import { hedge } from "../../src/flow/hedge.ts";
import { KeyedCircuitBreaker } from "../../src/flow/keyed_circuit_breaker.ts";
import { Limiter } from "../../src/flow/limiter.ts";
import { policy, type PolicyContext } from "../../src/flow/pipeline.ts";
import { type CallContext, type Run, transformer } from "../../src/flow/policy.ts";
import { RateLimiter } from "../../src/flow/rate_limiter.ts";
import { retry } from "../../src/flow/retry.ts";
import { RetryBudget } from "../../src/flow/retry_budget.ts";
import { timeoutHandler } from "../../src/flow/timeout_handler.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe } from "../../src/kernel/observer.ts";
import type { WaitOptions } from "../../src/kernel/types.ts";
import { explore, sweep, world } from "../../src/testing/mod.ts";

const down = new Error("down");
const quick = { baseMs: 10, jitter: "none", kind: "constant" } as const;

/** A policy of somebody else, which notes what it was given. */
function foreign(context: unknown = { signal: new AbortController().signal }) {
  const given: (WaitOptions | undefined)[] = [];
  const run: Run<CallContext>["run"] = async (fn, options) => {
    given.push(options);
    return await fn(context as CallContext);
  };
  return { run, given };
}

/** Stands for a limiter, a rate limiter or a cache, by what it can do. */
const pass: Run<CallContext>["run"] = async (fn) => await fn({ signal: new AbortController().signal });
const nothing = (): void => {};
const limiter = (name: string) => ({ run: pass, resize: nothing, onIdle: nothing, name });
const rateLimiter = (name: string) => ({ run: pass, waitMs: nothing, pauseFor: nothing, name });
const cache = () => {
  const entries = new Map<unknown, unknown>();
  return {
    entries,
    peek: nothing,
    get: async (key: unknown, load: (key: unknown, context: CallContext) => unknown) => {
      if (!entries.has(key)) entries.set(key, await load(key, { signal: new AbortController().signal }));
      return entries.get(key);
    },
  };
};

describe("policy", () => {
  test("refuses what is no policy where it is made, and what is no function", async () => {
    assert.throws(() => policy(), {
      message: "Cannot create policy as policies must be given: received none",
    });
    for (const wrong of [null, undefined, 5, {}, () => 1]) {
      assert.throws(() => policy(retry(), wrong as never), {
        name: "TypeError",
        message: /^Cannot create policy as policies\[1\] must have run: received /,
      });
    }
    const pipeline = policy(retry());
    await assert.rejects(pipeline.run(5 as never), TypeError);
    await assert.rejects(pipeline.run(() => 1, null as never), TypeError);
    await assert.rejects(pipeline.run(() => 1, { timeoutMs: NaN }), RangeError);
    await assert.rejects(pipeline.run(() => 1, { signal: 5 as never }), TypeError);
  });

  test("works from the outside in, with one context for all", async () => {
    await world(async (w) => {
      const breaker = new CircuitBreaker({ failures: 5 });
      const careful = policy(
        fallback({ to: () => "instead" }),
        timeoutHandler(1_000),
        retry({ ...quick, attempts: 3 }),
        breaker,
        hedge({ delayMs: 30 }),
        timeoutHandler(100),
      );
      assert.deepEqual(careful.warnings, []);
      const seen: unknown[] = [];
      const call = careful.run(async ({ attempt, hedge, lastError, elapsedMs, remainingMs, key, signal }) => {
        seen.push([attempt, hedge, lastError, elapsedMs, remainingMs, key]);
        if (attempt === 1) throw down;
        await sleep(hedge === 1 ? 500 : 5, { signal });
        return "hedged";
      }, { key: "ada" });
      assert.equal(await call, "hedged");
      assert.deepEqual(seen, [
        [1, 1, undefined, 0, 100, "ada"],
        [1, 2, undefined, 0, 100, "ada"],
        [2, 1, down, 10, 100, "ada"],
        [2, 2, down, 40, 100, "ada"],
      ]);
      assert.equal(w.now, 45);
      assert.equal(breaker.statistics().failed, 1, "the hedge's answer, not each attempt");
    });
  });

  test("a breaker inside of a retry counts attempts, one outside counts calls", async () => {
    await world(async () => {
      const [inside, outside] = [new CircuitBreaker({ name: "in" }), new CircuitBreaker({ name: "out" })];
      await policy(outside, retry(quick), inside).run(() => Promise.reject(down)).catch(() => {});
      assert.deepEqual([inside.statistics().failed, outside.statistics().failed], [3, 1]);
    });
  });

  test("deadlines reach all: retry does not pause past that of the whole, TO-02 the outer one fires first", async () => {
    await world(async (w) => {
      const careful = policy(timeoutHandler(1_000, { operation: "whole" }), retry({ ...quick, baseMs: 900 }));
      const call = careful.run(async () => {
        await sleep(500);
        throw down;
      });
      await assert.rejects(call, (error) => error === down);
      assert.equal(w.now, 500);
      const nested = policy(
        timeoutHandler(100, { operation: "outer" }),
        timeoutHandler(500, { operation: "inner" }),
      );
      await assert.rejects(nested.run(({ signal }) => sleep(1_000, { signal })), { operation: "outer" });
      // The caller's own, through a signal.
      await timeout(50, async ({ signal }) => {
        await careful.run(({ remainingMs }) => assert.equal(remainingMs, 50), { signal });
      });
    });
  });

  test("an abort reaches the work through all of them, and is neither retried nor made good", async () => {
    await world(async (w) => {
      const breaker = new CircuitBreaker({ failures: 1 });
      const careful = policy(
        fallback({ to: () => assert.fail("called") }),
        retry(quick),
        breaker,
        hedge({ delayMs: 10 }),
        timeoutHandler(1_000),
      );
      for (const reason of ["stop", null, new Error("mine")]) {
        const controller = new AbortController();
        const reasons: unknown[] = [];
        const call = careful.run(({ signal }) => {
          signal.addEventListener("abort", () => reasons.push(signal.reason));
          return sleep(500); // deaf
        }, { signal: controller.signal });
        await w.advance(15);
        controller.abort(reason);
        assert.equal(await call.then(() => assert.fail(), (error) => error), reason);
        assert.deepEqual(reasons, [reason, reason]);
        await w.advance(1_000);
      }
      assert.deepEqual([breaker.state, breaker.statistics().aborted], ["closed", 3]);
    });
  });

  test("timeoutMs bounds the whole call", async () => {
    await world(async (w) => {
      const careful = policy(retry({ ...quick, attempts: 100 }), new CircuitBreaker({ failures: 1_000 }));
      await assert.rejects(
        careful.run(() => sleep(40).then(() => Promise.reject(down)), { timeoutMs: 120 }),
        {
          name: "TimeoutError",
          limitMs: 120,
          cause: down,
        },
      );
      assert.equal(w.now, 120);
      await w.advance(100);
    });
  });

  test("makes no signal that nobody reads", async () => {
    const { AbortController } = globalThis;
    let made = 0;
    globalThis.AbortController = class extends AbortController {
      constructor() {
        super();
        made++;
      }
    };
    try {
      const careful = policy(retry(), new CircuitBreaker(), timeoutHandler(1_000));
      assert.equal(await careful.run(async () => await Promise.resolve(5)), 5);
      assert.equal(made, 0);
      await careful.run(({ signal }) => signal.aborted);
      assert.equal(made, 1);
    } finally {
      globalThis.AbortController = AbortController;
    }
  });

  test("the key goes to all, the options of others' policies too, a limit only to the outermost", async () => {
    await world(async () => {
      const [outer, inner] = [foreign(), foreign()];
      const hosts = new KeyedCircuitBreaker({ failures: 1 });
      const careful = policy(outer, hosts, inner);
      await careful.run(() => 1, { key: "a", priority: 3, timeoutMs: 50 });
      assert.deepEqual(outer.given, [{ key: "a", priority: 3, timeoutMs: 50 }]);
      const { signal, ...rest } = inner.given[0] as WaitOptions;
      assert.deepEqual([rest, signal instanceof AbortSignal], [{ key: "a", priority: 3 }, true]);
      await careful.run(() => Promise.reject(down), { key: "b" }).catch(() => {});
      await assert.rejects(careful.run(() => 1, { key: "b" }), CircuitOpenError);
      assert.equal(await careful.run(() => 1, { key: "a" }), 1);
    });
  });

  test("takes policies of others that give no context, or a strange one", async () => {
    for (const context of [undefined, null, 5, {}]) {
      const seen = await policy(retry(), foreign(context), foreign(context)).run((own) => own);
      assert.deepEqual([seen.attempt, seen.hedge, seen.signal.aborted, seen.key], [1, 1, false, undefined]);
      assert.equal(seen.remainingMs, Infinity);
    }
  });

  test("a signal gets through policies of others that give none on", async () => {
    for (const context of [null, 5, {}, { signal: undefined }]) {
      await world(async (w) => {
        const full = new Limiter({ limit: 1 });
        const lease = await full.acquire();
        for (const parts of [[foreign(context)], [retry(quick), foreign(context), timeoutHandler(1_000)]]) {
          const waiting = policy(...parts, full);
          const controller = new AbortController();
          const call = waiting.run(() => assert.fail("ran"), { signal: controller.signal });
          await w.idle();
          controller.abort("away");
          assert.equal(await call.catch((error) => error), "away");
          const limited = timeout(50, ({ signal }) => waiting.run(() => assert.fail("ran"), { signal }));
          await assert.rejects(limited, TimeoutError);
          await w.idle();
          assert.equal(full.statistics().waiting, 0);
        }
        lease.release();
      });
    }
  });

  test("commit reaches the retry around the work", async () => {
    await world(async () => {
      let calls = 0;
      const call = policy(retry(quick), new CircuitBreaker(), timeoutHandler(100)).run((context) => {
        calls++;
        context.commit();
        return Promise.reject(down);
      });
      await assert.rejects(call, (error) => error === down);
      assert.equal(calls, 1);
    });
  });

  test("a cache is asked for the cacheKey, and what is inside runs when it has nothing", async () => {
    const store = cache();
    const cached = policy(store, retry());
    let loads = 0;
    const load = () => `value ${++loads}`;
    assert.equal(await cached.run(load, { cacheKey: "a" }), "value 1");
    assert.equal(await cached.run(load, { cacheKey: "a" }), "value 1");
    assert.equal(await cached.run(load, { cacheKey: "b" }), "value 2");
    await assert.rejects(cached.run(load), {
      message: "Cannot run policy as cacheKey must be given, for its cache: received undefined",
    });
  });

  test("the library's own limiters and caches are parts like others", async () => {
    await world(async (w) => {
      const users = new AsyncCache<string, string>();
      const rates = new RateLimiter({ limit: 1, intervalMs: 1_000 });
      const slots = new Limiter({ limit: 1 });
      const careful = policy(
        users,
        rates,
        slots,
        new Bulkhead({ limit: 5 }),
        retry(quick),
        timeoutHandler(500),
      );
      assert.deepEqual(careful.warnings, []);
      const load = async ({ key, attempt, signal }: PolicyContext) => {
        await sleep(10, { signal });
        if (attempt === 1) throw down;
        return `${key} at ${w.now}`;
      };
      const [a, b] = await Promise.all([
        careful.run(load, { key: "a", cacheKey: "a" }),
        careful.run(load, { key: "b", cacheKey: "b" }),
      ]);
      assert.equal(await careful.run(load, { key: "a", cacheKey: "a" }), a);
      assert.deepEqual([a, b], ["a at 30", "b at 60"]);
      assert.equal(slots.statistics().inUse, 0);
      const controller = new AbortController();
      const call = careful.run(load, { key: "c", cacheKey: "c", signal: controller.signal });
      controller.abort("gone");
      assert.equal(await call.catch((error) => error), "gone");
      await w.idle();
      assert.equal(slots.statistics().inUse, 0);
      await users.close();
    });
  });

  test("pipelines can be parts of others", async () => {
    await world(async () => {
      const inner = policy(retry(quick), new CircuitBreaker());
      const outer = policy(timeoutHandler(500), inner);
      let calls = 0;
      const answer = await outer.run(({ attempt }) => {
        if (++calls < 3) throw down;
        return attempt;
      });
      assert.equal(answer, 3);
      assert.match(policy(inner, inner).warnings.join("\n"), /retry stands inside itself/);
    });
  });

  test("works on functions, and as a decorator of methods", async () => {
    await world(async () => {
      let calls = 0;
      const load = policy(retry(quick), timeoutHandler(100))(
        async function load(id: number, { signal }: { signal?: AbortSignal }) {
          assert.equal(signal!.aborted, false);
          if (++calls < 3) throw down;
          return await Promise.resolve(id);
        },
      );
      assert.deepEqual([await load(7, { signal: new AbortController().signal }), load.name], [7, "load"]);
    });
  });

  test("FB-06: shared policies share their state, calls nothing: one's abort is not the other's", async () => {
    await world(async (w) => {
      const breaker = new CircuitBreaker({ failures: 1 });
      const [reads, writes] = [policy(retry(quick), breaker), policy(timeoutHandler(500), breaker)];
      const controller = new AbortController();
      const signals: AbortSignal[] = [];
      const work = async ({ signal }: PolicyContext) => {
        signals.push(signal);
        await sleep(100, { signal });
        return "done";
      };
      const given = reads.run(work, { signal: controller.signal });
      const [same, other] = [reads.run(work), writes.run(work)];
      await w.advance(10);
      controller.abort("mine");
      assert.equal(await given.catch((error) => error), "mine");
      assert.deepEqual(await Promise.all([same, other]), ["done", "done"]);
      assert.deepEqual(signals.map((signal) => signal.aborted), [true, false, false]);
      await writes.run(() => Promise.reject(down)).catch(() => {});
      await assert.rejects(reads.run(() => assert.fail("called")), CircuitOpenError);
    });
  });

  test("RT-10: of a budget that retry and hedge share, a call pays once", async () => {
    await world(async () => {
      const budget = new RetryBudget({ ratio: 0.2, minPerSecond: 10 });
      const careful = policy(
        retry({ ...quick, baseMs: 0, attempts: 4, budget }),
        hedge({ delayMs: 0, max: 3, budget }),
      );
      let made = 0;
      await Promise.all(Array.from({ length: 1_000 }, () =>
        careful.run(() => {
          made++;
          return Promise.reject(down);
        }).catch((error) => assert.equal(error, down))));
      assert.equal(made, 1_210);
      assert.equal(budget.statistics().deposits, 1_000);
    });
  });

  test("an abort at any point ends the whole of it and leaves nothing behind", async () => {
    const { points } = await sweep(async (signal) => {
      const careful = policy(
        fallback({ to: ({ signal }) => sleep(5, { signal }) }),
        timeoutHandler(500),
        retry({ ...quick, attempts: 2 }),
        new CircuitBreaker(),
        hedge({ delayMs: 3 }),
        timeoutHandler(100),
      );
      await careful.run(async ({ signal }) => {
        await sleep(5, { signal });
        throw down;
      }, { signal });
    }, () => true);
    assert.ok(points > 20, `${points}`);
  });

  test("in any order of events, contexts don't mix", async () => {
    await explore(async () => {
      const careful = policy(retry({ baseMs: 3, attempts: 4 }), new CircuitBreaker(), hedge({ delayMs: 2 }));
      await Promise.all(["a", "b", "c"].map(async (key) => {
        const errors: unknown[] = [];
        const answer = await careful.run(async ({ attempt, hedge, lastError, key: own, signal }) => {
          assert.equal(own, key);
          assert.equal(lastError, errors[attempt - 2]);
          await sleep(4 - hedge, { signal });
          if (attempt === 3) return key;
          throw errors[attempt - 1] ??= new Error(`${key} ${attempt}`);
        }, { key });
        assert.equal(answer, key);
      }));
    }, { runs: 60 });
  });
});

describe("policy.warnings", () => {
  const inOrder = (...parts: Parameters<typeof policy>) => policy(...parts).warnings;

  test("knows the library's own limiters and caches, by what they can do", () => {
    const kinds = [
      [new Limiter({ limit: 1, name: "l" }), "limiter"],
      [new Bulkhead({ limit: 1, name: "l" }), "limiter"],
      [new RateLimiter({ limit: 1, intervalMs: 1, name: "l" }), "rate limiter"],
    ] as const;
    for (const [part, kind] of kinds) {
      const [warning] = inOrder(new CircuitBreaker(), transformer<CallContext>(part));
      assert.match(warning!, new RegExp(`^${kind} "l" stands inside circuit breaker: what it refuses`));
    }
    const users = new AsyncCache<string, string>({ name: "users" });
    assert.match(inOrder(new Limiter({ limit: 1 }), users)[0]!, /^cache "users" stands inside limiter/);
  });

  test("says nothing to the recommended order, and to many others", () => {
    const breaker = new CircuitBreaker();
    assert.deepEqual(
      inOrder(
        fallback({ to: () => 1 }),
        timeoutHandler(10_000),
        cache(),
        rateLimiter("r"),
        limiter("l"),
        retry(),
        breaker,
        hedge({ delayMs: 1 }),
        timeoutHandler(1_000),
      ),
      [],
    );
    assert.deepEqual(inOrder(breaker, retry({ attemptTimeoutMs: 10 })), []);
    assert.deepEqual(inOrder(retry(), limiter("l")), []);
    assert.deepEqual(inOrder(retry(), foreign()), []);
  });

  test("says what can't have been meant", () => {
    const expected: [readonly string[], string][] = [
      [
        inOrder(retry({ name: "a" }), fallback({ to: () => 1 })),
        'fallback stands inside retry "a": what it makes good is never tried again',
      ],
      [
        inOrder(hedge({ delayMs: 1 }), fallback({ to: () => 1 })),
        "fallback stands inside hedge: what it makes good is never tried at once elsewhere",
      ],
      [
        inOrder(new CircuitBreaker({ name: "db" }), fallback({ to: () => 1 })),
        'fallback stands inside circuit breaker "db": what it makes good is never counted as a failure',
      ],
      [
        inOrder(retry({ name: "all" }), retry({ name: "db" })),
        'retry "db" stands inside retry "all": their attempts multiply',
      ],
      [
        inOrder(hedge({ delayMs: 1 }), retry()),
        "retry stands inside hedge: each attempt beside another one is retried by itself",
      ],
      [
        inOrder(limiter("l"), cache()),
        'cache stands inside limiter "l": what it has waits for a turn all the same',
      ],
      [
        inOrder(rateLimiter("r"), cache()),
        'cache stands inside rate limiter "r": what it has waits for a turn all the same',
      ],
      [
        inOrder(new CircuitBreaker(), cache()),
        "cache stands inside circuit breaker: what it has counts as an answer of the service",
      ],
      [
        inOrder(hedge({ delayMs: 1 }), cache()),
        "cache stands inside hedge: all attempts wait for the same load",
      ],
      [
        inOrder(limiter("l"), rateLimiter("r")),
        'rate limiter "r" stands inside limiter "l": slots are held while calls wait for a turn',
      ],
      [
        inOrder(new CircuitBreaker(), rateLimiter("r")),
        'rate limiter "r" stands inside circuit breaker: what it refuses counts as a failure of the service',
      ],
      [
        inOrder(new KeyedCircuitBreaker(), limiter("l")),
        'limiter "l" stands inside circuit breaker: what it refuses counts as a failure of the service',
      ],
      [
        inOrder(timeoutHandler(100), timeoutHandler(500)),
        "timeout stands inside timeout: its limit of 500 ms is never reached within one of 100 ms",
      ],
      [
        inOrder(timeoutHandler(100), retry({ attemptTimeoutMs: 100 })),
        "retry stands inside timeout: its limit of 100 ms is never reached within one of 100 ms",
      ],
      [
        inOrder(timeoutHandler(100), new CircuitBreaker({ name: "db" })),
        'circuit breaker "db" has a time limit outside only: calls that hang are given up and never counted as failures',
      ],
    ];
    for (const [warnings, warning] of expected) assert.deepEqual(warnings, [warning]);
  });

  test("sees one policy that stands twice, behind whatever face", () => {
    const slots = limiter("db");
    assert.deepEqual(inOrder(slots, retry(), transformer(slots)), [
      'limiter "db" stands inside itself: a call that holds its last slot waits for itself for ever',
    ]);
    const twice = retry();
    assert.match(
      inOrder(twice, twice).join(),
      /^retry stands inside itself: each call goes through it again$/,
    );
  });

  test("are told to the observer when the policy is made", () => {
    const seen: unknown[] = [];
    using _watching = observe({
      record: (r) => void (r.structure === "policy" && seen.push([r.kind, r.data])),
    });
    const [message] = inOrder(hedge({ delayMs: 1 }), retry());
    assert.deepEqual(seen, [["policy.warning", { message }]]);
  });
});

describe("policy.statistics", () => {
  test("are those of its policies, in their order", async () => {
    await world(async () => {
      const careful = policy(
        new AsyncCache<string, number>({ name: "users" }),
        retry({ name: "again" }),
        transformer(new CircuitBreaker({ name: "db" })),
        foreign(),
      );
      await careful.run(() => 1, { cacheKey: "a" });
      const statistics = careful.statistics();
      assert.deepEqual(statistics.map(({ kind, name }) => [kind, name]), [
        ["cache", "users"],
        ["retry", "again"],
        ["circuit breaker", "db"],
        ["other", undefined],
      ]);
      const [users, again, db, other] = statistics.map(({ statistics }) =>
        statistics as Record<string, number>
      );
      assert.equal(users!["size"] ?? users!["entries"], 1);
      assert.deepEqual([again!["succeeded"], db!["succeeded"], other], [1, 1, undefined]);
    });
  });
});

describe("what a call through a policy says of itself", () => {
  test("reaches the limiters inside: its key, its priority and its weight", async () => {
    await world(async () => {
      const rates = new RateLimiter({ limit: 4, intervalMs: 1_000 });
      const limit = new Limiter({ limit: 3 });
      const both = policy(rates, retry({ ...quick, attempts: 1 }), limit);
      const free: number[] = [];
      await both.run(() => void free.push(limit.statistics().free), { weight: 2 });
      assert.deepEqual([free, rates.waitMs({ weight: 2 }), rates.waitMs({ weight: 3 })], [[1], 0, 250]);
      await assert.rejects(both.run(() => {}, { weight: 5 }), RangeError);
    });
  });

  test("for whom it is and what it asks for are two things", async () => {
    await world(async () => {
      const names = new AsyncCache<number, string>();
      const rates = new RateLimiter({ limit: 2, intervalMs: 60_000 });
      const careful = policy(names, rates);
      const nameOf = (id: number, key: string) =>
        careful.run(() => `user ${id}`, { cacheKey: id, key, timeoutMs: 1_000 });
      assert.deepEqual(await Promise.all([1, 1, 2].map((id) => nameOf(id, "ada"))), [
        "user 1",
        "user 1",
        "user 2",
      ]);
      await assert.rejects(nameOf(3, "ada"), { name: "RateLimitError" });
      assert.equal(await nameOf(3, "bob"), "user 3");
      assert.deepEqual([await nameOf(3, "ada"), names.peek(1)], ["user 3", "user 1"]);
      await names.close();
    });
  });
});

describe("policy.by", () => {
  test("makes of the arguments what a call says of itself, of functions and methods", async () => {
    await world(async () => {
      const names = new AsyncCache<number, string>();
      const seen: unknown[] = [];
      const careful = policy(names, new KeyedCircuitBreaker({ failures: 1 }), retry({ attempts: 1 }));
      class Users {
        readonly tenant: string;
        constructor(tenant: string) {
          this.tenant = tenant;
        }
        nameOf = careful.by((id: number, _options?: { signal?: AbortSignal }) => ({
          cacheKey: id,
          key: this.tenant,
        }))(async (id: number, options?: { signal?: AbortSignal }): Promise<string> => {
          seen.push([id, this.tenant, options?.signal instanceof AbortSignal]);
          if (id < 0) throw down;
          return await Promise.resolve(`user ${id}`);
        });
      }
      const [acme, zoo] = [new Users("acme"), new Users("zoo")];
      assert.deepEqual([await acme.nameOf(1, { signal: undefined }), await acme.nameOf(1)], [
        "user 1",
        "user 1",
      ]);
      await assert.rejects(acme.nameOf(-1), (error) => error === down);
      await assert.rejects(acme.nameOf(2), CircuitOpenError);
      assert.equal(await zoo.nameOf(2), "user 2");
      assert.deepEqual(seen, [[1, "acme", true], [-1, "acme", false], [2, "zoo", false]]);
      const gone = AbortSignal.abort("gone");
      assert.equal(await zoo.nameOf(7, { signal: gone }).catch((error) => error), "gone");
      await names.close();
    });
  });

  test("keeps the name and the `this` of what it transforms, and rejects what it can't make options of", async () => {
    const plain = policy(retry({ attempts: 1 }));
    const named = plain.by(function (this: { factor: number }, n: number) {
      return { priority: n * this.factor };
    })(async function double(this: { factor: number }, n: number) {
      return await Promise.resolve(n * this.factor);
    });
    assert.deepEqual([named.name, named.length, await named.call({ factor: 2 }, 4)], ["double", 1, 8]);
    const failing = plain.by(() => assert.fail("no options"))(() => Promise.resolve(1));
    await assert.rejects(failing(), { message: "no options" });
    await assert.rejects(plain.by((() => 5) as never)(() => Promise.resolve(1))(), TypeError);
    assert.throws(() => plain.by(5 as never), {
      message: "Cannot transform by policy as options must be a function: received 5",
    });
  });

  test("is needed where no call gets through without a key", () => {
    const cached = policy(new AsyncCache(), retry());
    assert.throws(() => cached(() => Promise.resolve(1)), {
      name: "TypeError",
      message:
        "Cannot transform by policy as cacheKey must be made of each call's arguments, by policy.by(…): " +
        "received none",
    });
    assert.throws(
      () => policy(retry(), policy(new KeyedCircuitBreaker()))(() => Promise.resolve(1)),
      /as key must be/,
    );
    assert.equal(typeof policy(retry())(() => Promise.resolve(1)), "function");
  });
});

describe("policy.outcome", () => {
  test("tells how a call ended, and never rejects", async () => {
    await world(async (w) => {
      const breaker = new CircuitBreaker({ failures: 2 });
      const careful = policy(retry({ ...quick, attempts: 1 }), breaker, timeoutHandler(100));
      assert.deepEqual(await careful.outcome(() => 5), { status: "fulfilled", value: 5 });
      assert.deepEqual(await careful.outcome(() => Promise.reject(down)), { status: "failed", error: down });
      const timedOut = await careful.outcome(() => sleep(500));
      assert.ok(timedOut.status === "timedOut" && timedOut.error instanceof TimeoutError);
      const refused = await careful.outcome(() => assert.fail("called"));
      assert.ok(refused.status === "refused" && refused.error instanceof CircuitOpenError);
      const signal = AbortSignal.abort("gone");
      assert.deepEqual(await careful.outcome(() => 5, { signal }), { status: "aborted", reason: "gone" });
      const wrong = await careful.outcome(5 as never);
      assert.ok(wrong.status === "failed" && wrong.error instanceof TypeError);
      await w.advance(500);
    });
  });
});
