import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { abortable } from "../../src/cancel/abortable.ts";
import { sleep } from "../../src/cancel/sleep.ts";
import { census } from "../../src/kernel/census.ts";
import { deferred } from "../../src/kernel/deferred.ts";
import { world } from "../../src/testing/mod.ts";

describe("abortable", () => {
  test("gives what the work gives, and lets go of the signal", async () => {
    await world(async () => {
      const before = { ...census };
      const { signal } = new AbortController();
      const failure = new Error("work failed");
      assert.equal(await abortable(sleep(10).then(() => 7), signal), 7);
      await assert.rejects(abortable(Promise.reject(failure), signal), (error) => error === failure);
      const thenable: PromiseLike<number> = { then: (resolve) => Promise.resolve(8).then(resolve) };
      assert.equal(await abortable(thenable, signal), 8);
      assert.deepEqual(census, before);
    });
  });

  test("rejects at once with the reason, untouched; what the work does later is unseen", async () => {
    for (const reason of ["text", null, new Error("stop")]) {
      for (const end of ["resolve", "reject"] as const) {
        await world(async () => {
          const before = { ...census };
          const controller = new AbortController();
          const work = deferred<number>();
          const waiting = abortable(work.promise, controller.signal);
          controller.abort(reason);
          assert.deepEqual(census, before);
          await assert.rejects(waiting, (error) => error === reason);
          if (end === "resolve") work.resolve(1);
          else work.reject(new Error("nobody hears of this"));
        });
      }
    }
  });

  test("an abort after the work has been seen to end changes nothing", async () => {
    await world(async () => {
      const controller = new AbortController();
      const work = Promise.resolve(1);
      const waiting = abortable(work, controller.signal);
      await work;
      controller.abort("too late");
      assert.equal(await waiting, 1);
    });
  });

  test("a signal aborted beforehand starts nothing, and work under way may fail unseen", async () => {
    await world(async () => {
      const signal = AbortSignal.abort("no");
      let started = false;
      // As query builders are: work that starts when somebody waits for it.
      const lazy: PromiseLike<number> = {
        then() {
          started = true;
          return Promise.reject(new Error("started"));
        },
      };
      await assert.rejects(abortable(lazy, signal), (error) => error === "no");
      await assert.rejects(abortable(Promise.reject(new Error("unseen")), signal), (error) => error === "no");
      await sleep(1);
      assert.equal(started, false);
    });
  });

  test("keeps 100,000 waits on one promise and one signal to one listener", async () => {
    await world(async () => {
      const before = census.listeners;
      const controller = new AbortController();
      const work = deferred<number>();
      const waits = Array.from({ length: 100_000 }, () => abortable(work.promise, controller.signal));
      const settled = Promise.allSettled(waits);
      assert.equal(census.listeners, before + 1);
      controller.abort("all");
      assert.equal(census.listeners, before);
      assert.ok(
        (await settled).every((outcome) => outcome.status === "rejected" && outcome.reason === "all"),
      );
    });
  });

  test("rejects what is not a signal", async () => {
    for (const signal of [undefined, null, {}, new AbortController()]) {
      await assert.rejects(abortable(Promise.resolve(1), signal as unknown as AbortSignal), TypeError);
    }
  });
});
