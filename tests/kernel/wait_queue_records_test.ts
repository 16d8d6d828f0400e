import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import { observe } from "../../src/kernel/observer.ts";
import { WaitQueue } from "../../src/kernel/wait_queue.ts";
import { world } from "../../src/testing/mod.ts";

type Told = [kind: string, data: object | undefined];

function queue(): WaitQueue<number, string> {
  return new WaitQueue({ what: "get ticket", structure: "test", name: "q" });
}

/** Has what the queues of this test tell written down. */
function listen(told: Told[]): Disposable {
  return observe({
    record: ({ kind, structure, name, data }) => {
      if (structure !== "test") return;
      assert.equal(name, "q");
      told.push([kind, data]);
    },
  });
}

describe("the records of a WaitQueue", () => {
  test("tell of each wait how it went, and how long it took (OB-06)", async () => {
    await world(async () => {
      const told: Told[] = [];
      using _watching = listen(told);
      const waiting = queue();
      const controller = new AbortController();
      const waits = [
        waiting.wait("a"),
        waiting.wait("b", { signal: controller.signal }),
        waiting.wait("c", { timeoutMs: 30 }),
        waiting.wait("d"),
        waiting.wait("e"),
      ];
      const settled = Promise.allSettled(waits);
      await sleep(10);
      waiting.grant(1);
      await sleep(10);
      controller.abort("stop");
      await sleep(20);
      waiting.rejectWhere((data) => data === "d", "closed");
      waiting.dismiss(waiting.oldest!, "full");
      assert.deepEqual((await settled).map(({ status }) => status), [
        "fulfilled",
        ...Array(4).fill("rejected"),
      ]);
      assert.deepEqual(told.slice(5), [
        ["grant", { waiting: 4, outcome: "granted", waitedMs: 10 }],
        ["abort", { waiting: 3, outcome: "aborted", waitedMs: 20 }],
        ["timeout", { waiting: 2, outcome: "timeout", waitedMs: 30 }],
        ["reject", { waiting: 1, outcome: "rejected", waitedMs: 40 }],
        ["reject", { waiting: 0, outcome: "rejected", waitedMs: 40 }],
      ]);
    });
  });

  test("tell that somebody was refused whose signal was aborted before", async () => {
    const told: Told[] = [];
    using _watching = listen(told);
    await assert.rejects(queue().wait("a", { signal: AbortSignal.abort("stop") }), (e) => e === "stop");
    assert.deepEqual(told, [["abort", { waiting: 0, outcome: "aborted", waitedMs: 0 }]]);
  });

  test("tell of those who are granted together, each", async () => {
    const told: Told[] = [];
    using _watching = listen(told);
    const waiting = queue();
    const waits = Promise.all([waiting.wait("a"), waiting.wait("b")]);
    assert.ok(waiting.grantTogether(2, (place) => place));
    assert.deepEqual(await waits, [0, 1]);
    assert.deepEqual(told.map(([kind]) => kind), ["wait", "wait", "grant", "grant"]);
  });

  test("leave out how long, of a wait that began before somebody watched", async () => {
    const waiting = queue();
    const wait = waiting.wait("a");
    const told: Told[] = [];
    using _watching = listen(told);
    waiting.grant(1);
    assert.equal(await wait, 1);
    assert.deepEqual(told, [["grant", { waiting: 0, outcome: "granted" }]]);
  });

  test("an observer that throws changes nothing for those who wait (OB-02)", async () => {
    await world(async () => {
      const print = mock.method(console, "error", () => {});
      try {
        using _broken = observe({
          record() {
            throw new Error("broken");
          },
        });
        const waiting = queue();
        const controller = new AbortController();
        const waits = [
          waiting.wait("a"),
          waiting.wait("b", { signal: controller.signal }),
          waiting.wait("c", { timeoutMs: 5 }),
          waiting.wait("d"),
        ];
        const lost = [
          assert.rejects(waits[1]!, (error) => error === "stop"),
          assert.rejects(waits[2]!, TimeoutError),
          assert.rejects(waits[3]!, (error) => error === "closed"),
        ];
        assert.equal(waiting.grant(1), true);
        assert.equal(await waits[0], 1);
        controller.abort("stop");
        await sleep(5);
        assert.equal(waiting.settleAll("closed"), 1);
        await Promise.all(lost);
        assert.deepEqual(waiting.totals, { granted: 1, aborted: 1, timedOut: 1 });
        assert.equal(print.mock.callCount(), 1);
      } finally {
        print.mock.restore();
      }
    });
  });
});
