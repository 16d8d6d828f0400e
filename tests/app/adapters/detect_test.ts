import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { registerSignalHandlers } from "@uno/async/app";
import { detectHost } from "../../../src/app/adapters/detect.ts";

test("detectHost gives one host for the process, with a terminal that is what it is", async () => {
  const host = await detectHost();
  assert.equal(await detectHost(), host);
  assert.equal(host.terminal.out, process.stdout.isTTY === true);
});

test("detectHost: LC-10: the process sees listeners only while somebody listens", async () => {
  const host = await detectHost();
  const count = (): number => process.listenerCount("SIGUSR2");
  // Deno keeps its own listeners apart from those of its process object: there, runtime/app_test.ts has the proof.
  const seen = "Deno" in globalThis ? 0 : 1;
  const before = count();
  const [one, two] = [host.onSignal!("SIGUSR2", () => {}), host.onSignal!("SIGUSR2", () => {})];
  assert.equal(count() - before, seen);
  one[Symbol.dispose]();
  assert.equal(count() - before, seen);
  two[Symbol.dispose]();
  assert.equal(count(), before);
});

test("detectHost refuses a signal that nobody can listen to, and keeps nothing of it", async () => {
  const host = await detectHost();
  for (const signal of ["SIGHUB", "SIGKILL", "SIGSTOP", "sigterm", "toString"] as const) {
    const before = process.listenerCount(signal);
    assert.throws(() => host.onSignal!(signal as "SIGHUB", () => {}), TypeError, signal);
    assert.equal(process.listenerCount(signal), before);
    // Nor does it now take it for listened to.
    assert.throws(() => host.onSignal!(signal as "SIGHUB", () => {}), TypeError, signal);
  }
  await assert.rejects(
    registerSignalHandlers({ SIGUSR2: () => {}, SIGHUB: () => {} }),
    /SIGHUB/,
  );
});
