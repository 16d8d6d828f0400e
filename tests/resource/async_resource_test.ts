import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { deferred, ignore } from "../../src/kernel/deferred.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { AsyncResource } from "../../src/resource/async_resource.ts";
import type { AsyncResourceOptions, ResourceLease } from "../../src/resource/resource_options.ts";
import { ClosedError, MisuseError, TimeoutError } from "../../src/resource/mod.ts";
import { leakGuard, sweep, world } from "../../src/testing/mod.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

/** A resource whose values are numbered, with what happened to it written down. */
class Store {
  readonly log: string[] = [];
  opened = 0;
  closed = 0;
  readonly resource: AsyncResource<{ readonly id: number }>;

  constructor(
    { openMs = 10, closeMs = 10, deaf = false, ...options }:
      & { openMs?: number; closeMs?: number; deaf?: boolean }
      & Partial<AsyncResourceOptions<{ readonly id: number }>> = {},
  ) {
    this.resource = new AsyncResource({
      name: "db",
      open: async ({ signal }) => {
        this.log.push("opening");
        await sleep(openMs, deaf ? {} : { signal });
        const id = ++this.opened;
        this.log.push(`open ${id}`);
        return { id };
      },
      close: async ({ id }) => {
        this.log.push(`closing ${id}`);
        await sleep(closeMs);
        this.closed++;
        this.log.push(`closed ${id}`);
      },
      ...options,
    });
  }
}

describe("AsyncResource", () => {
  test("is opened when first needed, shared by all who ask meanwhile, and closed after the last", async () => {
    await world(async (w) => {
      const { resource, log } = new Store();
      assert.equal(resource.statistics().state, "closed");
      const uses = [resource.use(), resource.use(), resource.use()];
      assert.equal(resource.statistics().state, "opening");
      assert.equal(resource.statistics().waiting, 3);
      const leases = await Promise.all(uses);
      const late = await resource.use();
      assert.equal(w.now, 10);
      assert.deepEqual([...leases, late].map(({ value }) => value.id), [1, 1, 1, 1]);
      assert.deepEqual(resource.statistics(), {
        state: "open",
        inUse: 4,
        users: ["unknown", "unknown", "unknown", "unknown"],
        waiting: 0,
        opened: 1,
        failed: 0,
        granted: 4,
        aborted: 0,
        timedOut: 0,
      });
      assert.ok(Object.isFrozen(resource.statistics()));
      for (const lease of leases) lease.release();
      await sleep(100);
      assert.deepEqual(log, ["opening", "open 1"]);
      late.release();
      assert.equal(resource.statistics().state, "closing");
      await sleep(11);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
      assert.equal(resource.statistics().state, "closed");
      assert.equal((await resource.use()).value.id, 2);
    });
  });

  test("releasing twice is misuse, disposing twice does nothing, neither closes under another user (LK-08)", async () => {
    await world(async () => {
      const { resource, log } = new Store({ closeMs: 0 });
      const [a, b] = [await resource.use(), await resource.use()];
      a.release();
      a[Symbol.dispose]();
      assert.throws(() => a.release(), {
        name: "MisuseError",
        message: 'Cannot release resource "db": this lease was given back before',
      });
      assert.equal(b.held, true);
      assert.equal(resource.statistics().inUse, 1);
      b[Symbol.dispose]();
      await sleep(1);
      assert.throws(() => b.release(), MisuseError);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
    });
  });

  test("run uses it for as long as fn takes, however it ends", async () => {
    await world(async () => {
      const store = new Store();
      const { resource } = store;
      assert.equal(await resource.run(({ id }) => Promise.resolve(id)), 1);
      await sleep(20);
      for (const failure of [null, undefined, new Error("own")]) {
        assert.equal(await failureOf(resource.run(() => Promise.reject(failure))), failure);
      }
      await assert.rejects(resource.run(5 as unknown as () => void), {
        name: "TypeError",
        message: 'Cannot run with resource "db" as fn must be a function: received 5',
      });
      await resource[Symbol.asyncDispose]();
      assert.equal(store.closed, store.opened);
      await assert.rejects(resource.run(() => assert.fail("it ran")), ClosedError);
    });
  });

  test("without close, the value's own disposal closes it, if it has one", async () => {
    await world(async () => {
      const log: string[] = [];
      const values = [
        {
          [Symbol.asyncDispose]: () => Promise.resolve(log.push("async")),
          [Symbol.dispose]: () => void log.push("no"),
        },
        { [Symbol.dispose]: () => void log.push("sync") },
        {},
        null,
        undefined,
        5,
      ];
      for (const value of values) {
        const resource = new AsyncResource({ open: () => value });
        await resource.run((it) => assert.equal(it, value));
        await resource[Symbol.asyncDispose]();
      }
      assert.deepEqual(log, ["async", "sync"]);
    });
  });
});

describe("AsyncResource opening", () => {
  test("a failure is everybody's who waits, by identity, and the next use tries afresh", async () => {
    for (const failure of [new Error("down"), "text", null, undefined]) {
      for (const sync of [true, false]) {
        await world(async () => {
          let attempts = 0;
          const resource = new AsyncResource<number>({
            open: () => {
              if (++attempts > 1) return attempts;
              if (sync) throw failure;
              return Promise.reject(failure);
            },
          });
          const uses = sync ? [resource.use()] : [resource.use(), resource.use()];
          for (const use of uses) assert.equal(await failureOf(use), failure);
          assert.equal(resource.statistics().state, "closed");
          assert.deepEqual([resource.statistics().failed, resource.statistics().opened], [1, 0]);
          assert.equal(await resource.run((value) => value), 2);
          await resource[Symbol.asyncDispose]();
        });
      }
    }
  });

  test("a waiter that gives up leaves the others waiting, and the opening going on", async () => {
    for (const reason of ["stop", null, new Error("own")]) {
      await world(async (w) => {
        const { resource } = new Store();
        const controller = new AbortController();
        const gone = failureOf(resource.use({ signal: controller.signal }));
        const limited = failureOf(resource.use({ timeoutMs: 5 }));
        const stays = resource.use();
        await sleep(1);
        controller.abort(reason);
        assert.equal(await gone, reason);
        const error = await limited;
        assert.ok(error instanceof TimeoutError);
        assert.equal(error.message, 'Cannot use resource "db" within 5 ms: it is opening, 2 waiting');
        assert.equal(error.operation, 'use resource "db"');
        assert.equal((await stays).value.id, 1);
        assert.equal(w.now, 10);
        (await stays).release();
        await resource[Symbol.asyncDispose]();
        const { aborted, timedOut, granted } = resource.statistics();
        assert.deepEqual([aborted, timedOut, granted], [1, 1, 1]);
      });
    }
  });

  test("the last waiter leaving aborts the opening, which then is no failure", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _observer = observe({ record: (record) => void records.push(record) });
      const { resource, log } = new Store({ openMs: 1_000 });
      const controller = new AbortController();
      const uses = [
        failureOf(resource.use({ signal: controller.signal })),
        failureOf(resource.use({ timeoutMs: 5 })),
      ];
      controller.abort(null);
      assert.equal(await uses[0], null);
      assert.ok(await uses[1] instanceof TimeoutError);
      await w.idle();
      assert.equal(w.now, 5);
      assert.deepEqual(log, ["opening"]);
      const { state, opened, failed } = resource.statistics();
      assert.deepEqual([state, opened, failed], ["closed", 0, 0]);
      assert.equal(w.timers.length, 0);
      assert.ok(!records.some(({ kind }) => kind === "open.failed"));
    });
  });

  test("what an aborted opening fails with beyond the abort goes to the observer: nobody waits for it", async () => {
    for (const dispose of [true, false]) {
      await world(async () => {
        const records: ObserverRecord[] = [];
        using _observer = observe({ record: (record) => void records.push(record) });
        const failure = new Error("half open");
        const resource = new AsyncResource({
          name: "db",
          open: async ({ signal }) => {
            await sleep(100, { signal }).catch(ignore);
            throw failure;
          },
        });
        const controller = new AbortController();
        const use = failureOf(resource.use({ signal: controller.signal }));
        if (dispose) await resource[Symbol.asyncDispose]();
        else controller.abort("stop");
        assert.ok(dispose ? await use instanceof ClosedError : await use === "stop");
        await sleep(1);
        const failed = records.filter(({ kind }) => kind === "open.failed");
        assert.deepEqual(failed.map(({ name, data }) => [name, data]), [["db", { error: failure }]]);
        assert.equal(resource.statistics().failed, 1);
      });
    }
  });

  test("a value that comes although nobody waits any more is closed", async () => {
    await world(async () => {
      const { resource, log } = new Store({ deaf: true });
      assert.ok(await failureOf(resource.use({ timeoutMs: 5 })) instanceof TimeoutError);
      await sleep(30);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
      assert.equal(resource.statistics().state, "closed");
    });
  });

  test("who comes after the opening was aborted gets an opening of its own, whatever comes of that one", async () => {
    for (const deaf of [true, false]) {
      await world(async (w) => {
        const values: { readonly signal: AbortSignal; closed: boolean }[] = [];
        const resource = new AsyncResource({
          lingerMs: Infinity, // Kept for whoever comes next: but not what was opened with an aborted signal.
          async open({ signal }) {
            // Takes its time to give up, or does not.
            await sleep(20, deaf ? {} : { signal }).catch(async (error) => {
              await sleep(7);
              throw error;
            });
            const value = { signal, closed: false };
            values.push(value);
            return value;
          },
          async close(value) {
            await sleep(3);
            value.closed = true;
          },
        });
        assert.ok(await failureOf(resource.use({ timeoutMs: 5 })) instanceof TimeoutError);
        const lease = await resource.use();
        assert.equal(w.now, deaf ? 20 + 3 + 20 : 5 + 7 + 20);
        assert.equal(lease.value.signal.aborted, false);
        assert.deepEqual(values.map(({ closed }) => closed), deaf ? [true, false] : [false]);
        lease.release();
        await resource.close();
      });
    }
  });

  test("what an aborted opening still gives does not linger for anybody", async () => {
    await world(async () => {
      const { resource, log } = new Store({ deaf: true, lingerMs: Infinity });
      assert.ok(await failureOf(resource.use({ timeoutMs: 5 })) instanceof TimeoutError);
      await sleep(30);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
      await resource.close();
    });
  });

  test("a signal aborted beforehand: its reason, and nothing is opened or used", async () => {
    await world(async () => {
      const { resource, log } = new Store();
      for (const reason of ["stop", null, new Error("own")]) {
        const signal = AbortSignal.abort(reason);
        assert.equal(await failureOf(resource.use({ signal })), reason);
        assert.equal(await failureOf(resource.run(() => assert.fail("it ran"), { signal })), reason);
      }
      assert.deepEqual(log, []);
      const lease = await resource.use();
      assert.equal(await failureOf(resource.use({ signal: AbortSignal.abort(null) })), null);
      assert.deepEqual([resource.statistics().inUse, resource.statistics().aborted], [1, 7]);
      lease.release();
      await resource[Symbol.asyncDispose]();
      assert.equal(await failureOf(resource.use({ signal: AbortSignal.abort(null) })), null);
    });
  });

  test("an abort in the turn in which it is granted is too late: the use is the caller's (LK-04)", async () => {
    await world(async () => {
      const opening = deferred<number>();
      let closed = 0;
      const resource = new AsyncResource({ open: () => opening.promise, close: () => closed++ });
      const controller = new AbortController();
      const use = resource.use({ signal: controller.signal, timeoutMs: 1_000 });
      opening.resolve(7);
      while (resource.statistics().state === "opening") await undefined;
      controller.abort("too late");
      const lease = await use;
      assert.deepEqual([lease.value, lease.held, closed], [7, true, 0]);
      lease.release();
      await resource[Symbol.asyncDispose]();
    });
  });

  test("who gives up while being told by an observer that it waits has opened nothing", async () => {
    await world(async (w) => {
      const { resource, log } = new Store();
      const controller = new AbortController();
      {
        using _observer = observe({ record: ({ kind }) => kind === "wait" && controller.abort("stop") });
        assert.equal(await failureOf(resource.use({ signal: controller.signal })), "stop");
      }
      await w.idle();
      assert.deepEqual(log, []);
    });
  });
});

describe("AsyncResource closing", () => {
  test("lingers after the last user; a use meanwhile keeps it open and starts the time anew", async () => {
    await world(async (w) => {
      const { resource, log } = new Store({ lingerMs: 100 });
      (await resource.use()).release();
      assert.deepEqual(w.timers.map(({ atMs, ref }) => [atMs, ref]), [[110, false]]);
      await w.advance(99);
      const again = await resource.use();
      assert.equal(again.value.id, 1);
      assert.equal(w.timers.length, 0);
      await w.advance(500);
      again.release();
      await w.advance(99);
      assert.deepEqual(log, ["opening", "open 1"]);
      await w.advance(1);
      assert.deepEqual(log, ["opening", "open 1", "closing 1"]);
      await w.advance(10);
      assert.equal(resource.statistics().state, "closed");
      assert.equal(w.timers.length, 0);
    });
  });

  test("lingers until it is disposed, with Infinity", async () => {
    await world(async (w) => {
      const { resource, log } = new Store({ lingerMs: Infinity });
      (await resource.use()).release();
      assert.equal(w.timers.length, 0);
      await w.advance(1e9);
      (await resource.use()).release();
      assert.deepEqual(log, ["opening", "open 1"]);
      await resource[Symbol.asyncDispose]();
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
    });
  });

  test("a use that comes while it closes waits, and opens it again", async () => {
    await world(async (w) => {
      const { resource, log } = new Store();
      (await resource.use()).release();
      const uses = [resource.use(), resource.use(), failureOf(resource.use({ timeoutMs: 5 }))] as const;
      assert.equal(resource.statistics().state, "closing");
      const error = await uses[2];
      assert.match((error as Error).message, /within 5 ms: it is closing, 3 waiting$/);
      assert.deepEqual([(await uses[0]).value.id, (await uses[1]).value.id], [2, 2]);
      assert.equal(w.now, 30);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1", "opening", "open 2"]);
      for (const use of [uses[0], uses[1]]) (await use).release();
      await resource[Symbol.asyncDispose]();
    });
  });

  test("who gave up while it closes does not make it open again", async () => {
    await world(async () => {
      const { resource, log } = new Store();
      (await resource.use()).release();
      assert.ok(await failureOf(resource.use({ timeoutMs: 5 })) instanceof TimeoutError);
      await sleep(100);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
    });
  });

  test("a failure of closing goes to the observer, and the next use opens it afresh", async () => {
    for (const failure of [new Error("stuck"), null]) {
      await world(async () => {
        const records: ObserverRecord[] = [];
        using _observer = observe({ record: (record) => void records.push(record) });
        const { resource, log } = new Store({ close: () => Promise.reject(failure) });
        (await resource.use()).release();
        (await resource.use()).release();
        await sleep(1);
        assert.deepEqual(log, ["opening", "open 1", "opening", "open 2"]);
        const failed = records.filter(({ kind }) => kind === "close.failed");
        assert.deepEqual(failed.map(({ structure, name, data }) => [structure, name, data]), [
          ["resource", "db", { error: failure }],
          ["resource", "db", { error: failure }],
        ]);
      });
    }
  });

  test("closing has a time of its own: at its limit it is given up, by name", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _observer = observe({ record: (record) => void records.push(record) });
      let reason: unknown;
      const { resource } = new Store({
        closeTimeoutMs: 50,
        reopenStuck: true,
        close: (_value, { signal }) =>
          new Promise(() => signal.addEventListener("abort", () => reason = signal.reason, { once: true })),
      });
      (await resource.use()).release();
      const next = await resource.use();
      assert.equal(w.now, 10 + 50 + 10);
      const [failed] = records.filter(({ kind }) => kind === "close.failed");
      const { error } = failed!.data as { error: unknown };
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.message, 'Cannot close resource "db" within 50 ms: it was still closing');
      assert.deepEqual([error.operation, error.limitMs], ['close resource "db"', 50]);
      assert.equal(reason, error);
      next.release();
      const last = await failureOf(resource[Symbol.asyncDispose]());
      assert.ok(last instanceof TimeoutError && last !== error);
      assert.equal(records.filter(({ kind }) => kind === "close.failed").length, 1);
    });
  });
});

describe("AsyncResource disposal", () => {
  test("of a closed one ends at once, and refuses whoever comes", async () => {
    await world(async (w) => {
      const { resource, log } = new Store();
      await resource[Symbol.asyncDispose]();
      await resource[Symbol.asyncDispose]();
      assert.equal(resource.statistics().state, "disposed");
      await assert.rejects(resource.use(), {
        name: "ResourceClosedError",
        message: 'Cannot use resource "db": it is closed',
      });
      assert.deepEqual([w.now, log], [0, []]);
    });
  });

  test("while it opens: sends waiters away, aborts the opening, and waits for that", async () => {
    for (const deaf of [true, false]) {
      await world(async (w) => {
        const { resource, log } = new Store({ deaf });
        const uses = [failureOf(resource.use()), failureOf(resource.use({ timeoutMs: 1_000 }))];
        await sleep(4);
        await Promise.all([resource[Symbol.asyncDispose](), resource[Symbol.asyncDispose]()]);
        for (const use of uses) assert.ok(await use instanceof ClosedError);
        assert.equal(w.now, deaf ? 20 : 4);
        assert.deepEqual(log, deaf ? ["opening", "open 1", "closing 1", "closed 1"] : ["opening"]);
        assert.equal(resource.statistics().state, "disposed");
        assert.equal(w.timers.length, 0);
      });
    }
  });

  test("while it is used: waits for the users, takes no new ones, and closes", async () => {
    await world(async (w) => {
      const { resource, log } = new Store({ lingerMs: 1_000 });
      const [a, b] = [await resource.use(), await resource.use()];
      const disposing = resource[Symbol.asyncDispose]();
      await assert.rejects(resource.use(), ClosedError);
      await sleep(10);
      a.release();
      await sleep(10);
      assert.deepEqual(log, ["opening", "open 1"]);
      b.release();
      await disposing;
      assert.equal(w.now, 40);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
      assert.equal(resource.statistics().state, "disposed");
    });
  });

  test("while it lingers: closes at once, and clears the timer", async () => {
    await world(async (w) => {
      const { resource, log } = new Store({ lingerMs: 1_000 });
      (await resource.use()).release();
      const disposing = resource[Symbol.asyncDispose]();
      await disposing;
      assert.equal(w.now, 20);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
      assert.equal(w.timers.length, 0);
    });
  });

  test("while it closes: waits for that, sends those away who wait for the next opening, opens nothing", async () => {
    await world(async (w) => {
      const { resource, log } = new Store();
      (await resource.use()).release();
      const waiting = failureOf(resource.use());
      await resource[Symbol.asyncDispose]();
      assert.ok(await waiting instanceof ClosedError);
      assert.equal(w.now, 20);
      await sleep(100);
      assert.deepEqual(log, ["opening", "open 1", "closing 1", "closed 1"]);
    });
  });

  test("throws what closing throws, to all who dispose; the observer is not told too", async () => {
    for (const failure of [new Error("stuck"), null, undefined]) {
      await world(async () => {
        const records: ObserverRecord[] = [];
        using _observer = observe({ record: (record) => void records.push(record) });
        const { resource } = new Store({ lingerMs: Infinity, close: () => Promise.reject(failure) });
        (await resource.use()).release();
        const both = [failureOf(resource[Symbol.asyncDispose]()), failureOf(resource[Symbol.asyncDispose]())];
        assert.deepEqual(await Promise.all(both), [failure, failure]);
        assert.equal(resource.statistics().state, "disposed");
        assert.ok(!records.some(({ kind }) => kind === "close.failed"));
      });
    }
  });

  test("whoever asks from within its abort or its closing is refused, not left waiting", async () => {
    for (const [lingers, disposes] of [[true, true], [true, false], [false, true], [false, false]]) {
      await world(async () => {
        let asked: Promise<unknown> | undefined;
        const ask = (): void => {
          asked = failureOf(resource.use());
          if (disposes) void resource[Symbol.asyncDispose]();
        };
        const resource: AsyncResource<number> = new AsyncResource<number>({
          lingerMs: Infinity,
          open: async ({ signal }) => {
            signal.addEventListener("abort", ask, { once: true });
            await sleep(10, { signal });
            return 1;
          },
          close: ask,
        });
        const use = resource.use();
        use.catch(ignore);
        if (lingers) (await use).release();
        await resource[Symbol.asyncDispose]();
        assert.ok(await asked instanceof ClosedError);
        if (!lingers) await assert.rejects(use, ClosedError);
      });
    }
  });
});

describe("AsyncResource", () => {
  test("an idle one holds no timer that anybody awaits, and no listener", async () => {
    await using _guard = leakGuard();
    const controller = new AbortController();
    const resource = new AsyncResource({ open: () => Promise.resolve(1), lingerMs: Infinity });
    (await resource.use({ signal: controller.signal, timeoutMs: 60_000 })).release();
  });

  test("an observer that uses it from within a record does not open it twice", async () => {
    for (const kind of ["open.failed", "close.failed"]) {
      await world(async () => {
        let [opens, opening, most] = [0, 0, 0];
        const resource = new AsyncResource<number>({
          open: async () => {
            most = Math.max(most, ++opening);
            await sleep(10);
            opening--;
            if (++opens === 1 && kind === "open.failed") throw new Error("half open");
            return opens;
          },
          close: () => Promise.reject(new Error("stuck")),
        });
        let nested: Promise<ResourceLease<number>> | undefined;
        using _observer = observe({
          record(record) {
            if (record.kind === kind) nested ??= resource.use();
          },
        });
        if (kind === "open.failed") await failureOf(resource.use({ timeoutMs: 5 }));
        else (await resource.use()).release();
        await sleep(50);
        const lease = await nested!;
        assert.deepEqual([lease.value, opens, most], [2, 2, 1]);
        lease.release();
        await assert.rejects(resource[Symbol.asyncDispose](), { message: "stuck" });
      });
    }
  });

  test("aborted at any point, it is closed in the end, as often as it was opened", async () => {
    for (const deaf of [true, false]) {
      for (const lingerMs of [0, 3]) {
        let store: Store;
        await sweep(async (signal) => {
          store = new Store({ deaf, lingerMs });
          const { resource } = store;
          await using _disposing = resource;
          const use = async (afterMs: number, holdMs: number): Promise<void> => {
            await sleep(afterMs);
            using lease: ResourceLease<{ readonly id: number }> = await resource.use({ signal });
            assert.equal(lease.value.id, store.opened);
            assert.equal(store.closed, store.opened - 1);
            await sleep(holdMs, { signal });
          };
          const all = [use(0, 5), use(3, 5), use(25, 1), use(30, 5)];
          await Promise.allSettled(all);
          await Promise.all(all);
        }, () => {
          assert.equal(store.closed, store.opened);
          const { state, inUse, waiting } = store.resource.statistics();
          assert.deepEqual([state, inUse, waiting], ["disposed", 0, 0]);
        });
      }
    }
  });

  test("wrong arguments throw from the constructor, and reject from use", async () => {
    const open = () => 1;
    for (const options of [undefined, null, 5, {}, { open: 5 }, { open, close: 5 }, { open, name: 5 }]) {
      assert.throws(() => new AsyncResource(options as never), TypeError);
    }
    assert.throws(() => new AsyncResource({ open: 5, name: "db" } as never), {
      message: 'Cannot create resource "db" as open must be a function: received 5',
    });
    for (const ms of ["1", null]) {
      assert.throws(() => new AsyncResource({ open, lingerMs: ms as never }), TypeError);
      assert.throws(() => new AsyncResource({ open, closeTimeoutMs: ms as never }), TypeError);
    }
    for (const ms of [-1, NaN]) {
      assert.throws(() => new AsyncResource({ open, lingerMs: ms }), RangeError);
      assert.throws(() => new AsyncResource({ open, closeTimeoutMs: ms }), RangeError);
    }
    for (const closeTimeoutMs of [0, Infinity]) {
      assert.throws(() => new AsyncResource({ open, closeTimeoutMs, name: "db" }), {
        name: "RangeError",
        message:
          `Cannot create resource "db" as closeTimeoutMs must be finite and > 0: received ${closeTimeoutMs}`,
      });
    }
    const resource = new AsyncResource({ open: () => assert.fail("it was opened") });
    for (const options of [null, 5, { signal: {} }, { timeoutMs: "1" }, { label: 5 }, { owner: "me" }]) {
      await assert.rejects(resource.use(options as object), TypeError);
    }
    for (const timeoutMs of [-1, NaN]) await assert.rejects(resource.use({ timeoutMs }), RangeError);
  });
});
