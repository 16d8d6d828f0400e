import assert from "node:assert/strict";
import { describe, test } from "node:test";
import process from "node:process";
import { Limiter } from "../../src/flow/mod.ts";
import { TimeoutError } from "../../src/kernel/errors.ts";
import type { WaitOptions } from "../../src/kernel/types.ts";
import { AsyncResource } from "../../src/resource/mod.ts";
import { AsyncEvent, AsyncLock, AsyncSemaphore, Channel } from "../../src/sync/mod.ts";
import { world } from "../../src/testing/mod.ts";
import { assertLeavesNothing, needsGc, turn, watched } from "./_heap.ts";

/** Something at which everybody has to wait, until all are let through. */
interface Gate {
  wait(options: WaitOptions): Promise<unknown>;
  open(): unknown;
  waiting(): number;
}

/** A gate of something of which one lease is held. */
async function held<L extends Disposable>(
  acquire: (options?: WaitOptions) => Promise<L>,
  waiting: () => number,
): Promise<Gate> {
  const lease = await acquire();
  return {
    wait: (options) => acquire(options).then((lease) => lease[Symbol.dispose]()),
    open: () => lease[Symbol.dispose](),
    waiting,
  };
}

const gates: Record<string, () => Gate | Promise<Gate>> = {
  "AsyncLock.acquire"() {
    const lock = new AsyncLock();
    return held((options) => lock.acquire(options), () => lock.statistics().waiting);
  },
  "AsyncSemaphore.acquire"() {
    const semaphore = new AsyncSemaphore(1);
    return held((options) => semaphore.acquire(options), () => semaphore.statistics().waiting);
  },
  "Limiter.run"() {
    const limiter = new Limiter({ limit: 0 });
    return {
      wait: (options) => limiter.run(() => {}, options),
      open: () => limiter.resize(5),
      waiting: () => limiter.statistics().waiting,
    };
  },
  "AsyncEvent.wait"() {
    const event = new AsyncEvent();
    return {
      wait: (options) => event.wait(options),
      open: () => event.set(),
      waiting: () => event.statistics().waiting,
    };
  },
  "Channel.receive"() {
    const channel = new Channel<number>();
    return {
      wait: (options) => channel.receive(options),
      open() {
        for (let value = 0; channel.trySend(value); value++);
      },
      waiting: () => channel.statistics().receiving,
    };
  },
  "Channel.send"() {
    const channel = new Channel<number>();
    return {
      wait: (options) => channel.send(1, options),
      open() {
        while (channel.tryReceive());
      },
      waiting: () => channel.statistics().sending,
    };
  },
  "AsyncResource.use"() {
    let opened: () => void;
    const resource = new AsyncResource({
      open: ({ signal }) =>
        new Promise<object>((resolve, reject) => {
          opened = () => resolve({});
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    });
    return {
      wait: (options) => resource.use(options).then((lease) => lease.release()),
      open: () => opened(),
      waiting: () => resource.statistics().waiting,
    };
  },
};

/** In each of the three ways. */
const WAITERS = 34_000;

/** `count` come, and go in one of three ways; the gate stays. */
async function comeAndGo(gate: Gate, count: number, how: "grant" | "abort" | "timeout"): Promise<void> {
  const controller = new AbortController();
  const listeners = watched(controller.signal);
  const reason = { how };
  const ended = { granted: 0, aborted: 0, late: 0 };
  const come = (timeoutMs: number | undefined): void => {
    for (let i = 0; i < count; i++) {
      gate.wait({ signal: controller.signal, timeoutMs }).then(
        () => void ended.granted++,
        (error) => {
          if (error === reason) ended.aborted++;
          else if (error instanceof TimeoutError) ended.late++;
        },
      );
    }
    assert.equal(gate.waiting(), count);
    assert.ok(listeners.now <= 1, "one listener for all");
  };
  if (how === "timeout") {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0; // The stacks of so many errors take longer than all the rest.
    await world(async (w) => {
      come(10);
      await w.advance(10);
    }, { auto: false }).finally(() => Error.stackTraceLimit = stackTraceLimit);
  } else {
    come(undefined);
    if (how === "abort") controller.abort(reason);
    else gate.open();
    await turn();
  }
  assert.deepEqual(ended, {
    granted: how === "grant" ? count : 0,
    aborted: how === "abort" ? count : 0,
    late: how === "timeout" ? count : 0,
  });
  assert.equal(gate.waiting(), 0);
  assert.equal(listeners.now, 0);
  assert.ok(listeners.most <= 1);
}

describe("100,000 waiters who come and go leave nothing behind", () => {
  for (const [name, make] of Object.entries(gates)) {
    test(`${name}: by grant, by abort, by timeout`, needsGc, async () => {
      // The structures live on; those who waited at them must not.
      const kept: Gate[] = [];
      const all = async (part: number): Promise<void> => {
        const [gate, other] = [await make(), await make()];
        kept.push(gate, other);
        for (const how of ["timeout", "abort", "grant"] as const) {
          await comeAndGo(gate, WAITERS * part, how);
        }
        // Once more by abort where nobody was ever granted anything.
        await comeAndGo(other, 1_000, "abort");
      };
      await assertLeavesNothing(() => all(1), () => all(0.1));
      assert.equal(kept.length, 4);
    });
  }

  test("each with a signal of its own that lives on", needsGc, async () => {
    const semaphore = new AsyncSemaphore(1);
    const controllers = Array.from({ length: 10_000 }, () => new AbortController());
    const work = async (): Promise<void> => {
      const lease = await semaphore.acquire();
      for (const { signal } of controllers) semaphore.acquire({ signal }).then((lease) => lease.release());
      lease.release();
      await turn();
      assert.equal(semaphore.statistics().waiting, 0);
    };
    await assertLeavesNothing(work);
  });
});

describe("the watch over memory", () => {
  test("sees what is left on the heap, and a warning of the process", needsGc, async () => {
    const left: unknown[] = [];
    const keep = (): Promise<void> => Promise.resolve(void left.push(new Array(300_000).fill({})));
    await assert.rejects(assertLeavesNothing(keep), /bytes are left/);
    assert.equal(left.length, 2);
    const warn = async (): Promise<void> => {
      // No Error, as one would be shown.
      process.emit("warning", { name: "MaxListenersExceededWarning", message: "11 listeners" });
      await turn();
    };
    await assert.rejects(assertLeavesNothing(warn), assert.AssertionError);
  });
});
