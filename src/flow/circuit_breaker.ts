import {
  checkChoice,
  checkDurationMs,
  checkFunction,
  checkInteger,
  checkOptions,
  checkWaitOptions,
  show,
  subject,
} from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { discard } from "../kernel/late.ts";
import type { WaitOptions } from "../kernel/types.ts";
import { rulesOf } from "./_breaker_rules.ts";
import { type Admission, Circuit } from "./_circuit.ts";
import { overdue, runWithin, Work } from "./_work.ts";
import type {
  CircuitBreakerOptions,
  CircuitBreakerStatistics,
  CircuitState,
  SavedCircuit,
} from "./circuit_breaker_options.ts";
import type { CallContext, Run } from "./policy.ts";

/**
 * Stops calling a service that fails, and lets a few calls try from time to time whether it is back.
 *
 * **Closed** — calls go through; their outcomes are counted in a window of time, of calls, or in a row. Where the rate
 * of failures or of slow calls reaches its threshold, and enough calls were seen, it opens. **Open** — calls reject with
 * a `CircuitOpenError` that says how long and why; nothing is started, nothing counted. Each further opening in a row
 * lasts longer; a failure that says `Retry-After` (see `retry`) makes it last at least as long. **Half-open** — exactly
 * `probes` calls may try; when all of them have ended well it closes, when too many fail it opens again. A probe that
 * does not end within its lease gives its place to another.
 *
 * **Outcomes** — of a call that began before a change of state are not counted. A call given up by `signal`, also by a
 * deadline further out, says nothing about the service: it counts nothing and frees its place. One that reaches its own
 * `timeoutMs` has failed. `ignore`d errors count nothing either; where `when` says no, the service has answered. What
 * these predicates throw ends the call, uncounted. **Abort** — rejects at once; the work's signal is aborted, a late
 * result is disposed. **Time** — is looked at when calls come and end: there are no timers.
 *
 * Bucket rings with running totals as in resilience4j; admission by identity as in Effect.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, CircuitOpenError } from "@uno/async/flow";
 * import assert from "node:assert/strict";
 *
 * const breaker = new CircuitBreaker({ name: "billing", failures: 3 });
 * const down = () => Promise.reject(new Error("connection refused"));
 * for (let i = 0; i < 3; i++) await assert.rejects(breaker.run(down), { message: "connection refused" });
 * const refusal = await breaker.run(down).catch((error) => error);
 * assert.ok(refusal instanceof CircuitOpenError);
 * assert.match(refusal.message, /^Cannot call "billing": circuit open for another \d+ ms after 3 calls in a row failed$/);
 * assert.ok(refusal.retryAfterMs > 4_000);
 * ```
 */
export class CircuitBreaker implements Run<CallContext> {
  readonly #circuit: Circuit;
  readonly #totals = { running: 0, succeeded: 0, failed: 0, ignored: 0, aborted: 0 };

  /**
   * Creates a breaker that is closed and has seen no calls.
   *
   * @throws {TypeError | RangeError} When an option is not as it says.
   */
  constructor(options?: CircuitBreakerOptions) {
    this.#circuit = new Circuit(rulesOf(options));
  }

  /** The name given at creation. */
  get name(): string | undefined {
    return this.#circuit.rules.name;
  }

  /** How it is disposed to calls; one whose open time is over is half-open. */
  get state(): CircuitState {
    return this.#circuit.state;
  }

  /**
   * Runs `fn` if the circuit lets it through, and counts how it ends.
   *
   * @param fn The call; gets a signal that is aborted when it is given up.
   * @param options `signal` gives the call up; `timeoutMs` bounds it, and reaching it is a failure.
   * @returns What `fn` returns.
   * @throws {CircuitOpenError} When the call is not let through.
   * @throws {TimeoutError} When its limit is reached.
   * @throws The reason of `signal`, unchanged; what `fn` throws.
   */
  run<T>(fn: (context: CallContext) => T | PromiseLike<T>, options?: WaitOptions): Promise<T> {
    return options === undefined ? this.#runPlain(fn) : this.#runWithin(fn, options);
  }

  /**
   * Opens it now.
   *
   * @param openMs For how long, in milliseconds; by default as long as if it had opened for the first time.
   */
  forceOpen(openMs: number = this.#circuit.rules.openMs): void {
    checkDurationMs(`open ${this.#describe()}`, "openMs", openMs);
    this.#circuit.open(openMs);
  }

  /** Closes it now, with an empty window; from there on it goes by itself. */
  forceClosed(): void {
    this.#circuit.close();
  }

  /** Refuses all calls until {@linkcode reset}. */
  isolate(): void {
    this.#circuit.hold("isolated");
  }

  /** Lets all calls through and counts none, until {@linkcode reset}. */
  disable(): void {
    this.#circuit.hold("disabled");
  }

  /** Lets all calls through and counts them, but does not open, until {@linkcode reset}. */
  metricsOnly(): void {
    this.#circuit.hold("metricsOnly");
  }

  /** Makes it as it was when created, the totals apart. */
  reset(): void {
    this.#circuit.close();
  }

  /** Its state as plain data, for {@linkcode restore}, here or in another process; the window is left out. */
  save(): SavedCircuit {
    return this.#circuit.save();
  }

  /**
   * Puts it in the state that was saved. If it was open then, it lets calls try when it would have: the time in between
   * is told by the wall clock.
   *
   * @throws {TypeError | RangeError} When that is no saved state.
   */
  restore(saved: SavedCircuit): void {
    const doing = `restore ${this.#describe()}`;
    checkOptions(doing, saved ?? null);
    checkChoice(doing, "state", saved.state, ["closed", "open", "isolated", "disabled", "metricsOnly"]);
    checkInteger(doing, "openings", saved.openings, 0);
    const { openUntil, window, trigger } = saved;
    if (openUntil !== undefined && typeof openUntil !== "number" || Number.isNaN(openUntil)) {
      throw new TypeError(`Cannot ${doing} as openUntil must be a number: received ${show(openUntil)}`);
    }
    checkOptions(doing, window);
    for (const what of ["calls", "failures", "slow"] as const) {
      if (window !== undefined) checkInteger(doing, `window.${what}`, window[what], 0);
    }
    if (trigger !== undefined) checkChoice(doing, "trigger", trigger, ["failures", "slow", "probes", "hand"]);
    this.#circuit.restore(saved);
  }

  /** A snapshot of the state, the window and the totals so far. */
  statistics(): CircuitBreakerStatistics {
    const { state, retryAfterMs, window, probing, openings, opened, refused, stale, rules } = this.#circuit;
    if (rules.byTime) window.rotate(clock().now());
    const { calls, failures, slow } = window;
    return Object.freeze({
      state,
      retryAfterMs,
      calls,
      failures,
      slow,
      failureRate: calls === 0 ? 0 : failures / calls,
      slowRate: calls === 0 ? 0 : slow / calls,
      probing,
      openings,
      opened,
      ...this.#totals,
      refused,
      stale,
    });
  }

  // Two functions, as in `Limiter`: the one without bounds is nearly all there is to a call that goes well.
  async #runPlain<T>(fn: (context: CallContext) => T | PromiseLike<T>): Promise<T> {
    if (typeof fn !== "function") checkFunction(this.#describe("call through"), "fn", fn);
    const admission = this.#circuit.enter();
    const startedMs = this.#now();
    this.#totals.running++;
    let result: T;
    try {
      result = await fn(new Work());
    } catch (error) {
      this.#failed(admission, startedMs, error);
      throw error;
    }
    this.#succeeded(admission, startedMs, result);
    return result;
  }

  async #runWithin<T>(
    fn: (context: CallContext) => T | PromiseLike<T>,
    options: WaitOptions,
  ): Promise<T> {
    const doing = this.#describe("call through");
    checkFunction(doing, "fn", fn);
    checkWaitOptions(doing, options);
    const { signal, timeoutMs = Infinity } = options;
    const totals = this.#totals;
    if (signal?.aborted) {
      totals.aborted++;
      throw signal.reason;
    }
    // No time was left to start: not the service's fault.
    if (timeoutMs === 0) throw overdue(this.#describe("call through"), 0, "no time was left to start");
    const admission = this.#circuit.enter();
    const startedMs = this.#now();
    totals.running++;
    let over: "aborted" | "timedOut" | undefined;
    const bounds = {
      structure: "circuit breaker",
      name: this.name,
      signal,
      atMs: timeoutMs === Infinity ? Infinity : clock().now() + timeoutMs,
      expired: (why: string) => overdue(this.#describe("call through"), timeoutMs, why),
      gaveUp: (why: "aborted" | "timedOut") => {
        over = why;
        if (why === "aborted") this.#aborted(admission);
      },
    };
    let result: T;
    try {
      result = await runWithin(bounds, new Work(bounds), fn);
    } catch (error) {
      if (over !== "aborted") this.#failed(admission, startedMs, error);
      throw error;
    }
    this.#succeeded(admission, startedMs, result);
    return result;
  }

  #aborted(admission: Admission): void {
    this.#totals.running--;
    this.#totals.aborted++;
    this.#circuit.release(admission);
  }

  /** When a call began; only slow calls are asked for that. */
  #now(): number {
    return this.#circuit.rules.slowCallMs === Infinity ? 0 : clock().now();
  }

  #settled(admission: Admission, startedMs: number, failed: boolean, outcome: unknown): void {
    const { slowCallMs, byTime } = this.#circuit.rules;
    if (failed) this.#totals.failed++;
    else this.#totals.succeeded++;
    const nowMs = byTime || slowCallMs !== Infinity ? clock().now() : 0;
    this.#circuit.settled(admission, nowMs, failed, nowMs - startedMs > slowCallMs, outcome);
  }

  #succeeded(admission: Admission, startedMs: number, result: unknown): void {
    const { whenResult } = this.#circuit.rules;
    let failed = false;
    this.#totals.running--;
    if (whenResult !== undefined) {
      try {
        failed = whenResult(result);
      } catch (error) {
        this.#circuit.release(admission);
        discard(result, "circuit breaker", this.name);
        throw error;
      }
    }
    this.#settled(admission, startedMs, failed, result);
  }

  #failed(admission: Admission, startedMs: number, error: unknown): void {
    const { ignore, when } = this.#circuit.rules;
    let failed = true;
    this.#totals.running--;
    try {
      if (ignore?.(error)) {
        this.#totals.ignored++;
        return this.#circuit.release(admission);
      }
      failed = when === undefined || when(error);
    } catch (bug) {
      this.#circuit.release(admission);
      throw bug;
    }
    this.#settled(admission, startedMs, failed, error);
  }

  #describe(doing?: string): string {
    const described = subject("circuit breaker", this.name);
    return doing === undefined ? described : `${doing} ${described}`;
  }
}
