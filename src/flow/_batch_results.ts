/** What a batch function gave back: a result for each item, or what is wrong with it. */
import { show } from "../kernel/checks.ts";
import { discard } from "../kernel/late.ts";
import type { Call } from "./_batch.ts";
import { BatchMissingError } from "./batch_missing_error.ts";
import { BatchShapeError } from "./batch_shape_error.ts";

/** Stands in the place of a result where the item failed. */
export class Failed {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** Which batcher it is for, and how its function gives results back. */
export interface ResultRules {
  /** The batcher, in words. */
  readonly what: string;
  readonly name: string | undefined;
  /** Whether they say how it went; else an `Error` is a failure. */
  readonly settled: boolean;
  /** Whether items go by the keys in their ties. */
  readonly dedupes: boolean;
}

/**
 * The results in the order of the items, whichever way they came.
 *
 * @returns For each its result, or a {@linkcode Failed}; in an array that is passed on as it came, an `Error`.
 * @throws {BatchShapeError} When there is not one for each.
 */
export function readResults<I, O>(
  results: unknown,
  calls: readonly Call<I, O>[],
  rules: ResultRules,
): readonly unknown[] {
  if (results instanceof Map) return byKey(results, calls, rules);
  if (!Array.isArray(results)) throw notOneForEach(results, calls.length, rules);
  if (results.length === calls.length) return rules.settled ? readAll(results, rules) : results;
  discardAll(results, rules);
  throw notOneForEach(results, calls.length, rules);
}

function byKey<I, O>(
  results: ReadonlyMap<unknown, unknown>,
  calls: readonly Call<I, O>[],
  rules: ResultRules,
): readonly unknown[] {
  const keys = calls.map((call) => rules.dedupes ? call.ties!.key : call.item);
  const asked = new Set(keys);
  for (const [key, result] of results) if (!asked.has(key)) discardAll([result], rules);
  const found = keys.filter((key) => results.has(key)).map((key) => results.get(key));
  const read = rules.settled ? readAll(found, rules) : found;
  let at = 0;
  return keys.map((key) => results.has(key) ? read[at++] : new Failed(missing(key, rules)));
}

/** Takes results apart that say how it went. */
function readAll(results: readonly unknown[], rules: ResultRules): readonly unknown[] {
  const wrong = results.findIndex((result) =>
    !["fulfilled", "rejected"].includes(statusOf(result) as string)
  );
  if (wrong < 0) {
    return results.map((result) =>
      statusOf(result) === "fulfilled"
        ? (result as PromiseFulfilledResult<unknown>).value
        : new Failed((result as PromiseRejectedResult).reason)
    );
  }
  discardAll(results, rules);
  throw new BatchShapeError(
    `Cannot hand out the results of ${rules.what} as each must have a status of "fulfilled" or "rejected": ` +
      `received ${show(results[wrong])}`,
    { expected: results.length, actual: results.length },
  );
}

function statusOf(result: unknown): unknown {
  return (result as Partial<PromiseSettledResult<unknown>> | null | undefined)?.status;
}

/** Disposes results that nobody can get. */
function discardAll(results: readonly unknown[], { settled, name }: ResultRules): void {
  for (const result of results) {
    discard(settled ? (result as { value?: unknown } | null | undefined)?.value : result, "batcher", name);
  }
}

function missing(key: unknown, { what }: ResultRules): BatchMissingError {
  return new BatchMissingError(`Cannot hand out the result of ${what} for ${show(key)}: there is none`, {
    key,
  });
}

function notOneForEach(results: unknown, expected: number, { what }: ResultRules): BatchShapeError {
  return new BatchShapeError(
    `Cannot hand out the results of ${what} as they must be an array of ${expected}: received ${
      show(results)
    }`,
    { expected, actual: Array.isArray(results) ? results.length : undefined },
  );
}
