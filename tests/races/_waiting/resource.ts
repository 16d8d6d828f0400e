import assert from "node:assert/strict";
import { sleep } from "../../../src/cancel/sleep.ts";
import {
  AsyncContextGroup,
  asyncContextManager,
  AsyncExitStack,
  AsyncResource,
} from "../../../src/resource/mod.ts";
import { all, mayBeLate, type Operation } from "../_scene.ts";

/** What is open, in the order of opening; what is closed out of the reverse of it fails. */
class Opened {
  readonly now: string[] = [];
  opened = 0;

  readonly open = (name: string, ms = 1) => async ({ signal }: { signal: AbortSignal }) => {
    await sleep(ms, { signal });
    this.now.push(name);
    this.opened++;
    return { value: name, [Symbol.asyncDispose]: () => this.close(name) };
  };

  async close(name: string): Promise<void> {
    await sleep(1);
    assert.equal(this.now.pop(), name, "left in reverse");
  }

  readonly assertNone = (): void => assert.deepEqual(this.now, []);
}

export const operations: readonly Operation[] = [
  {
    name: "a resource that is shared, left, opened again and disposed",
    covers: [
      "AsyncResource.use",
      "AsyncResource.run",
      "AsyncResource[Symbol.asyncDispose]",
      "AsyncResource.close",
    ],
    scene: () => {
      let [open, opened, users, served] = [0, 0, 0, 0];
      const resource = new AsyncResource({
        async open({ signal }) {
          await sleep(2, { signal });
          assert.equal(++open, 1, "one at a time");
          return ++opened;
        },
        async close() {
          assert.equal(users, 0);
          await sleep(1);
          open--;
        },
        lingerMs: 1,
      });
      const use = async (signal?: AbortSignal, timeoutMs?: number): Promise<void> => {
        using lease = await resource.use({ signal, timeoutMs });
        assert.equal(lease.value, opened);
        users++;
        try {
          await sleep(2, { signal });
        } finally {
          users--;
        }
      };
      return {
        act: async (signal) => {
          await using disposing = resource;
          await all(
            use(signal),
            use(signal),
            mayBeLate(use(signal, 1)),
            sleep(1).then(() => use()).then(() => served++),
            sleep(6).then(() => disposing.run(() => sleep(1, { signal }), { signal })),
            sleep(8).then(() => use()).then(() => served++),
            // While it is in use.
            sleep(11.5).then(() => all(disposing.close(), disposing[Symbol.asyncDispose]())),
          );
        },
        check: () => {
          const { state, inUse, waiting } = resource.statistics();
          assert.deepEqual([state, inUse, waiting, open, served], ["disposed", 0, 0, 0, 2]);
        },
      };
    },
  },
  ...[false, true].map((parallel): Operation => ({
    name: `contexts entered as one, ${parallel ? "at once" : "one after another"}`,
    covers: ["AsyncContextGroup.open", "AsyncContextGroup.run"],
    scene: () => {
      const opened = new Opened();
      // At once they come open in any order: each has its own list then.
      const lists = parallel ? ["a", "b", "c"].map(() => new Opened()) : [opened, opened, opened];
      const group = new AsyncContextGroup({
        a: lists[0]!.open("a", 2),
        b: lists[1]!.open("b", 1),
        c: lists[2]!.open("c", 2),
      }, { parallel });
      return {
        act: async (signal) => {
          {
            await using entered = await group.open({ signal });
            assert.deepEqual(entered.values, { a: "a", b: "b", c: "c" });
            await sleep(1, { signal });
          }
          await group.run(() => sleep(1, { signal }), { signal });
          await mayBeLate(group.open({ signal, timeoutMs: 1 }));
        },
        check: () => lists.forEach((list) => list.assertNone()),
      };
    },
  })),
  {
    name: "contexts made of generators",
    covers: ["asyncContextManager", "ContextManager.open", "ContextManager.run"],
    scene: () => {
      const opened = new Opened();
      const context = asyncContextManager(async function* (name: string, signal?: AbortSignal) {
        await sleep(1, { signal });
        opened.now.push(name);
        try {
          yield name;
        } finally {
          await opened.close(name);
        }
      });
      return {
        act: async (signal) => {
          {
            // One that does not look at the signal comes to its yield, and is ended there.
            await using a = await context("a").open({ signal });
            assert.equal(a.value, "a");
            await context("b", signal).run(() => sleep(1, { signal }), { signal });
          }
          await mayBeLate(context("c").open({ signal, timeoutMs: 0 }));
        },
        check: opened.assertNone,
      };
    },
  },
  {
    name: "stacks of exits",
    covers: ["AsyncExitStack.run", "AsyncExitStack.close", "AsyncExitStack[Symbol.asyncDispose]"],
    scene: () => {
      const opened = new Opened();
      return {
        act: async (signal) => {
          await AsyncExitStack.run(async (stack) => {
            stack.enter(await opened.open("a")({ signal }));
            stack.push(() => sleep(1));
            stack.enter(await opened.open("b")({ signal }));
            await sleep(1, { signal });
          });
          await using outer = new AsyncExitStack();
          {
            await using inner = new AsyncExitStack();
            inner.enter(await opened.open("c")({ signal }));
            inner.enter(await opened.open("d")({ signal }));
            outer.enter(inner.move());
          }
          await sleep(1, { signal });
          await outer.close();
        },
        check: opened.assertNone,
      };
    },
  },
];

export const still: Record<string, string> = {};
