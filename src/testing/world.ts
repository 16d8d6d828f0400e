import { checkBoolean, checkFunction, checkInteger, checkOptions } from "../kernel/checks.ts";
import { replaceClock } from "../kernel/clock.ts";
import { MisuseError } from "../kernel/errors.ts";
import { observe } from "../kernel/observer.ts";
import { watchGroups } from "../kernel/open_groups.ts";
import { Engine, type EngineOptions } from "./_engine.ts";
import { StuckError } from "./stuck_error.ts";
import { turn } from "./_turn.ts";
import { describeReason } from "./_words.ts";
import { LeakError, leakGuard } from "./leak_guard.ts";
import type { VirtualTimer } from "./virtual_clock.ts";

/** What the body of a test can do with its {@linkcode world}. */
export interface World {
  /** What chance is seeded with. */
  readonly seed: number;
  /** Virtual time, in milliseconds since the start of the world. */
  readonly now: number;
  /** The timers that have not fired, those due next first. */
  readonly timers: readonly VirtualTimer[];
  /**
   * Moves time on by `ms` and resolves when everything that this sets going has come to rest. Each timer on the way
   * fires at its very time, those included that are made on the way.
   *
   * @param ms How far, in milliseconds, 0 or more, finite.
   */
  advance(ms: number): Promise<void>;
  /** Resolves when nothing can run any more without time moving on; real I/O is not waited for. */
  idle(): Promise<void>;
  /** Waits for real I/O, during which time does not move by itself. @returns What `work` becomes. */
  external<R>(work: PromiseLike<R>): Promise<R>;
}

/** Options of {@linkcode world}. */
export interface WorldOptions {
  /** What chance (jitter, random choices) is seeded with: an integer from 0 to 2³²−1. Default 1. */
  seed?: number | undefined;
  /** Whether time moves to the next timer by itself when nothing else can run. Default `true`. */
  auto?: boolean | undefined;
  /** How often time may move before the test counts as endless. Default 1,000,000. */
  maxSteps?: number | undefined;
}

/** There is one clock in the process, so there is one world at a time. */
/** Where the one that is running was started. */
let current: Error | undefined;

/**
 * Runs a test in virtual time: what sleeps for an hour is over at once, and always in the same order.
 *
 * **Time** — starts at 0. When nothing else can run, it jumps to the next timer of the library (sleeps, limits,
 * back-off, …); with `auto: false` only `advance()` moves it. The runtime's own timers and `Date` are not replaced.
 * **Real I/O** — to be awaited through `external()`; otherwise time may move while it is under way. **Stuck** — when
 * nothing can run and the test is not finished, it fails and says what is left. **Leaks** — so does a test that leaves
 * a timer, a waiter, a listener or an unhandled rejection behind. **One at a time** — in a process; the real clock is
 * back in place afterwards, whatever happened.
 *
 * @param body The test; gets the {@linkcode World}.
 * @returns What `body` returns.
 * @throws What `body` throws; when it also left something behind, an `AggregateError` of that and the `LeakError`.
 * @throws {LeakError} When something is left behind.
 * @throws {StuckError} When the test can never end.
 * @throws {MisuseError} When another world has not ended yet.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sleep } from "@uno/async/cancel";
 * import { world } from "@uno/async/testing";
 *
 * await world(async (w) => {
 *   await sleep(3_600_000);
 *   assert.equal(w.now, 3_600_000);
 * });
 *
 * await world(async (w) => {
 *   const nap = sleep(100);
 *   await w.advance(99);
 *   assert.equal(w.timers.length, 1);
 *   await w.advance(1);
 *   await nap;
 * }, { auto: false });
 * ```
 */
export async function world<T>(
  body: (world: World) => T | PromiseLike<T>,
  options: WorldOptions = {},
): Promise<T> {
  return await runWorld(body, options);
}

/** {@linkcode world} with a look inside, for the other parts of the test floor. */
export async function runWorld<T>(
  body: (world: World) => T | PromiseLike<T>,
  options: WorldOptions,
  inside: Pick<EngineOptions, "onStep" | "exploration"> = {},
): Promise<T> {
  const engine = new Engine({ ...check(body, options), ...inside });
  if (current !== undefined) {
    const message =
      "Cannot start a test world as there can be one at a time: one is running, started where the cause says";
    throw new MisuseError(message, { cause: current });
  }
  current = new Error("Cannot start another test world before this one has ended");
  try {
    // What others left to report is not this test's.
    await turn();
    using _clock = replaceClock(engine.time);
    using _watching = observe(engine.recent);
    using _groups = watchGroups();
    return await guarded(() => engine.run(() => body(view(engine))));
  } finally {
    current = undefined;
  }
}

function check(body: unknown, options: WorldOptions): EngineOptions {
  const doing = "start a test world";
  checkFunction(doing, "body", body);
  checkOptions(doing, options);
  const { seed = 1, auto = true, maxSteps = 1_000_000 } = options;
  checkInteger(doing, "seed", seed, 0, 2 ** 32 - 1);
  checkBoolean(doing, "auto", auto);
  checkInteger(doing, "maxSteps", maxSteps, 1);
  return { seed, auto, maxSteps };
}

/** Runs `test` with a leak guard; a failure of its own comes first. */
async function guarded<T>(test: () => Promise<T>): Promise<T> {
  const guard = leakGuard();
  let result: T;
  try {
    result = await test();
  } catch (error) {
    const leak = await leakOf(guard.check());
    // What a stuck test holds is what it is stuck with.
    if (leak === undefined || error instanceof StuckError) throw error;
    throw new AggregateError(
      [error, leak],
      `Cannot pass the test: ${describeReason(error)}; besides, it left something behind: ${leak.message}`,
      { cause: error },
    );
  }
  await guard.check();
  return result;
}

async function leakOf(check: Promise<void>): Promise<LeakError | undefined> {
  try {
    await check;
  } catch (error) {
    if (error instanceof LeakError) return error;
    throw error;
  }
}

function view(engine: Engine): World {
  return {
    get seed() {
      return engine.time.seed;
    },
    get now() {
      return engine.time.now();
    },
    get timers() {
      return engine.time.timers();
    },
    advance: (ms) => engine.advance(ms),
    idle: () => engine.idle(),
    external: (work) => engine.external(work),
  };
}
