import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncManager, MisuseError } from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";
import { opaqueErrors, rejectsWith } from "../_opaque.ts";
import { unhandledDuring } from "../_unhandled.ts";
import { failure, never, opener } from "./_app.ts";

describe("AsyncManager, as it stops", () => {
  test("a resource that comes too late is refused, which fails nothing when nobody waits for it", async () => {
    const unhandled = await unhandledDuring(() =>
      world(async () => {
        const app = new AsyncManager({ name: "shop" });
        await app.start();
        const stopped = app.stop();
        void app.use("late", () => ({ [Symbol.dispose]() {} }));
        await assert.rejects(app.use("later", () => ({ [Symbol.dispose]() {} })), { name: "ClosedError" });
        await stopped;
      })
    );
    assert.deepEqual(unhandled, []);
  });
});

describe("AsyncManager, names", () => {
  test("rule 22: a name that is taken is an error, and what has it stays", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager();
      await app.use("db", opener(log, "db"));
      const error = await failure(app.use("db", opener(log, "other")));
      assert(error instanceof MisuseError);
      await app.start();
      await app.stop();
      assert.deepEqual(log, ["opening db", "open db", "close db"]);
    });
  });
});

describe("AsyncManager.health", () => {
  test("LC-06: not ready as soon as a stop is asked for, before the pre-stop delay; live throughout", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ preStopMs: 200, graceMs: 1_000 });
      assert.deepEqual(app.health, { started: false, live: true, ready: false });
      app.onStart(() => assert.deepEqual(app.health, { started: false, live: true, ready: false }));
      let hookAt = 0;
      app.onStop(() => {
        hookAt = w.now;
        assert.deepEqual(app.health, { started: true, live: true, ready: false });
      });
      await app.start();
      assert.deepEqual(app.health, { started: true, live: true, ready: true });
      const stopping = app.stop();
      assert.deepEqual(app.health, { started: true, live: true, ready: false });
      // It still works: that is what the delay is for.
      assert.equal(app.signal.aborted, false);
      assert.equal(await app.tasks.spawn("request", () => sleep(50).then(() => 200)), 200);
      await stopping;
      assert.equal(hookAt, 200);
      assert.deepEqual(app.health, { started: true, live: false, ready: false });
    });
  });

  test("LC-06: the delay is a part of the one deadline", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ preStopMs: 200, graceMs: 1_000 });
      app.tasks.spawn("stuck", never);
      await app.start();
      await app.stop();
      assert.equal(w.now, 1_000);
    });
    assert.throws(() => new AsyncManager({ preStopMs: 1_000, graceMs: 1_000 }), RangeError);
  });

  test("LC-06: there is no delay when it was never ready", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ preStopMs: 200 });
      await app.stop();
      assert.equal(w.now, 0);
    });
  });
});

describe("AsyncManager, disposal", () => {
  test("stops it, and throws what nobody has asked for", async () => {
    await world(async () => {
      const boom = new Error("boom");
      const log: string[] = [];
      const block = async (): Promise<void> => {
        await using app = new AsyncManager();
        await app.use("db", opener(log, "db"));
        app.onStop(() => Promise.reject(boom));
        await app.start();
      };
      assert.equal(await failure(block()), boom);
      assert.equal(log.at(-1), "close db");
      const quiet = async (): Promise<void> => {
        await using app = new AsyncManager();
        app.onStop(() => Promise.reject(boom));
        await app.start();
        assert.deepEqual((await app.stop()).errors, [boom]);
      };
      await quiet();
    });
  });

  test("after a failed start throws nothing more", async () => {
    await world(async () => {
      const boom = new Error("boom");
      const block = async (): Promise<void> => {
        await using app = new AsyncManager();
        app.use("db", () => Promise.reject(boom));
        await app.start();
      };
      assert.equal(await failure(block()), boom);
    });
  });
});

describe("AsyncManager.tree and statistics", () => {
  test("show what is there and what runs", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ name: "shop" });
      const slow = app.use("slow", opener([], "slow", 10));
      await app.use("db", opener([], "db"));
      app.use("web", opener([], "web"), { after: ["slow"] });
      app.onStart(() => sleep(5), { name: "warm up" });
      app.block("request");
      app.tasks.spawn("worker", ({ signal }) => sleep(Infinity, { signal }));
      const starting = app.start();
      await w.idle();
      const tree = app.tree();
      assert.equal(tree.application, "shop");
      assert.equal(tree.state, "starting");
      assert.deepEqual(tree.resources, ["db"]);
      assert.deepEqual(tree.opening, ["slow", "web"]);
      assert.deepEqual(tree.blocks, ["request"]);
      assert.deepEqual(tree.tasks.tasks.map(({ name, waitsFor }) => [name, waitsFor]), [["worker", [
        "sleep",
      ]]]);
      await slow;
      await w.advance(2);
      assert.equal(app.tree().hook, 'start hook "warm up"');
      await starting;
      await w.advance(100);
      const { state, uptimeMs, resources, blocks, tasks } = app.statistics();
      assert.deepEqual([state, uptimeMs, resources, blocks, tasks.running], ["ready", w.now - 15, 3, 1, 1]);
      await app.stop();
      const end = app.statistics().uptimeMs;
      await sleep(50);
      assert.equal(app.statistics().uptimeMs, end);
    });
  });

  test("a resource is not shown as open any more once it was closed, also when that failed", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const shown: number[] = [];
      const open = (fails: boolean) => () => ({
        [Symbol.asyncDispose]: async () => {
          shown.push(app.statistics().resources);
          await sleep(1);
          if (fails) throw new Error("no goodbye");
        },
      });
      await app.use("a", open(false));
      await app.use("b", open(true));
      await app.use("c", open(false));
      await app.start();
      assert.equal((await app.stop()).code, 1);
      assert.deepEqual(shown, [3, 2, 1], "a resource that is closing is there yet");
      assert.equal(app.statistics().resources, 0);
      assert.deepEqual(app.tree().resources, []);
    });
  });
});

describe("AsyncManager, arguments", () => {
  test("are checked where they are given", async () => {
    assert.throws(() => new AsyncManager({ graceMs: -1 }), RangeError);
    assert.throws(() => new AsyncManager({ graceMs: "1" as unknown as number }), TypeError);
    assert.throws(() => new AsyncManager({ startTimeoutMs: NaN }), RangeError);
    assert.throws(() => new AsyncManager({ name: 1 as unknown as string }), TypeError);
    const app = new AsyncManager();
    assert.throws(() => app.onStart(1 as unknown as () => void), TypeError);
    assert.throws(() => app.onStop(() => {}, { timeoutMs: -5 }), RangeError);
    assert.throws(() => app.block(7 as unknown as string), TypeError);
    await assert.rejects(app.use("", opener([], "")), TypeError);
    await assert.rejects(app.use("db", 1 as unknown as () => Disposable), TypeError);
    await assert.rejects(app.use("db", opener([], "db"), { after: "web" as unknown as string[] }), TypeError);
    await app.stop();
  });
});

test("rule 23: two applications live in one process, and one outlives the other", async () => {
  await world(async () => {
    const [one, two] = [new AsyncManager({ name: "one" }), new AsyncManager({ name: "two" })];
    await Promise.all([one.start(), two.start()]);
    const work = two.tasks.spawn("work", () => sleep(10).then(() => "done"));
    await one.stop();
    assert.equal(two.state, "ready");
    assert.equal(await work, "done");
    await two.stop();
  });
});

describe("AsyncManager, failures that can't be looked at", () => {
  for (const [name, opaque] of opaqueErrors()) {
    test(`${name}: of a resource, a task, a hook, or as the reason, does not keep it from stopping`, async () => {
      await world(async () => {
        const unopened = new AsyncManager();
        let closed = false;
        unopened.use("good", () => ({ [Symbol.dispose]: () => void (closed = true) }));
        unopened.use("bad", async () => {
          await sleep(1);
          throw opaque;
        });
        assert.ok(await rejectsWith(unopened.start(), opaque));
        assert.deepEqual([unopened.state, closed], ["stopped", true]);
        const running = new AsyncManager();
        running.onStop(() => {
          throw opaque;
        });
        await running.start();
        running.tasks.spawn("bad", () => {
          throw opaque;
        });
        await sleep(1);
        const report = await running.stop();
        assert.deepEqual([report.code, report.errors.length], [1, 1]);
        assert.ok(report.errors[0] === opaque);
        const asked = new AsyncManager();
        await asked.start();
        const { code, reason } = await asked.stop(opaque);
        assert.ok(reason === opaque);
        assert.equal(code, 1);
      });
    });
  }
});
