/** What the tests of memory look at: the heap, the listeners on a signal, and the warnings of the process. */
import assert from "node:assert/strict";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { census } from "../../src/kernel/census.ts";

const MIB = 2 ** 20;

/** Collects garbage, where the runtime lets one ask for it. */
const collect: (() => void) | undefined = (() => {
  const { Bun, gc } = globalThis as { Bun?: { gc(now: boolean): void }; gc?: () => void };
  if (Bun !== undefined) return () => Bun.gc(true);
  if (gc !== undefined) return gc;
  setFlagsFromString("--expose-gc");
  return runInNewContext("globalThis.gc");
})();

/** For tests that can't do without: `test(name, needsGc, …)`. */
export const needsGc: { skip?: string } = collect === undefined
  ? { skip: "garbage collection can't be asked for: run with --expose-gc" }
  : {};

async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect!();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return process.memoryUsage().heapUsed;
}

/** A turn of the event loop, which all runtimes take only when no microtask is left. */
export const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));

/**
 * Does `work`, and asserts that it left nothing behind: not on the heap (within 1 MiB), no waiter, subscription or
 * listener, and no warning of the process. Done before once, by `warm`, to fill what is filled only once.
 */
export async function assertLeavesNothing(
  work: () => Promise<unknown>,
  warm: () => Promise<unknown> = work,
): Promise<void> {
  const counted = { ...census };
  const warnings: Error[] = [];
  const warn = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warn);
  try {
    await warm();
    const before = collect === undefined ? 0 : await heapUsed();
    await work();
    await turn();
    const bytes = collect === undefined ? 0 : await heapUsed() - before;
    assert.ok(bytes < MIB, `${bytes} bytes are left`);
    assert.deepEqual({ ...census }, counted);
    assert.deepEqual(warnings, []);
  } finally {
    process.off("warning", warn);
  }
}

/** Counts the listeners on a signal. */
export function watched(signal: AbortSignal): { now: number; most: number } {
  const count = { now: 0, most: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    count.most = Math.max(count.most, ++count.now);
    addEventListener.apply(signal, args as never);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    count.now--;
    removeEventListener.apply(signal, args as never);
  };
  return count;
}
