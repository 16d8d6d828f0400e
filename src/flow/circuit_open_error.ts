/** What a circuit breaker had counted when it opened. */
export interface CircuitWindow {
  /** Calls that were counted. */
  readonly calls: number;
  /** How many of them had failed. */
  readonly failures: number;
  /** How many of them were slow. */
  readonly slow: number;
}

/** Data of a {@linkcode CircuitOpenError}. */
export interface CircuitOpenErrorOptions {
  /** Why no call is let through. */
  state: "open" | "halfOpen" | "isolated";
  /** How long that will last, in milliseconds. */
  retryAfterMs: number;
  /** What it had counted when it opened. */
  window: CircuitWindow;
  /** The failure that opened it. */
  cause?: unknown | undefined;
}

/** A circuit breaker did not let the call through: nothing was started. */
export class CircuitOpenError extends Error {
  static {
    this.prototype.name = "CircuitOpenError";
  }
  /** Why no call is let through: it is open, all probes are taken, or it was isolated by hand. */
  readonly state: "open" | "halfOpen" | "isolated";
  /** How long no call will be let through, in milliseconds; 0 when that can change any time, `Infinity` if isolated. */
  readonly retryAfterMs: number;
  /** What it had counted when it opened. */
  readonly window: CircuitWindow;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: CircuitOpenErrorOptions) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.state = options.state;
    this.retryAfterMs = options.retryAfterMs;
    this.window = options.window;
  }
}
