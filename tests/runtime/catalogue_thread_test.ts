import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Thread } from "../../examples/catalogue/thread.ts";

const double = () =>
  new Thread<number, number>(new URL("./_fixtures/catalogue_thread.ts", import.meta.url), 2);
const never = new AbortController().signal;

describe("a thread of the catalogue", () => {
  it("answers in order, several questions at a time", async () => {
    await using thread = double();
    assert.deepEqual(await Promise.all([1, 2, 3].map((n) => thread.ask(n, never))), [2, 4, 6]);
    assert.equal(thread.busy, 0);
  });

  it("is replaced when the question it is stuck at is given up; the others are answered", async () => {
    await using thread = double();
    const reason = new Error("that takes too long");
    const controller = new AbortController();
    const stuck = thread.ask(0, controller.signal);
    const others = [thread.ask(1, never), thread.ask(2, never)];
    setTimeout(() => controller.abort(reason), 100);
    await assert.rejects(stuck, (error) => error === reason);
    assert.deepEqual(await Promise.all(others), [2, 4]);
    assert.equal(await thread.ask(3, never), 6);
  });

  it("gives up a question that waits for its turn without losing the order of the others", async () => {
    await using thread = double();
    const controller = new AbortController();
    const first = thread.ask(1, never);
    const second = thread.ask(2, controller.signal);
    const third = thread.ask(3, never);
    controller.abort("no longer");
    await assert.rejects(second, (reason) => reason === "no longer");
    assert.deepEqual([await first, await third], [2, 6]);
    await assert.rejects(thread.ask(4, controller.signal), (reason) => reason === "no longer");
  });

  it("rejects what it was asked when it fails, and answers again after that", async () => {
    await using thread = double();
    assert.equal(await thread.ask(1, never), 2);
    const asked = [thread.ask(-1, never), thread.ask(2, never)];
    for (const { status, reason } of await Promise.allSettled(asked) as PromiseRejectedResult[]) {
      assert.equal(status, "rejected");
      assert.match(String(reason), /Cannot double -1/);
    }
    assert.equal(await thread.ask(3, never), 6);
  });
});
