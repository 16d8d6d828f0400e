/** The engine of a circuit breaker: its states, and what outcomes make of them. It knows nothing of the work. */
import { clock, wallNow } from "../kernel/clock.ts";
import { emit } from "../kernel/observer.ts";
import type { Rules } from "./_breaker_rules.ts";
import type { BreakerWindow } from "./_breaker_window.ts";
import { pushbackOf } from "./_pushback.ts";
import type { CircuitState, CircuitTrigger, SavedCircuit } from "./circuit_breaker_options.ts";
import { CircuitOpenError, type CircuitWindow } from "./circuit_open_error.ts";

/**
 * That a call was let through. All calls of one closed stretch share one, each probe has its own; an outcome counts
 * only while the circuit still has it. So a late one, from before a change of state, can't do anything.
 */
export class Admission {
  /** When a probe has to have ended. */
  readonly leaseEndMs: number;

  constructor(leaseEndMs = Infinity) {
    this.leaseEndMs = leaseEndMs;
  }
}

/** The latest moment of the wall clock there is: unlike infinity, it comes through JSON. */
const LATEST = 8.64e15;

/** For calls that are let through and not counted. */
const UNCOUNTED = new Admission();

interface Trip {
  readonly trigger: CircuitTrigger;
  readonly window: CircuitWindow;
  readonly cause?: unknown;
}

const NO_TRIP: Trip = { trigger: "hand", window: Object.freeze({ calls: 0, failures: 0, slow: 0 }) };

export class Circuit {
  readonly rules: Rules;
  #state: CircuitState = "closed";
  window: BreakerWindow;
  /** How often it has opened in a row, and in all. */
  openings = 0;
  opened = 0;
  refused = 0;
  stale = 0;
  #admission = new Admission();
  /** The probes under way, those that began first first. */
  readonly #probes = new Set<Admission>();
  /** What the probes that have ended were like. */
  #tried = { calls: 0, failures: 0, slow: 0 };
  #openUntilMs = 0;
  /** Before this the service does not want to be called. */
  #notBeforeMs = 0;
  #trip = NO_TRIP;
  #lastError: { readonly cause: unknown } | undefined;

  constructor(rules: Rules) {
    this.rules = rules;
    this.window = rules.newWindow();
  }

  get state(): CircuitState {
    return this.#state === "open" && clock().now() >= this.#openUntilMs ? "halfOpen" : this.#state;
  }

  get probing(): number {
    return this.#probes.size;
  }

  get retryAfterMs(): number {
    if (this.#state === "isolated") return Infinity;
    if (this.#state !== "open") return 0;
    // Up, so that who waits as long as it says does not come too early.
    return Math.max(0, Math.ceil(this.#openUntilMs - clock().now()));
  }

  /** Lets a call through, or throws. */
  enter(): Admission {
    return this.#state === "closed" ? this.#admission : this.#enterOtherwise();
  }

  /** Counts the outcome of a call that has ended now; the time matters only to rules that look at it. */
  settled(admission: Admission, nowMs: number, failed: boolean, slow: boolean, error: unknown): void {
    if (admission === this.#admission) this.#count(nowMs, failed, slow, error);
    else if (this.#probes.delete(admission)) this.#countProbe(failed, slow, error);
    else if (admission !== UNCOUNTED) this.stale++;
  }

  /** A call has ended that says nothing about the service. */
  release(admission: Admission): void {
    this.#probes.delete(admission);
  }

  /** Closed, open or half-open, as if it had come to that by itself. */
  close(): void {
    this.openings = 0;
    this.#notBeforeMs = 0;
    this.#change("closed");
  }

  open(openMs: number): void {
    this.#open(NO_TRIP, openMs, clock().now());
  }

  /** A state that only a hand ends. */
  hold(state: "isolated" | "disabled" | "metricsOnly"): void {
    this.#change(state);
  }

  save(): SavedCircuit {
    const { state, openings } = this;
    if (state !== "open" && state !== "halfOpen") return Object.freeze({ state, openings });
    const openUntil = Math.min(wallNow() + this.retryAfterMs, LATEST);
    const { window, trigger } = this.#trip;
    return Object.freeze({ state: "open", openings, openUntil, window, trigger });
  }

  restore({ state, openings, openUntil = 0, window, trigger }: SavedCircuit): void {
    this.openings = openings;
    if (state !== "open") return this.#change(state);
    this.#trip = { trigger: trigger ?? "hand", window: Object.freeze({ ...NO_TRIP.window, ...window }) };
    // The wall clock may have been set meanwhile: not longer than it may ever be open.
    const leftMs = Math.min(Math.max(0, openUntil - wallNow()), this.rules.maxOpenMs);
    this.#openUntilMs = clock().now() + leftMs;
    this.#change("open", { openMs: leftMs, window: this.#trip.window });
  }

  #enterOtherwise(): Admission {
    switch (this.#state) {
      case "open":
        if (clock().now() < this.#openUntilMs) return this.#refuse("open");
        this.#change("halfOpen");
        // An observer of that may have made it something else.
        return this.enter();
      case "halfOpen":
        return this.#enterAsProbe();
      case "isolated":
        return this.#refuse("isolated");
      case "disabled":
        return UNCOUNTED;
      default:
        return this.#admission;
    }
  }

  #enterAsProbe(): Admission {
    const { probes, probeLeaseMs } = this.rules;
    const nowMs = clock().now();
    if (this.#probes.size + this.#tried.calls >= probes) {
      // All leases are equally long, so those that have run out come first.
      for (const probe of this.#probes) {
        if (probe.leaseEndMs > nowMs) break;
        this.#probes.delete(probe);
      }
      if (this.#probes.size + this.#tried.calls >= probes) return this.#refuse("halfOpen");
    }
    const probe = new Admission(nowMs + probeLeaseMs);
    this.#probes.add(probe);
    return probe;
  }

  #refuse(state: "open" | "halfOpen" | "isolated"): never {
    this.refused++;
    const { retryAfterMs } = this;
    const { window, ...rest } = this.#trip;
    emit("breaker.refused", "circuit breaker", this.rules.name, { state, retryAfterMs });
    throw new CircuitOpenError(this.#refusal(state, retryAfterMs), {
      state,
      retryAfterMs,
      window,
      ...(state !== "isolated" && "cause" in rest && { cause: rest.cause }),
    });
  }

  #refusal(state: "open" | "halfOpen" | "isolated", retryAfterMs: number): string {
    const { name, probes, slowCallMs, inRow } = this.rules;
    const calling = name === undefined ? "Cannot call" : `Cannot call ${JSON.stringify(name)}`;
    if (state === "isolated") return `${calling}: circuit isolated by hand`;
    if (state === "halfOpen") {
      return `${calling}: circuit half-open, ${this.#probes.size} of ${probes} probes under way`;
    }
    const { trigger, window: { calls, failures, slow } } = this.#trip;
    const open = `${calling}: circuit open for another ${retryAfterMs} ms`;
    if (trigger === "hand") return `${open}, opened by hand`;
    const some = (count: number, what: string): string =>
      !inRow
        ? `${count} of ${calls} calls ${what}`
        : count === 1
        ? `1 call ${what}`
        : `${count} calls in a row ${what}`;
    if (trigger === "failures") return `${open} after ${some(failures, "failed")}`;
    const late = `took longer than ${slowCallMs} ms`;
    if (trigger === "slow") return `${open} after ${some(slow, late)}`;
    return failures > 0
      ? `${open} after ${failures} of ${calls} probes failed`
      : `${open} after ${slow} of ${calls} probes ${late}`;
  }

  #count(nowMs: number, failed: boolean, slow: boolean, error: unknown): void {
    const { window, rules } = this;
    window.record(nowMs, failed, slow);
    if (failed) this.#note(error);
    if (window.failures === 0 && window.slow === 0) return;
    if (this.#state !== "closed" || window.calls < rules.minimumCalls) return;
    const { calls, failures } = window;
    const byFailures = rules.inRow ? failures >= rules.minimumCalls : failures / calls >= rules.failureRate;
    const bySlow = rules.inRow ? window.slow >= rules.minimumCalls : window.slow / calls >= rules.slowRate;
    if (byFailures || bySlow) this.#tripBy(byFailures ? "failures" : "slow", window);
  }

  #countProbe(failed: boolean, slow: boolean, error: unknown): void {
    const { probes, failureRate, slowRate, inRow } = this.rules;
    const tried = this.#tried;
    tried.calls++;
    if (slow) tried.slow++;
    if (failed) {
      tried.failures++;
      this.#note(error);
    }
    const worst = (count: number, rate: number): boolean => count > 0 && (inRow || count / probes >= rate);
    if (worst(tried.failures, failureRate) || worst(tried.slow, slowRate)) this.#tripBy("probes", tried);
    else if (tried.calls === probes) this.close();
  }

  /** What a failure says beyond being one. */
  #note(error: unknown): void {
    this.#lastError = { cause: error };
    const afterMs = pushbackOf(error);
    if (afterMs !== undefined && afterMs > 0) {
      this.#notBeforeMs = Math.max(this.#notBeforeMs, clock().now() + afterMs);
    }
  }

  #tripBy(trigger: CircuitTrigger, { calls, failures, slow }: CircuitWindow): void {
    const { openMs, openGrowth, maxOpenMs, openJitter } = this.rules;
    const nowMs = clock().now();
    const grownMs = Math.min(maxOpenMs, openMs * openGrowth ** this.openings);
    const ownMs = grownMs * (1 - openJitter * clock().random());
    const trip = { trigger, window: Object.freeze({ calls, failures, slow }), ...this.#lastError };
    this.#open(trip, Math.min(maxOpenMs, Math.max(ownMs, this.#notBeforeMs - nowMs)), nowMs);
  }

  #open(trip: Trip, openMs: number, nowMs: number): void {
    this.#trip = trip;
    this.#openUntilMs = nowMs + openMs;
    this.openings++;
    this.opened++;
    const { trigger, window } = trip;
    this.#change("open", { openMs, trigger, window, ...("cause" in trip && { error: trip.cause }) });
  }

  /** From here on nothing counts that began before. */
  #change(state: CircuitState, facts?: object): void {
    const from = this.#state;
    this.#state = state;
    this.#admission = new Admission();
    this.#probes.clear();
    this.#tried = { calls: 0, failures: 0, slow: 0 };
    if (state !== "halfOpen") this.window = this.rules.newWindow();
    this.#lastError = undefined;
    emit(`breaker.${state}`, "circuit breaker", this.rules.name, { from, ...facts });
  }
}
