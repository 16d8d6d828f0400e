import { clock } from "../kernel/clock.ts";
import { isThenable } from "../kernel/deferred.ts";
import { isEcho } from "../kernel/echo.ts";
import { emit } from "../kernel/observer.ts";
import type { LimitEstimator } from "./adaptive_limit.ts";
import type { Slots } from "./_slots.ts";

/** Tells an estimator how calls went, and slots what it makes of it. */
export class Meter {
  readonly #estimator: LimitEstimator;
  readonly #slots: Slots;
  readonly #isOverload: (error: unknown) => boolean;

  constructor(estimator: LimitEstimator, slots: Slots, isOverload: (error: unknown) => boolean) {
    this.#estimator = estimator;
    this.#slots = slots;
    this.#isOverload = isOverload;
  }

  /** A call begins, its slot taken, that `signal` may give up. */
  begin(signal: AbortSignal | undefined): Reading {
    return new Reading(this, this.#slots.inUse, clock().now(), signal);
  }

  /** @internal */
  failed(reading: Reading, error: unknown): void {
    // What answers an abort that we have not been told of yet tells nothing, whatever error the reason is.
    if (reading.signal?.aborted && isEcho(error, reading.signal)) return;
    // A failure of its own tells nothing: most fail sooner than they would have ended.
    if (this.#guarded(() => this.#isOverload(error))) this.record(reading, true);
  }

  /** @internal */
  record({ inFlight, startedMs }: Reading, overloaded: boolean): void {
    const endedMs = clock().now();
    const sample = { runMs: endedMs - startedMs, inFlight, overloaded, startedMs, endedMs };
    const limit = this.#guarded(() => {
      this.#estimator.record(sample);
      return this.#estimator.limit;
    });
    if (typeof limit !== "number" || !(limit >= 1)) return;
    const slots = this.#slots;
    const [before, now] = [slots.limit, Math.floor(limit)];
    if (now === before) return;
    slots.limit = now;
    emit("limit", slots.kind, slots.name, { limit: now, before });
    // More room serves those who wait at once; the call that was measured gives its own slot back after this.
    if (now > before) slots.letIn();
  }

  /** What an estimator or a predicate of somebody else's throws must not fail the call that it looks at. */
  #guarded<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (error) {
      emit("limit.failed", this.#slots.kind, this.#slots.name, { error });
      return undefined;
    }
  }
}

/** One call that is measured. */
export class Reading {
  readonly #meter: Meter;
  readonly inFlight: number;
  readonly startedMs: number;
  readonly signal: AbortSignal | undefined;
  #over = false;

  constructor(meter: Meter, inFlight: number, startedMs: number, signal: AbortSignal | undefined) {
    this.#meter = meter;
    this.inFlight = inFlight;
    this.startedMs = startedMs;
    this.signal = signal;
  }

  /** Runs what is measured. */
  of<T>(fn: () => T | PromiseLike<T>): T | PromiseLike<T> {
    let result: T | PromiseLike<T>;
    try {
      result = fn();
      if (!isThenable(result)) {
        this.#end(() => this.#meter.record(this, false));
        return result;
      }
    } catch (error) {
      this.#end(() => this.#meter.failed(this, error));
      throw error;
    }
    return Promise.resolve(result).then((value) => {
      this.#end(() => this.#meter.record(this, false));
      return value;
    }, (error) => {
      this.#end(() => this.#meter.failed(this, error));
      throw error;
    });
  }

  /** Its caller was answered before it had ended: what comes later does not count. */
  gaveUp(why: "aborted" | "timedOut"): void {
    this.#end(() => why === "timedOut" && this.#meter.record(this, true));
  }

  #end(tell: () => unknown): void {
    if (this.#over) return;
    this.#over = true;
    tell();
  }
}
