import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sleep } from "../../src/cancel/sleep.ts";
import { ignore } from "../../src/kernel/deferred.ts";
import { AsyncExitStack } from "../../src/resource/async_exit_stack.ts";
import { ClosedError } from "../../src/resource/mod.ts";
import { sweep, world } from "../../src/testing/mod.ts";

/** The rejection of a promise. */
async function failureOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("it did not fail");
}

function failing(error: unknown): () => never {
  return () => {
    throw error;
  };
}

describe("AsyncExitStack", () => {
  test("leaves everything in reverse, each awaited before the next, whatever kind it is", async () => {
    await world(async (w) => {
      const log: string[] = [];
      const note = (what: string) => void log.push(`${what}@${w.now}`);
      const slow = async (what: string): Promise<void> => {
        await sleep(10);
        note(what);
      };
      const stack = new AsyncExitStack();
      assert.equal(stack.closed, false);
      const sync = { [Symbol.dispose]: () => note("dispose") };
      assert.equal(stack.enter(sync), sync);
      const both = {
        [Symbol.asyncDispose]: () => slow("asyncDispose"),
        [Symbol.dispose]: () => note("wrong one"),
      };
      stack.enter(both);
      stack.push((...args) => {
        assert.deepEqual(args, []);
        return slow("push");
      });
      stack.callback((...args: unknown[]) => {
        assert.deepEqual(args, []);
        return slow("callback");
      });
      await stack.close();
      assert.equal(stack.closed, true);
      assert.deepEqual(log, ["callback@10", "push@20", "asyncDispose@30", "dispose@30"]);
    });
  });

  test("can be `await using`; an empty one just ends", async () => {
    const log: string[] = [];
    {
      await using stack = new AsyncExitStack();
      stack.callback(() => log.push("left"));
    }
    assert.deepEqual(log, ["left"]);
    await new AsyncExitStack().close();
  });

  test("statistics tell what is still to be left", async () => {
    const stack = new AsyncExitStack();
    const seen: number[] = [];
    for (let i = 0; i < 3; i++) stack.callback(() => seen.push(stack.statistics().exits));
    assert.deepEqual(stack.statistics(), { exits: 3, closed: false });
    const moved = stack.move();
    assert.deepEqual(stack.statistics(), { exits: 0, closed: true });
    moved.push(() => seen.push(moved.statistics().exits));
    assert.deepEqual(moved.statistics(), { exits: 4, closed: false });
    await moved.close();
    assert.deepEqual(moved.statistics(), { exits: 0, closed: true });
    assert.deepEqual(seen, [3, 0, 0, 0]);
    assert.ok(Object.isFrozen(moved.statistics()));
  });

  test("close and dispose are one end, once, for all who ask", async () => {
    await world(async () => {
      const stack = new AsyncExitStack();
      let left = 0;
      stack.callback(async () => {
        await sleep(10);
        left++;
      });
      await Promise.all([stack.close(), stack.close(), stack[Symbol.asyncDispose]()]);
      await stack.close();
      assert.equal(left, 1);
      const broken = new AsyncExitStack();
      broken.callback(failing(null));
      assert.equal(await failureOf(broken.close()), null);
      assert.equal(await failureOf(broken[Symbol.asyncDispose]()), null);
    });
  });

  test("a failing exit keeps none of the others from running, and no failure is lost", async () => {
    for (const [a, b] of [["text", null], [undefined, new Error("b")], [new Error("a"), 0]]) {
      const stack = new AsyncExitStack();
      let left = 0;
      stack.callback(() => left++);
      stack.callback(failing(b));
      stack.callback(() => Promise.resolve(left++));
      stack.callback(() => Promise.reject(a));
      const failure = await failureOf(stack.close());
      assert.equal(left, 2);
      assert.ok(failure instanceof AggregateError);
      assert.deepEqual(failure.errors, [a, b]);
      assert.equal(failure.cause, a);
      assert.match(failure.message, /^Cannot close exit stack: 2 failures, the first: /);
    }
    for (const only of [null, undefined, "text", new Error("one")]) {
      const stack = new AsyncExitStack();
      stack.callback(failing(only));
      assert.equal(await failureOf(stack.close()), only);
    }
  });

  test("one failure met several times is one; an error that carries earlier ones stands for all of them", async () => {
    const first = new Error("first");
    const second = new Error("second", { cause: undefined });
    const stack = new AsyncExitStack();
    stack.callback(failing(new Error("both", { cause: new Error("in between", { cause: first }) })));
    stack.callback(failing(first));
    stack.callback(failing(second));
    stack.callback(failing(first));
    const failure = await failureOf(stack.close());
    assert.ok(failure instanceof AggregateError);
    assert.deepEqual(failure.errors.map(({ message }) => message), ["both", "second"]);

    const chain = new AsyncExitStack();
    const inner = new Error("inner");
    const middle = new Error("middle", { cause: inner });
    chain.callback(failing(new Error("outer", { cause: middle })));
    chain.callback(failing(inner));
    chain.callback(failing(middle));
    assert.equal(((await failureOf(chain.close())) as Error).message, "outer");
  });

  test("takes nothing in once it is closing, not even from its own exits", async () => {
    for (const door of ["close", "run"] as const) {
      for (const position of ["first", "later"]) {
        const refused: unknown[] = [];
        let stack!: AsyncExitStack;
        const meddle = (): void => {
          assert.equal(stack.closed, true);
          for (
            const enter of [
              () => stack.callback(ignore),
              () => stack.push(ignore),
              () => stack.enter({ [Symbol.dispose]: ignore }),
              () => stack.move(),
            ]
          ) {
            try {
              enter();
            } catch (error) {
              refused.push(error);
            }
          }
        };
        const fill = (it: AsyncExitStack): void => {
          stack = it;
          stack.callback(meddle);
          if (position === "later") stack.callback(() => Promise.resolve());
        };
        if (door === "close") {
          fill(new AsyncExitStack());
          await stack.close();
        } else await AsyncExitStack.run(fill);
        assert.equal(refused.length, 4, `${door}, ${position}`);
        assert.ok(refused.every((error) => error instanceof ClosedError));
        assert.throws(() => stack.callback(ignore), {
          message: "Cannot push onto exit stack: it is closed",
        });
      }
    }
  });

  test("an exit that closes the stack it is in waits for nothing twice", async () => {
    for (const door of ["close", "run"] as const) {
      const log: string[] = [];
      const fill = (stack: AsyncExitStack): void => {
        stack.callback(() => log.push("last"));
        stack.callback(async () => {
          log.push("first");
          void stack.close();
          await Promise.resolve();
          log.push("first has ended");
        });
      };
      if (door === "run") await AsyncExitStack.run(fill);
      else {
        const stack = new AsyncExitStack();
        fill(stack);
        await stack.close();
      }
      assert.deepEqual(log, ["first", "first has ended", "last"]);
    }
  });

  test("wrong things are refused, and not taken in", async () => {
    const stack = new AsyncExitStack();
    for (const wrong of [null, undefined, 5, {}, () => {}]) {
      assert.throws(() => stack.enter(wrong as unknown as Disposable), {
        name: "TypeError",
        message:
          /^Cannot enter into exit stack as disposable must have Symbol\.asyncDispose or Symbol\.dispose: received /,
      });
    }
    for (const wrong of [null, undefined, {}]) {
      assert.throws(() => stack.push(wrong as unknown as () => void), TypeError);
      assert.throws(() => stack.callback(wrong as unknown as () => void), TypeError);
      await assert.rejects(AsyncExitStack.run(wrong as unknown as () => void), TypeError);
    }
    await stack.close();
  });
});

describe("AsyncExitStack.move", () => {
  test("hands everything over: the old one is closed and has nothing to leave", async () => {
    const log: string[] = [];
    let moved: AsyncExitStack;
    {
      await using stack = new AsyncExitStack();
      stack.callback(() => log.push("left"));
      moved = stack.move();
      assert.deepEqual([stack.closed, moved.closed], [true, false]);
      assert.throws(() => stack.move(), {
        name: "ClosedError",
        message: "Cannot move exit stack: it is closed",
      });
      assert.throws(() => stack.callback(ignore), ClosedError);
    }
    assert.equal(log.length, 0);
    moved.callback(() => log.push("later"));
    await moved.close();
    assert.deepEqual(log, ["later", "left"]);
  });

  test("out of run: the way to keep what was opened when all went well", async () => {
    const log: string[] = [];
    const kept = await AsyncExitStack.run((stack) => {
      stack.callback(() => log.push("left"));
      return stack.move();
    });
    assert.equal(log.length, 0);
    await kept.close();
    assert.deepEqual(log, ["left"]);
  });
});

describe("AsyncExitStack.run", () => {
  test("returns what the body returns, after everything is left; exits hear that nothing went wrong", async () => {
    const log: unknown[] = [];
    const value = await AsyncExitStack.run(async (stack) => {
      stack.push((error) => log.push(error));
      await Promise.resolve();
      log.push("body");
      return 42;
    });
    assert.deepEqual([value, ...log], [42, "body", undefined]);
  });

  test("tells exits the failure so far, and throws it by identity", async () => {
    for (const failure of [null, "text", undefined, new Error("own")]) {
      const heard: unknown[] = [];
      const thrown = await failureOf(AsyncExitStack.run((stack) => {
        stack.push((error) => heard.push(error));
        stack.push((error) => Promise.resolve(heard.push(error)));
        throw failure;
      }));
      assert.equal(thrown, failure);
      assert.deepEqual(heard, [failure, failure]);
    }
  });

  test("an exit can give the failure a meaning, which the next exits hear; others join it", async () => {
    const body = new Error("body");
    const other = new Error("other");
    const meaning = new Error("meaning", { cause: body });
    const heard: unknown[] = [];
    const thrown = await failureOf(AsyncExitStack.run((stack) => {
      stack.push((error) => heard.push(error));
      stack.callback(failing(other));
      stack.push((error) => {
        heard.push(error);
        throw meaning;
      });
      throw body;
    }));
    assert.ok(thrown instanceof AggregateError);
    assert.deepEqual([thrown.errors, thrown.cause], [[meaning, other], meaning]);
    assert.equal(thrown.message, "Cannot leave exit stack: 2 failures, the first: meaning");
    assert.deepEqual(heard, [body, meaning]);
  });

  test("a body that closes the stack itself: neither failure hides the other", async () => {
    const [body, exit] = [new Error("body"), new Error("exit")];
    const thrown = await failureOf(AsyncExitStack.run(async (stack) => {
      stack.callback(failing(exit));
      await stack.close().catch(ignore);
      throw body;
    }));
    assert.ok(thrown instanceof AggregateError);
    assert.deepEqual(new Set(thrown.errors), new Set([body, exit]));
    assert.equal(
      await failureOf(AsyncExitStack.run(async (stack) => {
        stack.callback(failing(exit));
        await stack.close();
      })),
      exit,
    );
  });

  test("aborted at any point, what was entered is left, in reverse", async () => {
    let open: number[];
    await sweep((signal) => {
      open = [];
      return AsyncExitStack.run(async (stack) => {
        for (let i = 0; i < 3; i++) {
          await sleep(5, { signal });
          open.push(i);
          stack.callback(async () => {
            await sleep(1);
            assert.equal(open.pop(), i);
          });
        }
        await sleep(5, { signal });
      });
    }, () => assert.deepEqual(open, []));
  });
});
