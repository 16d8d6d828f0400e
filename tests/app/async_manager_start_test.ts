import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { observe } from "@uno/async";
import { AsyncManager, ClosedError, leaves, MisuseError, TaskGroupError, TimeoutError } from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";
import { failure, opener } from "./_app.ts";

describe("AsyncManager.start", () => {
  test("LC-08: opens independent resources together, and each after those it comes after", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager();
      app.use("web", opener(log, "web", 5), { after: ["db", "cache"] });
      app.use("db", opener(log, "db", 30));
      app.use("cache", opener(log, "cache", 20));
      await app.start();
      assert.equal(w.now, 35);
      assert.deepEqual(log, [
        "opening db",
        "opening cache",
        "open cache",
        "open db",
        "opening web",
        "open web",
      ]);
      await app.stop();
      assert.deepEqual(log.slice(6), ["close web", "close db", "close cache"]);
    });
  });

  test("LC-08: names the path of a circle", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const log: string[] = [];
      app.use("a", opener(log, "a"), { after: ["b"] });
      app.use("b", opener(log, "b"), { after: ["c"] });
      app.use("free", opener(log, "free"));
      const error = await failure(app.use("c", opener(log, "c"), { after: ["free", "a"] }));
      assert(error instanceof MisuseError);
      assert.match(error.message, /"c".*: c -> a -> b -> c$/);
      // It could never start: nobody who registered without waiting may miss that.
      assert.equal(await failure(app.start()), error);
      assert.deepEqual(log, ["opening free", "open free", "close free"]);
    });
  });

  test("a resource that comes after itself is the smallest circle", async () => {
    const app = new AsyncManager();
    await assert.rejects(app.use("a", opener([], "a"), { after: ["a"] }), /a -> a$/);
    await app.stop();
  });

  test("finds a circle among resources with very many ways between them", async () => {
    const app = new AsyncManager();
    const layer = (n: number): string[] => [`${n}a`, `${n}b`, `${n}c`];
    for (let n = 0; n < 40; n++) {
      for (const name of layer(n)) app.use(name, opener([], name), { after: layer(n + 1) });
    }
    await assert.rejects(app.use("40a", opener([], "40a"), { after: ["0a"] }), /40a -> 0a -> .* -> 40a$/);
    await app.stop();
  });

  test("opens thousands of resources in time that grows with their number, whatever comes after what", async () => {
    // A row of so many, where each looked at all others, would take minutes.
    const count = 6_000;
    const names = Array.from({ length: count }, (_, i) => `r${i}`);
    const rows: Record<string, (i: number) => string[]> = {
      "in a row": (i) => i === 0 ? [] : [names[i - 1]!],
      "in a row, the last registered first": (i) => i === count - 1 ? [] : [names[i + 1]!],
      "all after one that comes last": (i) => i === count - 1 ? [] : [names[count - 1]!],
    };
    for (const [how, after] of Object.entries(rows)) {
      await world(async () => {
        const app = new AsyncManager();
        let opened = 0;
        for (let i = 0; i < count; i++) {
          app.use(names[i]!, () => ({ order: opened++, [Symbol.dispose]() {} }), { after: after(i) });
        }
        await app.start();
        assert.equal(opened, count, how);
        assert.equal(app.statistics().resources, count);
        assert.equal((await app.stop()).code, 0);
        assert.equal(app.statistics().resources, 0);
      });
    }
  });

  test("names a circle of thousands, and fails thousands that come after what failed", async () => {
    await world(async () => {
      const count = 10_000;
      const app = new AsyncManager();
      for (let i = 1; i < count; i++) app.use(`r${i}`, opener([], "r"), { after: [`r${i - 1}`] });
      const circle = app.use("r0", opener([], "r"), { after: [`r${count - 1}`] });
      await assert.rejects(circle, /r0 -> r9999 -> r9998 -> .* -> r1 -> r0$/);
      await assert.rejects(app.start(), MisuseError);

      const failing = new AsyncManager();
      const error = new Error("disk is full");
      const first = failing.use("r0", () => Promise.reject(error));
      const rest = Array.from(
        { length: count },
        (_, i) => failing.use(`r${i + 1}`, opener([], "r"), { after: [`r${i}`] }),
      );
      await assert.rejects(failing.start(), (thrown) => thrown === error);
      const outcomes = await Promise.allSettled([first, ...rest]);
      assert(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason === error));
    });
  });

  test("refuses to wait for a resource that nobody registered", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const waiting = app.use("web", opener([], "web"), { after: ["dbb"] });
      const error = await failure(app.start());
      assert(error instanceof MisuseError);
      assert.match(error.message, /^Cannot open "web" after "dbb": no resource has that name$/);
      assert.equal(await failure(waiting), error);
    });
  });

  test("runs start hooks one by one after the resources, in the order of registration", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager();
      app.onStart(async () => {
        log.push("one begins");
        await sleep(10);
        log.push("one ends");
      });
      app.onStart(() => void log.push("two"));
      app.use("db", opener(log, "db", 5));
      assert.equal(app.state, "new");
      const starting = app.start();
      assert.equal(app.state, "starting");
      assert.equal(app.start(), starting);
      await starting;
      assert.equal(app.state, "ready");
      assert.deepEqual(log, ["opening db", "open db", "one begins", "one ends", "two"]);
      await app.stop();
    });
  });

  test("rule 9: a failure stops again what has started, in reverse, and is thrown by identity", async () => {
    await world(async () => {
      const log: string[] = [];
      const boom = new Error("boom");
      const app = new AsyncManager({ name: "shop" });
      app.use("db", opener(log, "db"));
      app.use("web", opener(log, "web"), { after: ["db"] });
      app.onStop(() => void log.push("stop first"));
      app.onStart(() => void log.push("start a"));
      app.onStop(() => void log.push("stop a"));
      app.onStart(() => {
        throw boom;
      });
      app.onStop(() => void log.push("stop b"));
      app.onStart(() => void log.push("never"));
      assert.equal(await failure(app.start()), boom);
      assert.equal(app.state, "stopped");
      assert.deepEqual(log.slice(4), ["start a", "stop a", "stop first", "close web", "close db"]);
      const report = await app.stop();
      assert.equal(report.code, 1);
      assert.deepEqual(report.errors, [boom]);
      assert.equal((app.signal.reason as Error).name, "AbortError");
      assert.equal((app.signal.reason as Error).cause, boom);
      await assert.rejects(app.start(), boom);
    });
  });

  test("rule 6: a failed roll-back does not hide why the start failed", async () => {
    await world(async () => {
      const [boom, late] = [new Error("boom"), new Error("late")];
      const app = new AsyncManager();
      app.use("db", () => ({ [Symbol.asyncDispose]: () => Promise.reject(late) }));
      app.use("web", () => Promise.reject(boom), { after: ["db"] });
      const error = await failure(app.start());
      assert(error instanceof TaskGroupError);
      assert.deepEqual(leaves(error), [boom, late]);
      assert.equal(error.cause, boom);
      assert.equal(error.message, `Cannot start application: 2 failures, the first: ${boom.message}`);
    });
  });

  test("a failed resource fails those that wait for it, aborts those being opened, and is reported once", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const boom = new Error("boom");
      const app = new AsyncManager();
      app.use("slow", opener(log, "slow", 1_000));
      const db = app.use("db", () => Promise.reject(boom));
      const web = app.use("web", opener(log, "web"), { after: ["db"] });
      assert.equal(await failure(app.start()), boom);
      assert.equal(await failure(db), boom);
      assert.equal(await failure(web), boom);
      assert.deepEqual(log, ["opening slow"]);
      assert.equal(w.now, 0);
      assert.deepEqual((await app.stop()).errors, [boom]);
    });
  });

  test("refuses what cannot be closed again", async () => {
    const app = new AsyncManager();
    const bad = app.use("db", (() => 42) as unknown as () => Disposable);
    await assert.rejects(bad, { name: "TypeError", message: /\[Symbol.asyncDispose\].*: received 42$/ });
    await assert.rejects(app.start(), TypeError);
  });

  test("ends at startTimeoutMs and names what it waited for", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ startTimeoutMs: 50, graceMs: 1_000 });
      app.use("db", opener(log, "db", 10));
      app.use("slow", opener(log, "slow", 100));
      app.use("web", opener(log, "web"), { after: ["slow"] });
      const error = await failure(app.start());
      assert(error instanceof TimeoutError);
      assert.equal(
        error.message,
        'Cannot start application within 50 ms: waiting for opening of "slow", opening of "web"',
      );
      assert.equal(w.now, 50);
      assert.deepEqual(log, ["opening db", "opening slow", "open db", "close db"]);
    });
  });

  test("an observer that stops it as soon as it begins leaves no timer of the start behind", async () => {
    await world(async () => {
      const app = new AsyncManager({ startTimeoutMs: 60_000 });
      using _observer = observe({ record: ({ kind }) => void (kind === "app.starting" && app.stop("no")) });
      assert.equal(await failure(app.start()), "no");
      assert.equal((await app.stop()).code, 0);
    });
  });

  test("a start hook ends at its own limit", async () => {
    await world(async (w) => {
      const app = new AsyncManager();
      let reason: unknown;
      app.onStart(async function warmUp({ signal }) {
        await sleep(1_000, { signal }).catch((error) => reason = error);
      }, { timeoutMs: 20 });
      const error = await failure(app.start());
      assert(error instanceof TimeoutError);
      assert.equal(error.operation, 'start hook "warmUp"');
      assert.equal(reason, error);
      assert.equal(w.now, 20);
      assert.deepEqual((await app.stop()).errors, [error]);
    });
  });

  test("hooks that are registered when it is ready run at once; if one fails, so does the application", async () => {
    await world(async () => {
      const app = new AsyncManager();
      await app.start();
      const log: string[] = [];
      app.use("late", opener(log, "late", 10));
      app.onStart(() => void log.push("hook"));
      await sleep(20);
      assert.deepEqual(log, ["opening late", "open late", "hook"]);
      const boom = new Error("boom");
      app.onStart(() => Promise.reject(boom));
      await app.stopRequested();
      const report = await app.stop();
      assert.deepEqual(report.errors, [boom]);
      assert.deepEqual(log.at(-1), "close late");
    });
  });

  test("when it is ready, a resource that fails to open is its caller's only, and its name is free again", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager();
      await app.start();
      await assert.rejects(app.use("db", () => Promise.reject(new Error("busy"))), /busy/);
      await app.use("db", opener(log, "db"));
      assert.equal(app.state, "ready");
      assert.equal((await app.stop()).code, 0);
      assert.deepEqual(log, ["opening db", "open db", "close db"]);
    });
  });
});

describe("AsyncManager, stop during start", () => {
  test("LC-02: aborts what is starting, waits for it, and stops only what has started", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager();
      app.use("db", opener(log, "db", 10));
      app.onStop(() => void log.push("stop before"));
      app.onStart(async ({ signal }) => {
        log.push("hook begins");
        await assert.rejects(sleep(1_000, { signal }));
        await sleep(5);
        log.push("hook ends");
        throw signal.reason;
      });
      app.onStop(() => void log.push("stop of the hook"));
      app.onStart(() => void log.push("never"));
      const starting = failure(app.start());
      await w.advance(15);
      const reason = { why: "enough" };
      const report = await app.stop(reason);
      assert.equal(w.now, 20);
      assert.equal(await starting, reason);
      assert.deepEqual(log, [
        "opening db",
        "open db",
        "hook begins",
        "hook ends",
        "stop before",
        "close db",
      ]);
      assert.equal(report.code, 0);
      assert.deepEqual(report.errors, []);
    });
  });

  test("LC-02: a resource that comes open in spite of the abort is closed, and not handed out", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager();
      const opening = failure(app.use("db", async () => {
        await sleep(30);
        return { [Symbol.dispose]: () => void log.push("close db") };
      }));
      const waiting = failure(app.use("web", opener(log, "web"), { after: ["db"] }));
      const starting = failure(app.start());
      await sleep(1);
      const report = await app.stop("enough");
      assert.deepEqual(log, ["close db"]);
      assert.equal(await opening, "enough");
      assert.equal(await waiting, "enough");
      assert.equal(await starting, "enough");
      assert.equal(report.ms, 29);
    });
  });

  test("LC-02: an opening that never ends is named, and what comes of it later is disposed", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const app = new AsyncManager({ graceMs: 100 });
      const opening = failure(app.use("db", async () => {
        await sleep(500);
        return { [Symbol.dispose]: () => void log.push("close db") };
      }));
      const starting = failure(app.start());
      await sleep(0);
      const report = await app.stop();
      assert.equal(w.now, 100);
      assert.deepEqual(report.stragglers, ['opening of "db"']);
      assert.equal(report.forced, true);
      assert.equal(report.code, 1);
      assert.equal(await starting, app.signal.reason);
      await sleep(500);
      assert.deepEqual(log, ["close db"]);
      assert.equal(await opening, app.signal.reason);
    });
  });

  test("a failure in the clean-up of an aborted start hook is reported", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const boom = new Error("boom");
      app.onStart(async ({ signal }) => {
        await sleep(1_000, { signal }).catch(() => {});
        throw boom;
      });
      const starting = failure(app.start());
      await sleep(1);
      const report = await app.stop();
      assert.deepEqual(report.errors, [boom]);
      assert.equal(await starting, app.signal.reason);
    });
  });

  test("before the start, closes what is open and runs no hook", async () => {
    await world(async () => {
      const log: string[] = [];
      const app = new AsyncManager();
      await app.use("db", opener(log, "db"));
      app.onStop(() => void log.push("hook"));
      assert.equal((await app.stop()).code, 0);
      assert.deepEqual(log, ["opening db", "open db", "close db"]);
      await assert.rejects(app.start(), ClosedError);
    });
  });
});
