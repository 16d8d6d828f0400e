import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { Deadline, timeout } from "../../src/cancel/mod.ts";
import { cancellable } from "../../src/decorate/mod.ts";
import { census } from "../../src/kernel/census.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { world } from "../../src/testing/mod.ts";

interface Options {
  signal?: AbortSignal | undefined;
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await undefined;
};

/** How many there were before: on Bun many files run in one process. */
let before = { ...census };
const listeners = (): number => census.listeners - before.listeners;
const subscriptions = (): number => census.subscriptions - before.subscriptions;

describe("cancellable", () => {
  beforeEach(() => {
    before = { ...census };
  });

  test("ends a call that knows nothing of signals, at once and with the reason", async () => {
    for (const reason of ["enough", null, undefined, new Error("enough")]) {
      const fn = cancellable((_: Options) => new Promise<void>(() => {}));
      const controller = new AbortController();
      const call = fn({ signal: controller.signal });
      controller.abort(reason);
      assert.equal(await call.catch((e) => e), controller.signal.reason);
    }
    assert.equal(listeners(), 0);
  });

  test("disposes a late result, and tells the observer of a late failure", async () => {
    const records: ObserverRecord[] = [];
    using _ = observe({ record: (record) => void records.push(record) });
    const work = [deferred<Disposable>(), deferred<Disposable>()];
    const fn = cancellable(function load(i: number, _: Options): Promise<Disposable> {
      return work[i]!.promise;
    });
    const controller = new AbortController();
    const calls = [0, 1].map((i) => fn(i, controller).catch((e) => e));
    controller.abort("enough");
    assert.deepEqual(await Promise.all(calls), ["enough", "enough"]);
    let disposed = 0;
    work[0]!.resolve({ [Symbol.dispose]: () => void disposed++ });
    const error = new Error("late");
    work[1]!.reject(error);
    await turns();
    assert.equal(disposed, 1);
    const late = records.filter(({ kind }) => kind === "late.failure");
    assert.deepEqual(late.map(({ name, data }) => [name, data]), [["load", { error }]]);
  });

  test("a call without a signal is left alone", async () => {
    const options = { deep: true };
    const fn = cancellable((...args: unknown[]) => Promise.resolve(args));
    assert.equal((await fn(options))[0], options);
    assert.deepEqual(await fn(), []);
  });

  test("the deadline of the signal stays known", () =>
    world(async () => {
      const fn = cancellable(({ signal }: Options) => Promise.resolve(Deadline.of(signal).remainingMs));
      assert.equal(await timeout(100, ({ signal }) => fn({ signal })), 100);
      const both = cancellable({ signal: new AbortController().signal })(({ signal }: Options) =>
        Promise.resolve(Deadline.of(signal).remainingMs)
      );
      assert.equal(await timeout(100, ({ signal }) => both({ signal })), 100);
    }));

  test("one more signal: whichever is aborted first ends the call", async () => {
    for (const first of ["own", "other"] as const) {
      const own = new AbortController();
      const other = new AbortController();
      let given: AbortSignal | undefined;
      const fn = cancellable({ signal: other.signal })((options: Options) => {
        given = options.signal;
        return new Promise<void>(() => {});
      });
      const call = fn({ signal: own.signal }).catch((e) => e);
      await turns();
      (first === "own" ? own : other).abort(first);
      (first === "own" ? other : own).abort("later");
      assert.equal(await call, first);
      assert.equal(given!.reason, first);
    }
    assert.equal(listeners(), 0);
  });

  test("one more signal: also of a call without its own, and also when it was aborted before", async () => {
    const other = new AbortController();
    const fn = cancellable({ signal: other.signal })((..._: unknown[]) => new Promise<void>(() => {}));
    const calls = [fn(), fn(1), fn({})].map((call) => call.catch((e) => e));
    await turns();
    other.abort("closed");
    assert.deepEqual(await Promise.all(calls), ["closed", "closed", "closed"]);
    const never = cancellable({ signal: other.signal })((): Promise<void> => assert.fail("it ran"));
    assert.equal(await never().catch((e) => e), "closed");
  });

  test("one more signal: each object can have its own, or none", async () => {
    interface Feed {
      closing?: AbortController;
    }
    const next = cancellable({ signal: (self: Feed) => self.closing?.signal })(
      function (this: Feed, answer: Promise<string>): Promise<string> {
        return answer;
      },
    );
    const [one, two] = [0, 1].map(() => ({ closing: new AbortController(), next }));
    const none: Feed & { next: typeof next } = { next };
    const answer = deferred<string>();
    const calls = [one!, two!, none].map((feed) => feed.next(answer.promise).catch((e) => e));
    await turns();
    one!.closing.abort("closed");
    assert.equal(await calls[0], "closed");
    answer.resolve("news");
    assert.deepEqual(await Promise.all(calls), ["closed", "news", "news"]);
    assert.equal(listeners(), 0);
  });

  test("one more signal: nobody asks for it when the caller's was aborted before", async () => {
    const fn = cancellable({ signal: () => assert.fail("it was asked for") })((_: Options) =>
      Promise.resolve()
    );
    assert.equal(await fn({ signal: AbortSignal.abort("enough") }).catch((e) => e), "enough");
  });

  test("leaves nothing on the signals, however often it is called", async () => {
    const [own, other] = [new AbortController(), new AbortController()];
    const fn = cancellable({ signal: other.signal })((_: Options) => Promise.resolve());
    for (let i = 0; i < 100; i++) await fn(own);
    assert.deepEqual([listeners(), subscriptions()], [0, 0]);
  });

  test("bad options are refused; what is found and is no signal rejects", async () => {
    for (const wrong of [null, 5, "signal", { signal: 5 }, { signal: null }, { signal: {} }]) {
      assert.throws(() => cancellable(wrong as never), TypeError, JSON.stringify(wrong));
    }
    const fn = cancellable({ signal: () => 5 as never })(() => Promise.resolve());
    await assert.rejects(fn(), TypeError);
    const error = new Error("mine");
    const throwing = cancellable({
      signal: () => {
        throw error;
      },
    })(() => Promise.resolve());
    assert.equal(await throwing().catch((e) => e), error);
  });
});
