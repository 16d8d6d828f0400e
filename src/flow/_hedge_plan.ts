/** The options of a hedge, checked, and what all calls under them share: totals, and what they have learned. */
import {
  checkBoolean,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { Quantile } from "./_quantile.ts";
import type { HedgeOptions, HedgeStatistics } from "./hedge_options.ts";
import { RetryBudget } from "./retry_budget.ts";

/** How many primary attempts have to be seen before their quantile says anything. */
const ENOUGH = 20;

export class HedgePlan {
  readonly name: string | undefined;
  readonly max: number;
  readonly fatal: ((error: unknown) => boolean) | undefined;
  readonly mayHedge: (() => boolean) | undefined;
  readonly budget: RetryBudget | undefined;
  readonly waitForLosers: boolean;
  /** How long primary attempts take, when that is asked for. */
  readonly taken: Quantile | undefined;
  readonly totals: { -readonly [K in Exclude<keyof HedgeStatistics, "delayMs">]: number } = {
    running: 0,
    calls: 0,
    hedges: 0,
    hedgeWins: 0,
    refused: 0,
    succeeded: 0,
    failed: 0,
    aborted: 0,
    timedOut: 0,
  };
  readonly #delayMs: number | ((attempt: number) => number);

  constructor(options: HedgeOptions | undefined, learns: boolean) {
    checkOptions("create hedge", options);
    const { name, quantile, max = 2, fatal, mayHedge, budget, waitForLosers = false } = options ?? {};
    checkName("create hedge", name);
    const doing = `create ${subject("hedge", name)}`;
    if (quantile !== undefined) checkQuantile(doing, quantile, learns);
    const { delayMs = quantile === undefined ? undefined : Infinity } = options ?? {};
    if (delayMs === undefined) {
      const which = learns ? "delayMs or quantile" : "delayMs";
      throw new TypeError(`Cannot ${doing} as ${which} must be given: received none`);
    }
    if (typeof delayMs !== "function") checkDurationMs(doing, "delayMs", delayMs);
    checkInteger(doing, "max", max, 1);
    checkBoolean(doing, "waitForLosers", waitForLosers);
    if (fatal !== undefined) checkFunction(doing, "fatal", fatal);
    if (mayHedge !== undefined) checkFunction(doing, "mayHedge", mayHedge);
    if (budget !== undefined && !(budget instanceof RetryBudget)) {
      throw new TypeError(`Cannot ${doing} as budget must be a RetryBudget: received ${show(budget)}`);
    }
    this.name = name;
    this.max = max;
    this.fatal = fatal;
    this.mayHedge = mayHedge;
    this.budget = budget;
    this.waitForLosers = waitForLosers;
    this.taken = quantile === undefined ? undefined : new Quantile(quantile);
    this.#delayMs = delayMs!;
  }

  /** How long to hold attempt number `attempt` back. */
  delayMs(attempt: number): number {
    if (this.#learned) return this.taken!.value;
    if (typeof this.#delayMs === "number") return this.#delayMs;
    const delayMs = this.#delayMs(attempt);
    checkDurationMs(`run ${subject("hedge", this.name)}`, "delayMs", delayMs);
    return delayMs;
  }

  /** Whether another attempt may begin; paid for, if so. */
  mayBegin(): boolean {
    const may = (this.mayHedge === undefined || this.mayHedge()) &&
      (this.budget === undefined || this.budget.tryWithdraw());
    if (!may) this.totals.refused++;
    return may;
  }

  statistics(): HedgeStatistics {
    const byFunction = !this.#learned && typeof this.#delayMs === "function";
    return Object.freeze({ ...this.totals, delayMs: byFunction ? undefined : this.delayMs(2) });
  }

  get #learned(): boolean {
    return this.taken !== undefined && this.taken.count >= ENOUGH;
  }
}

function checkQuantile(doing: string, quantile: unknown, learns: boolean): void {
  if (!learns) {
    throw new TypeError(
      `Cannot ${doing} as quantile must be an option of a policy, hedge(options), which learns from its calls: ` +
        `received ${show(quantile)} for a single call`,
    );
  }
  if (typeof quantile === "number" && quantile > 0 && quantile < 1) return;
  const Class = typeof quantile === "number" ? RangeError : TypeError;
  throw new Class(
    `Cannot ${doing} as quantile must be a number above 0 and below 1: received ${show(quantile)}`,
  );
}
