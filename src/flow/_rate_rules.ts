/** What is allowed and how it is counted, from the options of a rate limiter, which are checked here. */
import { checkChoice, checkDurationMs, checkInteger, show } from "../kernel/checks.ts";
import { Gcra } from "./_gcra.ts";
import type { RateAlgorithm, RateRule } from "./_rate_algorithm.ts";
import { SlidingLog } from "./_rate_log.ts";
import { RatePace } from "./_rate_pace.ts";
import { FixedWindow, SlidingCounter } from "./_rate_windows.ts";
import type { RateLimiterAdaptiveOptions, RateLimiterAlgorithm } from "./rate_limiter_options.ts";

const ALGORITHMS = {
  gcra: Gcra,
  tokenBucket: Gcra,
  slidingLog: SlidingLog,
  slidingCounter: SlidingCounter,
  fixedWindow: FixedWindow,
} as const satisfies Record<RateLimiterAlgorithm, new (rule: RateRule) => RateAlgorithm>;

/** Options that say how much. */
interface RateOptions {
  readonly limit: number;
  readonly intervalMs: number;
  readonly burst?: number;
  readonly algorithm?: RateLimiterAlgorithm;
  readonly adaptive?: boolean | RateLimiterAdaptiveOptions;
}

/** The rule, and who counts by it. */
export interface Rate {
  readonly rule: RateRule;
  readonly algorithm: RateAlgorithm;
  /** Who finds the limit, where it is to be found. */
  readonly pace: RatePace | undefined;
}

/** See the file. */
export function rateOf(
  doing: string,
  { limit, intervalMs, burst, algorithm = "gcra", adaptive = false }: RateOptions,
): Rate {
  checkInteger(doing, "limit", limit, 1);
  checkInterval(doing, intervalMs);
  checkChoice(doing, "algorithm", algorithm, Object.keys(ALGORITHMS));
  if (burst !== undefined) checkInteger(doing, "burst", burst, 1);
  const Algorithm = ALGORITHMS[algorithm];
  if (Algorithm !== Gcra) {
    for (const [what, value] of [["burst", burst], ["adaptive", adaptive || undefined]] as const) {
      if (value === undefined) continue;
      throw new RangeError(
        `Cannot ${doing} as ${what} goes with algorithm "gcra": received ${show(algorithm)}`,
      );
    }
  }
  const rule: RateRule = { limit, intervalMs, burst: burst ?? limit };
  const pace = adaptive === false
    ? undefined
    : new RatePace(doing, limit, intervalMs, adaptive === true ? {} : adaptive);
  return { rule, algorithm: new Algorithm(rule), pace };
}

function checkInterval(doing: string, intervalMs: number): void {
  checkDurationMs(doing, "intervalMs", intervalMs);
  if (intervalMs > 0 && intervalMs < Infinity) return;
  throw new RangeError(
    `Cannot ${doing} as intervalMs must be a finite number of milliseconds > 0: received ${intervalMs}`,
  );
}
