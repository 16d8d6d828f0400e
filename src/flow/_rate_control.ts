/** What changes a rate limiter from outside: its operator, and the server behind it. */
import { checkInteger, checkObject, checkOptions } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import { Gcra } from "./_gcra.ts";
import type { Bucket, RateRule } from "./_rate_algorithm.ts";
import { bucketOf } from "./_rate_entry.ts";
import type { RateGate } from "./_rate_gate.ts";
import type { RateLine } from "./_rate_line.ts";
import type { RatePace } from "./_rate_pace.ts";
import type { RateLimiterStatistics, RateLimitResponse } from "./rate_limiter_options.ts";
import { retryAfterOf } from "./retry_after.ts";

/** See the file. */
export class RateControl {
  readonly #gate: RateGate;
  #rule: RateRule;
  readonly #burstIsLimit: boolean;
  readonly #pace: RatePace | undefined;

  constructor(gate: RateGate, rule: RateRule, burstIsLimit: boolean, pace: RatePace | undefined) {
    this.#gate = gate;
    this.#rule = rule;
    this.#burstIsLimit = burstIsLimit;
    this.#pace = pace;
  }

  /** Takes what `weigh` says, whether or not it is there. */
  spend(key: string | undefined, weigh: (bucket: Bucket<RateLine>, nowMs: number) => number): void {
    const gate = this.#gate;
    const nowMs = clock().now();
    const bucket = bucketOf(gate, key, 1, nowMs);
    if (bucket.line !== undefined) gate.serve(bucket.line, nowMs);
    const weight = weigh(bucket, nowMs);
    if (weight === 0) return;
    gate.algorithm.take(bucket, weight, nowMs);
    gate.changed(bucket, nowMs);
  }

  /** Lets nobody through for so long, or nobody with a key. */
  pause(ms: number, key: string | undefined): void {
    const gate = this.#gate;
    const nowMs = clock().now();
    const bucket = key === undefined ? undefined : bucketOf(gate, key, 1, nowMs);
    gate.pause(bucket, nowMs + ms, nowMs);
    emit("pause", "rate limiter", gate.name, { ms, ...(key === undefined ? {} : { key }) });
  }

  /** Ends a pause. */
  resume(key: string | undefined): void {
    const bucket = key === undefined ? undefined : this.#gate.buckets.find(key);
    if (key === undefined || bucket !== undefined) this.#gate.resume(bucket, clock().now());
  }

  /** Does what a response asks for. @returns For how long it asks to pause. */
  heed(response: RateLimitResponse, key: string | undefined): number {
    const doing = `heed a response in ${this.#gate.describe()}`;
    checkOptions(`${doing} as the response`, response ?? null);
    checkObject(doing, "headers", response.headers ?? null);
    const askedMs = retryAfterOf(response) ?? 0;
    const { status } = response;
    if (askedMs > 0) this.pause(askedMs, key);
    if (status === 429) this.#adapt((pace, nowMs) => pace.refused(nowMs));
    else if (status !== undefined && status < 400) this.#adapt((pace, nowMs) => pace.served(nowMs));
    return askedMs;
  }

  /** Goes by another limit and burst. */
  resize(options: { limit?: number; burst?: number }): void {
    const gate = this.#gate;
    const doing = `resize ${gate.describe()}`;
    checkOptions(doing, options ?? null);
    const { limit = this.#rule.limit, burst = this.#burstIsLimit ? limit : this.#rule.burst } = options;
    checkInteger(doing, "limit", limit, 1);
    checkInteger(doing, "burst", burst, 1);
    if (options.burst !== undefined && !(gate.algorithm instanceof Gcra)) {
      throw new RangeError(`Cannot ${doing} as burst goes with algorithm "gcra": received ${burst}`);
    }
    this.#rule = { ...this.#rule, limit, burst };
    this.#pace?.resize(limit);
    this.#apply(clock().now());
  }

  /** A snapshot. */
  statistics(): RateLimiterStatistics {
    const gate = this.#gate;
    const { intervalMs, burst, limit } = this.#rule;
    // First, as it serves who is due.
    const available = gate.available(gate.own);
    const { granted, aborted, timedOut, refused } = gate.totals;
    const sum = { granted, aborted, timedOut, refused };
    for (const { queue: { totals } } of gate.lines) {
      sum.granted += totals.granted;
      sum.aborted += totals.aborted;
      sum.timedOut += totals.timedOut;
    }
    return Object.freeze({
      limit: this.#pace?.limit ?? limit,
      intervalMs,
      burst,
      available,
      keys: gate.buckets.size,
      waiting: gate.waiting,
      pausedMs: Math.max(0, gate.pausedUntilMs - clock().now()),
      closed: gate.closedWith !== undefined,
      ...sum,
    });
  }

  #adapt(move: (pace: RatePace, nowMs: number) => boolean): void {
    const nowMs = clock().now();
    if (this.#pace === undefined || !move(this.#pace, nowMs)) return;
    this.#apply(nowMs);
    emit("adapt", "rate limiter", this.#gate.name, { limit: this.#pace.limit });
  }

  #apply(nowMs: number): void {
    const gate = this.#gate;
    // Who is due by the old rule comes in by it.
    for (const line of [...gate.lines]) gate.serve(line, nowMs);
    gate.algorithm.change({ ...this.#rule, limit: this.#pace?.limit ?? this.#rule.limit }, nowMs);
    for (const line of [...gate.lines]) gate.refuseTooHeavy(line);
    gate.changed(undefined, nowMs);
  }
}
