import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { asTask, AsyncManager, ClosedError } from "@uno/async/app";
import { sleep } from "@uno/async/cancel";
import { world } from "@uno/async/testing";

describe("asTask", () => {
  test("a call starts a task of the application, under the function's name, and gives its handle", async () => {
    await world(async () => {
      await using app = new AsyncManager();
      const double = asTask(app)(async function double(n: number) {
        await sleep(10);
        return 2 * n;
      });
      assert.deepEqual([double.name, double.length], ["double", 1]);
      const task = double(21);
      assert.equal(task.name, "double");
      assert.equal(app.tasks.get("double"), task);
      assert.equal(await task, 42);
    });
  });

  test("a function whose name is no string gives tasks the name of one that has none", async () => {
    await world(async () => {
      await using app = new AsyncManager();
      const fn = Object.defineProperty(() => Promise.resolve(1), "name", { value: 5 });
      const task = asTask(app)(fn)();
      assert.deepEqual([task.name, await task], ["task", 1]);
    });
  });

  test("calls at the same time are tasks of their own; the name is free again afterwards", async () => {
    await world(async () => {
      await using app = new AsyncManager();
      const nap = asTask(app, { name: "nap" })((ms: number) => sleep(ms));
      const tasks = [nap(10), nap(20), nap(30)];
      assert.deepEqual(tasks.map(({ name }) => name), ["nap", "nap#2", "nap#3"]);
      await Promise.all(tasks);
      const last = nap(1);
      assert.equal(last.name, "nap");
      await last;
    });
  });

  test("this is kept, and can say which application it is", async () => {
    await world(async () => {
      class Service {
        readonly app = new AsyncManager();
        readonly greeting = "Hello";
        greet = asTask((self: Service) => self.app)(
          function (this: Service, name: string): Promise<string> {
            return Promise.resolve(`${this.greeting} ${name}`);
          },
        );
      }
      const service = new Service();
      const task = service.greet("Ada");
      assert.equal(service.app.statistics().tasks.running, 1);
      assert.equal(await task, "Hello Ada");
      await service.app.stop();
    });
  });

  test("the caller's signal cancels the task, which gets a signal of its own", async () => {
    await world(async () => {
      await using app = new AsyncManager({ graceMs: 100, drainMs: 0 });
      const nap = asTask(app)((_: { signal?: AbortSignal }) => sleep(Infinity, { signal: _.signal }));
      const controller = new AbortController();
      const task = nap({ signal: controller.signal });
      const failed = task.catch((error) => error);
      await sleep(1);
      controller.abort("enough");
      assert.equal(await failed, "enough");
      assert.equal(task.state, "cancelled");
      const refused = nap({ signal: AbortSignal.abort("no") });
      assert.equal(await refused.catch((error) => error), "no");
      // Without the caller's doing, the application cancels it.
      const last = nap({ signal: new AbortController().signal });
      last.catch(() => {});
      await sleep(1);
      assert.equal((await app.stop()).code, 0);
      assert.equal(last.state, "cancelled");
    });
  });

  test("a failure belongs to whoever awaits it, else to the report", async () => {
    await world(async () => {
      const app = new AsyncManager();
      const [seen, unseen] = [new Error("seen"), new Error("unseen")];
      const fail = asTask(app, { name: "fail" })((error: Error) => Promise.reject(error));
      const failed = fail(seen).catch((error) => error);
      const other = fail(unseen);
      assert.equal(await failed, seen);
      await other.settled;
      assert.deepEqual((await app.stop()).errors, [unseen]);
    });
  });

  test("nothing is started after a stop has begun", async () => {
    const app = new AsyncManager();
    const fn = asTask(app)(() => Promise.resolve());
    await app.stop();
    assert.throws(() => fn(), ClosedError);
  });

  test("arguments are checked where they are given", async () => {
    await using app = new AsyncManager();
    assert.throws(() => asTask(1 as unknown as AsyncManager), TypeError);
    assert.throws(() => asTask(app, { name: 1 as unknown as string }), TypeError);
    assert.throws(() => asTask(app)(1 as unknown as () => Promise<void>), TypeError);
    const context = { kind: "getter" } as unknown as ClassMethodDecoratorContext;
    assert.throws(() => asTask(app)(() => Promise.resolve(), context), TypeError);
  });

  test("numbers go on while tasks live, looked up a few times each, and start anew afterwards", async () => {
    await world(async () => {
      await using app = new AsyncManager();
      const { get } = app.tasks;
      let lookups = 0;
      app.tasks.get = (name) => {
        lookups++;
        return get.call(app.tasks, name);
      };
      const nap = asTask(app)(function nap() {
        return sleep(10);
      });
      const tasks = Array.from({ length: 500 }, () => nap());
      assert.equal(new Set(tasks.map(({ name }) => name)).size, 500);
      assert.ok(lookups <= 1_000, `${lookups} lookups`);
      await Promise.all(tasks);
      assert.deepEqual([nap().name, nap().name], ["nap", "nap#2"]);
    });
  });
});
