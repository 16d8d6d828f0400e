import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { observe, type ObserverRecord } from "../../src/kernel/observer.ts";
import { AsyncResource } from "../../src/resource/async_resource.ts";
import {
  ClosedError,
  ResourceClosedError,
  ResourceStuckError,
  TimeoutError,
} from "../../src/resource/mod.ts";
import { world } from "../../src/testing/mod.ts";

async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

describe("AsyncResource.close", () => {
  test("sends waiters away, refuses new users, waits for the present ones, then closes", async () => {
    await world(async (w) => {
      let closedAt: number | undefined;
      const resource = new AsyncResource({ name: "db", open: () => 1, close: () => closedAt = w.now });
      const use = await resource.use();
      assert.equal(resource.closed, false);
      const closing = resource.close();
      assert.equal(resource.closed, true);
      const refused = await failureOf(resource.use());
      assert.ok(refused instanceof ResourceClosedError && refused instanceof ClosedError);
      assert.equal(refused.message, 'Cannot use resource "db": it is closed');
      await sleep(1_000_000);
      assert.equal(closedAt, undefined);
      use.release();
      assert.deepEqual(await closing, { stragglers: [] });
      assert.equal(closedAt, 1_000_000);
      assert.equal(resource.statistics().state, "disposed");
    });
  });

  test("all who ask get one promise, and disposal waits for the same end", async () => {
    await world(async () => {
      let closes = 0;
      const resource = new AsyncResource({ open: () => 1, close: () => ++closes, lingerMs: Infinity });
      (await resource.use()).release();
      const closing = resource.close();
      assert.equal(resource.close({ graceMs: 5 }), closing);
      await resource[Symbol.asyncDispose]();
      assert.equal(resource.close(), closing);
      await closing;
      assert.equal(closes, 1);
    });
  });

  test("after the grace it is closed under who is left, by name; their leases can still be given back", async () => {
    await world(async (w) => {
      const closed: number[] = [];
      const resource = new AsyncResource({ name: "db", open: () => 7, close: (value) => closed.push(value) });
      const uses = [
        await resource.use({ label: "report/7" }),
        await resource.use({ owner: { name: "nightly" } }),
        await resource.use({ owner: {} }),
        await resource.use(),
      ] as const;
      assert.deepEqual(resource.statistics().users, ["report/7", "nightly", "unknown", "unknown"]);
      const closing = resource.close({ graceMs: 50 });
      await sleep(10);
      uses[3].release();
      const { stragglers } = await closing;
      assert.deepEqual(stragglers, ["report/7", "nightly", "unknown"]);
      assert.ok(Object.isFrozen(stragglers));
      assert.equal(w.now, 50);
      assert.deepEqual(closed, [7]);
      for (const use of uses.slice(0, 3)) {
        assert.equal(use.held, true);
        use.release();
      }
      await sleep(1);
      assert.deepEqual(closed, [7]);
      assert.equal(resource.statistics().inUse, 0);
      assert.equal(w.timers.length, 0);
    });
  });

  test("a shorter grace brings the end nearer, a longer one does not put it off; 0 is at once", async () => {
    for (const [graces, endsAt] of [[[Infinity, 20, 500], 20], [[100, 0], 0], [[30], 30]] as const) {
      await world(async (w) => {
        const resource = new AsyncResource({ open: () => 1 });
        using _use = await resource.use({ label: "x" });
        const all = graces.map((graceMs) => resource.close({ graceMs }));
        assert.deepEqual(await all[0], { stragglers: ["x"] });
        assert.equal(w.now, endsAt);
        assert.equal(w.timers.length, 0);
      });
    }
  });

  test("an opening that heeds no signal is given up after the grace; what comes of it is closed", async () => {
    await world(async (w) => {
      const closed: string[] = [];
      const resource = new AsyncResource({
        open: () => sleep(500).then(() => "late"),
        close: (value) => closed.push(`${value}@${w.now}`),
      });
      const use = failureOf(resource.use());
      assert.deepEqual(await resource.close({ graceMs: 50 }), { stragglers: ["opening"] });
      assert.ok(await use instanceof ResourceClosedError);
      assert.equal(w.now, 50);
      await sleep(1_000);
      assert.deepEqual(closed, ["late@500"]);
      assert.equal(resource.statistics().state, "disposed");
    });
  });

  test("throws what closing throws, and its limit by name", async () => {
    await world(async () => {
      const resource = new AsyncResource({
        name: "db",
        open: () => 1,
        close: () => sleep(500),
        closeTimeoutMs: 20,
        lingerMs: Infinity,
      });
      (await resource.use()).release();
      const error = await failureOf(resource.close());
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.message, 'Cannot close resource "db" within 20 ms: it was still closing');
      assert.equal(await failureOf(resource[Symbol.asyncDispose]()), error);
      await sleep(500);
    });
  });

  test("throws what a closing fails with that was under way; the observer is not told too", async () => {
    for (const failure of [new Error("disk is full"), null]) {
      for (const graceMs of [0, Infinity]) {
        await world(async () => {
          const kinds: string[] = [];
          using _observer = observe({ record: ({ kind }) => void kinds.push(kind) });
          let failing = false;
          const resource = new AsyncResource({
            open: () => 1,
            close: async () => {
              await sleep(10);
              if (failing) throw failure;
            },
          });
          (await resource.use()).release();
          await sleep(20); // That one ended well.
          failing = true;
          (await resource.use()).release();
          await sleep(20); // That one failed, while nobody had closed it for good.
          assert.equal(kinds.filter((kind) => kind === "close.failed").length, 1);
          (await resource.use()).release();
          assert.equal(resource.statistics().state, "closing");
          assert.equal(await failureOf(resource.close({ graceMs })), failure);
          assert.equal(resource.statistics().state, "disposed");
          assert.equal(kinds.filter((kind) => kind === "close.failed").length, 1);
        });
      }
    }
  });

  test("an earlier failure of closing, which the observer was told, is not thrown later", async () => {
    await world(async () => {
      const resource = new AsyncResource({ open: () => 1, close: () => Promise.reject("no") });
      (await resource.use()).release();
      await sleep(1);
      assert.deepEqual(await resource.close(), { stragglers: [] });
    });
  });

  test("wrong options reject, and close nothing", async () => {
    const resource = new AsyncResource({ open: () => 1 });
    for (const options of [null, 5, { graceMs: "1" }, { graceMs: null }]) {
      await assert.rejects(resource.close(options as never), TypeError);
    }
    for (const graceMs of [-1, NaN]) await assert.rejects(resource.close({ graceMs }), RangeError);
    assert.equal(resource.closed, false);
    await resource.close();
  });
});

describe("AsyncResource whose closing hangs", () => {
  test("is not opened again until that has ended: uses are refused meanwhile, and say why", async () => {
    await world(async (w) => {
      const records: ObserverRecord[] = [];
      using _observer = observe({ record: (record) => void records.push(record) });
      const hung = deferred<void>();
      let [opened, alive] = [0, 0];
      const resource = new AsyncResource({
        name: "port",
        closeTimeoutMs: 50,
        open: () => {
          assert.equal(++alive, 1, "two are alive");
          return ++opened;
        },
        close: (value) => (value === 1 ? hung.promise : Promise.resolve()).finally(() => alive--),
      });
      (await resource.use()).release();
      const waiting = failureOf(resource.use());
      assert.equal(resource.statistics().state, "closing");
      const error = await waiting;
      assert.equal(w.now, 50);
      assert.ok(error instanceof ResourceStuckError);
      assert.equal(
        error.message,
        'Cannot use resource "port": closing it has not ended within 50 ms and still hangs',
      );
      assert.ok(error.cause instanceof TimeoutError);
      assert.equal(resource.statistics().state, "stuck");
      assert.ok(await failureOf(resource.use({ timeoutMs: 5 })) instanceof ResourceStuckError);
      assert.equal(records.filter(({ kind }) => kind === "close.failed").length, 1);
      hung.resolve();
      await sleep(1);
      assert.equal(resource.statistics().state, "closed");
      assert.equal(await resource.run((value) => value), 2);
      assert.deepEqual(await resource.close(), { stragglers: [] });
    });
  });

  test("close says so, instead of reporting an end that has not come", async () => {
    await world(async () => {
      const resource = new AsyncResource({ open: () => 1, close: () => sleep(500), closeTimeoutMs: 50 });
      (await resource.use()).release();
      await sleep(60);
      const error = await failureOf(resource.close());
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.limitMs, 50);
      await sleep(500);
      assert.equal(resource.statistics().state, "disposed");
    });
  });

  test("is opened again all the same with reopenStuck", async () => {
    await world(async () => {
      let opened = 0;
      const resource = new AsyncResource({
        open: () => ++opened,
        close: () => sleep(500),
        closeTimeoutMs: 50,
        reopenStuck: true,
      });
      (await resource.use()).release();
      assert.equal(await resource.run((value) => value), 2);
      await sleep(1_000);
      assert.equal(resource.statistics().state, "closed");
    });
    for (const reopenStuck of [1, null, "yes"]) {
      assert.throws(() => new AsyncResource({ open: () => 1, reopenStuck: reopenStuck as never }), TypeError);
    }
  });
});
