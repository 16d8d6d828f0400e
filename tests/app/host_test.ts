import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";
import { SignalHub, type SignalName } from "../../src/app/host.ts";

/** A hub over a platform that writes down who listens, and has no SIGTERM if so wished. */
function hubOver(lacking?: SignalName): {
  hub: SignalHub;
  send: (signal: SignalName) => void;
  calls: string[];
} {
  const listeners = new Map<SignalName, () => void>();
  const calls: string[] = [];
  const hub = new SignalHub({
    add(signal, listener) {
      if (signal === lacking) throw new TypeError(`Cannot listen to ${signal}: there is none`);
      calls.push(`add ${signal}`);
      listeners.set(signal, listener);
    },
    remove(signal, listener) {
      assert.equal(listeners.get(signal), listener);
      calls.push(`remove ${signal}`);
      listeners.delete(signal);
    },
  });
  return { hub, send: (signal) => listeners.get(signal)?.(), calls };
}

describe("SignalHub", () => {
  test("rule 20: listeners are composable and removable; the platform sees one, while there is any", async () => {
    await world(async () => {
      const { hub, send, calls } = hubOver();
      const told: string[] = [];
      const tell = (): void => void told.push("again");
      const [one, two] = [hub.listen("SIGHUP", () => told.push("one")), hub.listen("SIGHUP", tell)];
      const three = hub.listen("SIGHUP", tell);
      assert.deepEqual(calls, ["add SIGHUP"]);
      send("SIGHUP");
      assert.deepEqual(told, ["one", "again", "again"]);
      one[Symbol.dispose]();
      two[Symbol.dispose]();
      two[Symbol.dispose](); // Again: does nothing, and in particular does not end the third.
      await sleep(200);
      send("SIGHUP");
      assert.deepEqual(told, ["one", "again", "again", "again"]);
      assert.deepEqual(hub.listening, ["SIGHUP"]);
      three[Symbol.dispose]();
      assert.deepEqual(calls, ["add SIGHUP", "remove SIGHUP"]);
      hub.listen("SIGHUP", tell)[Symbol.dispose]();
      three[Symbol.dispose]();
      assert.deepEqual(calls.slice(2), ["add SIGHUP", "remove SIGHUP"]);
      assert.deepEqual(hub.listening, []);
    });
  });

  test("equal signals within 100 ms are one, others are not, nor are later ones", async () => {
    await world(async (w) => {
      const { hub, send } = hubOver();
      const told: string[] = [];
      using _stop = hub.listenToStop((signal) => told.push(`${signal} @${w.now}`));
      send("SIGINT");
      send("SIGTERM");
      await sleep(99);
      send("SIGINT");
      await sleep(1);
      send("SIGINT");
      await sleep(99);
      send("SIGINT");
      assert.deepEqual(told, ["SIGINT @0", "SIGTERM @0", "SIGINT @100"]);
    });
  });

  test("the echo of a signal is none either for a listener that came in between", async () => {
    await world(async () => {
      const { hub, send } = hubOver();
      hub.listen("SIGINT", () => {})[Symbol.dispose]();
      const first = hub.listen("SIGINT", () => {});
      send("SIGINT");
      first[Symbol.dispose]();
      let told = 0;
      using _second = hub.listen("SIGINT", () => told++);
      send("SIGINT");
      assert.equal(told, 0);
      await sleep(100);
      send("SIGINT");
      assert.equal(told, 1);
    });
  });

  test("quiet() resolves when no echo can come any more", async () => {
    await world(async (w) => {
      const { hub, send } = hubOver();
      await hub.quiet();
      assert.equal(w.now, 0);
      using _stop = hub.listenToStop(() => {});
      send("SIGINT");
      await sleep(30);
      send("SIGTERM");
      await hub.quiet();
      assert.equal(w.now, 130);
      await hub.quiet();
      assert.equal(w.now, 130);
    });
  });

  test("a listener's fault does not keep the others from being told, and is not hidden", () => {
    const { hub, send } = hubOver();
    const boom = new Error("boom");
    using _bad = hub.listen("SIGINT", () => {
      throw boom;
    });
    let told = 0;
    using _good = hub.listen("SIGINT", () => told++);
    assert.throws(() => send("SIGINT"), boom);
    assert.equal(told, 1);
  });

  test("the faults of several listeners all come out", () => {
    const { hub, send } = hubOver();
    const faults = [new Error("one"), null, "three"];
    const listening = faults.map((fault) =>
      hub.listen("SIGINT", () => {
        throw fault;
      })
    );
    assert.throws(() => send("SIGINT"), (error) => {
      assert(error instanceof AggregateError);
      assert.deepEqual(error.errors, faults);
      return error.message === "Cannot tell all who listen to SIGINT: 3 of them failed";
    });
    for (const each of listening) each[Symbol.dispose]();
  });

  test("a listener that was ended by one told before it is not told, one that comes meanwhile not yet", () => {
    const { hub, send } = hubOver();
    const told: string[] = [];
    const later: Disposable[] = [];
    using _first = hub.listen("SIGTERM", () => {
      told.push("first");
      second[Symbol.dispose]();
      later.push(hub.listen("SIGTERM", () => told.push("later")));
    });
    const second = hub.listen("SIGTERM", () => told.push("second"));
    send("SIGTERM");
    assert.deepEqual(told, ["first"]);
    later[0]![Symbol.dispose]();
  });

  test("does with those of SIGINT and SIGTERM that the platform has; asked for by name, it is an error", () => {
    const { hub, send } = hubOver("SIGTERM");
    const told: string[] = [];
    const stop = hub.listenToStop((signal) => told.push(signal));
    send("SIGINT");
    assert.deepEqual(told, ["SIGINT"]);
    assert.throws(() => hub.listen("SIGTERM", () => {}), TypeError);
    assert.deepEqual(hub.listening, ["SIGINT"]);
    stop[Symbol.dispose]();
    assert.deepEqual(hub.listening, []);
  });
});
