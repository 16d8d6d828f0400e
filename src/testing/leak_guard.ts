import { census } from "../kernel/census.ts";
import { clock } from "../kernel/clock.ts";
import { turns } from "./_turn.ts";
import { watchRejections } from "./_unhandled.ts";
import { count, describeReason, describeTimers } from "./_words.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** What was left behind, each number beyond what there was before. */
export interface Leaks {
  /** Timers of the virtual clock, background ones included. */
  readonly timers: number;
  /** Waiters in the library's queues. */
  readonly waiters: number;
  /** Subscriptions of the library to abort signals: sleepers, waiters, scopes, groups. */
  readonly subscriptions: number;
  /** Abort signals on which the library listens. */
  readonly listeners: number;
  /** The reasons of rejections that nobody handled. */
  readonly rejections: readonly unknown[];
}

/** Something was left behind. */
export class LeakError extends Error {
  static {
    this.prototype.name = "LeakError";
  }
  /** What was left. */
  readonly leaks: Leaks;

  /** Creates the error; `cause` is the first unhandled rejection, if there was one. */
  constructor(message: string, leaks: Leaks) {
    super(message, leaks.rejections.length > 0 ? { cause: leaks.rejections[0] } : undefined);
    this.leaks = leaks;
  }
}

/** A watch over what a stretch of code leaves behind; see {@linkcode leakGuard}. */
export interface LeakGuard extends Disposable, AsyncDisposable {
  /**
   * Waits a few turns of the event loop, so that late rejections show, and ends the watch.
   *
   * @throws {LeakError} When anything was left behind.
   */
  check(): Promise<void>;
}

class Guard implements LeakGuard {
  readonly #before = counts();
  readonly #rejections: unknown[] = [];
  readonly #watch: Disposable;
  #open = true;

  constructor() {
    this.#watch = watchRejections((reason) => this.#rejections.push(reason));
  }

  async check(): Promise<void> {
    if (this.#open) await turns(3);
    this[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.check();
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch[Symbol.dispose]();
    const after = counts();
    const leaks: Leaks = {
      timers: Math.max(0, after.timers - this.#before.timers),
      waiters: Math.max(0, after.waiters - this.#before.waiters),
      subscriptions: Math.max(0, after.subscriptions - this.#before.subscriptions),
      listeners: Math.max(0, after.listeners - this.#before.listeners),
      rejections: this.#rejections,
    };
    const found = describe(leaks);
    if (found !== "") throw new LeakError(`Cannot end cleanly: left behind ${found}`, leaks);
  }
}

/**
 * Watches what the code from here on leaves behind: timers of virtual time, waiters, subscriptions and listeners on
 * abort signals, and rejections that nobody handles.
 *
 * {@linkcode world} has one of its own; this one stands alone, for tests that need no virtual time. It compares with
 * what there was at the start, so that what others left before is not held against you; what others do meanwhile is.
 * Timers count only under a virtual clock. An unhandled rejection does not end the process while the guard watches;
 * the test runner sees it too (`bun test` shows it to nobody else).
 *
 * End it with `await guard.check()`, with `await using`, which is the same, or with `using`, which looks at once and
 * so can miss a rejection of the last moment.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { AsyncLock } from "@uno/async/sync";
 * import { LeakError, leakGuard } from "@uno/async/testing";
 *
 * const lock = new AsyncLock();
 * const guard = leakGuard();
 * using held = await lock.acquire();
 * const forgotten = lock.acquire();
 * await assert.rejects(guard.check(), LeakError); // left behind 1 waiter
 * held.release();
 * (await forgotten).release();
 * ```
 */
export function leakGuard(): LeakGuard {
  return new Guard();
}

function counts(): { timers: number } & typeof census {
  const time = clock();
  return { ...census, timers: time instanceof VirtualClock ? time.size : 0 };
}

/** What is left, in words; empty when nothing is. */
function describe(leaks: Leaks): string {
  const time = clock();
  const timers = time instanceof VirtualClock ? time.timers() : [];
  return [
    leaks.timers > 0 ? `${count(leaks.timers, "timer")} (${describeTimers(timers)})` : "",
    leaks.waiters > 0 ? count(leaks.waiters, "waiter") : "",
    leaks.subscriptions > 0 ? count(leaks.subscriptions, "subscription") + " to abort signals" : "",
    leaks.listeners > 0 ? count(leaks.listeners, "abort listener") : "",
    leaks.rejections.length > 0
      ? `${count(leaks.rejections.length, "unhandled rejection")} (${describeRejections(leaks.rejections)})`
      : "",
  ].filter((part) => part !== "").join(", ");
}

function describeRejections(reasons: readonly unknown[]): string {
  const shown = reasons.slice(0, 5).map(describeReason);
  if (reasons.length > shown.length) shown.push(`${reasons.length - shown.length} more`);
  return shown.join("; ");
}
