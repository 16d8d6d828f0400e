import { checkDurationMs, checkName, checkOptions, show, subject } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";

/** Options of a {@linkcode RetryBudget}. */
export interface RetryBudgetOptions {
  /** How many extra attempts a call pays for, 0 or more. Default 0.2: one for every five calls. */
  ratio?: number | undefined;
  /** Extra attempts a second there are in any case, so that a quiet client can retry too; 0 or more. Default 10. */
  minPerSecond?: number | undefined;
  /** How long what a call has paid in can be used, in milliseconds, above 0. Default 10,000. */
  ttlMs?: number | undefined;
  /** Appears in messages. */
  name?: string | undefined;
}

/** What an operator wants to know of a {@linkcode RetryBudget}. */
export interface RetryBudgetStatistics {
  /** Extra attempts that could be made right now. */
  readonly balance: number;
  /** Calls that have paid in. */
  readonly deposits: number;
  /** Extra attempts that were paid for. */
  readonly withdrawals: number;
  /** Extra attempts that were refused. */
  readonly refused: number;
}

/** Money is counted in whole millionths of an attempt: sums of fractions would drift. */
const ONE = 1_000_000;
const SLICES = 10;

/**
 * Keeps retries and hedges of a client in proportion to its calls, so that they can't multiply the load of a service
 * that is down.
 *
 * Every call pays in `ratio`, every extra attempt costs one; what was paid in is gone after `ttlMs`. In addition there
 * are `minPerSecond` extra attempts a second, saved up for one second at most. So `n` calls at once make at most
 * `n × ratio + minPerSecond` extra attempts. **Shared** — one budget may serve any number of `retry` and `hedge`
 * policies. **Cost** — constant, however many calls; no timer.
 *
 * A leaky token bucket as in Finagle's `RetryBudget`.
 *
 * @example
 * ```ts
 * import { retry, RetryBudget } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0 });
 * const policy = retry({ attempts: 3, baseMs: 1, budget });
 * let made = 0;
 * const down = () => {
 *   made++;
 *   return Promise.reject(new Error("down"));
 * };
 * for (let i = 0; i < 10; i++) await assert.rejects(policy.run(down), { message: "down" });
 * assert.deepEqual(made, 15); // 10 calls, and 5 retries in all
 * ```
 */
export class RetryBudget {
  /** The name given at creation. */
  readonly name: string | undefined;
  readonly #share: number;
  readonly #sliceMs: number;
  /** What was paid in and not used, by age: a ring of slices of the time to live. */
  readonly #paid = new Float64Array(SLICES);
  #sum = 0;
  /** The slice of now, counted from the start of time. */
  #slice = 0;
  /** How long a free attempt takes to come, in milliseconds, and how much of that may be saved up. */
  readonly #freeEveryMs: number;
  readonly #savedMs: number;
  /** When the free attempts that were used will all have come again. */
  #freeUsedMs = -Infinity;
  #deposits = 0;
  #withdrawals = 0;
  #refused = 0;

  /**
   * Creates a budget with the free attempts of one second in it.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options: RetryBudgetOptions = {}) {
    checkOptions("create retry budget", options);
    const { ratio = 0.2, minPerSecond = 10, ttlMs = 10_000, name } = options;
    checkName("create retry budget", name);
    const doing = `create ${subject("retry budget", name)}`;
    checkAmount(doing, "ratio", ratio);
    checkAmount(doing, "minPerSecond", minPerSecond);
    checkDurationMs(doing, "ttlMs", ttlMs);
    if (ttlMs === 0) throw new RangeError(`Cannot ${doing} as ttlMs must be above 0: received 0`);
    this.name = name;
    this.#share = Math.round(ratio * ONE);
    this.#sliceMs = ttlMs / SLICES;
    this.#freeEveryMs = 1_000 / minPerSecond;
    // Less than one a second: one is saved up all the same, or there would never be any.
    this.#savedMs = Math.max(1_000, this.#freeEveryMs);
  }

  /** A call pays in: once, with its first attempt. */
  deposit(): void {
    this.#deposits++;
    if (this.#share === 0) return;
    const slice = this.#now(clock().now());
    this.#paid[slice % SLICES]! += this.#share;
    this.#sum += this.#share;
  }

  /** Pays for an extra attempt. @returns Whether there was enough. */
  tryWithdraw(): boolean {
    const nowMs = clock().now();
    const paid = this.#takeFree(nowMs) || this.#takePaid(nowMs);
    if (paid) this.#withdrawals++;
    else this.#refused++;
    return paid;
  }

  /** Extra attempts that could be made right now. */
  get balance(): number {
    const nowMs = clock().now();
    this.#now(nowMs);
    const free = this.#freeEveryMs === Infinity
      ? 0
      : Math.floor((this.#savedMs - Math.max(0, this.#freeUsedMs - nowMs) + ROUNDING_MS) / this.#freeEveryMs);
    return free + Math.floor(this.#sum / ONE);
  }

  /** A snapshot of the balance and the totals so far. */
  statistics(): RetryBudgetStatistics {
    return Object.freeze({
      balance: this.balance,
      deposits: this.#deposits,
      withdrawals: this.#withdrawals,
      refused: this.#refused,
    });
  }

  /** By one number, as a rate limiter does it (GCRA). */
  #takeFree(nowMs: number): boolean {
    if (this.#freeEveryMs === Infinity) return false;
    const usedMs = Math.max(this.#freeUsedMs, nowMs) + this.#freeEveryMs;
    if (usedMs - nowMs > this.#savedMs + ROUNDING_MS) return false;
    this.#freeUsedMs = usedMs;
    return true;
  }

  /** The oldest first, as it is gone soonest. */
  #takePaid(nowMs: number): boolean {
    const slice = this.#now(nowMs);
    if (this.#sum < ONE) return false;
    this.#sum -= ONE;
    for (let due = ONE, i = 1; due > 0; i++) {
      const at = (slice + i) % SLICES;
      const part = Math.min(due, this.#paid[at]!);
      this.#paid[at]! -= part;
      due -= part;
    }
    return true;
  }

  /** Drops what is too old. @returns The slice of now. */
  #now(nowMs: number): number {
    const slice = Math.max(this.#slice, Math.floor(nowMs / this.#sliceMs));
    for (let gone = Math.min(SLICES, slice - this.#slice); gone > 0; gone--) {
      const at = (slice + SLICES - gone + 1) % SLICES;
      this.#sum -= this.#paid[at]!;
      this.#paid[at] = 0;
    }
    return this.#slice = slice;
  }
}

/** What sums of milliseconds may be off by. */
const ROUNDING_MS = 1e-6;

function checkAmount(doing: string, what: string, value: unknown): void {
  const Class = typeof value === "number" ? RangeError : TypeError;
  if (typeof value === "number" && value >= 0 && value < Infinity) return;
  throw new Class(`Cannot ${doing} as ${what} must be a finite number >= 0: received ${show(value)}`);
}
