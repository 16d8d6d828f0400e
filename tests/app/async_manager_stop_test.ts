import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncManager, ClosedError, TimeoutError } from "@uno/async/app";
import { Deadline, sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";
import { failure, never, opener } from "./_app.ts";

describe("AsyncManager.stop", () => {
  test("rule 21: intake, hooks in reverse, drain, cancelled tasks, resources in reverse", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const note = (text: string): void => void log.push(`${text} @${w.now}`);
      const app = new AsyncManager({ graceMs: 1_000 });
      for (const name of ["db", "web"]) {
        await app.use(name, () => ({ [Symbol.dispose]: () => note(`close ${name}`) }));
      }
      app.onStop(async () => {
        await sleep(10);
        note("hook one");
      });
      app.onStop(async () => {
        await sleep(10);
        note("hook two");
      });
      app.tasks.spawn("finite", async () => {
        await sleep(100);
        note("finite ends");
      });
      app.tasks.spawn("endless", async ({ signal }) => {
        await sleep(Infinity, { signal }).catch(() => note("endless cancelled"));
        await sleep(20);
        note("endless ends");
      });
      app.signal.addEventListener("abort", () => note("asked to stop"), { once: true });
      await app.start();
      const report = await app.stop();
      assert.deepEqual(log, [
        "asked to stop @0",
        "hook two @10",
        "hook one @20",
        "finite ends @100",
        "endless cancelled @510",
        "endless ends @530",
        "close web @530",
        "close db @530",
      ]);
      assert.deepEqual(
        { ...report, reason: undefined, slow: report.slow.map(({ name }) => name) },
        { code: 0, reason: undefined, forced: false, stragglers: [], errors: [], slow: ["drain"], ms: 530 },
      );
    });
  });

  test("drainMs bounds the time in which tasks may finish by themselves", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ graceMs: 1_000, drainMs: 30 });
      app.tasks.spawn("endless", ({ signal }) => sleep(Infinity, { signal }));
      await app.start();
      const report = await app.stop();
      assert.equal(w.now, 30);
      assert.equal(report.code, 0);
    });
  });

  test("rule 21: is one stop, awaited by all who ask, with the first reason", async () => {
    await world(async () => {
      const app = new AsyncManager();
      let closed = 0;
      await app.use("db", () => ({
        async [Symbol.asyncDispose]() {
          await sleep(10);
          closed++;
        },
      }));
      await app.start();
      const first = app.stop("one");
      assert.equal(app.stop("two"), first);
      await sleep(5);
      const report = await app.stop("three");
      assert.equal(closed, 1);
      assert.equal(await first, report);
      assert.equal(app.signal.reason, "one");
      assert.equal(await app.stop(), report);
      assert.equal(report.code, 0);
    });
  });

  test("LC-04: a hook that hangs is reported at its own limit, and the next one runs", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 1_000 });
      await app.use("db", opener(log, "db"));
      app.onStop(() => void log.push(`flush @${w.now}`), { name: "flush" });
      let remainingMs = 0;
      app.onStop(async function deregister({ signal }) {
        remainingMs = Deadline.of(signal).remainingMs;
        await sleep(Infinity, { signal });
      }, { timeoutMs: 50 });
      await app.start();
      const report = await app.stop();
      assert.equal(remainingMs, 50);
      assert.deepEqual(log.slice(2), ["flush @50", "close db"]);
      assert.equal(report.forced, false);
      assert.deepEqual(report.stragglers, []);
      assert.equal(report.code, 1);
      const [error] = report.errors;
      assert(error instanceof TimeoutError);
      assert.equal(error.message, 'Cannot finish stop hook "deregister" within 50 ms: it was still running');
      assert.deepEqual(report.slow, [{ name: 'stop hook "deregister"', ms: 50, outcome: "overdue" }]);
    });
  });

  test("LC-04: a hook that still hangs at the end is named, though its own limit delays nobody", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ graceMs: 1_000 });
      app.onStop(never, { name: "stuck", timeoutMs: 50 });
      await app.start();
      const report = await app.stop();
      assert.equal(w.now, 50);
      assert.deepEqual(report.stragglers, ['stop hook "stuck"']);
      assert.equal(report.forced, false);
    });
  });

  test("LC-04: hooks without a limit share the time, and the total deadline forces the end", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 1_000, name: "shop" });
      await app.use("db", opener(log, "db"));
      app.onStop(() => void log.push(`first @${w.now}`));
      app.onStop(never, { name: "b" });
      app.onStop(never, { name: "a" });
      await app.start();
      const report = await app.stop();
      assert.deepEqual(log.slice(2), ["first @750", "close db"]);
      assert.equal(w.now, 1_000);
      assert.equal(report.forced, true);
      assert.equal(report.code, 1);
      assert.deepEqual(report.stragglers, ['stop hook "a"', 'stop hook "b"']);
      assert.deepEqual(report.errors.map((error) => (error as Error).message), [
        'Cannot finish stop hook "a" within 500 ms: it was still running',
        'Cannot finish stop hook "b" within 250 ms: it was still running',
        'Cannot stop application "shop" within 1000 ms: still running: stop hook "a", stop hook "b"',
      ]);
    });
  });

  test("rule 21: a stuck task is named at the deadline, resources are closed before", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 1_000 });
      await app.use("db", () => ({ [Symbol.dispose]: () => void log.push(`close db @${w.now}`) }));
      app.tasks.spawn("stuck", never);
      app.tasks.group("workers").spawn(never, { name: "worker 1" }).catch(() => {});
      app.tasks.spawn("late", () => sleep(900));
      await app.start();
      const report = await app.stop();
      assert.deepEqual(log, ["close db @750"]);
      assert.equal(w.now, 1_000);
      assert.deepEqual(report.stragglers, ['task "stuck"', 'task "worker 1"']);
      assert.equal(report.forced, true);
      assert.equal(report.code, 1);
    });
  });

  test("rule 6: a stuck task does not hide the failure of another", async () => {
    await world(async () => {
      const boom = new Error("boom");
      const app = new AsyncManager({ graceMs: 100 });
      app.tasks.spawn("stuck", never);
      app.tasks.spawn("failing", () => Promise.reject(boom));
      await app.start();
      const { errors } = await app.stop();
      assert.equal(errors[0], boom);
      assert.match(String(errors[1]), /still running: task "stuck"$/);
    });
  });

  test("rule 21: a resource that does not close is named, those under it are closed all the same", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 100 });
      await app.use("db", opener(log, "db"));
      await app.use("web", () => ({ [Symbol.asyncDispose]: never }));
      await app.start();
      const report = await app.stop();
      assert.deepEqual(report.stragglers, ['resource "web"']);
      assert.equal(log.at(-1), "close db");
    });
  });

  test("with no time at all, everything is still begun", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 0 });
      await app.use("db", opener(log, "db"));
      app.onStop(() => void log.push("hook"));
      app.tasks.spawn("worker", async ({ signal }) => {
        await sleep(Infinity, { signal }).catch(() => log.push("cancelled"));
      });
      await app.start();
      const report = await app.stop();
      assert.deepEqual(log.slice(2), ["hook", "cancelled", "close db"]);
      assert.equal(w.now, 0);
      assert.equal(report.forced, false);
    });
  });

  test("failures of hooks, resources and unobserved tasks are all in the report, once", async () => {
    await world(async () => {
      const [hook, db, task, seen] = ["hook", "db", "task", "seen"].map((text) => new Error(text));
      const app = new AsyncManager();
      await app.use("db", () => ({
        [Symbol.dispose]() {
          throw db;
        },
      }));
      app.onStop(() => Promise.reject(hook));
      app.onStop(() => Promise.reject(hook));
      app.tasks.spawn("task", () => Promise.reject(task));
      const other = app.tasks.spawn("other", () => sleep(5));
      assert.equal(await failure(app.tasks.spawn("seen", () => Promise.reject(seen))), seen);
      await app.start();
      await other;
      assert.equal(app.state, "ready");
      const report = await app.stop();
      assert.deepEqual(report.errors, [hook, db, task]);
      assert.equal(report.code, 1);
    });
  });

  test("a stop hook's own AbortError is a failure; a task's answer to the stop is none", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const abort = new DOMException("not ours", "AbortError");
      app.onStop(() => Promise.reject(abort));
      app.tasks.spawn("worker", () => sleep(Infinity, { signal: app.signal }));
      await app.start();
      const report = await app.stop();
      assert.deepEqual(report.errors, [abort]);
    });
  });

  test("an error as reason is a failure, an AbortError or anything else is a wish", async () => {
    for (
      const [reason, code] of [["bye", 0], [new DOMException("bye", "AbortError"), 0], [new Error("no"), 1]]
    ) {
      const app = new AsyncManager();
      await app.start();
      const report = await app.stop(reason);
      assert.equal(report.code, code);
      assert.equal(report.reason, reason);
      assert.equal(app.signal.reason, reason);
      assert.deepEqual(report.errors, code === 1 ? [reason] : []);
    }
  });

  test("may be asked for by a listener of the stop itself", async () => {
    const app = new AsyncManager();
    let inner: unknown;
    app.signal.addEventListener("abort", () => inner = app.stop("again"), { once: true });
    await app.start();
    const outer = app.stop("first");
    assert.equal(inner, outer);
    assert.equal((await outer).reason, "first");
  });
});

describe("AsyncManager.stop, reasons", () => {
  test("an error given while it is stopping is in the report", async () => {
    await world(async () => {
      const app = new AsyncManager();
      app.onStop(() => sleep(10));
      await app.start();
      app.stop("bye");
      const late = new Error("late");
      const report = await app.stop(late);
      assert.deepEqual(report.errors, [late]);
      assert.equal(report.reason, "bye");
    });
  });
});

describe("AsyncManager, after a stop has begun", () => {
  test("rule 22: takes no resource, hook, block or task", async () => {
    await world(async () => {
      const app = new AsyncManager({ name: "shop" });
      app.onStop(() => sleep(10));
      await app.start();
      const stopping = app.stop();
      for (let round = 0; round < 2; round++) {
        await assert.rejects(app.use("db", opener([], "db")), ClosedError);
        assert.throws(() => app.onStart(() => {}), ClosedError);
        assert.throws(() => app.onStop(() => {}), {
          name: "ClosedError",
          message: `Cannot register stop hook: application "shop" is ${round === 0 ? "stopping" : "stopped"}`,
        });
        assert.throws(() => app.block("request"), ClosedError);
        assert.throws(() => app.tasks.spawn("task", never), ClosedError);
        assert.throws(() => app.tasks.group("group"), ClosedError);
        await stopping;
      }
    });
  });
});

describe("AsyncManager.block", () => {
  test("LC-12: a stop waits for blocks, and for nothing when there is none", async () => {
    await world(async (w) => {
      const app = new AsyncManager();
      const [one, two] = [app.block("one"), app.block("two")];
      await app.start();
      const stopping = app.stop();
      await w.advance(10);
      one[Symbol.dispose]();
      one[Symbol.dispose](); // Again: does nothing, and in particular does not free the other.
      await w.advance(10);
      assert.equal(app.state, "stopping");
      two[Symbol.dispose]();
      assert.equal((await stopping).ms, 20);
      const empty = new AsyncManager();
      await empty.start();
      assert.equal((await empty.stop()).ms, 0);
    });
  });

  test("LC-12: a block that is released after the drain, but before the deadline, is no straggler", async () => {
    await world(async (w) => {
      const app = new AsyncManager({ graceMs: 100 });
      const block = app.block("request 7");
      await app.start();
      const stopping = app.stop();
      await w.advance(90);
      block[Symbol.dispose]();
      const report = await stopping;
      assert.deepEqual([report.ms, report.forced, report.stragglers], [90, false, []]);
    });
  });

  test("LC-12: a block that stays is named at the deadline", async () => {
    await world(async () => {
      const app = new AsyncManager({ graceMs: 100 });
      app.block("request 7");
      await app.start();
      const report = await app.stop();
      assert.deepEqual(report.stragglers, ['block "request 7"']);
      assert.equal(report.ms, 100);
    });
  });
});

test("block refuses to hold up the stop for nothing that has a name", async () => {
  await using app = new AsyncManager();
  for (const name of [undefined, null, 5]) assert.throws(() => app.block(name as never), TypeError);
});
