import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { sleep } from "../../src/cancel/mod.ts";
import { leaves, TaskGroup } from "../../src/task/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** What a task of the model does. */
interface Plan {
  /** How long it works, in milliseconds. */
  ms: number;
  /** What it does then, unless it was cancelled and cares. */
  end: "succeed" | "fail" | "nest";
  /** What it does when it is cancelled. */
  onAbort: "stop" | "ignore" | "fail";
  cleanUpMs: number;
  daemon: boolean;
  /** When its own handle cancels it. */
  cancelAt: number | undefined;
  children: Plan[];
  maxConcurrency: number;
  supervise: boolean;
  /** When the group of its children is closed, if it is. */
  closeAt: number | undefined;
}

/** Plans with so many levels of children. */
function plans(depth: number): fc.Arbitrary<Plan> {
  return fc.record({
    ms: fc.nat(20),
    end: fc.constantFrom("succeed", "succeed", "fail", "nest", "nest"),
    onAbort: fc.constantFrom("stop", "stop", "ignore", "fail"),
    cleanUpMs: fc.nat(5),
    daemon: fc.boolean(),
    cancelAt: fc.option(fc.nat(20), { nil: undefined, freq: 4 }),
    children: depth === 0 ? fc.constant([]) : fc.array(plans(depth - 1), { maxLength: 4 }),
    maxConcurrency: fc.constantFrom(1, 2, Infinity),
    supervise: fc.boolean(),
    closeAt: fc.option(fc.nat(20), { nil: undefined, freq: 6 }),
  });
}

/** Runs a tree of tasks, and notes what it started, ended, and failed with. */
class Model {
  started = 0;
  ended = 0;
  readonly failures: Error[] = [];

  async run({ children, maxConcurrency, supervise, closeAt }: Plan, signal: AbortSignal): Promise<void> {
    const inside = { started: 0, ended: 0 };
    const policy = supervise ? "supervise" : "failFast";
    try {
      await TaskGroup.run((group) => {
        for (const child of children) {
          const task = group.spawn(async (context) => {
            inside.started++;
            try {
              await this.#work(child, context.signal);
            } finally {
              inside.ended++;
            }
          }, { daemon: child.daemon });
          if (child.cancelAt !== undefined) void sleep(child.cancelAt).then(() => task.cancel());
        }
        if (closeAt !== undefined) {
          void sleep(closeAt).then(() => group.close({ graceMs: 3 })).then(({ stuck }) =>
            assert.deepEqual(stuck, [])
          );
        }
      }, { signal, maxConcurrency, policy });
    } finally {
      assert.equal(inside.ended, inside.started, "a group ends after its tasks");
    }
  }

  async #work(plan: Plan, signal: AbortSignal): Promise<void> {
    this.started++;
    try {
      try {
        await sleep(plan.ms, plan.onAbort === "ignore" ? {} : { signal });
      } catch (reason) {
        await sleep(plan.cleanUpMs);
        if (plan.onAbort === "fail") this.#fail("clean-up");
        throw reason;
      }
      if (plan.end === "fail") this.#fail("work");
      if (plan.end === "nest") await this.run(plan, signal);
    } finally {
      this.ended++;
    }
  }

  #fail(where: string): never {
    const error = new Error(`${where} ${this.failures.length}`);
    this.failures.push(error);
    throw error;
  }
}

describe("TaskGroup, at random", () => {
  test("ends after every task it started; every failure comes out; nothing is left", async () => {
    await fc.assert(
      fc.asyncProperty(plans(3), fc.option(fc.nat(40), { nil: undefined }), async (plan, abortAt) => {
        await world(async (w) => {
          const model = new Model();
          const controller = new AbortController();
          const running = model.run(plan, controller.signal).then(() => ({}), (error) => ({ error }));
          let aborted = false;
          if (abortAt !== undefined) {
            await w.advance(abortAt);
            aborted = model.started > 0 || plan.children.length > 0;
            controller.abort("outside");
          }
          const outcome: { error?: unknown } = await running;
          assert.equal(model.ended, model.started);
          if ("error" in outcome) {
            const all = leaves(outcome.error);
            const real = all.filter((error) => error !== "outside");
            assert.deepEqual(new Set(real), new Set(model.failures));
            if (all.includes("outside")) assert.ok(aborted);
          } else assert.deepEqual(model.failures, []);
          await w.advance(50); // the cancelling and closing from aside
        });
      }),
      { numRuns: 300 },
    );
  });
});

describe("TaskGroup, aborted at every moment", () => {
  /** Counts who runs, and takes its time to clean up. */
  const job = (count: { running: number }, ms: number) =>
  async (
    { signal }: { signal: AbortSignal },
  ): Promise<void> => {
    count.running++;
    try {
      await sleep(ms, { signal });
    } finally {
      await sleep(2);
      count.running--;
    }
  };

  test("run with sleeping tasks, daemons and nested groups: no orphan, nothing left", async () => {
    const count = { running: 0 };
    await sweep(async (signal) => {
      count.running = 0;
      await TaskGroup.run(async (group) => {
        group.spawn(job(count, 5));
        group.spawn(job(count, Infinity), { daemon: true });
        group.spawn(({ signal }) =>
          TaskGroup.run((inner) => {
            inner.spawn(job(count, 3));
            inner.spawn(job(count, 8));
          }, { signal, timeoutMs: 6 }).catch((error) => {
            if (error.name !== "TimeoutError") throw error;
          })
        );
        await group.spawn(job(count, 1));
      }, { signal });
    }, () => count.running === 0);
  });

  test("capacity as back-pressure: no orphan, nothing left", async () => {
    const count = { running: 0 };
    await sweep(async (signal) => {
      count.running = 0;
      await TaskGroup.run(async (group) => {
        for (let i = 0; i < 5; i++) {
          await group.capacity({ signal: group.signal });
          group.spawn(job(count, 3));
        }
      }, { signal, maxConcurrency: 2 });
    }, () => count.running === 0);
  });

  test("left without join: no orphan, nothing left", async () => {
    const count = { running: 0 };
    await sweep(async (signal) => {
      count.running = 0;
      await using group = new TaskGroup({ signal });
      group.spawn(job(count, 5));
      group.spawn(job(count, 50));
      await sleep(3, { signal: group.signal });
    }, () => count.running === 0);
  });

  test("close and shield: no orphan, nothing left", async () => {
    const count = { running: 0 };
    await sweep(async (signal) => {
      count.running = 0;
      const group = new TaskGroup({ signal });
      group.spawn(job(count, 5));
      group.spawn(() => group.shield(10, () => sleep(4)));
      group.spawn(job(count, 50));
      await sleep(1);
      await group.close({ graceMs: 10 });
      await group.join();
    }, () => count.running === 0);
  });
});
