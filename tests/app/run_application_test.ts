import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AsyncManager,
  ClosedError,
  runApplication,
  SignalReceived,
  type StopReport,
  TimeoutError,
} from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { TaskGroup } from "@uno/async/task";
import { FakeHost, world } from "@uno/async/testing";
import { opaqueErrors } from "../_opaque.ts";

const never = (): Promise<never> => new Promise<never>(() => {});

/** Nothing of an application is left in its process. */
function assertQuiet(host: FakeHost): void {
  assert.deepEqual(host.listening, []);
  assert.equal(host.keptAlive, false);
}

describe("runApplication", () => {
  test("runs main, then stops what it opened, and leaves the exit code alone", async () => {
    await world(async () => {
      const host = new FakeHost();
      const log: string[] = [];
      const report = await runApplication(async (app) => {
        assert(app instanceof AsyncManager);
        assert.equal(app.name, "shop");
        await app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        app.onStart(() => void log.push("start"));
        app.onStop(() => void log.push("stop"));
        await app.start();
        assert.equal(app.state, "ready");
        log.push("work");
      }, { host, name: "shop" });
      assert.deepEqual(log, ["start", "work", "stop", "close db"]);
      assert.equal(report.code, 0);
      assert.equal(host.exitCode, undefined);
      assert.deepEqual([host.exits, host.printed], [[], []]);
      assertQuiet(host);
    });
  });

  test("starts what main registered, even when main does not wait for it", async () => {
    await world(async () => {
      const host = new FakeHost();
      const log: string[] = [];
      const report = await runApplication((app) => {
        app.use("db", async () => {
          await sleep(10);
          return { [Symbol.dispose]: () => void log.push("close db") };
        });
        app.onStart(() => void log.push("start"));
        app.onStop(() => void log.push("stop"));
      }, { host });
      assert.deepEqual(log, ["start", "stop", "close db"]);
      assert.equal(report.code, 0);
    });
  });

  test("what main registers acts at once: without start(), hooks run and resources open", async () => {
    await world(async () => {
      const host = new FakeHost();
      const log: string[] = [];
      await runApplication(async (app) => {
        app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        app.onStart(() => void log.push("start"));
        await sleep(1);
        log.push("work");
      }, { host });
      assert.deepEqual(log, ["start", "work", "close db"]);
    });
  });

  test("a failing main is shown once, rolled back, and never thrown; the process exits with 1", async () => {
    await world(async () => {
      const host = new FakeHost();
      const log: string[] = [];
      const boom = new Error("boom", { cause: new TypeError("why") });
      const report = await runApplication(async (app) => {
        await app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        await app.use("web", () => ({ [Symbol.dispose]: () => void log.push("close web") }));
        throw boom;
      }, { host });
      assert.deepEqual(log, ["close web", "close db"]);
      assert.equal(report.code, 1);
      assert.deepEqual(report.errors, [boom]);
      assert.equal(host.exitCode, 1);
      assert.deepEqual(host.exits, []);
      assert.equal(host.printed.length, 1);
      assert.match(host.printed[0]!, /^Error: boom\n(.|\n)*caused by TypeError: why/);
      assertQuiet(host);
    });
  });

  test("main may throw at once, and anything", async () => {
    for (
      const thrown of [new Error("at once"), "text", null, undefined, new DOMException("x", "AbortError")]
    ) {
      const host = new FakeHost();
      const report = await runApplication(() => {
        throw thrown;
      }, { host });
      assert.deepEqual(report.errors, [thrown]);
      assert.equal(host.exitCode, 1);
      assert.equal(host.printed.length, 1);
    }
  });

  test("rule 9: a failed start is rolled back, reported once, and exits with 1", async () => {
    await world(async () => {
      const host = new FakeHost();
      const log: string[] = [];
      const boom = new Error("no port");
      const report = await runApplication(async (app) => {
        await app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        app.onStart(() => Promise.reject(boom));
        await app.start();
        log.push("never");
      }, { host });
      assert.deepEqual(log, ["close db"]);
      assert.deepEqual(report.errors, [boom]);
      assert.equal(host.exitCode, 1);
      assert.equal(host.printed.length, 1);
    });
  });

  test("rule 9: a start that fails behind main's back ends the application instead of idling for ever", async () => {
    await world(async () => {
      const host = new FakeHost();
      const boom = new Error("no db");
      const report = await runApplication(async (app) => {
        app.use("db", () => Promise.reject(boom));
        await app.stopRequested();
      }, { host });
      assert.deepEqual(report.errors, [boom]);
      assert.equal(report.code, 1);
    });
  });

  test("startTimeoutMs bounds the start, not an application without one", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const batch = await runApplication(() => sleep(500), { host, startTimeoutMs: 100 });
      assert.equal(batch.code, 0);
      assert.equal(w.now, 500);
      const stuck = await runApplication(async (app) => {
        app.onStart(({ signal }) => sleep(Infinity, { signal }), { name: "warm up" });
        await app.start();
      }, { host, startTimeoutMs: 100 });
      assert.equal(w.now, 600);
      assert.equal(stuck.code, 1);
      assert(stuck.errors[0] instanceof TimeoutError);
      assert.match(
        host.printed[0]!,
        /^TimeoutError: Cannot start application within 100 ms: .*start hook "warm up"$/,
      );
    });
  });

  test("describeError decides what is shown of a failure, and can show nothing", async () => {
    const host = new FakeHost();
    const run = (describeError: (error: unknown) => string): Promise<StopReport> =>
      runApplication(() => Promise.reject(new Error("no such folder")), { host, describeError });
    await run((error) => `catalogue: ${(error as Error).message}`);
    await run(() => "");
    assert.deepEqual(host.printed, ["catalogue: no such folder"]);
    assert.equal(host.exitCode, 1);
  });

  test("rejects only for wrong arguments", async () => {
    await assert.rejects(runApplication(1 as unknown as () => void), TypeError);
    await assert.rejects(runApplication(() => {}, { graceMs: -1 }), RangeError);
    await assert.rejects(runApplication(() => {}, { signal: 1 as unknown as AbortSignal }), TypeError);
  });

  test("does with a host that has only what every host must have", async () => {
    const { terminal } = new FakeHost();
    const codes: number[] = [];
    let stop = (_: "SIGTERM"): void => {};
    const report = await runApplication((app) => {
      stop("SIGTERM");
      return app.stopRequested();
    }, {
      host: {
        onStop: (f) => (stop = f, { [Symbol.dispose]: () => stop = () => {} }),
        setExitCode: (code) => void codes.push(code),
        exit: (code) => {
          throw new Error(`Cannot exit with ${code}`);
        },
        terminal,
      },
    });
    assert.equal(report.code, 143);
    assert.deepEqual(codes, [143]);
  });
});

describe("runApplication, signals", () => {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    test(`${signal} stops it gracefully; the exit code is ${code}`, async () => {
      await world(async (w) => {
        const host = new FakeHost();
        const log: string[] = [];
        const running = runApplication(async (app) => {
          app.onStop(() => void log.push("stop"));
          app.tasks.spawn("job", () => sleep(20).then(() => log.push("job")));
          await app.start();
          await app.stopRequested();
          assert(app.signal.reason instanceof SignalReceived);
          assert.equal(app.signal.reason.signal, signal);
          assert.equal(app.signal.reason.name, "AbortError");
        }, { host });
        await w.advance(10);
        assert.equal(host.keptAlive, true);
        host.send(signal);
        const report = await running;
        assert.deepEqual(log, ["stop", "job"]);
        assert.equal(report.code, code);
        assert.deepEqual(report.errors, []);
        assert.equal(host.exitCode, code);
        assert.deepEqual([host.exits, host.printed], [[], []]);
        assertQuiet(host);
      });
    });
  }

  test("a main that ends by the reason of app.signal has not failed, however it got there", async () => {
    const ways: ((app: AsyncManager) => PromiseLike<unknown>)[] = [
      (app) => sleep(Infinity, { signal: app.signal }),
      (app) =>
        TaskGroup.run(async (group) => {
          group.spawn(({ signal }) => sleep(Infinity, { signal }));
          await group.join();
        }, { signal: app.signal }),
      (app) => app.stopRequested().then(() => Promise.reject(new DOMException("mine", "AbortError"))),
    ];
    for (const way of ways) {
      await world(async (w) => {
        const host = new FakeHost();
        const running = runApplication(way, { host });
        await w.idle();
        host.send("SIGINT");
        const report = await running;
        assert.deepEqual(report.errors, []);
        assert.equal(host.exitCode, 130);
        assert.deepEqual(host.printed, []);
      });
    }
  });

  test("main drains before the resources it uses are closed", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const running = runApplication(async (app) => {
        await app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        await app.stopRequested();
        await sleep(100);
        log.push("committed");
      }, { host });
      await w.idle();
      host.send("SIGINT");
      await running;
      assert.deepEqual(log, ["committed", "close db"]);
    });
  });

  test("a failure after the signal is shown; the exit code stays the signal's", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const boom = new Error("boom");
      const running = runApplication(async (app) => {
        await app.stopRequested();
        throw boom;
      }, { host });
      await w.idle();
      host.send("SIGTERM");
      const report = await running;
      assert.deepEqual(report.errors, [boom]);
      assert.equal(host.exitCode, 143);
      assert.equal(host.printed.length, 1);
    });
  });

  test("rule 20: a second signal ends it at once, with its own code, and says what still runs", async () => {
    for (const [second, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      await world(async (w) => {
        const host = new FakeHost();
        const running = runApplication(async (app) => {
          app.onStop(never, { name: "flush" });
          app.tasks.spawn("stuck", never);
          await app.start();
          await app.stopRequested();
        }, { host, name: "shop" });
        await w.idle();
        host.send("SIGINT");
        await w.advance(150);
        assert.deepEqual(host.exits, []);
        host.send(second);
        assert.deepEqual(host.exits, [code]);
        assert.deepEqual(host.printed, [
          `Application "shop" is ended by a second signal (${second}), still running: stop hook "flush", task "stuck"`,
        ]);
        const report = await running;
        assert.equal(w.now, 150);
        assert.equal(report.forced, true);
        assert.equal(report.code, code);
        assert.deepEqual(host.exits, [code]);
        assert.equal(host.printed.length, 1);
        assertQuiet(host);
      });
    }
  });

  test("rule 20: equal signals within 100 ms are one", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const running = runApplication(async (app) => {
        await app.stopRequested();
        await sleep(150);
      }, { host });
      await w.idle();
      host.send("SIGINT");
      await w.advance(99);
      host.send("SIGINT");
      const report = await running;
      assert.equal(report.forced, false);
      assert.deepEqual(host.exits, []);
    });
  });

  test("the first signal during a stop that something else began does not force it yet", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const running = runApplication((app) => {
        app.onStop(() => sleep(1_000));
      }, { host });
      await w.advance(100);
      host.send("SIGINT");
      assert.deepEqual(host.exits, []);
      const report = await running;
      assert.equal(report.code, 0);
      assert.equal(report.forced, false);
    });
  });

  test("rule 21: a stuck task is named at the deadline, and the process is ended", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const running = runApplication(async (app) => {
        app.tasks.spawn("stuck", never);
        await app.stopRequested();
      }, { host, graceMs: 500, name: "shop" });
      await w.idle();
      host.send("SIGTERM");
      const report = await running;
      assert.equal(w.now, 500);
      assert.deepEqual(report.stragglers, ['task "stuck"']);
      assert.equal(report.forced, true);
      assert.deepEqual(host.exits, [143]);
      assert.deepEqual(host.printed, [
        'TimeoutError: Cannot stop application "shop" within 500 ms: still running: task "stuck"',
      ]);
      assertQuiet(host);
    });
  });

  test("rule 21: so is a main that does not end", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const running = runApplication(never, { host, graceMs: 500 });
      await w.idle();
      host.send("SIGINT");
      const report = await running;
      assert.equal(w.now, 500);
      assert.deepEqual(report.stragglers, ["main"]);
      assert.deepEqual(host.exits, [130]);
    });
  });

  test("without a signal, a stuck task makes it a failure", async () => {
    await world(async () => {
      const host = new FakeHost();
      const report = await runApplication((app) => void app.tasks.spawn("stuck", never), {
        host,
        graceMs: 500,
      });
      assert.equal(report.code, 1);
      assert.deepEqual(host.exits, [1]);
    });
  });

  test("LC-02: a signal during the start stops what has started", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const running = runApplication(async (app) => {
        await app.use("db", () => ({ [Symbol.dispose]: () => void log.push("close db") }));
        await app.use("slow", async ({ signal }) => {
          await sleep(1_000, { signal });
          return { [Symbol.dispose]: () => void log.push("close slow") };
        });
        log.push("never");
      }, { host });
      await w.advance(10);
      host.send("SIGINT");
      const report = await running;
      assert.equal(w.now, 10);
      assert.deepEqual(log, ["close db"]);
      assert.equal(report.code, 130);
      assert.deepEqual(report.errors, []);
    });
  });
});

describe("runApplication, the signal option", () => {
  test("stops it with its reason; a wish is no failure", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const controller = new AbortController();
      const running = runApplication((app) => app.stopRequested(), { host, signal: controller.signal });
      await w.idle();
      const reason = { why: "enough" };
      controller.abort(reason);
      const report = await running;
      assert.equal(report.reason, reason);
      assert.equal(report.code, 0);
      assertQuiet(host);
    });
  });

  test("does not call main when it is aborted already", async () => {
    const host = new FakeHost();
    let called = false;
    const report = await runApplication(() => called = true, { host, signal: AbortSignal.abort("no") });
    assert.equal(called, false);
    assert.equal(report.reason, "no");
    assertQuiet(host);
  });

  test("a limit that ends the application is a failure", async () => {
    await world(async () => {
      const host = new FakeHost();
      const controller = new AbortController();
      const running = runApplication((app) => sleep(Infinity, { signal: app.signal }), {
        host,
        signal: controller.signal,
      });
      await sleep(10);
      const late = new TimeoutError("Cannot go on", { operation: "run", limitMs: 10 });
      controller.abort(late);
      const report = await running;
      assert.deepEqual(report.errors, [late]);
      assert.equal(host.exitCode, 1);
    });
  });
});

describe("runApplication, stop() from inside", () => {
  test("main may ask for it and return", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const report = await runApplication((app) => void app.stop("done"), { host });
      assert.equal(w.now, 0);
      assert.equal(report.code, 0);
      assert.equal(report.reason, "done");
    });
  });

  test("a main that waits for its own stop costs time, but no failure", async () => {
    await world(async () => {
      const host = new FakeHost();
      let inner: StopReport | undefined;
      const report = await runApplication(async (app) => {
        inner = await app.stop("done");
      }, { host, graceMs: 1_000 });
      assert.equal(inner?.code, 0);
      assert.equal(report.code, 0);
      assert.deepEqual([report.forced, report.stragglers, host.exits], [false, [], []]);
    });
  });

  test("nothing is taken afterwards", async () => {
    await world(async () => {
      const host = new FakeHost();
      const report = await runApplication(async (app) => {
        void app.stop();
        await assert.rejects(app.use("db", () => assert.fail("opened")), ClosedError);
        assert.throws(() => app.tasks.spawn("late", () => assert.fail("started")), ClosedError);
        assert.throws(() => app.onStop(() => {}), ClosedError);
      }, { host });
      assert.deepEqual([report.code, report.errors], [0, []]);
    });
  });
});

describe("runApplication, several in one process", () => {
  test("one after the other, also after a failure", async () => {
    await world(async () => {
      const host = new FakeHost();
      for (let i = 0; i < 3; i++) {
        const report = await runApplication(async (app) => {
          await app.use("db", () => ({ [Symbol.dispose]() {} }));
          if (i === 1) throw new Error("boom");
        }, { host });
        assert.equal(report.code, i === 1 ? 1 : 0);
        assertQuiet(host);
      }
      // A later success does not hide the failure.
      assert.equal(host.exitCode, 1);
    });
  });

  test("nested: a signal reaches both, the inner one ends first", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const running = runApplication(async (outer) => {
        await outer.use("db", () => ({ [Symbol.dispose]: () => void log.push("close outer db") }));
        const inner = await runApplication(async (app) => {
          await app.use("web", () => ({ [Symbol.dispose]: () => void log.push("close inner web") }));
          await app.stopRequested();
          await sleep(20);
        }, { host, signal: outer.signal, name: "inner" });
        log.push(`inner ${inner.code}`);
      }, { host, name: "outer" });
      await w.idle();
      host.send("SIGTERM");
      const report = await running;
      assert.deepEqual(log, ["close inner web", "inner 143", "close outer db"]);
      assert.equal(report.code, 143);
      assertQuiet(host);
    });
  });

  test("side by side: a signal reaches both, and the end of one leaves the other listening", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const short = runApplication(() => sleep(10), { host });
      const long = runApplication((app) => app.stopRequested(), { host });
      await short;
      assert.deepEqual(host.listening, ["SIGINT", "SIGTERM"]);
      await w.idle();
      host.send("SIGINT");
      assert.equal((await long).code, 130);
      assertQuiet(host);
    });
  });

  test("shows every failure and sets the exit code, whatever was thrown and however it is described", async () => {
    const hidden = Object.defineProperty(new Error("x"), "stack", {
      get() {
        throw new Error("from the getter");
      },
    });
    for (const thrown of [Object.create(null), hidden, Symbol("s")]) {
      const host = new FakeHost();
      const report = await runApplication(() => {
        throw thrown;
      }, { host });
      assert.deepEqual([report.code, host.exitCode, host.printed.length], [1, 1, 1]);
    }
    const host = new FakeHost();
    await runApplication(() => {
      throw new Error("of main");
    }, {
      host,
      describeError() {
        throw new Error("of describeError");
      },
    });
    assert.equal(host.exitCode, 1);
    assert.match(host.printed.join("\n"), /of main[^]*of describeError/);
  });

  test("refuses what is no host", async () => {
    for (const host of [null, 5, {}]) {
      await assert.rejects(runApplication(() => {}, { host: host as unknown as FakeHost }), {
        name: "TypeError",
        message:
          /^Cannot run application as host must have onStop\(\), setExitCode\(\) and exit\(\): received/,
      });
    }
  });

  test("sets the exit code and ends at a second signal, also where nothing can be shown", async () => {
    const mute = (): FakeHost =>
      Object.assign(new FakeHost(), {
        printError() {
          throw new Error("EPIPE");
        },
      });
    await world(async (w) => {
      const failing = mute();
      const report = await runApplication((app) => {
        app.tasks.spawn("poller", () => Promise.reject(new Error("of a task")));
        throw new Error("of main");
      }, { host: failing });
      assert.deepEqual([report.code, failing.exitCode], [1, 1]);
      assert.deepEqual(report.errors.map((error) => (error as Error).message).sort(), [
        "of a task",
        "of main",
      ]);
      assertQuiet(failing);

      const hanging = mute();
      const running = runApplication(never, { host: hanging });
      await hanging.heard("SIGINT");
      hanging.send("SIGINT");
      await w.advance(200);
      hanging.send("SIGINT");
      assert.equal((await running).code, 130);
      assert.deepEqual(hanging.exits, [130]);
      assertQuiet(hanging);
    }, { auto: false });
  });

  test("leaves nothing registered with a host that fails it", async () => {
    for (const method of ["onStop", "keepAlive"] as const) {
      const failure = new Error(`of ${method}`);
      const host = Object.assign(new FakeHost(), {
        [method]() {
          throw failure;
        },
      });
      await assert.rejects(runApplication(never, { host }), (error) => error === failure);
      assertQuiet(host);
    }
  });

  test("a signal aborted with null stops it with that very reason", async () => {
    const host = new FakeHost();
    const controller = new AbortController();
    const running = runApplication((app) => app.stopRequested(), { host, signal: controller.signal });
    controller.abort(null);
    const report = await running;
    assert.deepEqual([report.reason, report.code], [null, 0]);
  });
});

test("runApplication shows the failure of a background task when it happens, and once", async () => {
  await world(async () => {
    const host = new FakeHost();
    let atOnce = 0;
    const report = await runApplication(async (app) => {
      app.tasks.spawn("worker", () => Promise.reject(new Error("out of order")));
      await app.start();
      await sleep(10);
      atOnce = host.printed.length;
    }, { host, name: "shop", describeError: (error) => (error as Error).message });
    assert.equal(atOnce, 1);
    assert.deepEqual(host.printed, ['Task "worker" of application "shop" failed: out of order']);
    assert.deepEqual([report.code, host.exitCode], [1, 1]);
  });
});

test("runApplication shows nothing of a task's failure of which describeError says nothing", async () => {
  await world(async () => {
    const host = new FakeHost();
    const failure = new Error("down");
    const { code, errors } = await runApplication(async (app) => {
      app.tasks.spawn("poller", () => Promise.reject(failure));
      await sleep(10);
    }, { host, describeError: (error) => error === failure ? "" : "?" });
    assert.deepEqual([code, errors, host.printed], [1, [failure], []]);
  });
});

test("runApplication takes a main that runs into the stop for stopped, not for failed", async () => {
  for (const late of ["use", "spawn"] as const) {
    await world(async () => {
      const host = new FakeHost();
      const report = await runApplication(async (app) => {
        await app.start();
        await app.stopRequested();
        if (late === "use") await app.use("late", () => ({ [Symbol.dispose]() {} }));
        else app.tasks.spawn("late", () => Promise.resolve());
      }, { host, signal: AbortSignal.abort("enough") });
      assert.deepEqual(report.errors, []);
      const running = runApplication(async (app) => {
        await app.start();
        host.send("SIGTERM");
        if (late === "use") await app.use("late", () => ({ [Symbol.dispose]() {} }));
        else app.tasks.spawn("late", () => Promise.resolve());
      }, { host });
      assert.deepEqual([(await running).errors, (await running).code, host.printed], [[], 143, []]);
    });
  }
});

describe("runApplication, failures that can't be looked at", () => {
  for (const [name, opaque] of opaqueErrors()) {
    test(`${name}: of main, or as the reason, ends it with 1 and leaves nothing registered`, async () => {
      await world(async () => {
        const failed = new FakeHost();
        const fail = (): never => {
          throw opaque;
        };
        const report = await runApplication(fail, { host: failed });
        assert.ok(report.errors[0] === opaque);
        const told = new FakeHost();
        const controller = new AbortController();
        const running = runApplication((app) => app.stopRequested(), {
          host: told,
          signal: controller.signal,
        });
        await sleep(1);
        controller.abort(opaque);
        assert.ok((await running).reason === opaque);
        for (const host of [failed, told]) {
          assert.deepEqual([host.exitCode, host.keptAlive, host.listening.length], [1, false, 0]);
          assert.equal(host.printed.length, 1);
        }
      });
    });
  }
});
