import assert from "node:assert/strict";
import { test } from "node:test";
import { asTask, AsyncManager } from "@uno/async/app";
import { world } from "@uno/async/testing";

class Service {
  readonly app = new AsyncManager();
  readonly greeting = "Hello";

  // A handle is not a promise, so the method says what can be awaited.
  @asTask((self: Service) => self.app)
  greet(name: string): PromiseLike<string> {
    return Promise.resolve(`${this.greeting} ${name}`);
  }
}

test("asTask decorates methods: each call is a task of the application that the object names", async () => {
  await world(async () => {
    const [one, two] = [new Service(), new Service()];
    const task = one.greet("Ada");
    assert.deepEqual([one, two].map(({ app }) => app.statistics().tasks.running), [1, 0]);
    assert.equal(one.app.tasks.get("greet"), task);
    assert.equal(await task, "Hello Ada");
    await Promise.all([one.app.stop(), two.app.stop()]);
  });
});
