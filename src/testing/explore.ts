import { checkChoice, checkFunction, checkInteger, checkOptions, show } from "../kernel/checks.ts";
import { Exploration, type Varied } from "./_exploration.ts";
import { describeReason } from "./_words.ts";
import { runWorld, type World } from "./world.ts";

/** Options of {@linkcode explore}. */
export interface ExploreOptions {
  /** How many orders to try. Default 100. */
  runs?: number | undefined;
  /** Tries the order of this seed only: the one that an {@linkcode ExploreError} named. */
  seed?: number | undefined;
  /** By how many turns of the microtask queue a start or the end of a wait is put off at most. Default 8. */
  max?: number | undefined;
  /**
   * What is put in another order: the starts of tasks, timers due together, and the ends of waits. Default: all three.
   * To see which of them a failure comes from, or to keep one that the scenario may rely on.
   */
  vary?: readonly ("starts" | "timers" | "waits")[] | undefined;
}

/** What an {@linkcode explore} did. */
export interface ExploreResult {
  /** How many orders were tried. */
  readonly runs: number;
}

/** A scenario failed in one of the orders. */
export class ExploreError extends Error {
  static {
    this.prototype.name = "ExploreError";
  }
  /** The seed of the order; give it to `explore` as an option, with the others unchanged, to see the failure again. */
  readonly seed: number;

  /** Creates the error; `cause` is what went wrong. */
  constructor(message: string, options: { seed: number; cause: unknown }) {
    super(message, { cause: options.cause });
    this.seed = options.seed;
  }
}

const VARIED: readonly Varied[] = ["starts", "timers", "waits"];

/**
 * Runs a scenario in many of the orders that are possible, each in a {@linkcode world} of its own, and says by which
 * seed to run again the one in which it failed.
 *
 * **What varies** — in which order tasks start, and how soon; in which order timers due at the same time fire, and
 * whether what one woke runs before the next; how soon somebody runs on who was granted what was waited for. **What
 * does not** — who is granted it, which is always who came first; and those who wait in one line run on in its order.
 * A group starts its tasks in order otherwise: a scenario that relies on that says `vary: ["timers", "waits"]`.
 * **Replay** — the same seed gives the same order, as long as the scenario makes its objects anew and uses no real I/O.
 *
 * Random orders as in trio's scheduler and the schedule exploration of Coyote.
 *
 * @param scenario What is run, with its world; fails by throwing or rejecting, by getting stuck, or by leaving
 * something behind.
 * @returns How many orders were tried.
 * @throws {ExploreError} When the scenario fails; `cause` is its failure.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sleep } from "@uno/async/cancel";
 * import { runTasks } from "@uno/async/task";
 * import { explore, ExploreError } from "@uno/async/testing";
 *
 * const scenario = async () => {
 *   let config: string | undefined;
 *   const load = async () => {
 *     await sleep(10);
 *     config = "loaded";
 *   };
 *   const use = async () => {
 *     await sleep(10);
 *     assert.equal(config, "loaded"); // so far it always was
 *   };
 *   await runTasks([load, use]);
 * };
 * const error = await explore(scenario).catch((error) => error);
 * assert.ok(error instanceof ExploreError);
 * await assert.rejects(explore(scenario, { seed: error.seed }), ExploreError);
 * ```
 */
export async function explore(
  scenario: (world: World) => unknown,
  options: ExploreOptions = {},
): Promise<ExploreResult> {
  const doing = "explore";
  checkFunction(doing, "scenario", scenario);
  checkOptions(doing, options);
  const { runs = 100, seed: only, max = 8, vary = VARIED } = options;
  checkInteger(doing, "runs", runs, 1, 2 ** 32 - 1);
  if (only !== undefined) checkInteger(doing, "seed", only, 0, 2 ** 32 - 1);
  checkInteger(doing, "max", max, 1);
  if (!Array.isArray(vary)) {
    throw new TypeError(`Cannot explore as vary must be an array: received ${show(vary)}`);
  }
  for (const what of vary) checkChoice(doing, "vary", what, VARIED);
  const seeds = only === undefined ? { from: 1, count: runs } : { from: only, count: 1 };
  for (let seed = seeds.from; seed < seeds.from + seeds.count; seed++) {
    try {
      await runWorld(scenario, { seed }, { exploration: new Exploration(seed, max, vary) });
    } catch (error) {
      const again = `explore(scenario, { ${describeOptions({ ...options, runs: undefined, seed })} })`;
      throw new ExploreError(
        `Cannot pass in the order of seed ${seed}: ${describeReason(error)}; ${again} runs it again`,
        { seed, cause: error },
      );
    }
  }
  return { runs: seeds.count };
}

/** `seed: 17, max: 3`. */
function describeOptions({ seed, max, vary }: ExploreOptions): string {
  return Object.entries({ seed, max, vary })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    .join(", ");
}
