/** Data of a {@linkcode RateLimitError}. */
export interface RateLimitErrorOptions {
  /** In how many milliseconds such a call would be let through. */
  retryAfterMs: number;
  /** How much was asked for. */
  weight: number;
  /** For whom, if the call said. */
  key?: string | undefined;
}

/** A rate limiter would let the call through too late: nothing was taken, nothing was started. */
export class RateLimitError extends Error {
  static {
    this.prototype.name = "RateLimitError";
  }
  /**
   * In how many milliseconds such a call would be let through, as things were; `Infinity` while the limiter is paused
   * for good. `retry` waits so long by itself.
   */
  readonly retryAfterMs: number;
  /** How much was asked for. */
  readonly weight: number;
  /** For whom, if the call said. */
  readonly key: string | undefined;

  /** Creates the error; the message stands for itself, the options are the same facts as data. */
  constructor(message: string, options: RateLimitErrorOptions) {
    super(message);
    this.retryAfterMs = options.retryAfterMs;
    this.weight = options.weight;
    this.key = options.key;
  }
}
