/** What every call that can wait takes, and what every acquisition gives. */

/** Options of every call that can wait. */
export interface WaitOptions {
  /** Gives up this wait only; the rejection is the signal's reason, untouched. */
  signal?: AbortSignal | undefined;
  /** Gives up after so many milliseconds with a `TimeoutError`; 0 is a limit of zero, `Infinity` none. */
  timeoutMs?: number | undefined;
}

/** Options of a call that waits for something which is then held. */
export interface HoldOptions extends WaitOptions {
  /** Who will hold it, often a `Task`: lets a lock refuse a wait on itself. Compared by identity. */
  owner?: object | undefined;
  /** Who will hold it, in words, for messages and statistics. */
  label?: string | undefined;
}

/** Something held until it is given back, once. */
export interface Lease extends Disposable {
  /** Whether it is still held. */
  readonly held: boolean;
  /**
   * Gives it back.
   *
   * @throws {MisuseError} When it is not held any more. (Disposing twice is allowed and does nothing.)
   */
  release(): void;
}
