/** What a call asks of a rate limiter, read once from its options and checked. */
import {
  checkDurationMs,
  checkInteger,
  checkName,
  checkOptions,
  checkWaitOptions,
} from "../kernel/checks.ts";
import type { RateGate } from "./_rate_gate.ts";
import type { RateLimiterAcquireOptions, RateLimiterTakeOptions } from "./rate_limiter_options.ts";

/** See the file. */
export interface Asked {
  readonly weight: number;
  readonly key: string | undefined;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
}

/** Reads the options of a call that may wait. */
export function askedToWait(gate: RateGate, options: RateLimiterAcquireOptions): Asked {
  checkWaitOptions(gate.doing, options);
  return asked(gate, options);
}

/** Reads the options of a call. */
export function asked(gate: RateGate, options: RateLimiterAcquireOptions): Asked {
  checkOptions(gate.doing, options);
  const { weight = 1, key, maxWaitMs = Infinity, signal, timeoutMs } = options;
  checkDurationMs(gate.doing, "maxWaitMs", maxWaitMs);
  return {
    weight: checkedWeight(gate, weight),
    key: checkedKey(gate, key),
    maxWaitMs,
    signal,
    timeoutMs,
  };
}

/** Reads the options of a call that is about a key or about none. */
export function keyOf(
  gate: RateGate,
  options: Pick<RateLimiterTakeOptions, "key"> | undefined,
): string | undefined {
  checkOptions(gate.doing, options);
  return checkedKey(gate, options?.key);
}

/** A key, or none. */
export function checkedKey(gate: RateGate, key: string | undefined): string | undefined {
  if (key !== undefined && typeof key !== "string") checkName(gate.doing, key, "key");
  return key;
}

/** A weight that can be had at all. */
export function checkedWeight(gate: RateGate, weight: number): number {
  if (weight === 1) return 1;
  checkInteger(gate.doing, "weight", weight, 1);
  if (weight <= gate.most) return weight;
  throw new RangeError(
    `Cannot ${gate.doing} as weight must be at most its burst of ${gate.most}: received ${weight}`,
  );
}
