/** The options of a circuit breaker, checked. */
import {
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { type BreakerWindow, CountWindow, RowWindow, TimeWindow } from "./_breaker_window.ts";
import type { CircuitBreakerOptions } from "./circuit_breaker_options.ts";

/** Options as the engine wants them. */
export interface Rules {
  readonly name: string | undefined;
  /** Whether calls in a row are counted, and a share of them otherwise. */
  readonly inRow: boolean;
  /** Whether the window turns with time. */
  readonly byTime: boolean;
  readonly minimumCalls: number;
  readonly failureRate: number;
  readonly slowRate: number;
  readonly slowCallMs: number;
  readonly openMs: number;
  readonly openGrowth: number;
  readonly maxOpenMs: number;
  readonly openJitter: number;
  readonly probes: number;
  readonly probeLeaseMs: number;
  readonly when: ((error: unknown) => boolean) | undefined;
  readonly whenResult: ((result: unknown) => boolean) | undefined;
  readonly ignore: ((error: unknown) => boolean) | undefined;
  newWindow(): BreakerWindow;
}

/** The rules of these options. */
export function rulesOf(options: CircuitBreakerOptions | undefined): Rules {
  checkOptions("create circuit breaker", options);
  const { name, windowMs, windowSize, failures, slowCallMs = Infinity } = options ?? {};
  checkName("create circuit breaker", name);
  const doing = `create ${subject("circuit breaker", name)}`;
  checkCombination(doing, options ?? {});
  if (windowMs !== undefined) checkPositive(doing, "windowMs", windowMs);
  if (windowSize !== undefined) checkInteger(doing, "windowSize", windowSize, 1, 1_000_000);
  if (failures !== undefined) checkInteger(doing, "failures", failures, 1);
  checkDurationMs(doing, "slowCallMs", slowCallMs);
  const { minimumCalls = failures ?? Math.min(10, windowSize ?? 10) } = options ?? {};
  checkInteger(doing, "minimumCalls", minimumCalls, 1, windowSize);
  return {
    name,
    inRow: failures !== undefined,
    byTime: failures === undefined && windowSize === undefined,
    minimumCalls,
    slowCallMs,
    ...ratesOf(doing, options ?? {}),
    ...openingOf(doing, options ?? {}),
    ...predicatesOf(doing, options ?? {}),
    newWindow: failures !== undefined
      ? () => new RowWindow()
      : windowSize !== undefined
      ? () => new CountWindow(windowSize)
      : () => new TimeWindow(windowMs ?? 30_000),
  };
}

function checkCombination(doing: string, options: CircuitBreakerOptions): void {
  const windows = (["windowMs", "windowSize", "failures"] as const).filter((o) => options[o] !== undefined);
  if (windows.length > 1) {
    throw new TypeError(
      `Cannot ${doing} as it must have one kind of window: received ${windows.join(" and ")}`,
    );
  }
  if (options.failures === undefined) return;
  for (const what of ["failureRate", "slowRate", "minimumCalls"] as const) {
    if (options[what] === undefined) continue;
    throw new TypeError(`Cannot ${doing} as ${what} must be left out with failures: received both`);
  }
}

function ratesOf(doing: string, options: CircuitBreakerOptions): Pick<Rules, "failureRate" | "slowRate"> {
  const { failureRate = 0.5, slowRate = 0.5 } = options;
  checkNumber(doing, "failureRate", failureRate, (n) => n > 0 && n <= 1, "a number above 0 and up to 1");
  checkNumber(doing, "slowRate", slowRate, (n) => n > 0 && n <= 1, "a number above 0 and up to 1");
  return { failureRate, slowRate };
}

function openingOf(
  doing: string,
  options: CircuitBreakerOptions,
): Pick<Rules, "openMs" | "openGrowth" | "maxOpenMs" | "openJitter" | "probes" | "probeLeaseMs"> {
  const { openMs = 5_000, openGrowth = 2, openJitter = 0.1, probes = 1, probeLeaseMs = 30_000 } = options;
  checkPositive(doing, "openMs", openMs);
  if (openMs === Infinity) {
    throw new RangeError(`Cannot ${doing} as openMs must be finite: received Infinity`);
  }
  const { maxOpenMs = Math.max(300_000, openMs) } = options;
  checkDurationMs(doing, "maxOpenMs", maxOpenMs);
  if (maxOpenMs < openMs) {
    throw new RangeError(`Cannot ${doing} as maxOpenMs must be >= openMs (${openMs}): received ${maxOpenMs}`);
  }
  checkNumber(doing, "openGrowth", openGrowth, (n) => n >= 1 && n < Infinity, "a finite number >= 1");
  checkNumber(doing, "openJitter", openJitter, (n) => n >= 0 && n <= 1, "a number from 0 to 1");
  checkInteger(doing, "probes", probes, 1);
  checkPositive(doing, "probeLeaseMs", probeLeaseMs);
  return { openMs, openGrowth, maxOpenMs, openJitter, probes, probeLeaseMs };
}

function predicatesOf(
  doing: string,
  { when, whenResult, ignore }: CircuitBreakerOptions,
): Pick<Rules, "when" | "whenResult" | "ignore"> {
  const predicates = { when, whenResult, ignore };
  for (const [what, predicate] of Object.entries(predicates)) {
    if (predicate !== undefined) checkFunction(doing, what, predicate);
  }
  return predicates;
}

function checkPositive(doing: string, what: string, value: unknown): void {
  checkDurationMs(doing, what, value);
  if (value === 0) throw new RangeError(`Cannot ${doing} as ${what} must be above 0: received 0`);
}

function checkNumber(
  doing: string,
  what: string,
  value: unknown,
  fits: (value: number) => boolean,
  rule: string,
): void {
  if (typeof value === "number" && fits(value)) return;
  const Class = typeof value === "number" ? RangeError : TypeError;
  throw new Class(`Cannot ${doing} as ${what} must be ${rule}: received ${show(value)}`);
}
