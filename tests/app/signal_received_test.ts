import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalReceived } from "@uno/async/app";
import { exitCodeOf, signalIn } from "../../src/app/signal_received.ts";

test("SignalReceived is a cancellation by name, and says which signal it was and what to exit with", () => {
  const reason = new SignalReceived("SIGTERM", "shop");
  assert.ok(reason instanceof DOMException);
  assert.equal(reason.name, "AbortError");
  assert.equal(reason.message, 'Cannot go on in application "shop": SIGTERM was received');
  assert.deepEqual([reason.signal, reason.exitCode], ["SIGTERM", 143]);
  assert.equal(new SignalReceived("SIGINT").message, "Cannot go on in application: SIGINT was received");
});

test("exitCodeOf is 128 and the signal's number, as shells have it", () => {
  assert.deepEqual([exitCodeOf("SIGINT"), exitCodeOf("SIGTERM")], [130, 143]);
});

test("signalIn finds a signal and nothing else, in whatever a signal was aborted with", () => {
  const reason = new SignalReceived("SIGINT");
  assert.equal(signalIn(reason), reason);
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  for (const other of [undefined, null, "SIGINT", new DOMException("", "AbortError"), revoked.proxy]) {
    assert.equal(signalIn(other), undefined);
  }
});
