import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Deadline } from "../../src/cancel/deadline.ts";
import { linkSignals } from "../../src/cancel/link_signals.ts";
import { timeout } from "../../src/cancel/timeout.ts";
import { census } from "../../src/kernel/census.ts";
import { world } from "../../src/testing/mod.ts";

describe("linkSignals", () => {
  test("is aborted with the first source that is, with its reason untouched, and lets go of the others", () => {
    for (const reason of ["text", null, new Error("stop")]) {
      const before = { ...census };
      const [a, b] = [new AbortController(), new AbortController()];
      const linked = linkSignals(a.signal, undefined, b.signal, a.signal);
      assert.equal(census.subscriptions, before.subscriptions + 2);
      assert.equal(linked.signal.aborted, false);
      b.abort(reason);
      assert.equal(linked.signal.reason, reason);
      assert.deepEqual(census, before);
      a.abort("later");
      assert.equal(linked.signal.reason, reason);
    }
  });

  test("is aborted from the start when a source is, by the first in the list", () => {
    const before = { ...census };
    const [first, second] = [AbortSignal.abort("first"), AbortSignal.abort("second")];
    assert.equal(linkSignals(new AbortController().signal, first, second).signal.reason, "first");
    assert.deepEqual(census, before);
  });

  test("passes on an abort, and knows the deadline, through more links and limits than a stack is deep", async () => {
    await world(() => {
      const before = { ...census };
      const controller = new AbortController();
      const scopes: Disposable[] = [];
      let { signal } = controller;
      for (let i = 0; i < 20_000; i++) {
        const scope = i % 2 === 0 ? timeout(1_000 + i, { signal }) : linkSignals(signal);
        scopes.push(scope);
        ({ signal } = scope);
      }
      assert.equal(Deadline.of(signal).remainingMs, 1_000);
      controller.abort("stop");
      assert.equal(signal.reason, "stop");
      assert.deepEqual(census, before);
      return Promise.resolve();
    });
  });

  test("a source that can't be listened to is an error, and the others are let go of", () => {
    const before = { ...census };
    const deaf = {
      aborted: false,
      addEventListener() {
        throw new Error("deaf");
      },
      removeEventListener() {},
    };
    const sources = [new AbortController().signal, deaf as unknown as AbortSignal];
    assert.throws(() => linkSignals(...sources), { message: "deaf" });
    assert.deepEqual(census, before);
  });

  test("stays as it is once disposed", () => {
    const before = { ...census };
    const controller = new AbortController();
    const linked = linkSignals(controller.signal);
    linked[Symbol.dispose]();
    linked[Symbol.dispose]();
    assert.deepEqual(census, before);
    controller.abort();
    assert.equal(linked.signal.aborted, false);
  });

  test("works with no source at all, and refuses what is not a signal", () => {
    assert.equal(linkSignals().signal.aborted, false);
    assert.equal(linkSignals(undefined).signal.aborted, false);
    assert.throws(() => linkSignals(null as unknown as AbortSignal), TypeError);
    assert.throws(() => linkSignals(new AbortController() as unknown as AbortSignal), TypeError);
  });

  test("carries the earliest deadline of its sources, as long as it is linked to them", async () => {
    await world(async (w) => {
      using soon = timeout(100);
      using late = timeout(500);
      const linked = linkSignals(late.signal, new AbortController().signal, soon.signal);
      assert.equal(Deadline.of(linked.signal).remainingMs, 100);
      await w.advance(60);
      assert.equal(Deadline.of(linked.signal).remainingMs, 40);
      linked[Symbol.dispose]();
      assert.equal(Deadline.of(linked.signal).remainingMs, Infinity);
    });
  });
});
