import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { linkSignals, sleep, timeout } from "@uno/async/cancel";
import { AsyncLock, AsyncSemaphore } from "@uno/async/sync";
import { LeakError, leakGuard, type Leaks, world } from "@uno/async/testing";

const none: Leaks = { timers: 0, waiters: 0, subscriptions: 0, listeners: 0, rejections: [] };

/** The leaks for which `promise` fails. */
async function leaksOf(promise: Promise<unknown>): Promise<Leaks> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof LeakError, String(error));
    return error.leaks;
  }
  assert.fail("it did not fail");
}

describe("leakGuard in a world", () => {
  test("passes a body that leaves nothing", async () => {
    await world(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const lock = new AsyncLock();
      const lease = await lock.acquire({ signal });
      const waiting = lock.acquire({ signal, timeoutMs: 10 });
      using limit = timeout(5, { signal });
      await assert.rejects(sleep(50, { signal: limit.signal }));
      lease.release();
      (await waiting).release();
    });
  });

  test("fails for a timer, awaited or in the background", async () => {
    assert.deepEqual(await leaksOf(world(() => void sleep(100))), { ...none, timers: 1 });
    assert.deepEqual(await leaksOf(world(() => void timeout(100))), { ...none, timers: 1 });
    assert.deepEqual(await leaksOf(world(() => void sleep(Infinity))), { ...none, timers: 1 });
    await assert.rejects(
      world(() => void [timeout(100), sleep(200)]),
      /^LeakError: Cannot end cleanly: left behind 2 timers \(due at 100 ms in the background, due at 200 ms\)$/,
    );
  });

  test("fails for a waiter", async () => {
    const semaphore = new AsyncSemaphore(1);
    const leaks = await leaksOf(world(async () => {
      await semaphore.acquire();
      void semaphore.acquire().catch(() => {});
    }));
    assert.deepEqual(leaks, { ...none, waiters: 1 });
    semaphore.close();
  });

  test("fails for subscriptions and listeners on abort signals", async () => {
    const { signal } = new AbortController();
    const links: Disposable[] = [];
    const leaks = await leaksOf(world(() => void links.push(linkSignals(signal), linkSignals(signal))));
    assert.equal(leaks.listeners, 1);
    assert.equal(leaks.subscriptions, 2);
    for (const link of links) link[Symbol.dispose]();
  });

  test("does not hold against a body what was there before it", async () => {
    const lock = new AsyncLock();
    const lease = await lock.acquire();
    const waiting = lock.acquire({ signal: new AbortController().signal });
    await world(() => sleep(5));
    lease.release();
    (await waiting).release();
  });
});

describe("leakGuard alone", () => {
  test("check passes when nothing is left, and is over after the first time", async () => {
    const guard = leakGuard();
    await guard.check();
    const lock = new AsyncLock();
    const lease = await lock.acquire();
    const waiting = lock.acquire();
    await guard.check();
    lease.release();
    (await waiting).release();
  });

  test("check, using and await using fail when something is left", async () => {
    const lock = new AsyncLock();
    const lease = await lock.acquire();
    const waiting: Promise<Disposable>[] = [];
    const guard = leakGuard();
    waiting.push(lock.acquire());
    assert.deepEqual(await leaksOf(guard.check()), { ...none, waiters: 1 });
    assert.throws(() => {
      using _guard = leakGuard();
      waiting.push(lock.acquire());
    }, LeakError);
    const later = async (): Promise<void> => {
      await using _guard = leakGuard();
      waiting.push(lock.acquire());
    };
    assert.deepEqual(await leaksOf(later()), { ...none, waiters: 1 });
    lease.release();
    for (const next of waiting) (await next)[Symbol.dispose]();
  });
});

describe("leakGuard, unhandled rejections", () => {
  // In a process of its own: test runners take such a rejection for a failure of the test that is running.
  const fixture = fileURLToPath(new URL("./_rejections.ts", import.meta.url));
  const deno = "Deno" in globalThis ? ["run", "-A"] : [];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...deno, fixture], { encoding: "utf8" });
  const lines = stdout.trim().split("\n");

  for (
    const [name, expected] of [
      ["at once", "LeakError at once"],
      ["after a sleep", "LeakError after a sleep"],
      ["at the very end", "LeakError at the very end"],
      ["with a failing body", "AggregateError body,LeakError rejected"],
      ["handled in time", "passed"],
      ["not an error", "LeakError null"],
      [
        "many",
        "Cannot end cleanly: left behind 1000 unhandled rejections (0; 1; 2; 3; 4; 995 more), all 1000 of them",
      ],
      ["guard alone", "LeakError alone"],
      ["listeners left", "0"],
      ["afterwards", "told the next listener"],
    ] as const
  ) {
    test(`finds a rejection: ${name}`, () => {
      assert.equal(status, 0, stderr);
      assert.ok(lines.includes(`${name}: ${expected}`), `${name}: ${expected} is not in\n${stdout}`);
    });
  }
});
