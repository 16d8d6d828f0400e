import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { Deadline, sleep } from "../../src/cancel/mod.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { leaves, mapTasks, TaskGroupError, TimeoutError } from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** A source that tells what was done to it. */
class Source implements AsyncIterable<number>, AsyncIterator<number> {
  opened = 0;
  pulled = 0;
  closed = 0;
  pulling = false;
  /** Whether it has come to its end, or failed. */
  over = false;
  readonly #step: (n: number) => unknown;
  readonly #close: () => unknown;

  /** `step` gives the item of a number, or `undefined` at the end. */
  constructor(step: (n: number) => unknown = (n) => n, close: () => unknown = () => {}) {
    this.#step = step;
    this.#close = close;
  }

  [Symbol.asyncIterator](): this {
    this.opened++;
    return this;
  }

  async next(): Promise<IteratorResult<number>> {
    assert.equal(this.pulling, false, "one pull at a time");
    this.pulling = true;
    try {
      const value = await this.#step(this.pulled++) as number;
      if (value !== undefined) return { done: false, value };
      this.over = true;
      return { done: true, value };
    } catch (error) {
      this.over = true;
      throw error;
    } finally {
      this.pulling = false;
    }
  }

  async return(): Promise<IteratorResult<number>> {
    this.closed++;
    await this.#close();
    return { done: true, value: undefined };
  }
}

const upTo = (count: number) => (n: number): number | undefined => n < count ? n : undefined;

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const result of results) all.push(result);
  return all;
}

describe("mapTasks", () => {
  test("gives the results in the order of the items", async () => {
    await world(async (w) => {
      const results = mapTasks([30, 10, 20, 5], (ms, { signal }) => sleep(ms, { signal }).then(() => ms), {
        concurrency: 3,
      });
      assert.deepEqual(await collect(results), [30, 10, 20, 5]);
      assert.equal(w.now, 35);
    });
  });

  test('order: "completion" gives them as they are done', async () => {
    await world(async () => {
      const results = mapTasks([30, 10, 20], (ms) => sleep(ms).then(() => ms), {
        concurrency: 3,
        order: "completion",
      });
      assert.deepEqual(await collect(results), [10, 20, 30]);
    });
  });

  test("takes arrays, strings, generators, async iterables and empty sources; undefined and null as items", async () => {
    await world(async () => {
      const options = { concurrency: 2 };
      assert.deepEqual(await collect(mapTasks("abc", (c) => c + c, options)), ["aa", "bb", "cc"]);
      assert.deepEqual(await collect(mapTasks([undefined, null], (item) => item, options)), [
        undefined,
        null,
      ]);
      assert.deepEqual(await collect(mapTasks(new Set([1, 2]), (n) => n, options)), [1, 2]);
      assert.deepEqual(await collect(mapTasks(new Source(upTo(3)), (n) => n, options)), [0, 1, 2]);
      assert.deepEqual(await collect(mapTasks([], (n) => n, options)), []);
      assert.deepEqual(await collect(mapTasks([1, 2, 3], (n) => n, { concurrency: Infinity })), [1, 2, 3]);
    });
  });

  test("QU-10: pulls nothing before it is asked, and then at most `concurrency` ahead of what was taken", async () => {
    for (const order of ["input", "completion"] as const) {
      await world(async (w) => {
        let taken = 0;
        const source = new Source((n) => {
          assert.ok(n < taken + 3, `pulls number ${n} when ${taken} were taken`);
          return n;
        });
        const results = mapTasks(source, (n) => sleep(n === 0 ? 5 : 1).then(() => n), {
          concurrency: 3,
          order,
        });
        await w.idle();
        assert.equal(source.opened, 0);
        while (taken < 10) {
          await results.next();
          taken++;
          await w.advance(100);
        }
        assert.equal(source.pulled, 12);
        const { pulled } = source;
        await w.advance(1_000);
        assert.equal(source.pulled, pulled, "pulls only when asked");
        await results.return!();
      });
    }
  });

  test("runs at most `concurrency` at once, and that many when the consumer keeps up", async () => {
    await world(async (w) => {
      let [running, most] = [0, 0];
      await collect(mapTasks(new Source(upTo(20)), async () => {
        most = Math.max(most, ++running);
        await sleep(10);
        running--;
      }, { concurrency: 4 }));
      assert.equal(most, 4);
      assert.equal(w.now, 50);
    });
  });

  test("keeps the window full while results are there to be taken at once", async () => {
    await world(async (w) => {
      // Three in work and the fourth in the consumer's hands: better than four in work, and then four taken.
      const results = mapTasks(Array(40).fill(0), () => sleep(10), { concurrency: 4 });
      for await (const _ of results) await sleep(2.5);
      assert.equal(w.now, 132.5);
    });
  });

  test("answers several asks at once, in order", async () => {
    await world(async () => {
      const results = mapTasks(new Source(upTo(3)), (n) => sleep(10 - n).then(() => n), { concurrency: 2 });
      const asks = Array.from({ length: 5 }, () => results.next());
      assert.deepEqual((await Promise.all(asks)).map(({ done, value }) => done ? "done" : value), [
        0,
        1,
        2,
        "done",
        "done",
      ]);
    });
  });

  test("gives each item a task context, with the signal and the deadline", async () => {
    await world(async () => {
      const results = mapTasks(["a"], (_, { signal, name }) => {
        assert.equal(Deadline.of(signal).remainingMs, 50);
        return name;
      }, { concurrency: 1, timeoutMs: 50 });
      assert.deepEqual(await collect(results), ["mapTasks/1"]);
    });
  });

  test("runs the function in the async context of the consumer", async () => {
    await world(async () => {
      const store = new AsyncLocalStorage<string>();
      const seen: unknown[] = [];
      await store.run("consumer", () =>
        collect(mapTasks(new Source(upTo(5)), async () => {
          seen.push(store.getStore());
          await sleep(1);
        }, { concurrency: 2 })));
      assert.deepEqual(seen, Array(5).fill("consumer"));
    });
  });

  test("passes over an item that cancels its own task", async () => {
    for (const order of ["input", "completion"] as const) {
      await world(async () => {
        const results = mapTasks([1, 2, 3], async (n, { task, signal }) => {
          if (n === 2) task.cancel();
          await sleep(5, { signal });
          return n;
        }, { concurrency: 2, order });
        assert.deepEqual(await collect(results), [1, 3]);
      });
    }
  });

  test("refuses wrong arguments where it is called, and opens nothing", () => {
    const source = new Source();
    const map = mapTasks as (...args: unknown[]) => unknown;
    assert.throws(
      () => map(source, 1, { concurrency: 1 }),
      /^TypeError: Cannot map tasks as fn must be a function/,
    );
    assert.throws(() => map(source, () => 1), /^TypeError/);
    assert.throws(() => map(source, () => 1, {}), /^TypeError: .* concurrency must be an integer >= 1/);
    assert.throws(() => map(source, () => 1, { concurrency: 0 }), /^RangeError: .* concurrency/);
    assert.throws(
      () => map(source, () => 1, { concurrency: 1, order: "any" }),
      /^RangeError: .* order must be one of/,
    );
    assert.throws(
      () => map(1, () => 1, { concurrency: 1 }),
      /^TypeError: .* source must be iterable: received 1$/,
    );
    assert.throws(() => map(null, () => 1, { concurrency: 1 }), /^TypeError: .* source must be iterable/);
    assert.equal(source.opened, 0);
  });
});

describe("mapTasks: the source is closed exactly once", () => {
  const options = { concurrency: 2 };

  test("read to its end: it is not closed, being over", async () => {
    await world(async () => {
      const source = new Source(upTo(3));
      await collect(mapTasks(source, (n) => n, options));
      assert.deepEqual([source.opened, source.pulled, source.closed], [1, 4, 0]);
    });
  });

  test("break: closed, running tasks cancelled and awaited, quietly", async () => {
    await world(async (w) => {
      const source = new Source();
      const ended: number[] = [];
      for await (
        const n of mapTasks(source, async (n, { signal }) => {
          try {
            await sleep(n === 0 ? 1 : 100, { signal });
          } finally {
            await sleep(5);
            ended.push(n);
          }
          return n;
        }, options)
      ) {
        assert.equal(n, 0);
        break;
      }
      assert.deepEqual(ended, [0, 1]);
      assert.equal(source.closed, 1);
      assert.equal(w.now, 11);
    });
  });

  test("a throw in the loop: closed, and the loop's error is what comes out", async () => {
    await world(async () => {
      const source = new Source();
      const error = new Error("loop");
      const loop = async (): Promise<void> => {
        for await (const _ of mapTasks(source, (n) => n, options)) throw error;
      };
      assert.equal(await loop().catch((error) => error), error);
      assert.equal(source.closed, 1);
    });
  });

  test("returned before anything was asked: never opened, and over", async () => {
    await world(async () => {
      const source = new Source();
      const results = mapTasks(source, (n) => n, options);
      assert.deepEqual(await results.return!(), { done: true, value: undefined });
      assert.deepEqual(await results.next(), { done: true, value: undefined });
      assert.deepEqual([source.opened, source.closed], [0, 0]);
    });
  });

  test("returned twice, and after the end", async () => {
    await world(async () => {
      const source = new Source();
      const results = mapTasks(source, (n) => n, options);
      await results.next();
      await Promise.all([results.return!(), results.return!()]);
      await results.return!();
      assert.equal(source.closed, 1);
      assert.deepEqual(await results.next(), { done: true, value: undefined });
      const over = mapTasks([1], (n) => n, options);
      await collect(over);
      assert.equal((await over.return!()).done, true);
    });
  });

  test("returned while an ask is open: the ask is answered with the end", async () => {
    await world(async (w) => {
      const source = new Source();
      const results = mapTasks(source, (_, { signal }) => sleep(1_000, { signal }), options);
      const asks = [results.next(), results.next()];
      await w.advance(1);
      await results.return!();
      assert.deepEqual(await Promise.all(asks), Array(2).fill({ done: true, value: undefined }));
      assert.equal(source.closed, 1);
      assert.equal(w.now, 1);
    });
  });

  test("a failing item: pulls no more, cancels and awaits the others, closes, and rejects with it", async () => {
    for (const order of ["input", "completion"] as const) {
      await world(async (w) => {
        const source = new Source();
        const error = new Error("item");
        const ended: number[] = [];
        const results = mapTasks(source, async (n, { signal }) => {
          await sleep(n === 1 ? 5 : 100, { signal }).finally(() => ended.push(n));
          if (n === 1) throw error;
          await sleep(10);
        }, { concurrency: 3, order });
        assert.equal(await collect(results).catch((error) => error), error);
        assert.deepEqual(ended, [1, 0, 2]);
        assert.deepEqual([source.pulled, source.closed], [3, 1]);
        assert.equal(w.now, 5);
        assert.deepEqual(await results.next(), { done: true, value: undefined });
        assert.equal((await results.return!()).done, true);
      });
    }
  });

  test("a failing item while the consumer is busy is told when it comes back, or leaves", async () => {
    await world(async (w) => {
      for (const way of ["next", "return"] as const) {
        const error = new Error("item");
        const results = mapTasks(new Source(), async (n) => {
          await sleep(n + 1);
          if (n === 1) throw error;
        }, options);
        await results.next();
        await w.advance(100);
        assert.equal(await results[way]!().catch((error) => error), error);
        assert.equal((await results.next()).done, true);
      }
    });
  });

  test("a source that fails by itself is not closed again, and its failure is thrown", async () => {
    await world(async () => {
      const error = new Error("source");
      const source = new Source((n) => {
        if (n === 2) throw error;
        return n;
      });
      let cancelled = 0;
      const results = mapTasks(source, (_, { signal }) => sleep(100, { signal }).finally(() => cancelled++), {
        concurrency: 3,
      });
      assert.equal(await collect(results).catch((error) => error), error);
      assert.deepEqual([cancelled, source.closed], [2, 0]);
      const pulls: string[] = [];
      const sync: Iterable<number> = {
        [Symbol.iterator]: () => ({
          next: () => {
            pulls.push("next");
            throw error;
          },
          return: () => {
            pulls.push("return");
            return { done: true, value: undefined };
          },
        }),
      };
      assert.equal(await collect(mapTasks(sync, (n) => n, options)).catch((error) => error), error);
      assert.deepEqual(pulls, ["next"]);
    });
  });

  test("a source that can't be opened: its failure", async () => {
    await world(async () => {
      const error = new Error("open");
      const source = {
        [Symbol.asyncIterator]: (): AsyncIterator<number> => {
          throw error;
        },
      };
      assert.equal(await collect(mapTasks(source, (n) => n, options)).catch((error) => error), error);
    });
  });

  test("a failure of closing is thrown: alone after break, beside the item's that came first", async () => {
    await world(async () => {
      const [close, item] = [new Error("close"), new Error("item")];
      const leave = async (): Promise<void> => {
        const source = new Source((n) => n, () => Promise.reject(close));
        for await (const _ of mapTasks(source, (n) => n, { concurrency: 1 })) break;
      };
      assert.equal(await leave().catch((error) => error), close);
      const source = new Source((n) => n, () => Promise.reject(close));
      const thrown = await collect(mapTasks(source, () => Promise.reject(item), options)).catch((error) =>
        error
      );
      assert.ok(thrown instanceof TaskGroupError);
      assert.deepEqual(thrown.errors, [item, close]);
    });
  });

  test("a failure in the clean-up of what a break cancelled is not lost", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const leave = async (): Promise<void> => {
        for await (
          const _ of mapTasks(
            new Source(),
            (n, { signal }) => n === 0 ? sleep(1) : sleep(100, { signal }).catch(() => Promise.reject(error)),
            options,
          )
        ) break;
      };
      assert.equal(await leave().catch((error) => error), error);
    });
  });

  test("results that nobody takes are disposed", async () => {
    await world(async (w) => {
      const disposed: number[] = [];
      const open = (n: number): Disposable & { n: number } => ({
        n,
        [Symbol.dispose]: () => void disposed.push(n),
      });
      const results = mapTasks(new Source(), (n) => sleep(1).then(() => open(n)), { concurrency: 3 });
      assert.equal((await results.next()).value.n, 0);
      await w.advance(10);
      await results.return!();
      assert.deepEqual(disposed, [1, 2]);
    });
  });
});

describe("mapTasks: abort", () => {
  const options = { concurrency: 2 };

  test("a signal that is aborted already: its reason, and nothing is opened", async () => {
    for (const reason of ["text", null, new Error("stop")]) {
      await world(async () => {
        const source = new Source();
        const results = mapTasks(source, (n) => n, { ...options, signal: AbortSignal.abort(reason) });
        assert.deepEqual(await results.next().then(null, (error) => ({ error })), { error: reason });
        assert.equal((await results.next()).done, true);
        assert.equal(source.opened, 0);
      });
    }
  });

  test("while tasks run: they are cancelled and awaited, the source is closed, then the reason", async () => {
    for (const order of ["input", "completion"] as const) {
      await world(async (w) => {
        const source = new Source();
        const controller = new AbortController();
        const { signal } = controller;
        const mapping = collect(
          mapTasks(source, (_, { signal }) => sleep(100, { signal }).finally(() => sleep(5)), {
            ...options,
            order,
            signal,
          }),
        );
        const thrown = mapping.catch((error) => ({ error, at: w.now }));
        await w.advance(1);
        controller.abort("enough");
        assert.deepEqual(await thrown, { error: "enough", at: 6 });
        assert.equal(source.closed, 1);
      });
    }
  });

  test("while the source is stuck in next(): it is told to return once, and not waited for", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const source = new Source((n) => n === 1 ? new Promise(() => {}) : n);
      const thrown = collect(mapTasks(source, (n) => n, { ...options, signal: controller.signal })).catch((
        e,
      ) => e);
      await w.advance(1);
      assert.equal(source.pulled, 2);
      controller.abort("enough");
      assert.equal(await thrown, "enough");
      assert.equal(source.closed, 1);
    });
  });

  test("an async generator stuck at its await hears of it when it goes on", async () => {
    await world(async (w) => {
      let closed = 0;
      async function* source(): AsyncGenerator<number> {
        try {
          yield 0;
          await sleep(50);
          yield 1;
        } finally {
          closed++;
        }
      }
      const results = mapTasks(source(), (n) => n, options);
      await results.next();
      const pending = results.next();
      await w.advance(1);
      await results.return!();
      assert.equal((await pending).done, true);
      assert.equal(w.now, 1);
      assert.equal(closed, 0);
      await w.advance(100);
      assert.equal(closed, 1);
    });
  });

  test("an item that comes after all is disposed, a failure that comes after all goes to the observer", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _watching = observe({
        record: (record) => void (record.kind === "task.failure" && records.push(record)),
      });
      let disposed = 0;
      const late = new Source(() => sleep(10).then(() => ({ [Symbol.dispose]: () => void disposed++ })));
      const error = new Error("late");
      const failing = new Source(() => sleep(10).then(() => Promise.reject(error)));
      for (const source of [late, failing]) {
        const results = mapTasks(source, (n) => n, options);
        const ask = results.next();
        await w.advance(1);
        await results.return!();
        assert.equal((await ask).done, true);
        await w.advance(20);
      }
      assert.equal(disposed, 1);
      assert.deepEqual(records.map(({ data }) => data), [{ error }]);
    });
  });

  test("the limit bounds the whole", async () => {
    await world(async (w) => {
      const source = new Source();
      const thrown = await collect(mapTasks(source, () => sleep(20), { ...options, timeoutMs: 50 })).catch((
        e,
      ) => e);
      assert.ok(thrown instanceof TimeoutError);
      assert.equal(w.now, 60);
      assert.equal(source.closed, 1);
    });
  });

  test("after all work has ended, with results left to take: the next ask rejects with the reason", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const results = mapTasks([1, 2], (n) => n, { ...options, signal: controller.signal });
      assert.equal((await results.next()).value, 1);
      await w.idle();
      assert.equal((await results.next()).value, 2);
      await w.idle();
      controller.abort("late");
      assert.equal((await results.next()).done, true);
      const others = mapTasks([1, 2], (n) => n, { concurrency: 3, signal: new AbortController().signal });
      await others.next();
      await others.return!();
    });
  });

  test("a failure in the clean-up is not lost: a TaskGroupError whose cause is the reason", async () => {
    await world(async (w) => {
      const error = new Error("clean-up");
      const controller = new AbortController();
      const thrown = collect(
        mapTasks(
          new Source(),
          (n, { signal }) => sleep(100, { signal }).catch(() => n === 0 ? Promise.reject(error) : undefined),
          {
            ...options,
            signal: controller.signal,
          },
        ),
      ).catch((error) => error);
      await w.advance(1);
      controller.abort("enough");
      const group = await thrown as unknown as TaskGroupError;
      assert.deepEqual(leaves(group), [error]);
      assert.equal(group.cause, "enough");
    });
  });

  test("at every moment, in both orders, with break and without: no orphan, source closed once, nothing left", async () => {
    for (const order of ["input", "completion"] as const) {
      for (const until of [2, Infinity]) {
        let running = 0;
        let source: Source;
        await sweep(async (signal) => {
          running = 0;
          source = new Source((n) => n < 6 ? sleep(1, { signal }).then(() => n) : undefined, () => sleep(2));
          // A pull that is under way when the mapping ends is not waited for.
          await using _settled = { [Symbol.asyncDispose]: () => sleep(5) };
          let taken = 0;
          for await (
            const _ of mapTasks(source, async (n, { signal }) => {
              running++;
              try {
                await sleep(5 - n, { signal });
              } finally {
                await sleep(1);
                running--;
              }
            }, { concurrency: 2, order, signal })
          ) if (++taken === until) break;
        }, () => {
          const { opened, closed, over } = source;
          assert.ok(closed === 1 || (closed === 0 && (over || opened === 0)), `closed ${closed} times`);
          return running === 0;
        }, { max: 200 });
      }
    }
  });
});
