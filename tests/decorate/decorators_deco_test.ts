import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncManager } from "../../src/app/mod.ts";
import { sleep } from "../../src/cancel/mod.ts";
import {
  asTask,
  batched,
  cached,
  cancellable,
  circuitBroken,
  concurrentLimited,
  rateLimited,
  retry,
  timeoutHandler,
} from "../../src/decorate/mod.ts";
import { AsyncCache, CircuitOpenError, Limiter } from "../../src/flow/mod.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { world } from "../../src/testing/mod.ts";

interface Options {
  signal?: AbortSignal | undefined;
}

/** One method for each decorator, and each kind of method. */
class Service {
  static opened = 0;
  readonly #prefix = "row";
  readonly closing = new AbortController();
  readonly limiter = new Limiter({ limit: 1 });
  readonly names = new AsyncCache<number, string>();
  running = 0;
  most = 0;
  failures = 2;
  loads = 0;
  readonly batches: unknown[] = [];

  /** How many calls run at once. */
  protected async work<T>(value: T): Promise<T> {
    this.most = Math.max(this.most, ++this.running);
    await sleep(10);
    this.running--;
    return value;
  }

  @cancellable
  hang(_: Options): Promise<string> {
    return new Promise(() => {});
  }

  @cancellable({ signal: (self: Service) => self.closing.signal })
  hangOpen(_: Options = {}): Promise<string> {
    return new Promise(() => {});
  }

  @timeoutHandler(100)
  slow(_: Options = {}): Promise<string> {
    return new Promise(() => {});
  }

  @retry({ attempts: 3, baseMs: 1 })
  async flaky(): Promise<string> {
    if (this.failures-- > 0) throw new Error("not yet");
    return await Promise.resolve(this.#prefix);
  }

  @rateLimited({ limit: 1, intervalMs: 100, key: (to: string) => to })
  async send<T extends string>(to: T, _text: string): Promise<T> {
    return await Promise.resolve(to);
  }

  @concurrentLimited({ limit: 2, per: "instance" })
  two(id: number): Promise<number> {
    return this.work(id);
  }

  @concurrentLimited((self: Service) => self.limiter)
  own(id: number): Promise<number> {
    return this.work(id);
  }

  @circuitBroken({ failures: 1 })
  down(): Promise<string> {
    return Promise.reject(new Error("down"));
  }

  @cached()
  async load<K extends string | number>(key: K): Promise<[string, K, number]> {
    return await Promise.resolve([this.#prefix, key, ++this.loads]);
  }

  @cached((self: Service) => self.names, { key: (id: number) => id })
  async name(id: number): Promise<string> {
    return await Promise.resolve(`name ${id}, load ${++this.loads}`);
  }

  item(id: number, options?: Options): Promise<string>;
  @batched({ maxSize: 10 })
  async item(ids: unknown): Promise<unknown> {
    this.batches.push(ids);
    return await Promise.resolve((ids as number[]).map((id) => this.#prefix + id));
  }

  @concurrentLimited({ limit: 1 })
  static async open(): Promise<number> {
    return await Promise.resolve(++this.opened);
  }

  // Without parameters: Deno 2.9 can't compile others.
  @cached()
  async #secret(): Promise<string> {
    return await Promise.resolve(`${this.#prefix} ${++this.loads}`);
  }

  secret(): Promise<string> {
    return this.#secret();
  }
}

const enough = (): Options => ({ signal: AbortSignal.abort("enough") });

describe("decorators of methods", () => {
  test("cancellable, by the caller and by the object", async () => {
    const service = new Service();
    const controller = new AbortController();
    const call = service.hang({ signal: controller.signal }).catch((e) => e);
    controller.abort("enough");
    assert.equal(await call, "enough");
    const open = [service.hangOpen(), service.hangOpen({})].map((call) => call.catch((e) => e));
    service.closing.abort("closed");
    assert.deepEqual(await Promise.all(open), ["closed", "closed"]);
    assert.equal(await new Service().hangOpen(enough()).catch((e) => e), "enough");
  });

  test("timeoutHandler and retry", () =>
    world(async (w) => {
      await assert.rejects(new Service().slow(), TimeoutError);
      assert.equal(w.now, 100);
      assert.equal(await new Service().flaky(), "row");
    }));

  test("rateLimited with a key keeps a generic signature", () =>
    world(async (w) => {
      const service = new Service();
      const sent: ["a", "b", "a"] = await Promise.all([
        service.send("a", "1"),
        service.send("b", "1"),
        service.send("a", "2"),
      ]);
      assert.deepEqual(sent, ["a", "b", "a"]);
      assert.equal(w.now, 100);
    }));

  test("concurrentLimited, for each object", () =>
    world(async () => {
      const [one, two] = [new Service(), new Service()];
      const ids = [1, 2, 3];
      const calls = [one, two].map((service) => Promise.all(ids.map((id) => service.two(id))));
      assert.deepEqual(await Promise.all(calls), [ids, ids]);
      assert.deepEqual([one.most, two.most], [2, 2]);
      const own = new Service();
      await Promise.all(ids.map((id) => own.own(id)));
      assert.equal(own.most, 1);
      assert.equal(own.limiter.statistics().granted, 3);
    }));

  test("circuitBroken", async () => {
    await assert.rejects(new Service().down(), { message: "down" });
    await assert.rejects(new Service().down(), CircuitOpenError);
  });

  test("cached, for each object; private methods too", async () => {
    const [one, two] = [new Service(), new Service()];
    const row: [string, "a", number] = await one.load("a");
    assert.equal(await one.load("a"), row);
    assert.deepEqual([row, await one.load(5), await two.load("a")], [["row", "a", 1], ["row", 5, 2], [
      "row",
      "a",
      1,
    ]]);
    assert.deepEqual([await one.name(1), await one.name(1)], ["name 1, load 3", "name 1, load 3"]);
    one.names.clear();
    assert.equal(await one.name(1), "name 1, load 4");
    assert.deepEqual([await two.secret(), await two.secret()], ["row 2", "row 2"]);
  });

  test("batched: the method is called with one item", async () => {
    const service = new Service();
    assert.deepEqual(await Promise.all([1, 2].map((id) => service.item(id))), ["row1", "row2"]);
    assert.deepEqual(service.batches, [[1, 2]]);
    assert.equal(await service.item(3, enough()).catch((e) => e), "enough");
  });

  test("asTask", async () => {
    class Greeter {
      readonly app = new AsyncManager();

      @asTask((self: Greeter) => self.app)
      greet(name: string): PromiseLike<string> {
        return Promise.resolve(`Hello ${name}`);
      }
    }
    const greeter = new Greeter();
    assert.equal(await greeter.greet("Ada"), "Hello Ada");
    assert.equal((await greeter.app.stop()).code, 0);
  });

  test("static methods, names and lengths", async () => {
    assert.deepEqual(await Promise.all([Service.open(), Service.open()]), [1, 2]);
    assert.deepEqual([Service.prototype.load.name, Service.prototype.load.length], ["load", 1]);
    assert.equal(Service.open.name, "open");
  });

  test("symbols and computed names, static ones and those that are inherited: each object has its own", async () => {
    const rows = Symbol("rows");
    let calls = 0;
    class Base {
      readonly id: number = ++calls;

      @cached()
      async [rows](from: number): Promise<string> {
        return await Promise.resolve(`${this.id} from ${from}, call ${++calls}`);
      }

      @cached()
      static async [`of ${"all"}`](): Promise<string> {
        return await Promise.resolve(`${this.name}, call ${++calls}`);
      }
    }
    class Derived extends Base {}
    const [one, two] = [new Base(), new Derived()];
    assert.deepEqual(await Promise.all([one[rows](1), one[rows](1), two[rows](1)]), [
      "1 from 1, call 3",
      "1 from 1, call 3",
      "2 from 1, call 4",
    ]);
    const all = (owner: unknown): () => Promise<string> =>
      (owner as Record<string, () => Promise<string>>)["of all"]!;
    const ask = (owner: typeof Base): Promise<string> => all(owner).call(owner);
    assert.deepEqual([await ask(Base), await ask(Derived), await ask(Base)], [
      "Base, call 5",
      "Derived, call 6",
      "Base, call 5",
    ]);
    assert.deepEqual([Base.prototype[rows].name, all(Base).name], ["[rows]", "of all"]);
  });

  test("stand in the order in which they are written, from the outermost to the innermost", () =>
    world(async (w) => {
      class Orders {
        attempts = 0;

        @timeoutHandler(100)
        @retry({ attempts: Infinity, kind: "constant", baseMs: 30, jitter: "none" })
        outside(_: Options = {}): Promise<never> {
          this.attempts++;
          return Promise.reject(new Error("not yet"));
        }

        @retry({ attempts: 2, kind: "constant", baseMs: 0 })
        @timeoutHandler(100)
        inside(_: Options = {}): Promise<never> {
          this.attempts++;
          return new Promise(() => {});
        }
      }
      const { signal } = new AbortController();
      const [whole, each] = [new Orders(), new Orders()];
      await assert.rejects(whole.outside({ signal }), { message: "not yet" });
      // The fourth pause would end after the limit: it was not begun.
      assert.deepEqual([w.now, whole.attempts], [90, 4]);
      await assert.rejects(each.inside({ signal }), TimeoutError);
      assert.deepEqual([w.now, each.attempts], [290, 2]);
    }));

  test("a method that overrides another and calls it has a limit, a cache and batches of its own", () =>
    world(async () => {
      class Base extends Service {
        @concurrentLimited({ limit: 1 })
        limited(id: number): Promise<number> {
          return this.work(id);
        }

        @concurrentLimited({ limit: 1, per: "instance" })
        each(id: number): Promise<number> {
          return this.work(id);
        }

        @cached()
        async value(id: number): Promise<string> {
          return await Promise.resolve(`base ${id}`);
        }
      }
      class Derived extends Base {
        @concurrentLimited({ limit: 1 })
        override async limited(id: number): Promise<number> {
          return 10 * await super.limited(id);
        }

        @concurrentLimited({ limit: 1, per: "instance" })
        override async each(id: number): Promise<number> {
          return 10 * await super.each(id);
        }

        @cached()
        override async value(id: number): Promise<string> {
          return `derived from ${await super.value(id)}`;
        }
      }
      const [base, derived] = [new Base(), new Derived()];
      // With one limiter for both, the outer call would wait for itself.
      assert.deepEqual(await Promise.all([derived.limited(1), derived.limited(2)]), [10, 20]);
      assert.deepEqual(await Promise.all([derived.each(1), derived.each(2)]), [10, 20]);
      assert.deepEqual([await derived.value(1), await derived.value(1)], [
        "derived from base 1",
        "derived from base 1",
      ]);
      assert.equal(await base.value(1), "base 1");
    }));

  test("two classes do not share, unless they are given the same", () =>
    world(async (w) => {
      const limited = concurrentLimited({ limit: 1 });
      const shared = concurrentLimited(new Limiter({ limit: 1 }));
      class A {
        @limited
        alone(): Promise<void> {
          return sleep(10);
        }
        @shared
        together(): Promise<void> {
          return sleep(10);
        }
      }
      class B {
        @limited
        alone(): Promise<void> {
          return sleep(10);
        }
        @shared
        together(): Promise<void> {
          return sleep(10);
        }
      }
      await Promise.all([new A().alone(), new B().alone()]);
      assert.equal(w.now, 10);
      await Promise.all([new A().together(), new B().together()]);
      assert.equal(w.now, 30);
    }));

  test("what is no method is refused, by the type check and when the class is made", () => {
    const limited = concurrentLimited({ limit: 1 });
    const makes: Record<string, () => unknown> = {
      field: () =>
        class {
          // @ts-expect-error: A field.
          @limited
          run = (): Promise<number> => Promise.resolve(1);
        },
      accessor: () =>
        class {
          // @ts-expect-error: An accessor.
          @cancellable
          accessor run = (): Promise<number> => Promise.resolve(1);
        },
      getter: () =>
        class {
          // @ts-expect-error: A getter.
          @limited
          get run(): Promise<number> {
            return Promise.resolve(1);
          }
        },
      class: () => {
        // @ts-expect-error: A class.
        @limited
        class Whole {}
        return Whole;
      },
    };
    for (const [kind, make] of Object.entries(makes)) {
      assert.throws(make, {
        name: "TypeError",
        message: `Cannot decorate as it must be a method: received "${kind}"`,
      });
    }
  });

  test("types: methods that do not return a promise, keys that don't fit and batches without a signature", () => {
    class Wrong {
      // @ts-expect-error: It returns at once.
      @concurrentLimited({ limit: 1 })
      sync(): number {
        return 1;
      }

      // @ts-expect-error: The key is made of a string.
      @cached({ key: (id: string) => id })
      byNumber(id: number): Promise<number> {
        return Promise.resolve(id);
      }

      // @ts-expect-error: Callers would give one item, not several.
      @batched()
      async many(ids: readonly number[]): Promise<readonly number[]> {
        return await Promise.resolve(ids);
      }
    }
    assert.equal(typeof new Wrong().sync, "function");
  });
});
