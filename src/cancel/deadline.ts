import { checkDurationMs, checkSignal } from "../kernel/checks.ts";
import { clock } from "../kernel/clock.ts";
import { deadlineOf } from "../kernel/deadlines.ts";

/**
 * A moment by which work has to be done, on the library's own clock.
 *
 * A signal carries no deadline of its own: `Deadline.of(signal)` knows the ones that this library's timeouts, groups
 * and linked signals have set, the earliest of a chain. It is how work finds out what it has left before it starts
 * something it could not finish.
 *
 * @example
 * ```ts
 * import { Deadline, timeout } from "@uno/async/cancel";
 * import assert from "node:assert/strict";
 *
 * using outer = timeout(1_000);
 * using inner = timeout(60_000, { signal: outer.signal });
 * assert.ok(Deadline.of(inner.signal).remainingMs <= 1_000);
 * assert.deepEqual(Deadline.of(undefined).remainingMs, Infinity);
 * ```
 */
export class Deadline {
  /** When it is, in milliseconds on the library's clock. @internal */
  readonly atMs: number;

  private constructor(atMs: number) {
    this.atMs = atMs;
  }

  /**
   * The moment `ms` milliseconds from now; `Infinity` for none.
   *
   * @throws {RangeError} When `ms` is negative or NaN.
   */
  static in(ms: number): Deadline {
    checkDurationMs("create deadline", "ms", ms);
    return new Deadline(clock().now() + ms);
  }

  /** The earliest deadline known to apply to a signal; one that never comes when there is none. */
  static of(signal?: AbortSignal): Deadline {
    checkSignal("read deadline", signal);
    return new Deadline(deadlineOf(signal));
  }

  /** What is left, in milliseconds, never below 0; `Infinity` without a deadline. */
  get remainingMs(): number {
    return this.atMs === Infinity ? Infinity : Math.max(0, this.atMs - clock().now());
  }

  /** Whether nothing is left. */
  get expired(): boolean {
    return this.remainingMs === 0;
  }
}
