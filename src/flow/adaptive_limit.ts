/** One call that has ended, for whoever finds a limit by it. */
export interface LimitSample {
  /** How long it ran, in milliseconds, without its wait. */
  readonly runMs: number;
  /** How many ran when it began, itself included. */
  readonly inFlight: number;
  /** Whether it failed in a way that speaks of too much load. */
  readonly overloaded: boolean;
  /** When it began, in milliseconds on the library's clock. */
  readonly startedMs: number;
  /** When it ended. */
  readonly endedMs: number;
}

/** A limit on its way: takes what was seen, and says how many may run. */
export interface LimitEstimator {
  /** How many may run now; its whole part counts, and at least 1. */
  readonly limit: number;
  /** Takes one sample; none are given of calls that were aborted, or that failed for reasons of their own. */
  record(sample: LimitSample): void;
}

/** A way to find a limit; every structure that is given it finds its own. */
export interface AdaptiveLimit {
  /** Begins a search. */
  start(): LimitEstimator;
}
