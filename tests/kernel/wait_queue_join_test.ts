import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { census } from "../../src/kernel/census.ts";
import { observe } from "../../src/kernel/observer.ts";
import { type Place, WaitQueue, type WaitQueueOptions } from "../../src/kernel/wait_queue.ts";

function queue(options: Partial<WaitQueueOptions> = {}): WaitQueue<number, string> {
  return new WaitQueue({ what: "get ticket", structure: "test", ...options });
}

/** Joins and writes down what happens. */
function join(waiting: WaitQueue<number, string>, log: string[], data: string, signal?: AbortSignal): Place {
  return waiting.join(
    data,
    signal,
    (value) => log.push(`${data} got ${value}`),
    (reason) => log.push(`${data} lost ${reason}`),
  );
}

describe("WaitQueue.join", () => {
  test("is granted in turn with those who wait, in the very step", async () => {
    const [waiting, log]: [WaitQueue<number, string>, string[]] = [queue(), []];
    const first = waiting.wait("a");
    join(waiting, log, "b");
    assert.equal(waiting.size, 2);
    waiting.grant(1);
    assert.deepEqual(log, []);
    assert.equal(waiting.head(), "b");
    waiting.grant(2);
    assert.deepEqual(log, ["b got 2"]);
    assert.equal(await first, 1);
    assert.deepEqual(waiting.totals, { granted: 2, aborted: 0, timedOut: 0 });
  });

  test("leaves from any place, and the rest keep theirs", () => {
    for (const leaving of ["a", "b", "c"]) {
      const [waiting, log]: [WaitQueue<number, string>, string[]] = [queue(), []];
      const places = new Map(["a", "b", "c"].map((data) => [data, join(waiting, log, data)]));
      places.get(leaving)!.leave();
      assert.equal(waiting.size, 2);
      while (waiting.grant(0));
      assert.deepEqual(
        log,
        ["a", "b", "c"].filter((data) => data !== leaving).map((data) => `${data} got 0`),
      );
      assert.deepEqual(waiting.totals, { granted: 2, aborted: 0, timedOut: 0 });
    }
  });

  test("tells the structure that it has left only in the second step, once, and only if it had to leave", () => {
    let told = 0;
    const waiting = queue({ onLeave: () => void told++ });
    const [granted, left] = [join(waiting, [], "a"), join(waiting, [], "b")];
    waiting.grant(1);
    granted.leave();
    granted.left();
    assert.equal(told, 0);
    left.left();
    assert.equal(told, 0);
    left.leave();
    left.leave();
    assert.deepEqual([waiting.size, told], [0, 0]);
    left.left();
    left.left();
    assert.equal(told, 1);
  });

  test("is sent away like anybody else", () => {
    const [waiting, log]: [WaitQueue<number, string>, string[]] = [queue(), []];
    const place = join(waiting, log, "a");
    assert.equal(waiting.settleAll("closed"), 1);
    place.leave();
    assert.deepEqual(log, ["a lost closed"]);
    assert.equal(waiting.size, 0);
  });

  test("one who is sent away may take its other places out meanwhile", async () => {
    for (const order of [["x", "x", "plain"], ["x", "plain", "x"], ["plain", "x", "x"]]) {
      const before = { ...census };
      const waiting = queue();
      const places: Place[] = [];
      let lost = 0;
      let plain: Promise<number> | undefined;
      for (const data of order) {
        if (data === "plain") plain = waiting.wait(data);
        else {
          places.push(waiting.join(data, undefined, () => {}, () => {
            lost++;
            for (const place of places) place.leave();
          }));
        }
      }
      const late = waiting.wait("late");
      assert.equal(waiting.rejectWhere((data) => data !== "late", "closed"), 2);
      await assert.rejects(plain!, (error) => error === "closed");
      assert.deepEqual([waiting.size, waiting.head(), lost], [1, "late", 1]);
      waiting.grant(1);
      assert.equal(await late, 1);
      assert.deepEqual(census, before);
    }
  });

  test("one whose signal is aborted is granted nothing, but loses its place with the reason", () => {
    const [waiting, log]: [WaitQueue<number, string>, string[]] = [queue(), []];
    const controller = new AbortController();
    join(waiting, log, "a", controller.signal);
    join(waiting, log, "b");
    controller.abort("stop");
    assert.deepEqual(log, [], "watching the signal is the caller's business");
    assert.equal(waiting.grant(1), true);
    assert.deepEqual(log, ["a lost stop", "b got 1"]);
  });

  test("observers hear of its end when it has left its other places, but of a wait's before its caller does", async () => {
    const log: string[] = [];
    const [one, other] = [queue(), queue()];
    const place = join(other, log, "other");
    one.join("one", undefined, () => {
      place.leave();
      log.push("left");
    }, () => {});
    const waiting = one.wait("waiting").then(() => log.push("resolved"));
    using _watching = observe({
      record: ({ kind }) => {
        log.push(kind);
        queueMicrotask(() => log.push(`after ${kind}`));
      },
    });
    one.grant(1);
    assert.deepEqual(log, ["left", "grant", "leave"]);
    await Promise.resolve();
    log.length = 0;
    one.grant(2);
    await waiting;
    assert.deepEqual(log, ["grant", "after grant", "resolved"]);
  });

  test("every place that observers hear of has an end that they hear of", () => {
    const kinds: string[] = [];
    using _watching = observe({ record: ({ kind }) => void kinds.push(kind) });
    const waiting = queue();
    join(waiting, [], "a").leave();
    join(waiting, [], "b");
    waiting.grant(1);
    join(waiting, [], "c");
    waiting.settleAll("closed");
    assert.deepEqual(kinds, ["wait", "leave", "wait", "grant", "wait", "reject"]);
  });
});
