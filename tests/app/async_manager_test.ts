import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncManager, ClosedError, leaves, MisuseError, TaskGroupError, TimeoutError } from "@uno/async/app";
import { observe } from "@uno/async";
import { Deadline, sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";
import { opaqueErrors, rejectsWith } from "../_opaque.ts";

/** Opens a resource that writes down its life. */
function opener(log: string[], name: string, openMs = 0, closeMs = 0) {
  return async ({ signal }: { signal: AbortSignal }): Promise<AsyncDisposable> => {
    log.push(`opening ${name}`);
    if (openMs > 0) await sleep(openMs, { signal });
    log.push(`open ${name}`);
    return {
      async [Symbol.asyncDispose]() {
        if (closeMs > 0) await sleep(closeMs);
        log.push(`close ${name}`);
      },
    };
  };
}

const never = (): Promise<never> => new Promise<never>(() => {});

async function failure(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

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

test("block refuses to hold up the stop for nothing that has a name", async () => {
  await using app = new AsyncManager();
  for (const name of [undefined, null, 5]) assert.throws(() => app.block(name as never), TypeError);
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
