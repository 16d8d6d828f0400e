import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AsyncLocalStorage } from "node:async_hooks";
import { Deadline, sleep, timeout } from "../../src/cancel/mod.ts";
import { ClosedError, type Task, TaskGroup, TimeoutError } from "../../src/task/mod.ts";
import { AsyncLock } from "../../src/sync/mod.ts";
import { world } from "../../src/testing/mod.ts";

describe("TaskGroup.run", () => {
  test("returns what the body returns once all tasks have ended", async () => {
    await world(async (w) => {
      const ended: string[] = [];
      const value = await TaskGroup.run((group) => {
        group.spawn(async () => ended.push(`a at ${await sleep(20).then(() => w.now)}`));
        group.spawn(async () => ended.push(`b at ${await sleep(10).then(() => w.now)}`));
        return "value";
      });
      assert.equal(value, "value");
      assert.deepEqual(ended, ["b at 10", "a at 20"]);
    });
  });

  test("a signal that is aborted already: its reason, identical, and the body is not called", async () => {
    for (const reason of ["text", null, 0, new Error("stop")]) {
      await world(async () => {
        let called = false;
        const run = TaskGroup.run(() => called = true, { signal: AbortSignal.abort(reason) });
        assert.deepEqual(await run.catch((error) => ({ error })), { error: reason });
        assert.equal(called, false);
      });
    }
  });

  test("a limit of zero is over at once: the body is not called", async () => {
    await world(async () => {
      let called = false;
      await assert.rejects(TaskGroup.run(() => called = true, { timeoutMs: 0 }), TimeoutError);
      assert.equal(called, false);
    });
  });

  test("a limit ends all tasks, waits for them, and is a TimeoutError that names them", async () => {
    await world(async (w) => {
      const run = TaskGroup.run((group) => {
        group.spawn(({ signal }) => sleep(1_000, { signal }), { name: "slow" });
        group.spawn(async () => await sleep(70), { name: "deaf" });
      }, { name: "nightly", timeoutMs: 50 });
      const error = await run.catch((error) => error);
      assert.ok(error instanceof TimeoutError);
      assert.equal(error.limitMs, 50);
      assert.equal(
        error.message,
        'Cannot finish task group "nightly" within 50 ms: still running: "slow", "deaf"',
      );
      assert.equal(w.now, 70);
    });
  });

  test("a limit says of each task what it was waiting for, and what was in the way", () =>
    world(async () => {
      const lock = new AsyncLock({ name: "files" });
      using _held = await lock.acquire({ label: "backup" });
      const run = TaskGroup.run((group) => {
        group.spawn(({ signal }) => lock.acquire({ signal }), { name: "import" });
        group.spawn(({ signal }) => sleep(1_000, { signal }), { name: "slow" });
      }, { timeoutMs: 50 });
      await assert.rejects(run, {
        message:
          /^Cannot finish task group within 50 ms: still running: "import" \(waiting to acquire lock "files": .*"backup".*\), "slow"$/,
      });
    }));

  test("a body that hears of the limit rejects with the same TimeoutError", async () => {
    await world(async () => {
      let reason: unknown;
      const run = TaskGroup.run(async (group) => {
        group.signal.addEventListener("abort", () => reason = group.signal.reason);
        await sleep(1_000, { signal: group.signal });
      }, { timeoutMs: 5 });
      const error = await run.catch((error) => error);
      assert.ok(error instanceof TimeoutError);
      assert.equal(error, reason);
      assert.match(error.message, /its body was still running$/);
    });
  });

  test("refuses wrong options where the group is created", () => {
    const wrong: [object, RegExp][] = [
      [{ policy: "lenient" }, /^RangeError: Cannot create task group as policy must be one of/],
      [{ errors: 1 }, /^TypeError: .* errors must be one of/],
      [{ maxConcurrency: 0 }, /^RangeError: .* maxConcurrency must be an integer >= 1: received 0$/],
      [{ maxConcurrency: 1.5 }, /^RangeError: .* maxConcurrency/],
      [{ timeoutMs: -1 }, /^RangeError: .* timeoutMs/],
      [{ timeoutMs: NaN }, /^RangeError: .* timeoutMs/],
      [{ stuckAfterMs: "1" }, /^TypeError: .* stuckAfterMs/],
      [{ name: 1 }, /^TypeError: .* name must be a string/],
      [{ signal: {} }, /^TypeError: .* signal must be an AbortSignal/],
    ];
    for (const [options, message] of wrong) assert.throws(() => new TaskGroup(options as never), message);
  });

  test("keeps to the options it was created with", async () => {
    await world(async () => {
      const options: { policy: "failFast" | "supervise" } = { policy: "supervise" };
      await TaskGroup.run(async (group) => {
        options.policy = "failFast";
        await assert.rejects(async () => await group.spawn(() => Promise.reject(new Error("one"))));
      }, options);
    });
  });
});

describe("TaskGroup.spawn", () => {
  test("registers first and starts in a microtask, in order", async () => {
    await world(async () => {
      const order: string[] = [];
      await TaskGroup.run(async (group) => {
        const a = group.spawn(() => void order.push("a"));
        const b = group.spawn(() => void order.push("b"));
        order.push(`${a.state} ${b.state}`);
        await sleep(1);
        order.push(`${a.state} ${b.state}`);
      });
      assert.deepEqual(order, ["queued queued", "a", "b", "fulfilled fulfilled"]);
    });
  });

  test("on a cancelled, open group gives a cancelled handle and does not call the function", async () => {
    await world(async () => {
      let called = false;
      const reason = new Error("enough");
      await TaskGroup.run(async (group) => {
        group.cancel(reason);
        const task = group.spawn(() => called = true);
        assert.equal(task.state, "cancelled");
        await task.settled;
        assert.equal(await task.catch((error) => error), reason);
      });
      assert.equal(called, false);
    });
  });

  test("on a group that has ended throws a ClosedError", async () => {
    await world(async () => {
      const group = new TaskGroup({ name: "g" });
      await group.join();
      assert.throws(() => group.spawn(() => 1), (error) => error instanceof ClosedError);
      assert.throws(
        () => group.spawn(() => 1),
        /^ClosedError: Cannot spawn in task group "g": it has ended$/,
      );
      await assert.rejects(group.start(() => Promise.resolve()), ClosedError);
      await assert.rejects(group.capacity(), ClosedError);
      await assert.rejects(group.shield(1, () => Promise.resolve()), ClosedError);
    });
  });

  test("refuses what is no function and wrong options", () => {
    const group = new TaskGroup();
    assert.throws(
      () => group.spawn(1 as never),
      /^TypeError: Cannot spawn in task group as fn must be a function/,
    );
    assert.throws(() => group.spawn(() => 1, { name: 1 as never }), /^TypeError: .* name must be a string/);
    assert.throws(
      () => group.spawn(() => 1, { daemon: 1 as never }),
      /^TypeError: .* daemon must be a boolean/,
    );
    assert.throws(
      () => group.spawn(() => 1, { priority: NaN }),
      /^RangeError: .* priority must be a finite number/,
    );
    for (const priority of ["5", Symbol("s"), 5n, null]) {
      assert.throws(
        () => group.spawn(() => {}, { priority } as never),
        /^TypeError: .* priority must be a finite number: received/,
      );
    }
    assert.equal(group.statistics().spawned, 0);
  });

  test("tasks spawned while the group drains are awaited too, however deep", async () => {
    await world(async (w) => {
      const ended: number[] = [];
      await TaskGroup.run((group) => {
        const deeper = (level: number) => async (): Promise<void> => {
          await sleep(10);
          if (level > 0) group.spawn(deeper(level - 1));
          ended.push(level);
        };
        group.spawn(deeper(3));
      });
      assert.deepEqual(ended, [3, 2, 1, 0]);
      assert.equal(w.now, 40);
    });
  });

  test("a task may spawn into a group whose body still runs, and its failure is the group's", async () => {
    await world(async () => {
      const error = new Error("grandchild");
      const run = TaskGroup.run(async (group) => {
        group.spawn(() => void group.spawn(() => Promise.reject(error)));
        await sleep(1_000, { signal: group.signal });
      });
      assert.equal(await run.catch((error) => error), error);
    });
  });

  test("runs queued tasks in the async context of who spawned them", async () => {
    await world(async () => {
      const store = new AsyncLocalStorage<string>();
      const seen: (string | undefined)[] = [];
      const job = async (): Promise<void> => {
        seen.push(store.getStore());
        await sleep(1);
        seen.push(store.getStore());
      };
      await TaskGroup.run((group) => {
        for (const name of ["a", "b", "c"]) store.run(name, () => group.spawn(job));
      }, { maxConcurrency: 1 });
      assert.deepEqual(seen, ["a", "a", "b", "b", "c", "c"]);
    });
  });
});

describe("TaskGroup.signal", () => {
  test("is aborted by a failing task at once, with a fresh AbortError whose cause is the failure", async () => {
    await world(async (w) => {
      const error = new Error("one");
      let reason: unknown;
      const run = TaskGroup.run(async (group) => {
        group.spawn(async () => {
          await sleep(5);
          throw error;
        });
        try {
          await sleep(1_000, { signal: group.signal });
        } catch (caught) {
          reason = caught;
          assert.equal(w.now, 5);
          throw caught;
        }
      });
      assert.equal(await run.catch((error) => error), error);
      assert.ok(reason instanceof DOMException);
      assert.equal(reason.name, "AbortError");
      assert.equal(reason.cause, error);
    });
  });

  test("is one object, aborted already when first read after the abort", async () => {
    await world(async () => {
      const group = new TaskGroup();
      group.cancel("enough");
      assert.equal(group.signal, group.signal);
      assert.equal(group.signal.reason, "enough");
      await group.join();
    });
  });

  test("carries the deadline of the group, or an earlier one around it, to the tasks", async () => {
    await world(async () => {
      using outer = timeout(100);
      await TaskGroup.run(async (group) => {
        await sleep(10);
        assert.equal(Deadline.of(group.signal).remainingMs, 40);
        await group.spawn(({ signal }) => assert.equal(Deadline.of(signal).remainingMs, 40));
        await TaskGroup.run(async (inner) => {
          await inner.spawn(({ signal }) => assert.equal(Deadline.of(signal).remainingMs, 40));
        }, { signal: group.signal, timeoutMs: 1_000 });
      }, { signal: outer.signal, timeoutMs: 50 });
      await TaskGroup.run(async (group) => {
        await group.spawn(({ signal }) => assert.equal(Deadline.of(signal).remainingMs, 90));
      }, { signal: outer.signal });
      await TaskGroup.run(async (group) => {
        await group.spawn(({ signal }) => assert.equal(Deadline.of(signal).remainingMs, Infinity));
      });
    });
  });

  test("a group listens once on a foreign signal, and not at all when it has ended", async () => {
    await world(async () => {
      const { signal } = new AbortController();
      const counted = counting(signal);
      await TaskGroup.run(async (group) => {
        for (let i = 0; i < 100; i++) group.spawn(({ signal }) => sleep(5, { signal }));
        await sleep(1);
        assert.equal(counted.listeners, 1);
      }, { signal });
      assert.equal(counted.listeners, 0);
    });
  });
});

describe("TaskGroup: an abort from outside", () => {
  test("cancels the tasks, waits for them, and then rejects with the reason", async () => {
    for (const reason of ["text", null, new Error("stop")]) {
      await world(async (w) => {
        const controller = new AbortController();
        let ended = 0;
        const run = TaskGroup.run((group) => {
          for (let i = 1; i <= 3; i++) {
            group.spawn(async ({ signal }) => {
              try {
                await sleep(1_000, { signal });
              } finally {
                await sleep(i * 10);
                ended++;
              }
            });
          }
        }, { signal: controller.signal });
        await w.advance(5);
        controller.abort(reason);
        assert.deepEqual(await run.catch((error) => ({ error })), { error: reason });
        assert.equal(ended, 3);
        assert.equal(w.now, 35);
      });
    }
  });

  test("wins over results: join is a cancellation point, and the results stay on the handles", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const group = new TaskGroup({ signal: controller.signal });
      const task = group.spawn(async () => {
        await sleep(10);
        return 7;
      });
      const joined = group.join().catch((error) => ({ error }));
      await w.advance(5);
      controller.abort("late");
      assert.deepEqual(await joined, { error: "late" });
      assert.equal(task.state, "fulfilled");
      assert.equal(await task, 7);
    });
  });

  test("after the join has ended changes nothing", async () => {
    await world(async () => {
      const controller = new AbortController();
      const group = new TaskGroup({ signal: controller.signal });
      const joined = group.join();
      controller.abort("late");
      await joined;
      await group[Symbol.asyncDispose]();
    });
  });

  test("never starts a task that was spawned in the same turn", async () => {
    await world(async () => {
      const controller = new AbortController();
      let called = false;
      const run = TaskGroup.run((group) => {
        group.spawn(() => called = true);
        controller.abort("now");
      }, { signal: controller.signal });
      assert.equal(await run.catch((error) => error), "now");
      assert.equal(called, false);
    });
  });
});

describe("TaskGroup.cancel", () => {
  test("is no failure: handles reject with the reason, join ends quietly, run returns the body's value", async () => {
    for (const reason of ["text", null, 0, new Error("enough")]) {
      await world(async () => {
        const value = await TaskGroup.run(async (group) => {
          const task = group.spawn(({ signal }) => sleep(1_000, { signal }));
          await sleep(1);
          group.cancel(reason);
          group.cancel("again: does nothing");
          assert.deepEqual(await task.then(null, (error) => ({ error })), { error: reason });
          assert.equal(task.state, "cancelled");
          return "value";
        });
        assert.equal(value, "value");
        const group = new TaskGroup();
        group.spawn(({ signal }) => sleep(1_000, { signal }));
        group.cancel(reason);
        await group.join();
      });
    }
  });

  test("without a reason gives a fresh AbortError", async () => {
    await world(async () => {
      const group = new TaskGroup({ name: "g" });
      const task = group.spawn(({ signal }) => sleep(1_000, { signal }));
      group.cancel();
      const error = await task.catch((error) => error) as unknown as DOMException;
      assert.equal(error.name, "AbortError");
      assert.equal(error.message, 'Cannot go on in task group "g": it was cancelled');
      await group.join();
    });
  });

  test("a body that stopped for it has no value: run rejects with the reason", async () => {
    await world(async () => {
      const run = TaskGroup.run(async (group) => {
        group.cancel("enough");
        await sleep(5, { signal: group.signal });
      });
      assert.equal(await run.catch((error) => error), "enough");
    });
  });

  test("still throws failures", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const run = TaskGroup.run(async (group) => {
        group.spawn(({ signal }) => sleep(1_000, { signal }).catch(() => Promise.reject(error)));
        await sleep(1);
        group.cancel();
      });
      assert.equal(await run.catch((error) => error), error);
    });
  });

  test("an abort from outside while the cancelled tasks end is still thrown", async () => {
    await world(async (w) => {
      const controller = new AbortController();
      const group = new TaskGroup({ signal: controller.signal });
      group.spawn(() => sleep(10));
      await w.advance(1);
      group.cancel();
      const joined = group.join().catch((error) => error);
      controller.abort("outside");
      assert.equal(await joined, "outside");
    });
  });
});

describe("TaskGroup with await using", () => {
  test("left without join: cancels the tasks and waits for them", async () => {
    await world(async (w) => {
      let state = "";
      {
        await using group = new TaskGroup();
        const task = group.spawn(async ({ signal }) => {
          await sleep(1_000, { signal }).catch(() => {});
          await sleep(10);
          state = task.state;
        });
        await sleep(1);
      }
      assert.equal(state, "running");
      assert.equal(w.now, 11);
    });
  });

  test("left after join: everything is done, disposal does nothing", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      const task = group.spawn(() => sleep(10));
      await group.join();
      await group[Symbol.asyncDispose]();
      await group[Symbol.asyncDispose]();
      assert.equal(task.state, "fulfilled");
      assert.equal(w.now, 10);
    });
  });

  test("a block that awaited the failed task throws the failure itself, once", async () => {
    await world(async () => {
      const error = new Error("one");
      const block = async (): Promise<void> => {
        await using group = new TaskGroup();
        const task = group.spawn(() => Promise.reject(error));
        await task;
        await group.join();
      };
      assert.equal(await block().catch((error) => error), error);
    });
  });

  test("disposal throws failures that nobody has observed, and only those", async () => {
    await world(async () => {
      const [seen, unseen] = [new Error("seen"), new Error("unseen")];
      const leave = async (...failing: Error[]): Promise<unknown> => {
        const group = new TaskGroup({ policy: "supervise" });
        for (const error of failing) {
          const task = group.spawn(() => Promise.reject(error));
          if (error === seen) task.catch(() => {});
          else void task.settled.then(() => task.state);
        }
        await sleep(1);
        return await group[Symbol.asyncDispose]().then(() => "quiet", (error) => error);
      };
      assert.equal(await leave(seen), "quiet");
      assert.equal(await leave(seen, unseen), unseen);
    });
  });

  test("disposal throws the clean-up failures of what it cancelled", async () => {
    await world(async () => {
      const error = new Error("clean-up");
      const block = async (): Promise<void> => {
        await using group = new TaskGroup();
        group.spawn(({ signal }) => sleep(1_000, { signal }).catch(() => Promise.reject(error)));
        await sleep(1);
      };
      assert.equal(await block().catch((error) => error), error);
    });
  });

  test("disposal does not throw the reason of an abort from outside: the block has it", async () => {
    await world(async () => {
      const controller = new AbortController();
      const block = async (): Promise<void> => {
        await using group = new TaskGroup({ signal: controller.signal });
        group.spawn(({ signal }) => sleep(1_000, { signal }));
        await sleep(1);
        controller.abort("outside");
        await sleep(1, { signal: group.signal });
      };
      assert.equal(await block().catch((error) => error), "outside");
    });
  });

  test("disposed twice, joined twice: each waits for the same end", async () => {
    await world(async (w) => {
      const group = new TaskGroup();
      group.spawn(() => sleep(10));
      await w.advance(1);
      const ends = [group[Symbol.asyncDispose](), group[Symbol.asyncDispose](), group.join(), group.settled];
      await Promise.all(ends);
      assert.equal(w.now, 10);
      assert.equal(group.closed, true);
    });
  });

  test("join again is the same promise, also of a failure", async () => {
    await world(async () => {
      const group = new TaskGroup();
      group.spawn(() => Promise.reject(new Error("one")));
      const joined = group.join();
      assert.equal(group.join(), joined);
      await assert.rejects(joined, /one/);
      assert.equal(group.join(), joined);
    });
  });

  test("disposed inside the body of run: a body that stops for it does not become a value", async () => {
    await world(async () => {
      const run = TaskGroup.run(async (group) => {
        await group[Symbol.asyncDispose]();
        await sleep(1, { signal: group.signal });
        return "value";
      });
      await assert.rejects(run, { name: "AbortError" });
    });
  });

  test("joined inside the body of run: goes on afterwards, and a failure comes out once", async () => {
    await world(async (w) => {
      const value = await TaskGroup.run(async (group) => {
        const task = group.spawn(() => sleep(10));
        await group.join();
        return `${task.state} at ${w.now}`;
      }, { stuckAfterMs: 5 });
      assert.equal(value, "fulfilled at 10");

      const errors = [new Error("one"), new Error("two")];
      const run = TaskGroup.run(async (group) => {
        for (const error of errors) group.spawn(() => Promise.reject(error));
        await group.join();
      }, { policy: "supervise", stuckAfterMs: 5 });
      const thrown = await run.catch((error) => error);
      assert.deepEqual(thrown.errors, errors);
      const after = new Error("after");
      const late = TaskGroup.run(async (group) => {
        await group.join();
        throw after;
      }, { stuckAfterMs: 5 });
      assert.equal(await late.catch((error) => error), after);
    });
  });
});

describe("TaskGroup.statistics", () => {
  test("spawn: a task that returns its own handle fails, and does not wait for itself", () =>
    world(async () => {
      await assert.rejects(
        TaskGroup.run((group) => {
          const task: Task<unknown> = group.spawn(() => task, { name: "loop" });
        }),
        { name: "TypeError", message: /^Cannot end task "loop" as it must not return its own handle/ },
      );
    }));

  test("counts what runs, what is queued, and how tasks ended", async () => {
    await world(async (w) => {
      const group = new TaskGroup({ name: "g", maxConcurrency: 2, policy: "supervise" });
      assert.equal(group.name, "g");
      for (let i = 0; i < 3; i++) group.spawn(() => sleep(10));
      group.spawn(({ signal }) => sleep(1_000, { signal }), { daemon: true });
      const failing = group.spawn(() => Promise.reject(new Error("one")));
      failing.catch(() => {});
      const waiting = group.capacity();
      await w.advance(1);
      assert.deepEqual(group.statistics(), {
        running: 3,
        queued: 2,
        free: 0,
        waiting: 1,
        spawned: 5,
        fulfilled: 0,
        failed: 0,
        cancelled: 0,
      });
      assert.ok(Object.isFrozen(group.statistics()));
      await group.join();
      await waiting;
      assert.deepEqual(group.statistics(), {
        running: 0,
        queued: 0,
        free: 2,
        waiting: 0,
        spawned: 5,
        fulfilled: 3,
        failed: 1,
        cancelled: 1,
      });
    });
  });
});

/** Counts the abort listeners that are on a signal. */
function counting(signal: AbortSignal): { listeners: number } {
  const counted = { listeners: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    counted.listeners++;
    return addEventListener.apply(signal, args as never);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    counted.listeners--;
    return removeEventListener.apply(signal, args as never);
  };
  return counted;
}
