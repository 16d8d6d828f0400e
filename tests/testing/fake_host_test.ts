import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeExit, FakeHost, MisuseError, world } from "@uno/async/testing";

describe("FakeHost", () => {
  test("sends signals to who listens; equal ones within 100 ms are one", async () => {
    await world(async (w) => {
      const host = new FakeHost();
      const told: string[] = [];
      const stop = host.onStop((signal) => told.push(signal));
      const hup = host.onSignal("SIGHUP", (signal) => told.push(signal));
      assert.deepEqual(host.listening, ["SIGINT", "SIGTERM", "SIGHUP"]);
      host.send("SIGINT");
      host.send("SIGINT");
      host.send("SIGHUP");
      await w.advance(100);
      host.send("SIGINT");
      assert.deepEqual(told, ["SIGINT", "SIGHUP", "SIGINT"]);
      stop[Symbol.dispose]();
      hup[Symbol.dispose]();
      assert.deepEqual(host.listening, []);
      assert.throws(() => host.send("SIGINT"), MisuseError);
    });
  });

  test("heard() resolves when somebody listens", async () => {
    const host = new FakeHost();
    let heard = false;
    const waiting = host.heard("SIGTERM").then(() => heard = true);
    await Promise.resolve();
    assert.equal(heard, false);
    using _stop = host.onStop(() => {});
    await waiting;
    await host.heard("SIGTERM");
  });

  test("writes down exits, exit codes and what is printed; exit does not return", () => {
    const host = new FakeHost({ terminal: { out: true, columns: 80 } });
    assert.equal(host.exitCode, undefined);
    host.setExitCode(3);
    assert.equal(host.exitCode, 3);
    assert.throws(() => host.exit(4), (error) => error instanceof FakeExit && error.code === 4);
    assert.deepEqual([host.exits, host.exitCode], [[4], 4]);
    host.printError("oops");
    assert.deepEqual(host.printed, ["oops"]);
    assert.deepEqual(host.terminal, { out: true, columns: 80 });
  });

  test("knows whether something keeps the process alive", () => {
    const host = new FakeHost();
    const [one, two] = [host.keepAlive(), host.keepAlive()];
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    assert.equal(host.keptAlive, true);
    two[Symbol.dispose]();
    assert.equal(host.keptAlive, false);
  });
});
