import { checkFunction, checkInteger, checkOptions } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { isEcho } from "../kernel/echo.ts";
import { leaves } from "../kernel/errors.ts";
import { Pulse } from "./_pulse.ts";
import { describeReason } from "./_words.ts";
import { runWorld, type World } from "./world.ts";

/** Options of {@linkcode sweep}. */
export interface SweepOptions {
  /** The most points to try; a scenario with more is tried at so many, spread evenly. Default 1,000. */
  max?: number | undefined;
  /** Tries this point only: the one that a {@linkcode SweepError} named. */
  point?: number | undefined;
  /** What chance is seeded with in each run. Default 1. */
  seed?: number | undefined;
}

/** What a {@linkcode sweep} did. */
export interface SweepResult {
  /** At how many points the scenario can be aborted: before it starts, and at every turn at which it is pending. */
  readonly points: number;
  /** At how many of them it was: fewer when there are more than `max`. */
  readonly aborted: number;
}

/** A scenario failed when it was aborted. */
export class SweepError extends Error {
  static {
    this.prototype.name = "SweepError";
  }
  /** The point; give it to `sweep` as an option to see the failure again. */
  readonly point: number;
  /** The virtual time of the point, in milliseconds. */
  readonly atMs: number;

  /** Creates the error; `cause` is what went wrong. */
  constructor(message: string, options: { point: number; atMs: number; cause: unknown }) {
    super(message, { cause: options.cause });
    this.point = options.point;
    this.atMs = options.atMs;
  }
}

/**
 * Aborts a scenario at every point at which it can be aborted, and checks each time that an invariant holds and that
 * nothing is left behind.
 *
 * Runs it once to the end to count the points: before it starts, after its first synchronous stretch, and each turn of
 * the microtask queue from there on and from each step of time on, until it ends. Then once more for each point, in a
 * {@linkcode world} of its own, aborting there. **Ends** — an aborted run may end well or with the abort; any other
 * failure is one of the sweep. **Order** — every run is the same up to its point, as long as the scenario makes its
 * objects anew and uses no real I/O. A stretch of more than 32 turns in which nothing of the library moves is not
 * followed to its end.
 *
 * @param scenario What is aborted; passes the signal on. Its world comes second.
 * @param invariant Called after each run; fails the sweep by throwing, rejecting, or giving `false`.
 * @returns How many points there were.
 * @throws {SweepError} When a run that was aborted fails; names the point.
 * @throws What the scenario throws, or the invariant, when nothing is aborted.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sleep } from "@uno/async/cancel";
 * import { AsyncSemaphore } from "@uno/async/sync";
 * import { sweep } from "@uno/async/testing";
 *
 * let semaphore: AsyncSemaphore;
 * const { points } = await sweep(async (signal) => {
 *   semaphore = new AsyncSemaphore(1);
 *   using permit = await semaphore.acquire({ signal });
 *   await sleep(10, { signal });
 *   assert.ok(permit.held);
 * }, () => assert.ok(semaphore.tryAcquire(), "the permit is back"));
 * assert.ok(points > 3);
 * ```
 */
export async function sweep(
  scenario: (signal: AbortSignal, world: World) => PromiseLike<unknown>,
  invariant: () => unknown,
  options: SweepOptions = {},
): Promise<SweepResult> {
  const doing = "sweep";
  checkFunction(doing, "scenario", scenario);
  checkFunction(doing, "invariant", invariant);
  checkOptions(doing, options);
  const { max = 1_000, seed = 1, point: only } = options;
  checkInteger(doing, "max", max, 1);
  const { last } = await run(scenario, invariant, seed, Infinity);
  if (only !== undefined) checkInteger(doing, "point", only, 0, last);
  const points = last + 1;
  const tried = only === undefined ? Math.min(points, max) : 1;
  let aborted = 0;
  for (let i = 0; i < tried; i++) {
    const point = only ?? (tried === 1 ? 0 : Math.round(i * last / (tried - 1)));
    const outcome = await run(scenario, invariant, seed, point);
    if (outcome.atMs !== undefined) aborted++;
    if (!("failure" in outcome)) continue;
    const { failure, atMs = 0 } = outcome;
    throw new SweepError(
      `Cannot abort at point ${point} of ${points}, at ${atMs} ms: ${describeReason(failure)}`,
      { point, atMs, cause: failure },
    );
  }
  return { points, aborted };
}

interface Outcome {
  /** The last point that was reached while the scenario was pending. */
  last: number;
  /** When it was aborted, if it was. */
  atMs?: number;
  /** What went wrong in a run that was to be aborted. */
  failure?: unknown;
}

/** One run, aborted at `point`; point 0 is before the start. */
async function run(
  scenario: (signal: AbortSignal, world: World) => PromiseLike<unknown>,
  invariant: () => unknown,
  seed: number,
  point: number,
): Promise<Outcome> {
  const controller = new AbortController();
  const outcome: Outcome = { last: 0 };
  const reach = (): void => {
    if (outcome.last !== point) return;
    outcome.atMs = clock().now();
    controller.abort(new DOMException(`Cannot go on: swept at point ${point}`, "AbortError"));
  };
  const next = (): void => {
    outcome.last++;
    reach();
  };
  const pulse = new Pulse(next);
  try {
    await runWorld(
      async (w) => {
        reach();
        try {
          const pending = scenario(controller.signal, w);
          next();
          pulse.wake();
          await pending;
        } catch (error) {
          if (!controller.signal.aborted || !isAbort(error, controller.signal)) throw error;
        } finally {
          pulse[Symbol.dispose]();
        }
        if (await invariant() === false) throw new Error("Cannot hold the invariant: it gave false");
      },
      { seed },
      { onStep: pulse.wake },
    );
  } catch (error) {
    if (point === Infinity) throw error;
    outcome.failure = error;
  } finally {
    pulse[Symbol.dispose]();
  }
  return outcome;
}

/** Whether all there is to a failure is that `signal` was aborted. */
function isAbort(error: unknown, signal: AbortSignal): boolean {
  return leaves(error).every((leaf) => {
    for (let at = leaf, depth = 0; at !== undefined && depth < 16; depth++) {
      if (isEcho(at, signal)) return true;
      at = typeof at === "object" && at !== null && "cause" in at ? at.cause : undefined;
    }
    return false;
  });
}
