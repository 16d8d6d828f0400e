/** The options of a batcher, looked at once. */
import {
  checkChoice,
  checkCount,
  checkDurationMs,
  checkFinite,
  checkFunction,
  checkName,
  checkOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import type { LaneRules } from "./_batch_lanes.ts";
import type { AsyncBatcherOptions } from "./async_batcher_options.ts";

const settledMark = Symbol("settled");

/** Added to the options of a batcher whose function says of each item how it went. */
export const SETTLED: AsyncBatcherOptions = { [settledMark]: true } as AsyncBatcherOptions;

/** What a batcher goes by. */
export interface BatchRules<I> extends LaneRules {
  readonly name: string | undefined;
  readonly needsMs: number | undefined;
  readonly maxPending: number;
  readonly overflow: "wait" | "reject";
  readonly concurrency: number;
  readonly settled: boolean;
  /** Whether a batch that failed with this error is tried again in halves. */
  readonly bisects: (error: unknown) => boolean;
  /** What has to be asked of each item; nothing for most batchers. */
  readonly weigh: ((item: I) => number) | undefined;
  readonly keyOf: ((item: I) => unknown) | undefined;
  readonly partitionOf: ((item: I) => unknown) | undefined;
}

/** Checks the options and fills in what is not said. */
export function batchRules<I>(fn: unknown, options: AsyncBatcherOptions<I>): BatchRules<I> {
  checkOptions("create batcher", options);
  const { maxSize = 100, maxWeight = Infinity, weight, maxWaitMs = 0, quietMs = Infinity, needsMs } = options;
  const { maxPending = Infinity, overflow = "wait", concurrency = 1, dedupe = false, partition } = options;
  const { bisect = false, name } = options;
  checkName("create batcher", name);
  const doing = `create ${subject("batcher", name)}`;
  checkFunction(doing, "fn", fn);
  checkCount(doing, "maxSize", maxSize, 1);
  checkCount(doing, "maxWeight", maxWeight, 1);
  if (weight !== undefined || maxWeight !== Infinity) checkFunction(doing, "weight", weight);
  checkDurationMs(doing, "maxWaitMs", maxWaitMs);
  checkDurationMs(doing, "quietMs", quietMs);
  if (needsMs !== undefined) checkFinite(doing, "needsMs", needsMs, 0);
  checkCount(doing, "maxPending", maxPending, 1);
  checkChoice(doing, "overflow", overflow, ["wait", "reject"]);
  checkCount(doing, "concurrency", concurrency, 1);
  checkSwitch(doing, "dedupe", dedupe);
  if (partition !== undefined) checkFunction(doing, "partition", partition);
  checkSwitch(doing, "bisect", bisect);
  return {
    name,
    maxSize,
    maxWeight,
    maxWaitMs,
    quietMs,
    needsMs,
    maxPending,
    overflow,
    concurrency,
    settled: settledMark in options,
    dedupes: dedupe !== false,
    bisects: typeof bisect === "function" ? bisect : () => bisect,
    weigh: weight,
    keyOf: dedupe === true ? (item) => item : dedupe || undefined,
    partitionOf: partition,
  };
}

function checkSwitch(doing: string, what: string, value: unknown): void {
  if (typeof value === "boolean" || typeof value === "function") return;
  throw new TypeError(`Cannot ${doing} as ${what} must be a boolean or a function: received ${show(value)}`);
}
