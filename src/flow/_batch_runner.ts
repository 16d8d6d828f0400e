/** Calling the batch function, and telling each caller what came of it. */
import { subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { ignore } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { discard } from "../kernel/late.ts";
import { emit, observed } from "../kernel/observer.ts";
import type { Batch, Call } from "./_batch.ts";
import { Failed, readResults } from "./_batch_results.ts";
import type { BatchRules } from "./_batch_rules.ts";
import type { BatchFunction } from "./async_batcher_options.ts";

/** The totals of a batcher when nothing has happened yet. */
export const NO_COUNTS = {
  batches: 0,
  bisected: 0,
  granted: 0,
  joined: 0,
  fulfilled: 0,
  failed: 0,
  aborted: 0,
  timedOut: 0,
  refused: 0,
};

interface Begun<I, O> {
  readonly batch: Batch<I, O>;
  readonly ended: () => void;
}

/** Fails those who wait for an item. @returns How many there were. */
export function failCallers<I, O>(call: Call<I, O>, error: unknown): number {
  let failed = 0;
  for (const one of callersOf(call)) {
    one.fail(error);
    failed++;
  }
  return failed;
}

function callersOf<I, O>(call: Call<I, O>): Call<I, O>[] {
  const callers = call.wanted ? [call] : [];
  const followers = call.ties?.followers;
  return followers === undefined ? callers : [...callers, ...followers];
}

/** Runs the batches of one batcher. */
export class BatchRunner<I, O> {
  readonly #fn: BatchFunction<I, O>;
  readonly #rules: BatchRules<I>;
  readonly #counts: typeof NO_COUNTS;
  readonly #what: string;
  #begun: Begun<I, O>[] = [];
  #wake: () => void = ignore;

  constructor(fn: BatchFunction<I, O>, rules: BatchRules<I>, counts: typeof NO_COUNTS) {
    this.#fn = fn;
    this.#rules = rules;
    this.#counts = counts;
    this.#what = subject("batcher", rules.name);
    void this.#runBegun();
  }

  /**
   * Begins a batch, in the next turn: whoever adds an item does not expect the batch function to run inside of that.
   *
   * `ended` is called when it is over and its callers have been told.
   */
  begin(batch: Batch<I, O>, ended: () => void): void {
    this.#begun.push({ batch, ended });
    this.#wake();
  }

  /** Never ends: what follows an `await` runs in the async context in which this was called, that of the maker. */
  async #runBegun(): Promise<never> {
    for (;;) {
      await (this.#begun.length > 0 ? undefined : new Promise<void>((wake) => void (this.#wake = wake)));
      const begun = this.#begun;
      this.#begun = [];
      for (const { batch, ended } of begun) void this.#run(batch).then(ended);
    }
  }

  async #run(batch: Batch<I, O>): Promise<void> {
    // Some may have gone since the batch was put together.
    const calls = batch.held;
    if (calls.length === 0) return;
    this.#counts.batches++;
    this.#counts.granted += calls.length;
    const tellEnd = observed() ? this.#tellBegin(batch, calls) : undefined;
    let results: unknown;
    try {
      results = await this.#fn(calls.map(itemOf), batch.work);
    } catch (error) {
      tellEnd?.("failed");
      return await this.#failed(batch, calls, error);
    }
    tellEnd?.("fulfilled");
    try {
      this.#handOut(calls, readResults(results, calls, { ...this.#rules, what: this.#what }));
    } catch (error) {
      this.#failAll(batch, calls, error);
    }
  }

  async #failed(batch: Batch<I, O>, calls: readonly Call<I, O>[], error: unknown): Promise<void> {
    try {
      if (calls.length > 1 && batch.end === undefined && this.#rules.bisects(error)) {
        this.#counts.bisected++;
        // One after the other: a batch counts for one against `concurrency`, whatever becomes of it.
        for (const half of batch.halves()) await this.#run(half);
        return;
      }
    } catch (thrown) {
      error = thrown; // By the predicate, so that nothing was tried again.
    }
    this.#failAll(batch, calls, error);
  }

  #failAll(batch: Batch<I, O>, calls: readonly Call<I, O>[], error: unknown): void {
    for (const call of calls) this.#counts.failed += failCallers(call, error);
    if (batch.end !== undefined && !isEcho(error, batch.end)) this.#tellLate(error);
  }

  #handOut(calls: readonly Call<I, O>[], results: readonly unknown[]): void {
    const { settled, name } = this.#rules;
    let fulfilled = 0;
    try {
      for (let i = 0; i < calls.length; i++) {
        const call = calls[i]!;
        const result = results[i];
        if (typeof result === "object" && isFailure(result, settled)) {
          const error = result instanceof Failed ? result.error : result;
          if (call.held) this.#counts.failed += failCallers(call, error);
          else this.#tellLate(error);
        } else if (call.ties === undefined) {
          call.succeed(result as O);
          fulfilled++;
        } else if (call.held) {
          for (const caller of callersOf(call)) {
            caller.succeed(result as O);
            fulfilled++;
          }
        } else discard(result, "batcher", name);
      }
    } finally {
      this.#counts.fulfilled += fulfilled;
    }
  }

  #tellBegin(batch: Batch<I, O>, calls: readonly Call<I, O>[]): (outcome: "fulfilled" | "failed") => void {
    const { name } = this.#rules;
    const number = this.#counts.batches;
    // For links from what a tracer makes of the batch to what it made of each call.
    const members = calls.flatMap((call) => callersOf(call).map(({ ties }) => ties?.id ?? 0));
    const { partition } = batch.work;
    const sinceMs = clock().now();
    emit("batch", "batcher", name, { batch: number, size: calls.length, members, partition });
    return (outcome) =>
      emit("batch.end", "batcher", name, { batch: number, outcome, ranMs: clock().now() - sinceMs });
  }

  #tellLate(error: unknown): void {
    emit("late.failure", "batcher", this.#rules.name, { error });
  }
}

function isFailure(result: unknown, settled: boolean): boolean {
  return result instanceof Failed || (!settled && result instanceof Error);
}

function itemOf<I, O>(call: Call<I, O>): I {
  return call.item;
}
