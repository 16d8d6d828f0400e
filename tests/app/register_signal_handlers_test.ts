import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { registerSignalHandlers, runApplication, type SignalName } from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { FakeHost, world } from "@uno/async/testing";

describe("registerSignalHandlers", () => {
  test("rule 20: runs the handlers of a signal, of any number of registrations, until disposed", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const note = (text: string) => ({ name }: { name: SignalName }) => void log.push(`${text} ${name}`);
      const one = await registerSignalHandlers({ SIGHUP: note("one"), SIGUSR1: note("one") }, { host });
      const two = await registerSignalHandlers({ SIGHUP: note("two") }, { host });
      host.send("SIGHUP");
      host.send("SIGUSR1");
      await w.advance(200);
      assert.deepEqual(log, ["one SIGHUP", "two SIGHUP", "one SIGUSR1"]);
      await one[Symbol.asyncDispose]();
      assert.deepEqual(host.listening, ["SIGHUP"]);
      host.send("SIGHUP");
      await w.idle();
      assert.deepEqual(log.slice(3), ["two SIGHUP"]);
      await two[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
      assert.deepEqual(host.listening, []);
    });
  });

  test("ending it cancels handlers that run, and waits for them", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const handlers = await registerSignalHandlers({
        SIGHUP: async ({ signal }) => {
          await sleep(Infinity, { signal }).catch(() => log.push("cancelled"));
          await sleep(10);
          log.push("ended");
          signal.throwIfAborted();
        },
      }, { host });
      host.send("SIGHUP");
      await w.idle();
      await handlers[Symbol.asyncDispose]();
      assert.deepEqual(log, ["cancelled", "ended"]);
      assert.deepEqual(host.printed, []);
    });
  });

  test("a handler's failure is shown, or told, and ends nothing", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const boom = new Error("boom");
      const told: unknown[] = [];
      const fail = (): Promise<never> => Promise.reject(boom);
      const throws = (): never => {
        throw boom;
      };
      await using _shown = await registerSignalHandlers({ SIGHUP: fail }, { host });
      const onError = (error: unknown, name: SignalName): void => void told.push([error, name]);
      await using _told = await registerSignalHandlers({ SIGHUP: throws }, { host, onError });
      host.send("SIGHUP");
      await w.advance(200);
      host.send("SIGHUP");
      await w.idle();
      assert.equal(host.printed.length, 2);
      assert.match(host.printed[0]!, /^Handler of SIGHUP failed: Error: boom\n/);
      assert.deepEqual(told, [[boom, "SIGHUP"], [boom, "SIGHUP"]]);
    });
  });

  test("is a resource of an application as it stands, and does not get in the way of its signals", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const log: string[] = [];
      const running = runApplication(async (app) => {
        await app.use(
          "signals",
          () => registerSignalHandlers({ SIGTERM: () => void log.push("too") }, { host }),
        );
        await app.stopRequested();
      }, { host });
      await w.idle();
      host.send("SIGTERM");
      assert.equal((await running).code, 143);
      assert.deepEqual(log, ["too"]);
      assert.deepEqual(host.listening, []);
    });
  });

  test("all or none: what the host does not know leaves nothing registered", async () => {
    const host = new FakeHost();
    const poor = { ...plain(host) };
    await assert.rejects(
      registerSignalHandlers({ SIGINT: () => {}, SIGHUP: () => {} }, { host: poor }),
      { name: "TypeError", message: /^Cannot listen to SIGHUP as the host must have onSignal/ },
    );
    assert.deepEqual(host.listening, []);
    const heard: SignalName[] = [];
    await using _handlers = await registerSignalHandlers({ SIGINT: ({ name }) => void heard.push(name) }, {
      host: poor,
    });
    host.send("SIGTERM");
    host.send("SIGINT");
    await Promise.resolve();
    assert.deepEqual(heard, ["SIGINT"]);
  });

  test("arguments are checked where they are given", async () => {
    const host = new FakeHost();
    await assert.rejects(registerSignalHandlers({ SIGHUP: 1 as unknown as () => void }, { host }), TypeError);
    const { signal } = new AbortController();
    for (const handlers of [1, null, [], new Map([["SIGHUP", () => {}]]), Promise.resolve({}), signal]) {
      await assert.rejects(registerSignalHandlers(handlers as object, { host }), {
        name: "TypeError",
        message: /^Cannot register signal handlers as handlers must be an object: received /,
      });
    }
    assert.deepEqual(host.listening, []);
  });

  test("leaves out a handler that is undefined", async () => {
    const host = new FakeHost();
    await using _handlers = await registerSignalHandlers({ SIGHUP: undefined, SIGUSR1: () => {} }, { host });
    assert.deepEqual(host.listening, ["SIGUSR1"]);
  });

  test("shows what onError throws, and goes on", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      await using _handlers = await registerSignalHandlers({
        SIGHUP: () => {
          throw new Error("of the handler");
        },
      }, {
        host,
        onError() {
          throw new Error("of onError");
        },
      });
      host.send("SIGHUP");
      await w.idle();
      assert.match(host.printed.join("\n"), /of onError/);
    });
  });

  test("shows what onError rejects with, and goes on", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const handlers = {
        SIGHUP: (): never => {
          throw new Error("handler");
        },
      };
      const onError = () => Promise.reject(new Error("onError"));
      await using _handlers = await registerSignalHandlers(handlers, { host, onError });
      host.send("SIGHUP");
      await w.idle();
      assert.match(host.printed.join(), /onError/);
    });
  });

  test("refuses missing handlers and what is no host", async () => {
    await assert.rejects(
      registerSignalHandlers(undefined as never),
      /as handlers must be an object: received undefined/,
    );
    await assert.rejects(registerSignalHandlers({}, { host: {} as never }), /as host must have/);
  });
});

/** A host with only what every host must have. */
function plain(host: FakeHost) {
  return {
    onStop: host.onStop.bind(host),
    setExitCode: host.setExitCode.bind(host),
    exit: host.exit.bind(host) as (code: number) => never,
    terminal: host.terminal,
  };
}
